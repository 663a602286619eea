/**
 * A cohort made from one labelled volume: each case is the volume, smoothly deformed, with another contrast,
 * bias field and noise. For demonstrations and tests; no substitute for data.
 */
#ifndef SN_DATASET_SYNTH_H
#define SN_DATASET_SYNTH_H

#include <stdint.h>

#include "base/progress.h"
#include "base/status.h"

typedef struct sn_synth_options {
    int count; /* cases, > 0 */
    uint64_t seed;
    double spacing_mm; /* isotropic spacing of the cohort in canonical orientation; 0: the image's own grid */
    const char *structures; /* JSON file {"name": [label values], ...}: merged into values 1, 2, ... in that
                               order, other labels into the background; NULL: every label is kept */
    const sn_progress *progress; /* in cases; may be NULL */
} sn_synth_options;

#define SN_SYNTH_OPTIONS_INIT                                                                                \
    {                                                                                                        \
        .count = 20, .seed = 1                                                                               \
    }

/**
 * Make a cohort as a data set in the Decathlon's form: dataset.json, imagesTr, labelsTr. The folder appears
 * whole or not at all.
 *
 * Case k depends on the inputs, the seed and k alone.
 *
 * @param[in] out    folder to make; must not exist
 * @param[in] image  path, one channel
 * @param[in] labels path, on the image's grid
 * @return SN_OK; SN_ERR_ARG an option is wrong; SN_ERR_INPUT an input cannot be read or does not fit, or
 * `out` exists; SN_ERR_IO; SN_ERR_INTERRUPTED; SN_ERR_MEMORY
 */
sn_status sn_synthesise(const char *out, const char *image, const char *labels,
                        const sn_synth_options *options, sn_error *error);

#endif

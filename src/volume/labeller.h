/**
 * Labels of a prediction, made while its probabilities come, slice by slice along the first axis of their grid: on each
 * voxel of the label map the class of the largest probability, interpolated linearly (never antialiased). Equal
 * probabilities give the lower class; outside the probabilities' grid it is class 0. Labels do not depend on how many
 * slices come at once.
 */
#ifndef SN_VOLUME_LABELLER_H
#define SN_VOLUME_LABELLER_H

#include "volume/volume.h"

typedef struct sn_labeller sn_labeller;

/* Probabilities, up to a factor that all classes share, of neighbouring slices. */
typedef struct sn_slices {
    float *data;   /* (classes,depth,H,W) */
    int64_t first; /* slice */
    int64_t depth;
} sn_slices;

/**
 * Make a labeller.
 *
 * @param[out]    labeller caller owns, sn_labeller_free; NULL on error
 * @param[in,out] labels   outlives the labeller; becomes class 0 throughout
 * @param[in]     source   the grid of the probabilities; axes parallel to those of `labels`
 * @param[in]     values   `classes` label values, by class; outlive the labeller
 * @param[in]     threads  >= 1; labels do not depend on it
 * @return SN_OK; SN_ERR_ARG the axes are not parallel; SN_ERR_MEMORY
 */
sn_status sn_labeller_create(sn_labeller **labeller, sn_labelmap *labels, const sn_grid *source,
                             const int32_t values[], int64_t classes, int threads, sn_error *error);
void sn_labeller_free(sn_labeller *labeller);

/** Bytes that a labeller takes beside its label map on `target`, and up to 10 MiB for each thread but the first. Errors as
 * sn_labeller_create. */
sn_status sn_labeller_bytes(int64_t *bytes, const sn_grid *source, const sn_grid *target, sn_error *error);

/**
 * Label all voxels that need no slice from `end` on.
 *
 * @param[in] slices those before `end` are final; the last one that was final before is among them
 * @param[in] end    never less than before; in the last call the number of all slices
 */
void sn_labeller_add(sn_labeller *labeller, const sn_slices *slices, int64_t end);

#endif

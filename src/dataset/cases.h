/**
 * The cases that a dataset.json lists, or that nnU-Net's folders hold.
 */
#ifndef SN_DATASET_CASES_H
#define SN_DATASET_CASES_H

#include <jansson.h>

#include "dataset/dataset.h"

/**
 * Read the cases into a data set whose paths and channels are set: sorted by name, with a label and without.
 *
 * @param[in,out] dataset owns what is read, also on error
 * @param[in]     root    the content of dataset.json
 * @return SN_OK; SN_ERR_INPUT with field, value and fix; SN_ERR_MEMORY
 */
sn_status sn_cases_read(sn_dataset *dataset, const json_t *root, sn_error *error);

/** Free cases and the array that holds them. */
void sn_cases_free(sn_case *cases, int count);

#endif

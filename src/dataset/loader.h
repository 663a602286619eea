/**
 * Reading ahead: a thread brings the next cases of an epoch into memory while the current one is used.
 */
#ifndef SN_DATASET_LOADER_H
#define SN_DATASET_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "dataset/cache.h"

typedef struct sn_sample {
    int case_index;        /* in the data set */
    const float *image;    /* (C,D,H,W), the cache's */
    const uint8_t *labels; /* (D,H,W), the cache's */
} sn_sample;

typedef struct sn_loader sn_loader;

/**
 * Begin to read cases in the given order.
 *
 * @param[out] loader caller owns, sn_loader_end; NULL on error
 * @param[in]  cache  outlives the loader
 * @param[in]  cases  (count) indices of cases of the cache, copied; may repeat
 */
sn_status sn_loader_begin(sn_loader **loader, const sn_cache *cache, const int *cases, int count,
                          sn_error *error);

/** Wait for the next case in order, its pages in memory; false after the last. Pointers are valid as the
 * cache is. */
bool sn_loader_next(sn_loader *loader, sn_sample *sample);

/** Stop reading, at any time, and free; NULL is allowed. */
void sn_loader_end(sn_loader *loader);

#endif

/**
 * Preprocessed cases on disk: one file a case, written whole or not at all, memory-mapped for reading.
 *
 * Building goes on where it was stopped and replaces what is stale (other data, other preprocessing) or
 * damaged; opening only maps, so that every worker process shares the pages.
 */
#ifndef SN_DATASET_CACHE_H
#define SN_DATASET_CACHE_H

#include <stdint.h>

#include "base/progress.h"
#include "dataset/dataset.h"
#include "dataset/preprocess.h"

/** What a cache holds and where. */
typedef struct sn_cache_options {
    const char *folder;      /* made if need be */
    const char *fingerprint; /* of the data set: sn_dataset_fingerprint */
    sn_preprocessing preprocessing;
    const int *cases; /* (case_count) indices into the data set's cases; NULL: all */
    int case_count;
} sn_cache_options;

typedef struct sn_cache sn_cache;

/**
 * Make the files of all cases that are missing, stale or damaged.
 *
 * @param[in] threads  > 0; a case is one thread's work
 * @param[in] progress in cases; may be NULL; stopping keeps the finished cases
 * @return SN_OK; SN_ERR_INPUT a case cannot be read; SN_ERR_IO the disk is full or the folder read-only;
 * SN_ERR_INTERRUPTED; SN_ERR_MEMORY
 */
sn_status sn_cache_build(const sn_dataset *dataset, const sn_cache_options *options, int threads,
                         const sn_progress *progress, sn_error *error);

/**
 * Map a cache that sn_cache_build made with the same options.
 *
 * @param[out] cache caller owns, sn_cache_close; NULL on error
 * @return SN_OK; SN_ERR_INPUT a case is missing or stale: build first; SN_ERR_MEMORY
 */
sn_status sn_cache_open(sn_cache **cache, const sn_dataset *dataset, const sn_cache_options *options,
                        sn_error *error);

/** Unmap and free; pointers into the cache become invalid. NULL is allowed. */
void sn_cache_close(sn_cache *cache);

/** Box of every case: D,H,W. */
const int64_t *sn_cache_size(const sn_cache *cache);

int sn_cache_channels(const sn_cache *cache);

/** Classes, background included. */
int sn_cache_classes(const sn_cache *cache);

/** (C,D,H,W) z-scores of a case of the options, by its index in the data set; the cache's, read-only. */
const float *sn_cache_image(const sn_cache *cache, int case_index);

/** (D,H,W) class indices of a case. */
const uint8_t *sn_cache_labels(const sn_cache *cache, int case_index);

/**
 * How often each class occurs: its share of all voxels of the given cases.
 *
 * @param[out] frequencies (classes), sums to 1
 * @param[in]  cases       (case_count) indices of cases of the options; case_count > 0
 */
void sn_cache_frequencies(double *frequencies, const sn_cache *cache, const int *cases, int case_count);

#endif

/**
 * Splits of a data set into training, validation and testing. Source: docs/method.md section 6.
 */
#ifndef SN_DATASET_SPLIT_H
#define SN_DATASET_SPLIT_H

#include <jansson.h>
#include <stdint.h>

#include "dataset/dataset.h"

typedef enum sn_split_part { SN_TRAINING, SN_VALIDATION, SN_TESTING, SN_SPLIT_PARTS } sn_split_part;

typedef struct sn_split {
    int count[SN_SPLIT_PARTS];
    int *cases[SN_SPLIT_PARTS]; /* indices into the data set's cases, ascending */
} sn_split;

typedef struct sn_split_options {
    double fractions[SN_SPLIT_PARTS]; /* > 0, in any unit: only their ratios count */
    uint64_t seed;
    int folds;          /* 0: one split by fractions; K >= 2: K-fold */
    int fold;           /* 0 .. folds-1; also the entry of `file` */
    const char *groups; /* JSON file {case: group}; NULL: each case is its own group */
    const char *file;   /* nnU-Net's splits_final.json instead of a shuffle; NULL: none */
} sn_split_options;

#define SN_SPLIT_OPTIONS_INIT                                                                                \
    {                                                                                                        \
        .fractions = {0.5, 0.2, 0.3}, .seed = 1                                                              \
    }

/**
 * Split a data set.
 *
 * By fractions: of n cases validation gets round(0.2 n) and testing round(0.3 n), each at least 1, training
 * the rest. Groups are shuffled with the seed, then, the largest first, each goes whole to the part that
 * lacks most of its share; no part stays empty. A case that the groups file does not name is its own group.
 *
 * K-fold: the shuffled groups are dealt to K folds of equal share in the same way. Fold k is testing;
 * validation gets its fraction, validation : training, of the rest. The K testing parts are the data set,
 * each case once.
 *
 * splits_final.json: "train" and "val" of entry `fold` are training and validation; testing is empty.
 *
 * @param[out] split caller's, sn_split_clear; all zero on error
 * @return SN_OK; SN_ERR_ARG an option is wrong; SN_ERR_INPUT too few cases or groups, a file names an unknown
 * case, names a case twice, or lacks the fold
 */
sn_status sn_split_make(sn_split *split, const sn_dataset *dataset, const sn_split_options *options,
                        sn_error *error);

/**
 * Keep about `limit` cases in all, each part in its proportion (round(limit * count / all), at least 1 of
 * what is not empty), drawn with the seed: for a quick search on a large data set. A larger limit keeps a
 * superset.
 */
void sn_split_limit(sn_split *split, int limit, uint64_t seed);

/** Free what a split holds; an all-zero split is allowed. */
void sn_split_clear(sn_split *split);

/** "training", "validation" or "testing". */
const char *sn_split_part_name(sn_split_part part);

/** The part of a name: the full names, and "train", "val" and "test"; SN_ERR_ARG for any other. */
sn_status sn_split_part_parse(sn_split_part *part, const char *name, sn_error *error);

/** {"training": [case names], "validation": ..., "testing": ...}; `*out` is the caller's, json_decref. */
sn_status sn_split_to_json(json_t **out, const sn_split *split, const sn_dataset *dataset, sn_error *error);

/** Read what sn_split_to_json wrote; `source` names the file in errors. SN_ERR_INPUT: an unknown case. */
sn_status sn_split_from_json(sn_split *split, const json_t *json, const sn_dataset *dataset,
                             const char *source, sn_error *error);

#endif

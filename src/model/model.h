/**
 * A model: one safetensors file with all that a prediction needs (architecture, weights, preprocessing,
 * labels) and the record of how it was trained.
 */
#ifndef SN_MODEL_MODEL_H
#define SN_MODEL_MODEL_H

#include "arch/arch.h"
#include "dataset/label_table.h"
#include "dataset/preprocess.h"
#include "model/safetensors.h"

enum { SN_MODEL_VERSION = 1 };

typedef struct sn_model {
    sn_arch arch;
    sn_preprocessing preprocessing;
    sn_label_table *labels;
    json_t *training;  /* object: key, options, split, data set, validation Dice, seconds; docs/files.md. Only
                         `predict --split` and `train`, to know its own model again, read it */
    sn_arrays weights; /* SN_WEIGHTS_NETWORK of the architecture */
} sn_model;

/** Write a model file, whole or not at all. SN_ERR_IO; SN_ERR_MEMORY. */
sn_status sn_model_save(const sn_model *model, const char *path, sn_error *error);

/**
 * Read a model file.
 *
 * @param[out] model sn_model_clear; all zero on error
 * @return SN_OK; SN_ERR_INPUT missing, damaged, not a model, or of a newer program
 */
sn_status sn_model_load(sn_model *model, const char *path, sn_error *error);

/** Free what a model holds; an all-zero model is allowed. */
void sn_model_clear(sn_model *model);

#endif

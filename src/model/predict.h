/**
 * Prediction: an image in, a label map on the image's own grid out.
 *
 * The image is brought to the network's spacing in its own box, never cropped. Where the network does not fit
 * the memory budget at that size, overlapping tiles are predicted and their probabilities averaged, weighted
 * by a Gaussian that favours a tile's middle.
 */
#ifndef SN_MODEL_PREDICT_H
#define SN_MODEL_PREDICT_H

#include "backend/device.h"
#include "base/progress.h"
#include "model/model.h"
#include "volume/volume.h"

typedef struct sn_predictor sn_predictor;

typedef struct sn_predictor_options {
    const char *device; /* as sn_device_open */
    sn_precision precision;
    int threads;    /* >= 1 */
    int64_t memory; /* budget in bytes for the network's tensors; 0: none */
} sn_predictor_options;

typedef struct sn_prediction_info {
    int tiles;       /* 1: the image as a whole */
    int64_t tile[3]; /* D,H,W of what the network saw at once */
    int64_t planned_bytes;
} sn_prediction_info;

/**
 * Make a predictor.
 *
 * @param[out] predictor caller owns, sn_predictor_free; NULL on error
 * @param[in]  model     outlives the predictor
 * @param[in]  source    the model's file, for error texts
 */
sn_status sn_predictor_create(sn_predictor **predictor, const sn_model *model, const char *source,
                              const sn_predictor_options *options, sn_error *error);
void sn_predictor_free(sn_predictor *predictor);

/**
 * Predict one image.
 *
 * @param[out] labels   on the image's grid, values of the model's label table; caller owns, sn_labelmap_free
 * @param[out] info     may be NULL
 * @param[in]  image    (C,D,H,W) as read, of the model's channels, without NaN
 * @param[in]  progress in tiles; may be NULL
 * @return SN_OK; SN_ERR_INPUT another number of channels; SN_ERR_MEMORY not even the smallest tile fits the
 * budget; SN_ERR_INTERRUPTED
 */
sn_status sn_predict(sn_labelmap **labels, sn_prediction_info *info, sn_predictor *predictor,
                     const sn_volume *image, const sn_progress *progress, sn_error *error);

#endif

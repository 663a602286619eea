/**
 * Prediction: an image in, a label map on the image's own grid out.
 *
 * The image is brought to the network's spacing in its own box, never cropped. Where the prediction does not fit the
 * memory budget at that size, overlapping tiles are predicted and their probabilities averaged, weighted by a Gaussian
 * that favours a tile's middle. Only the probabilities of a slab of tiles are there at once: labels are made as slices
 * become final, so that a budget also holds for large images with many classes.
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
    int threads; /* >= 1 */
    /* Budget in bytes, 0: none. On the processor it is that of all that a prediction takes, on a GPU the network's. */
    int64_t memory;
    int64_t host_memory; /* beside a GPU: of all but the network */
} sn_predictor_options;

/* What a prediction takes, in bytes; the program itself and up to 20 MiB for each thread come on top. */
typedef struct sn_prediction_memory {
    int64_t
        network; /* on the device: weights and tensors; they stay for the next image where they take up to half of
                        the processor's budget */
    int64_t image; /* of the machine's memory: the model, images, probabilities and label map */
} sn_prediction_memory;

typedef struct sn_prediction_info {
    int tiles;       /* 1: the image as a whole */
    int64_t tile[3]; /* D,H,W of what the network saw at once */
    sn_prediction_memory memory;
} sn_prediction_info;

/**
 * Plan the memory to predict an image of D,H,W `size` voxels of the network's spacing, as a whole.
 *
 * @param[in] device as sn_device_open, whose errors it returns
 */
sn_status sn_prediction_plan(sn_prediction_memory *memory, const sn_arch *arch, int channels, int classes,
                             const int64_t size[3], const char *device, sn_precision precision,
                             sn_error *error);

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
 * @return SN_OK; SN_ERR_INPUT another number of channels; SN_ERR_MEMORY not even the smallest tiles
 * fit the budget; SN_ERR_INTERRUPTED
 */
sn_status sn_predict(sn_labelmap **labels, sn_prediction_info *info, sn_predictor *predictor,
                     const sn_volume *image, const sn_progress *progress, sn_error *error);

#endif

/**
 * How a network is trained: everything beside the data and the architecture that its weights depend on.
 *
 * Source: docs/method.md sections 4 and 5.
 */
#ifndef SN_TRAIN_OPTIONS_H
#define SN_TRAIN_OPTIONS_H

#include <jansson.h>
#include <stdint.h>

#include "arch/reals.h"
#include "backend/device.h"
#include "base/status.h"

#define SN_TRAIN_LOSS_EXPONENT 0.3 /* the method's */
enum { SN_TRAIN_AVERAGING = 8 }; /* eta of the averaged weights: those of step t count for (eta+1)/(t+eta) */

typedef struct sn_train_options {
    int epochs;
    int batch;            /* images a step; their gradients are averaged in image order */
    uint64_t seed;        /* of weights, shuffles, dropout, augmentation */
    double learning_rate; /* of Nadam */
    double dropout;       /* of spatial dropout, in [0, 1) */
    sn_loss_kind loss;
    double loss_exponent;   /* of both terms of SN_LOSS_EXPLOG */
    sn_precision precision; /* as sn_device_precision makes it definite */
} sn_train_options;

#define SN_TRAIN_OPTIONS_INIT                                                                                \
    {                                                                                                        \
        .epochs = 100, .batch = 3, .seed = 1, .learning_rate = 1e-3, .dropout = 0.1, .loss = SN_LOSS_EXPLOG, \
        .loss_exponent = SN_TRAIN_LOSS_EXPONENT                                                              \
    }

/**
 * {"epochs", "batch", "seed", "learning_rate", "dropout", "loss", "averaging"}, "loss_exponent" where it is not the
 * method's, and "precision" where the device has a choice: so they are no part of older keys. `*out` is the caller's,
 * json_decref.
 */
sn_status sn_train_options_to_json(json_t **out, const sn_train_options *options, sn_error *error);

/** Read what sn_train_options_to_json wrote; `source` names the file in error texts. */
sn_status sn_train_options_from_json(sn_train_options *options, const json_t *json, const char *source,
                                     sn_error *error);

/** Take what is said of the learning rate, the dropout and the exponent of the loss. */
void sn_train_options_adopt(sn_train_options *options, const sn_reals *reals);

/** Read a loss by name: "explog" or "dice-ce"; SN_ERR_ARG for any other. */
sn_status sn_loss_parse(sn_loss_kind *loss, const char *name, sn_error *error);

/** The parameters of the loss operation: weights 0.8 and 0.2, smoothing 1. */
sn_op_params sn_train_loss_params(const sn_train_options *options);

#endif

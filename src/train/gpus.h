/**
 * A training on several GPUs of this machine, with the bits of one (train/together.h): a thread for each.
 */
#ifndef SN_TRAIN_GPUS_H
#define SN_TRAIN_GPUS_H

#include "train/train.h"

/**
 * sn_train on all GPUs that input->device lists, which share the images of each batch. Where it lists one or none, or
 * the input has a group of its own, sn_train itself.
 *
 * @return as sn_train; SN_ERR_ARG the GPUs are not of one kind
 */
sn_status sn_train_on_gpus(sn_train_result *result, const sn_train_input *input,
                           const sn_train_observer *observer, sn_error *error);

#endif

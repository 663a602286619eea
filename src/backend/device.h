/**
 * Devices by name, as the command line has them:
 *
 *     cpu       the processor
 *     cuda      the GPUs of the machine; one who wants a single one gets the first
 *     cuda:1    one of them, by its number from 0
 *     cuda:0,2  some of them
 *
 * and for tests ref, checked:cpu and checked:ref. The CUDA backend is a plug-in beside the program
 * (backend/plugin.h), loaded when it is asked for.
 */
#ifndef SN_BACKEND_DEVICE_H
#define SN_BACKEND_DEVICE_H

#include "backend/plugin.h"

enum {
    SN_DEVICE_GPUS = 32, /* that a name may list */
    SN_DEVICE_NAME = 32, /* bytes for the name of one device */
};

/* Bytes of a GPU that CUDA, cuDNN and cuBLAS take for themselves in each process that computes there, for a context and
 * kernels; no plan holds them. */
enum { SN_DEVICE_GPU_OWN = 768 << 20 };

/** Whether a name means the cpu or at most `most` GPUs, whatever this machine has. "cuda" is always allowed. */
bool sn_device_is_name(const char *name, int most);

/** What of the name results depend on: "cuda" for any GPU. */
const char *sn_device_kind(const char *name);
bool sn_device_is_gpu(const char *name);

/** How many GPUs the name lists: 0 of "cpu", and of "cuda", which may be any. */
int sn_device_listed(const char *name);

/** How many devices the name means on this machine, all usable. SN_ERR_UNSUPPORTED as sn_device_open. */
sn_status sn_device_count(int *count, const char *name, sn_error *error);

/** The name of one of them, number `seat` modulo their count: so several workers share them out. */
sn_status sn_device_choose(char one[SN_DEVICE_NAME], const char *name, int seat, sn_error *error);

/** How many of so many workers, each on the device of its seat, are on a GPU beside one, at most; 0 of what is no GPU. */
sn_status sn_device_beside(int *beside, const char *name, int workers, sn_error *error);

/**
 * Bytes that `processes` processes could plan for together now: of the machine's memory, or on that GPU where least is
 * free, less SN_DEVICE_GPU_OWN for each of them; 0 where that is more than there is. Of 0 processes all that is free.
 */
sn_status sn_device_memory(int64_t *bytes, const char *name, int processes, sn_error *error);

/**
 * Make a precision definite: of GPUs what SN_PRECISION_AUTO means there, of all else SN_PRECISION_AUTO, since
 * there is no choice.
 *
 * @param[in,out] precision as wanted
 * @return SN_OK; SN_ERR_ARG the device has no such precision; SN_ERR_UNSUPPORTED as sn_device_open
 */
sn_status sn_device_precision(sn_precision *precision, const char *name, sn_error *error);

/**
 * Open a device; close it with sn_device_close. Both are NULL on error.
 *
 * @param[in] threads >= 1; results do not depend on it
 * @return SN_OK; SN_ERR_ARG no such name; SN_ERR_UNSUPPORTED there is no such device here, with what to do;
 * whatever the backend returns
 */
sn_status sn_device_open(const sn_backend **backend, sn_device **device, const char *name,
                         sn_precision precision, int threads, sn_error *error);

/** NULL is allowed. */
void sn_device_close(const sn_backend *backend, sn_device *device);

/**
 * Whether results are the same on all GPUs that a name lists: whether their kernels are.
 *
 * @return SN_OK; SN_ERR_ARG they are of different kinds; as sn_device_open
 */
sn_status sn_device_check_alike(const char *name, sn_precision precision, sn_error *error);

/** The GPUs of this machine: the plug-in and how many it finds, one or more. SN_ERR_UNSUPPORTED with what to do. */
sn_status sn_gpus_find(const sn_cuda_plugin **plugin, int *count, sn_error *error);

#endif

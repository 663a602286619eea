/**
 * Convolutions by cuDNN: one plan, of one kernel of cuDNN, for each shape.
 *
 * The same GPU and the same cuDNN give the same bits: no plan depends on a measurement, and no kernel is used
 * whose sums have no fixed order.
 */
#ifndef SN_BACKEND_CUDA_CUDNN_PLAN_H
#define SN_BACKEND_CUDA_CUDNN_PLAN_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "backend/cuda/cudnn_shape.h"

enum {
    SN_CUDNN_TENSOR_ALIGNMENT = 16,     /* bytes: of x, w and y */
    SN_CUDNN_WORKSPACE_ALIGNMENT = 256, /* bytes */
};

typedef struct sn_cudnn sn_cudnn;
typedef struct sn_cudnn_plan sn_cudnn_plan;

/**
 * Open cuDNN for the current GPU and a stream; close frees it, with all its plans.
 *
 * @return SN_OK; SN_ERR_MEMORY; SN_ERR_UNSUPPORTED: cuBLAS is missing, or cuDNN does not know the GPU
 */
sn_status sn_cudnn_open(sn_cudnn **cudnn, cudaStream_t stream, sn_error *error);
void sn_cudnn_close(sn_cudnn *cudnn);

/**
 * Open cuDNN without a GPU: plans can be made, not run. For tests.
 *
 * @param[in] device a GPU's properties, the JSON of CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION
 * @return SN_OK; SN_ERR_MEMORY; SN_ERR_ARG: cuDNN cannot read it; SN_ERR_UNSUPPORTED: a library is missing
 */
sn_status sn_cudnn_open_for(sn_cudnn **cudnn, const char *device, sn_error *error);

/** cuDNN's version: 92801 is 9.28.1. */
int sn_cudnn_version(void);

/** Bytes of workspace that the plan for a shape may use. */
size_t sn_cudnn_workspace(const sn_cudnn_shape *shape);

/**
 * The plan for a shape: made when it is asked for the first time; slow.
 *
 * @param[out] plan belongs to `cudnn`
 * @return SN_OK; SN_ERR_MEMORY; SN_ERR_UNSUPPORTED with the shape: cuDNN has nothing for it
 */
sn_status sn_cudnn_plan_get(const sn_cudnn_plan **plan, sn_cudnn *cudnn, const sn_cudnn_shape *shape,
                            sn_error *error);

/**
 * Enqueue a convolution: the result is overwritten.
 *
 * @param[in] data      x, w and y on the device, aligned to SN_CUDNN_TENSOR_ALIGNMENT
 * @param[in] workspace sn_cudnn_workspace bytes, aligned to SN_CUDNN_WORKSPACE_ALIGNMENT
 */
sn_status sn_cudnn_plan_run(const sn_cudnn_plan *plan, void *const data[SN_CUDNN_PARTS], void *workspace,
                            sn_error *error);

#ifdef __cplusplus
}
#endif

#endif

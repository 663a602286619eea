/**
 * Between float32 N, C, D, H, W and bf16 N, D, H, W, C with channels padded by zeros (op.h): images, and weights
 * (O,I,K,K,K) with n = O, c = I, voxels = K^3.
 */
#ifndef SN_BACKEND_CUDA_LAYOUT_H
#define SN_BACKEND_CUDA_LAYOUT_H

#include <stdint.h>

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Round to bf16 (to the nearest, ties to even; NaN stays NaN) and lay out.
 *
 * @param[out] out      (padded_n, voxels, padded_c): zeros from n and from c on
 * @param[in]  in       (n, c, voxels)
 * @param[in]  padded_n at least n
 * @param[in]  padded_c at least c
 */
cudaError_t sn_cuda_pack(void *out, const float *in, int64_t n, int64_t padded_n, int64_t c, int64_t padded_c,
                         int64_t voxels, cudaStream_t stream);

/**
 * The way back, added to what is there.
 *
 * @param[in,out] out (n, c, voxels)
 * @param[in]     in  (n or more, voxels, padded_c)
 */
cudaError_t sn_cuda_unpack(float *out, const void *in, int64_t n, int64_t c, int64_t padded_c, int64_t voxels,
                           cudaStream_t stream);

/** out += in: the same of float32. */
cudaError_t sn_cuda_add(float *out, const float *in, int64_t count, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif

/* The classes of one voxel: scores + v is its first, the others follow at distances of `voxels`. */
#ifndef SN_BACKEND_CUDA_CLASSES_CUH
#define SN_BACKEND_CUDA_CLASSES_CUH

#include "backend/cuda/kernels/device.cuh"

enum { SN_CUDA_CLASSES = 256 }; /* labels are u8 */

/* The first of the highest scores. */
static inline __device__ int best_class(const float *scores, int channels, int64_t voxels)
{
    float highest = scores[0];
    int best = 0;
    for (int c = 1; c < channels; c++) {
        float score = scores[c * voxels];
        best = score > highest ? c : best;
        highest = score > highest ? score : highest;
    }
    return best;
}

/* e = e^(score - highest score); returns their sum. A NaN makes it NaN. `e` may be `scores`. */
static inline __device__ float exp_classes(float *e, const float *scores, int channels, int64_t voxels)
{
    const float highest = scores[best_class(scores, channels, voxels) * voxels];
    float sum = 0;
    for (int c = 0; c < channels; c++) {
        e[c * voxels] = expf(scores[c * voxels] - highest);
        sum += e[c * voxels];
    }
    return sum;
}

#endif

/* The classes of one voxel, on which one thread works. */
#ifndef SN_BACKEND_CUDA_CLASSES_CUH
#define SN_BACKEND_CUDA_CLASSES_CUH

#include "backend/cuda/kernels/device.cuh"

enum { SN_CUDA_CLASSES = 256 }; /* labels are u8 */

/* Where the classes of an image's voxels lie: voxel v from `image` elements an image and v*step on, `pitch` apart. */
typedef struct classes {
    int channels, voxels;
    int step, pitch;
    int64_t image;
} classes;

static inline classes classes_of(const sn_tensor_desc *desc)
{
    const int channels = (int)desc->shape[1], voxels = (int)sn_tensor_voxels(desc);
    const int stored = (int)sn_tensor_stored_channels(desc);
    const int64_t image = (int64_t)stored * voxels;
    return desc->dtype == SN_BF16 ? classes{channels, voxels, stored, 1, image}
                                  : classes{channels, voxels, 1, voxels, image};
}

template <typename T> static __device__ T *voxel_of(T *data, const classes &in, int64_t image, int v)
{
    return data + image * in.image + (int64_t)v * in.step;
}

/* Loops over the vectors of a voxel by their first classes; */
#define FOR_EACH_VECTOR(T, in, c) for (int c = 0; c < (in).channels; c += width<T>)

/* and over the classes of one. */
#define FOR_EACH_CLASS(T, in, c, k) for (int k = 0; k < width<T> && (c) + k < (in).channels; k++)

template <typename T> static __device__ values<T> load_classes(const T *voxel, const classes &in, int c)
{
    return load(voxel + (int64_t)c * in.pitch);
}

/* The first of the highest scores. */
typedef struct best {
    int which;
    float score;
} best;

template <typename T> static __device__ best best_class(const T *voxel, const classes &in)
{
    best found = {0, load_classes(voxel, in, 0).of[0]};
    FOR_EACH_VECTOR(T, in, c)
    {
        const values<T> scores = load_classes(voxel, in, c);
        FOR_EACH_CLASS(T, in, c, k)
        {
            if (scores.of[k] > found.score)
                found = best{c + k, scores.of[k]};
        }
    }
    return found;
}

/* p = softmax of a score, of the highest of its voxel and the sum of e^(score - highest). */
static inline __device__ float probability(float score, float highest, float sum)
{
    return expf(score - highest) / sum;
}

/* The sum of e^(score - highest), and that without one class. A NaN makes them NaN. */
typedef struct exponentials {
    float all, others;
} exponentials;

template <typename T>
static __device__ exponentials sum_exponentials(const T *voxel, const classes &in, float highest, int without)
{
    exponentials sum = {0, 0};
    FOR_EACH_VECTOR(T, in, c)
    {
        const values<T> scores = load_classes(voxel, in, c);
        FOR_EACH_CLASS(T, in, c, k)
        {
            const float e = expf(scores.of[k] - highest);
            sum.all += e;
            sum.others += c + k == without ? 0 : e;
        }
    }
    return sum;
}

#endif

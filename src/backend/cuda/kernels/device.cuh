/**
 * What kernels share: launches, values in float32 and bf16, the part of a tensor that a block works on, sums in a
 * fixed order.
 *
 * Kernels of values are templates of their type T: they read vectors (runtime.h), compute in float, and write
 * vectors. So neighbouring threads touch neighbouring memory in both layouts of op.h, and no voxel costs a division
 * of 64 bits.
 */
#ifndef SN_BACKEND_CUDA_DEVICE_CUH
#define SN_BACKEND_CUDA_DEVICE_CUH

#include <cuda_runtime.h>

#include "backend/cuda/runtime.h"

/* Enqueue blocks of SN_CUDA_BLOCK threads; the value is a cudaError_t. The tests' stand-in has its own. */
#ifndef SN_LAUNCH
#define SN_LAUNCH(kernel, blocks, stream, ...)                                                               \
    (kernel<<<(unsigned)(blocks), SN_CUDA_BLOCK, 0, stream>>>(__VA_ARGS__), cudaGetLastError())
#endif

/* Go on if `expression`, a cudaError_t, is a success. */
#define SN_CUDA_TRY(expression)                                                                              \
    do {                                                                                                     \
        cudaError_t error_ = (expression);                                                                   \
        if (error_ != cudaSuccess)                                                                           \
            return error_;                                                                                   \
    } while (0)

/* The value of a launcher, a template of the type of an operation's values. */
#define SN_FOR_TYPE(launcher, call)                                                                          \
    ((call)->op->inputs[0].desc.dtype == SN_BF16 ? launcher<bf16>(call) : launcher<float>(call))

/* Blocks of one thread for each element. */
static inline int64_t blocks_for(int64_t count)
{
    return (count + SN_CUDA_BLOCK - 1) / SN_CUDA_BLOCK;
}

/* ---- values ---- */

typedef struct bf16 {
    uint16_t bits;
} bf16;

/* To the nearest, ties to even; a NaN stays one. */
static inline __device__ uint32_t bf16_bits(float value)
{
    const uint32_t bits = __float_as_uint(value);
    return (bits & 0x7FFFFFFFu) > 0x7F800000u ? bits >> 16 | 0x40 : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

static inline __device__ bf16 to_bf16(float value)
{
    return bf16{(uint16_t)bf16_bits(value)};
}

/* Two of them, the first in the lower half. */
static inline __device__ uint32_t pair_to_bf16(float low, float high)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
#else
    return bf16_bits(low) | bf16_bits(high) << 16;
#endif
}

static inline __device__ float to_float(float value)
{
    return value;
}

static inline __device__ float to_float(bf16 value)
{
    return __uint_as_float((uint32_t)value.bits << 16);
}

/* Channels of a vector. */
template <typename T> constexpr int width = 1;
template <> constexpr int width<bf16> = SN_BF16_CHANNELS;

/* A vector, in float. */
template <typename T> struct values {
    float of[width<T>];
};

/* A vector of bf16 as it is loaded and stored, at once. */
typedef struct __attribute__((aligned(16), may_alias)) words {
    uint32_t of[SN_BF16_CHANNELS / 2];
} words;

static inline __device__ values<float> load(const float *from)
{
    return {{*from}};
}

static inline __device__ values<uint8_t> load(const uint8_t *from)
{
    return {{(float)*from}};
}

static inline __device__ values<bf16> load(const bf16 *from)
{
    const words pairs = *(const words *)from;
    values<bf16> to;
    for (int i = 0; i < SN_BF16_CHANNELS / 2; i++) {
        to.of[2 * i] = __uint_as_float(pairs.of[i] << 16);
        to.of[2 * i + 1] = __uint_as_float(pairs.of[i] & 0xFFFF0000u);
    }
    return to;
}

static inline __device__ void store(float *to, const values<float> &from)
{
    *to = from.of[0];
}

static inline __device__ void store(uint8_t *to, const values<uint8_t> &from)
{
    *to = (uint8_t)from.of[0];
}

static inline __device__ void store(bf16 *to, const values<bf16> &from)
{
    words pairs;
    for (int i = 0; i < SN_BF16_CHANNELS / 2; i++)
        pairs.of[i] = pair_to_bf16(from.of[2 * i], from.of[2 * i + 1]);
    *(words *)to = pairs;
}

/* Loops over the channels of a vector. */
#define FOR_EACH_CHANNEL(T, k) for (int k = 0; k < width<T>; k++)

/* ---- shares ---- */

/* What a thread works on: one vector of an image, in voxels first, first + step, ... */
typedef struct lane {
    int image, part;
    int vector, column; /* of all of a voxel; of those of the block */
    int first, step, end;
} lane;

static inline __device__ lane lane_of(const sn_cuda_spread &s)
{
    const unsigned parts = (unsigned)s.parts, groups = (unsigned)s.groups, across = (unsigned)s.across;
    const unsigned row = threadIdx.x / across, rows = SN_CUDA_BLOCK / across;
    lane own;
    own.part = (int)(blockIdx.x % parts);
    own.image = (int)(blockIdx.x / parts / groups);
    own.column = (int)(threadIdx.x % across);
    own.vector = (int)(blockIdx.x / parts % groups * across) + own.column;
    own.step = (int)rows;
    own.first = own.part * s.span + (int)row;
    own.end = s.voxels - own.part * s.span < s.span ? s.voxels : (own.part + 1) * s.span;
    if (row >= rows || own.vector >= s.vectors) /* too many */
        own.first = own.end;
    return own;
}

/* Elements of one of several items, as images or planes. */
typedef struct part {
    int64_t item;
    int first, step, end;
} part;

/* sn_cuda_parts on the device. */
static inline __device__ int parts_of(int count)
{
    return (count + SN_CUDA_PART - 1) / SN_CUDA_PART;
}

/* One block for each part of each item of `count` elements, */
static inline int64_t blocks_of_items(int64_t items, int64_t count)
{
    return items * sn_cuda_parts(count);
}

/* which works on this one. */
static inline __device__ part part_of(int64_t block, int count)
{
    const int parts = parts_of(count);
    const int first = (int)(block % parts) * SN_CUDA_PART;
    return part{block / parts, first + (int)threadIdx.x, SN_CUDA_BLOCK,
                count - first < SN_CUDA_PART ? count : first + SN_CUDA_PART};
}

/* Loops over the voxels `v` of this thread, of a lane or a part. */
#define FOR_EACH_VOXEL(own) for (int v = (own).first; v < (own).end; v += (own).step)

/* Where the vectors of a lane lie in a tensor of its channels, of `voxels` voxels. */
typedef struct places {
    int64_t start;
    int pitch;
    __device__ int64_t operator()(int v) const
    {
        return start + (int64_t)v * pitch;
    }
} places;

template <typename T>
static inline __device__ places places_of(const lane &own, const sn_cuda_spread &s, int voxels)
{
    if (width<T> == 1)
        return places{((int64_t)own.image * s.vectors + own.vector) * voxels, 1};
    return places{((int64_t)own.image * voxels * s.vectors + own.vector) * width<T>, s.vectors * width<T>};
}

/* The numbers of a lane's channels among those of all (C); 0 of channels that only fill up. */
template <typename T>
static inline __device__ values<T> numbers_of(const float *all, const lane &own, const sn_cuda_spread &s)
{
    values<T> numbers;
    FOR_EACH_CHANNEL(T, k)
    {
        const int c = own.vector * width<T> + k;
        numbers.of[k] = c < s.channels ? all[c] : 0;
    }
    return numbers;
}

/* ---- sums ---- */

/* sums = those over all threads of the block, in every thread: always added in the same order. */
template <int COUNT> static __device__ void block_sum(double (&sums)[COUNT])
{
    __shared__ double shared[COUNT][SN_CUDA_BLOCK];
    for (int i = 0; i < COUNT; i++)
        shared[i][threadIdx.x] = sums[i];
    for (unsigned half = SN_CUDA_BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            for (int i = 0; i < COUNT; i++)
                shared[i][threadIdx.x] += shared[i][threadIdx.x + half];
    }
    __syncthreads();
    for (int i = 0; i < COUNT; i++)
        sums[i] = shared[i][0];
    __syncthreads(); /* before the next sum takes the memory */
}

/* What a thread adds up in: of values in bf16 its few are added in float, since most GPUs are slow in double. */
template <typename T> struct sum_of {
    typedef double type;
};
template <> struct sum_of<bf16> {
    typedef float type;
};

/* The sums of a thread, of the channels of its vector. */
template <typename T, int COUNT> struct lane_sums {
    typename sum_of<T>::type of[COUNT][width<T>];
};

/* The first stage of sums over the voxels of each channel: partials (image, channel, part, COUNT) = those of this block. */
template <typename T, int COUNT>
static __device__ void store_partials(double *partials, const lane_sums<T, COUNT> &sums, const lane &own,
                                      const sn_cuda_spread &s)
{
    __shared__ double shared[width<T>][SN_CUDA_BLOCK];
    const int row = (int)threadIdx.x / s.across;
    const int64_t first_channel = (int64_t)own.vector * width<T>;
    for (int i = 0; i < COUNT; i++) {
        FOR_EACH_CHANNEL(T, k)
        {
            shared[k][threadIdx.x] = sums.of[i][k];
        }
        for (int rows = own.step, half = (rows + 1) / 2; rows > 1; rows = half, half = (rows + 1) / 2) {
            __syncthreads();
            if (row < rows - half)
                FOR_EACH_CHANNEL(T, k)
                {
                    shared[k][threadIdx.x] += shared[k][threadIdx.x + half * s.across];
                }
        }
        FOR_EACH_CHANNEL(T, k)
        {
            if (row == 0 && first_channel + k < s.channels)
                partials[((own.image * (int64_t)s.channels + first_channel + k) * s.parts + own.part) *
                             COUNT +
                         i] = shared[k][threadIdx.x];
        }
        __syncthreads(); /* before the next sum takes the memory */
    }
}

/* The second stage, of channel `plane` of all images': sums = those of all its parts, in every thread. */
template <int COUNT>
static __device__ void sum_partials(double (&sums)[COUNT], const double *partials, int64_t plane, int parts)
{
    const double *own = partials + plane * parts * COUNT;
    for (int i = 0; i < COUNT; i++)
        sums[i] = 0;
    for (int p = (int)threadIdx.x; p < parts; p += SN_CUDA_BLOCK)
        for (int i = 0; i < COUNT; i++)
            sums[i] += own[p * COUNT + i];
    block_sum(sums);
}

#endif

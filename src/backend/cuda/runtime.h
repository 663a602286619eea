/**
 * What the files of the cuda backend share: one operation as its kernels see it, and the table of kernels.
 */
#ifndef SN_BACKEND_CUDA_RUNTIME_H
#define SN_BACKEND_CUDA_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "backend/op.h"

/* Raised where kernels come to give other bits: then what earlier ones computed is not taken for theirs. */
enum { SN_CUDA_REVISION = 1 };

enum {
    SN_CUDA_BLOCK = 256,                        /* threads of a block, of every kernel */
    SN_CUDA_RUN = 16,                           /* voxels, or elements, of one thread */
    SN_CUDA_PART = SN_CUDA_BLOCK * SN_CUDA_RUN, /* elements that one block works on */
};

/** Parts of so many elements. */
static inline int64_t sn_cuda_parts(int64_t count)
{
    return (count + SN_CUDA_PART - 1) / SN_CUDA_PART;
}

/*
 * How a tensor of values is shared out. What a thread reads at once is a vector: channels of one voxel that lie
 * together, of float32 one, of bf16 SN_BF16_CHANNELS. A block works on `across` vectors of each voxel, side by side, and
 * on `span` voxels, a part; each thread on one vector, of SN_CUDA_RUN voxels.
 */
typedef struct sn_cuda_spread {
    int channels, voxels;
    int vectors; /* of a voxel */
    int across, groups;
    int span, parts;
} sn_cuda_spread;

sn_cuda_spread sn_cuda_spread_of(const sn_tensor_desc *desc);

/** Blocks for all of a tensor of so many images. */
static inline int64_t sn_cuda_blocks(const sn_cuda_spread *spread, int64_t images)
{
    return images * spread->groups * spread->parts;
}

/* One of the operations that run as one: NADAM over all parameters, AVERAGE over all averages. */
typedef struct sn_cuda_joined {
    float *data[4]; /* NADAM: p, grad, m, v; AVERAGE: a, x */
    int64_t count;
    int64_t first_part; /* parts of those before this one */
} sn_cuda_joined;

/* One operation with its operands in device memory. */
typedef struct sn_cuda_call {
    const sn_op *op;
    const void *in[SN_OP_MAX_INPUTS];
    void *out[SN_OP_MAX_OUTPUTS];
    void *workspace;              /* sn_cuda_workspace(op) bytes */
    struct sn_cuda_conv *conv;    /* of a convolution */
    const sn_cuda_joined *joined; /* NADAM, AVERAGE: in device memory */
    int joined_count;
    int64_t joined_parts; /* of all of them */
    cudaStream_t stream;
} sn_cuda_call;

/* Enqueues on call->stream and never waits. What it computes depends on shapes and values only: sums are
 * formed of parts, in the order of the parts. */
typedef cudaError_t sn_cuda_kernel(const sn_cuda_call *call);

/** By kind; NULL for convolutions (conv.h). */
extern sn_cuda_kernel *const sn_cuda_kernels[SN_OP_KINDS];

/** Bytes of call->workspace of what is no convolution. */
size_t sn_cuda_workspace(const sn_op *op);

/** Whether this build has kernels for the current GPU; an error of sn_cuda_lacks_kernels where not. */
cudaError_t sn_cuda_probe(void);

#ifdef __cplusplus
}
#endif

#endif

/**
 * The cpu backend's kernels: one function for each kind of operation, compiled once for each instruction set
 * from the sources in kernels/.
 */
#ifndef SN_BACKEND_CPU_KERNELS_H
#define SN_BACKEND_CPU_KERNELS_H

#include <stdatomic.h>

#include "backend/op.h"

/* What is left of a thread's share of the units of work, its first and its end; in a line of the cache for itself. */
typedef struct sn_cpu_share {
    _Alignas(64) _Atomic uint64_t left; /* first << 32 | end */
} sn_cpu_share;

/* What the threads of a device have for whichever operation runs. */
typedef struct sn_cpu_team {
    sn_cpu_share *shares; /* one a thread */
    char *scratch;        /* scratch_bytes for each thread */
    size_t scratch_bytes;
} sn_cpu_team;

/* One operation with its operands in memory, as a kernel sees it. */
typedef struct sn_cpu_call {
    const sn_op *op;
    const void *in[SN_OP_MAX_INPUTS];
    void *out[SN_OP_MAX_OUTPUTS];
    const void *plan; /* sn_conv_plan of a convolution */
    void *workspace;  /* sn_cpu_workspace(op) bytes, shared by all threads */
    const sn_cpu_team *team;
    int threads;
} sn_cpu_call;

/* Results never depend on call->threads: sums are those of parts that are cut by shape alone, added in the order of
 * the parts. */
typedef void sn_cpu_kernel(const sn_cpu_call *call);

/* Raised where kernels come to give other bits: then what earlier ones computed is not taken for theirs. */
#define SN_CPU_REVISION "5"

typedef struct sn_cpu_kernels {
    const char *isa;  /* "avx512", "avx2", "portable" */
    const char *name; /* the same and the revision, "avx512-1" */
    int lanes;        /* floats of a vector */
    sn_cpu_kernel *run[SN_OP_KINDS];
} sn_cpu_kernels;

/**
 * The kernels for the best instruction set of this processor, or, for tests, a lower one named by the
 * environment variable SEGNAS3D_ISA (avx512, avx2, portable); one it lacks is ignored.
 */
const sn_cpu_kernels *sn_cpu_kernels_select(void);

/** Bytes of call->workspace: the same for every instruction set and number of threads. */
size_t sn_cpu_workspace(const sn_op *op);

/** Bytes of scratch memory that each of so many threads needs. */
size_t sn_cpu_scratch(const sn_op *op, const void *plan, int threads);

enum {
    SN_CPU_CHUNK = 8192,     /* voxels of one channel that one thread works on, and of one partial sum */
    SN_CPU_CLASS_BLOCK = 64, /* voxels whose classes are worked on together */
};

/** Chunks of a channel of `voxels`. */
static inline int64_t sn_cpu_chunks(int64_t voxels)
{
    return (voxels + SN_CPU_CHUNK - 1) / SN_CPU_CHUNK;
}

#endif

/*
 * Convolution backward data where kernel and stride are 2: dx[i, 2*v + tap] = sum over o of w[tap, i, o] * dy[o, v]. Lanes
 * are neighbouring voxels of dx. A few vectors of a row of dx, with those of the three other rows that read the same
 * voxels of dy, are summed in registers over all channels of dy, each pair of weights broadcast.
 */
#include <string.h>

#include "backend/cpu/kernels/conv_strided.h"
#include "backend/cpu/kernels/share.h"
#include "backend/cpu/kernels/shuffle.h"

enum {
    TAPS = SN_STRIDED_TAPS,
    ROWS = TAPS / 2, /* of dx, to one of dy */
    MAX_COLUMNS = LANES == 16 ? SN_STRIDED_COLUMNS : 3,
    UNIT_CHUNKS = 64, /* of a unit of work, about */
    AHEAD = 2,        /* channels that dx is fetched ahead */
};

/* The lanes of half a vector, each twice. */
#if LANES == 16
#define TWICE 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7
#elif LANES == 8
#define TWICE 0, 0, 1, 1, 2, 2, 3, 3
#else
#define TWICE 0, 0, 1, 1
#endif

/* Vectors of dx that are summed together: in the first of their ROWS, of the first channel. */
typedef struct data_chunk {
    int columns;
    const float *dy[MAX_COLUMNS];
    float *dx[MAX_COLUMNS];
} data_chunk;

/* Chunks and channels of dx. */
typedef struct data_job {
    const sn_strided_plan *plan;
    const float *dy;
    float *dx;
    float *packed;                      /* weights (in_channels, out_channels, TAPS) */
    int64_t vectors, parts_x, parts_y;  /* of a row of dx; chunks of a row, or of all rows of a plane of dy */
    int64_t first_channel, end_channel; /* of dx */
    float *copy;                        /* dy of a chunk, (out_channels, columns, LANES), each voxel twice */
} data_job;

/* Two weights again and again. */
SN_INLINE vf splat_pair(const float *pair)
{
    typedef int64_t vl __attribute__((vector_size(4 * LANES)));
    int64_t bits;
    memcpy(&bits, pair, sizeof bits);
    return (vf)(bits - (vl){0});
}

/* Channel i of dx. Of channel `later_i` of a chunk, what will be written is fetched. */
SN_INLINE void multiply(const int columns, const data_job *job, const data_chunk *chunk, int64_t i,
                        const data_chunk *later, int64_t later_i)
{
    const sn_strided_plan *plan = job->plan;
    const int64_t *in = plan->in, plane = in[1] * in[2], row[ROWS] = {0, in[2], plane, plane + in[2]};
    vf sum[ROWS * MAX_COLUMNS];
    SN_UNROLL
    for (int k = 0; k < ROWS * columns; k++)
        sum[k] = (vf){0};
    const float *dy = job->copy, *w = job->packed + i * plan->out_channels * TAPS;
    for (int64_t o = 0; o < plan->out_channels; o++, dy += columns * LANES, w += TAPS) {
        vf gradient[MAX_COLUMNS];
        SN_UNROLL
        for (int c = 0; c < columns; c++) {
            gradient[c] = vf_load(dy + c * LANES);
            SN_KEEP(gradient[c]);
        }
        SN_UNROLL
        for (int r = 0; r < ROWS; r++) {
            vf weights = splat_pair(w + 2 * r);
            SN_KEEP(weights);
            SN_UNROLL
            for (int c = 0; c < columns; c++)
                sum[r * columns + c] += weights * gradient[c];
        }
    }
    const int64_t channel = in[0] * plane, width = 2 * plan->out[2];
    const bool whole = width >= LANES;
    SN_UNROLL
    for (int c = 0; c < columns; c++) {
        SN_UNROLL
        for (int r = 0; r < ROWS; r++) {
            float *to = chunk->dx[c] + i * channel + row[r];
            __builtin_prefetch(later->dx[c] + later_i * channel + row[r], 1, 2);
            if (whole)
                vf_store(to, sum[r * columns + c]);
            else
                vf_store_first(to, sum[r * columns + c], width);
        }
    }
}

typedef void multiply_kernel(const data_job *job, const data_chunk *chunk, int64_t i, const data_chunk *later,
                             int64_t later_i);

/* One chunk, all channels of the job. Of the next one, dy is fetched meanwhile. */
SN_INLINE void run_chunk(const int columns, multiply_kernel *kernel, const data_job *job,
                         const data_chunk *chunk, const data_chunk *next)
{
    const int64_t *out = job->plan->out, voxels = out[0] * out[1] * out[2],
                  channels = job->plan->out_channels;
    float *to = job->copy;
    for (int64_t o = 0; o < channels; o++) {
        SN_UNROLL
        for (int c = 0; c < columns; c++, to += LANES) {
            vh once = *(const vh_unaligned *)(chunk->dy[c] + o * voxels);
            vf_store(to, SN_SHUFFLE(once, once, TWICE));
        }
    }
    const int64_t share = sn_conv_parts(channels, job->end_channel - job->first_channel);
    int64_t fetched = 0;
    for (int64_t i = job->first_channel; i < job->end_channel; i++) {
        for (int64_t end = fetched + share; fetched < end; fetched++) {
            SN_UNROLL
            for (int c = 0; c < columns; c++)
                __builtin_prefetch(next->dy[c] + fetched * voxels, 0, 2);
        }
        const bool here = i + AHEAD < job->end_channel;
        int64_t later_i = here ? i + AHEAD : job->first_channel + i + AHEAD - job->end_channel;
        kernel(job, chunk, i, here ? chunk : next, later_i);
    }
}

typedef void chunk_kernel(const data_job *job, const data_chunk *chunk, const data_chunk *next);

/* Multiplying is a function of its own: where it is inlined, a compiler keeps addresses in vector registers, and fetching
 * them waits behind the sums. */
#define CHUNK(columns)                                                                                       \
    __attribute__((noinline)) static void multiply_##columns(                                                \
        const data_job *job, const data_chunk *chunk, int64_t i, const data_chunk *later, int64_t later_i)   \
    {                                                                                                        \
        multiply(columns, job, chunk, i, later, later_i);                                                    \
    }                                                                                                        \
    static void chunk_##columns(const data_job *job, const data_chunk *chunk, const data_chunk *next)        \
    {                                                                                                        \
        run_chunk(columns, multiply_##columns, job, chunk, next);                                            \
    }
CHUNK(1)
CHUNK(2)
CHUNK(3)
#if LANES == 16
CHUNK(4)
CHUNK(5)
CHUNK(6)
#endif

static chunk_kernel *const kernels[MAX_COLUMNS + 1] = {
    NULL,    chunk_1, chunk_2, chunk_3,
#if LANES == 16
    chunk_4, chunk_5, chunk_6,
#endif
};

/* Chunk `index` of all images: a part of a row of dy, or some whole rows. The last vector of a row may overlap the one
 * before, which is in the same chunk. */
static data_chunk chunk_at(const data_job *job, int64_t index)
{
    const sn_strided_plan *plan = job->plan;
    const int64_t *in = plan->in, *out = plan->out;
    const int64_t part_x = index % job->parts_x, part_y = index / job->parts_x % job->parts_y;
    const int64_t plane = index / (job->parts_x * job->parts_y), n = plane / out[0], z = plane % out[0];
    const int64_t end_x = sn_conv_split(job->vectors, job->parts_x, part_x + 1);
    const int64_t end_y = sn_conv_split(out[1], job->parts_y, part_y + 1);
    const float *dy = job->dy + (n * plan->out_channels * out[0] + z) * out[1] * out[2];
    float *dx = job->dx + (n * plan->in_channels * in[0] + 2 * z) * in[1] * in[2];
    data_chunk chunk = {0};
    for (int64_t y = sn_conv_split(out[1], job->parts_y, part_y); y < end_y; y++)
        for (int64_t v = sn_conv_split(job->vectors, job->parts_x, part_x); v < end_x; v++) {
            int64_t x = sn_conv_smaller(v * LANES, sn_conv_larger(2 * out[2] - LANES, 0));
            chunk.dy[chunk.columns] = dy + y * out[2] + x / 2;
            chunk.dx[chunk.columns++] = dx + 2 * y * in[2] + x;
        }
    for (int c = chunk.columns; c < MAX_COLUMNS; c++) { /* one of fewer columns is fetched as one of all */
        chunk.dy[c] = chunk.dy[0];
        chunk.dx[c] = chunk.dx[0];
    }
    return chunk;
}

static void run_unit(const data_job *job, int64_t begin, int64_t end)
{
    data_chunk chunk = chunk_at(job, begin);
    for (int64_t k = begin; k < end; k++) {
        data_chunk next = chunk_at(job, k + 1 < end ? k + 1 : k);
        kernels[chunk.columns](job, &chunk, &next);
        chunk = next;
    }
}

/* The voxels of a channel of dx that no tap meets, where extents are odd. */
static void clear_rest(const sn_strided_plan *plan, float *dx)
{
    const int64_t *in = plan->in, *out = plan->out;
    for (int64_t z = 0; z < in[0]; z++)
        for (int64_t y = 0; y < in[1]; y++) {
            int64_t done = z < 2 * out[0] && y < 2 * out[1] ? 2 * out[2] : 0;
            memset(dx + (z * in[1] + y) * in[2] + done, 0, (size_t)(in[2] - done) * sizeof *dx);
        }
}

/* The weights of a channel of dx, (TAPS, out_channels), become (out_channels, TAPS). */
static void pack_weights(const data_job *job, const float *w, int64_t i)
{
    const int64_t channels = job->plan->out_channels, weight_tap = job->plan->in_channels * channels;
    for (int64_t o = 0; o < channels; o++)
        for (int t = 0; t < TAPS; t++)
            job->packed[(i * channels + o) * TAPS + t] = w[t * weight_tap + i * channels + o];
}

void SN_CPU_NAME(sn_strided_backward_data)(const sn_cpu_call *call, const sn_strided_plan *plan)
{
    const int64_t channels = plan->in_channels, *in = plan->in, *out = plan->out;
    data_job job = {.plan = plan, .dy = call->in[0], .dx = call->out[0], .packed = call->workspace};
    job.vectors = sn_conv_parts(2 * out[2], LANES);
    job.parts_x = sn_conv_parts(job.vectors, MAX_COLUMNS);
    job.parts_y = sn_conv_parts(out[1], job.vectors < MAX_COLUMNS ? MAX_COLUMNS / job.vectors : 1);
    const int64_t chunks = plan->images * out[0] * job.parts_y * job.parts_x;
    const int64_t wanted =
        4 * (int64_t)call->threads; /* units of work: chunks, or of few chunks channels, too */
    int64_t units = sn_conv_parts(chunks, UNIT_CHUNKS);
    units = sn_conv_smaller(sn_conv_larger(units, wanted), chunks);
    const int64_t groups = sn_conv_smaller(sn_conv_parts(wanted, units), channels);
    const bool odd = in[0] % 2 + in[1] % 2 + in[2] % 2 > 0;
#pragma omp parallel num_threads(call->threads)
    {
        data_job own = job;
        own.copy = sn_cpu_thread_scratch(call);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < channels; i++)
            pack_weights(&job, call->in[1], i);
        sn_cpu_share_out(call, units * groups);
        for (int64_t u; sn_cpu_take(call, &u);) {
            own.first_channel = sn_conv_split(channels, groups, u % groups);
            own.end_channel = sn_conv_split(channels, groups, u % groups + 1);
            run_unit(&own, sn_conv_split(chunks, units, u / groups),
                     sn_conv_split(chunks, units, u / groups + 1));
        }
#pragma omp for schedule(static)
        for (int64_t c = 0; c < (odd ? plan->images * channels : 0); c++)
            clear_rest(plan, job.dx + c * in[0] * in[1] * in[2]);
    }
}

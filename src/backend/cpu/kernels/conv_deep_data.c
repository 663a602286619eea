/*
 * Convolution backward data of few voxels and many channels: dx[i, out] += sum over o of w[tap, i, o] * dy[o, in], for
 * the pairs of voxels of each tap. Lanes are channels of dy, so that weights are used where they lie and in order. A few
 * channels of dx (rows) by a few pairs are summed in registers; the sums over lanes come last.
 */
#include "backend/cpu/kernels/conv_deep.h"

#include <string.h>

#if LANES == 16
enum { MAX_ROWS = SN_DEEP_MAX_ROWS, MAX_PAIRS = 4 };
#else
enum { MAX_ROWS = 4, MAX_PAIRS = 2 };
#endif

/* One tap. */
typedef struct tap_job {
    const sn_deep_plan *plan;
    const float *w;  /* (rows, weight_out) */
    int64_t next;    /* floats from there to those that are needed next */
    const float *dy; /* (voxels, plan->row) */
    float *sums;     /* (rows, voxels) of vectors */
} tap_job;

/* sum += weight * dy of channels c to c + LANES - 1, for each pair */
SN_INLINE void add_products(const int rows, const int count, vf *sum, const vf *weight,
                            const float *const *dy, int64_t c)
{
    SN_UNROLL
    for (int j = 0; j < count; j++) {
        vf gradient = vf_load(dy[j] + c);
        SN_KEEP(gradient);
        SN_UNROLL
        for (int r = 0; r < rows; r++)
            sum[j * rows + r] += weight[r] * gradient;
    }
}

/* sums[out] += w * dy[in], for each pair */
SN_INLINE void add_pairs(const int rows, const int count, const tap_job *job, const sn_deep_pair *pairs)
{
    vf sum[MAX_ROWS * MAX_PAIRS];
    const float *dy[MAX_PAIRS];
    const int64_t w_row = job->plan->weight_out, channels = job->plan->in_channels;
    const int64_t voxels = job->plan->out_voxels;
    int64_t c = 0;
    SN_UNROLL
    for (int j = 0; j < count; j++) {
        dy[j] = job->dy + pairs[j].in * job->plan->row;
        SN_UNROLL
        for (int r = 0; r < rows; r++)
            sum[j * rows + r] = vf_load(job->sums + (r * voxels + pairs[j].out) * LANES);
    }
    for (; c + LANES <= channels; c += LANES) {
        vf weight[MAX_ROWS];
        SN_UNROLL
        for (int r = 0; r < rows; r++) {
            const float *w = job->w + r * w_row + c;
            weight[r] = vf_load(w);
            SN_KEEP(weight[r]);
            __builtin_prefetch(w + job->next, 0, 2);
        }
        add_products(rows, count, sum, weight, dy, c);
    }
    if (c < channels) {
        vf weight[MAX_ROWS];
        SN_UNROLL
        for (int r = 0; r < rows; r++)
            weight[r] = vf_load_first(job->w + r * w_row + c, channels - c);
        add_products(rows, count, sum, weight, dy, c);
    }
    SN_UNROLL
    for (int j = 0; j < count; j++) {
        SN_UNROLL
        for (int r = 0; r < rows; r++)
            vf_store(job->sums + (r * voxels + pairs[j].out) * LANES, sum[j * rows + r]);
    }
}

typedef void pairs_kernel(const tap_job *job, const sn_deep_pair *pairs);

#define PAIRS(rows, count)                                                                                   \
    static void pairs_##rows##_##count(const tap_job *job, const sn_deep_pair *pairs)                        \
    {                                                                                                        \
        add_pairs(rows, count, job, pairs);                                                                  \
    }
#if LANES == 16
#define KERNELS(rows) PAIRS(rows, 1) PAIRS(rows, 2) PAIRS(rows, 3) PAIRS(rows, 4)
#define LIST(rows)                                                                                           \
    {                                                                                                        \
        NULL, pairs_##rows##_1, pairs_##rows##_2, pairs_##rows##_3, pairs_##rows##_4                         \
    }
#else
#define KERNELS(rows) PAIRS(rows, 1) PAIRS(rows, 2)
#define LIST(rows)                                                                                           \
    {                                                                                                        \
        NULL, pairs_##rows##_1, pairs_##rows##_2                                                             \
    }
#endif
KERNELS(1)
KERNELS(2)
KERNELS(3)
KERNELS(4)
#if LANES == 16
KERNELS(5)
KERNELS(6)
#endif

static pairs_kernel *const kernels[MAX_ROWS + 1][MAX_PAIRS + 1] = {
    {NULL},  LIST(1), LIST(2), LIST(3), LIST(4),
#if LANES == 16
    LIST(5), LIST(6),
#endif
};

/* to[i] = the total of sums[i], for `count` vectors. */
static void write_totals(float *to, const float *sums, int64_t count)
{
    for (int64_t i = 0; i < count; i += LANES) {
        vf v[LANES];
        SN_UNROLL
        for (int j = 0; j < LANES; j++)
            v[j] = vf_load(sums + (i + j < count ? i + j : i) * LANES);
        vf_store_first(to + i, vf_totals(v), count - i);
    }
}

/* A unit of work: `rows` channels of dx from `first` on. */
static void run_unit(const sn_cpu_call *call, const sn_deep_plan *plan, int64_t image, int64_t first,
                     int64_t rows)
{
    const sn_deep_slab *all = &plan->slabs[0];
    const float *w = (const float *)call->in[1] + first * plan->weight_out;
    float *dx = (float *)call->out[0] + (image * plan->out_channels + first) * plan->out_voxels;
    float *sums = sn_cpu_thread_scratch(call);
    tap_job job = {.plan = plan, .sums = sums};
    job.dy = (const float *)call->workspace + image * plan->in_voxels * plan->row;
    memset(sums, 0, (size_t)(rows * plan->out_voxels * LANES) * sizeof *sums);
    for (const sn_deep_tap *tap = all->taps; tap < all->taps + all->tap_count; tap++) {
        const int64_t parts = sn_conv_parts(tap->count, MAX_PAIRS);
        job.w = w + tap->weight * plan->weight_tap;
        job.next = sn_deep_next(plan, tap, rows * plan->weight_out);
        for (int64_t p = 0; p < parts; p++) {
            int64_t begin = sn_conv_split(tap->count, parts, p),
                    end = sn_conv_split(tap->count, parts, p + 1);
            kernels[rows][end - begin](&job, tap->pairs + begin);
        }
    }
    write_totals(dx, sums, rows * plan->out_voxels);
}

void SN_CPU_NAME(sn_deep_backward_data)(const sn_cpu_call *call, const sn_deep_plan *plan)
{
    const int64_t blocks = sn_conv_parts(plan->out_channels, MAX_ROWS);
#pragma omp parallel num_threads(call->threads)
    {
        sn_deep_pack(call->workspace, plan, call->in[0], plan->in_channels, plan->in_voxels);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t n = 0; n < plan->images; n++)
            for (int64_t b = 0; b < blocks; b++) {
                int64_t first = sn_conv_split(plan->out_channels, blocks, b);
                run_unit(call, plan, n, first, sn_conv_split(plan->out_channels, blocks, b + 1) - first);
            }
    }
}

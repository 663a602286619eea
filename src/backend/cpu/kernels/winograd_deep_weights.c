/* Convolution backward weights by Winograd's algorithm where lanes are channels; see winograd_plan.h. */
#include "backend/cpu/kernels/product.h"
#include "backend/cpu/kernels/winograd_deep.h"
#include "backend/cpu/kernels/winograd_run.h"

_Static_assert(SN_PRODUCT_VECTORS *LANES <= SN_WINOGRAD_BLOCK,
               "the plan's scratch memory is for blocks of so many lanes");

/* A block of output channels by some input channels. */
typedef struct weights_unit {
    sn_deep_block block;
    int64_t first, count; /* input channels */
    winograd_lanes sums;  /* input channels in place of tiles */
    float *weights;       /* (channels, K^3, lanes) */
} weights_unit;

static weights_unit unit_of(const sn_winograd_plan *plan, int64_t blocks, int64_t index, int64_t first,
                            float *scratch)
{
    weights_unit unit = {.block = sn_deep_block_of(plan->out_channels, blocks, index), .first = first};
    int64_t rest = plan->in_channels - first;
    unit.count = rest < SN_WINOGRAD_CHUNK ? rest : SN_WINOGRAD_CHUNK;
    unit.sums = (winograd_lanes){scratch, sn_winograd_frequency(SN_WINOGRAD_CHUNK, unit.block.lanes),
                                 unit.block.lanes};
    unit.weights = scratch + SN_WINOGRAD_FREQUENCIES * unit.sums.frequency;
    return unit;
}

/* From the sums of all frequencies to dw. */
static void write_weights(const weights_unit *unit, const sn_winograd_plan *plan, float *dw)
{
    const int64_t taps = plan->kernel * plan->kernel * plan->kernel, lanes = unit->block.lanes;
    for (int64_t i = 0; i < unit->count; i++)
        for (int64_t lane = 0; lane < lanes; lane += LANES) {
            vf w[SN_WINOGRAD_MAX_KERNEL * SN_WINOGRAD_MAX_KERNEL * SN_WINOGRAD_MAX_KERNEL];
            const float *sums = unit->sums.values + i * lanes + lane;
            if (plan->kernel == 3)
                winograd_kernel_back(3, w, sums, unit->sums.frequency);
            else
                winograd_kernel_back(5, w, sums, unit->sums.frequency);
            for (int64_t t = 0; t < taps; t++)
                vf_store(unit->weights + (i * taps + t) * lanes + lane, w[t]);
        }
    for (int64_t t = 0; t < taps; t++)
        for (int64_t i = 0; i < unit->count; i++)
            for (int64_t lane = 0; lane < unit->block.count; lane++)
                dw[t * plan->weight_tap + (unit->first + i) * plan->weight_in + unit->block.first + lane] +=
                    unit->weights[(i * taps + t) * lanes + lane];
}

static void run_unit(const sn_winograd_plan *plan, const winograd_lanes *x, const winograd_lanes *dy,
                     const weights_unit *unit, float *dw)
{
    for (int f = 0; f < SN_WINOGRAD_FREQUENCIES; f++) {
        const sn_product product = {.rows = unit->count,
                                    .depth = plan->images * plan->tiles,
                                    .vectors = unit->block.vectors,
                                    .a = x->values + f * x->frequency + unit->first,
                                    .a_row = 1,
                                    .a_depth = x->lanes,
                                    .b = dy->values + f * dy->frequency + unit->block.first,
                                    .b_depth = dy->lanes,
                                    .c = unit->sums.values + f * unit->sums.frequency,
                                    .c_row = unit->sums.lanes};
        SN_PRODUCT_RUN(&product);
    }
    write_weights(unit, plan, dw);
}

void SN_CPU_NAME(sn_winograd_deep_backward_weights)(const sn_cpu_call *call, const sn_winograd_plan *plan)
{
    const winograd_lanes x = winograd_lanes_of(call->workspace, plan, plan->in_channels);
    const winograd_lanes dy =
        winograd_lanes_of(x.values + SN_WINOGRAD_FREQUENCIES * x.frequency, plan, plan->out_channels);
    const int64_t vectors = sn_conv_parts(plan->out_channels, LANES);
    int64_t blocks = sn_conv_parts(vectors, SN_PRODUCT_VECTORS);
    if (blocks * sn_conv_parts(plan->in_channels, SN_WINOGRAD_CHUNK) < call->threads)
        blocks = vectors;
#pragma omp parallel num_threads(call->threads)
    {
        float *scratch = sn_cpu_thread_scratch(call);
#pragma omp for collapse(2) schedule(dynamic) nowait
        for (int64_t image = 0; image < plan->images; image++)
            for (int64_t v = 0; v < x.lanes / LANES; v++)
                winograd_deep_channels(&x, plan, call->in[0], plan->in_channels, image, v, false, scratch);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t image = 0; image < plan->images; image++)
            for (int64_t v = 0; v < dy.lanes / LANES; v++)
                winograd_deep_channels(&dy, plan, call->in[1], plan->out_channels, image, v, true, scratch);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t b = 0; b < blocks; b++)
            for (int64_t i = 0; i < plan->in_channels; i += SN_WINOGRAD_CHUNK) {
                weights_unit unit = unit_of(plan, blocks, b, i, scratch);
                run_unit(plan, &x, &dy, &unit, call->out[0]);
            }
    }
}

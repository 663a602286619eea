#include "backend/cpu/conv_deep.h"

#include <math.h>

#include "backend/cpu/conv_plan.h"
#include "base/memory.h"

enum {
    CHUNK = 256,                  /* input channels of a tap whose weights are used together, at most */
    CHUNK_DW = 24,                /* input channels of a unit of backward weights */
    SUMS = 64 * 1024,             /* floats of what a unit sums */
    SLAB_VOXELS = 1024,           /* outputs of a unit of work, about */
    MOST_VOXELS = 2560,           /* outputs; */
    MOST_VOXELS_OF_ONE_TAP = 320, /* where the kernel is one voxel, */
    MOST_VOXELS_OF_STRIDE = 5120, /* and where each input voxel meets one tap */
    VOXELS_OF_ORDER = 32,
};

/* The convolution along one axis, from output to input. */
typedef struct axis_map {
    int kernel, dilation, stride, pad;
    bool backward; /* data */
    int64_t in, out;
} axis_map;

static int64_t taps_of(const axis_map map[3])
{
    return (int64_t)map[0].kernel * map[0].kernel * map[0].kernel;
}

/* Whether tap `a` reads a voxel of the input for output `at`, and which. Forward: s*at + a*d - p. Backward:
 * (at + p - a*d)/s where s divides it. */
static bool meets(const axis_map *map, int a, int64_t at, int64_t *from)
{
    int64_t q = (int64_t)a * map->dilation - map->pad;
    *from = map->backward ? at - q : map->stride * at + q;
    if (map->backward && *from % map->stride != 0)
        return false;
    *from /= map->backward ? map->stride : 1;
    return *from >= 0 && *from < map->in;
}

/* Taps that meet the input, summed over the output voxels. */
static int64_t count_met(const axis_map map[3])
{
    int64_t all = 1, from;
    for (int i = 0; i < 3; i++) {
        int64_t met = 0;
        for (int64_t at = 0; at < map[i].out; at++)
            for (int a = 0; a < map[i].kernel; a++)
                met += meets(&map[i], a, at, &from);
        all *= met;
    }
    return all;
}

/* The same of all axes: whether there is a pair of output voxel `out`. */
static bool make_pair(sn_deep_pair *pair, const axis_map map[3], int weight, int64_t out)
{
    const int K = map[0].kernel, tap[3] = {weight / (K * K), weight / K % K, weight % K};
    const int64_t at[3] = {out / (map[1].out * map[2].out), out / map[2].out % map[1].out, out % map[2].out};
    int64_t in = 0, from;
    for (int i = 0; i < 3; i++) {
        if (!meets(&map[i], tap[i], at[i], &from))
            return false;
        in = in * map[i].in + from;
    }
    *pair = (sn_deep_pair){(int32_t)in, (int32_t)out};
    return true;
}

/* Taps and pairs of a slab, behind those of the slabs before; returns where the next one's begin. */
static sn_deep_pair *list_taps(sn_deep_slab *slab, const axis_map map[3], sn_deep_pair *pairs)
{
    for (int weight = 0; weight < taps_of(map); weight++) {
        sn_deep_tap tap = {.weight = weight, .pairs = pairs};
        for (int64_t out = slab->first; out < slab->first + slab->count; out++)
            tap.count += make_pair(&pairs[tap.count], map, weight, out);
        pairs += tap.count;
        if (tap.count > 0)
            slab->taps[slab->tap_count++] = tap;
    }
    return pairs;
}

static int64_t count_taps_met(const axis_map map[3])
{
    int64_t all = 1, from;
    for (int i = 0; i < 3; i++) {
        int64_t met = 0;
        for (int a = 0; a < map[i].kernel; a++) {
            bool meets_any = false;
            for (int64_t at = 0; at < map[i].out; at++)
                meets_any = meets_any || meets(&map[i], a, at, &from);
            met += meets_any;
        }
        all *= met;
    }
    return all;
}

/* Cycles on Zen 4, for each channel of dx, beside multiplying: to turn the weights; or to load and store sums at each
 * tap, and to sum over their lanes. */
static double turning_cycles(const axis_map map[3], int64_t dy_channels)
{
    return 0.35 * (double)(dy_channels * count_taps_met(map));
}

static double summing_cycles(const axis_map map[3])
{
    return 3.3 * (double)count_met(map) + 5 * (double)(map[0].out * map[1].out * map[2].out);
}

/* dy, of the backward passes. */
static const sn_tensor_desc *gradient_of(const sn_op *op)
{
    return &op->inputs[op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS].desc;
}

/* Floats of a voxel of dy: an odd number of vectors, since voxels that lie a multiple of 4096 bytes apart would share
 * lines of a cache. */
static int64_t row_of(const sn_tensor_desc *dy)
{
    return (sn_conv_parts(dy->shape[1], SN_CONV_MAX_LANES) | 1) * SN_CONV_MAX_LANES;
}

/* All but the slabs. */
static sn_deep_plan plan_of(axis_map map[3], const sn_op *op)
{
    const sn_conv3d_params *p = &op->params.conv3d;
    const bool is_dw = op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS,
               backward = op->kind == SN_OP_CONV3D_BACKWARD_DATA;
    const sn_tensor_desc *in = &op->inputs[0].desc, *out = is_dw ? &op->inputs[1].desc : &op->outputs[0].desc;
    const int64_t *w = sn_op_weights(op)->desc.shape;
    for (int i = 0; i < 3; i++)
        map[i] = (axis_map){.kernel = p->kernel,
                            .dilation = p->dilation,
                            .stride = p->stride,
                            .pad = p->pad,
                            .backward = backward,
                            .in = in->shape[2 + i],
                            .out = out->shape[2 + i]};
    const bool in_order = backward && summing_cycles(map) < turning_cycles(map, in->shape[1]);
    const int64_t slabs = is_dw || in_order ? 1 : sn_conv_parts(sn_tensor_voxels(out), SLAB_VOXELS);
    const int64_t chunk = is_dw ? CHUNK_DW : backward ? SN_DEEP_MAX_TURNED : CHUNK;
    const int64_t lanes =
        sn_conv_larger(SUMS / sn_conv_parts(sn_tensor_voxels(out), slabs), SN_DEEP_MAX_BLOCK);
    return (sn_deep_plan){.images = in->shape[0],
                          .in_channels = in->shape[1],
                          .out_channels = out->shape[1],
                          .in_voxels = sn_tensor_voxels(in),
                          .out_voxels = sn_tensor_voxels(out),
                          .weight_out = backward ? w[0] : 1,
                          .weight_in = backward ? 1 : w[0],
                          .weight_tap = w[0] * w[1],
                          .backward = backward,
                          .in_order = in_order,
                          .chunks = sn_conv_parts(in->shape[1], chunk),
                          .row = row_of(gradient_of(op)),
                          .lanes = is_dw ? 0 : lanes,
                          .slab_count = slabs};
}

/* The work here: taps that meet the input, by lanes, of which the last may lack channels. The work where
 * lanes are voxels: all taps, and putting a weight in order costs as much as some 32 voxels. Measured for 8
 * to 256 channels, 2^3 to 12 x 16 x 12 voxels, kernels of 3 and 5, dilations 1 and 2: this takes the faster
 * way, or one that is 5% slower (30% with 8 channels). A kernel of one tap meets no zeros, and its order is
 * that of memory. From 16^3 on, channels that lie multiples of 4096 bytes apart share lines of a small
 * cache. */
bool sn_deep_suits(const sn_op *op)
{
    axis_map map[3];
    sn_deep_plan plan = plan_of(map, op);
    int64_t most = MOST_VOXELS;
    if (map[0].kernel == 1)
        most = MOST_VOXELS_OF_ONE_TAP;
    else if (!plan.backward && map[0].stride == map[0].kernel)
        most = MOST_VOXELS_OF_STRIDE;
    if (plan.out_voxels > most)
        return false;
    int64_t taps = taps_of(map), channels = plan.in_order ? plan.in_channels : plan.out_channels;
    int64_t step = plan.backward ? map[0].stride : 1, phases = step * step * step;
    return count_met(map) * phases * sn_round_up(channels, SN_CONV_MAX_LANES) <=
           taps * channels * (plan.out_voxels + VOXELS_OF_ORDER);
}

/* On Zen 4 with vectors of 16 floats: multiply-adds of a vector, and fetching a weight, or adding to its gradient. */
double sn_deep_cycles(const sn_op *op)
{
    const double vector_cycles = 1.07, weight_cycles = op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS ? 0.6 : 0.3;
    axis_map map[3];
    const sn_deep_plan plan = plan_of(map, op);
    const int64_t lanes = plan.in_order ? plan.in_channels : plan.out_channels,
                  rows = plan.in_order ? plan.out_channels : plan.in_channels;
    double vectors = (double)(rows * sn_conv_parts(lanes, SN_CONV_MAX_LANES));
    double met = (double)count_met(map) * (double)plan.images;
    double weights = (double)(taps_of(map) * plan.in_channels * plan.out_channels);
    double cycles = vector_cycles * met * vectors + weight_cycles * weights;
    if (plan.backward)
        cycles += (double)(plan.images * plan.out_channels) *
                  fmin(turning_cycles(map, plan.in_channels), summing_cycles(map));
    return cycles;
}

sn_status sn_deep_plan_make(sn_deep_plan **plan, const sn_op *op, sn_error *error)
{
    sn_status status;
    sn_deep_plan *made = NULL;
    axis_map map[3];
    *plan = NULL;
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    *made = plan_of(map, op);
    size_t slabs = (size_t)made->slab_count, taps = (size_t)taps_of(map);
    SN_TRY(sn_alloc(&made->slabs, slabs, sizeof *made->slabs, error));
    SN_TRY(sn_alloc(&made->taps, slabs * taps, sizeof *made->taps, error));
    SN_TRY(sn_alloc(&made->pairs, (size_t)count_met(map) + 1, sizeof *made->pairs, error)); /* one is tried */
    sn_deep_pair *pairs = made->pairs;
    for (int64_t s = 0; s < made->slab_count; s++) {
        int64_t first = sn_conv_split(made->out_voxels, made->slab_count, s);
        int64_t end = sn_conv_split(made->out_voxels, made->slab_count, s + 1);
        made->slabs[s] = (sn_deep_slab){first, end - first, 0, made->taps + (size_t)s * taps};
        pairs = list_taps(&made->slabs[s], map, pairs);
    }
    *plan = made;
    made = NULL;
done:
    sn_deep_plan_free(made);
    return status;
}

void sn_deep_plan_free(sn_deep_plan *plan)
{
    if (plan == NULL)
        return;
    sn_free(plan->pairs);
    sn_free(plan->taps);
    sn_free(plan->slabs);
    sn_free(plan);
}

size_t sn_deep_workspace(const sn_op *op)
{
    axis_map map[3];
    const sn_deep_plan plan = plan_of(map, op);
    const int64_t dy_voxels = plan.in_order ? plan.in_voxels : plan.out_voxels;
    if (!plan.in_order && op->kind != SN_OP_CONV3D_BACKWARD_WEIGHTS)
        return 0;
    return (size_t)(plan.images * dy_voxels * plan.row) * sizeof(float);
}

/* Of a block: the weights of a tap and a chunk, and what the outputs of a slab have summed; of rows their sums. Backward
 * weights needs none: it sums in registers and adds to dw. */
size_t sn_deep_scratch(const sn_deep_plan *plan)
{
    if (plan->lanes == 0)
        return 0;
    if (plan->in_order)
        return (size_t)(plan->out_voxels * SN_DEEP_MAX_ROWS * SN_CONV_MAX_LANES) * sizeof(float);
    int64_t sums = sn_conv_parts(plan->out_voxels, plan->slab_count) * (plan->lanes + SN_DEEP_MAX_BLOCK);
    return (size_t)(SN_DEEP_MAX_TURNED * SN_DEEP_MAX_BLOCK + sums) * sizeof(float);
}

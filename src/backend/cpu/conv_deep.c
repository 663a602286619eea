#include "backend/cpu/conv_deep.h"

#include "backend/cpu/conv_plan.h"
#include "base/memory.h"

enum {
    CHUNK_FLOATS = 48 * 1024,     /* of packed weights */
    CHUNK_FLOATS_DW = 32 * 1024,  /* of sums of backward weights */
    FEW_TAPS = 8,                 /* one in as many */
    WHOLE_VECTORS = 16,           /* a chunk of more channels is a multiple of the longest vector */
    SLAB_VOXELS = 1024,           /* outputs of a unit of work, about */
    MOST_VOXELS = 2560,           /* outputs; */
    MOST_VOXELS_OF_ONE_TAP = 64,  /* where the kernel is one voxel, */
    MOST_VOXELS_OF_STRIDE = 5120, /* and where each input voxel meets one tap */
    VOXELS_OF_ORDER = 32,
};

/* The convolution along one axis, from output to input. */
typedef struct axis_map {
    int kernel, dilation, stride, pad;
    bool backward; /* data */
    int64_t in, out;
} axis_map;

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

/* The outputs from the first to the last that tap `a` meets; false where there is none. */
static bool range_of(const axis_map *map, int a, int64_t *low, int64_t *high)
{
    int64_t from;
    *low = *high = 0;
    for (int64_t at = 0; at < map->out; at++)
        if (meets(map, a, at, &from)) {
            *low = *high == 0 ? at : *low;
            *high = at + 1;
        }
    return *high > 0;
}

/* Of one tap; false where it meets nothing. */
static bool make_tap(sn_deep_tap *tap, const axis_map map[3], int weight)
{
    const int K = map[0].kernel, at[3] = {weight / (K * K), weight / K % K, weight % K};
    bool met = true;
    *tap = (sn_deep_tap){.weight = weight};
    for (int i = 0; i < 3; i++) {
        met &= range_of(&map[i], at[i], &tap->low[i], &tap->high[i]);
        tap->shift[i] = (int64_t)at[i] * map[i].dilation - map[i].pad;
    }
    return met;
}

/* All taps, or those that meet the input where they are so few that it pays to pick them. */
static void list_taps(sn_deep_plan *plan, const axis_map map[3])
{
    const int taps = map[0].kernel * map[0].kernel * map[0].kernel;
    int met = 0;
    sn_deep_tap tap;
    for (int weight = 0; weight < taps; weight++)
        met += make_tap(&tap, map, weight);
    plan->all_taps = met == 0 || met * FEW_TAPS > taps;
    for (int weight = 0; weight < taps; weight++)
        if (make_tap(&tap, map, weight) || plan->all_taps)
            plan->taps[plan->tap_count++] = tap;
}

/* What a tap adds to the run that starts at output voxel (z, y, x); no voxels where it adds nothing. */
static sn_deep_visit visit_of(const sn_deep_plan *plan, const axis_map map[3], int tap, const int64_t at[3],
                              int count)
{
    const int K = map[0].kernel, weight = plan->taps[tap].weight;
    int64_t z, y, x;
    sn_deep_visit visit = {.tap = tap};
    if (!meets(&map[0], weight / (K * K), at[0], &z) || !meets(&map[1], weight / K % K, at[1], &y))
        return visit;
    for (int j = 0; j < count; j++)
        if (meets(&map[2], weight % K, at[2] + (int64_t)j * plan->out_step, &x)) {
            visit.voxels |= 1u << j;
            visit.input = (z * plan->in[1] + y) * plan->in[2] + x - (int64_t)j * plan->in_step;
        }
    return visit;
}

static void add_run(sn_deep_plan *plan, const axis_map map[3], const int64_t at[3], int count)
{
    sn_deep_run *run = &plan->runs[plan->run_count];
    *run = (sn_deep_run){.count = count, .visit = plan->visits};
    if (plan->run_count > 0) {
        run->first = run[-1].first + run[-1].count;
        run->visit = run[-1].visit + run[-1].visits;
    }
    run->output = (at[0] * plan->out[1] + at[1]) * plan->out[2] + at[2];
    for (int tap = 0; tap < plan->tap_count; tap++) {
        sn_deep_visit visit = visit_of(plan, map, tap, at, count);
        if (visit.voxels != 0)
            run->visit[run->visits++] = visit;
    }
    plan->run_count++;
}

/* Cut the rows of the output into runs; of a stride, each phase along W has its own. */
static void list_runs(sn_deep_plan *plan, const axis_map map[3])
{
    const int step = plan->out_step;
    for (int64_t z = 0; z < plan->out[0]; z++)
        for (int64_t y = 0; y < plan->out[1]; y++)
            for (int phase = 0; phase < step && phase < plan->out[2]; phase++) {
                int64_t voxels = sn_conv_parts(plan->out[2] - phase, step);
                int64_t runs = sn_conv_parts(voxels, SN_DEEP_MAX_VOXELS);
                for (int64_t r = 0; r < runs; r++) {
                    int64_t first = sn_conv_split(voxels, runs, r), next = sn_conv_split(voxels, runs, r + 1);
                    const int64_t at[3] = {z, y, phase + first * step};
                    add_run(plan, map, at, (int)(next - first));
                }
            }
}

/* The most runs that an output is cut into. */
static size_t most_runs(const sn_deep_plan *plan)
{
    int64_t of_row = sn_conv_parts(plan->out[2], SN_DEEP_MAX_VOXELS) + plan->out_step;
    return (size_t)(plan->out[0] * plan->out[1] * of_row);
}

static int64_t chunk_of(const sn_deep_plan *plan, int64_t floats)
{
    int64_t chunk = floats / ((int64_t)plan->tap_count * SN_DEEP_MAX_BLOCK);
    chunk -= chunk > WHOLE_VECTORS ? chunk % WHOLE_VECTORS : 0;
    chunk = chunk < 1 ? 1 : chunk;
    return chunk < plan->in_channels ? chunk : plan->in_channels;
}

static void set_extents(sn_deep_plan *plan, axis_map map[3], const sn_op *op)
{
    *plan = (sn_deep_plan){0};
    const sn_conv3d_params *p = &op->params.conv3d;
    const bool is_dw = op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS,
               backward = op->kind != SN_OP_CONV3D && !is_dw;
    const sn_tensor_desc *in = &op->inputs[0].desc, *out = is_dw ? &op->inputs[1].desc : &op->outputs[0].desc;
    const sn_tensor_desc *w = is_dw ? &op->outputs[0].desc : &op->inputs[1].desc;
    plan->images = in->shape[0];
    plan->in_channels = in->shape[1];
    plan->out_channels = out->shape[1];
    plan->in_voxels = sn_tensor_voxels(in);
    plan->out_voxels = sn_tensor_voxels(out);
    plan->weight_out = backward ? w->shape[0] : 1;
    plan->weight_in = backward ? 1 : w->shape[0];
    plan->weight_tap = w->shape[0] * w->shape[1];
    plan->in_step = backward ? 1 : p->stride;
    plan->out_step = backward ? p->stride : 1;
    for (int i = 0; i < 3; i++) {
        plan->in[i] = in->shape[2 + i];
        plan->out[i] = out->shape[2 + i];
        map[i] = (axis_map){.kernel = p->kernel, .dilation = p->dilation, .stride = p->stride, .pad = p->pad};
        map[i].backward = backward;
        map[i].in = plan->in[i];
        map[i].out = plan->out[i];
    }
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

/* The work here: taps that meet the input, by lanes, of which the last may lack channels. The work where
 * lanes are voxels: all taps, and putting a weight in order costs as much as some 32 voxels. Measured for 8
 * to 256 channels, 2^3 to 12 x 16 x 12 voxels, kernels of 3 and 5, dilations 1 and 2: this takes the faster
 * way, or one that is 5% slower (30% with 8 channels). A kernel of one tap meets no zeros, and its order is
 * that of memory. From 16^3 on, channels that lie multiples of 4096 bytes apart share lines of a small
 * cache. */
bool sn_deep_suits(const sn_op *op)
{
    axis_map map[3];
    sn_deep_plan plan;
    set_extents(&plan, map, op);
    int64_t most = MOST_VOXELS;
    if (map[0].kernel == 1)
        most = MOST_VOXELS_OF_ONE_TAP;
    else if (plan.in_step == map[0].kernel)
        most = MOST_VOXELS_OF_STRIDE;
    if (plan.out_voxels > most)
        return false;
    int64_t taps = (int64_t)map[0].kernel * map[0].kernel * map[0].kernel;
    int64_t phases = (int64_t)plan.out_step * plan.out_step * plan.out_step;
    return count_met(map) * phases * sn_round_up(plan.out_channels, SN_CONV_MAX_LANES) <=
           taps * plan.out_channels * (plan.out_voxels + VOXELS_OF_ORDER);
}

/* On Zen 4 with vectors of 16 floats: multiply-adds of a vector, and putting the weights in order. */
double sn_deep_cycles(const sn_op *op)
{
    const double vector_cycles = 1.0, weight_cycles = 0.7;
    axis_map map[3];
    sn_deep_plan plan;
    set_extents(&plan, map, op);
    double taps = (double)map[0].kernel * map[0].kernel * map[0].kernel;
    double vectors = (double)sn_conv_parts(plan.out_channels, SN_CONV_MAX_LANES);
    double met = (double)count_met(map) * (double)plan.images;
    return (double)plan.in_channels *
           (vector_cycles * met * vectors + weight_cycles * taps * (double)plan.out_channels);
}

sn_status sn_deep_plan_make(sn_deep_plan **plan, const sn_op *op, sn_error *error)
{
    sn_status status;
    sn_deep_plan *made = NULL;
    axis_map map[3];
    const int K = op->params.conv3d.kernel;
    const bool is_dw = op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS;
    *plan = NULL;
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    set_extents(made, map, op);
    SN_TRY(sn_alloc(&made->taps, (size_t)K * (size_t)K * (size_t)K, sizeof *made->taps, error));
    list_taps(made, map);
    made->chunk = chunk_of(made, is_dw ? CHUNK_FLOATS_DW : CHUNK_FLOATS);
    if (!is_dw) {
        size_t runs = most_runs(made);
        SN_TRY(sn_alloc(&made->runs, runs, sizeof *made->runs, error));
        SN_TRY(sn_alloc(&made->visits, runs * (size_t)made->tap_count, sizeof *made->visits, error));
        list_runs(made, map);
        made->slabs = sn_conv_parts(made->out_voxels, SLAB_VOXELS);
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
    sn_free(plan->taps);
    sn_free(plan->runs);
    sn_free(plan->visits);
    sn_free(plan);
}

size_t sn_deep_workspace(const sn_op *op)
{
    if (op->kind != SN_OP_CONV3D_BACKWARD_WEIGHTS)
        return 0;
    const sn_tensor_desc *dy = &op->inputs[1].desc;
    int64_t lanes = sn_round_up(dy->shape[1], SN_CONV_MAX_LANES);
    return (size_t)(dy->shape[0] * sn_tensor_voxels(dy) * lanes) * sizeof(float);
}

/* Of a block: packed weights and what the outputs of a slab have summed; or the sums of a chunk of dw. */
size_t sn_deep_scratch(const sn_deep_plan *plan)
{
    int64_t chunk = plan->chunk * plan->tap_count, sums = 0;
    if (plan->run_count > 0)
        sums = sn_conv_parts(plan->run_count, plan->slabs) * SN_DEEP_MAX_VOXELS;
    return (size_t)((chunk + sums) * SN_DEEP_MAX_BLOCK) * sizeof(float);
}

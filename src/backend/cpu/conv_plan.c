#include "backend/cpu/conv_plan.h"

#include "base/memory.h"

enum {
    MAX_POSITIONS = 1536,       /* outputs of a tile, halo included */
    MAX_ROW = 512,              /* outputs of a tile along W */
    DENSE_TILE = 1024,          /* the same where tiles need no halo, */
    FEWEST_OF_DENSE = 128,      /* and at least, of small grids */
    INPUT_FLOATS = 64 * 1024,   /* of a copied tile: half of a small L2 cache */
    MAX_IN_BLOCK_DW = 15,       /* input channels of a unit of backward weights, */
    MAX_IN_BLOCK_DW_DENSE = 60, /* and where there is one tap */
    WANTED_UNITS = 64,          /* so that many threads have work, */
    WANTED_PARTS = 4,           /* and units of small grids without halo */
    VOXELS_OF_PARTIAL = 2048,   /* at least, in a partial sum */
};

/* The operands by their part in the forward convolution. */
typedef struct parts {
    const sn_tensor_desc *x, *w, *y;
} parts;

static parts parts_of(const sn_op *op)
{
    const sn_tensor_desc *first = &op->inputs[0].desc, *w = &sn_op_weights(op)->desc;
    if (op->kind == SN_OP_CONV3D_BACKWARD_DATA)
        return (parts){&op->outputs[0].desc, w, first};
    return (parts){first, w, op->kind == SN_OP_CONV3D ? &op->outputs[0].desc : &op->inputs[1].desc};
}

static bool is_dense(const sn_op *op)
{
    const sn_conv3d_params *p = &op->params.conv3d;
    return p->kernel == 1 && p->stride == 1 && p->pad == 0;
}

static int64_t in_block_limit_dw(const sn_op *op)
{
    return is_dense(op) ? MAX_IN_BLOCK_DW_DENSE : MAX_IN_BLOCK_DW;
}

/* Partial sums of dw: enough to give many threads work, each over enough voxels to be worth its memory. */
static int64_t partials_of(const sn_op *op)
{
    parts p = parts_of(op);
    int64_t units = sn_conv_parts(p.y->shape[1], SN_CONV_MAX_GROUP_DW) *
                    sn_conv_parts(p.x->shape[1], in_block_limit_dw(op));
    int64_t wanted = sn_conv_parts(WANTED_UNITS, units);
    int64_t most = p.y->shape[0] * sn_tensor_voxels(p.y) / VOXELS_OF_PARTIAL;
    return sn_conv_smaller(wanted, sn_conv_larger(most, 1));
}

/* Cycles of the direct way on Zen 4: multiply-adds of vectors (backward weights with their sums over lanes), of
 * which few share an input where there are few outputs; and all values that are read and written, which takes little
 * where results are written where they belong. */
static double direct_cycles(const sn_op *op)
{
    const bool is_dw = op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS;
    const sn_tensor_desc *in = &op->inputs[0].desc, *out = is_dw ? &op->inputs[1].desc : &op->outputs[0].desc;
    const bool in_place = !is_dw && out->shape[4] % SN_CONV_MAX_LANES == 0;
    const double vector_cycles = is_dw ? 1.28 : 1.15, value_cycles = in_place ? 3 : is_dw ? 7 : 10;
    double values = (double)(sn_tensor_count(in) + sn_tensor_count(out));
    double outputs = (double)out->shape[1];
    double products = (double)sn_op_multiply_adds(op) * (vector_cycles + 1.5 / (outputs * outputs));
    return (products + value_cycles * values) / SN_CONV_MAX_LANES;
}

/* The way that is expected to take the least time: from the shapes alone, so that results and memory do not
 * depend on a measurement. Winograd's must be clearly faster than the deep way: several threads share a cache that its
 * frequencies do not fit. */
static sn_conv_way choose_way(sn_winograd_plan *winograd, const sn_op *op)
{
#ifdef SN_CONV_DIRECT_ONLY /* what the other ways are held against: scripts/seed_spread.sh */
    return SN_CONV_DIRECT;
#endif
    const double clearly = 0.85;
    const bool deep = sn_deep_suits(op);
    if (sn_winograd_plan_make(winograd, op, deep ? clearly * sn_deep_cycles(op) : direct_cycles(op)))
        return SN_CONV_WINOGRAD;
    if (sn_strided_suits(op, deep))
        return SN_CONV_STRIDED;
    return deep ? SN_CONV_DEEP : SN_CONV_DIRECT;
}

size_t sn_conv_workspace(const sn_op *op)
{
    sn_winograd_plan winograd;
    sn_conv_way way = choose_way(&winograd, op);
    if (way == SN_CONV_WINOGRAD)
        return sn_winograd_workspace(&winograd);
    if (way == SN_CONV_DEEP)
        return sn_deep_workspace(op);
    if (way == SN_CONV_STRIDED)
        return sn_strided_workspace(op);
    size_t weights = (size_t)sn_tensor_count(parts_of(op).w) * sizeof(float);
    if (op->kind != SN_OP_CONV3D_BACKWARD_WEIGHTS)
        return weights;
    int64_t partials = partials_of(op);
    return partials == 1 ? 0 : (size_t)partials * weights;
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/* What tap `a` of the kernel reads along an axis; false where it never meets sub-grid `out_phase` of the
 * output. Forward: x[s*z + q], q = a*d - p. Backward: dy[(s*z + phase + p - a*d)/s]. */
static bool reach(const sn_op *op, int a, int out_phase, int *phase, int *shift)
{
    const sn_conv3d_params *p = &op->params.conv3d;
    int q = a * p->dilation - p->pad;
    if (op->kind == SN_OP_CONV3D_BACKWARD_DATA) {
        *phase = 0;
        *shift = (int)floor_divide(out_phase - q, p->stride);
        return *shift * p->stride == out_phase - q;
    }
    *shift = (int)floor_divide(q, p->stride);
    *phase = q - *shift * p->stride;
    return true;
}

static void list_taps(sn_conv_pass *pass, const sn_op *op)
{
    int K = op->params.conv3d.kernel;
    for (int weight = 0; weight < K * K * K; weight++) {
        const int at[3] = {weight / (K * K), weight / K % K, weight % K};
        sn_conv_tap tap = {.weight = weight};
        bool reached = true;
        for (int i = 0; i < 3; i++)
            reached &= reach(op, at[i], pass->axis[i].out_phase, &tap.phase[i], &tap.shift[i]);
        if (!reached)
            continue;
        pass->taps[pass->tap_count++] = tap;
        for (int i = 0; i < 3; i++) {
            sn_conv_axis *axis = &pass->axis[i];
            axis->low = sn_conv_smaller(axis->low, tap.shift[i]);
            axis->high = sn_conv_larger(axis->high, tap.shift[i]);
        }
    }
}

/* Cut an axis into tiles, multiples of `unit` long. A tile that spans the whole axis may share halos: what is read
 * before index 0 lies at the end of the row (plane) before it, from count + low on, where all is 0. */
static void cut_axis(sn_conv_axis *axis, int64_t tiles, int unit, int64_t in_extent, int in_step, bool share)
{
    axis->tile = sn_round_up(sn_conv_parts(axis->extent, tiles), unit);
    axis->tiles = sn_conv_parts(axis->extent, axis->tile);
    axis->base = 0;
    axis->first = axis->low;
    axis->count = axis->tile + axis->high - axis->low;
    if (share && tiles == 1) {
        int64_t held = sn_conv_smaller((in_extent + in_step - 1) / in_step, axis->extent + axis->high);
        axis->base = -axis->low;
        axis->first = 0;
        axis->count = sn_conv_larger(axis->extent + axis->high, held - axis->low);
    }
}

sn_conv_sweep sn_conv_sweep_of(const sn_conv_pass *pass, const int64_t extent[3], int lanes)
{
    sn_conv_sweep s = {.runs_z = 1, .runs_y = 1, .out_z = pass->plane, .out_y = pass->row};
    int64_t length = extent[2];
    if (pass->runs != SN_CONV_RUN_ROWS)
        length += (extent[1] - 1) * pass->row;
    else
        s.runs_y = extent[1];
    if (pass->runs == SN_CONV_RUN_ALL)
        length += (extent[0] - 1) * pass->plane;
    else
        s.runs_z = extent[0];
    s.vectors = (length + lanes - 1) / lanes;
    if (pass->runs == SN_CONV_RUN_ROWS)
        s.out_y = s.vectors * lanes;
    if (pass->runs != SN_CONV_RUN_ALL)
        s.out_z = s.runs_y * s.vectors * lanes;
    s.out_size = s.runs_z * s.runs_y * s.vectors * lanes + SN_CONV_MAX_LANES;
    return s;
}

/* Whether results may be written where they belong, if runs are rows. */
static bool rows_in_place(const sn_conv_pass *pass, const sn_conv_plan *plan)
{
    return !plan->is_dw && plan->out_step == 1 && pass->axis[2].tile % SN_CONV_MAX_LANES == 0;
}

/* Choose the way of running with the least work: vectors, and what each run costs beside them: the start of a
 * kernel and a vector that has no pair, or the sums over lanes of backward weights; and copying results. */
static double choose_runs(sn_conv_pass *pass, const sn_conv_plan *plan, int lanes)
{
    const double copy = 10 / (double)(pass->tap_count * plan->in_channels); /* of a vector */
    const bool rows = rows_in_place(pass, plan);
    const int64_t extent[3] = {pass->axis[0].tile, pass->axis[1].tile, pass->axis[2].tile};
    double least = 0;
    sn_conv_runs best = SN_CONV_RUN_ROWS;
    for (int kind = 0; kind < SN_CONV_RUN_KINDS; kind++) {
        pass->runs = (sn_conv_runs)kind;
        sn_conv_sweep s = sn_conv_sweep_of(pass, extent, lanes);
        double extra = plan->is_dw ? 4 : 0.05 + 0.3 * (double)(s.vectors % 2);
        if (rows && kind != SN_CONV_RUN_ROWS)
            extra += copy * (double)s.vectors;
        double work = (double)(s.runs_z * s.runs_y) * ((double)s.vectors + extra);
        if (kind == 0 || work < least) {
            least = work;
            best = (sn_conv_runs)kind;
        }
    }
    pass->runs = best;
    pass->sweep = sn_conv_sweep_of(pass, extent, lanes);
    return least;
}

static void lay_out_tile(sn_conv_pass *pass)
{
    const sn_conv_axis *z = &pass->axis[0], *y = &pass->axis[1], *x = &pass->axis[2];
    pass->row = x->count;
    pass->plane = y->count * pass->row;
    pass->origin = -z->low * pass->plane - y->low * pass->row - x->low;
    pass->sub_grid = y->base * pass->row + x->base + z->count * pass->plane + SN_CONV_SLACK;
    pass->sub_grid = sn_round_up(pass->sub_grid, SN_CONV_MAX_LANES);
    pass->channel = pass->sub_grid * z->phases * y->phases * x->phases;
    if (pass->channel % 1024 == 0)
        pass->channel += SN_CONV_MAX_LANES; /* channels at multiples of 4096 bytes share cache lines */
}

static void cut(sn_conv_pass *pass, const sn_conv_plan *plan, const int64_t tiles[3])
{
    const int unit = plan->dense ? SN_CONV_MAX_LANES : 1; /* all but the last are used where they lie */
    for (int i = 0; i < 3; i++)
        cut_axis(&pass->axis[i], tiles[i], i == 2 ? unit : 1, plan->in[i], plan->in_step, i > 0);
    lay_out_tile(pass);
}

/* Cycles, roughly, for one input channel: multiplying and copying. */
static double tile_cost(sn_conv_pass *pass, const sn_conv_plan *plan)
{
    const sn_conv_axis *z = &pass->axis[0], *y = &pass->axis[1], *x = &pass->axis[2];
    double vectors = choose_runs(pass, plan, SN_CONV_MAX_LANES);
    double channels = (double)sn_conv_larger(plan->out_channels, 7);
    double groups = (double)sn_conv_parts(plan->out_channels, plan->group);
    double rows = (double)(z->count * y->count * z->phases * y->phases * x->phases);
    double copy = rows * (2.0 * (double)pass->row / SN_CONV_MAX_LANES + 6) * groups;
    return (double)(z->tiles * y->tiles * x->tiles) * (vectors * pass->tap_count * channels + copy);
}

/* In how many parts the voxels, for backward weights the input channels, of a small grid are cut. */
static int64_t small_parts(const sn_conv_plan *plan)
{
    return sn_conv_parts(WANTED_PARTS, sn_conv_parts(plan->out_channels, plan->group));
}

/* Voxels of a tile where they are used in place; backward weights want long runs. */
static int64_t dense_tile(const sn_conv_plan *plan)
{
    int64_t part = sn_conv_larger(sn_conv_parts(plan->in[2], small_parts(plan)), FEWEST_OF_DENSE);
    return plan->is_dw ? DENSE_TILE : sn_conv_smaller(part, DENSE_TILE);
}

/* Try all even cuts of D and H whose tiles fit, and keep the cheapest; of equal ones that of whole planes,
 * whose memory is in one piece. */
static void choose_tiles(sn_conv_pass *pass, const sn_conv_plan *plan)
{
    const sn_conv_axis *axis = pass->axis;
    int64_t row_tiles = sn_conv_parts(axis[2].extent, plan->dense ? dense_tile(plan) : MAX_ROW);
    int64_t best[3] = {axis[0].extent, axis[1].extent, row_tiles};
    double least = -1;
    for (int64_t ty = 1; ty <= axis[1].extent; ty++)
        for (int64_t tz = 1; tz <= axis[0].extent; tz++) {
            const int64_t tiles[3] = {tz, ty, row_tiles};
            cut(pass, plan, tiles);
            if (axis[0].tiles < tz || axis[1].tiles < ty) /* the same as with fewer */
                continue;
            if (axis[0].tile * axis[1].tile * pass->row > MAX_POSITIONS)
                continue;
            double cost = tile_cost(pass, plan);
            if (least < 0 || cost < least) {
                least = cost;
                best[0] = tz;
                best[1] = ty;
            }
        }
    cut(pass, plan, best);
}

static void plan_pass(sn_conv_pass *pass, const sn_conv_plan *plan, const sn_op *op, int lanes)
{
    list_taps(pass, op);
    choose_tiles(pass, plan);
    choose_runs(pass, plan, lanes);
    int64_t limit = sn_conv_larger(INPUT_FLOATS / (plan->dense ? pass->axis[2].tile : pass->channel), 1);
    if (plan->is_dw)
        limit = sn_conv_smaller(limit, in_block_limit_dw(op));
    if (plan->is_dw && plan->dense && plan->partials == 1)
        limit = sn_conv_smaller(limit, sn_conv_parts(plan->in_channels, small_parts(plan)));
    pass->in_block = sn_conv_parts(plan->in_channels, sn_conv_parts(plan->in_channels, limit));
    pass->in_place = pass->runs == SN_CONV_RUN_ROWS && rows_in_place(pass, plan);
    for (int t = 0; t < pass->tap_count; t++) {
        const sn_conv_tap *tap = &pass->taps[t];
        int phase = (tap->phase[0] * pass->axis[1].phases + tap->phase[1]) * pass->axis[2].phases;
        phase += tap->phase[2];
        pass->offsets[t] = (int32_t)(phase * pass->sub_grid + tap->shift[0] * pass->plane +
                                     tap->shift[1] * pass->row + tap->shift[2]);
    }
}

static void set_extents(sn_conv_plan *plan, const sn_op *op)
{
    const parts p = parts_of(op);
    const bool backward = op->kind == SN_OP_CONV3D_BACKWARD_DATA;
    const sn_tensor_desc *in = backward ? p.y : p.x, *out = backward ? p.x : p.y;
    plan->images = in->shape[0];
    plan->in_channels = in->shape[1];
    plan->out_channels = out->shape[1];
    plan->in_step = backward ? 1 : op->params.conv3d.stride;
    plan->out_step = backward ? op->params.conv3d.stride : 1;
    plan->weight_out = backward ? p.w->shape[0] : 1;
    plan->weight_in = backward ? 1 : p.w->shape[0];
    plan->weight_tap = p.w->shape[0] * p.w->shape[1];
    plan->dense = is_dense(op);
    plan->is_dw = op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS;
    plan->group = sn_conv_smaller(plan->out_channels, plan->is_dw ? SN_CONV_MAX_GROUP_DW : SN_CONV_MAX_GROUP);
    plan->partials = plan->is_dw ? partials_of(op) : 1;
    for (int i = 0; i < 3; i++) {
        plan->in[i] = plan->dense ? 1 : in->shape[2 + i];
        plan->out[i] = plan->dense ? 1 : out->shape[2 + i];
    }
    if (plan->dense) /* voxels are alike: one row of them */
        plan->in[2] = plan->out[2] = sn_tensor_voxels(in);
}

/* Where the sub-grids of a pass begin; false where the output has no voxel there. */
static bool set_axes(sn_conv_pass *pass, const sn_conv_plan *plan, int phase)
{
    const int s = plan->out_step, phases[3] = {phase / (s * s), phase / s % s, phase % s};
    for (int i = 0; i < 3; i++) {
        int64_t extent = (plan->out[i] - phases[i] + s - 1) / s;
        if (phases[i] >= plan->out[i])
            return false;
        pass->axis[i] = (sn_conv_axis){.extent = extent, .phases = plan->in_step, .out_phase = phases[i]};
    }
    return true;
}

/* The passes of the direct way. */
static sn_status plan_direct(sn_conv_plan *plan, const sn_op *op, int lanes, sn_error *error)
{
    sn_status status = SN_OK;
    size_t taps = (size_t)op->params.conv3d.kernel * op->params.conv3d.kernel * op->params.conv3d.kernel;
    set_extents(plan, op);
    int phases = plan->out_step * plan->out_step * plan->out_step;
    SN_TRY(sn_alloc(&plan->passes, (size_t)phases, sizeof *plan->passes, error));
    for (int phase = 0; phase < phases; phase++) {
        sn_conv_pass *pass = &plan->passes[plan->pass_count];
        if (!set_axes(pass, plan, phase))
            continue;
        plan->pass_count++;
        SN_TRY(sn_alloc(&pass->taps, taps, sizeof *pass->taps, error));
        SN_TRY(sn_alloc(&pass->offsets, taps, sizeof *pass->offsets, error));
        plan_pass(pass, plan, op, lanes);
    }
done:
    return status;
}

sn_status sn_conv_plan_make(sn_conv_plan **plan, const sn_op *op, int lanes, sn_error *error)
{
    sn_status status;
    sn_conv_plan *made = NULL;
    *plan = NULL;
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    made->way = choose_way(&made->winograd, op);
    if (made->way == SN_CONV_DEEP)
        SN_TRY(sn_deep_plan_make(&made->deep, op, error));
    if (made->way == SN_CONV_STRIDED)
        made->strided = sn_strided_plan_of(op);
    if (made->way == SN_CONV_DIRECT)
        SN_TRY(plan_direct(made, op, lanes, error));
    *plan = made;
    made = NULL;
done:
    sn_conv_plan_free(made);
    return status;
}

void sn_conv_plan_free(sn_conv_plan *plan)
{
    if (plan == NULL)
        return;
    for (int i = 0; i < plan->pass_count; i++) {
        sn_free(plan->passes[i].taps);
        sn_free(plan->passes[i].offsets);
    }
    sn_free(plan->passes);
    sn_deep_plan_free(plan->deep);
    sn_free(plan);
}

size_t sn_conv_scratch(const sn_conv_plan *plan, int threads)
{
    size_t most = 0;
    if (plan->way == SN_CONV_WINOGRAD)
        return sn_winograd_scratch(&plan->winograd, threads);
    if (plan->way == SN_CONV_DEEP)
        return sn_deep_scratch(plan->deep);
    if (plan->way == SN_CONV_STRIDED)
        return sn_strided_scratch(&plan->strided);
    for (int i = 0; i < plan->pass_count; i++) {
        const sn_conv_pass *pass = &plan->passes[i];
        int64_t floats = pass->in_block * pass->channel + plan->group * pass->sweep.out_size;
        int64_t taps = pass->in_block * pass->tap_count + SN_CONV_MAX_LANES; /* of sums of backward weights */
        if (plan->is_dw)
            floats += 2 * SN_CONV_MAX_GROUP_DW * taps;
        if ((size_t)floats > most)
            most = (size_t)floats;
    }
    return most * sizeof(float);
}

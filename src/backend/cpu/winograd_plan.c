#include "backend/cpu/winograd_plan.h"

#include "backend/cpu/conv_plan.h"
#include "base/memory.h"

enum {
    IN_BLOCK = 64,                   /* channels transformed together, at most, */
    BLOCK_DW = 32,                   /* and of backward weights: both sides */
    SCRATCH_FLOATS = 512 * 1024,     /* of frequencies, for a thread, */
    SCRATCH_FLOATS_DW = 1536 * 1024, /* and of backward weights, whose sums want long runs */
    WANTED_PARTS = 64,               /* of backward weights, so that many threads have work */
};

/* Cycles of one thread, on Zen 4 with vectors of 16 floats. */
static const double transform_cycles = 200, /* of a vector of tiles of one channel, to or from frequencies */
    vector_cycles = 1.1,                    /* a multiply-add of a vector */
    weight_cycles = 0.5,                    /* reading a weight, for a run */
    sum_cycles = 3.7,                       /* a weight's sum over lanes, for a run */
    pack_cycles = 350,                      /* of a pair of channels: the transform of its weights */
    unpack_cycles = 700;                    /* the same of their gradients */

static bool is_dw(const sn_op *op)
{
    return op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS;
}

/* Weights of a pair of channels. */
static int64_t weights_of(const sn_winograd_plan *plan)
{
    return plan->kernel * plan->kernel * plan->kernel;
}

/* Products of a pair of channels and a tile: frequencies times taps. */
static int64_t products_of(const sn_winograd_plan *plan)
{
    return SN_WINOGRAD_FREQUENCIES * plan->kernel;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static double vectors_of(int64_t lanes)
{
    return (double)sn_conv_parts(lanes, SN_WINOGRAD_LANES);
}

static double pairs_of(const sn_winograd_plan *plan)
{
    return (double)(plan->in_channels * plan->out_channels);
}

/* Cut into units of at most `planes` planes by `rows` rows of tiles. */
static void cut(sn_winograd_plan *plan, int64_t planes, int64_t rows)
{
    plan->units_z = sn_conv_parts(plan->sub_extent[0], planes);
    plan->units_y = sn_conv_parts(plan->tiles_y, rows);
    plan->unit_z = sn_conv_parts(plan->sub_extent[0], plan->units_z);
    plan->unit_y = sn_conv_parts(plan->tiles_y, plan->units_y);
}

static int64_t frequency_floats(const sn_winograd_plan *plan)
{
    return SN_WINOGRAD_FREQUENCIES * (sn_winograd_frequency(plan->in_block, sn_winograd_in_channel(plan)) +
                                      sn_winograd_frequency(plan->group, sn_winograd_out_channel(plan)));
}

/* Cycles, without what the weights cost once. */
static double cost_of(const sn_winograd_plan *plan, bool dw)
{
    double row = transform_cycles * plan->dilation * vectors_of(plan->sub_tiles_x),
           rows = (double)plan->unit_y;
    double in_parts = 1, out_parts = 1; /* how often a side is transformed */
    if (dw) {
        in_parts = (double)sn_conv_parts(plan->out_channels, plan->group);
        out_parts = (double)sn_conv_parts(plan->in_channels, plan->in_block);
    }
    double transforms = row * rows *
                        ((double)(plan->unit_z + plan->kernel - 1) * (double)plan->in_channels * in_parts +
                         (double)plan->unit_z * (double)plan->out_channels * out_parts);
    double run = vector_cycles * vectors_of(plan->unit_z * plan->unit_y * plan->tiles_x) +
                 (dw ? sum_cycles : weight_cycles);
    return (double)sn_winograd_units(plan) * (transforms + (double)products_of(plan) * pairs_of(plan) * run);
}

/* Try all even cuts whose frequencies fit, and keep the cheapest; returns its cost. */
static double choose_units(sn_winograd_plan *plan, bool dw)
{
    const int64_t most = dw ? SCRATCH_FLOATS_DW : SCRATCH_FLOATS;
    int64_t best[2] = {1, 1};
    double least = -1;
    for (int64_t planes = 1; planes <= plan->sub_extent[0]; planes++)
        for (int64_t rows = 1; rows <= plan->tiles_y; rows++) {
            cut(plan, planes, rows);
            if (plan->unit_z < planes || plan->unit_y < rows) /* the same as with fewer */
                continue;
            double cost = cost_of(plan, dw);
            if (frequency_floats(plan) <= most && (least < 0 || cost < least)) {
                least = cost;
                best[0] = planes;
                best[1] = rows;
            }
        }
    cut(plan, best[0], best[1]);
    return cost_of(plan, dw);
}

static void set_extents(sn_winograd_plan *plan, const sn_op *op)
{
    const bool backward = op->kind == SN_OP_CONV3D_BACKWARD_DATA;
    const int64_t *in = op->inputs[0].desc.shape;
    const int kernel = op->params.conv3d.kernel, dilation = op->params.conv3d.dilation;
    const int64_t weights = (int64_t)kernel * kernel * kernel;
    const int64_t *out = is_dw(op) ? op->inputs[1].desc.shape : op->outputs[0].desc.shape;
    *plan = (sn_winograd_plan){.kernel = kernel,
                               .tile = SN_WINOGRAD_INPUT + 1 - kernel,
                               .dilation = dilation,
                               .images = in[0],
                               .in_channels = in[1],
                               .out_channels = out[1],
                               .extent = {in[2], in[3], in[4]},
                               .weight_out = backward ? weights : in[1] * weights,
                               .weight_in = backward ? out[1] * weights : weights,
                               .mirrored = backward};
    for (int i = 0; i < 3; i++)
        plan->sub_extent[i] = sn_conv_parts(plan->extent[i], dilation);
    plan->tiles_y = sn_conv_parts(plan->sub_extent[1], plan->tile);
    plan->sub_tiles_x = sn_conv_parts(plan->sub_extent[2], plan->tile);
    plan->tiles_x = dilation * plan->sub_tiles_x;
    plan->sub_row =
        (sn_conv_parts(plan->sub_tiles_x, SN_WINOGRAD_LANES) * plan->tile + 2) * SN_WINOGRAD_LANES;
    plan->row = dilation * plan->sub_row;
    int64_t in_limit = is_dw(op) ? BLOCK_DW : IN_BLOCK;
    plan->in_block = sn_conv_parts(in[1], sn_conv_parts(in[1], in_limit));
    plan->group = is_dw(op) ? sn_conv_parts(out[1], sn_conv_parts(out[1], BLOCK_DW))
                            : smaller(out[1], SN_CONV_MAX_GROUP);
}

bool sn_winograd_plan_make(sn_winograd_plan *plan, const sn_op *op, double cycles)
{
    const sn_conv3d_params *p = &op->params.conv3d;
    const bool dw = is_dw(op);
    if ((p->kernel != 3 && p->kernel != 5) || p->stride != 1 || p->dilation > 2 ||
        p->pad != p->dilation * (p->kernel / 2))
        return false;
    set_extents(plan, op);
    double cost = choose_units(plan, dw), once = pack_cycles;
    if (dw) {
        int64_t parts =
            sn_conv_parts(plan->out_channels, plan->group) * sn_conv_parts(plan->in_channels, plan->in_block);
        plan->partials = smaller(sn_conv_parts(WANTED_PARTS, parts), sn_winograd_units(plan));
        once = unpack_cycles * (double)plan->partials;
    }
    return cost + once * pairs_of(plan) < cycles;
}

size_t sn_winograd_workspace(const sn_winograd_plan *plan)
{
    int64_t pairs = plan->in_channels * plan->out_channels;
    if (plan->partials == 0)
        return (size_t)(pairs * products_of(plan)) * sizeof(float);
    return plan->partials == 1 ? 0 : (size_t)(plan->partials * pairs * weights_of(plan)) * sizeof(float);
}

size_t sn_winograd_scratch(const sn_winograd_plan *plan)
{
    int64_t sums = 0;
    if (plan->partials >
        0) { /* sums take whole vectors: less than half of each is empty but in small blocks */
        int64_t rows = plan->group < 4 ? 4 : plan->group;
        sums = SN_WINOGRAD_FREQUENCIES * 2 * rows * (plan->in_block * plan->kernel + 6);
    }
    int64_t rows = (SN_WINOGRAD_INPUT + 1) * plan->row;
    return (size_t)(rows + frequency_floats(plan) + sums) * sizeof(float);
}

#include "backend/cpu/winograd_plan.h"

#include "backend/cpu/conv_plan.h"
#include "base/memory.h"

enum {
    IN_BLOCK = 64,                   /* channels transformed together, at most, */
    BLOCK_DW = 32,                   /* and of backward weights: both sides */
    SCRATCH_FLOATS = 512 * 1024,     /* of frequencies, for a thread, */
    SCRATCH_FLOATS_DW = 1536 * 1024, /* and of backward weights, whose sums want long runs */
    MOST_LINE = 64,                  /* tiles of several rows in a plane, whose frequencies stay in a cache */
    PACKED_FLOATS = 1536 * 1024,     /* of weights transformed together */
    FEWEST_OUTPUTS = 28,             /* but not fewer of a round */
    FIELD_BYTES = 8 << 20,           /* deep: of a slab's frequencies of what is read, */
    SCRATCH_BYTES = 10 << 20,        /* and of all that a thread has that works on its own slab */
    WANTED_PARTS = 16,               /* of backward weights, so that many threads have work */
    CACHED_FLOATS = 256 * 1024,      /* of tensors that a cache may hold */
};

/* Cycles of one thread, on Zen 4 with vectors of 16 floats. */
static const double vector_cycles = 1.05; /* a multiply-add of a vector */
static const double plane_cycles = 210;   /* transforms of H and W: of a vector of tiles and a plane, */
static const double depth_cycles = 1500;  /* and that of D: of a layer */
static const double weight_cycles = 0.07; /* reading a weight, for a run */
static const double sum_cycles = 3.8;     /* a weight's sum over lanes, for a run */
static const double pack_cycles = 270;    /* of a pair of channels: the transform of its weights, */
static const double unpack_cycles = 100;  /* and of their gradients */
static const double value_cycles = 15;    /* of a vector from or to memory */

/* The same where lanes are channels: of one slab; of several, which push each other out of caches; of several of
 * backward weights, which reads them in order; of slabs of each thread's own. */
static const double deep_vector_cycles[4] = {1.1, 1.18, 1.1, 1.1}; /* a multiply-add of a vector */
static const double deep_tile_cycles[4] = {2300, 5000, 4000,
                                           2300}; /* a tile's transform, of a vector of channels */
static const double deep_weight_cycles = 29;      /* of a vector of weights, fetched and transformed, */
static const double deep_pair_cycles = 520;       /* and of all those of an input channel */
static const double deep_sum_cycles = 3;          /* of a vector of sums of backward weights */

static const double together = 1.08;   /* waiting for frequencies that another thread wrote */
static const double more_slabs = 1.03; /* what more slabs may cost than the cheapest ones */

static double vectors_of(int64_t lanes)
{
    return (double)sn_conv_parts(lanes, SN_WINOGRAD_LANES);
}

static double pairs_of(const sn_winograd_plan *plan)
{
    return (double)(plan->in_channels * plan->out_channels);
}

/* Values of both tensors that a cache does not hold. */
static double far_values(const sn_winograd_plan *plan)
{
    const int64_t *extent = plan->extent;
    int64_t values =
        plan->images * extent[0] * extent[1] * extent[2] * (plan->in_channels + plan->out_channels);
    return values > CACHED_FLOATS ? (double)(values - CACHED_FLOATS) : 0;
}

/* Cut into units of at most `layers` layers by `rows` rows of tiles. */
static void cut(sn_winograd_plan *plan, int64_t layers, int64_t rows)
{
    plan->units_z = sn_conv_parts(plan->tiles_z, layers);
    plan->units_y = sn_conv_parts(plan->tiles_y, rows);
    plan->unit_z = sn_conv_parts(plan->tiles_z, plan->units_z);
    plan->unit_y = sn_conv_parts(plan->tiles_y, plan->units_y);
    int64_t used = plan->unit_y * plan->tiles_x, whole = sn_round_up(plan->sub_tiles_x, SN_WINOGRAD_LANES);
    plan->line = sn_round_up(used - plan->sub_tiles_x + whole, SN_WINOGRAD_LANES);
}

static int64_t frequency_floats(const sn_winograd_plan *plan)
{
    return SN_WINOGRAD_FREQUENCIES * (sn_winograd_frequency(plan->in_block, sn_winograd_unit_tiles(plan)) +
                                      sn_winograd_frequency(plan->group, sn_winograd_unit_lanes(plan)));
}

/* Cycles, without what the weights cost once. */
static double cost_of(const sn_winograd_plan *plan)
{
    double rows = plan->dilation * vectors_of(plan->sub_tiles_x) * (double)plan->unit_y;
    double plane = plane_cycles * rows, before = plane * (SN_WINOGRAD_INPUT - plan->tile);
    double depth = depth_cycles * vectors_of(plan->unit_y * plan->tiles_x);
    double layers = (double)plan->unit_z * (plane * plan->tile + depth);
    int64_t groups = sn_conv_parts(sn_conv_parts(plan->out_channels, plan->rounds), plan->group);
    double in_parts = (double)(plan->rounds * groups); /* how often it is transformed */
    double out_parts = plan->is_dw ? (double)sn_conv_parts(plan->in_channels, plan->in_block) : 1;
    double transforms = (layers + before) * (double)plan->in_channels * in_parts +
                        layers * (double)plan->out_channels * out_parts;
    double run =
        vector_cycles * vectors_of(sn_winograd_unit_tiles(plan)) + (plan->is_dw ? sum_cycles : weight_cycles);
    return (double)sn_winograd_units(plan) * (transforms + SN_WINOGRAD_FREQUENCIES * pairs_of(plan) * run);
}

/* Try all even cuts whose frequencies fit, and keep the cheapest; false where none does. */
static bool choose_units(sn_winograd_plan *plan, int64_t most)
{
    int64_t best[2] = {1, 1};
    double least = -1;
    for (int64_t layers = 1; layers <= plan->tiles_z; layers++)
        for (int64_t rows = 1; rows <= plan->tiles_y; rows++) {
            cut(plan, layers, rows);
            if (plan->unit_z < layers || plan->unit_y < rows) /* the same as with fewer */
                continue;
            if (plan->unit_y > 1 && plan->line > MOST_LINE)
                continue;
            double cost = cost_of(plan);
            if (frequency_floats(plan) <= most && (least < 0 || cost < least)) {
                least = cost;
                best[0] = layers;
                best[1] = rows;
            }
        }
    cut(plan, best[0], best[1]);
    return least >= 0;
}

/* Where rows are so long that not even one fits, with fewer channels at a time. */
static void fit_units(sn_winograd_plan *plan)
{
    bool fits = choose_units(plan, plan->is_dw ? SCRATCH_FLOATS_DW : SCRATCH_FLOATS);
    while (!fits && frequency_floats(plan) > SCRATCH_FLOATS_DW && plan->in_block > 1) {
        plan->in_block = sn_conv_parts(plan->in_block, 2);
        if (plan->is_dw)
            plan->group = sn_conv_parts(plan->group, 2);
    }
}

static void set_extents(sn_winograd_plan *plan, const sn_op *op)
{
    const bool backward = op->kind == SN_OP_CONV3D_BACKWARD_DATA;
    const int64_t *in = op->inputs[0].desc.shape;
    const int kernel = op->params.conv3d.kernel, dilation = op->params.conv3d.dilation;
    const bool is_dw = op->kind == SN_OP_CONV3D_BACKWARD_WEIGHTS;
    const int64_t *out = is_dw ? op->inputs[1].desc.shape : op->outputs[0].desc.shape;
    *plan = (sn_winograd_plan){.kernel = kernel,
                               .tile = SN_WINOGRAD_INPUT + 1 - kernel,
                               .dilation = dilation,
                               .is_dw = is_dw,
                               .images = in[0],
                               .in_channels = in[1],
                               .out_channels = out[1],
                               .extent = {in[2], in[3], in[4]},
                               .weight_out = backward ? in[1] : 1,
                               .weight_in = backward ? 1 : out[1],
                               .weight_tap = in[1] * out[1],
                               .mirrored = backward};
    for (int i = 0; i < 3; i++)
        plan->sub_extent[i] = sn_conv_parts(plan->extent[i], dilation);
    plan->tiles_z = sn_conv_parts(plan->sub_extent[0], plan->tile);
    plan->tiles_y = sn_conv_parts(plan->sub_extent[1], plan->tile);
    plan->sub_tiles_x = sn_conv_parts(plan->sub_extent[2], plan->tile);
    plan->tiles_x = dilation * plan->sub_tiles_x;
    plan->sub_row =
        (sn_conv_parts(plan->sub_tiles_x, SN_WINOGRAD_LANES) * plan->tile + 2) * SN_WINOGRAD_LANES;
    plan->row = dilation * plan->sub_row;
    plan->tiles = (int64_t)dilation * dilation * dilation * plan->tiles_z * plan->tiles_y * plan->sub_tiles_x;
}

/* Which channels are worked on together. */
static void set_blocks(sn_winograd_plan *plan)
{
    const int64_t in = plan->in_channels, out = plan->out_channels;
    plan->in_block = sn_conv_parts(in, sn_conv_parts(in, plan->is_dw ? BLOCK_DW : IN_BLOCK));
    plan->group = sn_conv_smaller(out, SN_CONV_MAX_GROUP);
    plan->rounds = sn_conv_smaller(sn_conv_parts(SN_WINOGRAD_FREQUENCIES * in * out, PACKED_FLOATS),
                                   sn_conv_parts(out, FEWEST_OUTPUTS));
    if (plan->is_dw) {
        plan->group = sn_conv_parts(out, sn_conv_parts(out, BLOCK_DW));
        plan->rounds = 1;
    }
}

int64_t sn_winograd_deep_floats(const sn_winograd_plan *plan)
{
    int64_t frequency = sn_winograd_deep_frequency(plan, plan->in_channels);
    if (plan->is_dw)
        frequency += sn_winograd_deep_frequency(plan, plan->out_channels);
    return SN_WINOGRAD_FREQUENCIES * frequency;
}

/* Deep: a block's weights, some of them as they are, its outputs in frequencies and voxels; or its sums. */
static size_t deep_scratch(const sn_winograd_plan *plan)
{
    const int64_t planes = SN_WINOGRAD_INPUT * plan->extent[1] * plan->extent[2] * SN_WINOGRAD_LANES;
    int64_t gathered = sn_winograd_taps(plan) * sn_winograd_frequency(SN_WINOGRAD_CHUNK, SN_WINOGRAD_LANES);
    int64_t frequency = sn_winograd_frequency(sn_winograd_deep_depth(plan), SN_WINOGRAD_LANES) +
                        sn_winograd_deep_frequency(plan, SN_WINOGRAD_LANES);
    int64_t floats = gathered + SN_WINOGRAD_FREQUENCIES * frequency + planes;
    if (plan->is_dw) {
        gathered = sn_winograd_taps(plan) * sn_winograd_frequency(SN_WINOGRAD_CHUNK_DW, SN_WINOGRAD_BLOCK);
        frequency = sn_winograd_frequency(sn_winograd_deep_rows(plan), SN_WINOGRAD_BLOCK);
        floats = sn_conv_larger(planes, gathered + SN_WINOGRAD_FREQUENCIES * frequency);
    }
    return (size_t)floats * sizeof(float);
}

/* Cycles where lanes are channels. */
static double deep_cost(const sn_winograd_plan *plan)
{
    const int64_t slabs = sn_winograd_slabs(plan);
    const int which = plan->apart ? 3 : slabs == 1 ? 0 : plan->is_dw ? 2 : 1;
    double tiles = (double)(plan->images * plan->tiles), vectors = vectors_of(plan->out_channels);
    double of_slab = deep_weight_cycles * (double)sn_winograd_taps(plan) + deep_pair_cycles;
    if (plan->is_dw)
        of_slab += deep_sum_cycles * SN_WINOGRAD_FREQUENCIES;
    double pair = of_slab * (double)slabs + deep_vector_cycles[which] * SN_WINOGRAD_FREQUENCIES * tiles;
    return deep_tile_cycles[which] * tiles * (vectors_of(plan->in_channels) + vectors) +
           pair * (double)plan->in_channels * vectors;
}

/* Deep: what slabs of a thread's own write of backward weights, each for itself. */
static size_t partial_bytes(const sn_winograd_plan *plan)
{
    return plan->is_dw ? (size_t)(sn_winograd_slabs(plan) * sn_winograd_weights(plan)) * sizeof(float) : 0;
}

/* Deep: the cheapest slabs whose frequencies stay in a cache, or fit the threads' scratch memory; more of a thread's own
 * where that costs little, so that more threads have some. That threads wait for each other counts for this choice only.
 * The cycles; < 0 where not even one layer's frequencies do. */
static double choose_slab(sn_winograd_plan *plan)
{
    const int64_t layers = plan->images * sn_winograd_layers(plan);
    plan->slab = layers;
    sn_winograd_plan best = *plan;
    double least = -1;
    for (int64_t slabs = 1; slabs <= layers; slabs++) {
        plan->slab = sn_conv_parts(layers, slabs);
        if (sn_winograd_slabs(plan) < slabs) /* the same as with fewer */
            continue;
        size_t field = (size_t)sn_winograd_deep_floats(plan) * sizeof(float);
        plan->apart = sn_winograd_is_even(plan, 2) && deep_scratch(plan) + field <= SCRATCH_BYTES &&
                      partial_bytes(plan) <= FIELD_BYTES;
        if (!plan->apart && field > FIELD_BYTES)
            continue;
        double cost = deep_cost(plan) * (plan->apart ? 1 : together);
        if (least < 0 || cost < least || (plan->apart && best.apart && cost < more_slabs * least))
            best = *plan;
        least = least < 0 || cost < least ? cost : least;
    }
    *plan = best;
    return least < 0 ? least : deep_cost(plan);
}

bool sn_winograd_plan_make(sn_winograd_plan *plan, const sn_op *op, double cycles)
{
    const sn_conv3d_params *p = &op->params.conv3d;
    if ((p->kernel != 3 && p->kernel != 5) || p->stride != 1 || p->dilation > 2 ||
        p->pad != p->dilation * (p->kernel / 2))
        return false;
    set_extents(plan, op);
    set_blocks(plan);
    fit_units(plan);
    double once = pack_cycles;
    if (plan->is_dw) {
        int64_t parts =
            sn_conv_parts(plan->out_channels, plan->group) * sn_conv_parts(plan->in_channels, plan->in_block);
        plan->partials = sn_conv_smaller(sn_conv_parts(WANTED_PARTS, parts), sn_winograd_units(plan));
        once = unpack_cycles * (double)plan->partials;
    }
    double cost = cost_of(plan) + once * pairs_of(plan);
    const double deep = choose_slab(plan);
    plan->deep = deep >= 0 && deep < cost;
    if (plan->deep && plan->is_dw)
        plan->partials = plan->apart ? sn_winograd_slabs(plan) : sn_winograd_slabs(plan) > 1;
    cost += value_cycles * far_values(plan) / SN_WINOGRAD_LANES;
    return (plan->deep ? deep : cost) < cycles;
}

/* Deep: the frequencies of a slab of what is read. Else, forward and backward data: those of a round's weights, which leave
 * some room between blocks. Backward weights: the partial sums, too. */
size_t sn_winograd_workspace(const sn_winograd_plan *plan)
{
    int64_t floats = plan->deep || plan->partials > 1 ? plan->partials * sn_winograd_weights(plan) : 0;
    if (plan->deep) {
        floats += sn_winograd_deep_floats(plan);
    } else if (!plan->is_dw) {
        int64_t rows = sn_conv_parts(plan->out_channels, plan->rounds);
        int64_t blocks =
            sn_conv_parts(plan->in_channels, plan->in_block) * sn_conv_parts(rows, SN_WINOGRAD_FEWEST_ROWS);
        floats = SN_WINOGRAD_FREQUENCIES * (plan->in_channels * rows + blocks * SN_WINOGRAD_LANES);
    }
    return (size_t)floats * sizeof(float);
}

size_t sn_winograd_scratch(const sn_winograd_plan *plan, int threads)
{
    if (plan->deep) {
        int64_t field = sn_winograd_apart(plan, threads) ? sn_winograd_deep_floats(plan) : 0;
        return deep_scratch(plan) + (size_t)field * sizeof(float);
    }
    int64_t rows = plan->group < 4 ? 4 : plan->group;
    /* Sums take whole vectors: less than half of each is empty but in small blocks. */
    int64_t sums = plan->is_dw ? SN_WINOGRAD_FREQUENCIES * 2 * rows * (plan->in_block + 6) : 0;
    int64_t floats = sn_winograd_pixels(plan) + sn_winograd_planes(plan) + frequency_floats(plan) + sums;
    /* Or a block's weights. */
    return (size_t)sn_conv_larger(floats, sn_winograd_taps(plan) * plan->in_block * SN_WINOGRAD_LANES) *
           sizeof(float);
}

/*
 * Memory planning: every transient gets the interval of operations during which it is alive, a workspace the one
 * operation that it belongs to; values that one operation turns into another in place become one block; what is
 * concatenated lies in the result's block from the start, and channels taken out of a tensor stay where they are;
 * blocks whose intervals overlap get addresses that do not. Offsets are assigned greedily, the best-fitting gap
 * first, in a few orders, each improved by placing earlier what reached furthest, and the smallest arena is kept
 * (Y. Pisarchyk, J. Lee, "Efficient memory management for deep neural net inference", 2020: greedy by size is
 * close to the lower bound).
 */
#include "nn/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Memory of one transient, or of several that follow each other in place, or of one workspace. */
typedef struct block {
    size_t bytes;
    int first, last; /* operations during which it is alive, both included */
    size_t offset;
    int outer;    /* the block that it is a part of; -1: of none */
    size_t place; /* bytes from the start of that one */
} block;

typedef struct rank {
    double key; /* larger: placed earlier */
    int block;
} rank;

/* Working memory for one program at a time. */
typedef struct planner {
    const sn_graph *graph;
    const sn_backend *backend;
    sn_device *device;
    int program;
    int *first,
        *last;     /* [tensor] the operations that make it and that use it last; -1: not of this program */
    int *block_of; /* [tensor] */
    size_t *place; /* [tensor] bytes from the start of its block */
    int *workspace_of; /* [node] the block of its workspace; -1: it needs none */
    block *blocks;     /* at most one a tensor and one a node */
    int block_count;
    rank *order;     /* [block] */
    int *placed;     /* [block] those that have an address, lowest first */
    size_t *offsets; /* [block] the best so far */
} planner;

static size_t room_of(const sn_graph *graph, sn_tensor tensor)
{
    return sn_tensor_room(&sn_graph_tensor(graph, tensor)->desc);
}

static bool is_transient(const sn_graph *graph, sn_tensor tensor)
{
    return sn_graph_tensor(graph, tensor)->role == SN_ROLE_TRANSIENT;
}

static void find_lifetimes(planner *p)
{
    int tensors = sn_graph_tensor_count(p->graph), nodes = sn_graph_node_count(p->graph, p->program);
    for (sn_tensor t = 0; t < tensors; t++) {
        p->first[t] = p->last[t] = p->block_of[t] = -1;
        p->place[t] = 0;
    }
    for (int n = 0; n < nodes; n++) {
        const sn_node *node = sn_graph_node(p->graph, p->program, n);
        for (int i = 0; i < node->input_count; i++)
            p->last[node->inputs[i]] = n;
        for (int o = 0; o < node->output_count; o++) {
            sn_tensor y = node->outputs[o];
            p->last[y] = n;
            if (p->first[y] < 0)
                p->first[y] = n;
        }
    }
}

/* Whether another input of a node is the same tensor. */
static bool is_read_twice(const sn_node *node, int index)
{
    for (int i = 0; i < node->input_count; i++)
        if (i != index && node->inputs[i] == node->inputs[index])
            return true;
    return false;
}

/* Whether the first output of node n may lie where its input `index` lies, which nobody needs any more. */
static bool may_replace(const planner *p, const sn_node *node, int n, int index)
{
    sn_tensor x = node->inputs[index], y = node->outputs[0];
    if ((sn_op_describe(node->kind)->in_place_inputs >> index & 1u) == 0 || !is_transient(p->graph, x) ||
        p->last[x] != n ||
        !sn_tensor_desc_equal(&sn_graph_tensor(p->graph, x)->desc, &sn_graph_tensor(p->graph, y)->desc))
        return false;
    return !is_read_twice(node, index); /* what is overwritten would be read again as another operand */
}

static int block_add(planner *p, size_t bytes, int first, int last)
{
    p->blocks[p->block_count] = (block){.bytes = bytes, .first = first, .last = last, .outer = -1};
    return p->block_count++;
}

/* How many operations a block may live longer because it holds another, or is held by what is left of it. */
enum { NEARBY = 8 };

/* Where the first output of a node lies in the block of input `index`, which nobody needs any more. */
static void continue_block(planner *p, const sn_node *node, int index, size_t place)
{
    sn_tensor x = node->inputs[index], y = node->outputs[0];
    p->block_of[y] = p->block_of[x];
    p->place[y] = p->place[x] + place;
    p->blocks[p->block_of[y]].last = p->last[y];
}

/* Channels taken out of a tensor that nobody needs any more, and that are soon used up, stay where they are. */
static void try_window(planner *p, const sn_node *node, int n)
{
    if (node->kind != SN_OP_WINDOW)
        return;
    size_t place;
    const sn_op op = sn_graph_op(p->graph, node);
    sn_tensor x = node->inputs[0];
    if (is_transient(p->graph, x) && p->last[x] == n && p->last[node->outputs[0]] - n <= NEARBY &&
        sn_op_window_place(&place, &op))
        continue_block(p, node, 0, place);
}

/* What is concatenated is made in its place, where it is a block of its own, made just before, for nothing else. */
static void try_concat(planner *p, const sn_node *node, int n)
{
    if (node->kind != SN_OP_CONCAT)
        return;
    const sn_op op = sn_graph_op(p->graph, node);
    int outer = p->block_of[node->outputs[0]];
    for (int i = 0; i < node->input_count; i++) {
        sn_tensor x = node->inputs[i];
        size_t place;
        if (!is_transient(p->graph, x) || p->last[x] != n || is_read_twice(node, i) ||
            !sn_op_concat_place(&place, &op, i))
            continue;
        block *inner = &p->blocks[p->block_of[x]];
        if (inner->outer >= 0 || inner->bytes != room_of(p->graph, x) || n - inner->first > NEARBY)
            continue;
        inner->bytes = 0;
        inner->outer = outer;
        inner->place = place;
        if (inner->first < p->blocks[outer].first)
            p->blocks[outer].first = inner->first;
    }
}

static void find_blocks(planner *p)
{
    int nodes = sn_graph_node_count(p->graph, p->program);
    p->block_count = 0;
    for (int n = 0; n < nodes; n++) {
        const sn_node *node = sn_graph_node(p->graph, p->program, n);
        for (int o = 0; o < node->output_count; o++) {
            sn_tensor y = node->outputs[o];
            if (!is_transient(p->graph, y) || p->first[y] != n)
                continue;
            for (int i = 0; o == 0 && i < node->input_count && p->block_of[y] < 0; i++)
                if (may_replace(p, node, n, i))
                    continue_block(p, node, i, 0);
            if (p->block_of[y] < 0)
                try_window(p, node, n);
            if (p->block_of[y] < 0) {
                p->block_of[y] = block_add(p, room_of(p->graph, y), n, p->last[y]);
                try_concat(p, node, n);
            }
        }
        const sn_op op = sn_graph_op(p->graph, node);
        size_t workspace = p->backend->workspace(p->device, &op);
        p->workspace_of[n] =
            workspace == 0 ? -1 : block_add(p, (size_t)sn_round_up((int64_t)workspace, SN_ALIGNMENT), n, n);
    }
}

/* Bytes from the start of the arena, once the blocks have their places. */
static size_t offset_of(const planner *p, sn_tensor tensor)
{
    size_t offset = p->place[tensor];
    int b = p->block_of[tensor];
    for (; p->blocks[b].outer >= 0; b = p->blocks[b].outer)
        offset += p->blocks[b].place;
    return p->offsets[b] + offset;
}

/* No arena can be smaller than what is alive during one operation. */
static size_t lower_bound(const planner *p)
{
    size_t bound = 0;
    for (int n = 0; n < sn_graph_node_count(p->graph, p->program); n++) {
        size_t alive = 0;
        for (int b = 0; b < p->block_count; b++)
            if (p->blocks[b].first <= n && n <= p->blocks[b].last)
                alive += p->blocks[b].bytes;
        bound = alive > bound ? alive : bound;
    }
    return bound;
}

/* Give one block the smallest gap that holds it between placed blocks alive with it. Returns its end. */
static size_t place(planner *p, block *new, int placed_count)
{
    size_t end = 0, best_gap = SIZE_MAX, best = SIZE_MAX;
    for (int i = 0; i < placed_count; i++) {
        const block *other = &p->blocks[p->placed[i]];
        if (other->last < new->first || new->last < other->first)
            continue;
        if (other->offset > end && other->offset - end >= new->bytes && other->offset - end < best_gap) {
            best = end;
            best_gap = other->offset - end;
        }
        end = other->offset + other->bytes > end ? other->offset + other->bytes : end;
    }
    new->offset = best == SIZE_MAX ? end : best;
    return new->offset + new->bytes;
}

static int compare_ranks(const void *a, const void *b)
{
    const rank *x = a, *y = b;
    if (x->key != y->key)
        return x->key > y->key ? -1 : 1;
    return x->block - y->block;
}

/* Place all blocks in the order of their keys. Returns the arena's size. */
static size_t pack(planner *p)
{
    size_t arena = 0;
    qsort(p->order, (size_t)p->block_count, sizeof *p->order, compare_ranks);
    for (int i = 0; i < p->block_count; i++) {
        int b = p->order[i].block, at = i;
        size_t end = place(p, &p->blocks[b], i);
        arena = end > arena ? end : arena;
        while (at > 0 && p->blocks[p->placed[at - 1]].offset > p->blocks[b].offset)
            at--;
        memmove(p->placed + at + 1, p->placed + at, (size_t)(i - at) * sizeof *p->placed);
        p->placed[at] = b;
    }
    return arena;
}

/* The orders that are tried. */
typedef enum placing_order { BY_BYTES, BY_BYTES_AND_TIME, BY_TIME, BY_START, PLACINGS } placing_order;

static double placing_key(const block *b, placing_order order)
{
    double time = b->last - b->first + 1;
    switch (order) {
    case BY_BYTES:
        return (double)b->bytes;
    case BY_BYTES_AND_TIME:
        return (double)b->bytes * time;
    case BY_TIME:
        return time;
    default:
        return -b->first;
    }
}

/* The block that reaches furthest is to be placed first from now on. p->order is sorted. */
static void raise_highest(planner *p)
{
    int highest = 0;
    for (int i = 1; i < p->block_count; i++) {
        const block *a = &p->blocks[p->order[i].block], *b = &p->blocks[p->order[highest].block];
        if (a->offset + a->bytes > b->offset + b->bytes)
            highest = i;
    }
    p->order[highest].key = 2 * fabs(p->order[0].key) + 1;
}

/* Place all blocks, and keep the places if no arena was smaller so far. */
static size_t pack_better(planner *p, size_t best)
{
    size_t arena = pack(p);
    for (int b = 0; arena < best && b < p->block_count; b++)
        p->offsets[b] = p->blocks[b].offset;
    return arena < best ? arena : best;
}

/* The smallest arena that was found for the program; its offsets are p->offsets. */
static size_t pack_best(planner *p)
{
    enum { RAISES = 16 };
    size_t best = SIZE_MAX, bound = lower_bound(p);
    for (placing_order order = 0; order < PLACINGS && best > bound; order++) {
        for (int b = 0; b < p->block_count; b++)
            p->order[b] = (rank){placing_key(&p->blocks[b], order), b};
        best = pack_better(p, best);
        for (int raise = 0; raise < RAISES && best > bound; raise++) {
            raise_highest(p);
            best = pack_better(p, best);
        }
    }
    return best;
}

static size_t largest(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void plan_program(sn_plan *plan, planner *p)
{
    size_t unplanned = 0;
    find_lifetimes(p);
    find_blocks(p);
    plan->arena_bytes = largest(plan->arena_bytes, pack_best(p));
    for (int n = 0; n < sn_graph_node_count(p->graph, p->program); n++) {
        const sn_node *node = sn_graph_node(p->graph, p->program, n);
        for (int o = 0; o < node->output_count; o++) {
            sn_tensor y = node->outputs[o];
            if (!is_transient(p->graph, y))
                continue;
            plan->offsets[y] = offset_of(p, y);
            unplanned += node->recomputed ? 0 : room_of(p->graph, y);
        }
        if (p->workspace_of[n] >= 0)
            plan->workspaces[p->program][n] = p->offsets[p->workspace_of[n]];
    }
    plan->unplanned_bytes = largest(plan->unplanned_bytes, unplanned);
}

static int most_nodes(const sn_graph *graph)
{
    int most = 0;
    for (int program = 0; program < sn_graph_program_count(graph); program++)
        if (sn_graph_node_count(graph, program) > most)
            most = sn_graph_node_count(graph, program);
    return most;
}

static sn_status plan_transients(sn_plan *plan, const sn_graph *graph, const sn_backend *backend,
                                 sn_device *device, sn_error *error)
{
    sn_status status;
    planner p = {.graph = graph, .backend = backend, .device = device};
    size_t count = (size_t)sn_graph_tensor_count(graph), nodes = (size_t)most_nodes(graph);
    SN_TRY(sn_alloc(&p.first, count, sizeof *p.first, error));
    SN_TRY(sn_alloc(&p.last, count, sizeof *p.last, error));
    SN_TRY(sn_alloc(&p.block_of, count, sizeof *p.block_of, error));
    SN_TRY(sn_alloc(&p.place, count, sizeof *p.place, error));
    SN_TRY(sn_alloc(&p.workspace_of, nodes, sizeof *p.workspace_of, error));
    SN_TRY(sn_alloc(&p.blocks, count + nodes, sizeof *p.blocks, error));
    SN_TRY(sn_alloc(&p.order, count + nodes, sizeof *p.order, error));
    SN_TRY(sn_alloc(&p.placed, count + nodes, sizeof *p.placed, error));
    SN_TRY(sn_alloc(&p.offsets, count + nodes, sizeof *p.offsets, error));
    for (p.program = 0; p.program < sn_graph_program_count(graph); p.program++)
        plan_program(plan, &p);
done:
    sn_free(p.offsets);
    sn_free(p.placed);
    sn_free(p.order);
    sn_free(p.blocks);
    sn_free(p.workspace_of);
    sn_free(p.place);
    sn_free(p.block_of);
    sn_free(p.last);
    sn_free(p.first);
    return status;
}

static void plan_persistent(sn_plan *plan, const sn_graph *graph)
{
    for (sn_tensor t = 0; t < sn_graph_tensor_count(graph); t++) {
        if (is_transient(graph, t))
            continue;
        plan->offsets[t] = plan->persistent_bytes;
        plan->persistent_bytes += room_of(graph, t);
    }
}

/* Room for what the plan says. */
static sn_status plan_alloc(sn_plan *plan, const sn_graph *graph, sn_error *error)
{
    sn_status status;
    int programs = sn_graph_program_count(graph);
    SN_TRY(sn_alloc(&plan->offsets, (size_t)sn_graph_tensor_count(graph), sizeof *plan->offsets, error));
    SN_TRY(sn_alloc(&plan->workspaces, (size_t)programs, sizeof *plan->workspaces, error));
    plan->program_count = programs;
    for (int p = 0; p < programs; p++)
        SN_TRY(sn_alloc(&plan->workspaces[p], (size_t)sn_graph_node_count(graph, p),
                        sizeof *plan->workspaces[p], error));
done:
    return status;
}

sn_status sn_plan_make(sn_plan *plan, const sn_graph *graph, const sn_backend *backend, sn_device *device,
                       sn_error *error)
{
    sn_status status;
    memset(plan, 0, sizeof *plan);
    SN_TRY(sn_graph_status(graph, error));
    SN_TRY(plan_alloc(plan, graph, error));
    SN_TRY(plan_transients(plan, graph, backend, device, error));
    plan_persistent(plan, graph);
done:
    if (status != SN_OK)
        sn_plan_clear(plan);
    return status;
}

void sn_plan_clear(sn_plan *plan)
{
    for (int p = 0; p < plan->program_count; p++)
        sn_free(plan->workspaces[p]);
    sn_free(plan->workspaces);
    sn_free(plan->offsets);
    memset(plan, 0, sizeof *plan);
}

size_t sn_plan_peak_bytes(const sn_plan *plan)
{
    return plan->persistent_bytes + plan->arena_bytes;
}

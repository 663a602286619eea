#include "arch/block.h"

#include <assert.h>
#include <string.h>

#include "arch/text.h"
#include "base/memory.h"

enum { MAX_ORDERS = 5040 }; /* orders of look-alike nodes that are tried */

void sn_block_free(sn_block *block)
{
    if (block == NULL)
        return;
    sn_free(block->term);
    sn_free(block->count);
    sn_free(block);
}

static sn_status block_alloc(sn_block **block, int nodes, int terms, sn_error *error)
{
    sn_status status;
    sn_block *made = NULL;
    *block = NULL;
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    SN_TRY(sn_alloc(&made->term, (size_t)terms, sizeof *made->term, error));
    SN_TRY(sn_alloc(&made->count, (size_t)nodes * (size_t)terms, sizeof *made->count, error));
    made->nodes = nodes;
    made->terms = terms;
    *block = made;
    made = NULL;
done:
    sn_block_free(made);
    return status;
}

static uint32_t *row(const sn_block *block, int node)
{
    return block->count + (size_t)node * (size_t)block->terms;
}

uint32_t sn_block_count(const sn_block *block, int node, int term)
{
    assert(0 <= node && node < block->nodes && 0 <= term && term < block->terms);
    return row(block, node)[term];
}

bool sn_block_equal(const sn_block *a, const sn_block *b)
{
    if (a->nodes != b->nodes || a->terms != b->terms)
        return false;
    for (int t = 0; t < a->terms; t++)
        if (a->term[t].op != b->term[t].op || a->term[t].source != b->term[t].source)
            return false;
    return memcmp(a->count, b->count, (size_t)a->nodes * (size_t)a->terms * sizeof *a->count) == 0;
}

/* A skip that hands on the terms of a node; one from the input is a term itself. */
static bool is_identity(sn_block_op op, int from)
{
    return op == SN_BLOCK_SKIP && from > 0;
}

/* The matrix with all its nodes: every operation that is no identity is a term, in matrix order. There is
 * room for one term an operation; `terms` of them are used. */
static sn_status unroll(sn_block **unrolled, int *terms, const sn_arch *arch, sn_error *error)
{
    sn_status status = block_alloc(unrolled, arch->nodes, sn_arch_op_count(arch->nodes), error);
    if (status != SN_OK)
        return status;
    sn_block *block = *unrolled;
    *terms = 0;
    for (int to = 1; to < arch->nodes; to++) {
        for (int from = 0; from < to; from++) {
            sn_block_op op = sn_arch_op(arch, from, to);
            if (op == SN_BLOCK_NONE)
                continue;
            if (is_identity(op, from)) {
                for (int t = 0; t < *terms; t++)
                    row(block, to)[t] += row(block, from)[t];
            } else {
                block->term[*terms] = (sn_term){op, from};
                row(block, to)[(*terms)++] = 1;
            }
        }
    }
    return SN_OK;
}

/* The first node that adds the same terms as `node`. */
static int first_equal(const sn_block *block, int node)
{
    for (int other = 1; other < node; other++)
        if (memcmp(row(block, other), row(block, node), (size_t)block->terms * sizeof *block->count) == 0)
            return other;
    return node;
}

/* Keep the nodes that a term reads, and the output; equal ones once. */
static sn_status merge(sn_block **merged, const sn_block *unrolled, int terms, sn_error *error)
{
    int first[SN_ARCH_MAX_NODES] = {0}, number[SN_ARCH_MAX_NODES] = {0}, kept = 1;
    bool keep[SN_ARCH_MAX_NODES] = {false};
    for (int v = 1; v < unrolled->nodes; v++)
        first[v] = first_equal(unrolled, v);
    for (int t = 0; t < terms; t++)
        keep[first[unrolled->term[t].source]] = true;
    keep[first[unrolled->nodes - 1]] = true;
    for (int v = 1; v < unrolled->nodes; v++)
        if (keep[v])
            number[v] = kept++;
    sn_status status = block_alloc(merged, kept, terms, error);
    if (status != SN_OK)
        return status;
    for (int t = 0; t < terms; t++)
        (*merged)->term[t] = (sn_term){unrolled->term[t].op, number[first[unrolled->term[t].source]]};
    for (int v = 1; v < unrolled->nodes; v++)
        if (keep[v])
            memcpy(row(*merged, number[v]), row(unrolled, v), (size_t)terms * sizeof *unrolled->count);
    return SN_OK;
}

/* A colour says what a node does and who uses it, whatever its number: nodes of unlike colour are unlike. */
typedef struct colours {
    uint64_t node[SN_ARCH_MAX_NODES];
    uint64_t term[SN_ARCH_MAX_OPS];
    int depth[SN_ARCH_MAX_NODES]; /* operations on the longest way from the input */
} colours;

/* The finaliser of splitmix64. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void depths(colours *c, const sn_block *block)
{
    memset(c->depth, 0, sizeof c->depth);
    for (int round = 0; round < block->nodes; round++)
        for (int v = 1; v < block->nodes; v++)
            for (int t = 0; t < block->terms; t++)
                if (row(block, v)[t] > 0 && c->depth[block->term[t].source] >= c->depth[v])
                    c->depth[v] = c->depth[block->term[t].source] + 1;
}

/* Refine colours by the colours around, as Weisfeiler and Leman do, until no path is longer. */
static void colour(colours *c, const sn_block *block)
{
    depths(c, block);
    for (int v = 0; v < block->nodes; v++)
        c->node[v] = mix((uint64_t)c->depth[v] * 4 + (v == block->nodes - 1) + 1);
    for (int round = 0; round < 2 * block->nodes; round++) {
        for (int t = 0; t < block->terms; t++) {
            uint64_t users = 0;
            for (int v = 1; v < block->nodes; v++)
                users += mix(c->node[v] ^ mix(row(block, v)[t])) * (row(block, v)[t] > 0);
            c->term[t] = mix(users ^ mix(c->node[block->term[t].source] + (uint64_t)block->term[t].op));
        }
        for (int v = 0; v < block->nodes; v++) {
            uint64_t made_of = 0, read_by = 0;
            for (int t = 0; t < block->terms; t++) {
                made_of += mix(c->term[t] ^ mix(row(block, v)[t])) * (row(block, v)[t] > 0);
                read_by += mix(c->term[t] + 1) * (block->term[t].source == v);
            }
            c->node[v] = mix(c->node[v] ^ mix(made_of) ^ mix(read_by + 2));
        }
    }
}

/* The order of two terms of a renumbered block: where first used, source, operation, uses. */
static int term_compare(const sn_block *block, int a, int b)
{
    for (int v = 1; v < block->nodes; v++) {
        bool in_a = row(block, v)[a] > 0, in_b = row(block, v)[b] > 0;
        if (in_a != in_b)
            return in_a ? -1 : 1;
        if (in_a)
            break;
    }
    if (block->term[a].source != block->term[b].source)
        return block->term[a].source - block->term[b].source;
    if (block->term[a].op != block->term[b].op)
        return (int)block->term[a].op - (int)block->term[b].op;
    for (int v = 1; v < block->nodes; v++)
        if (row(block, v)[a] != row(block, v)[b])
            return row(block, v)[a] > row(block, v)[b] ? -1 : 1;
    return 0; /* twins: nothing tells them apart */
}

static void terms_swap(sn_block *block, int a, int b)
{
    sn_term term = block->term[a];
    block->term[a] = block->term[b];
    block->term[b] = term;
    for (int v = 1; v < block->nodes; v++) {
        uint32_t count = row(block, v)[a];
        row(block, v)[a] = row(block, v)[b];
        row(block, v)[b] = count;
    }
}

/* Write into `out` (of block's size) the block with node order[i] as node i, terms sorted. */
static void renumber(sn_block *out, const sn_block *block, const int *order)
{
    int number[SN_ARCH_MAX_NODES];
    for (int i = 0; i < block->nodes; i++) {
        number[order[i]] = i;
        memcpy(row(out, i), row(block, order[i]), (size_t)block->terms * sizeof(uint32_t));
    }
    for (int t = 0; t < block->terms; t++)
        out->term[t] = (sn_term){block->term[t].op, number[block->term[t].source]};
    for (int t = 1; t < block->terms; t++)
        for (int s = t; s > 0 && term_compare(out, s, s - 1) < 0; s--)
            terms_swap(out, s, s - 1);
}

/* A total order on blocks of one size; which one is of no matter. */
static int block_compare(const sn_block *a, const sn_block *b)
{
    for (int t = 0; t < a->terms; t++) {
        if (a->term[t].source != b->term[t].source)
            return a->term[t].source - b->term[t].source;
        if (a->term[t].op != b->term[t].op)
            return (int)a->term[t].op - (int)b->term[t].op;
    }
    for (int i = 0; i < a->nodes * a->terms; i++)
        if (a->count[i] != b->count[i])
            return a->count[i] > b->count[i] ? -1 : 1;
    return 0;
}

/* Sort nodes by depth, then colour: a topological order, and the same for every numbering but for ties. */
static void order_by_colour(int *order, const colours *c, int nodes)
{
    for (int i = 0; i < nodes; i++) {
        int node = i, place = i;
        for (; place > 0; place--) {
            int before = order[place - 1];
            if (c->depth[before] < c->depth[node] ||
                (c->depth[before] == c->depth[node] && c->node[before] <= c->node[node]))
                break;
            order[place] = before;
        }
        order[place] = node;
    }
}

static void swap(int *a, int *b)
{
    int kept = *a;
    *a = *b;
    *b = kept;
}

/* The next permutation in lexicographic order; after the last, the first again and false. */
static bool next_permutation(int *items, int count)
{
    int i = count - 2, low = 0;
    while (i >= 0 && items[i] > items[i + 1])
        i--;
    if (i >= 0) {
        int j = count - 1;
        while (items[j] < items[i])
            j--;
        swap(&items[i], &items[j]);
        low = i + 1;
    }
    for (int high = count - 1; low < high; low++, high--)
        swap(&items[low], &items[high]);
    return i >= 0;
}

/* The next order that permutes nodes of one colour among themselves, class by class like an odometer; false
 * after the last. */
static bool next_order(int *order, const colours *c, int nodes)
{
    for (int start = 0, end; start < nodes; start = end) {
        end = start + 1;
        while (end < nodes && c->node[order[end]] == c->node[order[start]])
            end++;
        if (next_permutation(order + start, end - start))
            return true;
    }
    return false;
}

sn_status sn_block_create(sn_block **block, const sn_arch *arch, sn_error *error)
{
    sn_status status;
    sn_block *unrolled = NULL, *merged = NULL, *best = NULL, *other = NULL;
    colours c;
    int order[SN_ARCH_MAX_NODES], terms;
    char reason[SN_ARCH_REASON];
    *block = NULL;
    if (arch->net != SN_NET_SEGNAS)
        return sn_error_set(error, SN_ERR_ARG, "arch: net=%s has no block", sn_net_name(arch->net));
    if (!sn_arch_legal(arch, reason))
        return sn_error_set(error, SN_ERR_ARG, "arch: illegal block: %s", reason);
    SN_TRY(unroll(&unrolled, &terms, arch, error));
    SN_TRY(merge(&merged, unrolled, terms, error));
    SN_TRY(block_alloc(&best, merged->nodes, merged->terms, error));
    SN_TRY(block_alloc(&other, merged->nodes, merged->terms, error));
    colour(&c, merged);
    order_by_colour(order, &c, merged->nodes);
    renumber(best, merged, order);
    for (int tried = 1; tried < MAX_ORDERS && next_order(order, &c, merged->nodes); tried++) {
        renumber(other, merged, order);
        if (block_compare(other, best) < 0) {
            sn_block *better = other;
            other = best;
            best = better;
        }
    }
    *block = best;
    best = NULL;
done:
    sn_block_free(unrolled);
    sn_block_free(merged);
    sn_block_free(best);
    sn_block_free(other);
    return status;
}

sn_status sn_block_format(char **text, const sn_block *block, sn_error *error)
{
    sn_text out;
    *text = NULL;
    sn_status status = sn_text_begin(&out, error);
    if (status != SN_OK)
        return status;
    for (int t = 0; t < block->terms; t++)
        fprintf(out.stream, "t%d = %s v%d; ", t + 1, sn_block_op_name(block->term[t].op),
                block->term[t].source);
    for (int v = 1; v < block->nodes; v++) {
        const char *plus = "";
        fprintf(out.stream, "v%d =", v);
        for (int t = 0; t < block->terms; t++) {
            uint32_t count = row(block, v)[t];
            if (count > 1)
                fprintf(out.stream, "%s %u t%d", plus, (unsigned)count, t + 1);
            else if (count == 1)
                fprintf(out.stream, "%s t%d", plus, t + 1);
            if (count > 0)
                plus = " +";
        }
        fputs(v + 1 < block->nodes ? "; " : "", out.stream);
    }
    return sn_text_end(&out, text, error);
}

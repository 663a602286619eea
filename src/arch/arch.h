/**
 * Architectures: which network is meant, as integers that a person, a search or a file gives.
 *
 * The block of a SegNAS network is an upper-triangular operation matrix: row = input node, column = output
 * node, node 1 the block's input, node `nodes` its output, a node's value the sum over its incoming
 * operations. `ops` fills the upper triangle row by row: 1>2, 1>3, .., 1>nodes, 2>3, ..
 *
 * Source: Wong and Moradi, "SegNAS3D", MICCAI 2019, sections 2.1 and 2.2; docs/architectures.md.
 */
#ifndef SN_ARCH_ARCH_H
#define SN_ARCH_ARCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum {
    SN_ARCH_MIN_NODES = 2,
    SN_ARCH_MAX_NODES = 32,
    SN_ARCH_MAX_OPS = SN_ARCH_MAX_NODES * (SN_ARCH_MAX_NODES - 1) / 2,
    SN_ARCH_MAX_CHANNELS = 1024, /* of the first block */
    SN_ARCH_MAX_POOLINGS = 8,
    SN_ARCH_REASON = 64,
};

/* The operations of a block (table 1 of the paper); the numbers are those of `ops`. */
typedef enum sn_block_op {
    SN_BLOCK_NONE,
    SN_BLOCK_CONV_1_1, /* Conv(kernel, dilation), batch normalisation, ReLU */
    SN_BLOCK_CONV_3_1,
    SN_BLOCK_CONV_5_1,
    SN_BLOCK_CONV_3_2,
    SN_BLOCK_CONV_5_2,
    SN_BLOCK_SKIP, /* identity; 1x1x1 convolution and batch normalisation where channel counts differ */
    SN_BLOCK_OPS,
} sn_block_op;

typedef enum sn_net {
    SN_NET_SEGNAS, /* n, p, sup, res, nodes, ops say which */
    SN_NET_UNET3D, /* Cicek et al. 2016; the other fields are 0 */
    SN_NET_VNET,   /* Milletari et al. 2016; the other fields are 0 */
} sn_net;

typedef struct sn_arch {
    sn_net net;
    int n;                        /* feature channels of the first block; level l has n*2^l */
    int p;                        /* number of max-poolings */
    bool sup;                     /* deep supervision */
    bool res;                     /* residual connection around each block */
    int nodes;                    /* of the block graph */
    uint8_t ops[SN_ARCH_MAX_OPS]; /* the first nodes*(nodes-1)/2 are used, the others 0 */
} sn_arch;

/* What an architecture is where nothing is said: n=16 p=3 sup=1 res=1 nodes=3 ops=2,0,2. */
#define SN_ARCH_INIT                                                                                         \
    {                                                                                                        \
        SN_NET_SEGNAS, 16, 3, true, true, 3,                                                                 \
        {                                                                                                    \
            SN_BLOCK_CONV_3_1, SN_BLOCK_NONE, SN_BLOCK_CONV_3_1                                              \
        }                                                                                                    \
    }

/* The fields that are one integer each, in the order in which they are written. */
typedef enum sn_arch_field {
    SN_ARCH_N,
    SN_ARCH_P,
    SN_ARCH_SUP,
    SN_ARCH_RES,
    SN_ARCH_NODES,
    SN_ARCH_FIELDS,
} sn_arch_field;

typedef struct sn_arch_field_info {
    const char *name;
    int min, max; /* allowed values, both included */
} sn_arch_field_info;

/** Name and limits of a field; lives for ever. */
const sn_arch_field_info *sn_arch_field_describe(sn_arch_field field);
int sn_arch_field_get(const sn_arch *arch, sn_arch_field field);
/** `value` within the field's limits. */
void sn_arch_field_set(sn_arch *arch, sn_arch_field field, int value);

/** Operations that a block of `nodes` nodes uses: nodes*(nodes-1)/2. */
int sn_arch_op_count(int nodes);

/** The operation from node `from` to node `to`, 0 <= from < to < nodes (0 is the block's input). */
sn_block_op sn_arch_op(const sn_arch *arch, int from, int to);

/** True where all fields agree. Two spellings of one network are not equal here: see sn_arch_key. */
bool sn_arch_equal(const sn_arch *a, const sn_arch *b);

/** "Conv(3,1)", "skip", "none"; lives for ever. */
const char *sn_block_op_name(sn_block_op op);

/** Kernel and dilation of a Conv(kernel, dilation); 0 and 0 for none and skip. */
void sn_block_op_conv(sn_block_op op, int *kernel, int *dilation);

/** "segnas", "unet3d", "vnet"; lives for ever. */
const char *sn_net_name(sn_net net);

/**
 * Read "n=21 p=3 sup=1 res=0 nodes=3 ops=2,0,2" or "net=unet3d", fields in any order.
 *
 * Fields left out are SN_ARCH_INIT's. Operations beyond those that `nodes` uses are dropped.
 *
 * @return SN_OK; SN_ERR_ARG names the field, its value and what is allowed. An illegal block is no error
 * here: see sn_arch_legal.
 */
sn_status sn_arch_parse(sn_arch *arch, const char *text, sn_error *error);

/** The text that sn_arch_parse reads; `*text` is the caller's, sn_free. */
sn_status sn_arch_format(char **text, const sn_arch *arch, sn_error *error);

/**
 * {"net": "segnas", "n": 21, "p": 3, "sup": 1, "res": 0, "nodes": 3, "ops": [2, 0, 2], "fill": "rows"}, or
 * {"net": "vnet"}.
 *
 * @param[out] json the caller's, json_decref; NULL on error
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_arch_to_json(json_t **json, const sn_arch *arch, sn_error *error);

/** Read what sn_arch_to_json wrote; every field must be there. SN_ERR_INPUT names `where` and the field. */
sn_status sn_arch_from_json(sn_arch *arch, const json_t *json, const char *where, sn_error *error);

/**
 * Whether a network can be built: every node but the first has an input and every node but the last an
 * output.
 *
 * @param[out] reason if not, why: "node 2 has no input"; may be NULL
 */
bool sn_arch_legal(const sn_arch *arch, char reason[SN_ARCH_REASON]);

#endif

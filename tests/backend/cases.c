#include "cases.h"

#include "cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"

/* Operations that share their shapes. */
typedef enum family {
    CONV3D,
    BIAS,
    BATCHNORM,
    PRELU,
    SUM,
    MAXPOOL,
    UPSAMPLE,
    CONCAT,
    WINDOW,
    DROPOUT,
    WARP,
    SCORES,
    LOSS,
    NADAM,
    AVERAGE,
    TO_BF16,
    FAMILIES
} family;

enum { FAMILY_KINDS = 4 };

static const struct {
    int count;
    sn_op_kind kinds[FAMILY_KINDS];
} families[FAMILIES] = {
    [CONV3D] = {3, {SN_OP_CONV3D, SN_OP_CONV3D_BACKWARD_DATA, SN_OP_CONV3D_BACKWARD_WEIGHTS}},
    [BIAS] = {2, {SN_OP_BIAS, SN_OP_BIAS_BACKWARD}},
    [BATCHNORM] = {4,
                   {SN_OP_BATCHNORM, SN_OP_BATCHNORM_APPLY, SN_OP_BATCHNORM_BACKWARD,
                    SN_OP_BATCHNORM_RUNNING}},
    [PRELU] = {2, {SN_OP_PRELU, SN_OP_PRELU_BACKWARD}},
    [SUM] = {1, {SN_OP_SUM}},
    [MAXPOOL] = {2, {SN_OP_MAXPOOL, SN_OP_MAXPOOL_BACKWARD}},
    [UPSAMPLE] = {2, {SN_OP_UPSAMPLE, SN_OP_UPSAMPLE_BACKWARD}},
    [CONCAT] = {1, {SN_OP_CONCAT}},
    [WINDOW] = {1, {SN_OP_WINDOW}},
    [DROPOUT] = {1, {SN_OP_CHANNEL_DROPOUT}},
    [WARP] = {1, {SN_OP_AFFINE_WARP}},
    [SCORES] = {3, {SN_OP_SOFTMAX, SN_OP_ARGMAX, SN_OP_OVERLAP}},
    [LOSS] = {1, {SN_OP_LOSS}},
    [NADAM] = {1, {SN_OP_NADAM}},
    [AVERAGE] = {1, {SN_OP_AVERAGE}},
    [TO_BF16] = {1, {SN_OP_TO_BF16}},
};

typedef struct case_spec {
    family family;
    int64_t x[SN_DIMS]; /* the larger tensor: N, C, D, H, W */
    sn_op_params params;
    int64_t channels;                /* of y (CONV3D); other statistics than per image if 1 (BATCHNORM) */
    int64_t y[4];                    /* C, D, H, W of a WINDOW's output */
    int inputs;                      /* SUM, CONCAT: how many */
    int64_t parts[SN_OP_MAX_INPUTS]; /* CONCAT: channels of each */
    double matrix[12];
    double scale;
    bool u8;
} case_spec;

#define X(which, n, c, d, h, w) .family = which, .x = {n, c, d, h, w}
#define CONV(n, i, o, d, h, w, k, dilation, stride, pad)                                                     \
    X(CONV3D, n, i, d, h, w), .channels = (o), .params.conv3d = {k, dilation, stride, pad}
#define SAME(n, i, o, d, h, w, k, dilation) CONV(n, i, o, d, h, w, k, dilation, 1, (dilation) * ((k)-1) / 2)
#define NORM(n, c, d, h, w, relu) X(BATCHNORM, n, c, d, h, w), .params.batchnorm = {1e-5, 0.1, relu, 0}
#define EXPLOG(n, c, d, h, w, factor)                                                                        \
    X(LOSS, n, c, d, h, w), .params.loss = {SN_LOSS_EXPLOG, 0.8, 0.2, 0.3, 0.3, 1}, .scale = (factor)
#define DICE_CE(n, c, d, h, w, factor)                                                                       \
    X(LOSS, n, c, d, h, w), .params.loss = {SN_LOSS_DICE_CE, 0.5, 0.5, 0, 0, 1}, .scale = (factor)
#define ADAM(n, c, d, h, w) X(NADAM, n, c, d, h, w), .params.nadam = {0.9, 0.999, 1e-8}

static const case_spec specs[] = {
    {SAME(1, 1, 1, 1, 1, 1, 1, 1)},
    {SAME(1, 1, 1, 1, 1, 1, 3, 1)},
    {SAME(1, 2, 3, 1, 1, 1, 5, 2)},
    {SAME(2, 3, 5, 3, 5, 7, 1, 1)},
    {SAME(1, 1, 8, 9, 7, 5, 3, 1)},
    {SAME(3, 2, 2, 4, 3, 6, 3, 1)},
    {SAME(1, 21, 26, 5, 6, 7, 3, 1)},
    {SAME(1, 26, 21, 5, 6, 7, 3, 2)},
    {SAME(2, 8, 16, 6, 5, 9, 3, 2)},
    {SAME(1, 16, 16, 8, 8, 8, 3, 1)},
    {SAME(1, 16, 32, 4, 6, 20, 3, 1)},
    {SAME(1, 40, 33, 3, 4, 5, 1, 1)},
    {SAME(1, 33, 40, 3, 4, 5, 3, 1)},
    {SAME(1, 5, 7, 6, 7, 8, 5, 1)},
    {SAME(1, 7, 5, 6, 7, 9, 5, 2)},
    {SAME(1, 13, 11, 4, 8, 9, 5, 1)},
    {SAME(1, 3, 4, 5, 5, 17, 7, 1)},
    {SAME(1, 4, 19, 2, 3, 37, 3, 1)},
    {SAME(1, 17, 9, 1, 1, 33, 3, 1)},
    {SAME(2, 8, 8, 2, 2, 70, 3, 1)},
    {SAME(1, 6, 6, 37, 2, 3, 3, 2)},
    {SAME(1, 16, 20, 9, 10, 11, 1, 1)},
    {SAME(1, 128, 96, 2, 3, 2, 3, 1)},
    {SAME(1, 300, 20, 2, 2, 3, 1, 1)},
    {SAME(1, 144, 160, 1, 2, 2, 3, 2)},
    {SAME(1, 33, 40, 1, 1, 1, 3, 1)}, /* few voxels, many channels */
    {SAME(2, 40, 70, 1, 1, 1, 5, 2)},
    {SAME(2, 130, 37, 2, 2, 2, 3, 1)},
    {SAME(1, 37, 100, 3, 2, 1, 3, 1)},
    {SAME(1, 19, 50, 2, 2, 2, 5, 1)},
    {SAME(1, 24, 40, 3, 3, 3, 5, 2)},
    {SAME(2, 48, 33, 4, 4, 4, 3, 2)},
    {SAME(1, 70, 90, 2, 2, 2, 1, 1)},
    {SAME(1, 18, 16, 12, 13, 14, 3, 1)},
    {SAME(2, 3, 5, 13, 14, 15, 3, 1)}, /* many voxels */
    {SAME(1, 40, 33, 14, 13, 15, 3, 1)},
    {SAME(1, 5, 70, 14, 13, 15, 3, 2)},
    {SAME(1, 17, 11, 14, 13, 15, 5, 1)},
    {SAME(1, 130, 66, 4, 5, 6, 1, 1)},
    {SAME(1, 21, 26, 9, 13, 18, 3, 1)}, /* from here on worth Winograd's transforms */
    {SAME(2, 3, 5, 5, 12, 70, 3, 1)},
    {SAME(1, 70, 9, 7, 11, 20, 3, 1)},
    {SAME(1, 37, 40, 12, 17, 11, 3, 1)},
    {SAME(1, 8, 61, 4, 13, 16, 3, 1)},
    {SAME(1, 9, 8, 1, 41, 44, 3, 1)},
    {SAME(1, 21, 26, 7, 13, 18, 5, 1)},
    {SAME(2, 6, 7, 2, 9, 70, 5, 1)},
    {SAME(1, 67, 5, 5, 8, 12, 5, 1)},
    {SAME(1, 21, 26, 9, 13, 18, 3, 2)}, /* two sub-grids along each axis */
    {SAME(2, 6, 7, 1, 21, 73, 3, 2)},
    {SAME(1, 13, 40, 12, 18, 16, 3, 2)},
    {SAME(1, 66, 9, 7, 14, 65, 3, 2)},
    {SAME(1, 13, 11, 9, 13, 18, 5, 2)},
    {SAME(1, 9, 22, 8, 9, 71, 5, 2)},
    {SAME(1, 1, 30, 5, 6, 48, 3, 1)}, /* rows of whole vectors, written where they belong */
    {SAME(2, 9, 58, 3, 4, 16, 3, 3)},
    {SAME(1, 2, 3, 2, 3, 1040, 3, 1)},
    {SAME(2, 40, 58, 11, 13, 9, 1, 1)}, /* of one tap: tiles that are used in place, but for the last */
    {SAME(1, 40, 30, 16, 16, 16, 1, 1)},
    {SAME(1, 260, 3, 16, 16, 16, 1, 1)},
    {SAME(1, 9, 8, 10, 11, 66, 5, 1)}, /* lanes that are tiles, */
    {SAME(1, 12, 17, 12, 13, 66, 5, 1)},
    {SAME(2, 24, 20, 12, 14, 9, 3, 1)}, /* and channels: tiles of several images together */
    {SAME(2, 30, 40, 9, 17, 13, 3, 2)},
    {SAME(1, 24, 20, 16, 14, 12, 3, 1)}, /* with a slab for each of two threads */
    {CONV(1, 1, 1, 2, 2, 2, 2, 1, 2, 0)},
    {CONV(1, 8, 16, 8, 6, 4, 2, 1, 2, 0)},
    {CONV(2, 3, 5, 4, 8, 10, 2, 1, 2, 0)},
    {CONV(1, 21, 13, 6, 4, 2, 2, 1, 2, 0)},
    {CONV(1, 130, 70, 2, 4, 2, 2, 1, 2, 0)},
    {CONV(1, 4, 6, 7, 5, 9, 2, 1, 2, 0)},
    {CONV(1, 21, 13, 14, 12, 10, 2, 1, 2, 0)},
    {CONV(1, 5, 9, 7, 4, 71, 2, 1, 2, 0)},
    {CONV(1, 3, 70, 22, 21, 27, 2, 1, 2, 0)},
    {CONV(2, 3, 40, 12, 40, 46, 2, 1, 2, 0)}, /* several slabs of backward weights */
    {CONV(1, 2, 60, 35, 30, 62, 2, 1, 2, 0)},
    {CONV(2, 5, 9, 6, 4, 32, 2, 1, 2, 0)}, /* rows of whole vectors */
    {CONV(1, 3, 70, 18, 22, 96, 2, 1, 2, 0)},
    {CONV(1, 2, 300, 4, 4, 32, 2, 1, 2, 0)},
    {CONV(1, 4, 6, 7, 4, 64, 2, 1, 2, 0)},
    {CONV(2, 8, 4, 3, 6, 67, 3, 1, 2, 1)},
    {CONV(1, 3, 2, 7, 9, 38, 3, 1, 3, 1)},
    {CONV(2, 30, 20, 5, 4, 3, 3, 1, 2, 1)},
    {CONV(1, 5, 6, 7, 8, 9, 3, 1, 2, 1)},
    {CONV(1, 3, 4, 6, 7, 8, 3, 1, 1, 0)},
    {CONV(1, 20, 20, 1, 1, 1, 2, 2, 1, 1)}, /* every tap lies outside */
    {CONV(1, 20, 24, 2, 3, 2, 3, 3, 1, 4)},

    {X(BIAS, 1, 1, 1, 1, 1)},
    {X(BIAS, 2, 5, 3, 4, 7)},
    {X(BIAS, 1, 21, 5, 6, 7)},
    {X(BIAS, 2, 3, 21, 20, 41)},
    {X(BIAS, 1, 1, 1, 1, 1), .params.bias = {true}},
    {X(BIAS, 2, 5, 3, 4, 7), .params.bias = {true}},
    {X(BIAS, 1, 3, 21, 20, 41), .params.bias = {true}},
    {X(BIAS, 2, 21, 13, 12, 11), .params.bias = {true}},

    {NORM(1, 1, 1, 1, 1, false)},
    {NORM(1, 3, 1, 1, 1, true)},
    {NORM(2, 5, 3, 4, 7, false)},
    {NORM(3, 2, 2, 3, 5, true)},
    {NORM(1, 21, 5, 6, 7, true)},
    {NORM(1, 26, 4, 4, 4, false)},
    {NORM(1, 300, 1, 2, 3, true)},
    {NORM(1, 3, 21, 20, 41, true)},
    {NORM(2, 3, 40, 50, 70, true)}, /* so many voxels that not all channels are worked on together */
    {X(BATCHNORM, 3, 4, 2, 3, 5), .params.batchnorm = {1e-5, 0.1, false, 0}, .channels = 1},
    {NORM(2, 21, 13, 12, 11, true)}, /* parts of voxels in bf16, too, of several channels at once */
    {NORM(2, 300, 6, 7, 9, false)},

    {X(PRELU, 1, 1, 1, 1, 1)},
    {X(PRELU, 2, 5, 3, 4, 7)},
    {X(PRELU, 1, 40, 3, 3, 3)},
    {X(PRELU, 2, 3, 21, 20, 41)},
    {X(PRELU, 2, 21, 13, 12, 11)},

    {X(SUM, 1, 1, 1, 1, 1), .inputs = 1},
    {X(SUM, 2, 5, 3, 4, 7), .inputs = 2},
    {X(SUM, 1, 3, 5, 5, 5), .inputs = 3},
    {X(SUM, 1, 2, 3, 1, 9), .inputs = 5},
    {X(SUM, 1, 3, 5, 3, 5), .inputs = 8},
    {X(SUM, 1, 3, 21, 20, 41), .inputs = 4},

    {X(MAXPOOL, 1, 1, 2, 2, 2)},
    {X(MAXPOOL, 2, 5, 4, 6, 10)},
    {X(MAXPOOL, 1, 21, 8, 2, 4)},
    {X(MAXPOOL, 1, 3, 20, 22, 42)},
    {X(MAXPOOL, 2, 21, 26, 12, 22)},

    {X(UPSAMPLE, 1, 1, 1, 1, 1), .params.upsample = {1}},
    {X(UPSAMPLE, 1, 3, 2, 2, 2), .params.upsample = {2}},
    {X(UPSAMPLE, 2, 5, 6, 4, 10), .params.upsample = {2}},
    {X(UPSAMPLE, 1, 21, 4, 8, 12), .params.upsample = {4}},
    {X(UPSAMPLE, 1, 2, 3, 9, 6), .params.upsample = {3}},
    {X(UPSAMPLE, 1, 2, 8, 16, 8), .params.upsample = {8}},
    {X(UPSAMPLE, 2, 21, 26, 12, 22), .params.upsample = {2}},

    {X(CONCAT, 1, 1, 1, 1, 1), .inputs = 1, .parts = {1}},
    {X(CONCAT, 2, 8, 3, 4, 5), .inputs = 2, .parts = {3, 5}},
    {X(CONCAT, 1, 47, 3, 3, 5), .inputs = 2, .parts = {21, 26}},
    {X(CONCAT, 2, 5, 21, 20, 41), .inputs = 2, .parts = {2, 3}},
    {X(CONCAT, 3, 36, 1, 2, 3), .inputs = 8, .parts = {1, 2, 3, 4, 5, 6, 7, 8}},
    {X(CONCAT, 2, 29, 4, 5, 6), .inputs = 3, .parts = {16, 5, 8}}, /* some begin a vector of bf16 */
    {X(CONCAT, 2, 24, 13, 12, 11), .inputs = 2, .parts = {8, 16}},

    {X(WINDOW, 1, 1, 1, 1, 1), .params.window.offset = {0, 0, 0, 0}, .y = {1, 1, 1, 1}},
    {X(WINDOW, 2, 5, 3, 4, 7), .params.window.offset = {0, 0, 0, 0}, .y = {5, 3, 4, 7}},
    {X(WINDOW, 2, 8, 3, 4, 5), .params.window.offset = {3, 0, 0, 0}, .y = {5, 3, 4, 5}},
    {X(WINDOW, 1, 3, 4, 5, 6), .params.window.offset = {0, -2, -1, -3}, .y = {3, 8, 8, 11}},
    {X(WINDOW, 1, 3, 8, 8, 11), .params.window.offset = {0, 2, 1, 3}, .y = {3, 4, 5, 6}},
    {X(WINDOW, 1, 2, 3, 4, 5), .params.window.offset = {-1, 1, -2, 2}, .y = {4, 4, 3, 9}},
    {X(WINDOW, 1, 2, 3, 4, 5), .params.window.offset = {0, 3, 0, 0}, .y = {2, 2, 4, 5}}, /* wholly outside */
    {X(WINDOW, 1, 1, 5, 6, 7), .params.window.offset = {0, 1, -1, 0}, .y = {1, 3, 8, 6}, .u8 = true},
    {X(WINDOW, 2, 47, 4, 5, 6), .params.window.offset = {0, 0, 0, 0},
     .y = {21, 4, 5, 6}}, /* channels, which */
    {X(WINDOW, 2, 47, 4, 5, 6), .params.window.offset = {21, 0, 0, 0},
     .y = {26, 4, 5, 6}}, /* in bf16 begin a */
    {X(WINDOW, 2, 40, 13, 12, 11), .params.window.offset = {8, 0, 0, 0},
     .y = {16, 13, 12, 11}},                                                                /* vector, or */
    {X(WINDOW, 1, 24, 3, 4, 5), .params.window.offset = {-8, 0, 1, 0}, .y = {20, 3, 4, 5}}, /* do not */
    {X(WINDOW, 1, 24, 3, 4, 5), .params.window.offset = {-11, 0, 0, -1}, .y = {30, 3, 4, 5}},

    {X(DROPOUT, 1, 1, 1, 1, 1), .params.dropout = {0.0, 0}},
    {X(DROPOUT, 2, 21, 3, 2, 5), .params.dropout = {0.1, 1}},
    {X(DROPOUT, 3, 8, 2, 3, 4), .params.dropout = {0.5, 12}},
    {X(DROPOUT, 1, 3, 21, 20, 41), .params.dropout = {0.3, 3}},
    {X(DROPOUT, 2, 21, 13, 12, 11), .params.dropout = {0.3, 3}},

    {X(WARP, 1, 1, 1, 1, 1), .matrix = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}},
    {X(WARP, 2, 3, 5, 6, 7), .matrix = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0}},
    {X(WARP, 1, 2, 6, 7, 5), .matrix = {1.1, 0.2, -0.1, -0.7, -0.15, 0.9, 0.05, 0.6, 0.03, -0.2, 1.05, 0.4}},
    {X(WARP, 1, 2, 6, 7, 5), .matrix = {1, 0, 0, 2.25, 0, 1, 0, -1.5, 0, 0, 1, 0.75}},
    {X(WARP, 1, 1, 4, 4, 9), .matrix = {1, 0, 0, 100, 0, 1, 0, 0, 0, 0, 1, 0}}, /* wholly outside */
    {WARP,
     {1, 2, 6, 7, 5},
     {.warp = {true}},
     .matrix = {1.1, 0.2, -0.1, -0.7, -0.15, 0.9, 0.05, 0.6, 0.03, -0.2, 1.05, 0.4}},
    {WARP,
     {1, 2, 6, 7, 5},
     {.warp = {true}},
     .matrix = {1, 0, 0, 0.5, 0, 1, 0, -0.5, 0, 0, 1, -1.5}}, /* ties */
    {WARP,
     {1, 1, 6, 7, 5},
     {.warp = {true}},
     .matrix = {0.8, 0.3, 0, -0.7, -0.3, 0.8, 0, 0.9, 0, 0, 1.2, -1},
     .u8 = true},
    {X(WARP, 1, 1, 3, 2, 4), .params.warp = {true}, .matrix = {1, 0, 0, 1e30, 0, 1, 0, 0, 0, 0, 1, 0},
     .u8 = true},

    {X(SCORES, 1, 1, 1, 1, 1), .scale = 1},
    {X(SCORES, 2, 2, 3, 4, 7), .scale = 1},
    {X(SCORES, 1, 20, 5, 3, 5), .scale = 5},
    {X(SCORES, 3, 7, 2, 3, 5), .scale = 60},
    {X(SCORES, 1, 4, 21, 20, 41), .scale = 2},
    {X(SCORES, 2, 20, 13, 20, 21), .scale = 2},

    {EXPLOG(1, 2, 1, 1, 1, 1)},
    {EXPLOG(1, 2, 3, 4, 7, 1)},
    {EXPLOG(2, 9, 4, 3, 5, 2)},
    {EXPLOG(3, 20, 3, 5, 2, 1)},
    {EXPLOG(1, 5, 4, 4, 4, 60)},
    {EXPLOG(1, 4, 21, 20, 41, 2)},
    {DICE_CE(1, 2, 1, 1, 1, 1)},
    {DICE_CE(2, 9, 4, 3, 5, 2)},
    {DICE_CE(1, 5, 4, 4, 4, 60)},
    {EXPLOG(2, 20, 13, 20, 21, 2)},

    {ADAM(1, 1, 1, 1, 1)},
    {ADAM(26, 21, 3, 3, 3)},
    {ADAM(5, 1, 1, 1, 37)},
    {X(AVERAGE, 1, 1, 1, 1, 1)},
    {X(AVERAGE, 26, 21, 3, 3, 3)},
    {X(AVERAGE, 5, 3, 1, 9, 31)},

    {X(TO_BF16, 1, 1, 1, 1, 1)},
    {X(TO_BF16, 2, 5, 3, 4, 37)},
    {X(TO_BF16, 1, 41, 5, 6, 7)},
};

enum { SPECS = sizeof specs / sizeof specs[0] };

int op_case_count(void)
{
    int count = 0;
    for (int s = 0; s < SPECS; s++)
        count += families[specs[s].family].count;
    return count;
}

static void set(sn_op *op, int inputs, const sn_operand *in, int outputs, const sn_operand *out)
{
    op->input_count = inputs;
    op->output_count = outputs;
    memcpy(op->inputs, in, (size_t)inputs * sizeof *in);
    memcpy(op->outputs, out, (size_t)outputs * sizeof *out);
}

#define INPUTS(...)                                                                                          \
    (int)(sizeof((sn_operand[]){__VA_ARGS__}) / sizeof(sn_operand)), (sn_operand[])                          \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
#define OUTPUTS INPUTS

/* The type of what belongs to a channel. */
static sn_dtype of_channels(sn_dtype real)
{
    return real == SN_BF16 ? SN_F32 : real;
}

static void set_conv3d(sn_op *op, const case_spec *spec, sn_dtype real)
{
    const sn_conv3d_params *p = &spec->params.conv3d;
    int64_t k = p->kernel, out[3];
    for (int i = 0; i < 3; i++)
        out[i] = (spec->x[2 + i] + 2 * p->pad - p->dilation * (k - 1) - 1) / p->stride + 1;
    sn_operand x = operand_of(real, spec->x[0], spec->x[1], spec->x[2], spec->x[3], spec->x[4]);
    sn_operand w = operand_of(of_channels(real), spec->channels, spec->x[1], k, k, k);
    sn_operand y = operand_of(real, spec->x[0], spec->channels, out[0], out[1], out[2]);
    if (op->kind == SN_OP_CONV3D)
        set(op, INPUTS(x, w), OUTPUTS(y));
    else if (op->kind == SN_OP_CONV3D_BACKWARD_DATA)
        set(op, INPUTS(y, w), OUTPUTS(x));
    else
        set(op, INPUTS(x, y), OUTPUTS(w));
}

static void set_batchnorm(sn_op *op, const case_spec *spec, sn_operand x)
{
    sn_dtype real = of_channels(x.desc.dtype);
    sn_operand c = vector_of(real, spec->x[1]), each = operand_of(real, spec->x[0], spec->x[1], 1, 1, 1);
    if (op->kind == SN_OP_BATCHNORM)
        set(op, INPUTS(x, c, c), OUTPUTS(x, each, each));
    else if (op->kind == SN_OP_BATCHNORM_APPLY && spec->channels == 1)
        set(op, INPUTS(x, c, c, c, c), OUTPUTS(x));
    else if (op->kind == SN_OP_BATCHNORM_APPLY)
        set(op, INPUTS(x, c, c, each, each), OUTPUTS(x));
    else if (op->kind == SN_OP_BATCHNORM_BACKWARD)
        set(op, INPUTS(x, c, c, each, each, x), OUTPUTS(x, c, c));
    else {
        set(op, INPUTS(each, each), OUTPUTS(c, c));
        op->params.batchnorm.voxels = sn_tensor_voxels(&x.desc);
    }
}

/* Operations whose outputs are smaller than x in D, H, W. */
static void set_pooling(sn_op *op, const case_spec *spec, sn_operand x)
{
    int64_t f = spec->family == MAXPOOL ? 2 : spec->params.upsample.factor;
    sn_operand y =
        operand_of(x.desc.dtype, spec->x[0], spec->x[1], spec->x[2] / f, spec->x[3] / f, spec->x[4] / f);
    sn_operand index = y;
    index.desc.dtype = x.desc.dtype == SN_BF16 ? SN_BF16 : SN_U8;
    if (op->kind == SN_OP_MAXPOOL)
        set(op, INPUTS(x), OUTPUTS(y, index));
    else if (op->kind == SN_OP_MAXPOOL_BACKWARD)
        set(op, INPUTS(y, index), OUTPUTS(x));
    else if (op->kind == SN_OP_UPSAMPLE)
        set(op, INPUTS(y), OUTPUTS(x));
    else
        set(op, INPUTS(x), OUTPUTS(y));
}

static void set_joined(sn_op *op, const case_spec *spec, sn_operand x)
{
    sn_operand in[SN_OP_MAX_INPUTS];
    for (int i = 0; i < spec->inputs; i++) {
        in[i] = x;
        if (op->kind == SN_OP_CONCAT)
            in[i].desc.shape[1] = spec->parts[i];
    }
    set(op, spec->inputs, in, 1, &x);
}

static void set_scores(sn_op *op, const case_spec *spec, sn_operand x)
{
    sn_operand labels = operand_of(SN_U8, spec->x[0], 1, spec->x[2], spec->x[3], spec->x[4]);
    sn_operand probabilities = x;
    probabilities.desc.dtype = of_channels(x.desc.dtype);
    if (op->kind == SN_OP_SOFTMAX)
        set(op, INPUTS(x), OUTPUTS(probabilities));
    else if (op->kind == SN_OP_ARGMAX)
        set(op, INPUTS(x), OUTPUTS(labels));
    else if (op->kind == SN_OP_OVERLAP)
        set(op, INPUTS(x, labels), OUTPUTS(operand_of(SN_F64, spec->x[0], spec->x[1], 1, 1, 3)));
    else
        set(op, INPUTS(x, labels, vector_of(probabilities.desc.dtype, spec->x[1])),
            OUTPUTS(operand_of(SN_F64, 1, 1, 1, 1, 1), x));
}

static void set_operands(sn_op *op, const case_spec *spec, sn_dtype real)
{
    sn_operand x =
        operand_of(spec->u8 ? SN_U8 : real, spec->x[0], spec->x[1], spec->x[2], spec->x[3], spec->x[4]);
    sn_operand c = vector_of(of_channels(real), spec->x[1]), rounded = x;
    rounded.desc.dtype = SN_BF16;
    switch (op->kind) {
    case SN_OP_BIAS:
        return set(op, INPUTS(x, c), OUTPUTS(x));
    case SN_OP_BIAS_BACKWARD:
        return set(op, INPUTS(x), OUTPUTS(c));
    case SN_OP_PRELU:
        return set(op, INPUTS(x, c), OUTPUTS(x));
    case SN_OP_PRELU_BACKWARD:
        return set(op, INPUTS(x, c, x), OUTPUTS(x, c));
    case SN_OP_WINDOW:
        return set(
            op, INPUTS(x),
            OUTPUTS(operand_of(x.desc.dtype, spec->x[0], spec->y[0], spec->y[1], spec->y[2], spec->y[3])));
    case SN_OP_CHANNEL_DROPOUT:
        return set(op, INPUTS(x, operand_of(SN_U8, 1, 1, 1, 1, 16)), OUTPUTS(x));
    case SN_OP_AFFINE_WARP:
        return set(op, INPUTS(x, operand_of(SN_F64, 1, 1, 1, 3, 4)), OUTPUTS(x));
    case SN_OP_NADAM:
        return set(op, INPUTS(operand_of(SN_F64, 1, 1, 1, 1, 4)), OUTPUTS(x, x, x, x));
    case SN_OP_AVERAGE:
        return set(op, INPUTS(x, operand_of(SN_F64, 1, 1, 1, 1, 1)), OUTPUTS(x));
    case SN_OP_TO_BF16:
        return set(op, INPUTS(x), OUTPUTS(rounded));
    default:
        break;
    }
    if (spec->family == CONV3D)
        set_conv3d(op, spec, real);
    else if (spec->family == BATCHNORM)
        set_batchnorm(op, spec, x);
    else if (spec->family == MAXPOOL || spec->family == UPSAMPLE)
        set_pooling(op, spec, x);
    else if (spec->family == SUM || spec->family == CONCAT)
        set_joined(op, spec, x);
    else
        set_scores(op, spec, x);
}

static int print_shape(char *text, size_t room, const sn_operand *operand)
{
    const int64_t *s = operand->desc.shape;
    return snprintf(text, room, " (%d,%d,%d,%d,%d)", (int)s[0], (int)s[1], (int)s[2], (int)s[3], (int)s[4]);
}

static void name_case(op_case *out)
{
    const sn_op *op = &out->op;
    int at = snprintf(out->name, CASE_NAME, "%s", sn_op_describe(op->kind)->name);
    at += print_shape(out->name + at, (size_t)(CASE_NAME - at), &op->inputs[0]);
    at += snprintf(out->name + at, (size_t)(CASE_NAME - at), " ->");
    at += print_shape(out->name + at, (size_t)(CASE_NAME - at), &op->outputs[0]);
    if (sn_op_multiply_adds(op) > 0)
        snprintf(out->name + at, (size_t)(CASE_NAME - at), " kernel %d dilation %d stride %d pad %d",
                 op->params.conv3d.kernel, op->params.conv3d.dilation, op->params.conv3d.stride,
                 op->params.conv3d.pad);
    else
        snprintf(out->name + at, (size_t)(CASE_NAME - at), " number %d", out->seed);
}

static bool is_without_bf16(sn_op_kind kind)
{
    return kind == SN_OP_BATCHNORM_RUNNING || kind == SN_OP_AFFINE_WARP || kind == SN_OP_NADAM ||
           kind == SN_OP_AVERAGE || kind == SN_OP_TO_BF16;
}

/* Of the draws: a new case of one family does not change those of the others. */
static int seed_of(const case_spec *spec, int kind)
{
    int before = 0;
    for (const case_spec *other = specs; other < spec; other++)
        before += other->family == spec->family;
    return ((int)spec->family * 100 + before) * FAMILY_KINDS + kind;
}

op_case op_case_get(int index, sn_dtype real)
{
    op_case out = {0};
    const case_spec *spec = specs;
    for (; index >= families[spec->family].count; spec++)
        index -= families[spec->family].count;
    out.seed = seed_of(spec, index);
    out.op.kind = families[spec->family].kinds[index];
    out.op.params = spec->params;
    out.scale = spec->scale;
    memcpy(out.matrix, spec->matrix, sizeof out.matrix);
    set_operands(&out.op, spec, is_without_bf16(out.op.kind) ? of_channels(real) : real);
    name_case(&out);
    return out;
}

/* What the values of an operand mean. */
typedef enum value_meaning { NORMAL, POSITIVE, INDEX, LABELS, BYTES, MATRIX, SCALARS, SCALED } value_meaning;

static value_meaning input_meaning(const sn_op *op, int input)
{
    bool is_batchnorm = op->kind == SN_OP_BATCHNORM_APPLY || op->kind == SN_OP_BATCHNORM_BACKWARD;
    if (op->kind == SN_OP_MAXPOOL_BACKWARD && input == 1)
        return INDEX;
    if ((op->kind == SN_OP_OVERLAP || op->kind == SN_OP_LOSS) && input == 1)
        return LABELS;
    if ((is_batchnorm && input == 4) || (op->kind == SN_OP_BATCHNORM_RUNNING && input == 1) ||
        (op->kind == SN_OP_LOSS && input == 2))
        return POSITIVE;
    if (op->kind == SN_OP_AFFINE_WARP && input == 1)
        return MATRIX;
    if (op->kind == SN_OP_NADAM || (op->kind == SN_OP_AVERAGE && input == 1))
        return SCALARS;
    if (op->inputs[input].desc.dtype == SN_U8)
        return BYTES;
    return op->kind == SN_OP_SOFTMAX || op->kind == SN_OP_ARGMAX || op->kind == SN_OP_OVERLAP ||
                   op->kind == SN_OP_LOSS
               ? SCALED
               : NORMAL;
}

static double draw(const op_case *which, value_meaning meaning, int64_t i, sn_random *random)
{
    static const double scalars[4] = {1.0 / 3, 1.2e-3, 0.9e-3, 1.7}; /* s, a, b, c of NADAM; r of AVERAGE */
    int64_t classes = which->op.inputs[0].desc.shape[1];
    switch (meaning) {
    case NORMAL:
        return sn_random_normal(random);
    case SCALED:
        return sn_random_normal(random) * which->scale;
    case POSITIVE:
        return 0.5 + sn_random_uniform(random);
    case INDEX:
        return sn_random_below(random, 8);
    case LABELS: /* from 4 classes on, the last is absent */
        return sn_random_below(random, (uint32_t)(classes < 4 ? classes : classes - 1));
    case BYTES:
        return sn_random_below(random, 256);
    case MATRIX:
        return which->matrix[i];
    case SCALARS:
        return scalars[i];
    }
    return 0;
}

/* Batch normalisation meets channels whose means are far from 0. */
static double shift(const op_case *which, const sn_operand *operand, int64_t i)
{
    static const double means[3] = {0, 2, -8};
    const sn_tensor_desc *x = &which->op.inputs[0].desc;
    bool shifted = which->op.kind == SN_OP_BATCHNORM && operand == &which->op.inputs[0];
    return shifted ? means[i / sn_tensor_voxels(x) % x->shape[1] % 3] : 0;
}

static void fill(const op_case *which, const sn_operand *operand, value_meaning meaning, sn_random *random,
                 double *values)
{
    for (int64_t i = 0; i < sn_tensor_count(&operand->desc); i++) {
        double value = draw(which, meaning, i, random) + shift(which, operand, i);
        values[i] = meaning == MATRIX || meaning == SCALARS ? value : (double)(float)value;
    }
}

void op_case_fill(const op_case *which, op_values *values)
{
    const sn_op *op = &which->op;
    sn_random random = sn_random_begin(1, SN_RANDOM_TEST, (uint64_t)which->seed);
    for (int i = 0; i < op->input_count; i++)
        fill(which, &op->inputs[i], input_meaning(op, i), &random, values->in[i]);
    if (op->kind == SN_OP_LOSS) /* a label of weight 0 */
        values->in[2][op->inputs[0].desc.shape[1] / 2] = 0;
    for (int o = 0; o < op->output_count; o++)
        if (sn_op_describe(op->kind)->updated_outputs >> o & 1)
            fill(which, &op->outputs[o], op->kind == SN_OP_NADAM && o == 3 ? POSITIVE : NORMAL, &random,
                 values->out[o]);
}

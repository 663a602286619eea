/**
 * Convolution of few voxels and many channels, as deep in a network: lanes are channels of the output.
 *
 * What lies outside the input is never multiplied: of the 27 taps of a 3^3 kernel an output of 2^3 voxels
 * meets 8 at each voxel, one of 1^3 a single one. Inputs are read where they lie, one value for all lanes.
 * Weights are put into the order of the lanes a few channels at a time, just before they are used, so that
 * they travel from memory once.
 *
 * As in conv_plan.h the input and the output of backward data are dy and dx; backward weights reads x and dy,
 * its output.
 */
#ifndef SN_BACKEND_CPU_CONV_DEEP_H
#define SN_BACKEND_CPU_CONV_DEEP_H

#include <stdbool.h>

#include "backend/op.h"

enum {
    SN_DEEP_MAX_VOXELS = 6, /* of a run */
    SN_DEEP_MAX_BLOCK = 64, /* output channels of a unit of work, at most; whole vectors */
};

/* A tap of the kernel that meets the input somewhere: output voxel v, low <= v < high, reads the input at
 * step*v + shift. The ranges are for backward weights only. */
typedef struct sn_deep_tap {
    int weight; /* index in the K^3 weights */
    int64_t low[3], high[3], shift[3];
} sn_deep_tap;

/* What one tap adds to a run of output voxels: voxel j, if bit j is set, reads input + j*in_step. */
typedef struct sn_deep_visit {
    int32_t tap;   /* index in the taps of the plan */
    int32_t input; /* of voxel 0, in floats from the start of a channel; outside it where bit 0 is not set */
    uint32_t voxels;
} sn_deep_visit;

/* Neighbouring output voxels, one after the other along W: output + j*out_step. */
typedef struct sn_deep_run {
    int count, visits;
    int64_t first;  /* voxels of the runs before */
    int64_t output; /* of voxel 0, in floats from the start of a channel */
    sn_deep_visit *visit;
} sn_deep_run;

typedef struct sn_deep_plan {
    int64_t images, in_channels, out_channels;
    int64_t in[3], out[3]; /* extents */
    int64_t in_voxels, out_voxels;
    /* floats of w from one output channel, one input channel, one tap to the next */
    int64_t weight_out, weight_in, weight_tap;
    int in_step, out_step; /* strides: forward in_step, backward data out_step */
    int tap_count;
    sn_deep_tap *taps;
    bool all_taps; /* of the kernel */
    int64_t chunk; /* input channels whose weights are packed, or summed, together */
    int64_t slabs; /* the runs are cut into as many parts; forward and backward data */
    int run_count;
    sn_deep_run *runs;
    sn_deep_visit *visits;
} sn_deep_plan;

/** Whether this is the way to compute a convolution: from its shapes alone. */
bool sn_deep_suits(const sn_op *op);

/** Cycles of one thread that it takes, about. */
double sn_deep_cycles(const sn_op *op);

/**
 * Plan a convolution.
 *
 * @param[out] plan caller owns, sn_deep_plan_free
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_deep_plan_make(sn_deep_plan **plan, const sn_op *op, sn_error *error);
void sn_deep_plan_free(sn_deep_plan *plan);

/** Bytes of workspace: dy in the order of the lanes, for backward weights. */
size_t sn_deep_workspace(const sn_op *op);

/** Bytes of scratch memory a thread needs. */
size_t sn_deep_scratch(const sn_deep_plan *plan);

#endif

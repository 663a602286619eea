/**
 * One convolution in oneDNN (version 2), ready to be run again and again: the peer of bench/convolution.h.
 */
#ifndef BENCH_ONEDNN_H
#define BENCH_ONEDNN_H

#include <dnnl.h>

#include "bench/convolution.h"

typedef enum bench_layout {
    BENCH_BLOCKED,       /* what oneDNN asks for: channels in blocks of a vector's length, as a rule */
    BENCH_CHANNELS_LAST, /* images N, D, H, W, C; weights as oneDNN asks for */
    BENCH_LAYOUTS,
} bench_layout;

/** "blocked", "channels last" */
const char *bench_layout_name(bench_layout layout);

typedef struct bench_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arguments[BENCH_OPERANDS];
} bench_onednn;

/**
 * Make an operation ready, its inputs filled with bench_convolution_values and brought to the layout.
 *
 * @param[out] out bench_onednn_close, also after an error
 * @return SN_OK; SN_ERR_UNSUPPORTED oneDNN has no such convolution; SN_ERR_FAILED
 */
sn_status bench_onednn_open(bench_onednn *out, const sn_op *op, bench_layout layout, sn_error *error);
void bench_onednn_close(bench_onednn *convolution);

/** Run it once; `*seconds` is how long that took. */
sn_status bench_onednn_run(bench_onednn *convolution, double *seconds, sn_error *error);

/** The result of the last run in the order of our own tensors; `*values` is the caller's, sn_free. */
sn_status bench_onednn_result(float **values, bench_onednn *convolution, const sn_op *op, sn_error *error);

#endif

/** A network with its programs, ready to run on random data. */
#ifndef SN_TESTS_NN_FIXTURE_H
#define SN_TESTS_NN_FIXTURE_H

#include "cmocka_all.h"

#include "nn/executor.h"
#include "nn/networks.h"

typedef struct fixture_options {
    const char *device; /* as sn_backend_find */
    sn_dtype real;
    network *build;
    int64_t image[SN_DIMS]; /* shape of the input */
    int classes, threads;
    sn_recompute recompute;
} fixture_options;

typedef struct fixture {
    sn_graph *graph;
    const sn_backend *backend;
    sn_device *device;
    sn_executor *executor;
    int train, forward, update, evaluate; /* programs; forward is train without gradients */
    sn_tensor loss, counts, nadam;
    fixture_options options;
} fixture;

/** Build, bind, fill the inputs (image, labels, class weights, dropout key) and draw all parameters, all from
 * fixed seeds and independent of type and device. */
void fixture_open(fixture *f, const fixture_options *options);
void fixture_close(fixture *f);

/** Run a program or fail the test. */
void fixture_run(fixture *f, int program);
/** Run train or forward once and return the loss. */
double fixture_loss(fixture *f, int program);

/** Values of a persistent tensor as doubles; the caller's, sn_free. */
double *fixture_read(fixture *f, sn_tensor tensor);
void fixture_write(fixture *f, sn_tensor tensor, const double *values);

/** Gradients of all parameters, one after another, in order of creation; `*count` of them; sn_free. */
double *fixture_gradients(fixture *f, int64_t *count);

/** |a - b| / |b|, Euclidean. */
double relative_l2(const double *a, const double *b, int64_t count);

/** The gradient tensor of a parameter. */
sn_tensor gradient_of(const sn_graph *graph, sn_tensor parameter);

#endif

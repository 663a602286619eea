#include "nn/fixture.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"

static void succeed(sn_status status, const sn_error *error)
{
    if (status != SN_OK)
        fail_msg("%s", error->text);
}

static sn_tensor_desc desc_of(sn_dtype dtype, int64_t n, int64_t c, int64_t d, int64_t h, int64_t w)
{
    return (sn_tensor_desc){.dtype = dtype, .shape = {n, c, d, h, w}};
}

static void begin(fixture *f, int *program, const char *name, sn_mode mode)
{
    sn_error error = SN_ERROR_INIT;
    succeed(sn_graph_begin_program(f->graph, program, name, mode, &error), &error);
}

static sn_tensor image_of(fixture *f)
{
    sn_tensor_desc desc = {.dtype = f->options.real};
    memcpy(desc.shape, f->options.image, sizeof desc.shape);
    return sn_graph_persistent(f->graph, "image", SN_ROLE_INPUT, desc);
}

static sn_tensor labels_of(fixture *f)
{
    const int64_t *e = f->options.image;
    return sn_graph_persistent(f->graph, "labels", SN_ROLE_INPUT, desc_of(SN_U8, e[0], 1, e[2], e[3], e[4]));
}

static void build_loss(fixture *f)
{
    sn_op_params params = {.loss = {.kind = SN_LOSS_EXPLOG,
                                    .dice_weight = 0.8,
                                    .ce_weight = 0.2,
                                    .dice_gamma = 0.3,
                                    .ce_gamma = 0.3,
                                    .smooth = 1}};
    int classes = f->options.classes;
    sn_tensor scores = f->options.build(f->graph, image_of(f), classes);
    sn_tensor weights = sn_graph_persistent(f->graph, "class_weights", SN_ROLE_INPUT,
                                            desc_of(f->options.real, 1, classes, 1, 1, 1));
    f->loss = sn_graph_loss(f->graph, "loss", scores, labels_of(f), weights, params);
}

static void build(fixture *f)
{
    sn_error error = SN_ERROR_INIT;
    succeed(sn_graph_create(&f->graph, f->options.real, &error), &error);
    begin(f, &f->train, "train", SN_MODE_TRAIN);
    build_loss(f);
    succeed(sn_graph_differentiate(f->graph, f->options.recompute, &error), &error);
    begin(f, &f->forward, "forward", SN_MODE_TRAIN);
    build_loss(f);
    begin(f, &f->evaluate, "evaluate", SN_MODE_PREDICT);
    sn_tensor scores = f->options.build(f->graph, image_of(f), f->options.classes);
    f->counts = sn_graph_overlap(f->graph, "counts", scores, labels_of(f));
    sn_graph_result(f->graph, "probabilities", sn_graph_softmax(f->graph, scores));
    sn_graph_result(f->graph, "segmentation", sn_graph_argmax(f->graph, scores));
    begin(f, &f->update, "update", SN_MODE_TRAIN);
    succeed(sn_graph_nadam(f->graph, 0.9, 0.999, 1e-8, &error), &error);
    f->nadam = sn_graph_find(f->graph, "nadam");
}

/* Values of an input, by its number in the graph. */
static void fill_input(fixture *f, sn_tensor tensor)
{
    const sn_tensor_info *info = sn_graph_tensor(f->graph, tensor);
    sn_random random = sn_random_begin(11, SN_RANDOM_TEST, (uint64_t)tensor);
    int64_t count = sn_tensor_count(&info->desc);
    double *values = NULL;
    assert_int_equal(sn_alloc(&values, (size_t)count, sizeof *values, NULL), SN_OK);
    for (int64_t i = 0; i < count; i++) {
        if (strcmp(info->name, "labels") == 0)
            values[i] = sn_random_below(&random, (uint32_t)f->options.classes);
        else if (strcmp(info->name, "dropout_key") == 0)
            values[i] = (double)i;
        else
            values[i] = strcmp(info->name, "image") == 0 ? sn_random_normal(&random)
                                                         : 0.5 + sn_random_uniform(&random);
    }
    fixture_write(f, tensor, values);
    sn_free(values);
}

/* Initial values, moved a little so that no parameter sits at a special one. */
static void fill_parameters(fixture *f)
{
    sn_error error = SN_ERROR_INIT;
    succeed(sn_executor_initialise(f->executor, 5, &error), &error);
    for (sn_tensor t = 0; t < sn_graph_tensor_count(f->graph); t++) {
        const sn_tensor_info *info = sn_graph_tensor(f->graph, t);
        if (info->role != SN_ROLE_PARAMETER)
            continue;
        sn_random random = sn_random_begin(12, SN_RANDOM_TEST, (uint64_t)t);
        double *values = fixture_read(f, t);
        for (int64_t i = 0; i < sn_tensor_count(&info->desc); i++)
            values[i] += 0.1 * sn_random_normal(&random);
        fixture_write(f, t, values);
        sn_free(values);
    }
}

void fixture_open(fixture *f, const fixture_options *options)
{
    sn_error error = SN_ERROR_INIT;
    sn_device_options device = {.threads = options->threads > 0 ? options->threads : 1};
    memset(f, 0, sizeof *f);
    f->options = *options;
    build(f);
    succeed(sn_backend_find(&f->backend, options->device, &error), &error);
    succeed(f->backend->open(&f->device, &device, &error), &error);
    succeed(sn_executor_create(&f->executor, f->graph, f->backend, f->device, &error), &error);
    for (sn_tensor t = 0; t < sn_graph_tensor_count(f->graph); t++)
        if (sn_graph_tensor(f->graph, t)->role == SN_ROLE_INPUT)
            fill_input(f, t);
    fill_parameters(f);
}

void fixture_close(fixture *f)
{
    sn_executor_free(f->executor);
    f->backend->close(f->device);
    sn_graph_free(f->graph);
}

void fixture_run(fixture *f, int program)
{
    sn_error error = SN_ERROR_INIT;
    succeed(sn_executor_run(f->executor, program, &error), &error);
}

double fixture_loss(fixture *f, int program)
{
    double loss = 0;
    sn_executor_upload(f->executor, f->loss, &loss);
    fixture_run(f, program);
    assert_int_equal(sn_executor_download(f->executor, f->loss, &loss, NULL), SN_OK);
    return loss;
}

double *fixture_read(fixture *f, sn_tensor tensor)
{
    const sn_tensor_desc *desc = &sn_graph_tensor(f->graph, tensor)->desc;
    int64_t count = sn_tensor_count(desc);
    double *values = NULL;
    assert_int_equal(sn_alloc(&values, (size_t)count, sizeof *values, NULL), SN_OK);
    assert_int_equal(sn_executor_download(f->executor, tensor, values, NULL), SN_OK);
    for (int64_t i = count - 1; i >= 0; i--) { /* from the last, so that what is read is not overwritten */
        if (desc->dtype == SN_F32)
            values[i] = ((float *)values)[i];
        else if (desc->dtype == SN_U8)
            values[i] = ((uint8_t *)values)[i];
    }
    return values;
}

void fixture_write(fixture *f, sn_tensor tensor, const double *values)
{
    const sn_tensor_desc *desc = &sn_graph_tensor(f->graph, tensor)->desc;
    int64_t count = sn_tensor_count(desc);
    void *data = NULL;
    assert_int_equal(sn_alloc(&data, (size_t)count, sn_dtype_size(desc->dtype), NULL), SN_OK);
    for (int64_t i = 0; i < count; i++) {
        if (desc->dtype == SN_F64)
            ((double *)data)[i] = values[i];
        else if (desc->dtype == SN_F32)
            ((float *)data)[i] = (float)values[i];
        else
            ((uint8_t *)data)[i] = (uint8_t)values[i];
    }
    sn_executor_upload(f->executor, tensor, data);
    sn_free(data);
}

sn_tensor gradient_of(const sn_graph *graph, sn_tensor parameter)
{
    char name[SN_NAME + 8];
    snprintf(name, sizeof name, "%s.grad", sn_graph_tensor(graph, parameter)->name);
    return sn_graph_find(graph, name);
}

double *fixture_gradients(fixture *f, int64_t *count)
{
    double *all = NULL;
    assert_int_equal(sn_alloc(&all, (size_t)sn_graph_parameters(f->graph), sizeof *all, NULL), SN_OK);
    *count = 0;
    for (sn_tensor t = 0; t < sn_graph_tensor_count(f->graph); t++) {
        const sn_tensor_info *info = sn_graph_tensor(f->graph, t);
        if (info->role != SN_ROLE_PARAMETER)
            continue;
        int64_t own = sn_tensor_count(&info->desc);
        double *values = fixture_read(f, gradient_of(f->graph, t));
        memcpy(all + *count, values, (size_t)own * sizeof *values);
        *count += own;
        sn_free(values);
    }
    return all;
}

double relative_l2(const double *a, const double *b, int64_t count)
{
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    return sqrt(difference / size);
}

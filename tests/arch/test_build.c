/* Networks: their sizes against formulas, their values against networks built as the matrix says. */
#include "arch_of.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/block.h"
#include "arch/build.h"
#include "base/memory.h"
#include "base/random.h"
#include "nn/executor.h"

enum { CLASSES = 3 };

static int64_t parameters_of(const char *arch_text, int channels, int classes)
{
    sn_arch arch = arch_of(arch_text);
    sn_arch_summary summary;
    sn_error error = SN_ERROR_INIT;
    if (sn_arch_summarise(&summary, &arch, channels, (int64_t[3]){16, 16, 16}, classes, &error) != SN_OK)
        fail_msg("%s", error.text);
    return summary.parameters;
}

/* Weights of a k^3 convolution with batch normalisation. */
static int64_t conv(int64_t k, int64_t from, int64_t to)
{
    return k * k * k * from * to + 2 * to;
}

/* Parameters of a SegNAS network whose MegaBlock has block(from, to). */
static int64_t segnas(int64_t (*block)(int64_t from, int64_t to), int n, int p, bool sup, int classes)
{
    int64_t sum = classes;
    for (int l = 0; l <= p; l++)
        sum += block(l == 0 ? 1 : (int64_t)n << (l - 1), (int64_t)n << l);
    for (int l = 0; l < p; l++)
        sum +=
            block((int64_t)3 * n << l, (int64_t)n << l) + (l == 0 || sup ? ((int64_t)n << l) * classes : 0);
    return sum;
}

static int64_t block_2_0_2(int64_t from, int64_t to)
{
    return conv(3, from, to) + conv(3, to, to);
}

static int64_t block_2_2_3_residual(int64_t from, int64_t to)
{
    return 2 * conv(3, from, to) + conv(5, to, to) + conv(1, from, to);
}

static int64_t block_6_2_3_0_4_3_residual(int64_t from, int64_t to)
{
    return conv(1, from, to) + conv(3, from, to) + conv(5, from, to) + conv(3, to, to) + conv(5, to, to) +
           conv(1, from, to);
}

static void networks_of_the_paper_have_2_5_and_12_9_and_33_million_parameters(void **state)
{
    (void)state;
    int64_t segnas4 = parameters_of("n=21 p=3 sup=1 res=0 nodes=3 ops=2,0,2", 1, 20);
    assert_int_equal(segnas4, segnas(block_2_0_2, 21, 3, true, 20));
    assert_true(fabs((double)segnas4 / 1e6 - 2.5) < 0.05);
    int64_t segnas11 = parameters_of("n=26 p=3 sup=0 res=1 nodes=3 ops=2,2,3,6,3,1", 1, 20);
    assert_int_equal(segnas11, segnas(block_2_2_3_residual, 26, 3, false, 20));
    assert_true(fabs((double)segnas11 / 1e6 - 12.9) < 0.05);
    int64_t segnas7 = parameters_of("n=16 p=4 sup=0 res=1 nodes=4 ops=6,2,3,0,4,3", 1, 20);
    assert_int_equal(segnas7, segnas(block_6_2_3_0_4_3_residual, 16, 4, false, 20));
    assert_true(fabs((double)segnas7 / 1e6 - 33) < 0.5);
}

static void unet3d_has_19_07_million_parameters(void **state)
{
    (void)state;
    int64_t sum = conv(3, 1, 32) + conv(3, 32, 64) + conv(3, 64, 64) + conv(3, 64, 128) + conv(3, 128, 128) +
                  conv(3, 128, 256) + conv(3, 256, 256) + conv(3, 256, 512); /* the way down */
    sum += conv(3, 512 + 256, 256) + conv(3, 256, 256) + conv(3, 256 + 128, 128) + conv(3, 128, 128) +
           conv(3, 128 + 64, 64) + conv(3, 64, 64); /* the way up */
    for (int64_t c = 512; c >= 128; c /= 2)
        sum += 8 * c * c + c; /* transposed convolutions */
    sum += 64 * 20 + 20;
    int64_t unet3d = parameters_of("net=unet3d", 1, 20);
    assert_int_equal(unet3d, sum);
    assert_true(fabs((double)unet3d / 1e6 - 19.07) < 0.005);
}

static void vnet_has_71_05_million_parameters(void **state)
{
    (void)state;
    static const int down[5] = {1, 2, 3, 3, 3}, up[4] = {1, 2, 3, 3};
    int64_t sum = conv(5, 1, 16) + 16 + conv(1, 1, 16); /* PReLU: one slope a channel; the first residual */
    for (int l = 1; l < 5; l++) {
        int64_t c = 16 << l;
        sum += conv(2, c / 2, c) + c + down[l] * (conv(5, c, c) + c);
    }
    for (int l = 0; l < 4; l++) {
        int64_t c = 16 << l, below = l == 3 ? 256 : 64 << l;
        sum += conv(2, below, 2 * c) + 2 * c + conv(5, 3 * c, 2 * c) + 2 * c +
               (up[l] - 1) * (conv(5, 2 * c, 2 * c) + 2 * c);
    }
    sum += 32 * 20 + 20;
    int64_t vnet = parameters_of("net=vnet", 1, 20);
    assert_int_equal(vnet, sum);
    assert_true(fabs((double)vnet / 1e6 - 71.05) < 0.005);
}

static void multiply_adds_of_segnas4_are_weights_times_voxels(void **state)
{
    (void)state;
    sn_arch arch = arch_of("n=21 p=3 sup=0 res=0 nodes=3 ops=2,0,2");
    sn_arch_summary summary;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_arch_summarise(&summary, &arch, 1, (int64_t[3]){128, 64, 32}, 20, &error), SN_OK);
    int64_t sum = 0;
    for (int l = 0; l <= 3; l++) {
        int64_t c = 21 << l, voxels = (int64_t)128 * 64 * 32 >> (3 * l);
        sum += 27 * ((l == 0 ? 1 : c / 2) * c + c * c) * voxels;
        sum += l < 3 ? 27 * (3 * c * c + c * c) * voxels : 0;
    }
    assert_int_equal(summary.multiply_adds, sum + (int64_t)21 * 20 * 128 * 64 * 32);
}

static void values_and_gradients_of_unet3d_at_128_do_not_fit_16_gib(void **state)
{
    (void)state;
    sn_arch unet3d = arch_of("net=unet3d"), segnas4 = arch_of("n=21 p=3 sup=1 res=0");
    sn_arch_summary summary;
    sn_error error = SN_ERROR_INIT;
    static const int64_t extent[3] = {128, 128, 128};
    assert_int_equal(sn_arch_summarise(&summary, &unet3d, 1, extent, 20, &error), SN_OK);
    assert_true(summary.value_bytes > (int64_t)16 << 30);
    assert_int_equal(sn_arch_summarise(&summary, &segnas4, 1, extent, 20, &error), SN_OK);
    assert_true(summary.value_bytes < (int64_t)16 << 30);
}

/* A graph on ref, in double, with its program 0. */
typedef struct runner {
    sn_graph *graph;
    sn_device *device;
    sn_executor *executor;
    sn_error error;
} runner;

static void runner_begin(runner *r, sn_mode mode)
{
    int program;
    *r = (runner){.error = SN_ERROR_INIT};
    assert_int_equal(sn_graph_create(&r->graph, SN_F64, &r->error), SN_OK);
    assert_int_equal(sn_graph_begin_program(r->graph, &program, "predict", mode, &r->error), SN_OK);
}

static void runner_bind(runner *r, uint64_t seed)
{
    const sn_device_options options = {.threads = 1};
    if (sn_graph_status(r->graph, &r->error) != SN_OK ||
        sn_backend_ref.open(&r->device, &options, &r->error) != SN_OK ||
        sn_executor_create(&r->executor, r->graph, &sn_backend_ref, r->device, &r->error) != SN_OK ||
        sn_executor_initialise(r->executor, seed, &r->error) != SN_OK)
        fail_msg("%s", r->error.text);
}

static void runner_end(runner *r)
{
    sn_executor_free(r->executor);
    sn_backend_ref.close(r->device);
    sn_graph_free(r->graph);
}

static double *doubles(int64_t count)
{
    double *values = calloc((size_t)count, sizeof *values);
    assert_non_null(values);
    return values;
}

static int64_t count_of(const runner *r, sn_tensor tensor)
{
    return sn_tensor_count(&sn_graph_tensor(r->graph, tensor)->desc);
}

/* Run on an image and return the probabilities; the caller's, free. */
static double *runner_predict(runner *r, const double *image)
{
    sn_tensor result = sn_graph_find(r->graph, "probabilities");
    double *probabilities = doubles(count_of(r, result));
    sn_executor_upload(r->executor, sn_graph_find(r->graph, "image"), image);
    assert_int_equal(sn_executor_run(r->executor, 0, &r->error), SN_OK);
    assert_int_equal(sn_executor_download(r->executor, result, probabilities, NULL), SN_OK);
    return probabilities;
}

static double *random_image(int64_t count)
{
    double *image = doubles(count);
    sn_random random = sn_random_begin(7, SN_RANDOM_TEST, 0);
    for (int64_t i = 0; i < count; i++)
        image[i] = sn_random_normal(&random);
    return image;
}

static void prediction_begin(runner *r, const sn_arch *arch, const int64_t extent[3])
{
    *r = (runner){.error = SN_ERROR_INIT};
    assert_int_equal(sn_graph_create(&r->graph, SN_F64, &r->error), SN_OK);
    if (sn_arch_prediction_graph(r->graph, arch, 1, extent, CLASSES, &r->error) != SN_OK)
        fail_msg("%s", r->error.text);
    runner_bind(r, 1);
}

/* A network as docs/method.md says it, node by node and edge by edge, that shares no code with src/arch.
 * Weights are shared by equal operations on the first node, and by those on later nodes, so that they can be
 * given to the canonical network. */

static sn_tensor literal_conv(sn_graph *graph, const char *name, sn_tensor x, int channels, int op)
{
    static const int kernel[] = {0, 1, 3, 5, 3, 5, 1}, dilation[] = {0, 1, 1, 1, 2, 2, 1};
    char part[SN_NAME + 8];
    snprintf(part, sizeof part, "%s.conv", name);
    x = sn_graph_conv3d(graph, part, x, channels, kernel[op], dilation[op], 1);
    snprintf(part, sizeof part, "%s.norm", name);
    return sn_graph_batchnorm(graph, part, x, op != SN_BLOCK_SKIP);
}

static sn_tensor literal_block(sn_graph *graph, const sn_arch *arch, const char *place, sn_tensor x,
                               int channels)
{
    sn_tensor node[4] = {x};
    for (int to = 1; to < arch->nodes; to++) {
        sn_tensor addends[4];
        int count = 0;
        for (int from = 0; from < to; from++) {
            int op = sn_arch_op(arch, from, to);
            char name[64];
            snprintf(name, sizeof name, "%s.op%d.%s", place, op, from == 0 ? "first" : "later");
            if (op == SN_BLOCK_SKIP && from > 0)
                addends[count++] = node[from];
            else if (op != SN_BLOCK_NONE)
                addends[count++] = literal_conv(graph, name, node[from], channels, op);
        }
        node[to] = sn_graph_sum(graph, addends, count);
    }
    x = arch->res ? literal_conv(graph, place, x, channels, SN_BLOCK_SKIP) : x;
    return arch->res ? sn_graph_sum(graph, (sn_tensor[]){node[arch->nodes - 1], x}, 2)
                     : node[arch->nodes - 1];
}

/* Deep supervision as a concatenation of upsampled features and one convolution. */
static sn_tensor literal_network(sn_graph *graph, const sn_arch *arch, sn_tensor x)
{
    sn_tensor encoder[4], features[4];
    char name[32];
    int p = arch->p;
    for (int l = 0; l < p; l++) {
        snprintf(name, sizeof name, "encoder.%d", l);
        encoder[l] = literal_block(graph, arch, name, x, arch->n << l);
        x = sn_graph_maxpool(graph, encoder[l]);
    }
    x = literal_block(graph, arch, "bottom", x, arch->n << p);
    for (int l = p - 1; l >= 0; l--) {
        sn_tensor pair[2] = {sn_graph_upsample(graph, x, 2), encoder[l]};
        snprintf(name, sizeof name, "decoder.%d", l);
        x = literal_block(graph, arch, name, sn_graph_concat(graph, pair, 2), arch->n << l);
        features[l] = l == 0 ? x : sn_graph_upsample(graph, x, 1 << l);
    }
    x = sn_graph_concat(graph, features, arch->sup ? p : 1);
    return sn_graph_bias(graph, "scores", sn_graph_conv3d(graph, "scores", x, CLASSES, 1, 1, 1));
}

/* The name in the literal network of what the canonical one calls `name`; false for scores.<level>.weight. */
static bool literal_name(char *literal, const char *name, const sn_block *block)
{
    const char *term = strstr(name, ".term"), *residual = strstr(name, ".residual"), *rest;
    if (term != NULL) {
        const sn_term *t = &block->term[strtol(term + 5, (char **)&rest, 10) - 1];
        snprintf(literal, SN_NAME, "%.*s.op%d.%s%s", (int)(term - name), name, (int)t->op,
                 t->source == 0 ? "first" : "later", rest);
    } else if (residual != NULL) {
        snprintf(literal, SN_NAME, "%.*s%s", (int)(residual - name), name, residual + strlen(".residual"));
    } else {
        snprintf(literal, SN_NAME, "%s", name);
    }
    return strncmp(name, "scores.", 7) != 0 || strcmp(name, "scores.bias") == 0;
}

/* Weights (classes, n*2^l) of one level's scores from those of all levels (classes, sum of n*2^l). */
static void slice_scores(double *level_weights, const double *all, const sn_arch *arch, int level)
{
    int width = 0, start = 0;
    for (int l = 0; l < (arch->sup ? arch->p : 1); l++) {
        start += l < level ? arch->n << l : 0;
        width += arch->n << l;
    }
    for (int k = 0; k < CLASSES; k++)
        memcpy(level_weights + k * (arch->n << level), all + k * width + start,
               (size_t)(arch->n << level) * sizeof *all);
}

/* Give the canonical network in `to` the weights of the literal one in `from`. */
static void copy_weights(runner *to, runner *from, const sn_arch *arch)
{
    sn_block *block;
    assert_int_equal(sn_block_create(&block, arch, &to->error), SN_OK);
    for (sn_tensor t = 0; t < sn_graph_tensor_count(to->graph); t++) {
        const sn_tensor_info *info = sn_graph_tensor(to->graph, t);
        char name[SN_NAME];
        if (info->role != SN_ROLE_PARAMETER)
            continue;
        bool whole = literal_name(name, info->name, block);
        sn_tensor source = sn_graph_find(from->graph, whole ? name : "scores.weight");
        if (source == SN_NO_TENSOR)
            fail_msg("%s has no counterpart %s", info->name, name);
        double *values = doubles(count_of(from, source)), *slice = doubles(count_of(to, t));
        assert_int_equal(sn_executor_download(from->executor, source, values, NULL), SN_OK);
        if (!whole)
            slice_scores(slice, values, arch, (int)strtol(info->name + strlen("scores."), NULL, 10));
        sn_executor_upload(to->executor, t, whole ? values : slice);
        free(values);
        free(slice);
    }
    sn_block_free(block);
}

static void assert_network_is_literal(const sn_arch *arch)
{
    static const int64_t extent[3] = {4, 4, 8};
    runner canonical, literal;
    double *image = random_image(4 * 4 * 8);
    prediction_begin(&canonical, arch, extent);
    runner_begin(&literal, SN_MODE_PREDICT);
    sn_tensor_desc desc = {SN_F64, {1, 1, 4, 4, 8}};
    sn_tensor input = sn_graph_persistent(literal.graph, "image", SN_ROLE_INPUT, desc);
    sn_tensor scores = literal_network(literal.graph, arch, input);
    sn_graph_result(literal.graph, "probabilities", sn_graph_softmax(literal.graph, scores));
    runner_bind(&literal, 2);
    copy_weights(&canonical, &literal, arch);
    double *a = runner_predict(&canonical, image), *b = runner_predict(&literal, image);
    for (int i = 0; i < CLASSES * 4 * 4 * 8; i++)
        if (!(fabs(a[i] - b[i]) < 1e-9))
            fail_msg("probability %d is %g, should be %g", i, a[i], b[i]);
    free(a);
    free(b);
    free(image);
    runner_end(&canonical);
    runner_end(&literal);
}

static void networks_compute_what_their_matrices_say(void **state)
{
    (void)state;
    sn_random random = sn_random_begin(3, SN_RANDOM_TEST, 0);
    for (int i = 0; i < 40;) {
        sn_arch arch = matrix_of(4, (int)sn_random_below(&random, 117649));
        if (!sn_arch_legal(&arch, NULL))
            continue;
        arch.n = 2;
        arch.p = 2;
        arch.sup = i & 1;
        arch.res = i & 2;
        assert_network_is_literal(&arch);
        i++;
    }
    sn_arch doubled = arch_of("n=2 p=1 nodes=4 ops=2,0,3,6,6,6"); /* 2a + b */
    assert_network_is_literal(&doubled);
}

static void key_of(char key[SN_HASH_TEXT], const sn_arch *arch, int channels, int classes)
{
    sn_error error = SN_ERROR_INIT;
    if (sn_arch_key(key, arch, channels, classes, &error) != SN_OK)
        fail_msg("%s", error.text);
}

static void keys_are_equal_exactly_where_blocks_are(void **state)
{
    (void)state;
    enum { COUNT = 6 + 252 };
    char keys[COUNT][SN_HASH_TEXT];
    sn_block *blocks[COUNT];
    sn_error error = SN_ERROR_INIT;
    int count = 0, networks = 0;
    for (int nodes = 2; nodes <= 3; nodes++) {
        for (int code = 0; code < matrix_count(nodes); code++) {
            sn_arch arch = matrix_of(nodes, code);
            arch.n = 2;
            arch.p = 1;
            if (!sn_arch_legal(&arch, NULL))
                continue;
            key_of(keys[count], &arch, 1, 2);
            assert_int_equal(sn_block_create(&blocks[count], &arch, &error), SN_OK);
            bool known = false;
            for (int i = 0; i < count; i++) {
                bool same = strcmp(keys[i], keys[count]) == 0;
                assert_true(same == sn_block_equal(blocks[i], blocks[count]));
                known |= same;
            }
            networks += !known;
            count++;
        }
    }
    assert_int_equal(count, COUNT);
    assert_int_equal(networks, 237); /* test_block.c */
    for (int i = 0; i < COUNT; i++)
        sn_block_free(blocks[i]);
}

static void keys_tell_apart_everything_that_changes_the_network(void **state)
{
    (void)state;
    static const struct {
        const char *arch;
        int channels, classes;
    } cases[] = {
        {"n=8 p=2 sup=0 res=0", 1, 2},
        {"n=9 p=2 sup=0 res=0", 1, 2},
        {"n=8 p=3 sup=0 res=0", 1, 2},
        {"n=8 p=2 sup=1 res=0", 1, 2},
        {"n=8 p=2 sup=0 res=1", 1, 2},
        {"n=8 p=2 sup=0 res=0 ops=2,0,3", 1, 2},
        {"n=8 p=2 sup=0 res=0", 2, 2},
        {"n=8 p=2 sup=0 res=0", 1, 3},
        {"net=unet3d", 1, 2},
        {"net=vnet", 1, 2},
        /* a residual goes around the dropout, a skip in the block does not */
        {"n=8 p=2 sup=0 res=1 nodes=2 ops=2", 1, 2},
        {"n=8 p=2 sup=0 res=0 nodes=3 ops=2,6,6", 1, 2},
    };
    enum { COUNT = sizeof cases / sizeof *cases };
    char keys[COUNT][SN_HASH_TEXT];
    for (int i = 0; i < COUNT; i++) {
        sn_arch arch = arch_of(cases[i].arch);
        key_of(keys[i], &arch, cases[i].channels, cases[i].classes);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(keys[i], keys[j]);
    }
}

static void spellings_of_one_network_give_the_same_bits(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"n=2 p=1 nodes=3 ops=2,0,6", "n=2 p=1 nodes=2 ops=2,3,4"},
        {"n=2 p=1 nodes=4 ops=2,3,0,0,6,6", "n=2 p=1 nodes=3 ops=2,3,6"},
        {"n=2 p=1 nodes=4 ops=2,3,0,0,4,5", "n=2 p=1 nodes=4 ops=3,2,0,0,5,4"},
        {"n=2 p=1 nodes=5 ops=1,2,4,0,0,0,6,6,0,3", "n=2 p=1 nodes=5 ops=2,1,4,0,0,6,0,0,6,3"},
    };
    static const int64_t extent[3] = {2, 4, 6};
    double *image = random_image(2 * 4 * 6);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        runner r[2];
        double *probabilities[2];
        char keys[2][SN_HASH_TEXT];
        for (int s = 0; s < 2; s++) {
            sn_arch arch = arch_of(same[i][s]);
            key_of(keys[s], &arch, 1, CLASSES);
            prediction_begin(&r[s], &arch, extent);
            probabilities[s] = runner_predict(&r[s], image);
        }
        assert_string_equal(keys[0], keys[1]);
        assert_memory_equal(probabilities[0], probabilities[1], sizeof(double) * CLASSES * 2 * 4 * 6);
        for (int s = 0; s < 2; s++) {
            free(probabilities[s]);
            runner_end(&r[s]);
        }
    }
    free(image);
}

/* Index into (C, D, H, W). */
static int64_t at(const int64_t extent[3], int64_t c, int64_t z, int64_t y, int64_t x)
{
    return ((c * extent[0] + z) * extent[1] + y) * extent[2] + x;
}

/* An image of odd extents gives what the same image in a larger one of zeros gives, cut to its extent. */
static void assert_padding(const char *arch_text, const int64_t padded[3])
{
    static const int64_t extent[3] = {5, 7, 9};
    sn_arch arch = arch_of(arch_text);
    runner small, large;
    double *image = random_image(5 * 7 * 9), *zeros = doubles(padded[0] * padded[1] * padded[2]);
    for (int64_t z = 0; z < extent[0]; z++)
        for (int64_t y = 0; y < extent[1]; y++)
            for (int64_t x = 0; x < extent[2]; x++)
                zeros[at(padded, 0, z, y, x)] = image[at(extent, 0, z, y, x)];
    prediction_begin(&small, &arch, extent);
    prediction_begin(&large, &arch, padded);
    double *a = runner_predict(&small, image), *b = runner_predict(&large, zeros);
    for (int64_t c = 0; c < CLASSES; c++)
        for (int64_t z = 0; z < extent[0]; z++)
            for (int64_t y = 0; y < extent[1]; y++)
                for (int64_t x = 0; x < extent[2]; x++)
                    assert_true(a[at(extent, c, z, y, x)] == b[at(padded, c, z, y, x)]);
    const int64_t *shape =
        sn_graph_tensor(small.graph, sn_graph_find(small.graph, "probabilities"))->desc.shape;
    assert_memory_equal(shape, ((int64_t[5]){1, CLASSES, 5, 7, 9}), 5 * sizeof *shape);
    free(image);
    free(zeros);
    free(a);
    free(b);
    runner_end(&small);
    runner_end(&large);
}

static void odd_extents_are_padded_at_the_end_and_cropped(void **state)
{
    (void)state;
    assert_padding("n=2 p=2 sup=1 res=1", (int64_t[3]){8, 8, 12});
    assert_padding("n=2 p=3 sup=0 res=0", (int64_t[3]){8, 8, 16});
}

static int count_kind(const sn_graph *graph, sn_op_kind kind)
{
    int count = 0;
    for (int i = 0; i < sn_graph_node_count(graph, 0); i++)
        count += sn_graph_node(graph, 0, i)->kind == kind;
    return count;
}

static void training_drops_channels_after_each_block_with_its_own_stream(void **state)
{
    (void)state;
    sn_arch arch = arch_of("n=2 p=2");
    runner r;
    sn_tensor scores;
    runner_begin(&r, SN_MODE_TRAIN);
    sn_tensor_desc desc = {SN_F64, {1, 1, 4, 4, 4}};
    sn_tensor image = sn_graph_persistent(r.graph, "image", SN_ROLE_INPUT, desc);
    assert_int_equal(sn_arch_build(&scores, r.graph, &arch, image, CLASSES, 0.1, &r.error), SN_OK);
    uint32_t stream = 0;
    for (int i = 0; i < sn_graph_node_count(r.graph, 0); i++) {
        const sn_node *node = sn_graph_node(r.graph, 0, i);
        if (node->kind == SN_OP_CHANNEL_DROPOUT) {
            assert_int_equal(node->params.dropout.stream, stream++);
            assert_true(node->params.dropout.rate == 0.1);
        }
    }
    assert_int_equal(stream, 5);
    assert_int_equal(count_kind(r.graph, SN_OP_WINDOW), 0); /* 4 is a multiple of 2^2 */
    sn_graph_free(r.graph);
}

static void a_skip_is_an_identity_where_channels_agree(void **state)
{
    (void)state;
    sn_arch arch = arch_of("n=4 p=1 sup=0 res=1 nodes=2 ops=6");
    sn_error error = SN_ERROR_INIT;
    sn_graph *graph;
    assert_int_equal(sn_graph_create(&graph, SN_F32, &error), SN_OK);
    assert_int_equal(sn_arch_prediction_graph(graph, &arch, 4, (int64_t[3]){2, 2, 2}, 2, &error), SN_OK);
    assert_int_equal(sn_graph_find(graph, "encoder.0.term1.conv.weight"), SN_NO_TENSOR);
    assert_int_not_equal(sn_graph_find(graph, "bottom.term1.conv.weight"), SN_NO_TENSOR);
    assert_int_equal(count_kind(graph, SN_OP_CONV3D), 2 + 2 + 1);
    sn_graph_free(graph);
}

static void baselines_run_on_odd_extents(void **state)
{
    (void)state;
    static const char *const nets[] = {"net=unet3d", "net=vnet"};
    for (int i = 0; i < 2; i++) {
        sn_arch arch = arch_of(nets[i]);
        sn_graph *graph;
        sn_error error = SN_ERROR_INIT;
        assert_int_equal(sn_graph_create(&graph, SN_F32, &error), SN_OK);
        assert_int_equal(sn_arch_prediction_graph(graph, &arch, 2, (int64_t[3]){5, 17, 9}, 3, &error), SN_OK);
        const sn_tensor_info *result = sn_graph_tensor(graph, sn_graph_find(graph, "probabilities"));
        assert_memory_equal(result->desc.shape, ((int64_t[5]){1, 3, 5, 17, 9}), sizeof result->desc.shape);
        sn_graph_free(graph);
    }
}

static void wrong_networks_are_refused(void **state)
{
    (void)state;
    sn_arch illegal = arch_of("nodes=3 ops=2,2,0"), legal = arch_of("");
    sn_arch_summary summary;
    sn_error error = SN_ERROR_INIT;
    static const int64_t extent[3] = {8, 8, 8};
    assert_int_equal(sn_arch_summarise(&summary, &illegal, 1, extent, 2, &error), SN_ERR_ARG);
    assert_string_equal(error.text, "arch: illegal block: node 2 has no output");
    assert_int_equal(sn_arch_summarise(&summary, &legal, 1, extent, 1, &error), SN_ERR_ARG);
    assert_string_equal(error.text, "network: 1 classes, must be 2 or more with the background");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_of_the_paper_have_2_5_and_12_9_and_33_million_parameters),
        cmocka_unit_test(unet3d_has_19_07_million_parameters),
        cmocka_unit_test(vnet_has_71_05_million_parameters),
        cmocka_unit_test(multiply_adds_of_segnas4_are_weights_times_voxels),
        cmocka_unit_test(values_and_gradients_of_unet3d_at_128_do_not_fit_16_gib),
        cmocka_unit_test(networks_compute_what_their_matrices_say),
        cmocka_unit_test(keys_are_equal_exactly_where_blocks_are),
        cmocka_unit_test(keys_tell_apart_everything_that_changes_the_network),
        cmocka_unit_test(spellings_of_one_network_give_the_same_bits),
        cmocka_unit_test(odd_extents_are_padded_at_the_end_and_cropped),
        cmocka_unit_test(training_drops_channels_after_each_block_with_its_own_stream),
        cmocka_unit_test(a_skip_is_an_identity_where_channels_agree),
        cmocka_unit_test(baselines_run_on_odd_extents),
        cmocka_unit_test(wrong_networks_are_refused),
    };
    return cmocka_run_group_tests_name("build", tests, NULL, NULL);
}

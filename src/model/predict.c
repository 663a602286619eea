#include "model/predict.h"

#include <math.h>
#include <string.h>

#include "arch/build.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "model/weights.h"
#include "nn/fold.h"
#include "volume/resample.h"

struct sn_predictor {
    const sn_model *model;
    const char *source;
    sn_predictor_options options;
    const sn_backend *backend;
    sn_device *device;
    /* The network bound for one extent; kept, since the images of a cohort often share it. */
    int64_t extent[3];
    sn_graph *graph;
    sn_executor *executor;
};

/* Where tiles lie: neighbours overlap by about half, and all start at multiples of what the poolings need, so
 * that a voxel meets the same pooling windows in every tile. */
typedef struct tiling {
    int64_t extent[3]; /* of the image, voxels */
    int64_t tile[3];
    int64_t unit; /* 2^poolings */
    int count[3]; /* along each axis */
} tiling;

static void unbind(sn_predictor *self)
{
    sn_executor_free(self->executor);
    sn_graph_free(self->graph);
    self->executor = NULL;
    self->graph = NULL;
    memset(self->extent, 0, sizeof self->extent);
}

void sn_predictor_free(sn_predictor *self)
{
    if (self == NULL)
        return;
    unbind(self);
    sn_device_close(self->backend, self->device);
    sn_free(self);
}

/* ---- the network ---- */

static sn_status make_graph(sn_graph **graph, const sn_predictor *self, const int64_t extent[3],
                            sn_error *error)
{
    sn_status status;
    const sn_model *model = self->model;
    SN_TRY(sn_graph_create(graph, SN_F32, error));
    SN_TRY(sn_arch_prediction_graph(*graph, &model->arch, model->preprocessing.channels, extent,
                                    model->labels->count, error));
    SN_TRY(sn_fold_graph(*graph, error));
done:
    if (status != SN_OK) {
        sn_graph_free(*graph);
        *graph = NULL;
    }
    return status;
}

static sn_status planned_bytes(int64_t *bytes, const sn_predictor *self, const int64_t extent[3],
                               sn_error *error)
{
    sn_status status;
    sn_graph *graph = NULL;
    sn_plan plan = {0};
    SN_TRY(make_graph(&graph, self, extent, error));
    SN_TRY(sn_plan_make(&plan, graph, self->backend, self->device, error));
    *bytes = (int64_t)sn_plan_peak_bytes(&plan);
done:
    sn_plan_clear(&plan);
    sn_graph_free(graph);
    return status;
}

/* Bind the network for an extent and upload its weights, folded, unless it is bound for it already. */
static sn_status bind(sn_predictor *self, const int64_t extent[3], sn_error *error)
{
    sn_status status;
    if (self->executor != NULL && memcmp(self->extent, extent, sizeof self->extent) == 0)
        return SN_OK;
    unbind(self);
    SN_TRY(make_graph(&self->graph, self, extent, error));
    SN_TRY(sn_executor_create(&self->executor, self->graph, self->backend, self->device, error));
    sn_weights_upload(&self->model->weights, self->graph, self->executor, SN_WEIGHTS_NETWORK);
    SN_TRY(sn_fold_weights(self->executor, self->graph, error));
    memcpy(self->extent, extent, sizeof self->extent);
done:
    if (status != SN_OK)
        unbind(self);
    return status;
}

sn_status sn_predictor_create(sn_predictor **predictor, const sn_model *model, const char *source,
                              const sn_predictor_options *options, sn_error *error)
{
    sn_status status;
    sn_predictor *self = NULL;
    sn_graph *graph = NULL;
    *predictor = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->model = model;
    self->source = source;
    self->options = *options;
    SN_TRY(sn_device_open(&self->backend, &self->device, options->device, options->precision,
                          options->threads, error));
    SN_TRY(make_graph(&graph, self, model->preprocessing.size, error));
    SN_TRY(sn_weights_check(&model->weights, graph, SN_WEIGHTS_NETWORK, source, error));
    *predictor = self;
    self = NULL;
done:
    sn_graph_free(graph);
    sn_predictor_free(self);
    return status;
}

/* ---- tiles ---- */

/* Halve a tile's longest axis, to a multiple of the unit; false where it cannot be halved any more. */
static bool halve_tile(tiling *tiles)
{
    int longest = 0;
    for (int a = 1; a < 3; a++)
        longest = tiles->tile[a] > tiles->tile[longest] ? a : longest;
    int64_t half = sn_round_up((tiles->tile[longest] + 1) / 2, tiles->unit);
    bool smaller = half < tiles->tile[longest];
    tiles->tile[longest] = half;
    return smaller;
}

/* The whole image, or the largest tile within the budget. */
static sn_status choose_tiling(tiling *tiles, int64_t *bytes, const sn_predictor *self,
                               const int64_t extent[3], sn_error *error)
{
    sn_status status;
    int64_t budget = self->options.memory;
    *tiles = (tiling){.unit = (int64_t)1 << sn_arch_poolings(&self->model->arch)};
    memcpy(tiles->extent, extent, sizeof tiles->extent);
    memcpy(tiles->tile, extent, sizeof tiles->tile);
    SN_TRY(planned_bytes(bytes, self, tiles->tile, error));
    while (budget > 0 && *bytes > budget) {
        if (!halve_tile(tiles)) {
            status = sn_error_set(
                error, SN_ERR_MEMORY,
                "%s: needs %.0f MiB even for a tile of %dx%dx%d and the budget is %.0f MiB; raise "
                "--memory",
                self->source, (double)*bytes / 0x1p20, (int)tiles->tile[0], (int)tiles->tile[1],
                (int)tiles->tile[2], (double)budget / 0x1p20);
            goto done;
        }
        SN_TRY(planned_bytes(bytes, self, tiles->tile, error));
    }
    for (int a = 0; a < 3; a++) {
        int64_t stride = (tiles->tile[a] + 1) / 2, rest = extent[a] - tiles->tile[a];
        tiles->count[a] = rest <= 0 ? 1 : 1 + (int)((rest + stride - 1) / stride);
    }
done:
    return status;
}

/* Evenly spread from 0 to the first multiple of the unit from which a tile reaches the end of the image. */
static void tile_start(int64_t start[3], const tiling *tiles, int number)
{
    for (int a = 2; a >= 0; a--) {
        int index = number % tiles->count[a];
        number /= tiles->count[a];
        int64_t last = sn_round_up(tiles->extent[a] - tiles->tile[a], tiles->unit);
        start[a] = index == 0 ? 0 : last * index / (tiles->count[a] - 1) / tiles->unit * tiles->unit;
    }
}

/* How much of a tile lies inside the image. */
static void tile_inside(int64_t inside[3], const tiling *tiles, const int64_t start[3])
{
    for (int a = 0; a < 3; a++) {
        int64_t rest = tiles->extent[a] - start[a];
        inside[a] = rest < tiles->tile[a] ? rest : tiles->tile[a];
    }
}

/* A tile's weight along one axis: a Gaussian about its middle, sigma an eighth of its length. */
static float axis_weight(int64_t position, int64_t length)
{
    double distance = ((double)position - 0.5 * (double)(length - 1)) / (0.125 * (double)length);
    return (float)exp(-0.5 * distance * distance);
}

/* Copy a tile (channels, tile) out of the image (channels, extent), with zeros where it reaches beyond. */
static void copy_tile(float *tile, const float *image, const tiling *tiles, const int64_t start[3],
                      int64_t channels)
{
    const int64_t *t = tiles->tile, *e = tiles->extent;
    int64_t inside[3];
    tile_inside(inside, tiles, start);
    memset(tile, 0, (size_t)(channels * t[0] * t[1] * t[2]) * sizeof *tile);
    for (int64_t c = 0; c < channels; c++)
        for (int64_t d = 0; d < inside[0]; d++)
            for (int64_t h = 0; h < inside[1]; h++)
                memcpy(tile + ((c * t[0] + d) * t[1] + h) * t[2],
                       image + ((c * e[0] + start[0] + d) * e[1] + start[1] + h) * e[2] + start[2],
                       (size_t)inside[2] * sizeof *tile);
}

/* sum += weight * tile, and total += weight, over the tile's place. */
static void add_tile(float *sum, float *total, const float *tile, const tiling *tiles, const int64_t start[3],
                     int64_t classes)
{
    const int64_t *t = tiles->tile, *e = tiles->extent;
    int64_t inside[3], voxels = e[0] * e[1] * e[2];
    tile_inside(inside, tiles, start);
    for (int64_t d = 0; d < inside[0]; d++)
        for (int64_t h = 0; h < inside[1]; h++) {
            float plane = axis_weight(d, t[0]) * axis_weight(h, t[1]);
            int64_t row = ((start[0] + d) * e[1] + start[1] + h) * e[2] + start[2];
            for (int64_t w = 0; w < inside[2]; w++) {
                float weight = plane * axis_weight(w, t[2]);
                total[row + w] += weight;
                for (int64_t c = 0; c < classes; c++)
                    sum[c * voxels + row + w] += weight * tile[((c * t[0] + d) * t[1] + h) * t[2] + w];
            }
        }
}

static void divide(float *sum, const float *total, int64_t classes, int64_t voxels)
{
    for (int64_t c = 0; c < classes; c++)
        for (int64_t v = 0; v < voxels; v++)
            sum[c * voxels + v] /= total[v];
}

/* ---- prediction ---- */

static sn_status run_network(sn_predictor *self, const float *image, float *probabilities, sn_error *error)
{
    sn_executor_upload(self->executor, sn_graph_find(self->graph, "image"), image);
    sn_status status = sn_executor_run(self->executor, 0, error);
    if (status == SN_OK)
        status = sn_executor_download(self->executor, sn_graph_find(self->graph, "probabilities"),
                                      probabilities, error);
    return status;
}

static sn_status run_tiles(sn_predictor *self, const tiling *tiles, const sn_volume *image,
                           sn_volume *probabilities, const sn_progress *progress, sn_error *error)
{
    sn_status status;
    int64_t classes = probabilities->channels, voxels = sn_grid_voxels(&image->grid);
    size_t tile_voxels = (size_t)(tiles->tile[0] * tiles->tile[1] * tiles->tile[2]);
    float *input = NULL, *output = NULL, *total = NULL;
    int count = tiles->count[0] * tiles->count[1] * tiles->count[2];
    SN_TRY(sn_alloc(&input, tile_voxels * (size_t)image->channels, sizeof *input, error));
    SN_TRY(sn_alloc(&output, tile_voxels * (size_t)classes, sizeof *output, error));
    SN_TRY(sn_alloc(&total, (size_t)voxels, sizeof *total, error));
    for (int i = 0; i < count; i++) {
        int64_t start[3];
        SN_TRY(sn_interrupt_check(error));
        sn_progress_report(progress, "tiles", i, count, NULL);
        tile_start(start, tiles, i);
        copy_tile(input, image->data, tiles, start, image->channels);
        SN_TRY(run_network(self, input, output, error));
        add_tile(probabilities->data, total, output, tiles, start, classes);
    }
    divide(probabilities->data, total, classes, voxels);
done:
    sn_free(input);
    sn_free(output);
    sn_free(total);
    return status;
}

static sn_status predict_probabilities(sn_volume **probabilities, sn_prediction_info *info,
                                       sn_predictor *self, const sn_volume *image,
                                       const sn_progress *progress, sn_error *error)
{
    sn_status status;
    tiling tiles;
    sn_prediction_info about;
    SN_TRY(choose_tiling(&tiles, &about.planned_bytes, self, image->grid.extent, error));
    SN_TRY(bind(self, tiles.tile, error));
    SN_TRY(sn_volume_create(probabilities, &image->grid, self->model->labels->count, error));
    about.tiles = tiles.count[0] * tiles.count[1] * tiles.count[2];
    memcpy(about.tile, tiles.tile, sizeof about.tile);
    if (about.tiles == 1)
        SN_TRY(run_network(self, image->data, (*probabilities)->data, error));
    else
        SN_TRY(run_tiles(self, &tiles, image, *probabilities, progress, error));
    if (info != NULL)
        *info = about;
done:
    return status;
}

sn_status sn_predict(sn_labelmap **labels, sn_prediction_info *info, sn_predictor *self,
                     const sn_volume *image, const sn_progress *progress, sn_error *error)
{
    sn_status status;
    const sn_preprocessing *preprocessing = &self->model->preprocessing;
    sn_grid grid;
    sn_volume *input = NULL, *probabilities = NULL;
    *labels = NULL;
    if (image->channels != preprocessing->channels)
        return sn_error_set(error, SN_ERR_INPUT, "the image has %d channels, the model %s expects %d",
                            (int)image->channels, self->source, preprocessing->channels);
    SN_TRY(sn_preprocess_grid(&grid, preprocessing, &image->grid, error));
    SN_TRY(sn_preprocess_image(&input, image, &grid, error));
    SN_TRY(predict_probabilities(&probabilities, info, self, input, progress, error));
    SN_TRY(sn_labelmap_from_probabilities(labels, probabilities, self->model->labels->values, &image->grid,
                                          error));
done:
    sn_volume_free(input);
    sn_volume_free(probabilities);
    return status;
}

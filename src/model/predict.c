#include "model/predict.h"

#include <string.h>

#include "arch/build.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "model/tiles.h"
#include "model/weights.h"
#include "nn/fold.h"
#include "volume/labeller.h"

/* What graphs are made of. */
typedef struct network {
    const sn_arch *arch;
    int channels, classes;
} network;

struct sn_predictor {
    const sn_model *model;
    const char *source;
    sn_predictor_options options;
    network network;
    const sn_backend *backend;
    sn_device *device;
    /* The network bound for one extent; kept, since the images of a cohort often share it. */
    int64_t extent[3];
    sn_graph *graph;
    sn_executor *executor;
};

/* One image's way through it. */
typedef struct prediction {
    const sn_volume *image;
    sn_grid grid; /* the network's */
    sn_tiling tiles;
    sn_volume *input; /* the image on the network's grid */
    sn_layers layers; /* probabilities */
    sn_labelmap *labels;
    sn_labeller *labeller;
} prediction;

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

static sn_status make_graph(sn_graph **graph, const network *of, const int64_t extent[3], sn_error *error)
{
    sn_status status;
    SN_TRY(sn_graph_create(graph, SN_F32, error));
    SN_TRY(sn_arch_prediction_graph(*graph, of->arch, of->channels, extent, of->classes, error));
    SN_TRY(sn_fold_graph(*graph, error));
done:
    if (status != SN_OK) {
        sn_graph_free(*graph);
        *graph = NULL;
    }
    return status;
}

static sn_status network_bytes(int64_t *bytes, const network *of, const int64_t extent[3],
                               const sn_backend *backend, sn_device *device, sn_error *error)
{
    sn_status status;
    sn_graph *graph = NULL;
    sn_plan plan = {0};
    SN_TRY(make_graph(&graph, of, extent, error));
    SN_TRY(sn_plan_make(&plan, graph, backend, device, error));
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
    SN_TRY(make_graph(&self->graph, &self->network, extent, error));
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
    self->network = (network){&model->arch, model->preprocessing.channels, model->labels->count};
    SN_TRY(sn_device_open(&self->backend, &self->device, options->device, options->precision,
                          options->threads, error));
    SN_TRY(make_graph(&graph, &self->network, model->preprocessing.size, error));
    SN_TRY(sn_weights_check(&model->weights, graph, SN_WEIGHTS_NETWORK, source, error));
    *predictor = self;
    self = NULL;
done:
    sn_graph_free(graph);
    sn_predictor_free(self);
    return status;
}

/* ---- memory ---- */

/* Layers of probabilities that are there at once: a row of tiles', and the last one before them. */
static int64_t layers_at_once(const sn_tiling *tiles)
{
    return tiles->tile[0] < tiles->extent[0] ? tiles->tile[0] + 1 : tiles->extent[0];
}

static int64_t largest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* All that the prediction of an image takes, beside the network, on its own grid: images and label map, and while
 * labels are made probabilities and tiles; while the image is resampled two volumes more. */
static sn_status image_bytes(int64_t *bytes, const network *of, const sn_grid *image, const sn_grid *grid,
                             const sn_tiling *tiles, sn_error *error)
{
    int64_t at_labelling, voxels = sn_grid_voxels(image), resampled = sn_grid_voxels(grid);
    sn_status status = sn_labeller_bytes(&at_labelling, grid, image, error);
    if (status != SN_OK)
        return status;
    int64_t values = of->classes * layers_at_once(tiles) * grid->extent[1] * grid->extent[2];
    if (sn_tiling_count(tiles) > 1)
        values += (of->channels + of->classes) * sn_tiling_voxels(tiles);
    at_labelling += values * (int64_t)sizeof(float);
    int64_t at_resampling = 2 * largest(voxels, resampled) * (int64_t)sizeof(float);
    *bytes = (of->channels * (voxels + resampled) + voxels) * (int64_t)sizeof(float) +
             largest(at_labelling, at_resampling);
    return SN_OK;
}

sn_status sn_prediction_plan(sn_prediction_memory *memory, const sn_arch *arch, int channels, int classes,
                             const int64_t size[3], const char *device, sn_precision precision,
                             sn_error *error)
{
    static const double millimetres[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    sn_status status;
    const network of = {arch, channels, classes};
    const sn_backend *backend = NULL;
    sn_device *opened = NULL;
    sn_grid grid;
    sn_tiling whole = sn_tiling_whole(size, 1);
    *memory = (sn_prediction_memory){0};
    SN_TRY(sn_grid_make(&grid, size, millimetres, error));
    SN_TRY(sn_device_open(&backend, &opened, device, precision, 1, error));
    SN_TRY(network_bytes(&memory->network, &of, size, backend, opened, error));
    SN_TRY(image_bytes(&memory->image, &of, &grid, &grid, &whole, error));
done:
    sn_device_close(backend, opened);
    return status;
}

static bool is_within(int64_t bytes, int64_t budget)
{
    return budget == 0 || bytes <= budget;
}

/* On the processor both share one memory. */
static bool fits(const sn_predictor *self, const sn_prediction_memory *memory)
{
    const sn_predictor_options *options = &self->options;
    if (!sn_device_is_gpu(options->device))
        return is_within(memory->network + memory->image, options->memory);
    return is_within(memory->network, options->memory) && is_within(memory->image, options->host_memory);
}

static sn_status too_large(const sn_predictor *self, const prediction *p, const sn_prediction_memory *memory,
                           sn_error *error)
{
    const sn_predictor_options *options = &self->options;
    const int64_t *extent = p->tiles.extent, *tile = p->tiles.tile;
    bool gpu = sn_device_is_gpu(options->device);
    bool host = gpu && is_within(memory->network, options->memory);
    int64_t needed = host ? memory->image : memory->network + (gpu ? 0 : memory->image);
    int64_t budget = host ? options->host_memory : options->memory;
    return sn_error_set(error, SN_ERR_MEMORY,
                        "%s: an image of %dx%dx%d voxels needs %.0f MiB%s even in tiles of %dx%dx%d, and the "
                        "budget is %.0f MiB; %s",
                        self->source, (int)extent[0], (int)extent[1], (int)extent[2], (double)needed / 0x1p20,
                        host ? " of the machine's memory" : "", (int)tile[0], (int)tile[1], (int)tile[2],
                        (double)budget / 0x1p20, host ? "end other programs" : "raise --memory");
}

/* Halve the layers of a row of tiles where their probabilities are what needs most, else the longest axis. */
static bool make_smaller(sn_tiling *tiles, const sn_prediction_memory *memory)
{
    int longest = 0;
    for (int a = 1; a < 3; a++)
        longest = tiles->tile[a] > tiles->tile[longest] ? a : longest;
    return (memory->image > memory->network && sn_tiling_halve(tiles, 0)) || sn_tiling_halve(tiles, longest);
}

/* The whole image, or the largest tile within the budget. */
static sn_status choose_tiling(prediction *p, sn_prediction_memory *memory, const sn_predictor *self,
                               sn_error *error)
{
    sn_status status;
    p->tiles = sn_tiling_whole(p->grid.extent, (int64_t)1 << sn_arch_poolings(self->network.arch));
    for (;;) {
        SN_TRY(network_bytes(&memory->network, &self->network, p->tiles.tile, self->backend, self->device,
                             error));
        SN_TRY(image_bytes(&memory->image, &self->network, &p->image->grid, &p->grid, &p->tiles, error));
        if (fits(self, memory))
            break;
        if (!make_smaller(&p->tiles, memory)) {
            status = too_large(self, p, memory, error);
            break;
        }
    }
done:
    return status;
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

/* Drop the layers before `first`, and begin as many new ones behind the others with 0. */
static void layers_move(sn_layers *layers, int64_t first, int64_t plane, int64_t classes)
{
    int64_t gone = first - layers->first, kept = layers->depth - gone;
    for (int64_t c = 0; c < classes; c++) {
        float *own = layers->data + c * layers->depth * plane;
        memmove(own, own + gone * plane, (size_t)(kept * plane) * sizeof *own);
        memset(own + kept * plane, 0, (size_t)(gone * plane) * sizeof *own);
    }
    layers->first = first;
}

/* Row after row of tiles: what the next row does not reach is final. */
static sn_status run_tiles(prediction *p, sn_predictor *self, const sn_progress *progress, sn_error *error)
{
    sn_status status;
    sn_tiling *tiles = &p->tiles;
    sn_layers *layers = &p->layers;
    const int64_t plane = tiles->extent[1] * tiles->extent[2];
    size_t voxels = (size_t)sn_tiling_voxels(tiles);
    const int channels = self->network.channels, classes = self->network.classes;
    const int row = tiles->count[1] * tiles->count[2], count = sn_tiling_count(tiles);
    float *input = NULL, *output = NULL;
    SN_TRY(sn_tiling_weigh(tiles, error));
    SN_TRY(sn_alloc(&input, voxels * (size_t)channels, sizeof *input, error));
    SN_TRY(sn_alloc(&output, voxels * (size_t)classes, sizeof *output, error));
    for (int i = 0; i < count; i++) {
        const int index[3] = {i / row, i / tiles->count[2] % tiles->count[1], i % tiles->count[2]};
        SN_TRY(sn_interrupt_check(error));
        sn_progress_report(progress, "tiles", i, count, NULL);
        sn_tile_copy(input, p->input->data, tiles, index, channels);
        SN_TRY(run_network(self, input, output, error));
        sn_tile_add(layers->data, layers->first, layers->depth, output, tiles, index, classes);
        if ((i + 1) % row != 0)
            continue;
        int64_t start[3] = {tiles->extent[0]};
        if (i + 1 < count)
            sn_tile_start(start, tiles, (const int[]){index[0] + 1, 0, 0});
        SN_TRY(sn_labeller_add(p->labeller, layers, start[0], error));
        layers_move(layers, start[0] - 1, plane, classes);
    }
done:
    sn_free(input);
    sn_free(output);
    return status;
}

static sn_status run_whole(prediction *p, sn_predictor *self, sn_error *error)
{
    sn_status status = run_network(self, p->input->data, p->layers.data, error);
    return status == SN_OK ? sn_labeller_add(p->labeller, &p->layers, p->layers.depth, error) : status;
}

static void prediction_clear(prediction *p)
{
    sn_tiling_clear(&p->tiles);
    sn_volume_free(p->input);
    sn_free(p->layers.data);
    sn_labeller_free(p->labeller);
    sn_labelmap_free(p->labels);
}

sn_status sn_predict(sn_labelmap **labels, sn_prediction_info *info, sn_predictor *self,
                     const sn_volume *image, const sn_progress *progress, sn_error *error)
{
    sn_status status;
    const sn_model *model = self->model;
    const int classes = self->network.classes;
    sn_prediction_info about;
    prediction p = {.image = image};
    *labels = NULL;
    if (image->channels != self->network.channels)
        return sn_error_set(error, SN_ERR_INPUT, "the image has %d channels, the model %s expects %d",
                            (int)image->channels, self->source, self->network.channels);
    SN_TRY(sn_preprocess_grid(&p.grid, &model->preprocessing, &image->grid, error));
    SN_TRY(choose_tiling(&p, &about.memory, self, error));
    SN_TRY(bind(self, p.tiles.tile, error));
    SN_TRY(sn_preprocess_image(&p.input, image, &p.grid, error));
    SN_TRY(sn_labelmap_create(&p.labels, &image->grid, error));
    SN_TRY(sn_labeller_create(&p.labeller, p.labels, &p.grid, model->labels->values, classes, error));
    p.layers.depth = layers_at_once(&p.tiles);
    SN_TRY(sn_alloc(&p.layers.data, (size_t)(classes * p.layers.depth),
                    (size_t)(p.grid.extent[1] * p.grid.extent[2]) * sizeof(float), error));
    about.tiles = sn_tiling_count(&p.tiles);
    memcpy(about.tile, p.tiles.tile, sizeof about.tile);
    if (about.tiles == 1)
        SN_TRY(run_whole(&p, self, error));
    else
        SN_TRY(run_tiles(&p, self, progress, error));
    *labels = p.labels;
    p.labels = NULL;
    if (info != NULL)
        *info = about;
done:
    prediction_clear(&p);
    return status;
}

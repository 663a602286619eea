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
    sn_dtype values; /* on the device */
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
    int classes;
    sn_grid grid; /* the network's */
    sn_tiling tiles;
    sn_volume *input; /* the image on the network's grid */
    sn_slices slices; /* probabilities */
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
    SN_TRY(sn_graph_create(graph, of->values, error));
    SN_TRY(sn_arch_prediction_graph(*graph, of->arch, of->channels, extent, of->classes, error));
    SN_TRY(sn_fold_graph(*graph, error));
done:
    if (status != SN_OK) {
        sn_graph_free(*graph);
        *graph = NULL;
    }
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
    SN_TRY(sn_device_open(&self->backend, &self->device, options->device, options->precision,
                          options->threads, error));
    self->network = (network){&model->arch, model->preprocessing.channels, model->labels->count,
                              sn_backend_values(self->backend, self->device)};
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

/* Slices of probabilities that are there at once: a slab of tiles', and the last one before them. */
static int64_t slices_at_once(const sn_tiling *tiles)
{
    return tiles->tile[0] < tiles->extent[0] ? tiles->tile[0] + 1 : tiles->extent[0];
}

/* What a prediction takes in tiles of some size, in bytes. */
typedef struct memory_need {
    int64_t network; /* on the device */
    int64_t
        fixed; /* the model, the image as it is and on the network's grid, the label map and what makes it */
    int64_t tiles; /* probabilities and tiles */
} memory_need;

static int64_t image_need(const memory_need *need)
{
    return need->fixed + need->tiles;
}

static sn_status plan_network(memory_need *need, const network *of, const sn_tiling *tiles,
                              const sn_backend *backend, sn_device *device, sn_error *error)
{
    sn_status status;
    sn_graph *graph = NULL;
    sn_plan plan = {0};
    SN_TRY(make_graph(&graph, of, tiles->tile, error));
    SN_TRY(sn_plan_make(&plan, graph, backend, device, error));
    need->network = (int64_t)sn_plan_peak_bytes(&plan);
    need->fixed = sn_graph_parameters(graph) * (int64_t)sizeof(float);
done:
    sn_plan_clear(&plan);
    sn_graph_free(graph);
    return status;
}

static sn_status plan_all(memory_need *need, const network *of, const sn_tiling *tiles, const sn_grid *image,
                          const sn_grid *grid, const sn_backend *backend, sn_device *device, sn_error *error)
{
    sn_status status;
    const int64_t voxels = sn_grid_voxels(image), resampled = sn_grid_voxels(grid), bytes = sizeof(float);
    int64_t labeller, values = of->classes * slices_at_once(tiles) * grid->extent[1] * grid->extent[2];
    if (sn_tiling_count(tiles) > 1)
        values += (of->channels + of->classes) * sn_tiling_voxels(tiles);
    SN_TRY(plan_network(need, of, tiles, backend, device, error));
    SN_TRY(sn_labeller_bytes(&labeller, grid, image, error));
    need->fixed += (of->channels * (voxels + resampled) + voxels) * bytes + labeller;
    need->tiles = values * bytes;
done:
    return status;
}

sn_status sn_prediction_plan(sn_prediction_memory *memory, const sn_arch *arch, int channels, int classes,
                             const int64_t size[3], const char *device, sn_precision precision,
                             sn_error *error)
{
    static const double millimetres[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    sn_status status;
    network of;
    const sn_backend *backend = NULL;
    sn_device *opened = NULL;
    sn_grid grid;
    memory_need need;
    const sn_tiling whole = sn_tiling_whole(size, 1);
    SN_TRY(sn_grid_make(&grid, size, millimetres, error));
    SN_TRY(sn_device_open(&backend, &opened, device, precision, 1, error));
    of = (network){arch, channels, classes, sn_backend_values(backend, opened)};
    SN_TRY(plan_all(&need, &of, &whole, &grid, &grid, backend, opened, error));
    *memory = (sn_prediction_memory){need.network, image_need(&need)};
done:
    sn_device_close(backend, opened);
    return status;
}

static bool is_within(int64_t bytes, int64_t budget)
{
    return budget == 0 || bytes <= budget;
}

/* On the processor the network shares its memory with all else. */
static bool network_fits(const sn_predictor *self, const memory_need *need)
{
    int64_t beside = sn_device_is_gpu(self->options.device) ? 0 : image_need(need);
    return is_within(need->network + beside, self->options.memory);
}

static bool image_fits(const sn_predictor *self, const memory_need *need)
{
    return !sn_device_is_gpu(self->options.device) || is_within(image_need(need), self->options.host_memory);
}

static sn_status too_large(const sn_predictor *self, const sn_tiling *tiles, const memory_need *need,
                           sn_error *error)
{
    const sn_predictor_options *options = &self->options;
    const int64_t *extent = tiles->extent, *tile = tiles->tile;
    bool gpu = sn_device_is_gpu(options->device), host = network_fits(self, need);
    int64_t needed = (gpu && host ? 0 : need->network) + (gpu && !host ? 0 : image_need(need));
    int64_t budget = host ? options->host_memory : options->memory;
    return sn_error_set(
        error, SN_ERR_MEMORY,
        "its %dx%dx%d voxels need %.0f MiB with %s even in tiles of %dx%dx%d, and the %s is %.0f MiB; %s",
        (int)extent[0], (int)extent[1], (int)extent[2], (double)needed / 0x1p20, self->source, (int)tile[0],
        (int)tile[1], (int)tile[2], host ? "share of this machine's memory" : "budget",
        (double)budget / 0x1p20, host ? "use one that has more" : "raise --memory");
}

/* Fewer slices at once where their probabilities are what does not fit, or needs more than the network; else the longest
 * axis is halved. */
static bool make_smaller(sn_tiling *tiles, const sn_predictor *self, const memory_need *need)
{
    int longest = 0;
    for (int a = 1; a < 3; a++)
        longest = tiles->tile[a] > tiles->tile[longest] ? a : longest;
    bool fewer =
        sn_device_is_gpu(self->options.device) ? network_fits(self, need) : need->tiles > need->network;
    return (fewer && sn_tiling_halve(tiles, 0)) || sn_tiling_halve(tiles, longest);
}

/* The whole image, or the largest tile within the budget. */
static sn_status choose_tiling(prediction *p, sn_prediction_memory *memory, const sn_predictor *self,
                               sn_error *error)
{
    sn_status status;
    memory_need need;
    p->tiles = sn_tiling_whole(p->grid.extent, (int64_t)1 << sn_arch_poolings(self->network.arch));
    for (;;) {
        SN_TRY(plan_all(&need, &self->network, &p->tiles, &p->image->grid, &p->grid, self->backend,
                        self->device, error));
        if (network_fits(self, &need) && image_fits(self, &need))
            break;
        if (!make_smaller(&p->tiles, self, &need)) {
            status = too_large(self, &p->tiles, &need, error);
            break;
        }
    }
    *memory = (sn_prediction_memory){need.network, image_need(&need)};
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

/* Drop the slices before `first`, and begin as many new ones behind the others with 0. */
static void slices_move(sn_slices *slices, int64_t first, int64_t plane, int64_t classes)
{
    int64_t gone = first - slices->first, kept = slices->depth - gone;
    for (int64_t c = 0; c < classes; c++) {
        float *own = slices->data + c * slices->depth * plane;
        memmove(own, own + gone * plane, (size_t)(kept * plane) * sizeof *own);
        memset(own + kept * plane, 0, (size_t)(gone * plane) * sizeof *own);
    }
    slices->first = first;
}

/* The slices before `end` are final. */
static void finish_slices(prediction *p, int64_t end)
{
    const int64_t *extent = p->grid.extent;
    sn_labeller_add(p->labeller, &p->slices, end);
    if (end < extent[0])
        slices_move(&p->slices, end - 1, extent[1] * extent[2], p->classes);
}

/* Slab after slab: what the next one does not reach is final. */
static sn_status run_tiles(prediction *p, sn_predictor *self, const sn_progress *progress, sn_error *error)
{
    sn_status status;
    sn_tiling *tiles = &p->tiles;
    size_t voxels = (size_t)sn_tiling_voxels(tiles);
    const int channels = self->network.channels, classes = self->network.classes;
    const int slab = tiles->count[1] * tiles->count[2], count = sn_tiling_count(tiles);
    float *input = NULL, *output = NULL;
    SN_TRY(sn_tiling_weigh(tiles, error));
    SN_TRY(sn_alloc(&input, voxels * (size_t)channels, sizeof *input, error));
    SN_TRY(sn_alloc(&output, voxels * (size_t)classes, sizeof *output, error));
    for (int i = 0; i < count; i++) {
        const int index[3] = {i / slab, i / tiles->count[2] % tiles->count[1], i % tiles->count[2]};
        int64_t next[3] = {tiles->extent[0]};
        SN_TRY(sn_interrupt_check(error));
        sn_progress_report(progress, "tiles", i, count, NULL);
        sn_tile_copy(input, p->input->data, tiles, index, channels);
        SN_TRY(run_network(self, input, output, error));
        sn_tile_add(&p->slices, output, tiles, index, classes);
        if (i + slab < count)
            sn_tile_start(next, tiles, (const int[]){index[0] + 1, 0, 0});
        if ((i + 1) % slab == 0)
            finish_slices(p, next[0]);
    }
done:
    sn_free(input);
    sn_free(output);
    return status;
}

static sn_status run_whole(prediction *p, sn_predictor *self, sn_error *error)
{
    sn_status status = run_network(self, p->input->data, p->slices.data, error);
    if (status == SN_OK)
        finish_slices(p, p->slices.depth);
    return status;
}

static void prediction_clear(prediction *p)
{
    sn_tiling_clear(&p->tiles);
    sn_volume_free(p->input);
    sn_free(p->slices.data);
    sn_labeller_free(p->labeller);
    sn_labelmap_free(p->labels);
}

/* To read the next image while the network is still there: half of the budget. */
static bool leaves_room(const sn_predictor *self, const sn_prediction_memory *memory)
{
    return sn_device_is_gpu(self->options.device) || is_within(2 * memory->network, self->options.memory);
}

sn_status sn_predict(sn_labelmap **labels, sn_prediction_info *info, sn_predictor *self,
                     const sn_volume *image, const sn_progress *progress, sn_error *error)
{
    sn_status status;
    const sn_model *model = self->model;
    sn_prediction_info about;
    prediction p = {.image = image, .classes = self->network.classes};
    *labels = NULL;
    if (image->channels != self->network.channels)
        return sn_error_set(error, SN_ERR_INPUT, "the image has %d channels, the model %s expects %d",
                            (int)image->channels, self->source, self->network.channels);
    SN_TRY(sn_preprocess_grid(&p.grid, &model->preprocessing, &image->grid, error));
    SN_TRY(choose_tiling(&p, &about.memory, self, error));
    SN_TRY(bind(self, p.tiles.tile, error));
    SN_TRY(sn_preprocess_image(&p.input, image, &p.grid, self->options.threads, error));
    SN_TRY(sn_labelmap_create(&p.labels, &image->grid, error));
    SN_TRY(sn_labeller_create(&p.labeller, p.labels, &p.grid, model->labels->values, p.classes,
                              self->options.threads, error));
    p.slices.depth = slices_at_once(&p.tiles);
    SN_TRY(sn_alloc(&p.slices.data, (size_t)(p.classes * p.slices.depth),
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
    if (!leaves_room(self, &about.memory))
        unbind(self);
done:
    prediction_clear(&p);
    return status;
}

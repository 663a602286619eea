#include "dataset/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "volume/nifti.h"

/* ---- the file of one case: a header of one page, the image, the labels ---- */

typedef struct case_header {
    char key[SN_HASH_TEXT];             /* what the file was made from: case_key */
    char content[SN_HASH_TEXT];         /* hash of all that follows: voxels, the image, the labels */
    int64_t voxels[SN_CLASSES_MAX + 1]; /* by class */
} case_header;

enum { HEADER_BYTES = 4096 }; /* the image begins on a page */
_Static_assert(sizeof(case_header) <= HEADER_BYTES, "the header fits its page");

typedef struct case_map {
    const case_header *header; /* NULL: not mapped */
    size_t size;
} case_map;

static int64_t box_voxels(const sn_preprocessing *p)
{
    return p->size[0] * p->size[1] * p->size[2];
}

static size_t image_bytes(const sn_preprocessing *p)
{
    return (size_t)(p->channels * box_voxels(p)) * sizeof(float);
}

static size_t case_bytes(const sn_preprocessing *p)
{
    return HEADER_BYTES + image_bytes(p) + (size_t)box_voxels(p);
}

static sn_status case_path(char **path, const sn_cache_options *options, const sn_case *item, sn_error *error)
{
    return sn_string_format(path, error, "%s/%s.case", options->folder, item->name);
}

/* The hash of everything that decides a case's content. */
static sn_status case_key(char key[SN_HASH_TEXT], const sn_cache_options *options, const sn_case *item,
                          sn_error *error)
{
    sn_hash *hash;
    const sn_preprocessing *p = &options->preprocessing;
    sn_status status = sn_hash_begin(&hash, error);
    if (status != SN_OK)
        return status;
    sn_hash_add_text(hash, "segnas3d case %d data %s case %s", SN_PREPROCESS_REVISION, options->fingerprint,
                     item->name);
    sn_hash_add_text(hash, "spacing %a size %" PRId64 " %" PRId64 " %" PRId64 " channels %d", p->spacing_mm,
                     p->size[0], p->size[1], p->size[2], p->channels);
    sn_hash_end(hash, key);
    return SN_OK;
}

static void case_unmap(case_map *map)
{
    if (map->header != NULL)
        munmap((void *)map->header, map->size);
    map->header = NULL;
}

/*
 * Map a case's file; `header` stays NULL where it is missing, of another size, or made from something
 * else.
 */
static sn_status case_map_open(case_map *map, const sn_cache_options *options, const sn_case *item,
                               sn_error *error)
{
    sn_status status;
    char key[SN_HASH_TEXT];
    char *path = NULL;
    int file = -1;
    struct stat info;
    *map = (case_map){NULL, case_bytes(&options->preprocessing)};
    SN_TRY(case_key(key, options, item, error));
    SN_TRY(case_path(&path, options, item, error));
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &info) != 0 || (size_t)info.st_size != map->size)
        goto done;
    void *memory = mmap(NULL, map->size, PROT_READ, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) {
        status = sn_error_set(error, SN_ERR_IO, "%s: cannot map: %s", path, strerror(errno));
        goto done;
    }
    map->header = memory;
    if (strncmp(map->header->key, key, SN_HASH_TEXT) != 0)
        case_unmap(map);
done:
    if (file >= 0)
        close(file);
    sn_free(path);
    return status;
}

static const float *case_image(const case_map *map)
{
    return (const float *)((const char *)map->header + HEADER_BYTES);
}

static sn_status content_hash(char text[SN_HASH_TEXT], const case_header *header, const void *image,
                              const uint8_t *labels, const sn_preprocessing *p, sn_error *error)
{
    sn_hash *hash;
    sn_status status = sn_hash_begin(&hash, error);
    if (status != SN_OK)
        return status;
    sn_hash_add(hash, header->voxels, sizeof header->voxels);
    sn_hash_add(hash, image, image_bytes(p));
    sn_hash_add(hash, labels, (size_t)box_voxels(p));
    sn_hash_end(hash, text);
    return SN_OK;
}

/* ---- building ---- */

/* Is the case's file there, made from the same, and undamaged? */
static sn_status case_is_sound(bool *sound, const sn_cache_options *options, const sn_case *item,
                               sn_error *error)
{
    const sn_preprocessing *p = &options->preprocessing;
    char text[SN_HASH_TEXT];
    case_map map;
    sn_status status = case_map_open(&map, options, item, error);
    *sound = false;
    if (status != SN_OK || map.header == NULL)
        return status;
    const uint8_t *labels = (const uint8_t *)case_image(&map) + image_bytes(p);
    status = content_hash(text, map.header, case_image(&map), labels, p, error);
    *sound = status == SN_OK && strncmp(text, map.header->content, SN_HASH_TEXT) == 0;
    case_unmap(&map);
    return status;
}

/* Preprocess a case's image and labels. Both are the caller's. */
static sn_status case_preprocess(sn_volume **image, uint8_t **labels, const sn_dataset *dataset,
                                 const sn_case *item, const sn_preprocessing *p, sn_error *error)
{
    sn_status status;
    sn_volume *scan = NULL;
    sn_labelmap *map = NULL;
    sn_grid grid;
    char difference[SN_GRID_DIFFERENCE];
    SN_TRY(sn_image_read(&scan, item->images, item->image_count, p->channels, error));
    SN_TRY(sn_nifti_read_labelmap(&map, item->label, error));
    if (!sn_grid_equal(&scan->grid, &map->grid, SN_GRID_TOLERANCE_MM, difference)) {
        status = sn_error_set(error, SN_ERR_INPUT, "%s: not on the grid of %s: %s; resample it", item->label,
                              item->images[0], difference);
        goto done;
    }
    SN_TRY(sn_preprocess_grid(&grid, p, &scan->grid, error));
    if (memcmp(grid.extent, p->size, sizeof grid.extent) != 0) {
        status = sn_error_set(error, SN_ERR_INPUT,
                              "%s: needs %" PRId64 "x%" PRId64 "x%" PRId64
                              " voxels at %.4g mm, the box has %" PRId64 "x%" PRId64 "x%" PRId64
                              "; determine the preprocessing from this data set",
                              item->images[0], grid.extent[0], grid.extent[1], grid.extent[2], p->spacing_mm,
                              p->size[0], p->size[1], p->size[2]);
        goto done;
    }
    SN_TRY(sn_preprocess_image(image, scan, &grid, 1, error));
    SN_TRY(sn_preprocess_labels(labels, map, dataset->labels, &grid, item->label, error));
done:
    sn_labelmap_free(map);
    sn_volume_free(scan);
    return status;
}

static sn_status case_write(const char *path, const case_header *header, const sn_volume *image,
                            const uint8_t *labels, const sn_preprocessing *p, sn_error *error)
{
    sn_status status;
    sn_file_writer *writer = NULL;
    char page[HEADER_BYTES] = {0};
    memcpy(page, header, sizeof *header);
    SN_TRY(sn_file_writer_open(&writer, path, error));
    FILE *stream = sn_file_writer_stream(writer); /* a failure shows in commit */
    fwrite(page, 1, sizeof page, stream);
    fwrite(image->data, 1, image_bytes(p), stream);
    fwrite(labels, 1, (size_t)box_voxels(p), stream);
    SN_TRY(sn_file_writer_commit(writer, error));
done:
    sn_file_writer_close(writer);
    return status;
}

static sn_status case_build(const sn_dataset *dataset, const sn_cache_options *options, const sn_case *item,
                            sn_error *error)
{
    sn_status status;
    const sn_preprocessing *p = &options->preprocessing;
    case_header header = {0};
    sn_volume *image = NULL;
    uint8_t *labels = NULL;
    char *path = NULL;
    SN_TRY(case_path(&path, options, item, error));
    SN_TRY(case_key(header.key, options, item, error));
    SN_TRY(case_preprocess(&image, &labels, dataset, item, p, error));
    for (int64_t i = 0; i < box_voxels(p); i++)
        header.voxels[labels[i]]++;
    SN_TRY(content_hash(header.content, &header, image->data, labels, p, error));
    SN_TRY(case_write(path, &header, image, labels, p, error));
done:
    sn_free(path);
    sn_free(labels);
    sn_volume_free(image);
    return status;
}

typedef struct builder {
    const sn_dataset *dataset;
    const sn_cache_options *options;
    const sn_progress *progress;
    int count;
    pthread_mutex_t lock; /* guards all below */
    int next, done;
    sn_status status; /* of the first failure */
    sn_error error;
} builder;

static int case_at(const sn_cache_options *options, int i)
{
    return options->cases == NULL ? i : options->cases[i];
}

static int case_count(const sn_dataset *dataset, const sn_cache_options *options)
{
    return options->cases == NULL ? dataset->count : options->case_count;
}

/* Make one case's file unless it is there. */
static sn_status case_ensure(const builder *self, const sn_case *item, sn_error *error)
{
    bool sound = false;
    sn_status status;
    SN_TRY(sn_interrupt_check(error));
    SN_TRY(case_is_sound(&sound, self->options, item, error));
    if (!sound)
        SN_TRY(case_build(self->dataset, self->options, item, error));
done:
    return status;
}

/* A thread's work: the next case, until none is left or one failed. */
static void *builder_run(void *argument)
{
    builder *self = argument;
    pthread_mutex_lock(&self->lock);
    while (self->status == SN_OK && self->next < self->count) {
        const sn_case *item = &self->dataset->cases[case_at(self->options, self->next++)];
        sn_error error = SN_ERROR_INIT;
        pthread_mutex_unlock(&self->lock);
        sn_status status = case_ensure(self, item, &error);
        pthread_mutex_lock(&self->lock);
        if (status != SN_OK && self->status == SN_OK) {
            self->status = status;
            self->error = error;
        }
        if (status == SN_OK)
            sn_progress_report(self->progress, "preprocessing", ++self->done, self->count, item->name);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

sn_status sn_cache_build(const sn_dataset *dataset, const sn_cache_options *options, int threads,
                         const sn_progress *progress, sn_error *error)
{
    enum { THREADS_MAX = 64 };
    pthread_t helpers[THREADS_MAX];
    int helper_count = 0;
    sn_status status = sn_folder_create(options->folder, error);
    if (status != SN_OK)
        return status;
    builder self = {
        .dataset = dataset, .options = options, .progress = progress, .count = case_count(dataset, options)};
    pthread_mutex_init(&self.lock, NULL);
    while (helper_count < threads - 1 && helper_count < THREADS_MAX &&
           pthread_create(&helpers[helper_count], NULL, builder_run, &self) == 0)
        helper_count++;
    builder_run(&self); /* this thread works too: enough where no helper could be had */
    for (int t = 0; t < helper_count; t++)
        pthread_join(helpers[t], NULL);
    pthread_mutex_destroy(&self.lock);
    if (self.status != SN_OK)
        return sn_error_set(error, self.status, "%s", self.error.text);
    return SN_OK;
}

/* ---- reading ---- */

struct sn_cache {
    sn_preprocessing preprocessing;
    int classes;
    int count;      /* cases of the data set */
    case_map *maps; /* (count) */
};

sn_status sn_cache_open(sn_cache **cache, const sn_dataset *dataset, const sn_cache_options *options,
                        sn_error *error)
{
    sn_status status;
    sn_cache *self = NULL;
    *cache = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    SN_TRY(sn_alloc(&self->maps, (size_t)dataset->count, sizeof *self->maps, error));
    self->preprocessing = options->preprocessing;
    self->classes = dataset->labels->count;
    self->count = dataset->count;
    for (int i = 0; i < case_count(dataset, options); i++) {
        const sn_case *item = &dataset->cases[case_at(options, i)];
        case_map *map = &self->maps[case_at(options, i)];
        if (map->header != NULL)
            continue; /* listed twice */
        SN_TRY(case_map_open(map, options, item, error));
        if (map->header == NULL) {
            status = sn_error_set(error, SN_ERR_INPUT,
                                  "%s/%s.case: missing, stale or damaged; build the cache again",
                                  options->folder, item->name);
            goto done;
        }
    }
    *cache = self;
    self = NULL;
done:
    sn_cache_close(self);
    return status;
}

void sn_cache_close(sn_cache *cache)
{
    if (cache == NULL)
        return;
    for (int i = 0; cache->maps != NULL && i < cache->count; i++)
        case_unmap(&cache->maps[i]);
    sn_free(cache->maps);
    sn_free(cache);
}

const int64_t *sn_cache_size(const sn_cache *cache)
{
    return cache->preprocessing.size;
}

int sn_cache_channels(const sn_cache *cache)
{
    return cache->preprocessing.channels;
}

int sn_cache_classes(const sn_cache *cache)
{
    return cache->classes;
}

const float *sn_cache_image(const sn_cache *cache, int case_index)
{
    return case_image(&cache->maps[case_index]);
}

const uint8_t *sn_cache_labels(const sn_cache *cache, int case_index)
{
    return (const uint8_t *)sn_cache_image(cache, case_index) + image_bytes(&cache->preprocessing);
}

void sn_cache_frequencies(double *frequencies, const sn_cache *cache, const int *cases, int case_count)
{
    double total = (double)box_voxels(&cache->preprocessing) * case_count;
    for (int c = 0; c < cache->classes; c++) {
        int64_t voxels = 0;
        for (int i = 0; i < case_count; i++)
            voxels += cache->maps[cases[i]].header->voxels[c];
        frequencies[c] = (double)voxels / total;
    }
}

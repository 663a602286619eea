#include "dataset/loader.h"

#include <pthread.h>
#include <string.h>

#include "base/memory.h"

enum {
    AHEAD = 2, /* cases in memory beyond the one in use */
    PAGE_BYTES = 4096,
};

struct sn_loader {
    const sn_cache *cache;
    int *cases; /* (count) */
    int count;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    int ready; /* cases whose pages are in memory */
    int taken; /* cases handed out */
    bool stop;
};

/* Read one byte of each page, which brings the page into memory. */
static void pages_touch(const void *memory, size_t size)
{
    const volatile char *bytes = memory;
    for (size_t i = 0; i < size; i += PAGE_BYTES)
        (void)bytes[i];
}

static void case_touch(const sn_cache *cache, int case_index)
{
    const int64_t *size = sn_cache_size(cache);
    size_t voxels = (size_t)(size[0] * size[1] * size[2]);
    pages_touch(sn_cache_image(cache, case_index), voxels * (size_t)sn_cache_channels(cache) * sizeof(float));
    pages_touch(sn_cache_labels(cache, case_index), voxels);
}

static void *loader_run(void *argument)
{
    sn_loader *self = argument;
    pthread_mutex_lock(&self->lock);
    for (int i = 0; i < self->count; i++) {
        while (!self->stop && i > self->taken + AHEAD)
            pthread_cond_wait(&self->changed, &self->lock);
        if (self->stop)
            break;
        pthread_mutex_unlock(&self->lock);
        case_touch(self->cache, self->cases[i]);
        pthread_mutex_lock(&self->lock);
        self->ready = i + 1;
        pthread_cond_broadcast(&self->changed);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

sn_status sn_loader_begin(sn_loader **loader, const sn_cache *cache, const int *cases, int count,
                          sn_error *error)
{
    sn_status status;
    sn_loader *self = NULL;
    *loader = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    SN_TRY(sn_alloc(&self->cases, (size_t)count, sizeof *cases, error));
    if (count > 0)
        memcpy(self->cases, cases, (size_t)count * sizeof *cases);
    self->cache = cache;
    self->count = count;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    int failure = pthread_create(&self->thread, NULL, loader_run, self);
    if (failure != 0) {
        pthread_cond_destroy(&self->changed);
        pthread_mutex_destroy(&self->lock);
        status = sn_error_set(error, SN_ERR_FAILED, "cannot start the loader thread: %s", strerror(failure));
        goto done;
    }
    *loader = self;
    self = NULL;
done:
    if (self != NULL)
        sn_free(self->cases);
    sn_free(self);
    return status;
}

bool sn_loader_next(sn_loader *loader, sn_sample *sample)
{
    pthread_mutex_lock(&loader->lock);
    bool any = loader->taken < loader->count;
    if (any) {
        while (loader->ready <= loader->taken)
            pthread_cond_wait(&loader->changed, &loader->lock);
        int index = loader->cases[loader->taken++];
        *sample =
            (sn_sample){index, sn_cache_image(loader->cache, index), sn_cache_labels(loader->cache, index)};
        pthread_cond_broadcast(&loader->changed);
    }
    pthread_mutex_unlock(&loader->lock);
    return any;
}

void sn_loader_end(sn_loader *loader)
{
    if (loader == NULL)
        return;
    pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->lock);
    pthread_join(loader->thread, NULL);
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->lock);
    sn_free(loader->cases);
    sn_free(loader);
}

#include "train/feed.h"

#include <assert.h>

#include "base/memory.h"
#include "dataset/loader.h"

struct sn_feed {
    const sn_cache *cache;
    const sn_train_graph *graph;
    sn_executor *executor;
    sn_loader *loader; /* of those in `cases` that were not kept at its beginning */
    int *cases;        /* (count) in their order */
    int count, next;
    int *kept; /* (room) the case at each place on the device */
    int room, kept_count;
};

/* ---- places on the device ---- */

/* One case after another: the image, then its labels, each aligned. */
static size_t part_bytes(const sn_feed *self, sn_tensor input)
{
    return sn_tensor_room(&sn_graph_tensor(self->graph->graph, input)->desc);
}

static size_t case_bytes(const sn_feed *self)
{
    return part_bytes(self, self->graph->image) + part_bytes(self, self->graph->labels);
}

/* The place of a case; kept_count where it is not kept. */
static int place_of(const sn_feed *self, int case_index)
{
    int place = 0;
    while (place < self->kept_count && self->kept[place] != case_index)
        place++;
    return place;
}

typedef void copy(sn_executor *executor, sn_tensor tensor, size_t offset);

/* Copy the graph's inputs to a place, or back. */
static void inputs_copy(sn_feed *self, int place, copy *how)
{
    size_t offset = (size_t)place * case_bytes(self);
    how(self->executor, self->graph->image, offset);
    how(self->executor, self->graph->labels, offset + part_bytes(self, self->graph->image));
}

/* ---- begin and end ---- */

sn_status sn_feed_create(sn_feed **feed, const sn_cache *cache, const sn_train_graph *graph,
                         sn_executor *executor, sn_error *error)
{
    sn_status status = sn_alloc(feed, 1, sizeof **feed, error);
    if (status == SN_OK)
        **feed = (sn_feed){.cache = cache, .graph = graph, .executor = executor};
    return status;
}

void sn_feed_free(sn_feed *feed)
{
    if (feed == NULL)
        return;
    sn_loader_end(feed->loader);
    sn_free(feed->cases);
    sn_free(feed->kept);
    sn_free(feed);
}

sn_status sn_feed_keep(sn_feed *feed, int cases, sn_error *error)
{
    sn_status status;
    SN_TRY(sn_alloc(&feed->kept, (size_t)cases, sizeof *feed->kept, error));
    SN_TRY(sn_executor_reserve(feed->executor, (size_t)cases * case_bytes(feed), error));
    feed->room = cases;
done:
    return status;
}

/* ---- a pass over cases ---- */

sn_status sn_feed_begin(sn_feed *feed, const int *cases, int count, sn_error *error)
{
    sn_status status;
    int *unknown = NULL, unknown_count = 0;
    sn_loader_end(feed->loader);
    sn_free(feed->cases);
    feed->loader = NULL;
    feed->cases = NULL;
    feed->count = feed->next = 0;
    SN_TRY(sn_alloc(&unknown, (size_t)count, sizeof *unknown, error));
    SN_TRY(sn_alloc(&feed->cases, (size_t)count, sizeof *cases, error));
    for (int i = 0; i < count; i++) {
        feed->cases[i] = cases[i];
        if (place_of(feed, cases[i]) == feed->kept_count)
            unknown[unknown_count++] = cases[i];
    }
    SN_TRY(sn_loader_begin(&feed->loader, feed->cache, unknown, unknown_count, error));
    feed->count = count;
done:
    sn_free(unknown);
    return status;
}

/* Send the case that was read next, and keep it where there is room. */
static void case_send(sn_feed *self, int case_index)
{
    sn_sample sample = {.case_index = -1};
    sn_loader_next(self->loader, &sample);
    assert(sample.case_index == case_index);
    sn_executor_upload(self->executor, self->graph->image, sample.image);
    sn_executor_upload(self->executor, self->graph->labels, sample.labels);
    if (self->kept_count == self->room)
        return;
    inputs_copy(self, self->kept_count, sn_executor_keep);
    self->kept[self->kept_count++] = case_index;
}

bool sn_feed_next(int *case_index, sn_feed *feed)
{
    if (feed->next == feed->count)
        return false;
    *case_index = feed->cases[feed->next++];
    int place = place_of(feed, *case_index);
    if (place < feed->kept_count)
        inputs_copy(feed, place, sn_executor_recall);
    else
        case_send(feed, *case_index);
    return true;
}

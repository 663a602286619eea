#include "train/together.h"

#include <string.h>

#include "base/memory.h"

/* What lies in several tensors, one after another. */
typedef struct tensors {
    sn_tensor *list;
    int count;
    int64_t values;
} tensors;

struct sn_together {
    sn_group *group;
    const sn_train_graph *graph;
    sn_executor *executor;
    tensors gradients, statistics;
    int64_t note;               /* bytes before a slice: the loss, the statistics, and what aligns */
    float *gradient;            /* (gradients.values) */
    float *sum;                 /* (own slice) of the batch so far */
    char *out, *in;             /* (members) parcels */
    int64_t parcel;             /* bytes of each in `out` and `in`: a note and the longest slice */
    float *statistic;           /* (statistics.values) of one image */
    sn_parcel *sent, *received; /* (members) */
};

/* ---- begin and end ---- */

/* The batch normalisations' statistics are what the program `running` reads. */
static bool is_statistic(const sn_train_graph *graph, sn_tensor tensor)
{
    for (int n = 0; n < sn_graph_node_count(graph->graph, graph->running); n++) {
        const sn_node *node = sn_graph_node(graph->graph, graph->running, n);
        if (node->inputs[0] == tensor || node->inputs[1] == tensor)
            return true;
    }
    return false;
}

static sn_status tensors_find(tensors *found, const sn_train_graph *graph, bool gradients, sn_error *error)
{
    int all = sn_graph_tensor_count(graph->graph);
    sn_status status = sn_alloc(&found->list, (size_t)all, sizeof *found->list, error);
    for (sn_tensor t = 0; t < all && status == SN_OK; t++) {
        const sn_tensor_info *info = sn_graph_tensor(graph->graph, t);
        if (gradients ? info->role != SN_ROLE_GRADIENT
                      : info->role != SN_ROLE_RESULT || !is_statistic(graph, t))
            continue;
        found->list[found->count++] = t;
        found->values += sn_tensor_count(&info->desc);
    }
    return status;
}

/* The first value of a slice. */
static int64_t slice_begin(const sn_together *self, int slice)
{
    return self->gradients.values * slice / sn_group_size(self->group);
}

static int64_t slice_size(const sn_together *self, int slice)
{
    return slice_begin(self, slice + 1) - slice_begin(self, slice);
}

sn_status sn_together_create(sn_together **together, sn_group *group, const sn_train_graph *graph,
                             sn_executor *executor, sn_error *error)
{
    sn_status status;
    sn_together *self = NULL;
    size_t members = (size_t)sn_group_size(group);
    *together = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->group = group;
    self->graph = graph;
    self->executor = executor;
    SN_TRY(tensors_find(&self->gradients, graph, true, error));
    SN_TRY(tensors_find(&self->statistics, graph, false, error));
    int64_t longest = self->gradients.values / (int64_t)members + 1;
    self->note = sn_round_up((int64_t)(sizeof(double) + (size_t)self->statistics.values * sizeof(float)),
                             SN_ALIGNMENT);
    self->parcel = sn_round_up(self->note + longest * (int64_t)sizeof(float), SN_ALIGNMENT);
    SN_TRY(sn_alloc(&self->gradient, (size_t)self->gradients.values, sizeof *self->gradient, error));
    SN_TRY(sn_alloc(&self->sum, (size_t)longest, sizeof *self->sum, error));
    SN_TRY(sn_alloc(&self->statistic, (size_t)self->statistics.values, sizeof *self->statistic, error));
    SN_TRY(sn_alloc(&self->out, members, (size_t)self->parcel, error));
    SN_TRY(sn_alloc(&self->in, members, (size_t)self->parcel, error));
    SN_TRY(sn_alloc(&self->sent, members, sizeof *self->sent, error));
    SN_TRY(sn_alloc(&self->received, members, sizeof *self->received, error));
    *together = self;
    self = NULL;
done:
    sn_together_free(self);
    return status;
}

void sn_together_free(sn_together *together)
{
    if (together == NULL)
        return;
    sn_free(together->gradients.list);
    sn_free(together->statistics.list);
    sn_free(together->gradient);
    sn_free(together->sum);
    sn_free(together->statistic);
    sn_free(together->out);
    sn_free(together->in);
    sn_free(together->sent);
    sn_free(together->received);
    sn_free(together);
}

/* ---- values of the executor ---- */

static int64_t values_of(const sn_together *self, sn_tensor tensor)
{
    return sn_tensor_count(&sn_graph_tensor(self->graph->graph, tensor)->desc);
}

static sn_status tensors_take(float *values, const sn_together *self, const tensors *which, sn_error *error)
{
    sn_status status = SN_OK;
    for (int i = 0; i < which->count && status == SN_OK; i++) {
        status = sn_executor_download(self->executor, which->list[i], values, error);
        values += values_of(self, which->list[i]);
    }
    return status;
}

static void tensors_give(const sn_together *self, const tensors *which, const float *values)
{
    for (int i = 0; i < which->count; i++) {
        sn_executor_upload(self->executor, which->list[i], values);
        values += values_of(self, which->list[i]);
    }
}

void sn_together_clear(sn_together *together)
{
    memset(together->gradient, 0, (size_t)together->gradients.values * sizeof *together->gradient);
    tensors_give(together, &together->gradients, together->gradient);
}

/* ---- a round ---- */

/* This member's image for each owner: its note and the owner's slice. */
static sn_status parcels_make(sn_together *self, double loss, sn_error *error)
{
    sn_status status;
    SN_TRY(tensors_take(self->gradient, self, &self->gradients, error));
    SN_TRY(tensors_take(self->statistic, self, &self->statistics, error));
    for (int m = 0; m < sn_group_size(self->group); m++) {
        char *to = self->out + m * self->parcel;
        memcpy(to, &loss, sizeof loss);
        memcpy(to + sizeof loss, self->statistic, (size_t)self->statistics.values * sizeof(float));
        memcpy(to + self->note, self->gradient + slice_begin(self, m),
               (size_t)slice_size(self, m) * sizeof(float));
    }
done:
    return status;
}

/* The image of a member: its gradient is added to the sum, its statistics move the running ones. */
static sn_status image_take(double *loss, sn_together *self, int member, sn_error *error)
{
    bool own = member == sn_group_member(self->group);
    const char *from = (own ? self->out : self->in) + member * self->parcel;
    const float *slice = (const float *)(const void *)(from + self->note);
    int64_t count = slice_size(self, sn_group_member(self->group));
    memcpy(loss, from, sizeof *loss);
    for (int64_t i = 0; i < count; i++)
        self->sum[i] += slice[i];
    memcpy(self->statistic, from + sizeof *loss, (size_t)self->statistics.values * sizeof(float));
    tensors_give(self, &self->statistics, self->statistic);
    return sn_executor_run(self->executor, self->graph->running, error);
}

sn_status sn_together_round(double *losses, sn_together *together, int images, double loss, bool first,
                            sn_error *error)
{
    sn_status status;
    sn_together *self = together;
    int own = sn_group_member(self->group);
    if (own < images)
        SN_TRY(parcels_make(self, loss, error));
    if (first)
        memset(self->sum, 0, (size_t)slice_size(self, own) * sizeof *self->sum);
    for (int m = 0; m < sn_group_size(self->group); m++) {
        size_t to = (size_t)self->note + (size_t)slice_size(self, m) * sizeof(float);
        size_t from = (size_t)self->note + (size_t)slice_size(self, own) * sizeof(float);
        self->sent[m] = (sn_parcel){self->out + m * self->parcel, own < images ? to : 0};
        self->received[m] = (sn_parcel){self->in + m * self->parcel, m < images ? from : 0};
    }
    SN_TRY(sn_group_exchange(self->group, self->sent, self->received, error));
    for (int m = 0; m < images; m++)
        SN_TRY(image_take(&losses[m], self, m, error));
done:
    return status;
}

/* ---- all of it ---- */

sn_status sn_together_gather(sn_together *together, sn_error *error)
{
    sn_status status;
    sn_together *self = together;
    int own = sn_group_member(self->group);
    for (int m = 0; m < sn_group_size(self->group); m++) {
        self->sent[m] = (sn_parcel){self->sum, (size_t)slice_size(self, own) * sizeof(float)};
        self->received[m] =
            (sn_parcel){self->gradient + slice_begin(self, m), (size_t)slice_size(self, m) * sizeof(float)};
    }
    SN_TRY(sn_group_exchange(self->group, self->sent, self->received, error));
    memcpy(self->gradient + slice_begin(self, own), self->sum, (size_t)slice_size(self, own) * sizeof(float));
    tensors_give(self, &self->gradients, self->gradient);
done:
    return status;
}

/* How many of `count` rows are a member's. */
static int rows_of(int count, int member, int members)
{
    return (count - member + members - 1) / members;
}

sn_status sn_together_rows(double *rows, sn_group *group, int count, int width, sn_error *error)
{
    sn_status status;
    int members = sn_group_size(group), own = sn_group_member(group);
    size_t row = (size_t)width * sizeof *rows, longest = (size_t)rows_of(count, 0, members) * row;
    char *parcels = NULL;
    sn_parcel *sent = NULL, *received = NULL;
    SN_TRY(sn_alloc(&parcels, (size_t)members, longest, error));
    SN_TRY(sn_alloc(&sent, (size_t)members, sizeof *sent, error));
    SN_TRY(sn_alloc(&received, (size_t)members, sizeof *received, error));
    for (int i = own; i < count; i += members)
        memcpy(parcels + (size_t)own * longest + (size_t)(i / members) * row,
               rows + (size_t)i * (size_t)width, row);
    for (int m = 0; m < members; m++) {
        sent[m] = (sn_parcel){parcels + (size_t)own * longest, (size_t)rows_of(count, own, members) * row};
        received[m] = (sn_parcel){parcels + (size_t)m * longest, (size_t)rows_of(count, m, members) * row};
    }
    SN_TRY(sn_group_exchange(group, sent, received, error));
    for (int i = 0; i < count; i++)
        memcpy(rows + (size_t)i * (size_t)width,
               parcels + (size_t)(i % members) * longest + (size_t)(i / members) * row, row);
done:
    sn_free(parcels);
    sn_free(sent);
    sn_free(received);
    return status;
}

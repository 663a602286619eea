#include "search/ahead.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Of a guess that the next question hardly depends on: below 1, so that near questions come first. */
static const double SURE = 0.98;
enum { RECENT = 24, NODES_PER_LIMIT = 8 };

/* A guess about one network, after those of its parent. */
typedef struct node {
    int parent; /* -1: the root, which guesses nothing */
    const sn_network *network;
    double guess;
    double probability;
    bool open; /* what is asked after it is still to be found */
} node;

/* The walk over the tree, and the replay of one of its paths. */
typedef struct walk {
    const sn_ahead_input *input;
    node *nodes;
    int count, capacity;
    const node *at;   /* the path's end */
    double *values;   /* (iterations) the committed answers and, while a path is replayed, those on it */
    double *sorted;   /* (iterations) scratch */
    int answered;     /* of values */
    sn_point *asked;  /* the question that the path leads to; NULL: none before the end */
    sn_status status; /* of the oracle */
    sn_error *error;
} walk;

/* ---- where a path leads ---- */

/* The guess about a network on the path, if there is one. */
static bool path_guess(double *value, const walk *self, const sn_network *network)
{
    for (const node *at = self->at; at->parent >= 0; at = &self->nodes[at->parent]) {
        if (at->network == network) {
            *value = at->guess;
            return true;
        }
    }
    return false;
}

/* Answers a question beyond the committed ones: what is known, else what the path guesses. */
static bool path_answer(double *value, const double *x, void *context)
{
    walk *self = context;
    sn_point *point;
    if (self->answered == self->input->iterations)
        return false;
    self->status = sn_ledger_point(&point, self->input->ledger, x, self->error);
    if (self->status != SN_OK)
        return false;
    if (!sn_point_answer(value, point) && !path_guess(value, self, point->network)) {
        self->asked = point;
        return false;
    }
    self->values[self->answered++] = *value;
    return true;
}

static sn_status path_replay(walk *self, const node *end, double *x, sn_error *error)
{
    const sn_ahead_input *input = self->input;
    self->at = end;
    self->asked = NULL;
    self->answered = input->count;
    self->status = SN_OK;
    sn_status status = sn_optimiser_follow(x, input->optimiser, input->points, input->values, input->count,
                                           path_answer, self, error);
    return self->status != SN_OK ? self->status : status;
}

/* ---- guesses ---- */

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Sort `count` values into the scratch. */
static void sort_values(walk *self, const double *values, int count)
{
    memcpy(self->sorted, values, (size_t)count * sizeof *values);
    qsort(self->sorted, (size_t)count, sizeof *values, compare_doubles);
}

/* The share of the latest trainings with an answer below `limit`; half a one more keeps it off 0 and 1. */
static double share_below(const walk *self, double limit)
{
    int count = self->input->trained_count < RECENT ? self->input->trained_count : RECENT;
    const double *values = self->input->trained + self->input->trained_count - count;
    double below = 0.5;
    for (int i = 0; i < count; i++)
        below += values[i] < limit;
    return below / (count + 1);
}

/* Add a guess about the question that a path leads to. */
static void node_add(walk *self, int parent, double guess, double probability)
{
    if (self->count < self->capacity)
        self->nodes[self->count++] =
            (node){parent, self->asked->network, guess, self->nodes[parent].probability * probability, true};
}

/* CRS after its initial population: rejected or accepted, and then neither the best nor the worst of all. */
static void guess_crs(walk *self, int parent)
{
    int population = self->input->optimiser->population;
    sort_values(self, self->values, self->answered);
    double best = self->sorted[0], middle = self->sorted[population / 2];
    double worst = self->sorted[population - 1];
    double accepted = share_below(self, worst);
    middle = middle < worst ? middle : (best + worst) / 2;
    node_add(self, parent, SN_SEARCH_WORST_F, 1 - accepted);
    if (middle < worst)
        node_add(self, parent, middle, accepted);
}

/* What a training usually gives. */
static void guess_usual(walk *self, int parent)
{
    int count = self->input->trained_count;
    sort_values(self, self->input->trained, count);
    node_add(self, parent, count == 0 ? 1 : self->sorted[count / 2], SURE);
}

static void guess(walk *self, int parent)
{
    const sn_optimiser_settings *optimiser = self->input->optimiser;
    if (optimiser->algorithm == SN_OPTIMISER_CRS2_LM && self->answered >= optimiser->population)
        guess_crs(self, parent);
    else
        guess_usual(self, parent);
}

/* ---- the walk ---- */

/* The open node with the largest probability; -1: none. */
static int node_choose(const walk *self)
{
    int best = -1;
    for (int i = 0; i < self->count; i++)
        if (self->nodes[i].open && (best < 0 || self->nodes[i].probability > self->nodes[best].probability))
            best = i;
    return best;
}

/* Add what a path leads to, where it is not in the list. */
static void list_add(sn_ahead *list, int *count, sn_point *point, double probability)
{
    for (int i = 0; i < *count; i++)
        if (list[i].point->network == point->network)
            return;
    list[(*count)++] = (sn_ahead){point, probability};
}

static sn_status walk_begin(walk *self, int limit, sn_error *error)
{
    sn_status status;
    const sn_ahead_input *input = self->input;
    size_t values = (size_t)input->iterations;
    self->capacity = NODES_PER_LIMIT * limit;
    SN_TRY(sn_alloc(&self->nodes, (size_t)self->capacity, sizeof *self->nodes, error));
    SN_TRY(sn_alloc(&self->values, values, sizeof *self->values, error));
    SN_TRY(sn_alloc(&self->sorted, values, sizeof *self->sorted, error));
    memcpy(self->values, input->values, (size_t)input->count * sizeof *self->values);
    self->nodes[self->count++] = (node){.parent = -1, .probability = 1, .open = true};
done:
    return status;
}

sn_status sn_ahead_look(sn_ahead *list, int *count, int limit, const sn_ahead_input *input, sn_error *error)
{
    sn_status status;
    walk self = {.input = input, .error = error};
    double *x = NULL;
    *count = 0;
    SN_TRY(walk_begin(&self, limit, error));
    SN_TRY(sn_alloc(&x, (size_t)input->optimiser->dimension, sizeof *x, error));
    for (int at; *count < limit && (at = node_choose(&self)) >= 0;) {
        self.nodes[at].open = false;
        SN_TRY(path_replay(&self, &self.nodes[at], x, error));
        if (self.asked == NULL)
            continue;
        list_add(list, count, self.asked, self.nodes[at].probability);
        if (limit > 1)
            guess(&self, at);
    }
done:
    sn_free(self.nodes);
    sn_free(self.values);
    sn_free(self.sorted);
    sn_free(x);
    return status;
}

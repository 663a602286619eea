#include "search/ledger.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

/* Things of one kind, each where it was made, and where to find them by name. */
typedef struct shelf {
    void **items;
    int count, capacity;
    json_t *places; /* object: name -> place in items */
} shelf;

struct sn_ledger {
    const sn_search_objective *objective;
    int dimension;
    shelf points; /* sn_point, by the hash of x */
    shelf networks;
};

/* ---- the shelves ---- */

static void *shelf_find(const shelf *self, const char *name)
{
    const json_t *place = json_object_get(self->places, name);
    return place == NULL ? NULL : self->items[json_integer_value(place)];
}

/* Put an item on the shelf, which owns it then. */
static sn_status shelf_put(shelf *self, const char *name, void *item, sn_error *error)
{
    sn_status status = sn_grow(&self->items, &self->capacity, self->count, sizeof *self->items, error);
    if (status != SN_OK)
        return status;
    if (json_object_set_new(self->places, name, json_integer(self->count)) != 0)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: what the search knows");
    self->items[self->count++] = item;
    return SN_OK;
}

static void shelf_clear(shelf *self)
{
    for (int i = 0; i < self->count; i++)
        sn_free(self->items[i]);
    sn_free(self->items);
    json_decref(self->places);
}

/* ---- the ledger ---- */

sn_status sn_ledger_create(sn_ledger **ledger, const sn_search_objective *objective, int dimension,
                           sn_error *error)
{
    sn_status status = sn_alloc(ledger, 1, sizeof **ledger, error);
    if (status != SN_OK)
        return status;
    (*ledger)->objective = objective;
    (*ledger)->dimension = dimension;
    (*ledger)->points.places = json_object();
    (*ledger)->networks.places = json_object();
    return SN_OK;
}

void sn_ledger_free(sn_ledger *ledger)
{
    if (ledger == NULL)
        return;
    for (int i = 0; i < ledger->points.count; i++) {
        sn_point *point = ledger->points.items[i];
        sn_free(point->x);
        sn_proposal_clear(&point->proposal);
    }
    for (int i = 0; i < ledger->networks.count; i++)
        sn_free(((sn_network *)ledger->networks.items[i])->reason);
    shelf_clear(&ledger->points);
    shelf_clear(&ledger->networks);
    sn_free(ledger);
}

/* Ask the objective what a point stands for. */
static sn_status point_make(sn_point **point, sn_ledger *ledger, const double *x, const char *name,
                            sn_error *error)
{
    sn_status status;
    const sn_search_objective *objective = ledger->objective;
    sn_point *self = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    SN_TRY(sn_alloc(&self->x, (size_t)ledger->dimension, sizeof *x, error));
    memcpy(self->x, x, (size_t)ledger->dimension * sizeof *x);
    SN_TRY(objective->propose(&self->proposal, x, ledger->dimension, objective->context, error));
    if (self->proposal.outcome == SN_OUTCOME_TRAINED)
        SN_TRY(sn_ledger_network(&self->network, ledger, self->proposal.network, error));
    SN_TRY(shelf_put(&ledger->points, name, self, error));
    *point = self;
    self = NULL;
done:
    if (self != NULL) {
        sn_proposal_clear(&self->proposal);
        sn_free(self->x);
        sn_free(self);
    }
    return status;
}

sn_status sn_ledger_point(sn_point **point, sn_ledger *ledger, const double *x, sn_error *error)
{
    char name[SN_HASH_TEXT];
    sn_hash_bytes(name, x, (size_t)ledger->dimension * sizeof *x);
    *point = shelf_find(&ledger->points, name);
    return *point != NULL ? SN_OK : point_make(point, ledger, x, name, error);
}

sn_status sn_ledger_network(sn_network **network, sn_ledger *ledger, const char *key, sn_error *error)
{
    sn_status status;
    sn_network *made = NULL;
    *network = shelf_find(&ledger->networks, key);
    if (*network != NULL)
        return SN_OK;
    SN_TRY(sn_alloc(&made, 1, sizeof *made, error));
    made->worker = SN_NO_WORKER;
    SN_TRY(shelf_put(&ledger->networks, key, made, error));
    *network = made;
    made = NULL;
done:
    sn_free(made);
    return status;
}

sn_status sn_network_learn(sn_network *network, const sn_study_trial *trial, sn_error *error)
{
    network->known = true;
    network->used = trial->first_iteration != 0;
    network->taken = trial->origin != NULL;
    network->trial = trial->id;
    network->outcome = trial->outcome;
    network->dice = trial->dice;
    network->seconds = trial->seconds;
    return trial->reason == NULL ? SN_OK : sn_string_copy(&network->reason, trial->reason, error);
}

sn_status sn_network_judge(sn_network *network, double dice, const char *reason, sn_error *error)
{
    sn_free(network->reason);
    network->reason = NULL;
    network->outcome = SN_OUTCOME_TRAINED;
    network->dice = dice;
    return reason == NULL ? SN_OK : sn_string_copy(&network->reason, reason, error);
}

bool sn_point_answer(double *f, const sn_point *point)
{
    const sn_network *network = point->network;
    *f = sn_search_value(network == NULL ? NAN : network->dice);
    return network == NULL || network->known;
}

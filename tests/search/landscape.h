/**
 * A made-up search for tests: SegNAS4's bounds, a rugged landscape of Dice, illegal points, networks over the
 * budget, and points that mean the same network.
 */
#ifndef SN_TESTS_LANDSCAPE_H
#define SN_TESTS_LANDSCAPE_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "search/search.h"

enum { LANDSCAPE_DIMENSION = 4 };

static const double landscape_lower[] = {8, 2, 0, 0};
static const double landscape_upper[] = {33, 6, 2, 2};

static inline sn_optimiser_settings landscape_optimiser(uint32_t seed)
{
    return (sn_optimiser_settings){
        .algorithm = SN_OPTIMISER_CRS2_LM,
        .dimension = LANDSCAPE_DIMENSION,
        .lower = landscape_lower,
        .upper = landscape_upper,
        .seed = seed,
        .population = sn_optimiser_population(SN_OPTIMISER_CRS2_LM, LANDSCAPE_DIMENSION),
    };
}

static inline void landscape_decode(int v[LANDSCAPE_DIMENSION], const double *x)
{
    for (int i = 0; i < LANDSCAPE_DIMENSION; i++)
        v[i] = (int)fmin(floor(x[i]), landscape_upper[i] - 1);
}

/* Two values of n in a row mean the same network, so that repeated ones abound. */
static inline int landscape_network(const int v[LANDSCAPE_DIMENSION])
{
    return ((v[0] / 2 * 10 + v[1]) * 10 + v[2]) * 10 + v[3];
}

static inline int landscape_illegal(const int v[LANDSCAPE_DIMENSION])
{
    return (v[0] * 7 + v[1] * 3) % 6 == 0;
}

static inline int landscape_too_large(const int v[LANDSCAPE_DIMENSION])
{
    return (v[0] / 2) << v[1] > 400;
}

/* What training the network would give. */
static inline double landscape_dice(int network)
{
    double smooth = 0.8 - 0.3 * pow((network / 1000 - 11) / 12.0, 2);
    return smooth + 0.1 * ((network * 2654435761u >> 8) % 1000) / 1000.0;
}

/* `context` is not used. */
static inline sn_status landscape_propose(sn_proposal *proposal, const double *x, int dimension,
                                          void *context, sn_error *error)
{
    sn_status status;
    int v[LANDSCAPE_DIMENSION];
    (void)dimension, (void)context;
    landscape_decode(v, x);
    SN_TRY(sn_string_format(&proposal->arch, error, "n=%d p=%d sup=%d res=%d", v[0], v[1], v[2], v[3]));
    if (landscape_illegal(v)) {
        proposal->outcome = SN_OUTCOME_ILLEGAL;
        SN_TRY(sn_string_copy(&proposal->reason, "a second source", error));
        goto done;
    }
    SN_TRY(sn_string_format(&proposal->network, error, "%d", landscape_network(v)));
    proposal->parameters = 1000 * v[0];
    proposal->planned_bytes = (int64_t)v[0] << 20;
    proposal->kept_bytes = (int64_t)v[0] << 18;
    if (landscape_too_large(v)) {
        proposal->outcome = SN_OUTCOME_MEMORY;
        SN_TRY(sn_string_copy(&proposal->reason, "over the budget", error));
    } else {
        proposal->outcome = SN_OUTCOME_TRAINED;
    }
done:
    return status;
}

/* ---- trainings in this process, in a time of their own ---- */

enum { HALL_WORKERS = 64 };

typedef struct hall_training {
    const sn_proposal *proposal; /* NULL: the worker is idle */
    const double *x;
    sn_search_reporter *reporter;
    double ends;
    int stopped;
} hall_training;

/* Workers whose trainings begin and end at moments that are reckoned, not waited for. */
typedef struct hall {
    sn_status (*train)(sn_trial_result *result, const sn_proposal *proposal, const double *x, int dimension,
                       sn_search_reporter *reporter, void *context, sn_error *error);
    void *context;                    /* of train */
    const sn_search_objective *space; /* whose propose says what a point is; NULL: the landscape is */
    double (*length)(const sn_proposal *proposal); /* of a training; NULL: 1 */
    double now;
    int dimension;
    hall_training workers[HALL_WORKERS];
    int reporting;      /* the worker whose training ends at this moment, and reports */
    bool cut;           /* it was told to stop */
    int most_running;   /* trainings at once */
    int places;         /* of the workers, as sn_search_options has them */
    int64_t most_taken; /* bytes of several at once at one place */
} hall;

/* How many trainings are under way. */
static inline int hall_running(const hall *self)
{
    int running = 0;
    for (int i = 0; i < HALL_WORKERS; i++)
        running += self->workers[i].proposal != NULL;
    return running;
}

/* What a training takes; none: nothing. */
static inline int64_t hall_taken(const sn_proposal *proposal)
{
    return proposal == NULL ? 0 : proposal->planned_bytes + proposal->kept_bytes;
}

/* Note how many are running, and what those at the worker's place take together. */
static inline void hall_count(hall *self, int worker)
{
    int running = hall_running(self), places = self->places > 1 ? self->places : 1, neighbours = 0;
    int64_t taken = 0;
    for (int i = worker % places; i < HALL_WORKERS; i += places) {
        neighbours += self->workers[i].proposal != NULL;
        taken += hall_taken(self->workers[i].proposal);
    }
    self->most_running = running > self->most_running ? running : self->most_running;
    self->most_taken = neighbours > 1 && taken > self->most_taken ? taken : self->most_taken;
}

static inline sn_status hall_begin(int worker, const sn_proposal *proposal, const double *x, int dimension,
                                   sn_search_reporter *reporter, void *context, sn_error *error)
{
    hall *self = context;
    double length = self->length == NULL ? 1 : self->length(proposal);
    (void)error;
    assert_null(self->workers[worker].proposal);
    self->dimension = dimension;
    self->reporting = SN_NO_WORKER;
    self->workers[worker] = (hall_training){proposal, x, reporter, self->now + length, 0};
    hall_count(self, worker);
    return SN_OK;
}

/* Let the training that ends first end; those that end at one moment end in the order of the workers. */
static inline sn_status hall_wait(int *worker, sn_trial_result *result, bool wait, void *context,
                                  sn_error *error)
{
    hall *self = context;
    int first = -1;
    for (int i = 0; i < HALL_WORKERS; i++)
        if (self->workers[i].proposal != NULL &&
            (first < 0 || self->workers[i].ends < self->workers[first].ends))
            first = i;
    *worker = SN_NO_WORKER;
    if (!wait && (first < 0 || self->workers[first].ends > self->now))
        return SN_OK;
    hall_training training = self->workers[first];
    *worker = first;
    self->now = training.ends;
    self->workers[first].proposal = NULL;
    self->reporting = first;
    self->cut = false;
    result->stopped = training.stopped;
    sn_status status = SN_OK;
    if (!training.stopped)
        status = self->train(result, training.proposal, training.x, self->dimension, training.reporter,
                             self->context, error);
    self->reporting = SN_NO_WORKER;
    return status;
}

static inline void hall_stop(int worker, void *context)
{
    hall *self = context;
    self->cut = worker == self->reporting;
    if (self->cut)
        return;
    assert_non_null(self->workers[worker].proposal);
    self->workers[worker].stopped = 1;
    self->workers[worker].ends = self->now;
}

static inline void hall_end(void *context)
{
    memset(((hall *)context)->workers, 0, sizeof((hall *)context)->workers);
}

static inline sn_status hall_propose(sn_proposal *proposal, const double *x, int dimension, void *context,
                                     sn_error *error)
{
    hall *self = context;
    return self->space == NULL ? landscape_propose(proposal, x, dimension, NULL, error)
                               : self->space->propose(proposal, x, dimension, self->space->context, error);
}

/* Search in a hall, which the objective keeps. */
static inline sn_search_objective hall_objective(hall *self)
{
    return (sn_search_objective){hall_propose, hall_begin, hall_wait, hall_stop, hall_end, self};
}

#endif

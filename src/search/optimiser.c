#include "search/optimiser.h"

#include <math.h>
#include <nlopt.h>
#include <stdbool.h>
#include <string.h>

#include "base/memory.h"

/* One run of NLopt over the recorded answers. */
typedef struct replay {
    nlopt_opt nlopt;
    const double *points; /* (count, dimension) */
    const double *values; /* (count) */
    int count;
    int asked;    /* questions answered so far */
    double *next; /* (dimension) the first question without an answer */
    bool ended;   /* next is set */
    bool differs; /* next is not what was asked when the answers were recorded */
} replay;

int sn_optimiser_population(int dimension)
{
    return 10 * (dimension + 1);
}

const char *sn_optimiser_name(sn_optimiser_algorithm algorithm)
{
    switch (algorithm) {
    case SN_OPTIMISER_CRS2_LM:
        break;
    }
    return "crs";
}

/* NLopt's objective. CRS honours force_stop only after its initial population: later calls get any number. */
static double answer(unsigned dimension, const double *x, double *gradient, void *context)
{
    replay *self = context;
    size_t bytes = dimension * sizeof *x;
    (void)gradient;
    if (self->ended)
        return 0;
    if (self->asked < self->count) {
        if (memcmp(self->points + (size_t)self->asked * dimension, x, bytes) == 0)
            return self->values[self->asked++];
        self->differs = true;
    }
    memcpy(self->next, x, bytes);
    self->ended = true;
    nlopt_force_stop(self->nlopt);
    return 0;
}

static sn_status settings_check(const sn_optimiser_settings *settings, sn_error *error)
{
    if (settings->dimension < 1)
        return sn_error_set(error, SN_ERR_ARG, "optimiser: %d dimensions, at least 1 is needed",
                            settings->dimension);
    if (settings->population <= settings->dimension)
        return sn_error_set(error, SN_ERR_ARG,
                            "optimiser: a population of %d, %d dimensions need more than %d",
                            settings->population, settings->dimension, settings->dimension);
    for (int i = 0; i < settings->dimension; i++) {
        double lower = settings->lower[i], upper = settings->upper[i];
        if (!isfinite(lower) || !isfinite(upper) || lower >= upper)
            return sn_error_set(error, SN_ERR_ARG, "optimiser: bounds %g..%g of dimension %d are empty",
                                lower, upper, i + 1);
    }
    return SN_OK;
}

/* A NaN would stall CRS, and an infinity would hide all that is worse. */
static sn_status values_check(const double *values, int count, sn_error *error)
{
    for (int i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return sn_error_set(error, SN_ERR_ARG, "optimiser: answer %d is not finite", i + 1);
    return SN_OK;
}

static sn_status nlopt_prepare(replay *self, const sn_optimiser_settings *settings, sn_error *error)
{
    self->nlopt = nlopt_create(NLOPT_GN_CRS2_LM, (unsigned)settings->dimension);
    if (self->nlopt == NULL)
        return sn_error_set(error, SN_ERR_MEMORY, "optimiser: out of memory");
    if (nlopt_set_lower_bounds(self->nlopt, settings->lower) < 0 ||
        nlopt_set_upper_bounds(self->nlopt, settings->upper) < 0 ||
        nlopt_set_population(self->nlopt, (unsigned)settings->population) < 0 ||
        nlopt_set_min_objective(self->nlopt, answer, self) < 0)
        return sn_error_set(error, SN_ERR_FAILED, "optimiser: NLopt refuses its settings");
    return SN_OK;
}

/* Why NLopt's run ended is told by `self`, but for its own troubles. */
static sn_status replay_check(const replay *self, nlopt_result result, sn_error *error)
{
    int major, minor, patch;
    nlopt_version(&major, &minor, &patch);
    if (result == NLOPT_OUT_OF_MEMORY)
        return sn_error_set(error, SN_ERR_MEMORY, "optimiser: out of memory");
    if (self->differs)
        return sn_error_set(
            error, SN_ERR_INPUT,
            "optimiser: question %d is not the recorded one; the study was begun with another "
            "NLopt than %d.%d.%d, or with other bounds, seed or population: use those, or begin "
            "a new study",
            self->asked + 1, major, minor, patch);
    if (!self->ended)
        return sn_error_set(error, SN_ERR_FAILED, "optimiser: NLopt %d.%d.%d ended after %d questions (%s)",
                            major, minor, patch, self->asked, nlopt_result_to_string(result));
    return SN_OK;
}

sn_status sn_optimiser_ask(double *x, const sn_optimiser_settings *settings, const double *points,
                           const double *values, int count, sn_error *error)
{
    sn_status status;
    replay self = {.points = points, .values = values, .count = count, .next = x};
    double *start = NULL; /* (dimension) population member 1; NLopt leaves its best point here */
    double least;
    SN_TRY(settings_check(settings, error));
    SN_TRY(values_check(values, count, error));
    SN_TRY(sn_alloc(&start, (size_t)settings->dimension, sizeof *start, error));
    SN_TRY(nlopt_prepare(&self, settings, error));
    for (int i = 0; i < settings->dimension; i++)
        start[i] = (settings->lower[i] + settings->upper[i]) / 2;
    nlopt_srand(settings->seed); /* the generator is this thread's and goes on from run to run */
    nlopt_result result = nlopt_optimize(self.nlopt, start, &least);
    SN_TRY(replay_check(&self, result, error));
done:
    nlopt_destroy(self.nlopt);
    sn_free(start);
    return status;
}

#include "search/optimiser.h"

#include <math.h>
#include <nlopt.h>
#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"

/* One run of an algorithm over the recorded answers. */
typedef struct replay {
    const sn_optimiser_settings *settings;
    nlopt_opt nlopt;      /* NULL: random points */
    const double *points; /* (count, dimension) */
    const double *values; /* (count) */
    int count;
    sn_optimiser_oracle *oracle; /* of what is not recorded; NULL: none */
    void *context;
    int asked;    /* questions answered so far */
    double *next; /* (dimension) the first question without an answer */
    bool ended;   /* next is set */
    bool differs; /* next is not what was asked when the answers were recorded */
} replay;

/* What is particular to an algorithm. */
typedef struct algorithm_info {
    const char *name;
    nlopt_algorithm nlopt; /* not of random */
    int fixed, factor;     /* the population is fixed + factor * (dimension + 1) */
} algorithm_info;

static const algorithm_info algorithms[SN_OPTIMISERS] = {
    [SN_OPTIMISER_CRS2_LM] = {"crs", NLOPT_GN_CRS2_LM, 0, 10},
    [SN_OPTIMISER_DIRECT] = {"direct", NLOPT_GN_DIRECT_L_RAND, 0, 0},
    [SN_OPTIMISER_ISRES] = {"isres", NLOPT_GN_ISRES, 0, 20},
    [SN_OPTIMISER_ESCH] = {"esch", NLOPT_GN_ESCH, 40, 0},
    [SN_OPTIMISER_RANDOM] = {.name = "random"},
};

int sn_optimiser_population(sn_optimiser_algorithm algorithm, int dimension)
{
    const algorithm_info *info = &algorithms[algorithm];
    return info->fixed + info->factor * (dimension + 1);
}

const char *sn_optimiser_name(sn_optimiser_algorithm algorithm)
{
    return algorithms[algorithm].name;
}

sn_status sn_optimiser_parse(sn_optimiser_algorithm *algorithm, const char *name, sn_error *error)
{
    for (int i = 0; i < SN_OPTIMISERS; i++) {
        if (strcmp(name, algorithms[i].name) == 0) {
            *algorithm = (sn_optimiser_algorithm)i;
            return SN_OK;
        }
    }
    return sn_error_set(error, SN_ERR_ARG, "\"%s\" is no algorithm", name);
}

/* ---- a question is asked ---- */

/* Answer from the record, then from the oracle; false: it is what was looked for, or not as recorded. */
static bool answer_find(double *value, replay *self, const double *x)
{
    size_t dimension = (size_t)self->settings->dimension;
    if (self->asked >= self->count)
        return self->oracle != NULL && self->oracle(value, x, self->context);
    self->differs = memcmp(self->points + (size_t)self->asked * dimension, x, dimension * sizeof *x) != 0;
    *value = self->values[self->asked];
    return !self->differs;
}

/* NLopt's objective. CRS honours force_stop only after its initial population: later calls get any number. */
static double answer(unsigned dimension, const double *x, double *gradient, void *context)
{
    replay *self = context;
    double value = 0;
    (void)gradient;
    if (self->ended)
        return 0;
    if (answer_find(&value, self, x)) {
        self->asked++;
        return value;
    }
    memcpy(self->next, x, dimension * sizeof *x);
    self->ended = true;
    if (self->nlopt != NULL)
        nlopt_force_stop(self->nlopt);
    return 0;
}

static sn_status settings_check(const sn_optimiser_settings *settings, sn_error *error)
{
    if (settings->dimension < 1)
        return sn_error_set(error, SN_ERR_ARG, "optimiser: %d dimensions, at least 1 is needed",
                            settings->dimension);
    bool is_crs = settings->algorithm == SN_OPTIMISER_CRS2_LM;
    if (is_crs && settings->population <= settings->dimension)
        return sn_error_set(error, SN_ERR_ARG,
                            "optimiser: a population of %d, %d dimensions need more than %d",
                            settings->population, settings->dimension, settings->dimension);
    for (int i = 0; i < settings->dimension; i++) {
        double lower = settings->lower[i], upper = settings->upper[i];
        if (!isfinite(lower) || !isfinite(upper) || lower >= upper)
            return sn_error_set(error, SN_ERR_ARG, "optimiser: bounds %g..%g of dimension %d are empty",
                                lower, upper, i + 1);
        if (settings->start != NULL && !(settings->start[i] >= lower && settings->start[i] <= upper))
            return sn_error_set(error, SN_ERR_ARG, "optimiser: the start %g of dimension %d is not in %g..%g",
                                settings->start[i], i + 1, lower, upper);
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

static sn_status nlopt_prepare(replay *self, sn_error *error)
{
    const sn_optimiser_settings *settings = self->settings;
    self->nlopt = nlopt_create(algorithms[settings->algorithm].nlopt, (unsigned)settings->dimension);
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

/* `start` (dimension) is the first question; NLopt leaves its best point there. */
static sn_status nlopt_run(replay *self, double *start, sn_error *error)
{
    double least;
    sn_status status = nlopt_prepare(self, error);
    if (status == SN_OK) {
        nlopt_srand(self->settings->seed); /* the generator is this thread's and goes on from run to run */
        status = replay_check(self, nlopt_optimize(self->nlopt, start, &least), error);
    }
    nlopt_destroy(self->nlopt);
    return status;
}

/* Question 1 is `x` (dimension), the start; question k is drawn with (seed, k). */
static sn_status random_run(replay *self, double *x, sn_error *error)
{
    const sn_optimiser_settings *settings = self->settings;
    int dimension = settings->dimension;
    for (uint64_t question = 1; !self->ended; question++) {
        sn_random random = sn_random_begin(settings->seed, SN_RANDOM_SEARCH, question);
        for (int i = 0; question > 1 && i < dimension; i++)
            x[i] =
                settings->lower[i] + (settings->upper[i] - settings->lower[i]) * sn_random_uniform(&random);
        answer((unsigned)dimension, x, NULL, self);
    }
    return replay_check(self, NLOPT_FORCED_STOP, error);
}

sn_status sn_optimiser_follow(double *x, const sn_optimiser_settings *settings, const double *points,
                              const double *values, int count, sn_optimiser_oracle *oracle, void *context,
                              sn_error *error)
{
    sn_status status;
    replay self = {.settings = settings,
                   .points = points,
                   .values = values,
                   .count = count,
                   .oracle = oracle,
                   .context = context,
                   .next = x};
    double *start = NULL; /* (dimension) */
    SN_TRY(settings_check(settings, error));
    SN_TRY(values_check(values, count, error));
    SN_TRY(sn_alloc(&start, (size_t)settings->dimension, sizeof *start, error));
    for (int i = 0; i < settings->dimension; i++)
        start[i] =
            settings->start != NULL ? settings->start[i] : (settings->lower[i] + settings->upper[i]) / 2;
    status = settings->algorithm == SN_OPTIMISER_RANDOM ? random_run(&self, start, error)
                                                        : nlopt_run(&self, start, error);
done:
    sn_free(start);
    return status;
}

sn_status sn_optimiser_ask(double *x, const sn_optimiser_settings *settings, const double *points,
                           const double *values, int count, sn_error *error)
{
    return sn_optimiser_follow(x, settings, points, values, count, NULL, NULL, error);
}

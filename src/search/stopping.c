#include "search/stopping.h"

#include <string.h>

#include "base/memory.h"

/* The best Dice so far of a training, epoch by epoch; the last one stands for all later epochs. */
typedef struct course {
    double *best; /* (capacity), the first `epochs` are set */
    int epochs, capacity;
} course;

struct sn_stopping {
    sn_stopping_settings settings;
    course *committed; /* (capacity), the first `count` are set */
    int count, capacity;
};

/* ---- courses ---- */

/* A Dice that is not a number is none. */
static sn_status epoch_add(const sn_study_epoch *epoch, void *context, sn_error *error)
{
    course *self = context;
    double before = self->epochs > 0 ? self->best[self->epochs - 1] : 0;
    sn_status status = sn_grow(&self->best, &self->capacity, self->epochs, sizeof *self->best, error);
    if (status == SN_OK)
        self->best[self->epochs++] = epoch->dice > before ? epoch->dice : before;
    return status;
}

static double course_at(const course *self, int epoch)
{
    int last = epoch < self->epochs ? epoch : self->epochs;
    return last == 0 ? 0 : self->best[last - 1];
}

/* ---- settings ---- */

static const char *const names[SN_STOPPING_RULES] = {"none", "median", "halving"};

const char *sn_stopping_name(sn_stopping_rule rule)
{
    return names[rule];
}

sn_status sn_stopping_parse(sn_stopping_settings *settings, const char *rule, int epochs, sn_error *error)
{
    static const int parts[SN_STOPPING_RULES] = {
        [SN_STOPPING_MEDIAN] = 4, [SN_STOPPING_HALVING] = SN_HALVING_FACTOR * SN_HALVING_FACTOR};
    for (int i = 0; i < SN_STOPPING_RULES; i++) {
        if (strcmp(rule, names[i]) != 0)
            continue;
        *settings = (sn_stopping_settings){(sn_stopping_rule)i, 0};
        if (i != SN_STOPPING_NONE)
            settings->first = (epochs + parts[i] - 1) / parts[i];
        return SN_OK;
    }
    return sn_error_set(error, SN_ERR_ARG, "\"%s\" is no rule for stopping trainings", rule);
}

/* ---- the rules ---- */

sn_status sn_stopping_create(sn_stopping **stopping, const sn_stopping_settings *settings, sn_error *error)
{
    sn_status status = sn_alloc(stopping, 1, sizeof **stopping, error);
    if (status == SN_OK)
        (*stopping)->settings = *settings;
    return status;
}

void sn_stopping_free(sn_stopping *stopping)
{
    if (stopping == NULL)
        return;
    for (int i = 0; i < stopping->count; i++)
        sn_free(stopping->committed[i].best);
    sn_free(stopping->committed);
    sn_free(stopping);
}

/* More than half of the earlier trainings were better at this epoch. */
static bool is_below_median(const sn_stopping *stopping, const course *judged, int epoch)
{
    int better = 0;
    for (int i = 0; i < stopping->count; i++)
        better += course_at(&stopping->committed[i], epoch) > course_at(judged, epoch);
    return stopping->count >= SN_MEDIAN_TRAININGS && 2 * better > stopping->count;
}

static bool is_rung(const sn_stopping *stopping, int epoch)
{
    int rung = stopping->settings.first;
    while (rung < epoch)
        rung *= SN_HALVING_FACTOR;
    return rung == epoch;
}

/* It is at a rung and not among the best third of those that reached it. */
static bool is_halved(const sn_stopping *stopping, const course *judged, int epoch)
{
    int reached = 1, better = 0;
    if (!is_rung(stopping, epoch))
        return false;
    for (int i = 0; i < stopping->count; i++) {
        reached += stopping->committed[i].epochs >= epoch;
        better += stopping->committed[i].epochs >= epoch &&
                  course_at(&stopping->committed[i], epoch) > course_at(judged, epoch);
    }
    return SN_HALVING_FACTOR * better >= reached && better > 0;
}

static bool is_hopeless(const sn_stopping *stopping, const course *judged, int epoch)
{
    return stopping->settings.rule == SN_STOPPING_HALVING ? is_halved(stopping, judged, epoch)
                                                          : is_below_median(stopping, judged, epoch);
}

sn_status sn_stopping_judge(sn_verdict *verdict, const sn_stopping *stopping, sn_study *study, int64_t trial,
                            sn_error *error)
{
    course judged = {.epochs = 0};
    *verdict = (sn_verdict){.epoch = 0};
    sn_status status = sn_study_epochs_visit(study, trial, epoch_add, &judged, error);
    for (int epoch = stopping->settings.first; status == SN_OK && epoch <= judged.epochs; epoch++) {
        if (!is_hopeless(stopping, &judged, epoch))
            continue;
        *verdict = (sn_verdict){epoch, course_at(&judged, epoch)};
        break;
    }
    sn_free(judged.best);
    return status;
}

sn_status sn_stopping_commit(sn_stopping *stopping, sn_study *study, int64_t trial, const sn_verdict *verdict,
                             sn_error *error)
{
    sn_status status;
    course added = {.epochs = 0};
    SN_TRY(sn_grow(&stopping->committed, &stopping->capacity, stopping->count, sizeof *stopping->committed,
                   error));
    SN_TRY(sn_study_epochs_visit(study, trial, epoch_add, &added, error));
    if (verdict->epoch > 0)
        added.epochs = verdict->epoch;
    stopping->committed[stopping->count++] = added;
    added.best = NULL;
done:
    sn_free(added.best);
    return status;
}

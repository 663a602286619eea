#include "search/median.h"

#include <string.h>

#include "base/memory.h"

/* The best Dice so far of a training, epoch by epoch; the last one stands for all later epochs. */
typedef struct course {
    double *best; /* (capacity), the first `epochs` are set */
    int epochs, capacity;
} course;

struct sn_median {
    int first;
    course *committed; /* (capacity), the first `count` are set */
    int count, capacity;
};

/* ---- courses ---- */

/* An array twice as large; `*items` is replaced. */
static sn_status grow(void **items, int *capacity, size_t size, sn_error *error)
{
    void *larger = NULL;
    int wanted = 2 * *capacity + 16;
    sn_status status = sn_alloc(&larger, (size_t)wanted, size, error);
    if (status != SN_OK)
        return status;
    if (*capacity > 0)
        memcpy(larger, *items, (size_t)*capacity * size);
    sn_free(*items);
    *items = larger;
    *capacity = wanted;
    return SN_OK;
}

/* A Dice that is not a number is none. */
static sn_status epoch_add(const sn_study_epoch *epoch, void *context, sn_error *error)
{
    course *self = context;
    sn_status status = SN_OK;
    double before = self->epochs > 0 ? self->best[self->epochs - 1] : 0;
    if (self->epochs == self->capacity) {
        void *items = self->best;
        status = grow(&items, &self->capacity, sizeof *self->best, error);
        self->best = items;
    }
    if (status == SN_OK)
        self->best[self->epochs++] = epoch->dice > before ? epoch->dice : before;
    return status;
}

static double course_at(const course *self, int epoch)
{
    int last = epoch < self->epochs ? epoch : self->epochs;
    return last == 0 ? 0 : self->best[last - 1];
}

/* ---- the rule ---- */

sn_status sn_median_create(sn_median **median, int first, sn_error *error)
{
    sn_status status = sn_alloc(median, 1, sizeof **median, error);
    if (status == SN_OK)
        (*median)->first = first;
    return status;
}

void sn_median_free(sn_median *median)
{
    if (median == NULL)
        return;
    for (int i = 0; i < median->count; i++)
        sn_free(median->committed[i].best);
    sn_free(median->committed);
    sn_free(median);
}

static bool is_hopeless(const sn_median *median, const course *judged, int epoch)
{
    int better = 0;
    for (int i = 0; i < median->count; i++)
        better += course_at(&median->committed[i], epoch) > course_at(judged, epoch);
    return median->count >= SN_MEDIAN_TRAININGS && 2 * better > median->count;
}

sn_status sn_median_judge(sn_verdict *verdict, const sn_median *median, sn_study *study, int64_t trial,
                          sn_error *error)
{
    course judged = {.epochs = 0};
    *verdict = (sn_verdict){.epoch = 0};
    sn_status status = sn_study_epochs_visit(study, trial, epoch_add, &judged, error);
    for (int epoch = median->first; status == SN_OK && epoch <= judged.epochs; epoch++) {
        if (!is_hopeless(median, &judged, epoch))
            continue;
        *verdict = (sn_verdict){epoch, course_at(&judged, epoch)};
        break;
    }
    sn_free(judged.best);
    return status;
}

sn_status sn_median_commit(sn_median *median, sn_study *study, int64_t trial, const sn_verdict *verdict,
                           sn_error *error)
{
    sn_status status;
    course added = {.epochs = 0};
    if (median->count == median->capacity) {
        void *items = median->committed;
        SN_TRY(grow(&items, &median->capacity, sizeof *median->committed, error));
        median->committed = items;
    }
    SN_TRY(sn_study_epochs_visit(study, trial, epoch_add, &added, error));
    if (verdict->epoch > 0)
        added.epochs = verdict->epoch;
    median->committed[median->count++] = added;
    added.best = NULL;
done:
    sn_free(added.best);
    return status;
}

#include "search/warm.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "search/trial.h"

/* ---- the first question ---- */

/* `x` (dimensions) is where the space is nearest to the best network of `earlier`. */
static sn_status best_encode(double *x, sn_study *earlier, const sn_space *space, sn_error *error)
{
    sn_status status;
    char *best = NULL;
    sn_arch arch;
    sn_reals reals;
    SN_TRY(sn_study_best_arch(&best, earlier, error));
    if (best == NULL) {
        status = sn_error_set(error, SN_ERR_INPUT, "%s: has no trained network to start from",
                              sn_study_folder(earlier));
        goto done;
    }
    SN_TRY(sn_reals_parse(&arch, &reals, best, error));
    sn_space_encode(x, space, &arch, &reals);
    sn_log(SN_LOG_INFO, "%s: the search begins at its best network, %s", sn_study_folder(earlier), best);
done:
    sn_free(best);
    return status;
}

/* The first question of a study that has begun. */
static sn_status start_read(double *x, sn_study *study, int dimensions, sn_error *error)
{
    json_t *stored = NULL;
    sn_status status = sn_study_setting_get(&stored, study, "start", error);
    if (status == SN_OK && json_array_size(stored) != (size_t)dimensions)
        status = sn_error_set(error, SN_ERR_INPUT, "%s: damaged: \"start\" does not fit the space",
                              sn_study_folder(study));
    for (int i = 0; status == SN_OK && i < dimensions; i++)
        x[i] = json_number_value(json_array_get(stored, (size_t)i));
    json_decref(stored);
    return status;
}

/* ---- the trainings ---- */

/* The first setting by which all keys of two studies differ; NULL: none. */
static sn_status difference_find(const char **name, sn_study *study, sn_study *earlier, sn_error *error)
{
    static const char *const names[] = {"simulated", "dataset", "split", "preprocessing", "device",
                                        "epochs",    "batch",   "seed",  "loss",          "averaging"};
    sn_status status = SN_OK;
    *name = NULL;
    for (size_t i = 0; status == SN_OK && *name == NULL && i < sizeof names / sizeof *names; i++) {
        json_t *here = NULL, *there = NULL;
        status = sn_study_setting_get(&here, study, names[i], error);
        if (status == SN_OK)
            status = sn_study_setting_get(&there, earlier, names[i], error);
        if (status == SN_OK && here != NULL && !json_equal(here, there))
            *name = names[i];
        json_decref(here);
        json_decref(there);
    }
    return status;
}

static sn_status model_take(const sn_study_trial *trial, void *context, sn_error *error)
{
    const sn_study *const *studies = context; /* the new one, the earlier one */
    return trial->finished == 0 ? SN_OK
                                : sn_trials_take_model(sn_study_folder(studies[0]),
                                                       sn_study_folder(studies[1]), trial->network, error);
}

static sn_status trainings_take(sn_study *study, sn_study *earlier, sn_error *error)
{
    sn_status status;
    const char *difference, *folder = sn_study_folder(earlier);
    const sn_study *studies[] = {study, earlier};
    int count;
    SN_TRY(difference_find(&difference, study, earlier, error));
    if (difference != NULL) {
        sn_log(SN_LOG_WARNING, "%s: its trainings are of no use here, since \"%s\" is not the same", folder,
               difference);
        goto done;
    }
    SN_TRY(sn_study_trials_visit(earlier, model_take, studies, error));
    SN_TRY(sn_study_take_over(&count, study, earlier, error));
    sn_log(SN_LOG_INFO, "%s: its %d trainings are taken over where the search asks for them", folder, count);
done:
    return status;
}

/* ---- both ---- */

static sn_status begin(double *x, sn_study *study, const char *folder, const sn_space *space, sn_error *error)
{
    sn_status status;
    sn_study *earlier = NULL;
    SN_TRY(sn_study_open_read(&earlier, folder, error));
    SN_TRY(best_encode(x, earlier, space, error));
    SN_TRY(trainings_take(study, earlier, error));
done:
    sn_study_close(earlier);
    return status;
}

static sn_status source_agree(sn_study *study, const char *earlier, sn_error *error)
{
    json_t *settings = json_pack("{s:s?}", "warm_start", earlier);
    if (settings == NULL)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: the study's settings");
    sn_status status = sn_study_settings_agree(study, settings, error);
    json_decref(settings);
    return status;
}

sn_status sn_warm_start(double **start, sn_study *study, const char *earlier, const sn_space *space,
                        sn_error *error)
{
    sn_status status;
    int dimensions = sn_space_dimensions(space);
    double *x = NULL;
    bool empty;
    *start = NULL;
    if (earlier != NULL && sn_path_same(earlier, sn_study_folder(study)))
        return sn_error_set(error, SN_ERR_ARG, "%s: a search cannot start from its own study", earlier);
    SN_TRY(sn_study_is_empty(&empty, study, error));
    SN_TRY(source_agree(study, earlier, error));
    if (earlier == NULL)
        goto done;
    SN_TRY(sn_alloc(&x, (size_t)dimensions, sizeof *x, error));
    if (empty)
        SN_TRY(begin(x, study, earlier, space, error));
    else
        SN_TRY(start_read(x, study, dimensions, error));
    *start = x;
    x = NULL;
done:
    sn_free(x);
    return status;
}

#include <math.h>

#include "study/store.h"

/* What the walk over the iterations gathers. */
typedef struct json_walk {
    json_t *iterations;
    json_t *best; /* one of them, borrowed; NULL: none yet */
    double best_f;
} json_walk;

static json_t *text_or_null(const char *text)
{
    return text == NULL ? json_null() : json_string(text);
}

static json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *point_to_json(const double *x, int dimension)
{
    json_t *array = json_array();
    for (int i = 0; i < dimension; i++)
        json_array_append_new(array, json_real(x[i]));
    return array;
}

static sn_status iteration_add(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    json_walk *walk = context;
    json_t *object =
        json_pack("{s:i, s:o, s:s, s:o, s:s, s:o, s:o, s:f}", "iteration", iteration->number, "x",
                  point_to_json(iteration->x, iteration->dimension), "arch", iteration->arch, "network",
                  text_or_null(iteration->network), "outcome", sn_outcome_name(iteration->outcome), "reason",
                  text_or_null(iteration->reason), "dice", real_or_null(iteration->dice), "f", iteration->f);
    if (object == NULL || json_array_append_new(walk->iterations, object) != 0)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: the study as JSON");
    if (isfinite(iteration->dice) && (walk->best == NULL || iteration->f < walk->best_f)) {
        walk->best = object;
        walk->best_f = iteration->f;
    }
    return SN_OK;
}

static sn_status choice_add(const sn_study_choice *choice, void *context, sn_error *error)
{
    json_t *object =
        json_pack("{s:i, s:s, s:s, s:f, s:I, s:I, s:o}", "iteration", choice->iteration, "arch", choice->arch,
                  "network", choice->network, "dice", choice->dice, "parameters",
                  (json_int_t)choice->parameters, "planned_bytes", (json_int_t)choice->planned_bytes,
                  "step_seconds", real_or_null(choice->step_seconds));
    if (object == NULL || json_array_append_new(context, object) != 0)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: the study as JSON");
    return SN_OK;
}

sn_status sn_study_json(json_t **root, sn_study *study, sn_error *error)
{
    sn_status status;
    json_walk walk = {.iterations = json_array()};
    json_t *pareto = json_array();
    char trajectory[SN_HASH_TEXT];
    *root = NULL;
    SN_TRY(sn_store_exec(study, "BEGIN", error)); /* one view, whatever is appended meanwhile */
    status = sn_study_iterations_visit(study, iteration_add, &walk, error);
    if (status == SN_OK)
        status = sn_study_pareto_visit(study, choice_add, pareto, error);
    if (status == SN_OK)
        status = sn_study_trajectory(trajectory, study, error);
    SN_TRY(sn_store_end(study, status, error));
    *root = json_pack("{s:s, s:O, s:O?, s:O}", "trajectory", trajectory, "iterations", walk.iterations,
                      "best", walk.best, "pareto", pareto);
    if (*root == NULL)
        status = sn_error_set(error, SN_ERR_MEMORY, "out of memory: the study as JSON");
done:
    json_decref(walk.iterations);
    json_decref(pareto);
    return status;
}

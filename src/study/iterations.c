#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "study/store.h"

sn_status sn_study_iteration_append(sn_study *study, const sn_study_iteration *iteration, sn_error *error)
{
    static const char sql[] =
        "INSERT INTO iterations (number, x, arch, network, outcome, reason, dice, f, trial)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9"
        " WHERE ?1 = (SELECT coalesce(max(number), 0) + 1 FROM iterations)";
    sn_status status;
    sqlite3_stmt *statement = NULL;
    if (!isfinite(iteration->f))
        return sn_error_set(error, SN_ERR_ARG, "iteration %d: f is not finite", iteration->number);
    SN_TRY(sn_store_prepare(&statement, study, sql, error));
    sqlite3_bind_int(statement, 1, iteration->number);
    sqlite3_bind_blob(statement, 2, iteration->x, iteration->dimension * (int)sizeof *iteration->x,
                      SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, iteration->arch, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 4, iteration->network, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 5, sn_outcome_name(iteration->outcome), -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 6, iteration->reason, -1, SQLITE_STATIC);
    sqlite3_bind_double(statement, 7, iteration->dice);
    sqlite3_bind_double(statement, 8, iteration->f);
    if (iteration->trial != 0)
        sqlite3_bind_int64(statement, 9, iteration->trial);
    SN_TRY(sn_store_run(study, statement, error));
    if (sqlite3_changes(study->db) != 1)
        status = sn_error_set(error, SN_ERR_ARG, "%s: iteration %d is not the next one", study->path,
                              iteration->number);
done:
    sqlite3_finalize(statement);
    return status;
}

/* Copy the point out of its blob, which need not be aligned. `*x` is the caller's, sn_free. */
static sn_status point_copy(double **x, int *dimension, sqlite3_stmt *statement, int column, sn_error *error)
{
    int bytes = sqlite3_column_bytes(statement, column);
    sn_status status = sn_alloc(x, (size_t)bytes, 1, error);
    if (status == SN_OK && bytes > 0)
        memcpy(*x, sqlite3_column_blob(statement, column), (size_t)bytes);
    *dimension = bytes / (int)sizeof **x;
    return status;
}

sn_status sn_study_iterations_visit(sn_study *study, sn_study_iteration_visitor *visitor, void *context,
                                    sn_error *error)
{
    sn_status status;
    sqlite3_stmt *statement = NULL;
    double *x = NULL;
    bool row;
    SN_TRY(sn_store_prepare(&statement, study,
                            "SELECT number, x, arch, network, outcome, reason, dice, f, trial"
                            " FROM iterations ORDER BY number",
                            error));
    SN_TRY(sn_store_step(&row, study, statement, error));
    while (row) {
        sn_study_iteration iteration = {
            .number = sqlite3_column_int(statement, 0),
            .arch = sn_store_text(statement, 2),
            .network = sn_store_text(statement, 3),
            .reason = sn_store_text(statement, 5),
            .dice = sn_store_real(statement, 6),
            .f = sqlite3_column_double(statement, 7),
            .trial = sqlite3_column_int64(statement, 8),
        };
        SN_TRY(sn_store_outcome(&iteration.outcome, study, statement, 4, error));
        SN_TRY(point_copy(&x, &iteration.dimension, statement, 1, error));
        iteration.x = x;
        SN_TRY(visitor(&iteration, context, error));
        sn_free(x);
        x = NULL;
        SN_TRY(sn_store_step(&row, study, statement, error));
    }
done:
    sn_free(x);
    sqlite3_finalize(statement);
    return status;
}

sn_status sn_study_best_arch(char **arch, sn_study *study, sn_error *error)
{
    static const char sql[] = "SELECT arch FROM iterations WHERE dice IS NOT NULL ORDER BY f, number LIMIT 1";
    sn_status status;
    sqlite3_stmt *statement = NULL;
    bool row;
    *arch = NULL;
    SN_TRY(sn_store_prepare(&statement, study, sql, error));
    SN_TRY(sn_store_step(&row, study, statement, error));
    if (row)
        SN_TRY(sn_string_copy(arch, sn_store_text(statement, 0), error));
done:
    sqlite3_finalize(statement);
    return status;
}

static sn_status trajectory_add(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    sn_hash *hash = context;
    double f = iteration->f + 0.0; /* SQLite does not keep the sign of a zero */
    (void)error;
    sn_hash_add(hash, iteration->x, (size_t)iteration->dimension * sizeof *iteration->x);
    sn_hash_add(hash, &f, sizeof f);
    return SN_OK;
}

sn_status sn_study_trajectory(char text[SN_HASH_TEXT], sn_study *study, sn_error *error)
{
    sn_status status;
    sn_hash *hash = NULL;
    text[0] = '\0';
    SN_TRY(sn_hash_begin(&hash, error));
    SN_TRY(sn_study_iterations_visit(study, trajectory_add, hash, error));
done:
    sn_hash_end(hash, status == SN_OK ? text : NULL);
    return status;
}

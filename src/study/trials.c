#include <time.h>

#include "study/store.h"

#define TRIAL_COLUMNS                                                                                        \
    "id, network, arch, parameters, planned_bytes, attempts, started, finished, outcome, reason, dice, "     \
    "labels, seconds, step_seconds, origin, (SELECT min(number) FROM iterations WHERE trial = id)"

sn_status sn_study_trial_begin(int64_t *id, sn_study *study, const sn_study_trial *trial, sn_error *error)
{
    static const char sql[] =
        "INSERT INTO trials (network, arch, parameters, planned_bytes, attempts, started)"
        " VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT (network) DO UPDATE"
        " SET attempts = attempts + 1, started = excluded.started WHERE finished IS NULL RETURNING id";
    sn_status status;
    sqlite3_stmt *statement = NULL;
    bool row;
    *id = 0;
    SN_TRY(sn_store_prepare(&statement, study, sql, error));
    sqlite3_bind_text(statement, 1, trial->network, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, trial->arch, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, trial->parameters);
    sqlite3_bind_int64(statement, 4, trial->planned_bytes);
    sqlite3_bind_int64(statement, 5, (sqlite3_int64)time(NULL));
    SN_TRY(sn_store_step(&row, study, statement, error));
    if (!row) {
        status = sn_error_set(error, SN_ERR_ARG, "%s: network %s was trained already", study->path,
                              trial->network);
        goto done;
    }
    *id = sqlite3_column_int64(statement, 0);
    SN_TRY(sn_store_run(study, statement, error)); /* the end of the rows commits */
done:
    sqlite3_finalize(statement);
    return status;
}

sn_status sn_study_retry_append(sn_study *study, int64_t trial, const char *reason, sn_error *error)
{
    sn_status status;
    sqlite3_stmt *statement = NULL;
    SN_TRY(sn_store_prepare(&statement, study, "INSERT INTO retries VALUES (?, ?, ?)", error));
    sqlite3_bind_int64(statement, 1, trial);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)time(NULL));
    sqlite3_bind_text(statement, 3, reason, -1, SQLITE_STATIC);
    SN_TRY(sn_store_run(study, statement, error));
done:
    sqlite3_finalize(statement);
    return status;
}

static sn_status trial_update(sn_study *study, const sn_study_trial *trial, sn_error *error)
{
    static const char sql[] = "UPDATE trials SET finished = ?, outcome = ?, reason = ?, dice = ?, labels = ?,"
                              " seconds = ?, step_seconds = ? WHERE id = ? AND finished IS NULL";
    sn_status status;
    sqlite3_stmt *statement = NULL;
    SN_TRY(sn_store_prepare(&statement, study, sql, error));
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)time(NULL));
    sqlite3_bind_text(statement, 2, sn_outcome_name(trial->outcome), -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, trial->reason, -1, SQLITE_STATIC);
    sqlite3_bind_double(statement, 4, trial->dice);
    sqlite3_bind_text(statement, 5, trial->labels, -1, SQLITE_STATIC);
    sqlite3_bind_double(statement, 6, trial->seconds);
    sqlite3_bind_double(statement, 7, trial->step_seconds); /* NaN becomes NULL */
    sqlite3_bind_int64(statement, 8, trial->id);
    SN_TRY(sn_store_run(study, statement, error));
    if (sqlite3_changes(study->db) != 1)
        status = sn_error_set(error, SN_ERR_ARG, "%s: trial %lld is not running", study->path,
                              (long long)trial->id);
done:
    sqlite3_finalize(statement);
    return status;
}

sn_status sn_study_trial_finish(sn_study *study, const sn_study_trial *trial, sn_error *error)
{
    sn_status status;
    SN_TRY(sn_store_exec(study, "PRAGMA synchronous=FULL", error)); /* it took hours: not to be lost */
    SN_TRY(trial_update(study, trial, error));
done:
    sqlite3_exec(study->db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    return status;
}

/* Hand each row of a query over TRIAL_COLUMNS to `visitor`. */
static sn_status rows_visit(sn_study *study, sqlite3_stmt *statement, sn_study_trial_visitor *visitor,
                            void *context, sn_error *error)
{
    sn_status status;
    bool row;
    SN_TRY(sn_store_step(&row, study, statement, error));
    while (row) {
        sn_study_trial trial = {
            .id = sqlite3_column_int64(statement, 0),
            .network = sn_store_text(statement, 1),
            .arch = sn_store_text(statement, 2),
            .parameters = sqlite3_column_int64(statement, 3),
            .planned_bytes = sqlite3_column_int64(statement, 4),
            .attempts = sqlite3_column_int(statement, 5),
            .started = sqlite3_column_int64(statement, 6),
            .finished = sqlite3_column_int64(statement, 7),
            .reason = sn_store_text(statement, 9),
            .dice = sn_store_real(statement, 10),
            .labels = sn_store_text(statement, 11),
            .seconds = sn_store_real(statement, 12),
            .step_seconds = sn_store_real(statement, 13),
            .origin = sn_store_text(statement, 14),
            .first_iteration = sqlite3_column_int(statement, 15),
        };
        if (trial.finished != 0)
            SN_TRY(sn_store_outcome(&trial.outcome, study, statement, 8, error));
        SN_TRY(visitor(&trial, context, error));
        SN_TRY(sn_store_step(&row, study, statement, error));
    }
done:
    return status;
}

sn_status sn_study_trial_find(sn_study *study, const char *network, sn_study_trial_visitor *visitor,
                              void *context, sn_error *error)
{
    sn_status status;
    sqlite3_stmt *statement = NULL;
    SN_TRY(
        sn_store_prepare(&statement, study, "SELECT " TRIAL_COLUMNS " FROM trials WHERE network = ?", error));
    sqlite3_bind_text(statement, 1, network, -1, SQLITE_STATIC);
    SN_TRY(rows_visit(study, statement, visitor, context, error));
done:
    sqlite3_finalize(statement);
    return status;
}

sn_status sn_study_trials_visit(sn_study *study, sn_study_trial_visitor *visitor, void *context,
                                sn_error *error)
{
    sn_status status;
    sqlite3_stmt *statement = NULL;
    SN_TRY(sn_store_prepare(&statement, study, "SELECT " TRIAL_COLUMNS " FROM trials ORDER BY id", error));
    SN_TRY(rows_visit(study, statement, visitor, context, error));
done:
    sqlite3_finalize(statement);
    return status;
}

sn_status sn_study_epoch_append(sn_study *study, const sn_study_epoch *epoch, sn_error *error)
{
    sn_status status;
    sqlite3_stmt *statement = NULL;
    SN_TRY(
        sn_store_prepare(&statement, study, "INSERT OR REPLACE INTO epochs VALUES (?, ?, ?, ?, ?)", error));
    sqlite3_bind_int64(statement, 1, epoch->trial);
    sqlite3_bind_int(statement, 2, epoch->epoch);
    sqlite3_bind_double(statement, 3, epoch->loss);
    sqlite3_bind_double(statement, 4, epoch->dice);
    sqlite3_bind_double(statement, 5, epoch->seconds);
    SN_TRY(sn_store_run(study, statement, error));
done:
    sqlite3_finalize(statement);
    return status;
}

sn_status sn_study_epochs_visit(sn_study *study, int64_t trial, sn_study_epoch_visitor *visitor,
                                void *context, sn_error *error)
{
    sn_status status;
    sqlite3_stmt *statement = NULL;
    bool row;
    SN_TRY(sn_store_prepare(&statement, study,
                            "SELECT epoch, loss, dice, seconds FROM epochs WHERE trial = ? ORDER BY epoch",
                            error));
    sqlite3_bind_int64(statement, 1, trial);
    SN_TRY(sn_store_step(&row, study, statement, error));
    while (row) {
        sn_study_epoch epoch = {
            .trial = trial,
            .epoch = sqlite3_column_int(statement, 0),
            .loss = sn_store_real(statement, 1),
            .dice = sn_store_real(statement, 2),
            .seconds = sn_store_real(statement, 3),
        };
        SN_TRY(visitor(&epoch, context, error));
        SN_TRY(sn_store_step(&row, study, statement, error));
    }
done:
    sqlite3_finalize(statement);
    return status;
}

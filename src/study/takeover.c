#include "study/store.h"

/* Where the trainings go. */
typedef struct takeover {
    sn_study *study, *earlier;
    int count;
    int64_t trial; /* in `study`, the one whose epochs are copied */
} takeover;

static sn_status epoch_copy(const sn_study_epoch *epoch, void *context, sn_error *error)
{
    const takeover *self = context;
    sn_study_epoch row = *epoch;
    row.trial = self->trial;
    return sn_study_epoch_append(self->study, &row, error);
}

static sn_status trial_insert(takeover *self, const sn_study_trial *trial, sn_error *error)
{
    static const char sql[] =
        "INSERT INTO trials (network, arch, parameters, planned_bytes, attempts, started, finished, outcome,"
        " dice, labels, seconds, step_seconds, origin) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sn_status status;
    sqlite3_stmt *statement = NULL;
    SN_TRY(sn_store_prepare(&statement, self->study, sql, error));
    sqlite3_bind_text(statement, 1, trial->network, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, trial->arch, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, trial->parameters);
    sqlite3_bind_int64(statement, 4, trial->planned_bytes);
    sqlite3_bind_int(statement, 5, trial->attempts);
    sqlite3_bind_int64(statement, 6, trial->started);
    sqlite3_bind_int64(statement, 7, trial->finished);
    sqlite3_bind_text(statement, 8, sn_outcome_name(trial->outcome), -1, SQLITE_STATIC);
    sqlite3_bind_double(statement, 9, trial->dice);
    sqlite3_bind_text(statement, 10, trial->labels, -1, SQLITE_STATIC);
    sqlite3_bind_double(statement, 11, trial->seconds);
    sqlite3_bind_double(statement, 12, trial->step_seconds); /* NaN becomes NULL */
    sqlite3_bind_text(statement, 13, self->earlier->folder, -1, SQLITE_STATIC);
    SN_TRY(sn_store_run(self->study, statement, error));
    self->trial = sqlite3_last_insert_rowid(self->study->db);
    self->count++;
done:
    sqlite3_finalize(statement);
    return status;
}

/* A training that failed or was stopped may end otherwise here; one that ended as it should cannot. */
static sn_status trial_copy(const sn_study_trial *trial, void *context, sn_error *error)
{
    sn_status status;
    takeover *self = context;
    if (trial->finished == 0 || trial->outcome != SN_OUTCOME_TRAINED || trial->reason != NULL)
        return SN_OK;
    SN_TRY(trial_insert(self, trial, error));
    SN_TRY(sn_study_epochs_visit(self->earlier, trial->id, epoch_copy, self, error));
done:
    return status;
}

sn_status sn_study_take_over(int *count, sn_study *study, sn_study *earlier, sn_error *error)
{
    static const char forget[] = "DELETE FROM epochs WHERE trial IN"
                                 " (SELECT id FROM trials WHERE origin IS NOT NULL);"
                                 "DELETE FROM trials WHERE origin IS NOT NULL";
    sn_status status;
    takeover self = {study, earlier, 0, 0};
    SN_TRY(sn_store_exec(study, "BEGIN IMMEDIATE", error));
    status = sn_store_exec(study, forget, error);
    if (status == SN_OK)
        status = sn_study_trials_visit(earlier, trial_copy, &self, error);
    status = sn_store_end(study, status, error);
done:
    *count = status == SN_OK ? self.count : 0;
    return status;
}

/**
 * The study's database, for the files of this folder: SQLite calls that return a status with a clear text.
 */
#ifndef SN_STUDY_STORE_H
#define SN_STUDY_STORE_H

#include <sqlite3.h>

#include "study/study.h"

struct sn_study {
    char *folder;
    char *path; /* of the database, for messages */
    sqlite3 *db;
    int lock; /* base/lock.h; SN_NO_LOCK for a reader */
};

/** Open the database, create or check its tables. `study` has folder and path; `write` needs the lock. */
sn_status sn_store_open(sn_study *study, bool write, sn_error *error);

/** Describe the database's last error: a full disk, a damaged file, ... */
sn_status sn_store_error(const sn_study *study, sn_error *error);

/** Run statements without parameters or rows. */
sn_status sn_store_exec(sn_study *study, const char *sql, sn_error *error);

/** Prepare one statement; the caller's, sqlite3_finalize. */
sn_status sn_store_prepare(sqlite3_stmt **statement, sn_study *study, const char *sql, sn_error *error);

/** Step to the next row; `*row` is false at the end. */
sn_status sn_store_step(bool *row, sn_study *study, sqlite3_stmt *statement, sn_error *error);

/** Run a prepared statement that gives no rows. */
sn_status sn_store_run(sn_study *study, sqlite3_stmt *statement, sn_error *error);

/** End a transaction that was begun: commit where `status` is SN_OK, else undo and pass it on. */
sn_status sn_store_end(sn_study *study, sn_status status, sn_error *error);

/** A REAL column, NaN where it is NULL. */
double sn_store_real(sqlite3_stmt *statement, int column);

/** A TEXT column, NULL where it is NULL; valid until the next step. */
const char *sn_store_text(sqlite3_stmt *statement, int column);

/** A column with an outcome's name. SN_ERR_INPUT it is none. */
sn_status sn_store_outcome(sn_outcome *outcome, const sn_study *study, sqlite3_stmt *statement, int column,
                           sn_error *error);

#endif

#include "study/store.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

enum {
    APPLICATION_ID = 0x534e3344, /* "SN3D", in the file's header: tells a study from other databases */
    SCHEMA_VERSION = 4,          /* before retries: 1; before step times: 2; before halving, warm starts: 3 */
    BUSY_MILLISECONDS = 10000,   /* readers and writer exclude each other only for moments */
};

/* x: the doubles as they lie in memory, little-endian. NULL in a REAL column stands for NaN. */
static const char schema[] = "CREATE TABLE settings ("
                             "  name TEXT PRIMARY KEY,"
                             "  value TEXT NOT NULL) STRICT, WITHOUT ROWID;" /* JSON */
                             "CREATE TABLE trials ("
                             "  id INTEGER PRIMARY KEY,"
                             "  network TEXT NOT NULL UNIQUE,"
                             "  arch TEXT NOT NULL,"
                             "  parameters INTEGER NOT NULL,"
                             "  planned_bytes INTEGER NOT NULL,"
                             "  attempts INTEGER NOT NULL,"
                             "  started INTEGER NOT NULL," /* seconds since 1970, UTC */
                             "  finished INTEGER,"         /* NULL: not yet */
                             "  outcome TEXT,"
                             "  reason TEXT,"
                             "  dice REAL,"
                             "  labels TEXT," /* JSON */
                             "  seconds REAL) STRICT;"
                             "CREATE TABLE iterations ("
                             "  number INTEGER PRIMARY KEY,"
                             "  x BLOB NOT NULL,"
                             "  arch TEXT NOT NULL,"
                             "  network TEXT,"
                             "  outcome TEXT NOT NULL,"
                             "  reason TEXT,"
                             "  dice REAL,"
                             "  f REAL NOT NULL,"
                             "  trial INTEGER REFERENCES trials(id)) STRICT;"
                             "CREATE INDEX iterations_of_trial ON iterations(trial);"
                             "CREATE TABLE epochs ("
                             "  trial INTEGER NOT NULL REFERENCES trials(id),"
                             "  epoch INTEGER NOT NULL,"
                             "  loss REAL,"
                             "  dice REAL,"
                             "  seconds REAL,"
                             "  PRIMARY KEY (trial, epoch)) STRICT, WITHOUT ROWID;";

/* What version 2 has beside version 1, which knew no simulations and no limit of a trial's time. */
static const char schema_2[] = "CREATE TABLE retries ("
                               "  trial INTEGER NOT NULL REFERENCES trials(id),"
                               "  moment INTEGER NOT NULL," /* seconds since 1970, UTC */
                               "  reason TEXT NOT NULL) STRICT;"
                               "INSERT INTO settings VALUES ('simulated', 'false'), ('trial_hours', '0.0');";

/* What version 3 has beside version 2, which knew no other loss and stopped no training. */
static const char schema_3[] = "ALTER TABLE trials ADD COLUMN step_seconds REAL;"
                               "INSERT INTO settings VALUES ('loss_exponent', '0.3'), ('stop_early', '0');";

/* What version 4 has beside version 3, which knew one rule to stop trainings and began from nothing. */
static const char schema_4[] =
    "ALTER TABLE trials ADD COLUMN origin TEXT;" /* the study that it was taken over from; NULL: this one */
    "INSERT INTO settings VALUES ('warm_start', 'null'), ('start', 'null');"
    "INSERT INTO settings SELECT 'stop_rule', iif(value = '0', '\"none\"', '\"median\"')"
    " FROM settings WHERE name = 'stop_early';";

/* An older version's tables as if they were this one's, for a reader; a temporary view hides the table. */
static const char *const views[] = {
    [1] = "CREATE TEMP VIEW trials AS SELECT *, NULL AS step_seconds, NULL AS origin FROM main.trials;",
    [2] = "CREATE TEMP VIEW trials AS SELECT *, NULL AS step_seconds, NULL AS origin FROM main.trials;",
    [3] = "CREATE TEMP VIEW trials AS SELECT *, NULL AS origin FROM main.trials;",
};

sn_status sn_store_error(const sn_study *study, sn_error *error)
{
    int code = sqlite3_errcode(study->db) & 0xff;
    if (code == SQLITE_FULL)
        return sn_error_set(error, SN_ERR_IO,
                            "%s: the disk is full; free some space and give the command again", study->path);
    if (sqlite3_extended_errcode(study->db) == SQLITE_IOERR_WRITE) /* SQLite does not tell why */
        return sn_error_set(
            error, SN_ERR_IO,
            "%s: cannot write: over the quota or the limit of a file's size, or a broken disk; "
            "put that right and give the command again",
            study->path);
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
        return sn_error_set(error, SN_ERR_INPUT, "%s: damaged, or not the database of a study (%s)",
                            study->path, sqlite3_errmsg(study->db));
    if (code == SQLITE_NOMEM)
        return sn_error_set(error, SN_ERR_MEMORY, "%s: out of memory", study->path);
    return sn_error_set(error, SN_ERR_IO, "%s: cannot read or write: %s", study->path,
                        sqlite3_errmsg(study->db));
}

sn_status sn_store_exec(sn_study *study, const char *sql, sn_error *error)
{
    if (sqlite3_exec(study->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return sn_store_error(study, error);
    return SN_OK;
}

sn_status sn_store_prepare(sqlite3_stmt **statement, sn_study *study, const char *sql, sn_error *error)
{
    if (sqlite3_prepare_v2(study->db, sql, -1, statement, NULL) != SQLITE_OK)
        return sn_store_error(study, error);
    return SN_OK;
}

sn_status sn_store_step(bool *row, sn_study *study, sqlite3_stmt *statement, sn_error *error)
{
    int code = sqlite3_step(statement);
    *row = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? SN_OK : sn_store_error(study, error);
}

sn_status sn_store_run(sn_study *study, sqlite3_stmt *statement, sn_error *error)
{
    bool row;
    return sn_store_step(&row, study, statement, error);
}

sn_status sn_store_end(sn_study *study, sn_status status, sn_error *error)
{
    if (status == SN_OK)
        status = sn_store_exec(study, "COMMIT", error);
    if (!sqlite3_get_autocommit(study->db)) /* a full disk may have undone it already */
        sqlite3_exec(study->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

double sn_store_real(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL ? NAN
                                                                 : sqlite3_column_double(statement, column);
}

const char *sn_store_text(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}

sn_status sn_store_outcome(sn_outcome *outcome, const sn_study *study, sqlite3_stmt *statement, int column,
                           sn_error *error)
{
    const char *text = sn_store_text(statement, column);
    for (int known = SN_OUTCOME_TRAINED; text != NULL && known <= SN_OUTCOME_FAILED; known++) {
        if (strcmp(text, sn_outcome_name((sn_outcome)known)) == 0) {
            *outcome = (sn_outcome)known;
            return SN_OK;
        }
    }
    return sn_error_set(error, SN_ERR_INPUT, "%s: damaged: unknown outcome \"%s\"", study->path,
                        text == NULL ? "" : text);
}

/* The integer that a statement gives in its first row. */
static sn_status query_integer(int64_t *value, sn_study *study, const char *sql, sn_error *error)
{
    sn_status status;
    sqlite3_stmt *statement = NULL;
    bool row;
    SN_TRY(sn_store_prepare(&statement, study, sql, error));
    SN_TRY(sn_store_step(&row, study, statement, error));
    *value = row ? sqlite3_column_int64(statement, 0) : 0;
done:
    sqlite3_finalize(statement);
    return status;
}

/* Hold the file's marks against this program's. */
static sn_status schema_check(sn_study *study, sn_error *error)
{
    sn_status status;
    int64_t application, version;
    SN_TRY(query_integer(&application, study, "PRAGMA application_id", error));
    SN_TRY(query_integer(&version, study, "PRAGMA user_version", error));
    if (application != APPLICATION_ID)
        status = sn_error_set(error, SN_ERR_INPUT, "%s: not the database of a study; choose another folder",
                              study->path);
    else if (version < 1 || version > SCHEMA_VERSION)
        status =
            sn_error_set(error, SN_ERR_INPUT,
                         "%s: version %lld of the study format, this program knows up to %d; use the program "
                         "that wrote it",
                         study->path, (long long)version, SCHEMA_VERSION);
done:
    return status;
}

/* Make the tables of version 1 in an empty database. */
static sn_status schema_create(sn_study *study, sn_error *error)
{
    sn_status status;
    char marks[96];
    snprintf(marks, sizeof marks, "PRAGMA application_id=%d; PRAGMA user_version=1;", APPLICATION_ID);
    SN_TRY(sn_store_exec(study, schema, error));
    SN_TRY(sn_store_exec(study, marks, error));
done:
    return status;
}

/* Bring a study of an older version to this one, step by step. */
static sn_status schema_migrate(sn_study *study, int64_t version, sn_error *error)
{
    static const char *const steps[] = {[2] = schema_2, [3] = schema_3, [4] = schema_4};
    sn_status status = SN_OK;
    char mark[48];
    for (int64_t next = version + 1; next <= SCHEMA_VERSION; next++) {
        snprintf(mark, sizeof mark, "PRAGMA user_version=%d", (int)next);
        SN_TRY(sn_store_exec(study, steps[next], error));
        SN_TRY(sn_store_exec(study, mark, error));
    }
done:
    return status;
}

/* Let a reader see a study of an older version as one of this version. */
static sn_status schema_view(sn_study *study, sn_error *error)
{
    sn_status status;
    int64_t version;
    SN_TRY(query_integer(&version, study, "PRAGMA user_version", error));
    if (version < SCHEMA_VERSION)
        SN_TRY(sn_store_exec(study, views[version], error));
done:
    return status;
}

/* Make the tables in an empty database, or those that an older program did not know; all of them or none. */
static sn_status schema_complete(sn_study *study, sn_error *error)
{
    sn_status status;
    int64_t tables, version;
    SN_TRY(sn_store_exec(study, "BEGIN IMMEDIATE", error));
    status = query_integer(&tables, study, "SELECT count(*) FROM sqlite_master", error);
    if (status == SN_OK && tables == 0)
        status = schema_create(study, error);
    if (status == SN_OK)
        status = schema_check(study, error);
    if (status == SN_OK)
        status = query_integer(&version, study, "PRAGMA user_version", error);
    if (status == SN_OK)
        status = schema_migrate(study, version, error);
    status = sn_store_end(study, status, error);
done:
    return status;
}

static sn_status connect(sn_study *study, const char *name, int flags, sn_error *error)
{
    if (sqlite3_open_v2(name, &study->db, flags, NULL) != SQLITE_OK) {
        if (study->db == NULL)
            return sn_error_set(error, SN_ERR_MEMORY, "%s: out of memory", study->path);
        return sn_store_error(study, error);
    }
    sqlite3_busy_timeout(study->db, BUSY_MILLISECONDS);
    return SN_OK;
}

/*
 * WAL: readers never wait. synchronous=NORMAL: a kill loses nothing; a power cut may lose the last commits,
 * never the order, and what is lost is asked again. A finished training is synchronised by itself (trials.c).
 */
static sn_status open_write(sn_study *study, sn_error *error)
{
    sn_status status;
    SN_TRY(connect(study, study->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, error));
    SN_TRY(schema_complete(study, error));
    SN_TRY(sn_store_exec(study, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON",
                         error));
done:
    return status;
}

/* Write `path` as an SQLite URI that promises that nobody changes the file. */
static sn_status immutable_uri(char **uri, const char *path, sn_error *error)
{
    static const char hexadecimal[] = "0123456789ABCDEF";
    char *escaped = NULL;
    sn_status status;
    *uri = NULL;
    SN_TRY(sn_alloc(&escaped, strlen(path) + 1, 3, error));
    char *end = escaped;
    for (const char *c = path; *c != '\0'; c++) {
        if (strchr("%?#", *c) == NULL) {
            *end++ = *c;
            continue;
        }
        *end++ = '%';
        *end++ = hexadecimal[(unsigned char)*c >> 4];
        *end++ = hexadecimal[(unsigned char)*c & 15];
    }
    SN_TRY(sn_string_format(uri, error, "file:%s?immutable=1", escaped));
done:
    sn_free(escaped);
    return status;
}

/* A closed study in a folder that this user may not write: WAL's side files can neither exist nor be made. */
static sn_status open_immutable(sn_study *study, sn_error *error)
{
    sn_status status;
    char *uri = NULL;
    sqlite3_close(study->db);
    study->db = NULL;
    SN_TRY(immutable_uri(&uri, study->path, error));
    SN_TRY(connect(study, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, error));
    SN_TRY(schema_check(study, error));
done:
    sn_free(uri);
    return status;
}

static sn_status open_read(sn_study *study, sn_error *error)
{
    sn_status status;
    char *log = NULL;
    SN_TRY(connect(study, study->path, SQLITE_OPEN_READONLY, error));
    SN_TRY(sn_string_format(&log, error, "%s-wal", study->path));
    status = schema_check(study, error);
    if (status == SN_ERR_IO && !sn_path_exists(log))
        status = open_immutable(study, error);
    if (status == SN_OK)
        status = schema_view(study, error);
done:
    sn_free(log);
    return status;
}

sn_status sn_store_open(sn_study *study, bool write, sn_error *error)
{
    return write ? open_write(study, error) : open_read(study, error);
}

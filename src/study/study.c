#include "study/study.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/memory.h"
#include "study/store.h"

const char *sn_outcome_name(sn_outcome outcome)
{
    switch (outcome) {
    case SN_OUTCOME_TRAINED:
        return "trained";
    case SN_OUTCOME_REPEATED:
        return "repeated";
    case SN_OUTCOME_ILLEGAL:
        return "illegal";
    case SN_OUTCOME_MEMORY:
        return "memory";
    case SN_OUTCOME_FAILED:
        break;
    }
    return "failed";
}

/* ---- the folder ---- */

/* Does the folder hold anything but a study? What it holds would be taken for the study's and tidied away. */
static bool is_foreign(const char *folder)
{
    bool empty = true, ours = false;
    DIR *listing = opendir(folder);
    if (listing == NULL)
        return false;
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        ours = ours || strcmp(entry->d_name, "lock") == 0 || strcmp(entry->d_name, "study.db") == 0;
        empty = empty && entry->d_name[0] == '.'; /* itself, its parent, and what file managers leave */
    }
    closedir(listing);
    return !empty && !ours;
}

/* Make a folder of the study, or remove what a killed process left half-written in it. */
static sn_status subfolder_prepare(const sn_study *study, const char *name, sn_error *error)
{
    sn_status status;
    char *path = NULL;
    SN_TRY(sn_path_join(&path, study->folder, name, error));
    SN_TRY(sn_folder_create(path, error));
    sn_folder_tidy(path);
done:
    sn_free(path);
    return status;
}

static sn_status study_create(sn_study **study, const char *folder, sn_error *error)
{
    sn_status status;
    SN_TRY(sn_alloc(study, 1, sizeof **study, error));
    (*study)->lock = SN_NO_LOCK;
    SN_TRY(sn_string_copy(&(*study)->folder, folder, error));
    SN_TRY(sn_path_join(&(*study)->path, folder, "study.db", error));
done:
    return status;
}

/* Remove what a study is made of, then its folder where nothing else is in it. */
static void study_remove(const char *folder)
{
    static const char *const names[] = {"models", "log", "cache", "study.db", "lock"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = NULL;
        if (sn_path_join(&path, folder, names[i], NULL) == SN_OK)
            sn_folder_remove(path, NULL);
        sn_free(path);
    }
    rmdir(folder);
}

sn_status sn_study_open(sn_study **study, const char *folder, sn_error *error)
{
    sn_status status;
    sn_study *self = NULL;
    bool is_new = false;
    *study = NULL;
    SN_TRY(study_create(&self, folder, error));
    if (is_foreign(folder)) {
        status = sn_error_set(error, SN_ERR_ARG, "%s: holds files that are not a study's; give a new folder",
                              folder);
        goto done;
    }
    SN_TRY(sn_folder_create(folder, error));
    SN_TRY(sn_folder_lock(&self->lock, folder, error));
    is_new = !sn_path_exists(self->path);
    sn_folder_tidy(folder);
    SN_TRY(subfolder_prepare(self, "models", error));
    SN_TRY(subfolder_prepare(self, "log", error));
    SN_TRY(subfolder_prepare(self, "cache", error));
    SN_TRY(sn_store_open(self, true, error));
    *study = self;
    self = NULL;
done:
    if (self != NULL && is_new)
        study_remove(folder);
    sn_study_close(self);
    return status;
}

sn_status sn_study_open_read(sn_study **study, const char *folder, sn_error *error)
{
    sn_status status;
    sn_study *self = NULL;
    *study = NULL;
    SN_TRY(study_create(&self, folder, error));
    if (!sn_path_exists(self->path)) {
        status = sn_error_set(error, SN_ERR_INPUT, "%s: not a study: there is no study.db in it", folder);
        goto done;
    }
    SN_TRY(sn_store_open(self, false, error));
    *study = self;
    self = NULL;
done:
    sn_study_close(self);
    return status;
}

void sn_study_close(sn_study *study)
{
    if (study == NULL)
        return;
    sqlite3_close(study->db);
    sn_folder_unlock(study->lock);
    sn_free(study->path);
    sn_free(study->folder);
    sn_free(study);
}

sn_status sn_study_is_empty(bool *empty, sn_study *study, sn_error *error)
{
    sn_status status;
    sqlite3_stmt *statement = NULL;
    bool row;
    SN_TRY(sn_store_prepare(&statement, study,
                            "SELECT 1 FROM trials WHERE origin IS NULL UNION ALL SELECT 1 FROM iterations",
                            error));
    SN_TRY(sn_store_step(&row, study, statement, error));
    *empty = !row;
done:
    sqlite3_finalize(statement);
    return status;
}

void sn_study_abandon(sn_study *study)
{
    bool empty;
    if (study != NULL && sn_study_is_empty(&empty, study, NULL) == SN_OK && empty) {
        sqlite3_close(study->db); /* removes its own files beside study.db */
        study->db = NULL;
        study_remove(study->folder);
    }
    sn_study_close(study);
}

const char *sn_study_folder(const sn_study *study)
{
    return study->folder;
}

/* ---- settings ---- */

/* JSON as one line; the caller's, free. */
static sn_status value_dump(char **text, const json_t *value, sn_error *error)
{
    *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    return *text != NULL ? SN_OK : sn_error_set(error, SN_ERR_MEMORY, "out of memory: a setting's text");
}

sn_status sn_study_setting_put(sn_study *study, const char *name, const json_t *value, sn_error *error)
{
    sn_status status;
    sqlite3_stmt *statement = NULL;
    char *text = NULL;
    SN_TRY(value_dump(&text, value, error));
    SN_TRY(sn_store_prepare(&statement, study, "INSERT OR REPLACE INTO settings VALUES (?, ?)", error));
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, text, -1, SQLITE_STATIC);
    SN_TRY(sn_store_run(study, statement, error));
done:
    sqlite3_finalize(statement);
    free(text);
    return status;
}

sn_status sn_study_setting_get(json_t **value, sn_study *study, const char *name, sn_error *error)
{
    sn_status status;
    sqlite3_stmt *statement = NULL;
    bool row;
    *value = NULL;
    SN_TRY(sn_store_prepare(&statement, study, "SELECT value FROM settings WHERE name = ?", error));
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    SN_TRY(sn_store_step(&row, study, statement, error));
    if (!row)
        goto done;
    *value = json_loads(sn_store_text(statement, 0), JSON_DECODE_ANY, NULL);
    if (*value == NULL)
        status = sn_error_set(error, SN_ERR_INPUT, "%s: damaged: the setting \"%s\" is not JSON", study->path,
                              name);
done:
    sqlite3_finalize(statement);
    return status;
}

static sn_status setting_refuse(const sn_study *study, const char *name, const json_t *stored,
                                const json_t *given, sn_error *error)
{
    sn_status status;
    char *before = NULL, *now = NULL;
    SN_TRY(value_dump(&before, stored, error));
    SN_TRY(value_dump(&now, given, error));
    status = sn_error_set(error, SN_ERR_ARG,
                          "%s: this study was begun with %s %.200s, now %s is %.200s; give the first value "
                          "again or another study folder",
                          study->folder, name, before, name, now);
done:
    free(before);
    free(now);
    return status;
}

/* Hold one setting against the stored one; as long as nothing was done under it, it may change. */
static sn_status setting_agree(sn_study *study, const char *name, const json_t *given, bool empty,
                               sn_error *error)
{
    sn_status status;
    json_t *stored = NULL;
    if (empty)
        return sn_study_setting_put(study, name, given, error);
    SN_TRY(sn_study_setting_get(&stored, study, name, error));
    if (stored == NULL)
        status =
            sn_error_set(error, SN_ERR_ARG,
                         "%s: this study was begun without the setting \"%s\", by another version of the "
                         "program; use that one or another study folder",
                         study->folder, name);
    else if (!json_equal(stored, given))
        status = setting_refuse(study, name, stored, given, error);
done:
    json_decref(stored);
    return status;
}

sn_status sn_study_settings_agree(sn_study *study, const json_t *settings, sn_error *error)
{
    sn_status status;
    bool empty = false;
    const char *name;
    json_t *value;
    SN_TRY(sn_store_exec(study, "BEGIN IMMEDIATE", error));
    status = sn_study_is_empty(&empty, study, error);
    json_object_foreach((json_t *)settings, name, value)
    {
        if (status == SN_OK)
            status = setting_agree(study, name, value, empty, error);
    }
    status = sn_store_end(study, status, error);
done:
    return status;
}

/* The store: what is put in comes out to the last bit, whatever happens to the process or the disk. */
#include "cmocka_all.h"

#include <float.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "study/study.h"

static char folder[] = "/tmp/segnas3d-test-study-XXXXXX";
static char study_path[128], database_path[160];

static int folder_make(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(study_path, sizeof study_path, "%s/study", folder);
    snprintf(database_path, sizeof database_path, "%s/study.db", study_path);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    return sn_folder_remove(folder, NULL) == SN_OK ? 0 : -1;
}

/* The study, open for writing; closed by the test. */
static sn_study *open_study(void)
{
    sn_study *study;
    sn_error error = SN_ERROR_INIT;
    if (sn_study_open(&study, study_path, &error) != SN_OK)
        fail_msg("%s", error.text);
    return study;
}

static sn_study *open_reader(void)
{
    sn_study *study;
    sn_error error = SN_ERROR_INIT;
    if (sn_study_open_read(&study, study_path, &error) != SN_OK)
        fail_msg("%s", error.text);
    return study;
}

/* Run SQL on the closed study, past the library. */
static void database_exec(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(database_path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void assert_database_is_sound(void)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open(database_path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), "ok");
    sqlite3_finalize(statement);
    sqlite3_close(db);
}

static sn_study_iteration illegal_iteration(int number, const double *x, int dimension)
{
    return (sn_study_iteration){.number = number,
                                .dimension = dimension,
                                .x = x,
                                .arch = "n=8",
                                .outcome = SN_OUTCOME_ILLEGAL,
                                .reason = "a second sink",
                                .dice = NAN,
                                .f = 10};
}

static sn_status append_illegal(sn_study *study, int number, sn_error *error)
{
    double x[2] = {number, 1.0 / number};
    sn_study_iteration iteration = illegal_iteration(number, x, 2);
    return sn_study_iteration_append(study, &iteration, error);
}

static sn_status last_number(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    (void)error;
    *(int *)context = iteration->number;
    return SN_OK;
}

static int stored_iterations(sn_study *study)
{
    int number = 0;
    assert_int_equal(sn_study_iterations_visit(study, last_number, &number, NULL), SN_OK);
    return number;
}

/* ---- settings ---- */

static void settings_come_back_as_they_were_put(void **state)
{
    (void)state;
    sn_study *study = open_study();
    json_t *value, *put = json_pack("{s:[i,f], s:n, s:s}", "a", 1, 0.1, "b", "c", "gr\303\266\303\237e");
    assert_int_equal(sn_study_setting_put(study, "size", put, NULL), SN_OK);
    assert_int_equal(sn_study_setting_put(study, "size", put, NULL), SN_OK);
    sn_study_close(study);
    study = open_study();
    assert_int_equal(sn_study_setting_get(&value, study, "size", NULL), SN_OK);
    assert_true(json_equal(value, put));
    json_decref(value);
    assert_int_equal(sn_study_setting_get(&value, study, "other", NULL), SN_OK);
    assert_null(value);
    json_decref(put);
    sn_study_close(study);
}

static void another_value_of_a_setting_is_refused(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    json_t *first = json_pack("{s:i, s:f, s:s}", "epochs", 100, "rate", 1e-3, "size", "auto");
    json_t *second = json_pack("{s:i, s:f, s:s}", "epochs", 50, "rate", 1e-3, "size", "auto");
    sn_study *study = open_study();
    assert_int_equal(sn_study_settings_agree(study, first, &error), SN_OK);
    assert_int_equal(append_illegal(study, 1, NULL), SN_OK);
    sn_study_close(study);
    study = open_study();
    assert_int_equal(sn_study_settings_agree(study, first, &error), SN_OK);
    assert_int_equal(sn_study_settings_agree(study, second, &error), SN_ERR_ARG);
    assert_non_null(strstr(error.text, "epochs"));
    assert_non_null(strstr(error.text, "100"));
    assert_non_null(strstr(error.text, "50"));
    assert_int_equal(sn_study_settings_agree(study, first, &error), SN_OK);
    json_decref(first);
    json_decref(second);
    sn_study_close(study);
}

static void settings_may_change_until_something_is_done(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    json_t *first = json_pack("{s:i}", "memory", 100), *second = json_pack("{s:i}", "memory", 200);
    sn_study *study = open_study();
    assert_int_equal(sn_study_settings_agree(study, first, &error), SN_OK);
    assert_int_equal(sn_study_settings_agree(study, second, &error), SN_OK);
    assert_int_equal(append_illegal(study, 1, NULL), SN_OK);
    assert_int_equal(sn_study_settings_agree(study, first, &error), SN_ERR_ARG);
    assert_int_equal(sn_study_settings_agree(study, second, &error), SN_OK);
    json_decref(first);
    json_decref(second);
    sn_study_close(study);
}

static void a_setting_that_the_study_was_begun_without_is_refused(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    json_t *before = json_pack("{s:i}", "epochs", 100);
    json_t *after = json_pack("{s:i, s:b}", "epochs", 100, "mirror", 1);
    sn_study *study = open_study();
    assert_int_equal(sn_study_settings_agree(study, before, NULL), SN_OK);
    assert_int_equal(append_illegal(study, 1, NULL), SN_OK);
    assert_int_equal(sn_study_settings_agree(study, after, &error), SN_ERR_ARG);
    assert_non_null(strstr(error.text, "mirror"));
    assert_int_equal(sn_study_settings_agree(study, before, NULL), SN_OK);
    json_decref(before);
    json_decref(after);
    sn_study_close(study);
}

/* ---- rows ---- */

static const double awkward[] = {0.1,     -0.0, DBL_MIN / 8, DBL_MAX,
                                 1.0 / 3, 33.0, -1e-300,     0x1.fffffffffffffp-1};
enum { AWKWARD = sizeof awkward / sizeof *awkward };

static sn_status compare_awkward(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    double f = 2.0 / 7;
    (void)context, (void)error;
    assert_int_equal(iteration->dimension, AWKWARD);
    assert_memory_equal(iteration->x, awkward, sizeof awkward);
    assert_memory_equal(&iteration->f, &f, sizeof f);
    assert_true(isnan(iteration->dice));
    assert_null(iteration->network);
    assert_int_equal(iteration->outcome, SN_OUTCOME_ILLEGAL);
    assert_string_equal(iteration->arch, "n=8");
    assert_string_equal(iteration->reason, "a second sink");
    assert_true(iteration->trial == 0);
    return SN_OK;
}

static void a_point_comes_back_to_the_last_bit(void **state)
{
    (void)state;
    sn_study *study = open_study();
    sn_study_iteration iteration = illegal_iteration(1, awkward, AWKWARD);
    iteration.f = 2.0 / 7;
    assert_int_equal(sn_study_iteration_append(study, &iteration, NULL), SN_OK);
    sn_study_close(study);
    study = open_study();
    assert_int_equal(sn_study_iterations_visit(study, compare_awkward, NULL, NULL), SN_OK);
    assert_int_equal(stored_iterations(study), 1);
    sn_study_close(study);
}

static void iterations_have_no_gaps_and_no_doubles(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_study *study = open_study();
    assert_int_equal(append_illegal(study, 2, &error), SN_ERR_ARG);
    assert_int_equal(append_illegal(study, 1, &error), SN_OK);
    assert_int_not_equal(append_illegal(study, 1, &error), SN_OK);
    assert_int_equal(append_illegal(study, 3, &error), SN_ERR_ARG);
    assert_int_equal(append_illegal(study, 2, &error), SN_OK);
    assert_int_equal(stored_iterations(study), 2);
    sn_study_close(study);
}

static void an_infinite_f_is_refused(void **state)
{
    (void)state;
    double x = 1;
    sn_study *study = open_study();
    sn_study_iteration iteration = illegal_iteration(1, &x, 1);
    iteration.f = INFINITY;
    assert_int_equal(sn_study_iteration_append(study, &iteration, NULL), SN_ERR_ARG);
    iteration.f = NAN;
    assert_int_equal(sn_study_iteration_append(study, &iteration, NULL), SN_ERR_ARG);
    sn_study_close(study);
}

/* What the walks over trials and epochs saw. */
typedef struct seen {
    int rows;
    sn_study_trial trial; /* its strings are dead */
    char network[64], labels[64];
    double losses[8];
} seen;

static sn_status see_trial(const sn_study_trial *trial, void *context, sn_error *error)
{
    seen *self = context;
    (void)error;
    self->rows++;
    self->trial = *trial;
    snprintf(self->network, sizeof self->network, "%s", trial->network);
    snprintf(self->labels, sizeof self->labels, "%s", trial->labels == NULL ? "none" : trial->labels);
    return SN_OK;
}

static sn_status see_epoch(const sn_study_epoch *epoch, void *context, sn_error *error)
{
    seen *self = context;
    (void)error;
    assert_int_equal(epoch->epoch, self->rows + 1);
    self->losses[self->rows++] = epoch->loss;
    return SN_OK;
}

static seen find_trial(sn_study *study, const char *network)
{
    seen found = {.rows = 0};
    assert_int_equal(sn_study_trial_find(study, network, see_trial, &found, NULL), SN_OK);
    return found;
}

static seen find_epochs(sn_study *study, int64_t trial)
{
    seen found = {.rows = 0};
    assert_int_equal(sn_study_epochs_visit(study, trial, see_epoch, &found, NULL), SN_OK);
    return found;
}

static void append_epoch(sn_study *study, int64_t trial, int epoch, double loss)
{
    sn_study_epoch row = {.trial = trial, .epoch = epoch, .loss = loss, .dice = NAN, .seconds = 0.5};
    assert_int_equal(sn_study_epoch_append(study, &row, NULL), SN_OK);
}

static void a_training_begun_again_replaces_its_epochs(void **state)
{
    (void)state;
    sn_study *study = open_study();
    sn_study_trial begin = {.network = "k1", .arch = "n=8", .parameters = 1000, .planned_bytes = 1LL << 40};
    int64_t id, again;
    assert_int_equal(sn_study_trial_begin(&id, study, &begin, NULL), SN_OK);
    append_epoch(study, id, 1, 0.9);
    append_epoch(study, id, 2, 0.8);
    sn_study_close(study); /* killed */
    study = open_study();
    assert_int_equal(sn_study_trial_begin(&again, study, &begin, NULL), SN_OK);
    assert_true(again == id);
    append_epoch(study, id, 2, 0.7); /* from a checkpoint after epoch 1 */
    append_epoch(study, id, 3, 0.6);
    seen epochs = find_epochs(study, id);
    assert_int_equal(epochs.rows, 3);
    assert_true(epochs.losses[0] == 0.9 && epochs.losses[1] == 0.7 && epochs.losses[2] == 0.6);
    seen found = find_trial(study, "k1");
    assert_int_equal(found.rows, 1);
    assert_int_equal(found.trial.attempts, 2);
    assert_true(found.trial.finished == 0 && found.trial.started > 0);
    assert_true(found.trial.parameters == 1000 && found.trial.planned_bytes == 1LL << 40);
    sn_study_close(study);
}

static void a_finished_training_is_never_begun_again(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_study *study = open_study();
    sn_study_trial trial = {.network = "k1", .arch = "n=8"};
    int64_t id;
    assert_int_equal(sn_study_trial_begin(&id, study, &trial, NULL), SN_OK);
    trial = (sn_study_trial){.id = id,
                             .outcome = SN_OUTCOME_TRAINED,
                             .dice = 1.0 / 3,
                             .labels = "{\"a\":0.5}",
                             .seconds = 7,
                             .step_seconds = 0.25};
    assert_int_equal(sn_study_trial_finish(study, &trial, &error), SN_OK);
    assert_int_equal(sn_study_trial_finish(study, &trial, &error), SN_ERR_ARG);
    trial = (sn_study_trial){.network = "k1", .arch = "n=8"};
    assert_int_equal(sn_study_trial_begin(&id, study, &trial, &error), SN_ERR_ARG);
    assert_non_null(strstr(error.text, "k1"));
    seen found = find_trial(study, "k1");
    assert_true(found.trial.step_seconds == 0.25);
    assert_true(found.trial.dice == 1.0 / 3 && found.trial.seconds == 7 && found.trial.finished > 0);
    assert_string_equal(found.labels, "{\"a\":0.5}");
    assert_int_equal(found.trial.first_iteration, 0);
    assert_int_equal(find_trial(study, "k2").rows, 0);
    sn_study_close(study);
}

static void a_trial_knows_the_first_iteration_that_rests_on_it(void **state)
{
    (void)state;
    double x[1] = {1};
    sn_study *study = open_study();
    sn_study_trial trial = {.network = "k1", .arch = "n=8"};
    int64_t id;
    assert_int_equal(sn_study_trial_begin(&id, study, &trial, NULL), SN_OK);
    assert_int_equal(append_illegal(study, 1, NULL), SN_OK);
    for (int number = 2; number <= 3; number++) {
        sn_study_iteration iteration = illegal_iteration(number, x, 1);
        iteration.network = "k1";
        iteration.trial = id;
        assert_int_equal(sn_study_iteration_append(study, &iteration, NULL), SN_OK);
    }
    assert_int_equal(find_trial(study, "k1").trial.first_iteration, 2);
    sn_study_close(study);
}

/* ---- hash, and JSON ---- */

/* Three iterations: illegal, f = 0.5, f = 0.5 again. */
static void append_three(sn_study *study)
{
    double x[3][2] = {{0.1, 1.0 / 3}, {5, 2}, {7, 3}};
    for (int i = 0; i < 3; i++) {
        sn_study_iteration iteration = illegal_iteration(i + 1, x[i], 2);
        if (i > 0) {
            iteration.network = i == 1 ? "k1" : "k2";
            iteration.outcome = SN_OUTCOME_TRAINED;
            iteration.reason = NULL;
            iteration.dice = exp(-0.5);
            iteration.f = 0.5;
        }
        assert_int_equal(sn_study_iteration_append(study, &iteration, NULL), SN_OK);
    }
}

static void trajectory_is_the_hash_of_points_and_values_in_order(void **state)
{
    (void)state;
    const double sequence[] = {0.1, 1.0 / 3, 10, 5, 2, 0.5, 7, 3, 0.5};
    char expected[SN_HASH_TEXT], got[SN_HASH_TEXT];
    sn_study *study = open_study();
    append_three(study);
    sn_hash_bytes(expected, sequence, sizeof sequence);
    assert_int_equal(sn_study_trajectory(got, study, NULL), SN_OK);
    assert_string_equal(got, expected);
    sn_study_close(study);
}

static void json_holds_all_iterations_and_the_first_of_the_best(void **state)
{
    (void)state;
    json_t *root;
    char hash[SN_HASH_TEXT];
    sn_study *study = open_study();
    append_three(study);
    assert_int_equal(sn_study_trajectory(hash, study, NULL), SN_OK);
    assert_int_equal(sn_study_json(&root, study, NULL), SN_OK);
    assert_string_equal(json_string_value(json_object_get(root, "trajectory")), hash);
    json_t *iterations = json_object_get(root, "iterations");
    json_t *expected = json_pack("[{s:i, s:[f,f], s:s, s:n, s:s, s:s, s:n, s:f},"
                                 " {s:i, s:[f,f], s:s, s:s, s:s, s:n, s:f, s:f},"
                                 " {s:i, s:[f,f], s:s, s:s, s:s, s:n, s:f, s:f}]",
                                 "iteration", 1, "x", 0.1, 1.0 / 3, "arch", "n=8", "network", "outcome",
                                 "illegal", "reason", "a second sink", "dice", "f", 10.0, //
                                 "iteration", 2, "x", 5.0, 2.0, "arch", "n=8", "network", "k1", "outcome",
                                 "trained", "reason", "dice", exp(-0.5), "f", 0.5, //
                                 "iteration", 3, "x", 7.0, 3.0, "arch", "n=8", "network", "k2", "outcome",
                                 "trained", "reason", "dice", exp(-0.5), "f", 0.5);
    assert_non_null(expected);
    assert_true(json_equal(iterations, expected));
    assert_true(json_equal(json_object_get(root, "best"), json_array_get(expected, 1)));
    json_decref(expected);
    json_decref(root);
    sn_study_close(study);
}

static void an_empty_study_has_no_best(void **state)
{
    (void)state;
    json_t *root;
    sn_study *study = open_study();
    assert_int_equal(sn_study_json(&root, study, NULL), SN_OK);
    assert_true(json_is_null(json_object_get(root, "best")));
    assert_int_equal(json_array_size(json_object_get(root, "iterations")), 0);
    json_decref(root);
    sn_study_close(study);
}

/* ---- several processes ---- */

/* The exit code of a child process that runs `work`. */
static int run_child(int (*work)(void))
{
    int ended;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(work());
    assert_int_equal(waitpid(child, &ended, 0), child);
    return WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
}

static void two_processes_cannot_write_one_study(void **state)
{
    (void)state;
    int pipe_ends[2], ended;
    char ready, pid[32];
    sn_error error = SN_ERROR_INIT;
    sn_study *study;
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        open_study();
        if (write(pipe_ends[1], "r", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(pipe_ends[0], &ready, 1), 1);
    assert_int_equal(sn_study_open(&study, study_path, &error), SN_ERR_FAILED);
    assert_null(study);
    snprintf(pid, sizeof pid, "process %ld ", (long)child);
    assert_non_null(strstr(error.text, pid));
    kill(child, SIGKILL); /* the lock goes with it */
    waitpid(child, &ended, 0);
    sn_study_close(open_study());
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

static int count_as_reader(void)
{
    sn_study *reader;
    int number = 0;
    if (sn_study_open_read(&reader, study_path, NULL) != SN_OK)
        return 100;
    if (sn_study_iterations_visit(reader, last_number, &number, NULL) != SN_OK)
        return 101;
    sn_study_close(reader);
    return number;
}

static void a_reader_sees_what_is_committed_while_the_study_runs(void **state)
{
    (void)state;
    sn_study *study = open_study();
    sn_study *reader = open_reader();
    for (int number = 1; number <= 5; number++) {
        assert_int_equal(append_illegal(study, number, NULL), SN_OK);
        assert_int_equal(stored_iterations(reader), number);
        assert_int_equal(run_child(count_as_reader), number);
    }
    sn_study_close(study);
    sn_study_close(reader);
}

static sn_status append_meanwhile(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    return append_illegal(context, 3 + iteration->number, error);
}

static void a_reader_in_its_walk_does_not_hold_up_the_writer(void **state)
{
    (void)state;
    sn_study *study = open_study();
    for (int number = 1; number <= 3; number++)
        assert_int_equal(append_illegal(study, number, NULL), SN_OK);
    sn_study *reader = open_reader();
    assert_int_equal(sn_study_iterations_visit(reader, append_meanwhile, study, NULL), SN_OK);
    assert_int_equal(stored_iterations(reader), 6);
    sn_study_close(reader);
    sn_study_close(study);
}

static void a_reader_cannot_write(void **state)
{
    (void)state;
    sn_study_close(open_study());
    sn_study *reader = open_reader();
    assert_int_equal(append_illegal(reader, 1, NULL), SN_ERR_IO);
    sn_study_close(reader);
}

static int count_as_nobody(void)
{
    return setgid(65534) == 0 && setuid(65534) == 0 ? count_as_reader() : 102;
}

static void a_finished_study_in_a_read_only_folder_can_be_read(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    sn_study *study = open_study();
    assert_int_equal(append_illegal(study, 1, NULL), SN_OK);
    sn_study_close(study);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chmod(study_path, 0555), 0);
    assert_int_equal(chmod(database_path, 0444), 0);
    assert_int_equal(run_child(count_as_nobody), 1);
}

/* ---- misfortunes ---- */

static int acknowledge; /* pipe's writing end */

/* Append for ever; tell after each append that it is done. */
static void append_until_killed(void)
{
    sn_study *study = open_study();
    for (int number = stored_iterations(study) + 1;; number++)
        if (append_illegal(study, number, NULL) != SN_OK ||
            write(acknowledge, &number, sizeof number) != sizeof number)
            _exit(1);
}

static void what_was_appended_survives_a_kill(void **state)
{
    (void)state;
    int known = 0;
    for (int round = 0; round < 20; round++) {
        int ends[2], ended, number;
        assert_int_equal(pipe(ends), 0);
        acknowledge = ends[1];
        pid_t child = fork();
        if (child == 0)
            append_until_killed();
        close(ends[1]);
        usleep((useconds_t)(2000 + 1700 * round));
        kill(child, SIGKILL);
        waitpid(child, &ended, 0);
        assert_true(WIFSIGNALED(ended));
        while (read(ends[0], &number, sizeof number) == sizeof number)
            known = number;
        close(ends[0]);
        sn_study *study = open_study();
        int stored = stored_iterations(study);
        assert_true(stored == known || stored == known + 1);
        known = stored;
        sn_study_close(study);
    }
    assert_true(known > 0);
}

/* Append until it fails, which it must with this text. 0: as it should be. */
static int append_until_error(const char *text)
{
    sn_study *study = open_study();
    sn_error error = SN_ERROR_INIT;
    int number = stored_iterations(study);
    while (append_illegal(study, ++number, &error) == SN_OK && number < 100000)
        ;
    return error.status == SN_ERR_IO && strstr(error.text, text) != NULL ? 0 : 1;
}

static int append_until_full(void)
{
    return append_until_error("the disk is full; free some space");
}

static int append_until_limit(void)
{
    struct rlimit limit = {.rlim_cur = 300000, .rlim_max = 300000};
    signal(SIGXFSZ, SIG_IGN);
    return setrlimit(RLIMIT_FSIZE, &limit) == 0 ? append_until_error("limit of a file's size") : 2;
}

/* Appending goes on where it ended. */
static void assert_study_goes_on(void)
{
    sn_study *study = open_study();
    int stored = stored_iterations(study);
    assert_true(stored > 10);
    for (int number = stored + 1; number <= stored + 10; number++)
        assert_int_equal(append_illegal(study, number, NULL), SN_OK);
    sn_study_close(study);
    assert_database_is_sound();
}

static void a_study_goes_on_after_a_write_failed(void **state)
{
    (void)state;
    assert_int_equal(run_child(append_until_limit), 0);
    assert_study_goes_on();
}

static void a_study_goes_on_after_the_disk_was_full(void **state)
{
    (void)state;
    if (mkdir(study_path, 0777) != 0 || mount("none", study_path, "tmpfs", 0, "size=512k") != 0)
        skip(); /* only root may */
    int full = run_child(append_until_full);
    int grown = mount("none", study_path, "tmpfs", MS_REMOUNT, "size=8m");
    if (full == 0 && grown == 0)
        assert_study_goes_on();
    umount(study_path);
    assert_int_equal(full, 0);
    assert_int_equal(grown, 0);
}

static void half_written_models_are_removed(void **state)
{
    (void)state;
    char path[256], kept[256];
    sn_study_close(open_study());
    snprintf(path, sizeof path, "%s/models/k1.safetensors.123.tmp", study_path);
    snprintf(kept, sizeof kept, "%s/models/k1.safetensors", study_path);
    assert_int_equal(sn_file_write(path, "x", 1, NULL), SN_OK);
    assert_int_equal(sn_file_write(kept, "x", 1, NULL), SN_OK);
    sn_study_close(open_reader());
    assert_true(sn_path_exists(path));
    sn_study_close(open_study());
    assert_false(sn_path_exists(path));
    assert_true(sn_path_exists(kept));
}

static void assert_refused(sn_status expected, const char *word)
{
    sn_study *study;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_study_open(&study, study_path, &error), expected);
    assert_null(study);
    assert_non_null(strstr(error.text, word));
    error.text[0] = '\0';
    assert_int_equal(sn_study_open_read(&study, study_path, &error), expected);
    assert_null(study);
    assert_non_null(strstr(error.text, word));
}

static void a_file_that_is_no_study_is_refused(void **state)
{
    (void)state;
    assert_int_equal(sn_folder_create(study_path, NULL), SN_OK);
    assert_int_equal(sn_file_write(database_path, "these are not the rows you look for", 35, NULL), SN_OK);
    assert_refused(SN_ERR_INPUT, "not the database of a study");
}

static void another_programs_database_is_refused_and_kept(void **state)
{
    (void)state;
    assert_int_equal(sn_folder_create(study_path, NULL), SN_OK);
    database_exec("CREATE TABLE precious (x)");
    assert_refused(SN_ERR_INPUT, "not the database of a study");
    database_exec("SELECT x FROM precious");
}

static void a_newer_version_is_refused(void **state)
{
    (void)state;
    sn_study_close(open_study());
    database_exec("PRAGMA user_version=5");
    assert_refused(SN_ERR_INPUT, "version 5");
}

/* A study as an older program left it, with three iterations and a trained network. */
static void older_study_make(const char *undo)
{
    sn_study *study = open_study();
    int64_t id;
    append_three(study);
    assert_int_equal(
        sn_study_trial_begin(&id, study, &(sn_study_trial){.network = "k1", .arch = "n=8"}, NULL), SN_OK);
    sn_study_trial trial = {.id = id, .outcome = SN_OUTCOME_TRAINED, .dice = 0.5, .step_seconds = 0.25};
    assert_int_equal(sn_study_trial_finish(study, &trial, NULL), SN_OK);
    sn_study_close(study);
    database_exec(undo);
}

static void assert_older_study_can_be_read(void)
{
    sn_study *study = open_reader();
    assert_int_equal(stored_iterations(study), 3);
    seen found = find_trial(study, "k1");
    assert_true(found.rows == 1 && found.trial.dice == 0.5 && isnan(found.trial.step_seconds));
    json_t *root;
    assert_int_equal(sn_study_json(&root, study, NULL), SN_OK);
    json_decref(root);
    sn_study_close(study);
}

static void a_study_of_version_2_goes_on_in_version_4(void **state)
{
    (void)state;
    int64_t id;
    older_study_make(
        "ALTER TABLE trials DROP COLUMN origin; ALTER TABLE trials DROP COLUMN step_seconds;"
        "DELETE FROM settings; INSERT INTO settings VALUES ('simulated', 'false'), ('trial_hours', '0.0');"
        "PRAGMA user_version=2");
    assert_older_study_can_be_read();
    sn_study *study = open_study(), *reader = open_reader();
    assert_int_equal(
        sn_study_trial_begin(&id, study, &(sn_study_trial){.network = "k2", .arch = "n=9"}, NULL), SN_OK);
    sn_study_trial trial = {.id = id, .outcome = SN_OUTCOME_TRAINED, .dice = 0.5, .step_seconds = 0.25};
    assert_int_equal(sn_study_trial_finish(study, &trial, NULL), SN_OK);
    assert_true(isnan(find_trial(reader, "k1").trial.step_seconds));
    assert_true(find_trial(reader, "k2").trial.step_seconds == 0.25);
    sn_study_close(reader);
    sn_study_close(study);
    assert_database_is_sound();
}

/* It knew the median rule alone. */
static void a_study_of_version_3_goes_on_in_version_4(void **state)
{
    (void)state;
    older_study_make("ALTER TABLE trials DROP COLUMN origin; DELETE FROM settings;"
                     "INSERT INTO settings VALUES ('stop_early', '25'); PRAGMA user_version=3");
    sn_study *reader = open_reader();
    assert_true(find_trial(reader, "k1").trial.step_seconds == 0.25);
    sn_study_close(reader);
    sn_study *study = open_study();
    json_t *settings =
        json_pack("{s:i, s:s, s:n, s:n}", "stop_early", 25, "stop_rule", "median", "warm_start", "start");
    assert_int_equal(sn_study_settings_agree(study, settings, NULL), SN_OK);
    json_decref(settings);
    sn_study_close(study);
    assert_database_is_sound();
}

static void a_study_of_version_1_goes_on_in_version_4(void **state)
{
    (void)state;
    older_study_make("DROP TABLE retries; DELETE FROM settings; ALTER TABLE trials DROP COLUMN step_seconds;"
                     "ALTER TABLE trials DROP COLUMN origin; PRAGMA user_version=1");
    assert_older_study_can_be_read();
    sn_study *study = open_study();
    assert_int_equal(stored_iterations(study), 3);
    assert_int_equal(append_illegal(study, 4, NULL), SN_OK);
    json_t *settings =
        json_pack("{s:b, s:f, s:f, s:i, s:s, s:n, s:n}", "simulated", false, "trial_hours", 0.0,
                  "loss_exponent", 0.3, "stop_early", 0, "stop_rule", "none", "warm_start", "start");
    assert_int_equal(sn_study_settings_agree(study, settings, NULL), SN_OK);
    json_decref(settings);
    sn_study_close(study);
    database_exec("SELECT trial, moment, reason FROM retries");
    assert_database_is_sound();
}

static void a_folder_of_other_files_is_refused_and_kept(void **state)
{
    char path[192];
    sn_study *study;
    sn_error error = SN_ERROR_INIT;
    (void)state;
    snprintf(path, sizeof path, "%s/models", study_path);
    assert_int_equal(sn_folder_create(path, &error), SN_OK);
    assert_int_equal(sn_study_open(&study, study_path, &error), SN_ERR_ARG);
    assert_null(study);
    assert_non_null(strstr(error.text, "not a study's"));
    assert_true(sn_path_exists(path));
    assert_false(sn_path_exists(database_path));
}

static void an_abandoned_study_is_removed_when_nothing_was_begun(void **state)
{
    sn_error error = SN_ERROR_INIT;
    (void)state;
    sn_study *study = open_study();
    sn_study_abandon(study);
    assert_false(sn_path_exists(study_path));
    study = open_study();
    append_three(study);
    sn_study_abandon(study);
    study = open_study();
    json_t *root;
    assert_int_equal(sn_study_json(&root, study, &error), SN_OK);
    assert_int_equal(json_array_size(json_object_get(root, "iterations")), 3);
    json_decref(root);
    sn_study_close(study);
}

static void a_folder_without_a_study_cannot_be_read(void **state)
{
    (void)state;
    sn_study *study;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_study_open_read(&study, folder, &error), SN_ERR_INPUT);
    assert_non_null(strstr(error.text, "study.db"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(settings_come_back_as_they_were_put),
        TEST(another_value_of_a_setting_is_refused),
        TEST(settings_may_change_until_something_is_done),
        TEST(a_setting_that_the_study_was_begun_without_is_refused),
        TEST(a_point_comes_back_to_the_last_bit),
        TEST(iterations_have_no_gaps_and_no_doubles),
        TEST(an_infinite_f_is_refused),
        TEST(a_training_begun_again_replaces_its_epochs),
        TEST(a_finished_training_is_never_begun_again),
        TEST(a_trial_knows_the_first_iteration_that_rests_on_it),
        TEST(trajectory_is_the_hash_of_points_and_values_in_order),
        TEST(json_holds_all_iterations_and_the_first_of_the_best),
        TEST(an_empty_study_has_no_best),
        TEST(two_processes_cannot_write_one_study),
        TEST(a_reader_sees_what_is_committed_while_the_study_runs),
        TEST(a_reader_in_its_walk_does_not_hold_up_the_writer),
        TEST(a_reader_cannot_write),
        TEST(a_finished_study_in_a_read_only_folder_can_be_read),
        TEST(what_was_appended_survives_a_kill),
        TEST(a_study_goes_on_after_a_write_failed),
        TEST(a_study_goes_on_after_the_disk_was_full),
        TEST(half_written_models_are_removed),
        TEST(a_file_that_is_no_study_is_refused),
        TEST(another_programs_database_is_refused_and_kept),
        TEST(a_newer_version_is_refused),
        TEST(a_study_of_version_2_goes_on_in_version_4),
        TEST(a_study_of_version_3_goes_on_in_version_4),
        TEST(a_study_of_version_1_goes_on_in_version_4),
        TEST(a_folder_of_other_files_is_refused_and_kept),
        TEST(an_abandoned_study_is_removed_when_nothing_was_begun),
        TEST(a_folder_without_a_study_cannot_be_read),
    };
    return cmocka_run_group_tests_name("study", tests, NULL, NULL);
}

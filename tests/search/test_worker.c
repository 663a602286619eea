/* Worker processes: each way to die is an outcome. This program is its own worker. */
#include "cmocka_all.h"

#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/interrupt.h"
#include "search/cores.h"
#include "search/oom.h"
#include "search/worker.h"

#define DEAF "SEGNAS3D_TEST_DEAF" /* in the environment: a worker ends at once */

static char folder[] = "/tmp/segnas3d-test-worker-XXXXXX";
static char log_path[64], count_path[64];

static int folder_make(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    snprintf(count_path, sizeof count_path, "%s/count", folder);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    sn_interrupt_clear();
    return sn_folder_remove(folder, NULL) == SN_OK ? 0 : -1;
}

/* ---- the worker's process ---- */

static void nap(double seconds)
{
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)(1e9 * fmod(seconds, 1))};
    nanosleep(&time, NULL);
}

/* How often this job was begun, this time included: a byte a time is appended to a file. */
static long begun(const json_t *job)
{
    int file = open(json_string_value(json_object_get(job, "count")), O_WRONLY | O_CREAT | O_APPEND, 0666);
    long times = file >= 0 && write(file, "x", 1) == 1 ? (long)lseek(file, 0, SEEK_END) : 0;
    close(file);
    return times;
}

/* Ask for memory until the kernel has enough of it. */
static void devour(void)
{
    enum { BLOCK = 8 << 20 };
    for (int i = 0; i < 64; i++) {
        char *block = malloc(BLOCK);
        for (size_t at = 0; block != NULL && at < BLOCK; at += 1024)
            ((volatile char *)block)[at] = 1;
    }
}

static sn_status report_pid(sn_worker_reporter *reporter, sn_error *error)
{
    json_t *report = json_pack("{s:i}", "pid", (int)getpid());
    sn_status status = sn_worker_report(reporter, report, error);
    json_decref(report);
    return status;
}

static sn_status echo(json_t **result, const json_t *job, sn_worker_reporter *reporter, sn_error *error)
{
    sn_status status = SN_OK;
    for (int epoch = 1; epoch <= 3 && status == SN_OK; epoch++) {
        json_t *report = json_pack("{s:i, s:f}", "epoch", epoch, "loss", 1.0 / 3 / epoch);
        status = sn_worker_report(reporter, report, error);
        json_decref(report);
    }
    printf("said on standard output\n");
    fflush(stdout);
    fprintf(stderr, "said on standard error\n");
    *result = json_pack("{s:O}", "echo", json_object_get(job, "data"));
    return status;
}

/* Work for a minute. */
static sn_status slow(sn_worker_reporter *reporter, bool obedient, sn_error *error)
{
    sn_status status = report_pid(reporter, error);
    for (int i = 0; i < 6000 && status == SN_OK; i++) {
        nap(0.01);
        if (obedient)
            status = sn_interrupt_check(error);
    }
    return status;
}

/* Do nothing for 2.5 s but say that it lives. */
static sn_status beat(json_t **result, sn_worker_reporter *reporter)
{
    for (int i = 0; i < 25; i++) {
        nap(0.1);
        sn_worker_beat(reporter);
    }
    *result = json_object();
    return SN_OK;
}

/* What the process may use. */
static sn_status limits(json_t **result)
{
    cpu_set_t cores;
    void *block = malloc(128 << 20);
    sched_getaffinity(0, sizeof cores, &cores);
    *result = json_pack("{s:i, s:b}", "cores", CPU_COUNT(&cores), "large block", block != NULL);
    free(block);
    return SN_OK;
}

/* Fail as `how` says. */
static sn_status misbehave(const char *how, sn_error *error)
{
    if (strcmp(how, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "exit") == 0)
        _exit(7);
    if (strcmp(how, "nan") == 0)
        return sn_error_set(error, SN_ERR_NUMERIC, "loss is NaN at epoch 3");
    if (strcmp(how, "memory") == 0)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: 123 bytes asked for");
    if (strcmp(how, "disk") == 0)
        return sn_error_set(error, SN_ERR_IO, "/cache: the disk is full");
    if (strcmp(how, "devour") == 0)
        devour();
    return sn_error_set(error, SN_ERR_FAILED, "it does not work");
}

static sn_status handler(json_t **result, const json_t *job, sn_worker_reporter *reporter, void *context,
                         sn_error *error)
{
    const char *kind = json_string_value(json_object_get(job, "kind"));
    long times = begun(job);
    (void)context;
    if (strcmp(kind, "echo") == 0 || (strcmp(kind, "third") == 0 && times == 3))
        return echo(result, job, reporter, error);
    if (strcmp(kind, "slow") == 0 || strcmp(kind, "stubborn") == 0)
        return slow(reporter, kind[1] == 'l', error);
    if (strcmp(kind, "beats") == 0)
        return beat(result, reporter);
    if (strcmp(kind, "limits") == 0)
        return limits(result);
    return misbehave(strcmp(kind, "third") == 0 ? "kill" : kind, error);
}

/* ---- the master's process ---- */

/* What the master hears. */
typedef struct heard {
    int reports, retries;
    char death[256]; /* the last one */
    double losses[16];
    int pid;
    int pid_pipe;   /* where to write it; 0: nowhere */
    bool interrupt; /* ask for a stop at the first report */
    bool refuse;    /* return an error at the first report */
} heard;

static sn_status on_retry(const char *death, void *context, sn_error *error)
{
    heard *self = context;
    (void)error;
    snprintf(self->death, sizeof self->death, "%s", death);
    self->retries++;
    return SN_OK;
}

static sn_status on_report(const json_t *report, void *context, sn_error *error)
{
    heard *self = context;
    if (self->reports < 16)
        self->losses[self->reports] = json_real_value(json_object_get(report, "loss"));
    self->reports++;
    self->pid = (int)json_integer_value(json_object_get(report, "pid"));
    if (self->pid_pipe != 0 && write(self->pid_pipe, &self->pid, sizeof self->pid) < 0)
        return sn_error_set(error, SN_ERR_IO, "pipe");
    if (self->interrupt)
        sn_interrupt_request();
    return self->refuse ? sn_error_set(error, SN_ERR_IO, "study.db: the disk is full") : SN_OK;
}

static sn_worker_options listen_with(heard *listener)
{
    sn_worker_options options = SN_WORKER_OPTIONS_INIT;
    options.log = log_path;
    options.grace_seconds = 0.5;
    options.on_retry = on_retry;
    options.on_report = on_report;
    options.context = listener;
    return options;
}

/* Do a job of a kind and wait for its end; `data` is taken over and may be NULL. */
static sn_status run_with(sn_worker_outcome *outcome, const sn_worker_options *options, const char *kind,
                          json_t *data, sn_error *error)
{
    sn_worker *worker;
    json_t *job = json_pack("{s:s, s:s, s:o?}", "kind", kind, "count", count_path, "data", data);
    sn_status status = sn_worker_begin(&worker, job, options, error);
    outcome->end = SN_WORKER_RUNNING;
    while (status == SN_OK && outcome->end == SN_WORKER_RUNNING) {
        sn_workers_wait(&worker, 1);
        status = sn_worker_attend(outcome, worker, error);
    }
    sn_worker_free(worker);
    json_decref(job);
    return status;
}

static sn_status run_job(sn_worker_outcome *outcome, heard *listener, const char *kind, json_t *data,
                         sn_error *error)
{
    sn_worker_options options = listen_with(listener);
    return run_with(outcome, &options, kind, data, error);
}

/* How often workers were started for the job. */
static long starts(void)
{
    struct stat info;
    return stat(count_path, &info) == 0 ? (long)info.st_size : 0;
}

/* True where the process is gone or only waits to be buried. */
static bool is_dead(int pid)
{
    char path[32], line[256], kind = 'Z';
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return true;
    if (fgets(line, sizeof line, file) == NULL || sscanf(line, "%*d (%*[^)]) %c", &kind) != 1)
        kind = 'Z';
    fclose(file);
    return kind == 'Z' || kind == 'X';
}

static bool dies_within_seconds(int pid, double seconds)
{
    for (double waited = 0; waited < seconds; waited += 0.01, nap(0.01))
        if (is_dead(pid))
            return true;
    return false;
}

/* ---- tests ---- */

static void a_result_comes_back_to_the_last_bit(void **state)
{
    (void)state;
    const double numbers[] = {0.1, 1.0 / 3, DBL_MIN, DBL_MAX, -0.0, 0x1.fffffffffffffp-1};
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    json_t *data = json_array();
    for (int i = 0; i < 6; i++)
        json_array_append_new(data, json_real(numbers[i]));
    assert_int_equal(run_job(&outcome, &listener, "echo", data, NULL), SN_OK);
    assert_int_equal(outcome.end, SN_WORKER_DONE);
    assert_null(outcome.reason);
    for (size_t i = 0; i < 6; i++) {
        double got = json_real_value(json_array_get(json_object_get(outcome.result, "echo"), i));
        assert_memory_equal(&got, &numbers[i], sizeof got);
    }
    assert_int_equal(listener.reports, 3);
    for (int i = 0; i < 3; i++)
        assert_true(listener.losses[i] == 1.0 / 3 / (i + 1));
    assert_int_equal(listener.retries, 0);
    sn_worker_outcome_clear(&outcome);
}

static void a_job_and_a_result_of_a_megabyte_pass(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    char *text = malloc(SIZE + 1);
    memset(text, 'a', SIZE);
    text[SIZE] = '\0';
    assert_int_equal(run_job(&outcome, &listener, "echo", json_string(text), NULL), SN_OK);
    assert_string_equal(json_string_value(json_object_get(outcome.result, "echo")), text);
    sn_worker_outcome_clear(&outcome);
    free(text);
}

static void output_of_a_worker_goes_to_its_log(void **state)
{
    (void)state;
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    char *text;
    size_t size;
    assert_int_equal(run_job(&outcome, &listener, "echo", NULL, NULL), SN_OK);
    sn_worker_outcome_clear(&outcome);
    assert_int_equal(sn_file_read(&text, &size, log_path, NULL), SN_OK);
    assert_non_null(strstr(text, "said on standard output"));
    assert_non_null(strstr(text, "said on standard error"));
    free(text);
}

/* A job that must fail after `expected_starts` workers, with a reason that holds `word`. */
static void assert_ends(const char *kind, sn_worker_end end, int expected_starts, const char *word)
{
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    remove(count_path);
    assert_int_equal(run_job(&outcome, &listener, kind, NULL, NULL), SN_OK);
    assert_int_equal(outcome.end, end);
    assert_null(outcome.result);
    assert_non_null(strstr(outcome.reason, word));
    assert_true(expected_starts == 1 || strstr(listener.death, word) != NULL);
    assert_int_equal(starts(), expected_starts);
    assert_int_equal(listener.retries, expected_starts - 1);
    sn_worker_outcome_clear(&outcome);
}

static void a_worker_that_dies_three_times_has_failed(void **state)
{
    (void)state;
    assert_ends("kill", SN_WORKER_FAILED, 3, "signal 9");
    assert_ends("abort", SN_WORKER_FAILED, 3, "signal 6");
    assert_ends("exit", SN_WORKER_FAILED, 3, "exit code 7");
    assert_ends("other", SN_WORKER_FAILED, 3, "it does not work");
}

static void a_worker_that_dies_twice_is_tried_a_third_time(void **state)
{
    (void)state;
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    assert_int_equal(run_job(&outcome, &listener, "third", json_integer(5), NULL), SN_OK);
    assert_int_equal(outcome.end, SN_WORKER_DONE);
    assert_int_equal(json_integer_value(json_object_get(outcome.result, "echo")), 5);
    assert_int_equal(listener.retries, 2);
    sn_worker_outcome_clear(&outcome);
}

static void a_worker_that_dies_before_it_takes_its_job_has_failed(void **state)
{
    (void)state;
    enum { SIZE = 4 << 20 }; /* more than the connection holds */
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    char *text = malloc(SIZE + 1);
    memset(text, 'a', SIZE);
    text[SIZE] = '\0';
    setenv(DEAF, "yes", 1);
    sn_status status = run_job(&outcome, &listener, "echo", json_string(text), NULL);
    unsetenv(DEAF);
    assert_int_equal(status, SN_OK);
    assert_int_equal(outcome.end, SN_WORKER_FAILED);
    assert_non_null(strstr(outcome.reason, "exit code 7"));
    sn_worker_outcome_clear(&outcome);
    free(text);
}

static void a_nan_fails_at_once(void **state)
{
    (void)state;
    assert_ends("nan", SN_WORKER_FAILED, 1, "loss is NaN at epoch 3");
}

static void a_refused_allocation_is_out_of_memory(void **state)
{
    (void)state;
    assert_ends("memory", SN_WORKER_MEMORY, 1, "123 bytes");
}

static void a_fault_of_the_world_is_passed_on(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    assert_int_equal(run_job(&outcome, &listener, "disk", NULL, &error), SN_ERR_IO);
    assert_string_equal(error.text, "/cache: the disk is full");
    assert_int_equal(starts(), 1);
    sn_worker_outcome_clear(&outcome);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* A job of a kind that is interrupted at its first report ends within `seconds`, and so does its worker. */
static void assert_interruptible(const char *kind, double seconds)
{
    sn_error error = SN_ERROR_INIT;
    heard listener = {.interrupt = true};
    sn_worker_outcome outcome = {.reason = NULL};
    double began = now();
    assert_int_equal(run_job(&outcome, &listener, kind, NULL, &error), SN_ERR_INTERRUPTED);
    assert_true(now() - began < seconds);
    assert_int_equal(starts(), 1);
    assert_true(is_dead(listener.pid));
    sn_worker_outcome_clear(&outcome);
}

static void an_interrupt_ends_the_worker(void **state)
{
    (void)state;
    assert_interruptible("slow", 5);
}

static void a_worker_that_ignores_an_interrupt_is_killed(void **state)
{
    (void)state;
    assert_interruptible("stubborn", 10);
}

static void an_error_of_the_listener_ends_the_worker(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    heard listener = {.refuse = true};
    sn_worker_outcome outcome = {.reason = NULL};
    assert_int_equal(run_job(&outcome, &listener, "slow", NULL, &error), SN_ERR_IO);
    assert_string_equal(error.text, "study.db: the disk is full");
    assert_true(is_dead(listener.pid));
    sn_worker_outcome_clear(&outcome);
}

static void a_worker_stopped_by_a_person_is_started_again(void **state)
{
    (void)state;
    int ends[2], pids[3], ended;
    assert_int_equal(pipe(ends), 0);
    pid_t master = fork();
    if (master == 0) {
        heard listener = {.pid_pipe = ends[1]};
        sn_worker_outcome outcome = {.reason = NULL};
        sn_status status = run_job(&outcome, &listener, "slow", NULL, NULL);
        _exit(status == SN_OK && outcome.end == SN_WORKER_FAILED && listener.retries == 2 ? 0 : 1);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(read(ends[0], &pids[i], sizeof pids[i]), sizeof pids[i]);
        kill(pids[i], i == 0 ? SIGKILL : SIGTERM);
    }
    assert_int_equal(waitpid(master, &ended, 0), master);
    assert_true(WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    close(ends[0]);
    close(ends[1]);
}

static void a_worker_that_is_told_to_stop_does_and_is_not_started_again(void **state)
{
    (void)state;
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    sn_worker_options options = listen_with(&listener);
    sn_worker *worker;
    json_t *job = json_pack("{s:s, s:s}", "kind", "slow", "count", count_path);
    assert_int_equal(sn_worker_begin(&worker, job, &options, NULL), SN_OK);
    while (outcome.end == SN_WORKER_RUNNING) {
        sn_workers_wait(&worker, 1);
        assert_int_equal(sn_worker_attend(&outcome, worker, NULL), SN_OK);
        if (listener.reports > 0)
            sn_worker_stop(worker);
    }
    assert_int_equal(outcome.end, SN_WORKER_STOPPED);
    assert_int_equal(starts(), 1);
    assert_true(is_dead(listener.pid));
    sn_worker_free(worker);
    json_decref(job);
}

static void two_workers_work_at_once(void **state)
{
    (void)state;
    heard listeners[2] = {{.reports = 0}, {.reports = 0}};
    sn_worker_outcome outcome;
    sn_worker *workers[2];
    json_t *job = json_pack("{s:s, s:s}", "kind", "slow", "count", count_path);
    for (int i = 0; i < 2; i++) {
        sn_worker_options options = listen_with(&listeners[i]);
        assert_int_equal(sn_worker_begin(&workers[i], job, &options, NULL), SN_OK);
    }
    while (listeners[0].reports == 0 || listeners[1].reports == 0) {
        sn_workers_wait(workers, 2);
        for (int i = 0; i < 2; i++)
            assert_int_equal(sn_worker_attend(&outcome, workers[i], NULL), SN_OK);
    }
    assert_int_not_equal(listeners[0].pid, listeners[1].pid);
    for (int i = 0; i < 2; i++) {
        assert_false(is_dead(listeners[i].pid));
        sn_worker_free(workers[i]);
        assert_true(is_dead(listeners[i].pid));
    }
    json_decref(job);
}

static void a_worker_without_a_sign_of_life_is_started_again(void **state)
{
    (void)state;
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    sn_worker_options options = listen_with(&listener);
    options.silence_seconds = 0.3;
    assert_int_equal(run_with(&outcome, &options, "stubborn", NULL, NULL), SN_OK);
    assert_int_equal(outcome.end, SN_WORKER_FAILED);
    assert_non_null(strstr(listener.death, "no sign of life"));
    assert_int_equal(starts(), 3);
    sn_worker_outcome_clear(&outcome);
}

static void a_death_is_the_outcome_where_others_decide_on_it(void **state)
{
    (void)state;
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    sn_worker_options options = listen_with(&listener);
    options.attempts = 0;
    remove(count_path);
    assert_int_equal(run_with(&outcome, &options, "kill", NULL, NULL), SN_OK);
    assert_int_equal(outcome.end, SN_WORKER_DIED);
    assert_non_null(strstr(outcome.reason, "signal 9"));
    assert_int_equal(starts(), 1);
    assert_int_equal(listener.retries, 0);
    sn_worker_outcome_clear(&outcome);
}

static void a_worker_that_beats_is_alive(void **state)
{
    (void)state;
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    sn_worker_options options = listen_with(&listener);
    options.silence_seconds = 1.5;
    assert_int_equal(run_with(&outcome, &options, "beats", NULL, NULL), SN_OK);
    assert_int_equal(outcome.end, SN_WORKER_DONE);
    assert_int_equal(listener.retries, 0);
    sn_worker_outcome_clear(&outcome);
}

static void a_worker_over_its_time_has_failed(void **state)
{
    (void)state;
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    sn_worker_options options = listen_with(&listener);
    options.limit_seconds = 0.36;
    assert_int_equal(run_with(&outcome, &options, "slow", NULL, NULL), SN_OK);
    assert_int_equal(outcome.end, SN_WORKER_FAILED);
    assert_string_equal(outcome.reason, "over the time limit of 0.0001 h");
    assert_int_equal(starts(), 1);
    sn_worker_outcome_clear(&outcome);
}

static void a_worker_keeps_to_its_cores(void **state)
{
    (void)state;
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    sn_worker_options options = listen_with(&listener);
    cpu_set_t cores[2];
    assert_true(sn_cores_share_out(cores, 1, 1));
    assert_int_equal(CPU_COUNT(&cores[0]), 1);
    options.cores = &cores[0];
    assert_int_equal(run_with(&outcome, &options, "limits", NULL, NULL), SN_OK);
    assert_int_equal(json_integer_value(json_object_get(outcome.result, "cores")), 1);
    sn_worker_outcome_clear(&outcome);
    assert_false(sn_cores_share_out(cores, 2, CPU_SETSIZE));
}

static void cores_of_workers_do_not_meet(void **state)
{
    (void)state;
    cpu_set_t cores[2], both;
    if (!sn_cores_share_out(cores, 2, 1))
        skip(); /* one core only */
    CPU_AND(&both, &cores[0], &cores[1]);
    assert_int_equal(CPU_COUNT(&both), 0);
    assert_int_equal(CPU_COUNT(&cores[1]), 1);
}

static void a_worker_cannot_take_more_memory_than_its_limit(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* AddressSanitizer's own tables are larger than any limit */
#endif
    heard listener = {.reports = 0};
    sn_worker_outcome outcome = {.reason = NULL};
    sn_worker_options options = listen_with(&listener);
    options.memory_limit = 64 << 20;
    assert_int_equal(run_with(&outcome, &options, "limits", NULL, NULL), SN_OK);
    assert_int_equal(outcome.end, SN_WORKER_DONE);
    assert_true(json_is_false(json_object_get(outcome.result, "large block")));
    sn_worker_outcome_clear(&outcome);
    options.memory_limit = 0;
    assert_int_equal(run_with(&outcome, &options, "limits", NULL, NULL), SN_OK);
    assert_true(json_is_true(json_object_get(outcome.result, "large block")));
    sn_worker_outcome_clear(&outcome);
}

static void a_worker_dies_with_its_master(void **state)
{
    (void)state;
    int ends[2], pid, ended;
    assert_int_equal(pipe(ends), 0);
    pid_t master = fork();
    if (master == 0) {
        heard listener = {.pid_pipe = ends[1]};
        sn_worker_outcome outcome;
        run_job(&outcome, &listener, "stubborn", NULL, NULL);
        _exit(1);
    }
    assert_int_equal(read(ends[0], &pid, sizeof pid), sizeof pid);
    assert_false(is_dead(pid));
    kill(master, SIGKILL);
    waitpid(master, &ended, 0);
    assert_true(dies_within_seconds(pid, 5));
    close(ends[0]);
    close(ends[1]);
}

/* ---- the kernel's memory control ---- */

static bool write_file(const char *directory, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int file = open(path, O_WRONLY);
    bool written = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
    if (file >= 0)
        close(file);
    return written;
}

/* Make a control group with little memory, of version 2 or 1; false where this user or machine has none. */
static bool group_make(char *directory, size_t size)
{
    static const char *const trees[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/memory"};
    static const char *const limits[] = {"memory.max", "memory.limit_in_bytes"};
    for (int i = 0; i < 2; i++) {
        snprintf(directory, size, "%s/segnas3d-test-%ld", trees[i], (long)getpid());
        if (mkdir(directory, 0755) != 0)
            continue;
        if (write_file(directory, limits[i], "104857600"))
            return true;
        rmdir(directory);
    }
    return false;
}

static void a_kill_by_the_memory_control_is_out_of_memory(void **state)
{
    (void)state;
    char directory[128], pid[32];
    int ended;
    if (!group_make(directory, sizeof directory))
        skip(); /* only root may */
    pid_t master = fork();
    if (master == 0) {
        heard listener = {.reports = 0};
        sn_worker_outcome outcome = {.reason = NULL};
        snprintf(pid, sizeof pid, "%ld", (long)getpid());
        if (!write_file(directory, "cgroup.procs", pid))
            _exit(2);
        sn_status status = run_job(&outcome, &listener, "devour", NULL, NULL);
        _exit(status == SN_OK && outcome.end == SN_WORKER_MEMORY && starts() == 1 ? 0 : 1);
    }
    waitpid(master, &ended, 0);
    rmdir(directory);
    assert_true(WIFEXITED(ended));
    assert_int_equal(WEXITSTATUS(ended), 0);
}

static void kills_for_memory_can_be_counted(void **state)
{
    (void)state;
    assert_true(sn_oom_kills() >= 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(int count, char **arguments)
{
    if (getenv(DEAF) != NULL)
        return 7;
    if (count == 3 && strcmp(arguments[1], "worker") == 0)
        return sn_worker_main(arguments[2], handler, NULL);
    const struct CMUnitTest tests[] = {
        TEST(a_result_comes_back_to_the_last_bit),
        TEST(a_job_and_a_result_of_a_megabyte_pass),
        TEST(output_of_a_worker_goes_to_its_log),
        TEST(a_worker_that_dies_three_times_has_failed),
        TEST(a_worker_that_dies_twice_is_tried_a_third_time),
        TEST(a_worker_that_dies_before_it_takes_its_job_has_failed),
        TEST(a_nan_fails_at_once),
        TEST(a_refused_allocation_is_out_of_memory),
        TEST(a_fault_of_the_world_is_passed_on),
        TEST(an_interrupt_ends_the_worker),
        TEST(a_worker_that_ignores_an_interrupt_is_killed),
        TEST(an_error_of_the_listener_ends_the_worker),
        TEST(a_worker_stopped_by_a_person_is_started_again),
        TEST(a_worker_that_is_told_to_stop_does_and_is_not_started_again),
        TEST(two_workers_work_at_once),
        TEST(a_worker_without_a_sign_of_life_is_started_again),
        TEST(a_death_is_the_outcome_where_others_decide_on_it),
        TEST(a_worker_that_beats_is_alive),
        TEST(a_worker_over_its_time_has_failed),
        TEST(a_worker_keeps_to_its_cores),
        TEST(cores_of_workers_do_not_meet),
        TEST(a_worker_cannot_take_more_memory_than_its_limit),
        TEST(a_worker_dies_with_its_master),
        TEST(a_kill_by_the_memory_control_is_out_of_memory),
        TEST(kills_for_memory_can_be_counted),
    };
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}

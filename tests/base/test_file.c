#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "cmocka_all.h"

static char folder[] = "/tmp/segnas3d-test-file-XXXXXX";

static int folder_make(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int folder_remove(void **state)
{
    (void)state;
    return chdir("/") == 0 && sn_folder_remove(folder, NULL) == SN_OK ? 0 : -1;
}

static void assert_holds(const char *path, const char *text)
{
    char *data;
    size_t size;
    assert_int_equal(sn_file_read(&data, &size, path, NULL), SN_OK);
    assert_string_equal(data, text);
    sn_free(data);
}

static void a_file_changes_only_when_it_is_whole(void **state)
{
    sn_file_writer *writer;
    (void)state;
    assert_int_equal(sn_file_write("a", "old", 3, NULL), SN_OK);
    assert_int_equal(sn_file_writer_open(&writer, "a", NULL), SN_OK);
    fputs("new", sn_file_writer_stream(writer));
    assert_holds("a", "old");
    assert_int_equal(sn_file_writer_commit(writer, NULL), SN_OK);
    sn_file_writer_close(writer);
    assert_holds("a", "new");
}

/* A pipe stands for a device too, which root could replace: not to be tried on this machine's own. */
static void a_pipe_and_a_folder_are_never_replaced(void **state)
{
    static const char *const paths[] = {"pipe", "folder"};
    (void)state;
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(mkdir("folder", 0700), 0);
    for (int i = 0; i < 2; i++) {
        sn_error error = SN_ERROR_INIT;
        assert_int_equal(sn_file_write(paths[i], "x", 1, &error), SN_ERR_IO);
        assert_non_null(strstr(error.text, paths[i]));
        assert_non_null(strstr(error.text, "cannot write"));
    }
    struct stat info;
    assert_true(stat("pipe", &info) == 0 && S_ISFIFO(info.st_mode));
}

/* A block larger than the stream's buffer fails at once, long before the commit that reports it. */
static void the_cause_of_an_early_failure_is_named(void **state)
{
    static const char block[1 << 16] = {0};
    const struct rlimit small = {1 << 14, RLIM_INFINITY}, any = {RLIM_INFINITY, RLIM_INFINITY};
    sn_error error = SN_ERROR_INIT;
    (void)state;
    sn_interrupt_install(); /* the limit is an error, no signal */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    sn_status status = sn_file_write("large", block, sizeof block, &error);
    setrlimit(RLIMIT_FSIZE, &any);
    assert_int_equal(status, SN_ERR_IO);
    assert_string_equal(error.text, "large: cannot write: File too large; choose another place");
    assert_false(sn_path_exists("large"));
}

static void a_refusal_says_what_helps(void **state)
{
    sn_error error = SN_ERROR_INIT;
    (void)state;
    assert_int_equal(sn_file_write("missing/a", "x", 1, &error), SN_ERR_IO);
    assert_string_equal(error.text,
                        "missing/a: cannot write: No such file or directory; make its folder first");
    assert_int_equal(sn_file_read(&(char *){NULL}, &(size_t){0}, "missing/a", &error), SN_ERR_INPUT);
    assert_string_equal(error.text, "missing/a: cannot read: No such file or directory; check its name");
}

static void one_file_by_two_names_is_the_same(void **state)
{
    (void)state;
    assert_int_equal(sn_file_write("a", "x", 1, NULL), SN_OK);
    assert_int_equal(sn_file_write("b", "x", 1, NULL), SN_OK);
    assert_int_equal(symlink("a", "link"), 0);
    assert_true(sn_path_same("a", "./a"));
    assert_true(sn_path_same("a", "link"));
    assert_false(sn_path_same("a", "b"));
    assert_false(sn_path_same("none", "none"));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_file_changes_only_when_it_is_whole),   IN_FOLDER(a_pipe_and_a_folder_are_never_replaced),
        IN_FOLDER(the_cause_of_an_early_failure_is_named), IN_FOLDER(a_refusal_says_what_helps),
        IN_FOLDER(one_file_by_two_names_is_the_same),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}

/* The progress bar as a terminal and as a file see it. */
#include "cmocka_all.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/progress.h"

/* A pseudo terminal: what is written to `stream` is read from `master`. */
typedef struct terminal {
    int master;
    FILE *stream;
} terminal;

static terminal terminal_open(unsigned short columns)
{
    terminal self;
    const struct winsize size = {.ws_row = 24, .ws_col = columns};
    self.master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(self.master >= 0);
    assert_int_equal(grantpt(self.master), 0);
    assert_int_equal(unlockpt(self.master), 0);
    self.stream = fopen(ptsname(self.master), "w");
    assert_non_null(self.stream);
    assert_int_equal(ioctl(self.master, TIOCSWINSZ, &size), 0);
    setenv("TERM", "xterm", 1);
    return self;
}

/* Everything written so far: the kernel hands it over with a delay, so until nothing has come for a while. */
static void terminal_read(const terminal *self, char *text, size_t size)
{
    struct pollfd wait = {.fd = self->master, .events = POLLIN};
    size_t length = 0;
    fflush(self->stream);
    while (length < size - 1 && poll(&wait, 1, 100) == 1) {
        ssize_t more = read(self->master, text + length, size - 1 - length);
        if (more <= 0)
            break;
        length += (size_t)more;
    }
    text[length] = '\0';
}

static void terminal_close(terminal *self)
{
    fclose(self->stream);
    close(self->master);
}

static void a_file_gets_the_first_and_the_last_line_of_a_task(void **state)
{
    (void)state;
    char text[512];
    FILE *file = tmpfile();
    sn_progress_bar *bar;
    assert_int_equal(sn_progress_bar_create(&bar, file, NULL), SN_OK);
    const sn_progress *progress = sn_progress_bar_progress(bar);
    for (int i = 0; i <= 1000; i++)
        sn_progress_report(progress, "check", i, 1000, "note");
    sn_progress_report(progress, "check", 1000, 1000, "note");
    sn_progress_report(progress, "train", 2, 5, NULL);
    sn_progress_bar_free(bar);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, "check: 0/1000  note\ncheck: 1000/1000  note\ntrain: 2/5\n");
}

static void a_terminal_gets_one_line_that_is_redrawn_and_erased(void **state)
{
    (void)state;
    char text[4096];
    terminal screen = terminal_open(100);
    sn_progress_bar *bar;
    assert_int_equal(sn_progress_bar_create(&bar, screen.stream, NULL), SN_OK);
    const sn_progress *progress = sn_progress_bar_progress(bar);
    sn_progress_report(progress, "search", 3, 12, "epoch 7/20  best 0.812");
    terminal_read(&screen, text, sizeof text);
    assert_string_equal(text, "\rsearch  [######..................]  3/12  epoch 7/20  best 0.812\033[K");
    sn_progress_bar_print(bar, "a message");
    terminal_read(&screen, text, sizeof text);
    assert_non_null(strstr(text, "\r\033[Ka message\r\n\rsearch  ["));
    sn_progress_bar_free(bar);
    terminal_read(&screen, text, sizeof text);
    assert_string_equal(text, "\r\033[K");
    terminal_close(&screen);
}

static void a_narrow_terminal_is_never_overrun(void **state)
{
    (void)state;
    char text[4096];
    for (unsigned short columns = 20; columns < 120; columns += 7) {
        terminal screen = terminal_open(columns);
        sn_progress_bar *bar;
        assert_int_equal(sn_progress_bar_create(&bar, screen.stream, NULL), SN_OK);
        sn_progress_report(sn_progress_bar_progress(bar), "search", 3, 12,
                           "epoch 7/20  best 0.812  and much more");
        terminal_read(&screen, text, sizeof text);
        size_t visible = strlen(text) - strlen("\r\033[K");
        assert_true(visible < columns);
        assert_true(visible >= 19 || columns > 20);
        sn_progress_bar_free(bar);
        terminal_close(&screen);
    }
}

static void the_time_left_is_reckoned_unless_the_note_says_it(void **state)
{
    (void)state;
    char text[4096];
    terminal screen = terminal_open(100);
    sn_progress_bar *bar;
    assert_int_equal(sn_progress_bar_create(&bar, screen.stream, NULL), SN_OK);
    const sn_progress *progress = sn_progress_bar_progress(bar);
    sn_progress_report(progress, "trial", 0, 3, NULL);
    usleep(120000); /* the bar is redrawn every tenth of a second */
    sn_progress_report(progress, "trial", 1, 3, "best 0.8");
    terminal_read(&screen, text, sizeof text);
    assert_non_null(strstr(text, "1/3  best 0.8  0 s left\033[K"));
    usleep(120000);
    sn_progress_report(progress, "trial", 2, 3, "about 4 s left");
    terminal_read(&screen, text, sizeof text);
    assert_non_null(strstr(text, "2/3  about 4 s left\033[K"));
    sn_progress_bar_free(bar);
    terminal_close(&screen);
}

static void nobody_watching_is_fine(void **state)
{
    (void)state;
    const sn_progress silent = {0};
    sn_progress_report(NULL, "x", 0, 1, NULL);
    sn_progress_report(&silent, "x", 0, 1, NULL);
}

static void durations_are_readable(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0, "0 s"},
                 {41.6, "42 s"},
                 {59.6, "1 min 00 s"},
                 {425, "7 min 05 s"},
                 {3600, "1 h 00 min"},
                 {12000, "3 h 20 min"},
                 {7 * 86400 + 7200, "7 days 2 h"},
                 {-1, "0 s"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        sn_progress_duration(text, cases[i].seconds);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_gets_the_first_and_the_last_line_of_a_task),
        cmocka_unit_test(a_terminal_gets_one_line_that_is_redrawn_and_erased),
        cmocka_unit_test(a_narrow_terminal_is_never_overrun),
        cmocka_unit_test(the_time_left_is_reckoned_unless_the_note_says_it),
        cmocka_unit_test(nobody_watching_is_fine),
        cmocka_unit_test(durations_are_readable),
    };
    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}

#include "base/progress.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"

enum { TASK_BYTES = 64, NOTE_BYTES = 160, LINE_BYTES = 512, BAR_CELLS = 24, MIN_COLUMNS = 20 };
static const double TERMINAL_INTERVAL = 0.1; /* seconds between two redraws */
static const double PLAIN_INTERVAL = 10;     /* seconds between two plain lines */

struct sn_progress_bar {
    sn_progress progress;
    pthread_mutex_t lock;
    FILE *stream;
    bool terminal;
    bool shown;  /* a bar stands on the terminal's current line */
    bool active; /* a task was reported and is not complete */
    char task[TASK_BYTES];
    char note[NOTE_BYTES];
    int64_t first, done, total; /* `first`: what was done already when the task began (work that goes on) */
    double began, drawn;        /* seconds of the monotonic clock */
};

void sn_progress_report(const sn_progress *progress, const char *task, int64_t done, int64_t total,
                        const char *note)
{
    if (progress != NULL && progress->report != NULL)
        progress->report(progress->context, task, done, total, note);
}

void sn_progress_duration(char text[32], double seconds)
{
    long long whole = seconds > 0 ? (long long)(seconds + 0.5) : 0;
    if (whole < 60)
        snprintf(text, 32, "%lld s", whole);
    else if (whole < 3600)
        snprintf(text, 32, "%lld min %02lld s", whole / 60, whole % 60);
    else if (whole < 48 * 3600)
        snprintf(text, 32, "%lld h %02lld min", whole / 3600, whole / 60 % 60);
    else
        snprintf(text, 32, "%lld days %lld h", whole / 86400, whole / 3600 % 24);
}

/* "3 min 20 s left", by the pace so far; empty where there is no pace yet or the note says it. */
static void time_left(char text[48], const sn_progress_bar *bar, double now)
{
    char duration[32];
    text[0] = '\0';
    size_t length = strlen(bar->note);
    bool given = length >= 5 && strcmp(bar->note + length - 5, " left") == 0;
    if (given || bar->done <= bar->first || bar->done >= bar->total)
        return;
    double pace = (now - bar->began) / (double)(bar->done - bar->first);
    sn_progress_duration(duration, pace * (double)(bar->total - bar->done));
    snprintf(text, 48, "%s left", duration);
}

/* Characters of UTF-8 text, taken as columns; `limit` > 0 cuts the text after that many. */
static int text_columns(char *text, int limit)
{
    int columns = 0;
    for (; *text != '\0'; text++) {
        if (((unsigned char)*text & 0xC0) == 0x80)
            continue; /* a continuation byte */
        if (limit > 0 && columns == limit) {
            *text = '\0';
            break;
        }
        columns++;
    }
    return columns;
}

static int terminal_columns(FILE *stream)
{
    struct winsize size;
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col < MIN_COLUMNS ? MIN_COLUMNS : size.ws_col;
}

/* Append `text` after two spaces. */
static void line_append(char line[LINE_BYTES], const char *text)
{
    size_t length = strlen(line);
    if (text[0] != '\0')
        snprintf(line + length, LINE_BYTES - length, "%s%s", length > 0 ? "  " : "", text);
}

/* task [####----] 12/300  note  3 min left */
static void terminal_draw(sn_progress_bar *bar, double now)
{
    char line[LINE_BYTES] = "", cells[BAR_CELLS + 3], count[48], left[48];
    int64_t total = bar->total > 0 ? bar->total : 1;
    int filled = (int)(BAR_CELLS * (bar->done < total ? bar->done : total) / total);
    cells[0] = '[';
    memset(cells + 1, '#', (size_t)filled);
    memset(cells + 1 + filled, '.', (size_t)(BAR_CELLS - filled));
    memcpy(cells + 1 + BAR_CELLS, "]", 2);
    snprintf(count, sizeof count, "%lld/%lld", (long long)bar->done, (long long)bar->total);
    time_left(left, bar, now);

    int columns = terminal_columns(bar->stream) - 1; /* the last column would wrap on some terminals */
    line_append(line, bar->task);
    int rest = 8 + (int)(strlen(count) + strlen(bar->note) + strlen(left));
    if (text_columns(line, 0) + BAR_CELLS + rest <= columns)
        line_append(line, cells); /* the bar itself is what a narrow window can do without */
    line_append(line, count);
    line_append(line, bar->note);
    line_append(line, left);
    text_columns(line, columns);
    fprintf(bar->stream, "\r%s\033[K", line);
    fflush(bar->stream);
    bar->shown = true;
    bar->drawn = now;
}

static void terminal_erase(sn_progress_bar *bar)
{
    if (bar->shown)
        fputs("\r\033[K", bar->stream);
    fflush(bar->stream);
    bar->shown = false;
}

static void plain_print(sn_progress_bar *bar, double now)
{
    char line[LINE_BYTES], left[48];
    snprintf(line, sizeof line, "%s: %lld/%lld", bar->task, (long long)bar->done, (long long)bar->total);
    time_left(left, bar, now);
    line_append(line, bar->note);
    line_append(line, left);
    fprintf(bar->stream, "%s\n", line);
    fflush(bar->stream);
    bar->drawn = now;
}

static void on_report(void *context, const char *task, int64_t done, int64_t total, const char *note)
{
    sn_progress_bar *bar = context;
    pthread_mutex_lock(&bar->lock);
    double now = sn_clock_now();
    bool first = strncmp(bar->task, task, TASK_BYTES - 1) != 0 || (!bar->active && done < total);
    if (first) {
        snprintf(bar->task, sizeof bar->task, "%s", task);
        bar->began = now;
        bar->first = done;
    }
    bool last = done >= total && (first || bar->done < bar->total);
    bar->active = done < total;
    bar->done = done;
    bar->total = total;
    snprintf(bar->note, sizeof bar->note, "%s", note != NULL ? note : "");
    double interval = bar->terminal ? TERMINAL_INTERVAL : PLAIN_INTERVAL;
    if (first || last || now - bar->drawn >= interval) {
        if (bar->terminal)
            terminal_draw(bar, now);
        else
            plain_print(bar, now);
    }
    pthread_mutex_unlock(&bar->lock);
}

sn_status sn_progress_bar_create(sn_progress_bar **bar, FILE *stream, sn_error *error)
{
    sn_status status = sn_alloc(bar, 1, sizeof **bar, error);
    if (status != SN_OK)
        return status;
    const char *kind = getenv("TERM");
    (*bar)->progress = (sn_progress){on_report, *bar};
    (*bar)->stream = stream;
    (*bar)->terminal = isatty(fileno(stream)) && kind != NULL && strcmp(kind, "dumb") != 0;
    pthread_mutex_init(&(*bar)->lock, NULL);
    return SN_OK;
}

const sn_progress *sn_progress_bar_progress(sn_progress_bar *bar)
{
    return &bar->progress;
}

void sn_progress_bar_print(sn_progress_bar *bar, const char *line)
{
    pthread_mutex_lock(&bar->lock);
    bool shown = bar->shown;
    terminal_erase(bar);
    fprintf(bar->stream, "%s\n", line);
    if (shown)
        terminal_draw(bar, sn_clock_now());
    pthread_mutex_unlock(&bar->lock);
}

void sn_progress_bar_clear(sn_progress_bar *bar)
{
    pthread_mutex_lock(&bar->lock);
    terminal_erase(bar);
    pthread_mutex_unlock(&bar->lock);
}

void sn_progress_bar_free(sn_progress_bar *bar)
{
    if (bar == NULL)
        return;
    terminal_erase(bar);
    pthread_mutex_destroy(&bar->lock);
    sn_free(bar);
}

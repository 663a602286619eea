/**
 * Progress: what long work reports, and the bar that shows it.
 *
 * Work takes a `const sn_progress *` (NULL: nobody watches) and calls sn_progress_report; it never prints. A
 * program that wants to show it makes an sn_progress_bar and hands down its sn_progress.
 */
#ifndef SN_BASE_PROGRESS_H
#define SN_BASE_PROGRESS_H

#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

/** Who watches: `report` is called with the task's name, units done of all, and a note or NULL. */
typedef struct sn_progress {
    void (*report)(void *context, const char *task, int64_t done, int64_t total, const char *note);
    void *context;
} sn_progress;

/** Report `done` of `total` units of `task`; `note` may be NULL, e.g. "epoch 7/20  best 0.812". A note that
 * ends in " left" gives the time left, else the bar reckons it. NULL progress: no-op. */
void sn_progress_report(const sn_progress *progress, const char *task, int64_t done, int64_t total,
                        const char *note);

/**
 * A progress bar. On a terminal one line that is redrawn, fits the width and disappears at the end; elsewhere
 * plain lines, the first and last of a task and at most one every ten seconds between. Safe to report to from
 * any thread.
 */
typedef struct sn_progress_bar sn_progress_bar;

/** Make a bar that writes to `stream` (not owned); free with sn_progress_bar_free. */
sn_status sn_progress_bar_create(sn_progress_bar **bar, FILE *stream, sn_error *error);

/** What to hand down to the work; lives as long as the bar. */
const sn_progress *sn_progress_bar_progress(sn_progress_bar *bar);

/** Print one line (a newline is added) above the bar, so that log and bar do not overwrite each other. */
void sn_progress_bar_print(sn_progress_bar *bar, const char *line);

/** Take the bar from the screen, before results are printed; the next report shows it again. */
void sn_progress_bar_clear(sn_progress_bar *bar);

/** Remove the bar from the screen and free it; NULL is allowed. */
void sn_progress_bar_free(sn_progress_bar *bar);

/** Write a duration as "42 s", "7 min 05 s" or "3 h 20 min"; `text` holds 32 bytes. */
void sn_progress_duration(char text[32], double seconds);

#endif

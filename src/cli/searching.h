/**
 * What a search and its simulation share: running it and showing how it goes.
 */
#ifndef SN_CLI_SEARCHING_H
#define SN_CLI_SEARCHING_H

#include "arch/space.h"
#include "cli/command.h"
#include "search/search.h"

typedef struct cli_searching {
    const sn_space *space;
    sn_search_objective objective;
    const char *algorithm; /* a name that sn_optimiser_parse knows */
    uint32_t seed;
    int iterations, workers;
    sn_stopping_settings stopping;
    const double *start; /* the first question; NULL: the middle of the bounds */
    int epochs;          /* of a training, to show */
    int places;          /* as sn_search_options has them */
    int64_t memory;      /* likewise */
    double deadline;     /* likewise */
} cli_searching;

/**
 * Search, with progress and a line for each iteration on the log; takes the bar from the screen at the end.
 *
 * @param[out] state   where it ended
 * @param[out] seconds it took
 * @return as sn_search_run; SN_ERR_FAILED not one network could be trained, though there was time
 */
sn_status cli_searching_run(sn_search_state *state, double *seconds, cli_context *context, sn_study *study,
                            const cli_searching *searching, sn_error *error);

/** Print what was found and, of several workers, what they were good for. */
void cli_searching_print(const sn_search_state *state, double seconds, int workers);

#endif

/**
 * The frames of a relay's worker (comm/group.h) on their way to and from other relays.
 *
 * A message between relays is the serial number of the attempt that it belongs to, and the frame. One that
 * comes before the relay has begun that attempt is kept for it; one of an earlier attempt is dropped.
 */
#ifndef SN_SEARCH_FRAMES_H
#define SN_SEARCH_FRAMES_H

#include <stdbool.h>

#include "comm/comm.h"
#include "comm/group.h"

typedef struct sn_frames sn_frames;

/** sn_frames_free; `comm` outlives it. */
sn_status sn_frames_create(sn_frames **frames, sn_comm *comm, sn_error *error);
void sn_frames_free(sn_frames *frames);

/**
 * Begin an attempt.
 *
 * @param[out] connection the worker's end, at 5 or above; the caller's to close; -1 on error
 * @param[in]  serial     of the attempt; larger than those before
 * @param[in]  ranks      (size) of the members
 */
sn_status sn_frames_begin(int *connection, sn_frames *frames, int64_t serial, const int *ranks, int size,
                          sn_error *error);

/** The attempt is over. */
void sn_frames_end(sn_frames *frames);

/** Take a message of kind SN_RELAY_FRAME. */
sn_status sn_frames_take(sn_frames *frames, sn_message *message, sn_error *error);

/** Pass on what the worker wrote and what it can read; `*active` becomes true where there was any. */
sn_status sn_frames_move(bool *active, sn_frames *frames, sn_error *error);

/** Sleep until the worker has written something, `seconds` at most. */
void sn_frames_wait(const sn_frames *frames, double seconds);

/** Whether the worker waits for others. */
bool sn_frames_awaited(const sn_frames *frames);

#endif

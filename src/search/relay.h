/**
 * Trainings on other machines: what rank 0 of a job and the others, its relays, say to each other.
 *
 * A relay has one worker process at most (search/worker.h) and computes nothing itself, so whatever happens in
 * a training never hurts the job. Messages are JSON objects:
 *
 *     to rank 0:  {"hello": {"host", "cores", "bound", "memory"}}    first
 *                 {"seen": "" or what is wrong}                      the answer to "look"
 *                 {"interrupted": true}                              it was asked to stop, as by Ctrl-C
 *                 {"serial", "report": {...}}                        the worker's, as it is
 *                 {"serial", "end", "status", "text", "result"}      sn_worker_end; SN_RELAY_ERROR with a status
 *     from it:    {"look": {"path", "token"}}                        whether a file there holds the token
 *                 {"begin": {"serial", "ranks", "seat", "seats", "job", "log", "limit_seconds", "memory_limit"}}
 *                 {"stop": serial}
 *                 {"bye": true}                                      last
 *
 * A relay's seat is its number among those on its host, from 0, by which it takes one of the host's GPUs; seats are how
 * many they are.
 * A serial number is one attempt at one training. The ranks of a training are its members; only the first
 * one's reports are passed on. Each finds "members" and its number "member" in its job; their frames
 * (search/frames.h) go from relay to relay.
 */
#ifndef SN_SEARCH_RELAY_H
#define SN_SEARCH_RELAY_H

#include <jansson.h>

#include "comm/comm.h"

enum { SN_RELAY_JSON, SN_RELAY_FRAME }; /* kinds of messages; frames go from relay to relay */

#define SN_RELAY_LONGEST_NAP 5e-3 /* seconds */

enum { SN_RELAY_ERROR = -1 }; /* an end: a fault of the world */

/** Send a JSON object, which is no more the caller's. SN_ERR_IO; SN_ERR_MEMORY, also where it is NULL. */
sn_status sn_relay_send(sn_comm *comm, int to, json_t *message, sn_error *error);

/** Be a relay until rank 0 says goodbye. */
sn_status sn_relay_run(sn_comm *comm, sn_error *error);

/** How long to sleep where nothing is to be done, seconds: `*nap` doubles with each call up to `longest`; 0
 * begins anew. */
double sn_relay_nap(double *nap, double longest);

#endif

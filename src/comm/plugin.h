/**
 * What segnas3d-mpi.so gives: one table under the name SN_COMM_PLUGIN. It stands by itself, without the
 * program's libraries. Functions return 0, or what is other than 0 where MPI failed.
 */
#ifndef SN_COMM_PLUGIN_H
#define SN_COMM_PLUGIN_H

#include <stddef.h>

#define SN_COMM_PLUGIN "sn_comm_mpi"

enum { SN_COMM_PLUGIN_VERSION = 1 };

typedef struct sn_comm_plugin {
    int version; /* SN_COMM_PLUGIN_VERSION of its build */
    int (*open)(int *rank, int *size);
    void (*close)(void);
    /** Copies the message. */
    int (*send)(int to, int kind, const void *bytes, size_t size);
    int (*is_sending)(void);
    /** Look for a message, and go on sending; `*from` is -1 where there is none. */
    int (*probe)(int *from, int *kind, size_t *size);
    /** Take the message that probe found. */
    int (*receive)(int from, int kind, void *bytes, size_t size);
} sn_comm_plugin;

#endif

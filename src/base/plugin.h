/**
 * Plug-ins: libraries beside the program that need what the program itself does not (MPI, CUDA). Each exports
 * one table, which begins with the version of its build:
 *
 *     typedef struct table { int version; ... } table;
 *
 * For tests, which do not lie where the program does, the environment variable SEGNAS3D_PLUGINS names their folder.
 */
#ifndef SN_BASE_PLUGIN_H
#define SN_BASE_PLUGIN_H

#include <stdbool.h>

#include "base/status.h"

typedef struct sn_plugin_options {
    const char *file;   /* "segnas3d-mpi.so" */
    const char *symbol; /* of the table */
    int version;        /* that the table must have */
    bool global;        /* libraries that it loads find each other's symbols */
} sn_plugin_options;

/**
 * Load a plug-in; again, it is the same one.
 *
 * @param[out] table address of a pointer to the table, which is valid for ever; NULL on error
 * @return SN_OK; SN_ERR_IO there is no such file beside the program; SN_ERR_UNSUPPORTED it cannot be loaded, or
 * is of another version
 */
sn_status sn_plugin_load(void *table, const sn_plugin_options *options, sn_error *error);

#endif

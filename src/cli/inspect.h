/**
 * What `segnas3d inspect` shows: networks, models and studies.
 */
#ifndef SN_CLI_INSPECT_H
#define SN_CLI_INSPECT_H

#include <jansson.h>
#include <stdbool.h>

#include "arch/arch.h"
#include "backend/device.h"
#include "base/status.h"

typedef enum inspect_form { INSPECT_TEXT, INSPECT_JSON, INSPECT_DOT } inspect_form;

/* A network and what its size depends on. */
typedef struct inspect_network {
    sn_arch arch;
    int channels, classes;
    int64_t size[3];    /* D, H, W of the image, voxels */
    const char *device; /* that memory is planned for */
    sn_precision precision;
    json_t *more; /* object: fields to add to the JSON form; may be NULL */
} inspect_network;

/**
 * Print a network: block, numbers, layers. An illegal one is described as such and is no error.
 *
 * @return SN_OK; SN_ERR_ARG a baseline's block was asked for (INSPECT_DOT); SN_ERR_MEMORY
 */
sn_status inspect_network_print(const inspect_network *network, inspect_form form, sn_error *error);

/** Print a search's iterations and its best one; or the JSON of sn_study_json. SN_ERR_INPUT: not a study. */
sn_status inspect_study_print(const char *folder, inspect_form form, sn_error *error);

#endif

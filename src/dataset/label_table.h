/**
 * Label tables as JSON, as they stand in model files and records.
 */
#ifndef SN_DATASET_LABEL_TABLE_H
#define SN_DATASET_LABEL_TABLE_H

#include <jansson.h>

#include "base/status.h"
#include "volume/labels.h"

/** [{"value": 0, "name": "background"}, ...] by class; `*out` is the caller's, json_decref. SN_ERR_MEMORY. */
sn_status sn_label_table_to_json(json_t **out, const sn_label_table *table, sn_error *error);

/**
 * Read what sn_label_table_to_json wrote.
 *
 * @param[out] table  caller owns, sn_label_table_free; NULL on error
 * @param[in]  source the file it comes from, for error texts
 * @return SN_OK; SN_ERR_INPUT; SN_ERR_MEMORY
 */
sn_status sn_label_table_from_json(sn_label_table **table, const json_t *json, const char *source,
                                   sn_error *error);

#endif

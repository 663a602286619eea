/**
 * Label tables: which value and name in files each class of a network has. Class 0 is the background.
 */
#ifndef SN_VOLUME_LABELS_H
#define SN_VOLUME_LABELS_H

#include <stdint.h>

#include "base/status.h"

typedef struct sn_label_table {
    int count;       /* classes, background included */
    int32_t *values; /* by class; the value in label files */
    char **names;    /* by class; UTF-8 */
} sn_label_table;

/**
 * Make a table that holds the background alone: value 0, name "background".
 *
 * @param[out] table caller owns, sn_label_table_free; NULL on error
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_label_table_create(sn_label_table **table, sn_error *error);

/** Free a table; NULL is allowed. */
void sn_label_table_free(sn_label_table *table);

/**
 * Append a class. @return SN_OK; SN_ERR_INPUT the value is there already (both names are given);
 * SN_ERR_MEMORY
 */
sn_status sn_label_table_add(sn_label_table *table, int32_t value, const char *name, sn_error *error);

/** The class of a value, or -1. */
int sn_label_table_find(const sn_label_table *table, int32_t value);

/** Copy a table; `*copy` is the caller's, sn_label_table_free. */
sn_status sn_label_table_copy(sn_label_table **copy, const sn_label_table *table, sn_error *error);

#endif

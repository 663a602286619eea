#include "volume/labels.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"

sn_status sn_label_table_create(sn_label_table **table, sn_error *error)
{
    sn_status status;
    sn_label_table *self = NULL;
    *table = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    SN_TRY(sn_label_table_add(self, 0, "background", error));
    *table = self;
    self = NULL;
done:
    sn_label_table_free(self);
    return status;
}

void sn_label_table_free(sn_label_table *table)
{
    if (table == NULL)
        return;
    for (int class = 0; class < table->count; class ++)
        sn_free(table->names[class]);
    sn_free(table->names);
    sn_free(table->values);
    sn_free(table);
}

sn_status sn_label_table_add(sn_label_table *table, int32_t value, const char *name, sn_error *error)
{
    sn_status status;
    int32_t *values = NULL;
    char **names = NULL, *copy = NULL;
    size_t count = (size_t)table->count;
    int class = sn_label_table_find(table, value);
    if (class >= 0)
        return sn_error_set(error, SN_ERR_INPUT, "labels: \"%s\" and \"%s\" have the same value %" PRId32,
                            table->names[class], name, value);
    SN_TRY(sn_alloc(&values, count + 1, sizeof *values, error));
    SN_TRY(sn_alloc(&names, count + 1, sizeof *names, error));
    SN_TRY(sn_string_copy(&copy, name, error));
    if (count > 0) {
        memcpy(values, table->values, count * sizeof *values);
        memcpy(names, table->names, count * sizeof *names);
    }
    values[count] = value;
    names[count] = copy;
    sn_free(table->values);
    sn_free(table->names);
    table->values = values;
    table->names = names;
    table->count++;
    return SN_OK;
done:
    sn_free(values);
    sn_free(names);
    return status;
}

int sn_label_table_find(const sn_label_table *table, int32_t value)
{
    for (int class = 0; class < table->count; class ++)
        if (table->values[class] == value)
            return class;
    return -1;
}

sn_status sn_label_table_copy(sn_label_table **copy, const sn_label_table *table, sn_error *error)
{
    sn_status status;
    sn_label_table *self = NULL;
    *copy = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    for (int class = 0; class < table->count; class ++)
        SN_TRY(sn_label_table_add(self, table->values[class], table->names[class], error));
    *copy = self;
    self = NULL;
done:
    sn_label_table_free(self);
    return status;
}

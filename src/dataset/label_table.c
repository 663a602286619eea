#include "dataset/label_table.h"

#include <inttypes.h>

#include "base/json.h"

sn_status sn_label_table_to_json(json_t **out, const sn_label_table *table, sn_error *error)
{
    bool complete = true;
    json_t *array = json_array();
    for (int c = 0; c < table->count; c++) {
        json_t *entry = json_pack("{s:i, s:s}", "value", (int)table->values[c], "name", table->names[c]);
        complete = json_array_append_new(array, entry) == 0 && complete;
    }
    *out = complete ? array : NULL;
    if (complete)
        return SN_OK;
    json_decref(array);
    return sn_error_set(error, SN_ERR_MEMORY, "out of memory for the label table's JSON");
}

static sn_status table_add_entry(sn_label_table *table, const json_t *entry, const char *source,
                                 sn_error *error)
{
    sn_status status;
    int64_t value = 0;
    const char *name = NULL;
    SN_TRY(sn_json_integer(&value, entry, "value", source, error));
    SN_TRY(sn_json_string(&name, entry, "name", source, error));
    if (value < INT32_MIN || value > INT32_MAX)
        return sn_error_set(error, SN_ERR_INPUT, "%s: label value %" PRId64 " does not fit 32 bits", source,
                            value);
    if (table->count == 1 && value == 0)
        return SN_OK; /* the background, which every table begins with */
    SN_TRY(sn_label_table_add(table, (int32_t)value, name, error));
done:
    return status;
}

sn_status sn_label_table_from_json(sn_label_table **table, const json_t *json, const char *source,
                                   sn_error *error)
{
    sn_status status;
    sn_label_table *self = NULL;
    *table = NULL;
    if (!json_is_array(json))
        return sn_error_set(error, SN_ERR_INPUT, "%s: the label table must be an array", source);
    SN_TRY(sn_label_table_create(&self, error));
    for (size_t i = 0; i < json_array_size(json); i++)
        SN_TRY(table_add_entry(self, json_array_get(json, i), source, error));
    *table = self;
    self = NULL;
done:
    sn_label_table_free(self);
    return status;
}

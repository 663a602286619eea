#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

sn_status sn_json_load(json_t **root, const char *path, sn_error *error)
{
    sn_status status;
    char *text = NULL;
    size_t size = 0;
    json_error_t fault;
    *root = NULL;
    SN_TRY(sn_file_read(&text, &size, path, error));
    *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &fault);
    if (*root == NULL)
        status = sn_error_set(error, SN_ERR_INPUT, "%s:%d: not valid JSON: %s", path, fault.line, fault.text);
done:
    sn_free(text);
    return status;
}

sn_status sn_json_save(const char *path, const json_t *root, sn_error *error)
{
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_ENCODE_ANY);
    if (text == NULL)
        return sn_error_set(error, SN_ERR_MEMORY, "%s: out of memory for the JSON text", path);
    size_t length = strlen(text);
    text[length] = '\n'; /* takes the place of the terminating zero */
    sn_status status = sn_file_write(path, text, length + 1, error);
    free(text);
    return status;
}

bool sn_json_has(const json_t *object, const char *field)
{
    const json_t *value = json_object_get(object, field);
    return value != NULL && !json_is_null(value);
}

const char *sn_json_kind(const json_t *value)
{
    if (value == NULL)
        return "missing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        break;
    }
    return "null";
}

/* Find a field and hold its kind, one of `wanted_a` and `wanted_b`, against what is there. */
static sn_status field_get(json_t **value, const json_t *object, const char *field, const char *where,
                           json_type wanted_a, json_type wanted_b, const char *wanted_kind, sn_error *error)
{
    *value = NULL;
    if (!json_is_object(object))
        return sn_error_set(error, SN_ERR_INPUT, "%s: must be an object, is %s", where, sn_json_kind(object));
    json_t *found = json_object_get(object, field);
    if (found == NULL)
        return sn_error_set(error, SN_ERR_INPUT, "%s: field \"%s\" is missing; it must be %s", where, field,
                            wanted_kind);
    if (json_typeof(found) != wanted_a && json_typeof(found) != wanted_b)
        return sn_error_set(error, SN_ERR_INPUT, "%s: field \"%s\" must be %s, is %s", where, field,
                            wanted_kind, sn_json_kind(found));
    *value = found;
    return SN_OK;
}

sn_status sn_json_object(json_t **value, const json_t *object, const char *field, const char *where,
                         sn_error *error)
{
    return field_get(value, object, field, where, JSON_OBJECT, JSON_OBJECT, "an object", error);
}

sn_status sn_json_array(json_t **value, const json_t *object, const char *field, const char *where,
                        sn_error *error)
{
    return field_get(value, object, field, where, JSON_ARRAY, JSON_ARRAY, "an array", error);
}

sn_status sn_json_string(const char **value, const json_t *object, const char *field, const char *where,
                         sn_error *error)
{
    json_t *found;
    sn_status status = field_get(&found, object, field, where, JSON_STRING, JSON_STRING, "a string", error);
    if (status == SN_OK)
        *value = json_string_value(found);
    return status;
}

sn_status sn_json_integer(int64_t *value, const json_t *object, const char *field, const char *where,
                          sn_error *error)
{
    json_t *found;
    sn_status status =
        field_get(&found, object, field, where, JSON_INTEGER, JSON_INTEGER, "an integer", error);
    if (status == SN_OK)
        *value = json_integer_value(found);
    return status;
}

sn_status sn_json_number(double *value, const json_t *object, const char *field, const char *where,
                         sn_error *error)
{
    json_t *found;
    sn_status status = field_get(&found, object, field, where, JSON_INTEGER, JSON_REAL, "a number", error);
    if (status == SN_OK)
        *value = json_number_value(found);
    return status;
}

sn_status sn_json_boolean(bool *value, const json_t *object, const char *field, const char *where,
                          sn_error *error)
{
    json_t *found;
    sn_status status = field_get(&found, object, field, where, JSON_TRUE, JSON_FALSE, "true or false", error);
    if (status == SN_OK)
        *value = json_is_true(found);
    return status;
}

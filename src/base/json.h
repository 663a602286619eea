/**
 * JSON files with errors that name the file and the field.
 *
 * The getters read `object[field]`; `where` names the object in messages: the file, and what is in it if that
 * helps ("dataset.json", "splits.json: fold 2"). What they return belongs to `object`.
 */
#ifndef SN_BASE_JSON_H
#define SN_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/**
 * Read a JSON file.
 *
 * @param[out] root the caller's, json_decref; NULL on error
 * @return SN_OK; SN_ERR_INPUT missing, or not JSON (names file and line)
 */
sn_status sn_json_load(json_t **root, const char *path, sn_error *error);

/** Write `root` to a file, indented by 2, fields in the order they were set, atomically. SN_ERR_IO. */
sn_status sn_json_save(const char *path, const json_t *root, sn_error *error);

/** True where `object` has `field` and it is not null. */
bool sn_json_has(const json_t *object, const char *field);

/** A field that must be an object; SN_ERR_INPUT where it is missing or something else. So for all that
 * follow. */
sn_status sn_json_object(json_t **value, const json_t *object, const char *field, const char *where,
                         sn_error *error);

/** A field that must be an array. */
sn_status sn_json_array(json_t **value, const json_t *object, const char *field, const char *where,
                        sn_error *error);

/** A field that must be a string. */
sn_status sn_json_string(const char **value, const json_t *object, const char *field, const char *where,
                         sn_error *error);

/** A field that must be an integer. */
sn_status sn_json_integer(int64_t *value, const json_t *object, const char *field, const char *where,
                          sn_error *error);

/** A field that must be a number, whole or not. */
sn_status sn_json_number(double *value, const json_t *object, const char *field, const char *where,
                         sn_error *error);

/** A field that must be true or false. */
sn_status sn_json_boolean(bool *value, const json_t *object, const char *field, const char *where,
                          sn_error *error);

/** "an object", "a string", ...: the kind of a value for messages; "missing" for NULL. */
const char *sn_json_kind(const json_t *value);

#endif

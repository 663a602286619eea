/**
 * safetensors files: named arrays and one JSON record. Any safetensors reader opens them.
 *
 * Layout: 8 bytes header length (little endian), the header (JSON: name -> dtype, shape, data_offsets), the
 * data. Our record travels as a string in `__metadata__`, under the key "segnas3d". Source: the format's
 * description in the safetensors project's README.
 */
#ifndef SN_MODEL_SAFETENSORS_H
#define SN_MODEL_SAFETENSORS_H

#include <jansson.h>

#include "backend/op.h"
#include "base/status.h"

enum { SN_ARRAY_NAME = 160 };

typedef struct sn_array {
    char name[SN_ARRAY_NAME];
    sn_tensor_desc desc; /* SN_F32, SN_F64 or SN_U8; rank 5 in the file too */
    char *data;          /* sn_tensor_bytes(&desc) bytes, in the memory of its sn_arrays */
} sn_array;

/** Named arrays in one block of memory. */
typedef struct sn_arrays {
    int count;
    sn_array *items;
    char *bytes;
} sn_arrays;

/** Free what arrays hold; all-zero arrays are allowed. */
void sn_arrays_clear(sn_arrays *arrays);

/** The array of that name, or NULL. */
const sn_array *sn_arrays_find(const sn_arrays *arrays, const char *name);

/**
 * Write a file; it appears whole or not at all.
 *
 * @param[in] record a JSON object (borrowed)
 * @param[in] arrays with distinct names, those of wider types first: each begins at a multiple of its width
 * @return SN_OK; SN_ERR_IO (unwritable, disk full); SN_ERR_MEMORY
 */
sn_status sn_safetensors_write(const char *path, const json_t *record, const sn_arrays *arrays,
                               sn_error *error);

/**
 * Read a file written by sn_safetensors_write.
 *
 * @param[out] record the caller's, json_decref; an object; NULL on error
 * @param[out] arrays sn_arrays_clear; all zero on error
 * @return SN_OK; SN_ERR_INPUT: missing, truncated, not a safetensors file, or without our record
 */
sn_status sn_safetensors_read(json_t **record, sn_arrays *arrays, const char *path, sn_error *error);

#endif

#include "model/safetensors.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

static const struct {
    sn_dtype dtype;
    const char *name;
} dtype_names[] = {{SN_F32, "F32"}, {SN_F64, "F64"}, {SN_U8, "U8"}};

static const char *name_of_dtype(sn_dtype dtype)
{
    for (size_t i = 0; i < sizeof dtype_names / sizeof *dtype_names; i++)
        if (dtype_names[i].dtype == dtype)
            return dtype_names[i].name;
    return NULL;
}

static bool dtype_of_name(sn_dtype *dtype, const char *name)
{
    for (size_t i = 0; i < sizeof dtype_names / sizeof *dtype_names; i++)
        if (strcmp(dtype_names[i].name, name) == 0) {
            *dtype = dtype_names[i].dtype;
            return true;
        }
    return false;
}

void sn_arrays_clear(sn_arrays *arrays)
{
    sn_free(arrays->items);
    sn_free(arrays->bytes);
    *arrays = (sn_arrays){0};
}

const sn_array *sn_arrays_find(const sn_arrays *arrays, const char *name)
{
    for (int i = 0; i < arrays->count; i++)
        if (strcmp(arrays->items[i].name, name) == 0)
            return &arrays->items[i];
    return NULL;
}

/* {"__metadata__": {"segnas3d": record as text}, name: {"dtype", "shape", "data_offsets"}, ...} */
static json_t *make_header(const json_t *record, const sn_arrays *arrays)
{
    char *text = json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS);
    json_t *header = text == NULL ? NULL : json_pack("{s:{s:s}}", "__metadata__", "segnas3d", text);
    free(text);
    json_int_t offset = 0;
    bool complete = header != NULL;
    for (int i = 0; complete && i < arrays->count; i++) {
        const sn_array *array = &arrays->items[i];
        const int64_t *shape = array->desc.shape;
        json_int_t end = offset + (json_int_t)sn_tensor_bytes(&array->desc);
        complete =
            json_object_set_new(header, array->name,
                                json_pack("{s:s, s:[I,I,I,I,I], s:[I,I]}", "dtype",
                                          name_of_dtype(array->desc.dtype), "shape", (json_int_t)shape[0],
                                          (json_int_t)shape[1], (json_int_t)shape[2], (json_int_t)shape[3],
                                          (json_int_t)shape[4], "data_offsets", offset, end)) == 0;
        offset = end;
    }
    if (complete)
        return header;
    json_decref(header);
    return NULL;
}

sn_status sn_safetensors_write(const char *path, const json_t *record, const sn_arrays *arrays,
                               sn_error *error)
{
    sn_status status;
    sn_file_writer *writer = NULL;
    json_t *header = make_header(record, arrays);
    char *text = header == NULL ? NULL : json_dumps(header, JSON_COMPACT);
    if (text == NULL) {
        status = sn_error_set(error, SN_ERR_MEMORY, "%s: out of memory while writing", path);
        goto done;
    }
    SN_TRY(sn_file_writer_open(&writer, path, error));
    FILE *stream = sn_file_writer_stream(writer);
    uint64_t length = (uint64_t)sn_round_up((int64_t)strlen(text), 8); /* the data starts aligned */
    for (int byte = 0; byte < 8; byte++)
        fputc((int)(length >> (8 * byte) & 0xff), stream);
    fprintf(stream, "%-*s", (int)length, text);
    for (int i = 0; i < arrays->count; i++)
        fwrite(arrays->items[i].data, 1, sn_tensor_bytes(&arrays->items[i].desc), stream);
    SN_TRY(sn_file_writer_commit(writer, error));
done:
    sn_file_writer_close(writer);
    free(text);
    json_decref(header);
    return status;
}

/* One entry of the header into `array`; false where the entry makes no sense for `size` bytes of data. */
static bool read_entry(sn_array *array, const char *name, json_t *entry, char *data, size_t size)
{
    const char *dtype;
    json_int_t shape[SN_DIMS], begin, end;
    if (strlen(name) >= SN_ARRAY_NAME ||
        json_unpack(entry, "{s:s, s:[I,I,I,I,I!], s:[I,I!]}", "dtype", &dtype, "shape", &shape[0], &shape[1],
                    &shape[2], &shape[3], &shape[4], "data_offsets", &begin, &end) != 0 ||
        !dtype_of_name(&array->desc.dtype, dtype))
        return false;
    json_int_t elements = 1;
    for (int i = 0; i < SN_DIMS; i++) {
        if (shape[i] < 1 || shape[i] > INT32_MAX || elements > INT64_MAX / 16 / shape[i])
            return false;
        elements *= shape[i];
        array->desc.shape[i] = shape[i];
    }
    if (begin < 0 || end < begin || (uint64_t)end > size ||
        (size_t)(end - begin) != sn_tensor_bytes(&array->desc) ||
        begin % (json_int_t)sn_dtype_size(array->desc.dtype) != 0)
        return false;
    strcpy(array->name, name);
    array->data = data + begin;
    return true;
}

static sn_status read_entries(json_t **record, sn_arrays *arrays, const char *path, json_t *header,
                              char *data, size_t size, sn_error *error)
{
    const char *name, *text;
    json_t *entry;
    sn_status status = sn_alloc(&arrays->items, json_object_size(header), sizeof *arrays->items, error);
    if (status != SN_OK)
        return status;
    json_object_foreach(header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0) {
            if (json_unpack(entry, "{s:s}", "segnas3d", &text) == 0)
                *record = json_loads(text, 0, NULL);
        } else if (!read_entry(&arrays->items[arrays->count++], name, entry, data, size)) {
            return sn_error_set(error, SN_ERR_INPUT,
                                "%s: damaged: tensor '%s' does not fit the file; copy it again", path, name);
        }
    }
    if (!json_is_object(*record))
        return sn_error_set(error, SN_ERR_INPUT, "%s: a safetensors file, but not made by segnas3d", path);
    return SN_OK;
}

sn_status sn_safetensors_read(json_t **record, sn_arrays *arrays, const char *path, sn_error *error)
{
    sn_status status;
    size_t size;
    uint64_t length = 0;
    json_t *header = NULL;
    *record = NULL;
    *arrays = (sn_arrays){0};
    SN_TRY(sn_file_read(&arrays->bytes, &size, path, error));
    for (int byte = 0; byte < 8 && size >= 8; byte++)
        length |= (uint64_t)(unsigned char)arrays->bytes[byte] << (8 * byte);
    if (length >= 2 && length <= size - 8 && length % 8 == 0)
        header = json_loadb(arrays->bytes + 8, length, 0, NULL);
    if (!json_is_object(header)) {
        status = sn_error_set(error, SN_ERR_INPUT, "%s: not a model file, or truncated; copy it again", path);
        goto done;
    }
    SN_TRY(read_entries(record, arrays, path, header, arrays->bytes + 8 + length, size - 8 - (size_t)length,
                        error));
done:
    json_decref(header);
    if (status != SN_OK) {
        sn_arrays_clear(arrays);
        json_decref(*record);
        *record = NULL;
    }
    return status;
}

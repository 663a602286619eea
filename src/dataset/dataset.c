#include "dataset/dataset.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "dataset/cases.h"
#include "volume/nifti.h"

/* ---- channels and labels ---- */

/* "channel_names" or "modality": {"0": name, "1": name, ...}. */
static sn_status channels_read(sn_dataset *dataset, const json_t *root, sn_error *error)
{
    sn_status status;
    const char *field = sn_json_has(root, "channel_names") ? "channel_names" : "modality";
    json_t *names;
    char key[16], where[512];
    if (json_is_object(root) && !sn_json_has(root, field))
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: names no channels: it needs \"modality\" (Decathlon) or \"channel_names\" "
                            "(nnU-Net), e.g. {\"0\": \"MRI\"}",
                            dataset->path);
    SN_TRY(sn_json_object(&names, root, field, dataset->path, error));
    int count = (int)json_object_size(names);
    snprintf(where, sizeof where, "%s: \"%s\"", dataset->path, field);
    if (count == 0)
        return sn_error_set(error, SN_ERR_INPUT, "%s: empty; name the channels, e.g. {\"0\": \"MRI\"}",
                            where);
    SN_TRY(sn_alloc(&dataset->channel_names, (size_t)count, sizeof(char *), error));
    for (; dataset->channels < count; dataset->channels++) {
        const char *name;
        snprintf(key, sizeof key, "%d", dataset->channels);
        SN_TRY(sn_json_string(&name, names, key, where, error));
        SN_TRY(sn_string_copy(&dataset->channel_names[dataset->channels], name, error));
    }
done:
    return status;
}

typedef struct label {
    int64_t value;
    const char *name;
} label;

/* One entry of "labels": the Decathlon's "1": "name" or nnU-Net's "name": 1. */
static sn_status label_parse(label *out, const char *key, const json_t *value, const char *path,
                             sn_error *error)
{
    if (json_is_array(value))
        return sn_error_set(
            error, SN_ERR_INPUT,
            "%s: \"labels\": \"%s\" is a region (a list of values); regions are not supported: give "
            "each structure one value",
            path, key);
    if (json_is_integer(value)) {
        *out = (label){json_integer_value(value), key};
        if (strcmp(key, "ignore") == 0)
            return sn_error_set(error, SN_ERR_INPUT,
                                "%s: \"labels\": the \"ignore\" label (value %" PRId64
                                ") is not supported: remove it from dataset.json and from the label files",
                                path, out->value);
    } else if (json_is_string(value)) {
        char *end;
        errno = 0;
        *out = (label){strtoll(key, &end, 10), json_string_value(value)};
        if (errno != 0 || end == key || *end != '\0')
            return sn_error_set(
                error, SN_ERR_INPUT,
                "%s: \"labels\": \"%s\": \"%s\" must be \"value\": \"name\" or \"name\": value", path, key,
                out->name);
    } else {
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: \"labels\": \"%s\" is %s; it must be an integer or a name", path, key,
                            sn_json_kind(value));
    }
    if (out->value < INT32_MIN || out->value > INT32_MAX)
        return sn_error_set(error, SN_ERR_INPUT, "%s: \"labels\": value %" PRId64 " does not fit 32 bits",
                            path, out->value);
    return SN_OK;
}

static int label_compare(const void *a, const void *b)
{
    const label *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* Two structures of one name could not be told apart in any result. */
static sn_status label_names_check(const label *labels, size_t count, const char *path, sn_error *error)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(labels[i].name, labels[j].name) == 0)
                return sn_error_set(error, SN_ERR_INPUT,
                                    "%s: \"labels\": values %" PRId64 " and %" PRId64
                                    " are both named \"%s\"; give each its own name",
                                    path, labels[j].value, labels[i].value, labels[i].name);
    return SN_OK;
}

/* The table in ascending order of values, the background (0) first. */
static sn_status labels_to_table(sn_dataset *dataset, label *labels, size_t count, sn_error *error)
{
    sn_status status;
    bool background = false;
    qsort(labels, count, sizeof *labels, label_compare);
    SN_TRY(label_names_check(labels, count, dataset->path, error));
    SN_TRY(sn_label_table_create(&dataset->labels, error));
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && labels[i].value == labels[i - 1].value) {
            status = sn_error_set(error, SN_ERR_INPUT,
                                  "%s: \"labels\": \"%s\" and \"%s\" have the same value %" PRId64
                                  "; give each its own",
                                  dataset->path, labels[i - 1].name, labels[i].name, labels[i].value);
            goto done;
        }
        background = background || labels[i].value == 0;
        if (labels[i].value != 0)
            SN_TRY(sn_label_table_add(dataset->labels, (int32_t)labels[i].value, labels[i].name, error));
    }
    if (!background || count < 2)
        status =
            sn_error_set(error, SN_ERR_INPUT,
                         "%s: \"labels\" must list the background, value 0, and a structure", dataset->path);
done:
    return status;
}

static sn_status labels_read(sn_dataset *dataset, const json_t *root, sn_error *error)
{
    sn_status status;
    json_t *object, *value;
    const char *key;
    label *labels = NULL;
    size_t count = 0;
    SN_TRY(sn_json_object(&object, root, "labels", dataset->path, error));
    SN_TRY(sn_alloc(&labels, json_object_size(object), sizeof *labels, error));
    json_object_foreach(object, key, value)
        SN_TRY(label_parse(&labels[count++], key, value, dataset->path, error));
    SN_TRY(labels_to_table(dataset, labels, count, error));
done:
    sn_free(labels);
    return status;
}

/* ---- the data set ---- */

/* Set path, folder and name from the path of the folder or of its dataset.json. */
static sn_status paths_set(sn_dataset *dataset, const char *path, sn_error *error)
{
    sn_status status;
    if (sn_path_is_folder(path)) {
        SN_TRY(sn_string_copy(&dataset->folder, path, error));
        for (size_t end = strlen(path); end > 1 && path[end - 1] == '/'; end--)
            dataset->folder[end - 1] = '\0'; /* its last part is a name */
        SN_TRY(sn_path_join(&dataset->path, path, "dataset.json", error));
    } else {
        int length = (int)(sn_path_name(path) - path);
        SN_TRY(sn_string_copy(&dataset->path, path, error));
        if (length == 0)
            SN_TRY(sn_string_copy(&dataset->folder, ".", error));
        else
            SN_TRY(sn_string_format(&dataset->folder, error, "%.*s", length > 1 ? length - 1 : 1, path));
    }
    if (!sn_path_is_folder(path) && sn_nifti_name(path))
        status =
            sn_error_set(error, SN_ERR_INPUT, "%s: not a data set; give the folder with dataset.json", path);
    else if (!sn_path_exists(dataset->path))
        status = sn_error_set(error, SN_ERR_INPUT,
                              "%s: no such file; a data set is a folder with a dataset.json", dataset->path);
done:
    return status;
}

static sn_status name_set(sn_dataset *dataset, const json_t *root, sn_error *error)
{
    const char *name = json_string_value(json_object_get(root, "name"));
    return sn_string_copy(&dataset->name, name != NULL ? name : sn_path_name(dataset->folder), error);
}

sn_status sn_dataset_open(sn_dataset **dataset, const char *path, sn_error *error)
{
    sn_status status;
    sn_dataset *self = NULL;
    json_t *root = NULL;
    *dataset = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    SN_TRY(paths_set(self, path, error));
    SN_TRY(sn_json_load(&root, self->path, error));
    SN_TRY(channels_read(self, root, error));
    SN_TRY(labels_read(self, root, error));
    SN_TRY(name_set(self, root, error));
    SN_TRY(sn_cases_read(self, root, error));
    *dataset = self;
    self = NULL;
done:
    json_decref(root);
    sn_dataset_close(self);
    return status;
}

void sn_dataset_close(sn_dataset *dataset)
{
    if (dataset == NULL)
        return;
    sn_cases_free(dataset->cases, dataset->count);
    sn_cases_free(dataset->tests, dataset->test_count);
    for (int c = 0; c < dataset->channels; c++)
        sn_free(dataset->channel_names[c]);
    sn_free(dataset->channel_names);
    sn_label_table_free(dataset->labels);
    sn_free(dataset->name);
    sn_free(dataset->folder);
    sn_free(dataset->path);
    sn_free(dataset);
}

static int case_compare(const void *a, const void *b)
{
    return strcmp(((const sn_case *)a)->name, ((const sn_case *)b)->name);
}

int sn_dataset_find(const sn_dataset *dataset, const char *name)
{
    sn_case key = {.name = (char *)name};
    const sn_case *found =
        bsearch(&key, dataset->cases, (size_t)dataset->count, sizeof *dataset->cases, case_compare);
    return found == NULL ? -1 : (int)(found - dataset->cases);
}

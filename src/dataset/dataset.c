#include "dataset/dataset.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "volume/nifti.h"

/* ---- cases ----------------------------------------------------------------------------------------------
 */

typedef struct case_list {
    sn_case *items;
    int count, capacity;
} case_list;

static void case_clear(sn_case *item)
{
    for (int c = 0; c < item->image_count; c++)
        sn_free(item->images[c]);
    sn_free(item->images);
    sn_free(item->label);
    sn_free(item->name);
}

static void case_list_clear(sn_case *items, int count)
{
    for (int i = 0; i < count; i++)
        case_clear(&items[i]);
    sn_free(items);
}

/* Append an empty case with room for `image_count` paths; `*out` is the list's and moves with the next one.
 */
static sn_status case_list_append(sn_case **out, case_list *list, int image_count, sn_error *error)
{
    sn_status status = SN_OK;
    if (list->count == list->capacity) {
        int capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        sn_case *items;
        SN_TRY(sn_alloc(&items, (size_t)capacity, sizeof *items, error));
        if (list->count > 0)
            memcpy(items, list->items, (size_t)list->count * sizeof *items);
        sn_free(list->items);
        list->items = items;
        list->capacity = capacity;
    }
    *out = &list->items[list->count];
    SN_TRY(sn_alloc(&(*out)->images, (size_t)image_count, sizeof(char *), error));
    (*out)->image_count = image_count;
    list->count++;
done:
    return status;
}

static int case_compare(const void *a, const void *b)
{
    return strcmp(((const sn_case *)a)->name, ((const sn_case *)b)->name);
}

/* Sort by name and hold names against each other. */
static sn_status case_list_sort(case_list *list, const char *where, sn_error *error)
{
    if (list->count > 0)
        qsort(list->items, (size_t)list->count, sizeof *list->items, case_compare);
    for (int i = 1; i < list->count; i++)
        if (strcmp(list->items[i - 1].name, list->items[i].name) == 0)
            return sn_error_set(error, SN_ERR_INPUT,
                                "%s: case \"%s\" is listed twice (%s and %s); remove one", where,
                                list->items[i].name, list->items[i - 1].images[0], list->items[i].images[0]);
    return SN_OK;
}

/* ---- listed cases: the Decathlon's "training" and "test", nnU-Net's "dataset" ----------------------------
 */

/* A path of dataset.json: relative to its folder, without a leading "./". */
static sn_status listed_path(char **out, const sn_dataset *dataset, const char *path, sn_error *error)
{
    while (strncmp(path, "./", 2) == 0)
        path += 2;
    return sn_path_join(out, dataset->folder, path, error);
}

/* Append a case whose image is one path or an array of paths, one a channel; `label` may be NULL. */
static sn_status listed_append(sn_case **out, case_list *list, const sn_dataset *dataset, const json_t *image,
                               const char *label, const char *where, sn_error *error)
{
    sn_status status;
    int files = json_is_array(image) ? (int)json_array_size(image) : 1;
    *out = NULL;
    if (files != 1 && files != dataset->channels)
        return sn_error_set(error, SN_ERR_INPUT, "%s: %d image files, but the data set has %d channels",
                            where, files, dataset->channels);
    SN_TRY(case_list_append(out, list, files, error));
    for (int c = 0; c < files; c++) {
        const json_t *path = json_is_array(image) ? json_array_get(image, (size_t)c) : image;
        if (!json_is_string(path))
            return sn_error_set(error, SN_ERR_INPUT,
                                "%s: the image must be a path or an array of paths, is %s", where,
                                path == NULL ? "missing" : sn_json_kind(path));
        SN_TRY(listed_path(&(*out)->images[c], dataset, json_string_value(path), error));
    }
    if (label != NULL)
        SN_TRY(listed_path(&(*out)->label, dataset, label, error));
done:
    return status;
}

/* Name a listed case after its label, which has no channel suffix, where the image's name differs only by
 * that. */
static sn_status listed_name(sn_case *item, sn_error *error)
{
    sn_status status;
    char *stripped = NULL, *label = NULL;
    bool suffix = item->image_count > 1;
    SN_TRY(sn_case_name(&stripped, item->images[0], true, error));
    if (item->label != NULL) {
        SN_TRY(sn_case_name(&label, item->label, false, error));
        suffix = suffix || strcmp(stripped, label) == 0;
    }
    SN_TRY(sn_case_name(&item->name, item->images[0], suffix, error));
done:
    sn_free(stripped);
    sn_free(label);
    return status;
}

/* The Decathlon's "training": [{"image": path, "label": path}]. */
static sn_status training_read(case_list *list, const sn_dataset *dataset, const json_t *root,
                               sn_error *error)
{
    sn_status status;
    json_t *training;
    SN_TRY(sn_json_array(&training, root, "training", dataset->path, error));
    for (size_t i = 0; i < json_array_size(training); i++) {
        const json_t *entry = json_array_get(training, i);
        const char *label;
        char where[512];
        sn_case *item;
        snprintf(where, sizeof where, "%s: \"training\", entry %zu", dataset->path, i);
        SN_TRY(sn_json_string(&label, entry, "label", where, error));
        SN_TRY(listed_append(&item, list, dataset, json_object_get(entry, "image"), label, where, error));
        SN_TRY(listed_name(item, error));
    }
done:
    return status;
}

/* The Decathlon's "test": [path] or [{"image": path}]. */
static sn_status test_read(case_list *list, const sn_dataset *dataset, const json_t *root, sn_error *error)
{
    sn_status status = SN_OK;
    json_t *tests = json_object_get(root, "test");
    for (size_t i = 0; i < json_array_size(tests); i++) { /* of what is not an array: 0 */
        const json_t *entry = json_array_get(tests, i);
        const json_t *image = json_is_object(entry) ? json_object_get(entry, "image") : entry;
        char where[512];
        sn_case *item;
        snprintf(where, sizeof where, "%s: \"test\", entry %zu", dataset->path, i);
        SN_TRY(listed_append(&item, list, dataset, image, NULL, where, error));
        SN_TRY(listed_name(item, error));
    }
done:
    return status;
}

/* nnU-Net's "dataset": {name: {"images": [path of each channel], "label": path}}. */
static sn_status dataset_key_read(case_list *list, const sn_dataset *dataset, const json_t *root,
                                  sn_error *error)
{
    sn_status status;
    json_t *entries, *entry, *images;
    const char *name, *label;
    SN_TRY(sn_json_object(&entries, root, "dataset", dataset->path, error));
    json_object_foreach(entries, name, entry)
    {
        char where[512];
        sn_case *item;
        snprintf(where, sizeof where, "%s: \"dataset\", case \"%s\"", dataset->path, name);
        SN_TRY(sn_json_array(&images, entry, "images", where, error));
        SN_TRY(sn_json_string(&label, entry, "label", where, error));
        SN_TRY(listed_append(&item, list, dataset, images, label, where, error));
        SN_TRY(sn_string_copy(&item->name, name, error));
    }
done:
    return status;
}

/* ---- found cases: nnU-Net's imagesTr/CASE_0000.nii.gz and labelsTr/CASE.nii.gz ---------------------------
 */

/* The names of a folder's files that end with `ending`, sorted; free each and the array with free(). */
static int folder_list(struct dirent ***entries, const char *folder)
{
    int count = scandir(folder, entries, NULL, alphasort);
    return count < 0 ? 0 : count;
}

static bool name_ends_with(const char *name, const char *ending)
{
    size_t length = strlen(name), tail = strlen(ending);
    return name[0] != '.' && length > tail && strcmp(name + length - tail, ending) == 0;
}

/* Append the case `name`, unless it is the list's already. `labels`: the folder of the labels, or NULL. */
static sn_status found_append(case_list *list, const sn_dataset *dataset, const char *name,
                              const char *images, const char *labels, const char *ending, sn_error *error)
{
    sn_status status = SN_OK;
    sn_case *item;
    for (int i = list->count - 1; i >= 0; i--) /* the last one, most often */
        if (strcmp(list->items[i].name, name) == 0)
            return SN_OK;
    SN_TRY(case_list_append(&item, list, dataset->channels, error));
    SN_TRY(sn_string_copy(&item->name, name, error));
    for (int c = 0; c < dataset->channels; c++)
        SN_TRY(sn_string_format(&item->images[c], error, "%s/%s_%04d%s", images, name, c, ending));
    if (labels != NULL)
        SN_TRY(sn_string_format(&item->label, error, "%s/%s%s", labels, name, ending));
done:
    return status;
}

/* Append the cases of all files in `folder` (the images' or the labels'); each case has all its paths, found
 * or not. */
static sn_status found_read(case_list *list, const sn_dataset *dataset, const char *folder,
                            const char *images, const char *labels, const char *ending, sn_error *error)
{
    sn_status status = SN_OK;
    struct dirent **entries = NULL;
    char *name = NULL, *stem = NULL;
    int count = folder_list(&entries, folder);
    for (int i = 0; i < count; i++) {
        if (!name_ends_with(entries[i]->d_name, ending))
            continue;
        SN_TRY(sn_case_name(&stem, entries[i]->d_name, false, error));
        SN_TRY(sn_case_name(&name, entries[i]->d_name, folder == images, error));
        if (folder != images ||
            strcmp(name, stem) != 0) /* an image without a channel suffix is check's to report */
            SN_TRY(found_append(list, dataset, name, images, labels, ending, error));
        sn_free(name);
        sn_free(stem);
        name = stem = NULL;
    }
done:
    sn_free(name);
    sn_free(stem);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return status;
}

/* Find the cases that have an image or a label; `labels_name` NULL: test images. */
static sn_status folders_read(case_list *list, const sn_dataset *dataset, const json_t *root,
                              const char *images_name, const char *labels_name, sn_error *error)
{
    sn_status status;
    const char *ending;
    char *images = NULL, *labels = NULL;
    SN_TRY(sn_json_string(&ending, root, "file_ending", dataset->path, error));
    if (strcmp(ending, ".nii.gz") != 0 && strcmp(ending, ".nii") != 0) {
        status = sn_error_set(error, SN_ERR_INPUT,
                              "%s: \"file_ending\" is \"%s\"; only NIfTI is read: convert to .nii.gz or .nii",
                              dataset->path, ending);
        goto done;
    }
    SN_TRY(sn_path_join(&images, dataset->folder, images_name, error));
    if (labels_name != NULL)
        SN_TRY(sn_path_join(&labels, dataset->folder, labels_name, error));
    SN_TRY(found_read(list, dataset, images, images, labels, ending, error));
    if (labels != NULL)
        SN_TRY(found_read(list, dataset, labels, images, labels, ending, error));
done:
    sn_free(images);
    sn_free(labels);
    return status;
}

/* ---- channels and labels --------------------------------------------------------------------------------
 */

/* "channel_names" or "modality": {"0": name, "1": name, ...}. */
static sn_status channels_read(sn_dataset *dataset, const json_t *root, sn_error *error)
{
    sn_status status;
    const char *field = sn_json_has(root, "channel_names") ? "channel_names" : "modality";
    json_t *names;
    char key[16], where[512];
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

/* The table in ascending order of values, the background (0) first. */
static sn_status labels_to_table(sn_dataset *dataset, label *labels, size_t count, sn_error *error)
{
    sn_status status;
    bool background = false;
    qsort(labels, count, sizeof *labels, label_compare);
    SN_TRY(sn_label_table_create(&dataset->labels, error));
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && labels[i].value == labels[i - 1].value) {
            status = sn_error_set(error, SN_ERR_INPUT,
                                  "%s: \"labels\": \"%s\" and \"%s\" have the same value %" PRId64,
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

/* ---- the data set ---------------------------------------------------------------------------------------
 */

/* Set path, folder and name from the path of the folder or of its dataset.json. */
static sn_status paths_set(sn_dataset *dataset, const char *path, sn_error *error)
{
    sn_status status;
    if (sn_path_is_folder(path)) {
        SN_TRY(sn_string_copy(&dataset->folder, path, error));
        SN_TRY(sn_path_join(&dataset->path, path, "dataset.json", error));
    } else {
        int length = (int)(sn_path_name(path) - path);
        SN_TRY(sn_string_copy(&dataset->path, path, error));
        if (length == 0)
            SN_TRY(sn_string_copy(&dataset->folder, ".", error));
        else
            SN_TRY(sn_string_format(&dataset->folder, error, "%.*s", length > 1 ? length - 1 : 1, path));
    }
    if (!sn_path_exists(dataset->path))
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

static sn_status cases_read(sn_dataset *dataset, const json_t *root, sn_error *error)
{
    sn_status status;
    case_list cases = {NULL, 0, 0}, tests = {NULL, 0, 0};
    if (sn_json_has(root, "dataset")) {
        SN_TRY(dataset_key_read(&cases, dataset, root, error));
    } else if (sn_json_has(root, "training")) {
        SN_TRY(training_read(&cases, dataset, root, error));
        SN_TRY(test_read(&tests, dataset, root, error));
    } else if (sn_json_has(root, "file_ending")) {
        SN_TRY(folders_read(&cases, dataset, root, "imagesTr", "labelsTr", error));
        SN_TRY(folders_read(&tests, dataset, root, "imagesTs", NULL, error));
    } else {
        status =
            sn_error_set(error, SN_ERR_INPUT,
                         "%s: lists no cases: it needs \"training\" (Decathlon) or \"file_ending\" (nnU-Net)",
                         dataset->path);
        goto done;
    }
    SN_TRY(case_list_sort(&cases, dataset->path, error));
    SN_TRY(case_list_sort(&tests, dataset->path, error));
    if (cases.count == 0)
        status = sn_error_set(
            error, SN_ERR_INPUT, "%s: the data set has no cases with a label (%s)", dataset->path,
            sn_json_has(root, "training") ? "\"training\" is empty" : "imagesTr and labelsTr hold none");
done:
    dataset->cases = cases.items;
    dataset->count = cases.count;
    dataset->tests = tests.items;
    dataset->test_count = tests.count;
    return status;
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
    SN_TRY(cases_read(self, root, error));
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
    case_list_clear(dataset->cases, dataset->count);
    case_list_clear(dataset->tests, dataset->test_count);
    for (int c = 0; c < dataset->channels; c++)
        sn_free(dataset->channel_names[c]);
    sn_free(dataset->channel_names);
    sn_label_table_free(dataset->labels);
    sn_free(dataset->name);
    sn_free(dataset->folder);
    sn_free(dataset->path);
    sn_free(dataset);
}

int sn_dataset_find(const sn_dataset *dataset, const char *name)
{
    sn_case key = {.name = (char *)name};
    const sn_case *found =
        bsearch(&key, dataset->cases, (size_t)dataset->count, sizeof *dataset->cases, case_compare);
    return found == NULL ? -1 : (int)(found - dataset->cases);
}

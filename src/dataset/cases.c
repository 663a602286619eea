/* The cases of a data set, in each of the ways in which dataset.json can give them. */
#include "dataset/cases.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

/* ---- a growing list of cases ---- */

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

void sn_cases_free(sn_case *cases, int count)
{
    for (int i = 0; i < count; i++)
        case_clear(&cases[i]);
    sn_free(cases);
}

/*
 * Append an empty case with room for `image_count` paths; `*out` is the list's and moves with the next
 * one.
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

/* Sort by name and hold names against each other; each is also that of a file. */
static sn_status case_list_sort(case_list *list, const char *where, sn_error *error)
{
    if (list->count > 0)
        qsort(list->items, (size_t)list->count, sizeof *list->items, case_compare);
    for (int i = 0; i < list->count; i++)
        if (list->items[i].name[0] == '\0' || strchr(list->items[i].name, '/') != NULL)
            return sn_error_set(error, SN_ERR_INPUT,
                                "%s: a case is named \"%s\"; a name must not be empty or have a slash", where,
                                list->items[i].name);
    for (int i = 1; i < list->count; i++)
        if (strcmp(list->items[i - 1].name, list->items[i].name) == 0)
            return sn_error_set(error, SN_ERR_INPUT,
                                "%s: case \"%s\" is listed twice (%s and %s); remove one", where,
                                list->items[i].name, list->items[i - 1].images[0], list->items[i].images[0]);
    return SN_OK;
}

/* ---- listed cases: the Decathlon's "training" and "test", nnU-Net's "dataset" ---- */

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
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: %d image files for %d channels: list one file, or one a channel", where,
                            files, dataset->channels);
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

/* ---- found cases: nnU-Net's imagesTr/CASE_0000.nii.gz and labelsTr/CASE.nii.gz ---- */

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

/* ---- all cases ---- */

sn_status sn_cases_read(sn_dataset *dataset, const json_t *root, sn_error *error)
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
            error, SN_ERR_INPUT, "%s: the data set has no cases with a label: %s", dataset->path,
            sn_json_has(root, "dataset")    ? "list them under \"dataset\""
            : sn_json_has(root, "training") ? "list them under \"training\""
                                            : "imagesTr and labelsTr hold no file of this \"file_ending\"");
done:
    dataset->cases = cases.items;
    dataset->count = cases.count;
    dataset->tests = tests.items;
    dataset->test_count = tests.count;
    return status;
}

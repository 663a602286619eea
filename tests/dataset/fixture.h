/** What the tests of data sets share: a temporary folder, small volumes and data sets in it. */
#ifndef SN_TESTS_DATASET_FIXTURE_H
#define SN_TESTS_DATASET_FIXTURE_H

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "dataset/dataset.h"
#include "volume/nifti.h"

/* Fail with the error's text unless `status` is SN_OK. */
#define CHECK_OK(status, error)                                                                              \
    do {                                                                                                     \
        if ((status) != SN_OK)                                                                               \
            fail_msg("%s", (error).text);                                                                    \
    } while (0)

/* cmocka setup and teardown: *state is the path of an empty folder. */
static inline int folder_setup(void **state)
{
    char *path = strdup("/tmp/segnas3d-test-XXXXXX");
    *state = path;
    return mkdtemp(path) == NULL;
}

static inline int folder_teardown(void **state)
{
    sn_status status = sn_folder_remove(*state, NULL);
    free(*state);
    return status != SN_OK;
}

/* folder/name in one of a few static buffers. */
static inline const char *in_folder(const char *folder, const char *name)
{
    static char buffers[8][512];
    static int next;
    char *path = buffers[next++ % 8];
    if (snprintf(path, sizeof buffers[0], "%s/%s", folder, name) >= (int)sizeof buffers[0])
        fail_msg("%s/%s: too long for a test", folder, name);
    return path;
}

static inline void write_text(const char *folder, const char *name, const char *text)
{
    sn_error error = SN_ERROR_INIT;
    CHECK_OK(sn_file_write(in_folder(folder, name), text, strlen(text), &error), error);
}

/* A grid with axes R, A, S and the spacing (D,H,W) in mm. */
static inline sn_grid grid_of(int64_t d, int64_t h, int64_t w, double sd, double sh, double sw)
{
    sn_grid grid;
    sn_error error = SN_ERROR_INIT;
    const int64_t extent[3] = {d, h, w};
    const double affine[3][4] = {{sw, 0, 0, -10}, {0, sh, 0, 5}, {0, 0, sd, 20}};
    CHECK_OK(sn_grid_make(&grid, extent, affine, &error), error);
    return grid;
}

/* Voxels that differ from file to file: 1 + (17 i + salt) mod 101. */
static inline void write_image(const char *path, sn_grid grid, int channels, int salt)
{
    sn_error error = SN_ERROR_INIT;
    sn_volume *volume;
    CHECK_OK(sn_volume_create(&volume, &grid, channels, &error), error);
    for (int64_t i = 0; i < channels * sn_grid_voxels(&grid); i++)
        volume->data[i] = (float)(1 + (17 * i + salt) % 101);
    CHECK_OK(sn_nifti_write_volume(path, volume, &error), error);
    sn_volume_free(volume);
}

/* Voxel i has the value values[i mod count]. */
static inline void write_labels(const char *path, sn_grid grid, const int32_t *values, int count)
{
    sn_error error = SN_ERROR_INIT;
    sn_labelmap *map;
    CHECK_OK(sn_labelmap_create(&map, &grid, &error), error);
    for (int64_t i = 0; i < sn_grid_voxels(&grid); i++)
        map->data[i] = values[i % count];
    CHECK_OK(sn_nifti_write_labelmap(path, map, &error), error);
    sn_labelmap_free(map);
}

/* A Decathlon data set of `count` cases c00, c01, ...: 4x5x6 voxels, 1 mm, labels 0, 1, 2; last one first. */
static inline void write_dataset(const char *folder, int count)
{
    static const int32_t values[] = {0, 1, 0, 2, 0};
    char name[64];
    sn_error error = SN_ERROR_INIT;
    CHECK_OK(sn_folder_create(in_folder(folder, "imagesTr"), &error), error);
    CHECK_OK(sn_folder_create(in_folder(folder, "labelsTr"), &error), error);
    FILE *json = fopen(in_folder(folder, "dataset.json"), "w");
    fputs("{\"name\": \"small\", \"modality\": {\"0\": \"MRI\"}, \"labels\": "
          "{\"0\": \"background\", \"1\": \"one\", \"2\": \"two\"}, \"training\": [",
          json);
    for (int i = count - 1; i >= 0; i--) {
        fprintf(json, "{\"image\": \"./imagesTr/c%02d.nii.gz\", \"label\": \"./labelsTr/c%02d.nii.gz\"}%s", i,
                i, i > 0 ? ", " : "");
        snprintf(name, sizeof name, "imagesTr/c%02d.nii.gz", i);
        write_image(in_folder(folder, name), grid_of(4, 5, 6, 1, 1, 1), 1, i);
        snprintf(name, sizeof name, "labelsTr/c%02d.nii.gz", i);
        write_labels(in_folder(folder, name), grid_of(4, 5, 6, 1, 1, 1), values, 5);
    }
    fputs("]}", json);
    fclose(json);
}

static inline sn_dataset *open_dataset(const char *folder)
{
    sn_dataset *dataset;
    sn_error error = SN_ERROR_INIT;
    CHECK_OK(sn_dataset_open(&dataset, folder, &error), error);
    return dataset;
}

/* Assert that the text of an error names everything that is listed; the list ends with NULL. */
static inline void assert_names(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strstr(text, *words) == NULL)
            fail_msg("\"%s\" does not name \"%s\"", text, *words);
    assert_null(strchr(text, '\n'));
}

#endif

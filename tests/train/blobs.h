/** A data set learned in seconds: a bright ball (label 1) and a dim one (label 5) in noise. */
#ifndef SN_TESTS_TRAIN_BLOBS_H
#define SN_TESTS_TRAIN_BLOBS_H

#include "dataset/fixture.h"

#include "base/random.h"
#include "train/task.h"

static inline float blob_voxel(int32_t *label, sn_random *random, const double centre[2][3], int64_t d,
                               int64_t h, int64_t w)
{
    static const int32_t values[2] = {1, 5};
    static const double radius[2] = {4, 3}, brightness[2] = {4, 2};
    double voxel[3] = {(double)d, (double)h, (double)w}, value = 1 + 0.3 * sn_random_normal(random);
    *label = 0;
    for (int ball = 0; ball < 2; ball++) {
        double square = 0;
        for (int a = 0; a < 3; a++)
            square += (voxel[a] - centre[ball][a]) * (voxel[a] - centre[ball][a]);
        if (square < radius[ball] * radius[ball]) {
            *label = values[ball];
            value = brightness[ball] + 0.3 * sn_random_normal(random);
        }
    }
    return (float)value;
}

static inline void write_blob_case(const char *folder, int number)
{
    char name[64];
    sn_error error = SN_ERROR_INIT;
    sn_grid grid = grid_of(14, 16, 18, 1, 1, 1);
    sn_volume *image;
    sn_labelmap *labels;
    sn_random random = sn_random_begin(9, SN_RANDOM_TEST, (uint64_t)number);
    double centre[2][3];
    for (int a = 0; a < 3; a++) {
        centre[0][a] = 5 + sn_random_uniform(&random);
        centre[1][a] = 10 + sn_random_uniform(&random);
    }
    CHECK_OK(sn_volume_create(&image, &grid, 1, &error), error);
    CHECK_OK(sn_labelmap_create(&labels, &grid, &error), error);
    for (int64_t v = 0; v < sn_grid_voxels(&grid); v++)
        image->data[v] = blob_voxel(&labels->data[v], &random, centre, v / (16 * 18), v / 18 % 16, v % 18);
    snprintf(name, sizeof name, "imagesTr/blobs_%02d.nii.gz", number);
    CHECK_OK(sn_nifti_write_volume(in_folder(folder, name), image, &error), error);
    snprintf(name, sizeof name, "labelsTr/blobs_%02d.nii.gz", number);
    CHECK_OK(sn_nifti_write_labelmap(in_folder(folder, name), labels, &error), error);
    sn_volume_free(image);
    sn_labelmap_free(labels);
}

/* A Decathlon data set of `count` cases of 14x16x18 voxels, labels 0, 1 and 5. */
static inline void write_blobs(const char *folder, int count)
{
    sn_error error = SN_ERROR_INIT;
    CHECK_OK(sn_folder_create(in_folder(folder, "imagesTr"), &error), error);
    CHECK_OK(sn_folder_create(in_folder(folder, "labelsTr"), &error), error);
    FILE *json = fopen(in_folder(folder, "dataset.json"), "w");
    fputs("{\"name\": \"blobs\", \"modality\": {\"0\": \"MRI\"}, \"labels\": "
          "{\"0\": \"background\", \"1\": \"bright\", \"5\": \"dim\"}, \"training\": [",
          json);
    for (int i = 0; i < count; i++) {
        fprintf(
            json,
            "%s{\"image\": \"./imagesTr/blobs_%02d.nii.gz\", \"label\": \"./labelsTr/blobs_%02d.nii.gz\"}",
            i > 0 ? ", " : "", i, i);
        write_blob_case(folder, i);
    }
    fputs("]}", json);
    fclose(json);
}

/* cmocka setup: a task of `count` blobs, ready to train with, in a folder, *state. */
static inline int blobs_setup(sn_task *task, void **state, int count)
{
    sn_error error = SN_ERROR_INIT;
    if (folder_setup(state) != 0)
        return 1;
    write_blobs(*state, count);
    sn_task_options options = {.dataset = *state, .split = SN_SPLIT_OPTIONS_INIT};
    CHECK_OK(sn_task_prepare(task, &options, NULL, &error), error);
    CHECK_OK(sn_task_build(task, in_folder(*state, "cache"), 2, NULL, &error), error);
    return 0;
}

static inline int blobs_teardown(sn_task *task, void **state)
{
    sn_task_clear(task);
    return folder_teardown(state);
}

#endif

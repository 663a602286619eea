/* The cache of preprocessed cases and the loader that reads it ahead. */
#include "dataset/fixture.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/interrupt.h"
#include "dataset/cache.h"
#include "dataset/loader.h"

enum { CASES = 6 };

typedef struct setting {
    sn_dataset *dataset;
    char fingerprint[SN_HASH_TEXT];
    char folder[512];
    sn_cache_options options;
} setting;

static void setting_begin(setting *self, const char *folder)
{
    sn_error error = SN_ERROR_INIT;
    write_dataset(folder, CASES);
    self->dataset = open_dataset(folder);
    CHECK_OK(sn_dataset_fingerprint(self->fingerprint, self->dataset, NULL, &error), error);
    snprintf(self->folder, sizeof self->folder, "%s/cache/deep", folder);
    self->options = (sn_cache_options){.folder = self->folder, .fingerprint = self->fingerprint};
    CHECK_OK(sn_preprocessing_determine(&self->options.preprocessing, self->dataset,
                                        (const int64_t[]){6, 6, 7}, &error),
             error);
}

static void build(const setting *self, int threads)
{
    sn_error error = SN_ERROR_INIT;
    CHECK_OK(sn_cache_build(self->dataset, &self->options, threads, NULL, &error), error);
}

static sn_cache *open_cache(const setting *self)
{
    sn_error error = SN_ERROR_INIT;
    sn_cache *cache;
    CHECK_OK(sn_cache_open(&cache, self->dataset, &self->options, &error), error);
    return cache;
}

/* Inode of a case's file: another one after it was written again. */
static ino_t case_inode(const setting *self, int i)
{
    char name[32];
    struct stat info;
    snprintf(name, sizeof name, "c%02d.case", i);
    assert_int_equal(stat(in_folder(self->folder, name), &info), 0);
    return info.st_ino;
}

/* What a case must hold, from preprocess.h directly. */
static void assert_case(const setting *self, const sn_cache *cache, int i)
{
    sn_error error = SN_ERROR_INIT;
    const sn_case *item = &self->dataset->cases[i];
    sn_volume *scan, *image;
    sn_labelmap *map;
    sn_grid grid;
    uint8_t *labels;
    CHECK_OK(sn_image_read(&scan, item->images, 1, 1, &error), error);
    CHECK_OK(sn_nifti_read_labelmap(&map, item->label, &error), error);
    CHECK_OK(sn_preprocess_grid(&grid, &self->options.preprocessing, &scan->grid, &error), error);
    CHECK_OK(sn_preprocess_image(&image, scan, &grid, 1, &error), error);
    CHECK_OK(sn_preprocess_labels(&labels, map, self->dataset->labels, &grid, "", &error), error);
    assert_memory_equal(sn_cache_image(cache, i), image->data, 6 * 6 * 7 * sizeof(float));
    assert_memory_equal(sn_cache_labels(cache, i), labels, 6 * 6 * 7);
    sn_free(labels);
    sn_volume_free(image);
    sn_volume_free(scan);
    sn_labelmap_free(map);
}

static void the_cache_holds_the_preprocessed_cases(void **state)
{
    setting self;
    setting_begin(&self, *state);
    build(&self, 3);
    sn_cache *cache = open_cache(&self);
    assert_int_equal(sn_cache_channels(cache), 1);
    assert_int_equal(sn_cache_classes(cache), 3);
    assert_memory_equal(sn_cache_size(cache), ((const int64_t[]){6, 6, 7}), 3 * sizeof(int64_t));
    for (int i = 0; i < CASES; i++)
        assert_case(&self, cache, i);
    sn_cache_close(cache);
    sn_dataset_close(self.dataset);
}

static void frequencies_are_shares_of_the_voxels(void **state)
{
    setting self;
    setting_begin(&self, *state);
    build(&self, 1);
    sn_cache *cache = open_cache(&self);
    const int cases[2] = {4, 1};
    double found[3], counted[3] = {0};
    for (int i = 0; i < 2; i++)
        for (int v = 0; v < 6 * 6 * 7; v++)
            counted[sn_cache_labels(cache, cases[i])[v]] += 1.0 / (2 * 6 * 6 * 7);
    sn_cache_frequencies(found, cache, cases, 2);
    for (int c = 0; c < 3; c++)
        assert_true(counted[c] > 0 && fabs(found[c] - counted[c]) < 1e-12);
    sn_cache_close(cache);
    sn_dataset_close(self.dataset);
}

static void a_sound_cache_is_left_alone_and_damage_is_repaired(void **state)
{
    setting self;
    ino_t before[CASES];
    setting_begin(&self, *state);
    build(&self, 2);
    for (int i = 0; i < CASES; i++)
        before[i] = case_inode(&self, i);
    build(&self, 2);
    for (int i = 0; i < CASES; i++)
        assert_int_equal(case_inode(&self, i), before[i]);

    /* one bit of a label, one of an image, one of the counts; a file cut short; a file gone */
    static const long bits[3] = {-1, 5000, 72};
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "c%02d.case", i);
        FILE *file = fopen(in_folder(self.folder, name), "r+b");
        fseek(file, bits[i], bits[i] < 0 ? SEEK_END : SEEK_SET);
        int byte = fgetc(file);
        fseek(file, -1, SEEK_CUR);
        fputc(byte ^ 1, file);
        fclose(file);
    }
    assert_int_equal(truncate(in_folder(self.folder, "c03.case"), 4096), 0);
    unlink(in_folder(self.folder, "c04.case"));

    sn_cache *cache = NULL;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_cache_open(&cache, self.dataset, &self.options, &error), SN_ERR_INPUT);
    assert_null(cache);
    assert_names(error.text, (const char *const[]){"c03.case", "build", NULL});
    build(&self, 2);
    cache = open_cache(&self);
    for (int i = 0; i < CASES; i++)
        assert_case(&self, cache, i);
    for (int i = 0; i < 4; i++)
        assert_int_not_equal(case_inode(&self, i), before[i]);
    assert_int_equal(case_inode(&self, 5), before[5]);
    sn_cache_close(cache);
    sn_dataset_close(self.dataset);
}

static void other_data_or_preprocessing_makes_the_cache_stale(void **state)
{
    setting self;
    sn_cache *cache = NULL;
    setting_begin(&self, *state);
    build(&self, 1);
    self.options.preprocessing.spacing_mm *= 1 + 1e-12;
    assert_int_equal(sn_cache_open(&cache, self.dataset, &self.options, NULL), SN_ERR_INPUT);
    build(&self, 1);
    sn_cache_close(open_cache(&self));
    self.fingerprint[0] ^= 1;
    assert_int_equal(sn_cache_open(&cache, self.dataset, &self.options, NULL), SN_ERR_INPUT);
    build(&self, 1);
    sn_cache_close(open_cache(&self));
    sn_dataset_close(self.dataset);
}

static void stop_after_two(void *context, const char *task, int64_t done, int64_t total, const char *note)
{
    (void)task, (void)note;
    assert_int_equal(total, CASES);
    *(int64_t *)context = done;
    if (done == 2)
        sn_interrupt_request();
}

static void an_interrupted_build_goes_on(void **state)
{
    setting self;
    sn_error error = SN_ERROR_INIT;
    int64_t done = 0;
    sn_progress progress = {stop_after_two, &done};
    setting_begin(&self, *state);
    assert_int_equal(sn_cache_build(self.dataset, &self.options, 1, &progress, &error), SN_ERR_INTERRUPTED);
    sn_interrupt_clear();
    assert_int_equal(done, 2);
    assert_false(sn_path_exists(in_folder(self.folder, "c02.case")));
    ino_t first = case_inode(&self, 0), second = case_inode(&self, 1);
    build(&self, 1);
    assert_int_equal(case_inode(&self, 0), first);
    assert_int_equal(case_inode(&self, 1), second);
    sn_cache *cache = open_cache(&self);
    assert_case(&self, cache, 5);
    sn_cache_close(cache);
    sn_dataset_close(self.dataset);
}

static void only_the_asked_cases_are_built(void **state)
{
    setting self;
    setting_begin(&self, *state);
    self.options.cases = (const int[]){5, 2};
    self.options.case_count = 2;
    build(&self, 2);
    assert_true(sn_path_exists(in_folder(self.folder, "c02.case")));
    assert_false(sn_path_exists(in_folder(self.folder, "c03.case")));
    sn_cache *cache = open_cache(&self);
    assert_case(&self, cache, 5);
    sn_cache_close(cache);
    sn_dataset_close(self.dataset);
}

static void faults_of_a_case_or_folder_are_named_and_leave_nothing_behind(void **state)
{
    setting self;
    sn_error error = SN_ERROR_INIT;
    setting_begin(&self, *state);
    write_labels(in_folder(*state, "labelsTr/c03.nii.gz"), grid_of(4, 5, 6, 1, 1, 1), (const int32_t[]){0, 8},
                 2);
    assert_int_equal(sn_cache_build(self.dataset, &self.options, 2, NULL, &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *const[]){"labelsTr/c03.nii.gz", "value 8 ", NULL});
    write_labels(in_folder(*state, "labelsTr/c03.nii.gz"), grid_of(4, 5, 7, 1, 1, 1), (const int32_t[]){0},
                 1);
    assert_int_equal(sn_cache_build(self.dataset, &self.options, 1, NULL, &error), SN_ERR_INPUT);
    assert_names(error.text,
                 (const char *const[]){"labelsTr/c03.nii.gz", "imagesTr/c03.nii.gz", "grid", NULL});
    self.options.preprocessing.size[2] = 3;
    assert_int_equal(sn_cache_build(self.dataset, &self.options, 1, NULL, &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *const[]){"imagesTr/c00.nii.gz", "6x6x3", NULL});
    struct dirent **entries;
    int count = scandir(self.folder, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        assert_null(strstr(entries[i]->d_name, "tmp"));
        free(entries[i]);
    }
    free(entries);

    write_text(*state, "file", "");
    self.options.folder = in_folder(*state, "file");
    assert_int_equal(sn_cache_build(self.dataset, &self.options, 1, NULL, &error), SN_ERR_IO);
    sn_dataset_close(self.dataset);
}

/* A limit on the size of files stands in for a full disk. */
static void a_full_disk_is_an_error_and_leaves_nothing_behind(void **state)
{
    setting self;
    sn_error error = SN_ERROR_INIT;
    struct rlimit limit, small;
    struct dirent **entries;
    setting_begin(&self, *state);
    getrlimit(RLIMIT_FSIZE, &limit);
    small = (struct rlimit){4500, limit.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    sn_status status = sn_cache_build(self.dataset, &self.options, 1, NULL, &error);
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(status, SN_ERR_IO);
    assert_names(error.text, (const char *const[]){"c00.case", "cannot write", NULL});
    int count = scandir(self.folder, &entries, NULL, alphasort);
    assert_int_equal(count, 2); /* . and .. */
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    sn_dataset_close(self.dataset);
}

static void the_loader_hands_out_cases_in_order(void **state)
{
    static const int order[] = {3, 0, 5, 5, 1, 2, 4, 0};
    enum { COUNT = sizeof order / sizeof *order };
    setting self;
    sn_error error = SN_ERROR_INIT;
    sn_loader *loader;
    sn_sample sample;
    setting_begin(&self, *state);
    build(&self, 2);
    sn_cache *cache = open_cache(&self);
    for (int stop_after = COUNT; stop_after >= 0; stop_after--) { /* also ended before the last case */
        CHECK_OK(sn_loader_begin(&loader, cache, order, COUNT, &error), error);
        for (int i = 0; i < stop_after; i++) {
            assert_true(sn_loader_next(loader, &sample));
            assert_int_equal(sample.case_index, order[i]);
            assert_ptr_equal(sample.image, sn_cache_image(cache, order[i]));
            assert_ptr_equal(sample.labels, sn_cache_labels(cache, order[i]));
        }
        if (stop_after == COUNT)
            assert_false(sn_loader_next(loader, &sample));
        sn_loader_end(loader);
    }
    CHECK_OK(sn_loader_begin(&loader, cache, order, 0, &error), error);
    assert_false(sn_loader_next(loader, &sample));
    sn_loader_end(loader);
    sn_cache_close(cache);
    sn_dataset_close(self.dataset);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_cache_holds_the_preprocessed_cases),
        IN_FOLDER(frequencies_are_shares_of_the_voxels),
        IN_FOLDER(a_sound_cache_is_left_alone_and_damage_is_repaired),
        IN_FOLDER(other_data_or_preprocessing_makes_the_cache_stale),
        IN_FOLDER(an_interrupted_build_goes_on),
        IN_FOLDER(only_the_asked_cases_are_built),
        IN_FOLDER(faults_of_a_case_or_folder_are_named_and_leave_nothing_behind),
        IN_FOLDER(a_full_disk_is_an_error_and_leaves_nothing_behind),
        IN_FOLDER(the_loader_hands_out_cases_in_order),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}

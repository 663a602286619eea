/* Real data sets, where SEGNAS3D_SHARED_DATA names the folder that holds them. */
#include "dataset/fixture.h"

#include <math.h>

#include "dataset/check.h"
#include "dataset/preprocess.h"
#include "dataset/split.h"

static void print_finding(void *context, sn_check_level level, const char *text)
{
    (void)context;
    print_message("level %d: %s\n", (int)level, text);
}

static sn_dataset *shared_dataset(const char *name)
{
    const char *folder = getenv("SEGNAS3D_SHARED_DATA");
    if (folder == NULL)
        skip();
    return open_dataset(in_folder(folder, name));
}

/* The check finds no fault; returns its summary. */
static sn_check_summary sound_summary(const sn_dataset *dataset)
{
    sn_error error = SN_ERROR_INIT;
    sn_check_summary summary;
    sn_check_options options = {.report = print_finding};
    CHECK_OK(sn_dataset_check(&summary, dataset, &options, &error), error);
    assert_int_equal(summary.faults, 0);
    assert_int_equal(summary.readable, dataset->count);
    return summary;
}

static void hippocampus_is_sound(void **state)
{
    (void)state;
    sn_error error = SN_ERROR_INIT;
    sn_preprocessing p;
    sn_dataset *dataset = shared_dataset("hippocampus");
    assert_int_equal(dataset->count, 260);
    assert_int_equal(dataset->labels->count, 3);
    sn_check_summary summary = sound_summary(dataset);
    assert_int_equal(summary.labels[1].cases, 260);
    CHECK_OK(sn_preprocessing_determine(&p, dataset, (const int64_t[]){0, 0, 0}, &error), error);
    assert_true(fabs(p.spacing_mm - 1) < 1e-3);
    for (int a = 0; a < 3; a++)
        assert_int_equal(p.size[a], (int)summary.extent[a].max);
    sn_check_summary_clear(&summary);
    sn_dataset_close(dataset);
}

static void brain19_is_sound_and_its_persons_stay_together(void **state)
{
    (void)state;
    static const char *const twice[][2] = {{"brain_1003", "brain_1023"},
                                           {"brain_1004", "brain_1024"},
                                           {"brain_1005", "brain_1025"},
                                           {"brain_1018", "brain_1038"},
                                           {"brain_1019", "brain_1039"}};
    sn_error error = SN_ERROR_INIT;
    sn_preprocessing p;
    sn_dataset *dataset = shared_dataset("brain19");
    assert_int_equal(dataset->count, 24);
    assert_int_equal(dataset->labels->count, 20);
    sn_check_summary summary = sound_summary(dataset);
    CHECK_OK(sn_preprocessing_determine(&p, dataset, (const int64_t[]){64, 64, 64}, &error), error);
    double largest = 0;
    for (int a = 0; a < 3; a++)
        largest = fmax(largest, summary.extent[a].max * summary.spacing_mm[a].max);
    assert_true(fabs(p.spacing_mm - largest / 64) < 1e-3);
    sn_check_summary_clear(&summary);

    for (uint64_t seed = 1; seed < 10; seed++) {
        sn_split split;
        sn_split_options options = SN_SPLIT_OPTIONS_INIT;
        char groups[512];
        snprintf(groups, sizeof groups, "%s/groups.json", dataset->folder);
        options.seed = seed;
        options.groups = groups;
        CHECK_OK(sn_split_make(&split, dataset, &options, &error), error);
        assert_int_equal(split.count[SN_TRAINING] + split.count[SN_VALIDATION] + split.count[SN_TESTING], 24);
        assert_in_range(split.count[SN_TRAINING], 11, 13);
        for (size_t i = 0; i < sizeof twice / sizeof *twice; i++) {
            int part[2] = {-1, -1};
            for (int which = 0; which < 2; which++)
                for (int k = 0; k < SN_SPLIT_PARTS; k++)
                    for (int c = 0; c < split.count[k]; c++)
                        if (split.cases[k][c] == sn_dataset_find(dataset, twice[i][which]))
                            part[which] = k;
            assert_true(part[0] >= 0 && part[0] == part[1]);
        }
        sn_split_clear(&split);
    }
    sn_dataset_close(dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hippocampus_is_sound),
        cmocka_unit_test(brain19_is_sound_and_its_persons_stay_together),
    };
    return cmocka_run_group_tests_name("shared", tests, NULL, NULL);
}

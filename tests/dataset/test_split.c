/* Splits: sizes, disjointness, groups, folds, nnU-Net's file, JSON. */
#include "dataset/fixture.h"

#include "dataset/split.h"

/* A data set of `count` cases named p000, p001, ...; only names matter to a split. */
static sn_dataset *dataset_of(const char *folder, int count)
{
    FILE *json = fopen(in_folder(folder, "dataset.json"), "w");
    fputs(
        "{\"modality\": {\"0\": \"MRI\"}, \"labels\": {\"0\": \"background\", \"1\": \"a\"}, \"training\": [",
        json);
    for (int i = 0; i < count; i++)
        fprintf(json, "%s{\"image\": \"p%03d.nii\", \"label\": \"l/p%03d.nii\"}", i > 0 ? "," : "", i, i);
    fputs("]}", json);
    fclose(json);
    return open_dataset(folder);
}

/* The part of every case, -1 for none; asserts that no case is in two. */
static void parts_of(int *part_of_case, const sn_split *split, int count)
{
    for (int i = 0; i < count; i++)
        part_of_case[i] = -1;
    for (int part = 0; part < SN_SPLIT_PARTS; part++)
        for (int i = 0; i < split->count[part]; i++) {
            int index = split->cases[part][i];
            assert_in_range(index, 0, count - 1);
            assert_int_equal(part_of_case[index], -1);
            assert_true(i == 0 || split->cases[part][i - 1] < index);
            part_of_case[index] = part;
        }
}

static sn_split split_of(const sn_dataset *dataset, sn_split_options options)
{
    sn_error error = SN_ERROR_INIT;
    sn_split split;
    CHECK_OK(sn_split_make(&split, dataset, &options, &error), error);
    return split;
}

static void sizes_follow_the_rounding_rule(void **state)
{
    static const struct {
        int cases, training, validation, testing;
    } sizes[] = {{3, 1, 1, 1},   {4, 2, 1, 1},    {5, 2, 1, 2},      {10, 5, 2, 3},
                 {24, 12, 5, 7}, {43, 21, 9, 13}, {260, 130, 52, 78}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int parts[260];
        sn_dataset *dataset = dataset_of(*state, sizes[i].cases);
        sn_split split = split_of(dataset, (sn_split_options)SN_SPLIT_OPTIONS_INIT);
        assert_int_equal(split.count[SN_TRAINING], sizes[i].training);
        assert_int_equal(split.count[SN_VALIDATION], sizes[i].validation);
        assert_int_equal(split.count[SN_TESTING], sizes[i].testing);
        parts_of(parts, &split, sizes[i].cases);
        sn_split_clear(&split);
        sn_dataset_close(dataset);
    }
}

static void a_seed_gives_one_split_and_another_seed_another(void **state)
{
    enum { N = 40 };
    int first[N], again[N], other[N];
    sn_dataset *dataset = dataset_of(*state, N);
    sn_split_options options = SN_SPLIT_OPTIONS_INIT;
    sn_split a = split_of(dataset, options), b = split_of(dataset, options);
    options.seed = 2;
    sn_split c = split_of(dataset, options);
    parts_of(first, &a, N);
    parts_of(again, &b, N);
    parts_of(other, &c, N);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
    sn_split_clear(&a);
    sn_split_clear(&b);
    sn_split_clear(&c);
    sn_dataset_close(dataset);
}

/* Over many seeds each case is in testing 30% of the time. */
static void every_case_has_the_same_chance_of_testing(void **state)
{
    enum { N = 10, SEEDS = 2000 };
    int testing[N] = {0};
    sn_dataset *dataset = dataset_of(*state, N);
    for (int seed = 0; seed < SEEDS; seed++) {
        sn_split_options options = SN_SPLIT_OPTIONS_INIT;
        options.seed = (uint64_t)seed;
        sn_split split = split_of(dataset, options);
        for (int i = 0; i < split.count[SN_TESTING]; i++)
            testing[split.cases[SN_TESTING][i]]++;
        sn_split_clear(&split);
    }
    for (int i = 0; i < N; i++) /* 5 standard deviations of a binomial are 102 */
        assert_in_range(testing[i], 600 - 102, 600 + 102);
    sn_dataset_close(dataset);
}

static void too_few_cases_are_refused(void **state)
{
    sn_split split;
    sn_split_options options = SN_SPLIT_OPTIONS_INIT;
    sn_error error = SN_ERROR_INIT;
    sn_dataset *dataset = dataset_of(*state, 2);
    assert_int_equal(sn_split_make(&split, dataset, &options, &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *const[]){"dataset.json", "2 cases", "3 parts", NULL});
    sn_dataset_close(dataset);
}

/* Ten groups of three and twenty singles over 50 cases: shares of 25, 10 and 15 can be met exactly. */
static void groups_are_never_cut(void **state)
{
    enum { N = 50 };
    int parts[N];
    FILE *json = fopen(in_folder(*state, "groups.json"), "w");
    for (int i = 0; i < 30; i++)
        fprintf(json, "%s\"p%03d\": \"person %d\"", i == 0 ? "{" : ", ", i, i % 10);
    fputs("}", json);
    fclose(json);
    sn_dataset *dataset = dataset_of(*state, N);
    for (uint64_t seed = 0; seed < 20; seed++) {
        sn_split split = split_of(dataset, (sn_split_options){.fractions = {5, 2, 3},
                                                              .seed = seed,
                                                              .groups = in_folder(*state, "groups.json")});
        parts_of(parts, &split, N);
        for (int i = 10; i < 30; i++)
            assert_int_equal(parts[i], parts[i % 10]);
        assert_int_equal(split.count[SN_TRAINING], 25);
        assert_int_equal(split.count[SN_VALIDATION], 10);
        assert_int_equal(split.count[SN_TESTING], 15);
        sn_split_clear(&split);
    }
    sn_dataset_close(dataset);
}

static void a_giant_group_leaves_no_part_empty(void **state)
{
    write_text(*state, "groups.json",
               "{\"p000\": \"g\", \"p001\": \"g\", \"p002\": \"g\", \"p003\": \"g\", \"p004\": \"g\"}");
    sn_dataset *dataset = dataset_of(*state, 7);
    sn_split_options options = SN_SPLIT_OPTIONS_INIT;
    options.groups = in_folder(*state, "groups.json");
    sn_split split = split_of(dataset, options);
    assert_int_equal(split.count[SN_TRAINING], 5);
    assert_int_equal(split.count[SN_VALIDATION], 1);
    assert_int_equal(split.count[SN_TESTING], 1);
    sn_split_clear(&split);
    sn_dataset_close(dataset);
}

static void folds_test_every_case_once(void **state)
{
    enum { N = 23, FOLDS = 5 };
    int tested[N] = {0}, parts[N];
    sn_dataset *dataset = dataset_of(*state, N);
    for (int fold = 0; fold < FOLDS; fold++) {
        sn_split_options options = SN_SPLIT_OPTIONS_INIT;
        options.folds = FOLDS;
        options.fold = fold;
        sn_split split = split_of(dataset, options);
        parts_of(parts, &split, N);
        int rest = N - split.count[SN_TESTING];
        assert_in_range(split.count[SN_TESTING], 4, 5);
        assert_int_equal(split.count[SN_VALIDATION], (int)(rest * 2.0 / 7 + 0.5));
        assert_int_equal(split.count[SN_TRAINING], rest - split.count[SN_VALIDATION]);
        for (int i = 0; i < N; i++)
            tested[i] += parts[i] == SN_TESTING;
        sn_split_clear(&split);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(tested[i], 1);
    sn_dataset_close(dataset);
}

static void nnunets_splits_give_training_and_validation(void **state)
{
    sn_dataset *dataset = dataset_of(*state, 5);
    write_text(*state, "splits_final.json",
               "[{\"train\": [\"p000\"], \"val\": [\"p001\"]},"
               " {\"train\": [\"p004\", \"p001\"], \"val\": [\"p002\"]}]");
    sn_split_options options = SN_SPLIT_OPTIONS_INIT;
    options.file = in_folder(*state, "splits_final.json");
    options.fold = 1;
    sn_split split = split_of(dataset, options);
    assert_int_equal(split.count[SN_TRAINING], 2);
    assert_int_equal(split.cases[SN_TRAINING][0], 1);
    assert_int_equal(split.cases[SN_TRAINING][1], 4);
    assert_int_equal(split.count[SN_VALIDATION], 1);
    assert_int_equal(split.cases[SN_VALIDATION][0], 2);
    assert_int_equal(split.count[SN_TESTING], 0);
    sn_split_clear(&split);
    sn_dataset_close(dataset);
}

static void faults_of_files_and_options_name_the_fix(void **state)
{
    static const struct {
        sn_status status;
        const char *groups, *file; /* text of the file */
        int folds, fold;
        double testing;
        const char *words[3];
    } faults[] = {
        {SN_ERR_INPUT, "{\"p9\": \"x\"}", NULL, 0, 0, 1, {"groups.json", "\"p9\" is not a case", "\"p000\""}},
        {SN_ERR_INPUT, "{\"p000\": 1}", NULL, 0, 0, 1, {"groups.json", "\"p000\"", "string"}},
        {SN_ERR_INPUT, "[]", NULL, 0, 0, 1, {"groups.json", "must be an object"}},
        {SN_ERR_INPUT,
         "{\"p000\": \"a\", \"p001\": \"a\", \"p002\": \"a\"}",
         NULL,
         0,
         0,
         1,
         {"2 groups", "3 parts"}},
        {SN_ERR_INPUT, NULL, "[]", 0, 0, 1, {"splits.json", "0 folds", "fold 0"}},
        {SN_ERR_INPUT,
         NULL,
         "[{\"train\": [\"q\"], \"val\": [\"p001\"]}]",
         0,
         0,
         1,
         {"splits.json", "\"q\""}},
        {SN_ERR_INPUT,
         NULL,
         "[{\"train\": [\"p000\"], \"val\": [\"p000\"]}]",
         0,
         0,
         1,
         {"\"p000\"", "twice"}},
        {SN_ERR_INPUT, NULL, "[{\"train\": [\"p000\"], \"val\": []}]", 0, 0, 1, {"fold 0", "\"val\""}},
        {SN_ERR_INPUT, NULL, "[{\"train\": [\"p000\"]}]", 0, 0, 1, {"fold 0", "\"val\"", "missing"}},
        {SN_ERR_ARG, "{}", "[]", 0, 0, 1, {"groups", "splits.json"}},
        {SN_ERR_ARG, NULL, "[]", 5, 0, 1, {"folds", "splits.json"}},
        {SN_ERR_ARG, NULL, NULL, 1, 0, 1, {"folds 1", "2 to 256"}},
        {SN_ERR_ARG, NULL, NULL, 3, 3, 1, {"fold 3", "0 to 2"}},
        {SN_ERR_ARG, NULL, NULL, 0, 1, 1, {"fold 1", "number of folds"}},
        {SN_ERR_ARG, NULL, NULL, 0, 0, 0, {"testing", "> 0"}},
        {SN_ERR_INPUT, NULL, NULL, 5, 0, 1, {"4 cases", "5 parts", "fewer folds"}},
    };
    sn_dataset *dataset = dataset_of(*state, 4);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        sn_split split;
        sn_error error = SN_ERROR_INIT;
        sn_split_options options = {
            .fractions = {1, 1, faults[i].testing}, .folds = faults[i].folds, .fold = faults[i].fold};
        if (faults[i].groups != NULL) {
            write_text(*state, "groups.json", faults[i].groups);
            options.groups = in_folder(*state, "groups.json");
        }
        if (faults[i].file != NULL) {
            write_text(*state, "splits.json", faults[i].file);
            options.file = in_folder(*state, "splits.json");
        }
        if (sn_split_make(&split, dataset, &options, &error) != faults[i].status)
            fail_msg("fault %zu: status %d: %s", i, error.status, error.text);
        assert_names(error.text,
                     (const char *const[]){faults[i].words[0], faults[i].words[1], faults[i].words[2], NULL});
        assert_null(split.cases[0]);
    }
    sn_dataset_close(dataset);
}

static void a_limit_keeps_the_proportions_and_grows_by_supersets(void **state)
{
    enum { N = 260 };
    int few[N], more[N], all[N];
    sn_dataset *dataset = dataset_of(*state, N);
    sn_split a = split_of(dataset, (sn_split_options)SN_SPLIT_OPTIONS_INIT);
    sn_split b = split_of(dataset, (sn_split_options)SN_SPLIT_OPTIONS_INIT);
    parts_of(all, &a, N);
    sn_split_limit(&a, 1000, 5);
    assert_int_equal(a.count[SN_TRAINING], 130);
    sn_split_limit(&a, 80, 5);
    sn_split_limit(&b, 30, 5);
    assert_int_equal(a.count[SN_TRAINING], 40);
    assert_int_equal(a.count[SN_VALIDATION], 16);
    assert_int_equal(a.count[SN_TESTING], 24);
    assert_int_equal(b.count[SN_TRAINING], 15);
    parts_of(more, &a, N);
    parts_of(few, &b, N);
    for (int i = 0; i < N; i++) {
        assert_true(few[i] < 0 || few[i] == more[i]);
        assert_true(more[i] < 0 || more[i] == all[i]);
    }
    sn_split_clear(&a);
    sn_split_clear(&b);
    sn_dataset_close(dataset);
}

static void splits_survive_json(void **state)
{
    enum { N = 12 };
    int before[N], after[N];
    json_t *json;
    sn_error error = SN_ERROR_INIT;
    sn_dataset *dataset = dataset_of(*state, N);
    sn_split split = split_of(dataset, (sn_split_options)SN_SPLIT_OPTIONS_INIT), copy;
    CHECK_OK(sn_split_to_json(&json, &split, dataset, &error), error);
    CHECK_OK(sn_split_from_json(&copy, json, dataset, "model", &error), error);
    parts_of(before, &split, N);
    parts_of(after, &copy, N);
    assert_memory_equal(before, after, sizeof before);
    sn_split_clear(&copy);
    json_array_append_new(json_object_get(json, "testing"), json_string("stranger"));
    assert_int_equal(sn_split_from_json(&copy, json, dataset, "model", &error), SN_ERR_INPUT);
    assert_names(error.text, (const char *const[]){"model", "stranger", NULL});
    json_decref(json);
    sn_split_clear(&split);
    sn_dataset_close(dataset);
}

static void parts_have_long_and_short_names(void **state)
{
    (void)state;
    sn_split_part part;
    sn_error error = SN_ERROR_INIT;
    assert_int_equal(sn_split_part_parse(&part, "test", NULL), SN_OK);
    assert_int_equal(part, SN_TESTING);
    assert_int_equal(sn_split_part_parse(&part, "validation", NULL), SN_OK);
    assert_int_equal(part, SN_VALIDATION);
    assert_int_equal(sn_split_part_parse(&part, "all", &error), SN_ERR_ARG);
    assert_names(error.text, (const char *const[]){"\"all\"", "train, val or test", NULL});
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(sizes_follow_the_rounding_rule),
        IN_FOLDER(a_seed_gives_one_split_and_another_seed_another),
        IN_FOLDER(every_case_has_the_same_chance_of_testing),
        IN_FOLDER(too_few_cases_are_refused),
        IN_FOLDER(groups_are_never_cut),
        IN_FOLDER(a_giant_group_leaves_no_part_empty),
        IN_FOLDER(folds_test_every_case_once),
        IN_FOLDER(nnunets_splits_give_training_and_validation),
        IN_FOLDER(faults_of_files_and_options_name_the_fix),
        IN_FOLDER(a_limit_keeps_the_proportions_and_grows_by_supersets),
        IN_FOLDER(splits_survive_json),
        cmocka_unit_test(parts_have_long_and_short_names),
    };
    return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}

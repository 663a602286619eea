/* The networks to choose from, against the definition of a Pareto front. */
#include "cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "scratch.h"
#include "study/study.h"

enum { MOST = 1000 };

static char study_path[96];
static sn_study *study;

static int study_make(void **state)
{
    if (folder_make(state) != 0)
        return -1;
    snprintf(study_path, sizeof study_path, "%s/study", folder);
    return sn_study_open(&study, study_path, NULL) == SN_OK ? 0 : -1;
}

static int study_remove(void **state)
{
    sn_study_close(study);
    return folder_remove(state);
}

/* A network is its row of {Dice, parameters, planned bytes, step seconds}; its name is its number. */
static int64_t add_trial(int number, const double *row, sn_outcome outcome)
{
    char network[16];
    int64_t id;
    snprintf(network, sizeof network, "k%d", number);
    sn_study_trial trial = {.network = network,
                            .arch = "first met",
                            .parameters = (int64_t)row[1],
                            .planned_bytes = (int64_t)row[2]};
    assert_int_equal(sn_study_trial_begin(&id, study, &trial, NULL), SN_OK);
    trial = (sn_study_trial){.id = id, .outcome = outcome, .dice = row[0], .step_seconds = row[3]};
    assert_int_equal(sn_study_trial_finish(study, &trial, NULL), SN_OK);
    return id;
}

static void add_iteration(int number, int64_t trial, double dice, sn_outcome outcome)
{
    char arch[16];
    double x = number;
    snprintf(arch, sizeof arch, "n=%d", number);
    sn_study_iteration iteration = {.number = number,
                                    .dimension = 1,
                                    .x = &x,
                                    .arch = arch,
                                    .network = "k",
                                    .outcome = outcome,
                                    .dice = dice,
                                    .f = 1,
                                    .trial = trial};
    assert_int_equal(sn_study_iteration_append(study, &iteration, NULL), SN_OK);
}

/* The front's iterations, and the last one's choice but for its strings. */
typedef struct front {
    int count, iteration[MOST];
    sn_study_choice last;
    char arch[16], network[16];
} front;

static sn_status see_choice(const sn_study_choice *choice, void *context, sn_error *error)
{
    front *self = context;
    (void)error;
    assert_true(self->count == 0 || choice->dice <= self->last.dice);
    self->iteration[self->count++] = choice->iteration;
    self->last = *choice;
    snprintf(self->arch, sizeof self->arch, "%s", choice->arch);
    snprintf(self->network, sizeof self->network, "%s", choice->network);
    return SN_OK;
}

static front see_front(void)
{
    front seen = {.count = 0};
    sn_error error = SN_ERROR_INIT;
    if (sn_study_pareto_visit(study, see_choice, &seen, &error) != SN_OK)
        fail_msg("%s", error.text);
    return seen;
}

/* Whether a is as good as b in all that is known of both, and better in one. */
static bool dominates(const double *a, const double *b)
{
    bool better = a[0] > b[0], worse = a[0] < b[0];
    for (int i = 1; i < 4; i++) {
        better = better || a[i] < b[i]; /* false where one is NaN */
        worse = worse || a[i] > b[i];
    }
    return better && !worse;
}

static void the_front_is_what_nothing_dominates(void **state)
{
    static double rows[MOST][4];
    (void)state;
    srand(1);
    for (int i = 0; i < MOST; i++) {
        rows[i][0] = 0.5 + rand() % 40 / 100.0;
        for (int k = 1; k < 4; k++)
            rows[i][k] = 1000 + rand() % 30;
        if (i % 10 == 0)
            rows[i][3] = NAN;
        add_iteration(i + 1, add_trial(i + 1, rows[i], SN_OUTCOME_TRAINED), rows[i][0], SN_OUTCOME_TRAINED);
    }
    double began = sn_clock_now();
    front seen = see_front();
    print_message("%d of %d in %.0f ms\n", seen.count, MOST, 1e3 * (sn_clock_now() - began));
    int expected = 0;
    for (int i = 0; i < MOST; i++) {
        bool dominated = false, found = false;
        for (int k = 0; k < MOST && !dominated; k++)
            dominated = dominates(rows[k], rows[i]);
        for (int k = 0; k < seen.count; k++)
            found = found || seen.iteration[k] == i + 1;
        assert_true(found == !dominated);
        expected += !dominated;
    }
    assert_true(seen.count == expected && expected > 10 && expected < MOST / 2);
}

static void a_network_counts_from_its_first_iteration_and_only_then(void **state)
{
    (void)state;
    const double small[] = {0.7, 10, 10, NAN}, large[] = {0.8, 1e9, 1e12, 0.25}, best[] = {0.9, 1, 1, 0.1};
    add_trial(1, best, SN_OUTCOME_TRAINED); /* trained on a wrong guess */
    assert_int_equal(see_front().count, 0);
    int64_t first = add_trial(2, large, SN_OUTCOME_TRAINED), second = add_trial(3, small, SN_OUTCOME_TRAINED);
    add_iteration(1, second, 0.7, SN_OUTCOME_TRAINED);
    add_iteration(2, first, 0.8, SN_OUTCOME_TRAINED);
    add_iteration(3, add_trial(4, best, SN_OUTCOME_FAILED), NAN, SN_OUTCOME_FAILED);
    add_iteration(4, second, 0.7, SN_OUTCOME_REPEATED);
    front seen = see_front();
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.iteration[0], 2);
    assert_int_equal(seen.iteration[1], 1);
    assert_string_equal(seen.arch, "n=1"); /* the iteration's spelling: which was met first is chance */
    assert_string_equal(seen.network, "k3");
    assert_true(seen.last.dice == 0.7 && seen.last.parameters == 10 && seen.last.planned_bytes == 10);
    assert_true(isnan(seen.last.step_seconds));
}

static void json_has_the_front(void **state)
{
    (void)state;
    const double fast[] = {0.75, 10, 1LL << 33, 0.125}, slow[] = {0.75, 9, 1 << 20, NAN};
    json_t *root;
    add_iteration(1, add_trial(1, fast, SN_OUTCOME_TRAINED), fast[0], SN_OUTCOME_TRAINED);
    add_iteration(2, add_trial(2, slow, SN_OUTCOME_TRAINED), slow[0], SN_OUTCOME_TRAINED);
    assert_int_equal(sn_study_json(&root, study, NULL), SN_OK);
    json_t *expected =
        json_pack("[{s:i, s:s, s:s, s:f, s:i, s:i, s:n}]", "iteration", 2, "arch", "n=2", "network", "k2",
                  "dice", 0.75, "parameters", 9, "planned_bytes", 1 << 20, "step_seconds");
    assert_true(json_equal(json_object_get(root, "pareto"), expected));
    json_decref(expected);
    json_decref(root);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, study_make, study_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_front_is_what_nothing_dominates),
        TEST(a_network_counts_from_its_first_iteration_and_only_then),
        TEST(json_has_the_front),
    };
    return cmocka_run_group_tests_name("pareto", tests, NULL, NULL);
}

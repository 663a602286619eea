#include <math.h>
#include <stdio.h>

#include "cli/inspect.h"
#include "study/study.h"

/* What a walk over the iterations finds. */
typedef struct study_facts {
    int count[SN_OUTCOME_FAILED + 1]; /* by outcome */
    int best;                         /* iteration; 0: none */
    double best_dice;
} study_facts;

static sn_status visit(const sn_study_iteration *iteration, void *context, sn_error *error)
{
    study_facts *facts = context;
    char dice[16] = "-";
    (void)error;
    facts->count[iteration->outcome]++;
    if (isfinite(iteration->dice)) {
        snprintf(dice, sizeof dice, "%.4f", iteration->dice);
        if (facts->best == 0 || iteration->dice > facts->best_dice) {
            facts->best = iteration->number;
            facts->best_dice = iteration->dice;
        }
    }
    printf("%5d  %-9s%8s  %s%s%s\n", iteration->number, sn_outcome_name(iteration->outcome), dice,
           iteration->arch, iteration->reason != NULL ? "  " : "",
           iteration->reason != NULL ? iteration->reason : "");
    return SN_OK;
}

static sn_status print_choice(const sn_study_choice *choice, void *context, sn_error *error)
{
    char step[32] = "-";
    (void)context, (void)error;
    if (isfinite(choice->step_seconds))
        snprintf(step, sizeof step, "%.4g", choice->step_seconds);
    printf("%5d%9.4f%12lld%12.0f%9s  %s\n", choice->iteration, choice->dice, (long long)choice->parameters,
           (double)choice->planned_bytes / 0x1p20, step, choice->arch);
    return SN_OK;
}

/* The networks to choose from. */
static sn_status print_pareto(sn_study *study, sn_error *error)
{
    printf("\nPareto front: no other network is better in one of these and worse in none\n");
    printf("%5s%9s%12s%12s%9s  %s\n", "point", "Dice", "parameters", "memory MiB", "step s", "architecture");
    return sn_study_pareto_visit(study, print_choice, NULL, error);
}

static sn_status print_text(sn_study *study, sn_error *error)
{
    char trajectory[SN_HASH_TEXT];
    study_facts facts = {0};
    printf("%5s  %-9s%8s  %s\n", "point", "outcome", "Dice", "architecture");
    sn_status status = sn_study_iterations_visit(study, visit, &facts, error);
    if (status == SN_OK)
        status = sn_study_trajectory(trajectory, study, error);
    if (status != SN_OK)
        return status;
    putchar('\n');
    for (int outcome = 0; outcome <= SN_OUTCOME_FAILED; outcome++)
        printf("%-12s%d\n", sn_outcome_name((sn_outcome)outcome), facts.count[outcome]);
    if (facts.best > 0)
        printf("%-12spoint %d, validation Dice %.4f\n", "best", facts.best, facts.best_dice);
    printf("%-12s%s\n", "trajectory", trajectory);
    return facts.best > 0 ? print_pareto(study, error) : SN_OK;
}

sn_status inspect_study_print(const char *folder, inspect_form form, sn_error *error)
{
    sn_status status;
    sn_study *study = NULL;
    json_t *root = NULL;
    SN_TRY(sn_study_open_read(&study, folder, error));
    if (form == INSPECT_JSON) {
        SN_TRY(sn_study_json(&root, study, error));
        json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
        putchar('\n');
    } else {
        SN_TRY(print_text(study, error));
    }
done:
    json_decref(root);
    sn_study_close(study);
    return status;
}

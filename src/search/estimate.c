/* How long a search will take: search/trial.h, sn_trials_estimate_time. */

#include "arch/build.h"
#include "base/clock.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "base/random.h"
#include "nn/executor.h"
#include "search/trial.h"

enum { POINTS = 100, WARM_UP = 1, MEASURED = 2 };

/* Seconds that one image's training step of a network takes; zeros cost what any image costs. */
static sn_status measure_image(double *seconds, const sn_trials *trials, const sn_arch *arch, sn_error *error)
{
    sn_status status;
    const sn_backend *backend = NULL;
    sn_device *device = NULL;
    sn_train_graph graph = {0};
    sn_executor *executor = NULL;
    sn_train_shape shape = sn_task_shape(trials->task);
    double start = 0;
    SN_TRY(sn_backend_find(&backend, trials->run.device, error));
    SN_TRY(backend->open(&device, &(sn_device_options){.threads = trials->run.threads}, error));
    SN_TRY(sn_train_graph_make(&graph, arch, &shape, &trials->run.options, SN_F32, error));
    SN_TRY(sn_executor_create(&executor, graph.graph, backend, device, error));
    SN_TRY(sn_executor_initialise(executor, trials->run.options.seed, error));
    for (int i = 0; i < WARM_UP + MEASURED; i++) {
        SN_TRY(sn_interrupt_check(error));
        start = i == WARM_UP ? sn_clock_now() : start;
        SN_TRY(sn_executor_run(executor, graph.train, error));
    }
    backend->synchronise(device);
    *seconds = (sn_clock_now() - start) / MEASURED;
done:
    sn_executor_free(executor);
    sn_train_graph_clear(&graph);
    if (device != NULL)
        backend->close(device);
    return status;
}

/* The work of random points: how many can be trained, their mean multiply-adds, and the first of them. */
static sn_status sample_space(int *trained, double *mean_work, sn_arch *first, double *first_work,
                              const sn_trials *trials, sn_error *error)
{
    sn_status status = SN_OK;
    double *lower = NULL, *upper = NULL, *x = NULL, sum = 0;
    size_t dimensions = (size_t)sn_space_dimensions(trials->space);
    sn_train_shape shape = sn_task_shape(trials->task);
    sn_search_objective objective = sn_trials_objective((sn_trials *)trials);
    sn_random random = sn_random_begin(trials->run.options.seed, SN_RANDOM_SHUFFLE, UINT64_MAX);
    *trained = 0;
    SN_TRY(sn_alloc(&lower, dimensions, sizeof *lower, error));
    SN_TRY(sn_alloc(&upper, dimensions, sizeof *upper, error));
    SN_TRY(sn_alloc(&x, dimensions, sizeof *x, error));
    sn_space_bounds(trials->space, lower, upper);
    for (int i = 0; i < POINTS; i++) {
        sn_proposal proposal = {0};
        sn_arch arch;
        sn_arch_summary summary;
        for (size_t d = 0; d < dimensions; d++)
            x[d] = lower[d] + (upper[d] - lower[d]) * sn_random_uniform(&random);
        status = objective.propose(&proposal, x, (int)dimensions, objective.context, error);
        sn_outcome outcome = proposal.outcome;
        sn_proposal_clear(&proposal);
        SN_TRY(status);
        if (outcome != SN_OUTCOME_TRAINED)
            continue;
        sn_space_arch(&arch, trials->space, x);
        SN_TRY(sn_arch_summarise(&summary, &arch, shape.channels, shape.size, shape.classes, error));
        sum += (double)summary.multiply_adds;
        if (++*trained == 1) {
            *first = arch;
            *first_work = (double)summary.multiply_adds;
        }
    }
    *mean_work = *trained > 0 ? sum / *trained : 0;
done:
    sn_free(lower);
    sn_free(upper);
    sn_free(x);
    return status;
}

sn_status sn_trials_estimate_time(sn_trials_estimate *estimate, const sn_trials *trials, int iterations,
                                  sn_error *error)
{
    sn_status status;
    int trained;
    sn_arch first;
    double mean_work = 0, first_work = 1, seconds;
    const int *count = trials->task->split.count;
    SN_TRY(sample_space(&trained, &mean_work, &first, &first_work, trials, error));
    if (trained == 0) {
        status = sn_error_set(error, SN_ERR_ARG,
                              "of %d random points of the space not one is a legal network within the memory "
                              "budget of %.0f MiB; "
                              "raise --memory or take a smaller --size",
                              POINTS, (double)trials->run.memory / 0x1p20);
        goto done;
    }
    SN_TRY(measure_image(&seconds, trials, &first, error));
    estimate->image_seconds = seconds * mean_work / first_work;
    estimate->trained_share = (double)trained / POINTS;
    /* A validation image costs about a third of a training image: forward only. */
    estimate->search_seconds = iterations * estimate->trained_share * trials->run.options.epochs *
                               estimate->image_seconds * (count[SN_TRAINING] + count[SN_VALIDATION] / 3.0);
done:
    return status;
}

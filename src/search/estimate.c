/* How long a search will take: search/trial.h, sn_trials_estimate_time. */

#include <math.h>

#include "arch/build.h"
#include "backend/device.h"
#include "base/clock.h"
#include "base/interrupt.h"
#include "base/memory.h"
#include "base/random.h"
#include "nn/executor.h"
#include "search/trial.h"

enum { POINTS = 100, WARM_UP = 2, MEASURED = 2 };

/* Seconds that one image's training step of a network takes; zeros cost what any image costs. */
static sn_status measure_image(double *seconds, const sn_trials *trials, const sn_arch *arch,
                               sn_recompute recompute, sn_error *error)
{
    sn_status status;
    const sn_backend *backend = NULL;
    sn_device *device = NULL;
    sn_train_graph graph = {0};
    sn_executor *executor = NULL;
    const sn_task_run *run = &trials->run;
    sn_train_shape shape = sn_task_shape(trials->task);
    double start = 0;
    SN_TRY(sn_device_open(&backend, &device, run->device, run->options.precision, run->threads, error));
    SN_TRY(sn_train_graph_make(&graph, arch, &shape, &run->options, recompute,
                               sn_backend_values(backend, device), error));
    SN_TRY(sn_executor_create(&executor, graph.graph, backend, device, error));
    SN_TRY(sn_executor_initialise(executor, run->options.seed, error));
    for (int i = 0; i < WARM_UP + MEASURED; i++) {
        SN_TRY(sn_interrupt_check(error));
        if (i == WARM_UP) {
            SN_TRY(backend->synchronise(device, error));
            start = sn_clock_now();
        }
        SN_TRY(sn_executor_run(executor, graph.train, error));
    }
    SN_TRY(backend->synchronise(device, error));
    *seconds = (sn_clock_now() - start) / MEASURED;
done:
    sn_executor_free(executor);
    sn_train_graph_clear(&graph);
    sn_device_close(backend, device);
    return status;
}

/* Random points of the space that can be trained. */
typedef struct sample {
    int count;
    sn_arch archs[POINTS];
    sn_recompute recompute[POINTS]; /* how they fit the budget */
    double work[POINTS];            /* multiply-adds */
} sample;

static sn_status sample_point(sample *self, const sn_trials *trials, const double *x, sn_error *error)
{
    sn_status status = SN_OK;
    sn_arch_summary summary;
    sn_train_memory memory;
    sn_arch *arch = &self->archs[self->count];
    const sn_task_run *run = &trials->run;
    sn_train_shape shape = sn_task_shape(trials->task);
    sn_space_arch(arch, trials->space, x);
    if (!sn_arch_legal(arch, NULL))
        return SN_OK;
    status = sn_train_check_memory(&memory, arch, &shape, &run->options, run->device, run->memory, error);
    if (status == SN_ERR_MEMORY)
        return SN_OK;
    SN_TRY(status);
    SN_TRY(sn_arch_summarise(&summary, arch, shape.channels, shape.size, shape.classes, error));
    self->recompute[self->count] = memory.recompute;
    self->work[self->count++] = (double)summary.multiply_adds;
done:
    return status;
}

static sn_status sample_space(sample *self, const sn_trials *trials, sn_error *error)
{
    sn_status status;
    double *lower = NULL, *upper = NULL, *x = NULL;
    size_t dimensions = (size_t)sn_space_dimensions(trials->space);
    sn_random random = sn_random_begin(trials->run.options.seed, SN_RANDOM_SHUFFLE, UINT64_MAX);
    SN_TRY(sn_alloc(&lower, dimensions, sizeof *lower, error));
    SN_TRY(sn_alloc(&upper, dimensions, sizeof *upper, error));
    SN_TRY(sn_alloc(&x, dimensions, sizeof *x, error));
    sn_space_bounds(trials->space, lower, upper);
    for (int i = 0; i < POINTS; i++) {
        for (size_t d = 0; d < dimensions; d++)
            x[d] = lower[d] + (upper[d] - lower[d]) * sn_random_uniform(&random);
        SN_TRY(sample_point(self, trials, x, error));
    }
    if (self->count == 0)
        status =
            sn_error_set(error, SN_ERR_ARG,
                         "of %d random points of the space not one is a legal network within the memory "
                         "budget of %.0f MiB; raise --memory, or take a smaller --size or another --space",
                         POINTS, (double)trials->run.memory / 0x1p20);
done:
    sn_free(lower);
    sn_free(upper);
    sn_free(x);
    return status;
}

static double mean_work(const sample *self)
{
    double sum = 0;
    for (int i = 0; i < self->count; i++)
        sum += self->work[i];
    return sum / self->count;
}

/* The network whose work is nearest to `work`: small and large ones run at other speeds. */
static int nearest_network(const sample *self, double work)
{
    int nearest = 0;
    for (int i = 1; i < self->count; i++)
        if (fabs(self->work[i] - work) < fabs(self->work[nearest] - work))
            nearest = i;
    return nearest;
}

sn_status sn_trials_estimate_time(sn_trials_estimate *estimate, const sn_trials *trials, int iterations,
                                  sn_error *error)
{
    sn_status status;
    sample *points = NULL;
    double seconds = 0;
    const int *count = trials->task->split.count;
    SN_TRY(sn_alloc(&points, 1, sizeof *points, error));
    SN_TRY(sample_space(points, trials, error));
    double work = mean_work(points);
    int network = nearest_network(points, work);
    SN_TRY(measure_image(&seconds, trials, &points->archs[network], points->recompute[network], error));
    estimate->image_seconds = seconds * work / points->work[network];
    estimate->trained_share = (double)points->count / POINTS;
    /* A validation image costs about a third of a training image: forward only. */
    estimate->search_seconds = iterations * estimate->trained_share * trials->run.options.epochs *
                               estimate->image_seconds * (count[SN_TRAINING] + count[SN_VALIDATION] / 3.0);
done:
    sn_free(points);
    return status;
}

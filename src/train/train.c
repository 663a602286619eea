#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/device.h"
#include "base/clock.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "dataset/augment.h"
#include "train/trainer.h"

/* ---- begin and end ---- */

/* w_l = (sum_k f_k / f_l)^0.5, 0 where f_l = 0; f are shares, so their sum is 1. Source: docs/method.md
 * section 4. */
static sn_status upload_label_weights(sn_trainer *self, sn_error *error)
{
    sn_status status;
    const sn_split *split = self->input->split;
    double *frequencies = NULL;
    float *weights = NULL;
    SN_TRY(sn_alloc(&frequencies, (size_t)self->classes, sizeof *frequencies, error));
    SN_TRY(sn_alloc(&weights, (size_t)self->classes, sizeof *weights, error));
    sn_cache_frequencies(frequencies, self->input->cache, split->cases[SN_TRAINING],
                         split->count[SN_TRAINING]);
    for (int l = 0; l < self->classes; l++)
        weights[l] = frequencies[l] > 0 ? (float)sqrt(1 / frequencies[l]) : 0;
    sn_executor_upload(self->executor, self->graph.label_weights, weights);
done:
    sn_free(frequencies);
    sn_free(weights);
    return status;
}

/* Let a GPU keep all cases where it has room for them, by the budget and by what is free beside the plan, and for what
 * CUDA has not taken yet. Nothing depends on it but time. */
static void keep_cases(sn_trainer *self, const sn_train_memory *memory, const sn_train_shape *shape)
{
    sn_status status;
    const sn_train_input *input = self->input;
    const int cases = input->split->count[SN_TRAINING] + input->split->count[SN_VALIDATION];
    const int64_t bytes = sn_train_kept_bytes(memory, shape, cases, input->memory, input->beside);
    sn_error cause = SN_ERROR_INIT;
    char device[SN_DEVICE_NAME];
    int64_t room;
    if (self->backend->copy == NULL || bytes == 0)
        return;
    SN_TRY(sn_device_choose(device, input->device, 0, &cause));
    SN_TRY(sn_device_memory(&room, device, 1, &cause));
    if (bytes > room)
        return;
    SN_TRY(sn_feed_keep(self->feed, cases, &cause));
    sn_log(SN_LOG_INFO, "device %s keeps all %d cases: %.0f MiB", device, cases, (double)bytes / 0x1p20);
done:
    if (status != SN_OK)
        sn_log(SN_LOG_WARNING, "device %s keeps no cases: %s", input->device, cause.text);
}

static sn_status trainer_begin(sn_trainer *self, const sn_train_input *input, sn_error *error)
{
    sn_status status;
    const sn_train_options *options = input->options;
    const int64_t *size = sn_cache_size(input->cache);
    *self = (sn_trainer){.input = input, .classes = sn_cache_classes(input->cache), .nadam = SN_NADAM_INIT};
    self->nadam.rate = options->learning_rate;
    sn_train_shape shape = {sn_cache_channels(input->cache), self->classes, {size[0], size[1], size[2]}};
    sn_train_memory memory;
    size_t label_values = (size_t)options->epochs * (size_t)self->classes;
    SN_TRY(sn_train_check_memory(&memory, input->arch, &shape, options, input->device, input->memory, error));
    SN_TRY(sn_device_open(&self->backend, &self->device, input->device, options->precision, input->threads,
                          error));
    SN_TRY(sn_train_graph_make(&self->graph, input->arch, &shape, options, memory.recompute,
                               sn_backend_values(self->backend, self->device), error));
    SN_TRY(sn_executor_create(&self->executor, self->graph.graph, self->backend, self->device, error));
    SN_TRY(sn_executor_initialise(self->executor, options->seed, error));
    SN_TRY(upload_label_weights(self, error));
    SN_TRY(sn_feed_create(&self->feed, input->cache, &self->graph, self->executor, error));
    keep_cases(self, &memory, &shape);
    if (sn_group_size(input->group) > 1)
        SN_TRY(sn_together_create(&self->together, input->group, &self->graph, self->executor, error));
    SN_TRY(sn_alloc(&self->history, (size_t)options->epochs, sizeof *self->history, error));
    SN_TRY(sn_alloc(&self->label_dice, label_values, sizeof *self->label_dice, error));
done:
    return status;
}

static void trainer_end(sn_trainer *self)
{
    sn_arrays_clear(&self->state);
    sn_arrays_clear(&self->best);
    sn_free(self->history);
    sn_free(self->label_dice);
    sn_together_free(self->together);
    sn_feed_free(self->feed);
    sn_executor_free(self->executor);
    sn_train_graph_clear(&self->graph);
    sn_device_close(self->backend, self->device);
}

/* ---- one epoch ---- */

/* Numbers of (seed, epoch, case): no image's augmentation or dropout depends on the order of the images. */
static void upload_draws(sn_trainer *self, int case_index)
{
    double matrix[3][4];
    uint64_t seed = self->input->options->seed;
    uint64_t key[2] = {seed, (uint64_t)self->epoch << 32 | (uint32_t)case_index};
    sn_augment_draw(matrix, sn_cache_size(self->input->cache), seed, (uint32_t)self->epoch,
                    (uint32_t)case_index);
    sn_executor_upload(self->executor, self->graph.matrix, matrix);
    if (self->graph.dropout_key != SN_NO_TENSOR)
        sn_executor_upload(self->executor, self->graph.dropout_key, key);
}

/* Losses add up on the device from here on: a GPU is not waited for after each image. */
static void begin_loss(sn_trainer *self)
{
    sn_executor_upload(self->executor, self->graph.loss, &(double){0});
}

/* Forward and backward of the next image. */
static sn_status train_image(sn_trainer *self, sn_error *error)
{
    sn_status status;
    int case_index;
    SN_TRY(sn_interrupt_check(error));
    sn_feed_next(&case_index, self->feed);
    upload_draws(self, case_index);
    SN_TRY(sn_executor_run(self->executor, self->graph.train, error));
    if (self->together == NULL)
        SN_TRY(sn_executor_run(self->executor, self->graph.running, error));
done:
    return status;
}

/* A step, and polynomial-decay averaging (Shamir and Zhang 2013): half of an average is of the last 7 % of the
 * steps, so no schedule needs to know how long the training is. Source: docs/method.md section 5. */
static sn_status update_weights(sn_trainer *self, int images, sn_error *error)
{
    double scalars[4];
    sn_nadam_next(&self->nadam, images, scalars);
    double share = (SN_TRAIN_AVERAGING + 1) / ((double)self->nadam.step + SN_TRAIN_AVERAGING);
    sn_executor_upload(self->executor, self->graph.nadam, scalars);
    sn_executor_upload(self->executor, self->graph.average, &share);
    return sn_executor_run(self->executor, self->graph.update, error);
}

static void report_image(const sn_trainer *self, const sn_train_observer *observer, int done)
{
    const int *count = self->input->split->count;
    if (observer != NULL && observer->image_done != NULL)
        observer->image_done(self->epoch + 1, done, count[SN_TRAINING] + count[SN_VALIDATION],
                             observer->context);
}

/* A batch by this member alone. */
static sn_status train_batch(sn_trainer *self, int begin, int images, const sn_train_observer *observer,
                             sn_error *error)
{
    sn_status status = SN_OK;
    for (int i = 0; i < images; i++) {
        SN_TRY(train_image(self, error));
        if (i + 1 == images)
            SN_TRY(update_weights(self, images, error));
        report_image(self, observer, begin + i + 1);
    }
done:
    return status;
}

/* The same together with others, in rounds of an image each; `*sum` takes the losses. */
static sn_status train_batch_together(sn_trainer *self, double *sum, int begin, int images,
                                      const sn_train_observer *observer, sn_error *error)
{
    sn_status status = SN_OK;
    double losses[SN_GROUP_MEMBERS], loss = 0;
    int members = sn_group_size(self->input->group), own = sn_group_member(self->input->group);
    for (int i = 0; i < images; i += members) {
        int round = images - i < members ? images - i : members;
        if (own < round) {
            if (i > 0)
                sn_together_clear(self->together); /* before the first round the last step did it */
            begin_loss(self);
            SN_TRY(train_image(self, error));
            SN_TRY(sn_executor_download(self->executor, self->graph.loss, &loss, error));
        }
        SN_TRY(sn_together_round(losses, self->together, round, loss, i == 0, error));
        for (int m = 0; m < round; m++)
            *sum += losses[m];
        report_image(self, observer, begin + i + round);
    }
    SN_TRY(sn_together_gather(self->together, error));
    SN_TRY(update_weights(self, images, error));
done:
    return status;
}

/* Keep the cases that this member computes: of each `batch` every R-th. Returns how many. */
static int own_cases(const sn_trainer *self, int *cases, int count, int batch)
{
    int members = sn_group_size(self->input->group), own = sn_group_member(self->input->group), kept = 0;
    for (int i = 0; i < count; i++)
        if (i % batch % members == own)
            cases[kept++] = cases[i];
    return kept;
}

/* Note how long an image's step took: its share of those of an epoch, so that nothing waits for one. */
static void note_time(sn_trainer *self, int images, double seconds)
{
    if (images > 0)
        self->step_seconds[self->timed++ % SN_EPOCHS_TIMED] = seconds / images;
}

/* All training images in this epoch's order, a step of the optimiser after each batch. */
static sn_status train_epoch(sn_trainer *self, double *mean_loss, const sn_train_observer *observer,
                             sn_error *error)
{
    sn_status status;
    int count = self->input->split->count[SN_TRAINING], batch = self->input->options->batch;
    int *order = NULL;
    double sum = 0, start = sn_clock_now();
    SN_TRY(sn_alloc(&order, (size_t)count, sizeof *order, error));
    memcpy(order, self->input->split->cases[SN_TRAINING], (size_t)count * sizeof *order);
    sn_random random = sn_random_begin(self->input->options->seed, SN_RANDOM_SHUFFLE, (uint64_t)self->epoch);
    sn_random_shuffle(&random, order, count);
    int own = own_cases(self, order, count, batch);
    SN_TRY(sn_feed_begin(self->feed, order, own, error));
    begin_loss(self);
    for (int i = 0; i < count; i += batch) {
        int images = count - i < batch ? count - i : batch;
        if (self->together == NULL)
            SN_TRY(train_batch(self, i, images, observer, error));
        else
            SN_TRY(train_batch_together(self, &sum, i, images, observer, error));
    }
    if (self->together == NULL)
        SN_TRY(sn_executor_download(self->executor, self->graph.loss, &sum, error));
    note_time(self, own, sn_clock_now() - start);
    *mean_loss = sum / count;
    if (!isfinite(sum))
        status = sn_error_set(error, SN_ERR_NUMERIC, "the loss is not a number in epoch %d", self->epoch + 1);
done:
    sn_free(order);
    return status;
}

/* Dice_l = 2 |truth and prediction| / (|truth| + |prediction|) of each case, then the mean over the cases in
 * which the label occurs in either; the mean over the foreground labels is the epoch's. */
static void mean_dice(double *label_dice, double *dice, const double *sums, const int *cases, int classes)
{
    double sum = 0;
    int labels = 0;
    for (int l = 0; l < classes; l++) {
        label_dice[l] = cases[l] == 0 ? NAN : sums[l] / cases[l];
        if (l > 0 && cases[l] > 0) {
            sum += label_dice[l];
            labels++;
        }
    }
    *dice = labels == 0 ? NAN : sum / labels;
}

/* Add the Dice of one case to the sums, for each label that occurs. */
static void add_case(double *sums, int *cases, const double *counts, int classes)
{
    for (int l = 0; l < classes; l++) {
        double both = counts[3 * l], either = counts[3 * l + 1] + counts[3 * l + 2];
        if (either > 0) {
            sums[l] += 2 * both / either;
            cases[l]++;
        }
    }
}

/* Overlap counts of all validation cases, (cases, classes, 3); members take turns. */
static sn_status count_overlaps(sn_trainer *self, double *counts, const sn_train_observer *observer,
                                sn_error *error)
{
    sn_status status;
    const sn_train_input *input = self->input;
    int count = input->split->count[SN_VALIDATION], trained = input->split->count[SN_TRAINING];
    int width = 3 * self->classes, members = sn_group_size(input->group);
    int *order = NULL, case_index;
    SN_TRY(sn_alloc(&order, (size_t)count, sizeof *order, error));
    memcpy(order, input->split->cases[SN_VALIDATION], (size_t)count * sizeof *order);
    SN_TRY(sn_feed_begin(self->feed, order, own_cases(self, order, count, count), error));
    for (int i = sn_group_member(input->group); sn_feed_next(&case_index, self->feed); i += members) {
        SN_TRY(sn_interrupt_check(error));
        SN_TRY(sn_executor_run(self->executor, self->graph.evaluate, error));
        SN_TRY(sn_executor_download(self->executor, self->graph.overlap, counts + (size_t)i * (size_t)width,
                                    error));
        report_image(self, observer, trained + i + 1);
    }
    if (members > 1)
        SN_TRY(sn_together_rows(counts, input->group, count, width, error));
done:
    sn_free(order);
    return status;
}

static sn_status validate(sn_trainer *self, double *label_dice, double *dice,
                          const sn_train_observer *observer, sn_error *error)
{
    sn_status status;
    int count = self->input->split->count[SN_VALIDATION];
    size_t classes = (size_t)self->classes;
    double *counts = NULL, *sums = NULL;
    int *cases = NULL;
    SN_TRY(sn_alloc(&counts, (size_t)count * classes * 3, sizeof *counts, error));
    SN_TRY(sn_alloc(&sums, classes, sizeof *sums, error));
    SN_TRY(sn_alloc(&cases, classes, sizeof *cases, error));
    SN_TRY(count_overlaps(self, counts, observer, error));
    for (int i = 0; i < count; i++)
        add_case(sums, cases, counts + (size_t)i * classes * 3, self->classes);
    mean_dice(label_dice, dice, sums, cases, self->classes);
done:
    sn_free(counts);
    sn_free(sums);
    sn_free(cases);
    return status;
}

/* ---- the loop ---- */

/* Whether a validation Dice beats the best so far; any number beats NaN. */
static bool is_better(const sn_trainer *self, double dice)
{
    if (self->best_epoch == 0)
        return true;
    double best = self->history[self->best_epoch - 1].dice;
    return isnan(best) ? !isnan(dice) : dice > best;
}

static sn_status run_epoch(sn_trainer *self, const sn_train_observer *observer, sn_error *error)
{
    sn_status status;
    double start = sn_clock_now();
    sn_train_epoch *epoch = &self->history[self->epoch];
    double *label_dice = self->label_dice + (size_t)self->epoch * (size_t)self->classes;
    *epoch = (sn_train_epoch){.epoch = self->epoch + 1, .label_dice = label_dice};
    SN_TRY(train_epoch(self, &epoch->loss, observer, error));
    SN_TRY(validate(self, label_dice, &epoch->dice, observer, error));
    epoch->seconds = sn_clock_now() - start;
    epoch->best = is_better(self, epoch->dice);
    self->epoch++;
    if (epoch->best)
        self->best_epoch = self->epoch;
    if (sn_group_member(self->input->group) > 0)
        goto done; /* member 0 keeps all */
    if (epoch->best)
        SN_TRY(
            sn_weights_download(&self->best, self->graph.graph, self->executor, SN_WEIGHTS_NETWORK, error));
    SN_TRY(sn_checkpoint_keep(self, error));
done:
    return status;
}

static sn_status report_epoch(const sn_trainer *self, int epoch, const sn_train_observer *observer,
                              sn_error *error)
{
    if (observer == NULL || observer->epoch_done == NULL)
        return SN_OK;
    return observer->epoch_done(&self->history[epoch], observer->context, error);
}

static int compare_seconds(const void *a, const void *b)
{
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

/* The upper one where two are in the middle; sorts the times. */
static double median_step(sn_trainer *self)
{
    size_t timed = self->timed < SN_EPOCHS_TIMED ? (size_t)self->timed : SN_EPOCHS_TIMED;
    qsort(self->step_seconds, timed, sizeof *self->step_seconds, compare_seconds);
    return timed == 0 ? 0 : self->step_seconds[timed / 2];
}

static sn_status finish(sn_train_result *result, sn_trainer *self, sn_error *error)
{
    size_t classes = (size_t)self->classes;
    sn_status status = sn_alloc(&result->label_dice, classes, sizeof *result->label_dice, error);
    if (status != SN_OK)
        return status;
    const sn_train_epoch *best = &self->history[self->best_epoch - 1];
    memcpy(result->label_dice, best->label_dice, classes * sizeof *result->label_dice);
    result->best_epoch = self->best_epoch;
    result->dice = best->dice;
    for (int e = 0; e < self->epoch; e++)
        result->seconds += self->history[e].seconds;
    result->step_seconds = median_step(self);
    result->weights = self->best;
    self->best = (sn_arrays){0};
    return SN_OK;
}

/* All members go on from the same checkpoint. */
static sn_status agree(const sn_trainer *self, sn_error *error)
{
    sn_status status;
    sn_group *group = self->input->group;
    double *epochs = NULL;
    SN_TRY(sn_alloc(&epochs, (size_t)sn_group_size(group), sizeof *epochs, error));
    epochs[sn_group_member(group)] = self->epoch;
    SN_TRY(sn_together_rows(epochs, group, sn_group_size(group), 1, error));
    for (int m = 1; m < sn_group_size(group) && status == SN_OK; m++)
        if (epochs[m] != epochs[0])
            status =
                sn_error_set(error, SN_ERR_FAILED,
                             "the checkpoint is at epoch %.0f for member %d of this training, at %.0f for "
                             "the first one",
                             epochs[m], m, epochs[0]);
done:
    sn_free(epochs);
    return status;
}

sn_status sn_train(sn_train_result *result, const sn_train_input *input, const sn_train_observer *observer,
                   sn_error *error)
{
    sn_status status;
    sn_trainer self;
    *result = (sn_train_result){0};
    SN_TRY(trainer_begin(&self, input, error));
    if (input->checkpoint != NULL)
        SN_TRY(sn_checkpoint_restore(&self, error));
    if (self.together != NULL)
        SN_TRY(agree(&self, error));
    for (int e = 0; e < self.epoch; e++)
        SN_TRY(report_epoch(&self, e, observer, error));
    while (self.epoch < input->options->epochs) {
        SN_TRY(run_epoch(&self, observer, error));
        SN_TRY(report_epoch(&self, self.epoch - 1, observer, error));
    }
    SN_TRY(finish(result, &self, error));
done:
    trainer_end(&self);
    return status;
}

void sn_train_result_clear(sn_train_result *result)
{
    sn_free(result->label_dice);
    sn_arrays_clear(&result->weights);
    *result = (sn_train_result){0};
}

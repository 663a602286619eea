#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "train/trainer.h"

#define BEST "best/" /* prefix of the best epoch's weights */

enum { HISTORY_LOSS, HISTORY_DICE, HISTORY_SECONDS, HISTORY_LABELS };

static void add_array(sn_arrays *arrays, const char *prefix, const char *name, sn_tensor_desc desc,
                      void *data)
{
    sn_array *array = &arrays->items[arrays->count++];
    snprintf(array->name, sizeof array->name, "%s%.*s", prefix, SN_NAME - 1, name);
    array->desc = desc;
    array->data = data;
}

static sn_tensor_desc history_desc(const sn_trainer *self, int epochs)
{
    return (sn_tensor_desc){SN_F64, {1, 1, 1, epochs, HISTORY_LABELS + self->classes}};
}

/* One row an epoch: loss, Dice, seconds, Dice of each label. */
static void history_to_rows(double *rows, const sn_trainer *self)
{
    for (int e = 0; e < self->epoch; e++, rows += HISTORY_LABELS + self->classes) {
        rows[HISTORY_LOSS] = self->history[e].loss;
        rows[HISTORY_DICE] = self->history[e].dice;
        rows[HISTORY_SECONDS] = self->history[e].seconds;
        memcpy(rows + HISTORY_LABELS, self->history[e].label_dice, (size_t)self->classes * sizeof *rows);
    }
}

static void history_from_rows(sn_trainer *self, const double *rows)
{
    for (int e = 0; e < self->epoch; e++, rows += HISTORY_LABELS + self->classes) {
        double *label_dice = self->label_dice + (size_t)e * (size_t)self->classes;
        memcpy(label_dice, rows + HISTORY_LABELS, (size_t)self->classes * sizeof *rows);
        self->history[e] = (sn_train_epoch){.epoch = e + 1,
                                            .loss = rows[HISTORY_LOSS],
                                            .dice = rows[HISTORY_DICE],
                                            .label_dice = label_dice,
                                            .seconds = rows[HISTORY_SECONDS],
                                            .best = e + 1 == self->best_epoch};
    }
}

static sn_status save(sn_trainer *self, sn_error *error)
{
    sn_status status;
    sn_arrays all = {0};
    double *rows = NULL;
    sn_tensor_desc history = history_desc(self, self->epoch);
    json_t *record = json_pack("{s:s, s:i, s:i, s:I, s:f}", "checkpoint", self->input->key, "epoch",
                               self->epoch, "best_epoch", self->best_epoch, "step",
                               (json_int_t)self->nadam.step, "mu_product", self->nadam.mu_product);
    SN_TRY(sn_weights_download(&self->state, self->graph.graph, self->executor, SN_WEIGHTS_ALL, error));
    SN_TRY(sn_alloc(&rows, (size_t)sn_tensor_count(&history), sizeof *rows, error));
    history_to_rows(rows, self);
    SN_TRY(
        sn_alloc(&all.items, (size_t)(self->state.count + self->best.count + 1), sizeof *all.items, error));
    add_array(&all, "", "history", history, rows); /* first: f64 lies at multiples of 8 bytes */
    for (int i = 0; i < self->state.count; i++)
        add_array(&all, "", self->state.items[i].name, self->state.items[i].desc, self->state.items[i].data);
    for (int i = 0; i < self->best.count; i++)
        add_array(&all, BEST, self->best.items[i].name, self->best.items[i].desc, self->best.items[i].data);
    SN_TRY(sn_safetensors_write(self->input->checkpoint, record, &all, error));
done:
    sn_arrays_clear(&all);
    sn_free(rows);
    json_decref(record);
    return status;
}

/* Whether a checkpoint is worth its time. */
static bool is_due(const sn_trainer *self)
{
    return self->saved_at == 0 || sn_clock_now() - self->saved_at >= 20 * self->save_seconds;
}

sn_status sn_checkpoint_keep(sn_trainer *self, sn_error *error)
{
    if (self->input->checkpoint == NULL || self->epoch == self->input->options->epochs || !is_due(self))
        return SN_OK;
    double start = sn_clock_now();
    sn_status status = save(self, error);
    self->saved_at = sn_clock_now();
    self->save_seconds = self->saved_at - start;
    return status;
}

/* The file's arrays into the trainer; false where they are not this training's. */
static bool restore_arrays(sn_trainer *self, const sn_arrays *arrays)
{
    sn_tensor_desc desc = history_desc(self, self->epoch);
    const sn_array *history = sn_arrays_find(arrays, "history");
    if (history == NULL || !sn_tensor_desc_equal(&history->desc, &desc))
        return false;
    for (int i = 0; i < self->best.count; i++) {
        char name[SN_ARRAY_NAME + sizeof BEST];
        snprintf(name, sizeof name, BEST "%s", self->best.items[i].name);
        const sn_array *array = sn_arrays_find(arrays, name);
        if (array == NULL || !sn_tensor_desc_equal(&array->desc, &self->best.items[i].desc))
            return false;
        memcpy(self->best.items[i].data, array->data, sn_tensor_bytes(&array->desc));
    }
    if (sn_weights_check(arrays, self->graph.graph, SN_WEIGHTS_ALL, self->input->checkpoint, NULL) != SN_OK)
        return false;
    sn_weights_upload(arrays, self->graph.graph, self->executor, SN_WEIGHTS_ALL);
    history_from_rows(self, (const double *)(const void *)history->data);
    return true;
}

sn_status sn_checkpoint_restore(sn_trainer *self, sn_error *error)
{
    sn_status status;
    sn_arrays arrays = {0};
    json_t *record = NULL;
    const char *key;
    json_int_t step;
    const char *path = self->input->checkpoint;
    if (!sn_path_exists(path))
        return SN_OK;
    SN_TRY(sn_weights_download(&self->best, self->graph.graph, self->executor, SN_WEIGHTS_NETWORK, error));
    if (sn_safetensors_read(&record, &arrays, path, NULL) != SN_OK ||
        json_unpack(record, "{s:s, s:i, s:i, s:I, s:F}", "checkpoint", &key, "epoch", &self->epoch,
                    "best_epoch", &self->best_epoch, "step", &step, "mu_product",
                    &self->nadam.mu_product) != 0 ||
        strcmp(key, self->input->key) != 0 || self->epoch > self->input->options->epochs ||
        self->best_epoch < 1 || self->best_epoch > self->epoch || !restore_arrays(self, &arrays)) {
        if (sn_group_member(self->input->group) == 0)
            sn_log(SN_LOG_WARNING, "%s: not a checkpoint of this training; it starts from its beginning",
                   path);
        self->epoch = self->best_epoch = 0;
        self->nadam.mu_product = 1;
        SN_TRY(sn_executor_initialise(self->executor, self->input->options->seed, error));
        goto done;
    }
    self->nadam.step = step;
done:
    sn_arrays_clear(&arrays);
    json_decref(record);
    return status;
}

bool sn_checkpoint_is_foreign(const char *path, const char *key)
{
    sn_arrays arrays = {0};
    json_t *record = NULL;
    const char *stored;
    bool foreign = sn_path_exists(path) && sn_safetensors_read(&record, &arrays, path, NULL) == SN_OK &&
                   json_unpack(record, "{s:s}", "checkpoint", &stored) == 0 && strcmp(stored, key) != 0;
    sn_arrays_clear(&arrays);
    json_decref(record);
    return foreign;
}

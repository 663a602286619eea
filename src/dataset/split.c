#include "dataset/split.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/random.h"

/* ---- groups: the cases that stay together ---- */

typedef struct groups {
    int count;
    int *of_case; /* (cases) the group of each case */
    int *size;    /* (count) */
    int *order;   /* (count) shuffled, then the largest first */
} groups;

static void groups_clear(groups *self)
{
    sn_free(self->of_case);
    sn_free(self->size);
    sn_free(self->order);
}

/* Hold a groups file against the data set: every name a case, every group a string. */
static sn_status groups_check(const json_t *names, const sn_dataset *dataset, const char *path,
                              sn_error *error)
{
    const char *name;
    json_t *group;
    if (!json_is_object(names))
        return sn_error_set(error, SN_ERR_INPUT, "%s: must be an object {\"case\": \"group\", ...}", path);
    json_object_foreach((json_t *)names, name, group)
    {
        if (sn_dataset_find(dataset, name) < 0)
            return sn_error_set(error, SN_ERR_INPUT, "%s: \"%s\" is not a case of %s; names are like \"%s\"",
                                path, name, dataset->path, dataset->cases[0].name);
        if (!json_is_string(group))
            return sn_error_set(error, SN_ERR_INPUT, "%s: \"%s\": the group must be a string, is %s", path,
                                name, sn_json_kind(group));
    }
    return SN_OK;
}

/* Number the groups in the order of their first cases. `names` NULL: each case is its own. */
static void groups_number(groups *self, const json_t *names, const sn_dataset *dataset)
{
    for (int i = 0; i < dataset->count; i++) {
        const char *group = json_string_value(json_object_get(names, dataset->cases[i].name));
        int earlier = group == NULL ? i : 0;
        for (; earlier < i; earlier++) {
            const char *other = json_string_value(json_object_get(names, dataset->cases[earlier].name));
            if (other != NULL && strcmp(other, group) == 0)
                break;
        }
        self->of_case[i] = earlier < i ? self->of_case[earlier] : self->count++;
        self->size[self->of_case[i]]++;
    }
}

/* Shuffle, then order by size, stably. */
static void groups_order(groups *self, uint64_t seed)
{
    sn_random random = sn_random_begin(seed, SN_RANDOM_SPLIT, 0);
    for (int g = 0; g < self->count; g++)
        self->order[g] = g;
    sn_random_shuffle(&random, self->order, self->count);
    for (int i = 1; i < self->count; i++) {
        int item = self->order[i], j = i;
        for (; j > 0 && self->size[self->order[j - 1]] < self->size[item]; j--)
            self->order[j] = self->order[j - 1];
        self->order[j] = item;
    }
}

static sn_status groups_make(groups *self, const sn_dataset *dataset, const sn_split_options *options,
                             sn_error *error)
{
    sn_status status;
    json_t *names = NULL;
    size_t count = (size_t)dataset->count;
    SN_TRY(sn_alloc(&self->of_case, count, sizeof(int), error));
    SN_TRY(sn_alloc(&self->size, count, sizeof(int), error));
    SN_TRY(sn_alloc(&self->order, count, sizeof(int), error));
    if (options->groups != NULL) {
        SN_TRY(sn_json_load(&names, options->groups, error));
        SN_TRY(groups_check(names, dataset, options->groups, error));
    }
    groups_number(self, names, dataset);
    groups_order(self, options->seed);
done:
    json_decref(names);
    return status;
}

/*
 * Give each group that has no bin yet to the bin that lacks most of its share. A bin that is still empty
 * comes first when there are only as many groups left as empty bins.
 *
 * `bin_of_group`: (groups) in and out, < 0 where there is none yet. `share`: (bins) number of cases wanted.
 */
static void groups_deal(int *bin_of_group, const groups *all, const int *share, int bins)
{
    int lacking[256];
    bool empty[256];
    int left = 0, empties = bins;
    for (int b = 0; b < bins; b++) {
        lacking[b] = share[b];
        empty[b] = true;
    }
    for (int g = 0; g < all->count; g++)
        left += bin_of_group[g] < 0;
    for (int i = 0; i < all->count; i++) {
        int group = all->order[i], best = -1;
        if (bin_of_group[group] >= 0)
            continue;
        for (int b = 0; b < bins; b++)
            if ((empty[b] || left > empties) && (best < 0 || lacking[b] > lacking[best]))
                best = b;
        bin_of_group[group] = best;
        lacking[best] -= all->size[group];
        empties -= empty[best];
        empty[best] = false;
        left--;
    }
}

/* ---- shares ---- */

/* round(fraction of n), at least 1. */
static int share_round(int n, double fraction)
{
    int share = (int)lround(fraction * n);
    return share < 1 ? 1 : share;
}

/* part_of_group by fractions: validation and testing are rounded, training is the rest. */
static void deal_by_fractions(int *part_of_group, const groups *all, int n, const double *fractions)
{
    double total = fractions[SN_TRAINING] + fractions[SN_VALIDATION] + fractions[SN_TESTING];
    int share[SN_SPLIT_PARTS];
    share[SN_VALIDATION] = share_round(n, fractions[SN_VALIDATION] / total);
    share[SN_TESTING] = share_round(n, fractions[SN_TESTING] / total);
    share[SN_TRAINING] = n - share[SN_VALIDATION] - share[SN_TESTING];
    for (int g = 0; g < all->count; g++)
        part_of_group[g] = -1;
    groups_deal(part_of_group, all, share, SN_SPLIT_PARTS);
}

/* part_of_group of one fold: the fold is testing, the rest is shared by training and validation. */
static void deal_by_folds(int *part_of_group, const groups *all, int n, const sn_split_options *options)
{
    int share[256];
    for (int k = 0; k < options->folds; k++)
        share[k] = (int)((int64_t)n * (k + 1) / options->folds - (int64_t)n * k / options->folds);
    for (int g = 0; g < all->count; g++)
        part_of_group[g] = -1;
    groups_deal(part_of_group, all, share, options->folds);
    int rest = n;
    for (int g = 0; g < all->count; g++) {
        bool testing = part_of_group[g] == options->fold;
        part_of_group[g] = testing ? SN_TESTING : -1;
        rest -= testing ? all->size[g] : 0;
    }
    const double *fractions = options->fractions;
    share[SN_VALIDATION] =
        share_round(rest, fractions[SN_VALIDATION] / (fractions[SN_TRAINING] + fractions[SN_VALIDATION]));
    share[SN_TRAINING] = rest - share[SN_VALIDATION];
    groups_deal(part_of_group, all, share, SN_TESTING);
}

/* ---- splits ---- */

/* Make a split from the part of each case; < 0: in none. */
static sn_status split_from_parts(sn_split *split, const int *part_of_case, int count, sn_error *error)
{
    sn_status status = SN_OK;
    for (int part = 0; part < SN_SPLIT_PARTS; part++)
        SN_TRY(sn_alloc(&split->cases[part], (size_t)count, sizeof(int), error));
    for (int i = 0; i < count; i++)
        if (part_of_case[i] >= 0)
            split->cases[part_of_case[i]][split->count[part_of_case[i]]++] = i;
done:
    return status;
}

/* Give the cases that `array` names to `part`. */
static sn_status names_read(int *part_of_case, sn_split_part part, const json_t *array,
                            const sn_dataset *dataset, const char *where, sn_error *error)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *name = json_string_value(json_array_get(array, i));
        int found = name == NULL ? -1 : sn_dataset_find(dataset, name);
        if (found < 0)
            return sn_error_set(error, SN_ERR_INPUT, "%s: \"%s\" is not a case of %s; names are like \"%s\"",
                                where, name == NULL ? sn_json_kind(json_array_get(array, i)) : name,
                                dataset->path, dataset->cases[0].name);
        if (part_of_case[found] >= 0)
            return sn_error_set(error, SN_ERR_INPUT, "%s: case \"%s\" is named twice; keep it in one part",
                                where, name);
        part_of_case[found] = (int)part;
    }
    return SN_OK;
}

/* nnU-Net's splits_final.json: [{"train": [names], "val": [names]}, ...]. */
static sn_status file_read(int *part_of_case, const sn_dataset *dataset, const sn_split_options *options,
                           sn_error *error)
{
    sn_status status;
    json_t *root = NULL, *training, *validation;
    char where[512];
    SN_TRY(sn_json_load(&root, options->file, error));
    if (!json_is_array(root) || json_array_size(root) <= (size_t)options->fold) {
        status = sn_error_set(
            error, SN_ERR_INPUT,
            "%s: has %zu folds, fold %d was asked for; it must be a list of {\"train\", \"val\"}",
            options->file, json_array_size(root), options->fold);
        goto done;
    }
    snprintf(where, sizeof where, "%s: fold %d", options->file, options->fold);
    const json_t *entry = json_array_get(root, (size_t)options->fold);
    SN_TRY(sn_json_array(&training, entry, "train", where, error));
    SN_TRY(sn_json_array(&validation, entry, "val", where, error));
    SN_TRY(names_read(part_of_case, SN_TRAINING, training, dataset, where, error));
    SN_TRY(names_read(part_of_case, SN_VALIDATION, validation, dataset, where, error));
    if (json_array_size(training) == 0 || json_array_size(validation) == 0)
        status = sn_error_set(error, SN_ERR_INPUT, "%s: \"train\" and \"val\" must both name cases", where);
done:
    json_decref(root);
    return status;
}

static sn_status options_check(const sn_split_options *options, sn_error *error)
{
    for (int part = 0; part < SN_SPLIT_PARTS; part++)
        if (!(options->fractions[part] > 0) || !isfinite(options->fractions[part]))
            return sn_error_set(error, SN_ERR_ARG, "split: the fraction of %s is %g; it must be > 0",
                                sn_split_part_name((sn_split_part)part), options->fractions[part]);
    if (options->folds != 0 && (options->folds < 2 || options->folds > 256))
        return sn_error_set(error, SN_ERR_ARG, "folds %d: must be 2 to 256", options->folds);
    if (options->folds != 0 && options->file != NULL)
        return sn_error_set(error, SN_ERR_ARG, "folds: %s already says the folds; give only --fold",
                            options->file);
    if (options->groups != NULL && options->file != NULL)
        return sn_error_set(error, SN_ERR_ARG, "groups: %s already says the split; give one of the two",
                            options->file);
    if (options->fold < 0 || (options->folds != 0 && options->fold >= options->folds))
        return sn_error_set(error, SN_ERR_ARG, "fold %d: must be 0 to %d", options->fold, options->folds - 1);
    if (options->fold > 0 && options->folds == 0 && options->file == NULL)
        return sn_error_set(error, SN_ERR_ARG, "fold %d: also give the number of folds", options->fold);
    return SN_OK;
}

/* Shuffle and deal: part_of_case for fractions or folds. */
static sn_status deal(int *part_of_case, const sn_dataset *dataset, const sn_split_options *options,
                      sn_error *error)
{
    sn_status status;
    groups all = {0};
    int *part_of_group = NULL;
    int wanted = options->folds > SN_SPLIT_PARTS ? options->folds : SN_SPLIT_PARTS;
    SN_TRY(groups_make(&all, dataset, options, error));
    if (all.count < wanted) {
        status =
            sn_error_set(error, SN_ERR_INPUT, "%s: %d %s%s cannot be split into %d parts; %s", dataset->path,
                         all.count, options->groups != NULL ? "group" : "case", all.count == 1 ? "" : "s",
                         wanted, options->folds > SN_SPLIT_PARTS ? "use fewer folds" : "add cases");
        goto done;
    }
    SN_TRY(sn_alloc(&part_of_group, (size_t)all.count, sizeof(int), error));
    if (options->folds > 0)
        deal_by_folds(part_of_group, &all, dataset->count, options);
    else
        deal_by_fractions(part_of_group, &all, dataset->count, options->fractions);
    int cases[SN_SPLIT_PARTS] = {0};
    for (int i = 0; i < dataset->count; i++) {
        part_of_case[i] = part_of_group[all.of_case[i]];
        cases[part_of_case[i]]++;
    }
    if (cases[SN_TRAINING] == 0 || cases[SN_VALIDATION] == 0) /* two folds of three groups */
        status =
            sn_error_set(error, SN_ERR_INPUT, "%s: fold %d leaves one group to train and validate; add cases",
                         dataset->path, options->fold);
done:
    sn_free(part_of_group);
    groups_clear(&all);
    return status;
}

sn_status sn_split_make(sn_split *split, const sn_dataset *dataset, const sn_split_options *options,
                        sn_error *error)
{
    sn_status status;
    int *part_of_case = NULL;
    *split = (sn_split){0};
    SN_TRY(options_check(options, error));
    SN_TRY(sn_alloc(&part_of_case, (size_t)dataset->count, sizeof(int), error));
    for (int i = 0; i < dataset->count; i++)
        part_of_case[i] = -1;
    if (options->file != NULL)
        SN_TRY(file_read(part_of_case, dataset, options, error));
    else
        SN_TRY(deal(part_of_case, dataset, options, error));
    SN_TRY(split_from_parts(split, part_of_case, dataset->count, error));
done:
    if (status != SN_OK)
        sn_split_clear(split);
    sn_free(part_of_case);
    return status;
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void sn_split_limit(sn_split *split, int limit, uint64_t seed)
{
    int all = split->count[SN_TRAINING] + split->count[SN_VALIDATION] + split->count[SN_TESTING];
    if (limit >= all)
        return;
    for (int part = 0; part < SN_SPLIT_PARTS; part++) {
        sn_random random = sn_random_begin(seed, SN_RANDOM_SPLIT, 1 + (uint64_t)part);
        sn_random_shuffle(&random, split->cases[part], split->count[part]);
        int kept = share_round(limit, (double)split->count[part] / all);
        split->count[part] = split->count[part] < kept ? split->count[part] : kept;
        qsort(split->cases[part], (size_t)split->count[part], sizeof(int), compare_ints);
    }
}

void sn_split_clear(sn_split *split)
{
    for (int part = 0; part < SN_SPLIT_PARTS; part++)
        sn_free(split->cases[part]);
    *split = (sn_split){0};
}

const char *sn_split_part_name(sn_split_part part)
{
    static const char *const names[SN_SPLIT_PARTS] = {"training", "validation", "testing"};
    return names[part];
}

sn_status sn_split_part_parse(sn_split_part *part, const char *name, sn_error *error)
{
    static const char *const brief[SN_SPLIT_PARTS] = {"train", "val", "test"};
    for (int p = 0; p < SN_SPLIT_PARTS; p++)
        if (strcmp(name, brief[p]) == 0 || strcmp(name, sn_split_part_name((sn_split_part)p)) == 0) {
            *part = (sn_split_part)p;
            return SN_OK;
        }
    return sn_error_set(error, SN_ERR_ARG, "split \"%s\": must be train, val or test", name);
}

sn_status sn_split_to_json(json_t **out, const sn_split *split, const sn_dataset *dataset, sn_error *error)
{
    bool complete = true;
    json_t *root = json_object();
    for (int part = 0; part < SN_SPLIT_PARTS; part++) {
        json_t *names = json_array();
        for (int i = 0; i < split->count[part]; i++) {
            json_t *name = json_string(dataset->cases[split->cases[part][i]].name);
            complete = json_array_append_new(names, name) == 0 && complete;
        }
        complete = json_object_set_new(root, sn_split_part_name((sn_split_part)part), names) == 0 && complete;
    }
    *out = complete ? root : NULL;
    if (complete)
        return SN_OK;
    json_decref(root);
    return sn_error_set(error, SN_ERR_MEMORY, "out of memory for the split's JSON");
}

sn_status sn_split_from_json(sn_split *split, const json_t *json, const sn_dataset *dataset,
                             const char *source, sn_error *error)
{
    sn_status status;
    int *part_of_case = NULL;
    *split = (sn_split){0};
    SN_TRY(sn_alloc(&part_of_case, (size_t)dataset->count, sizeof(int), error));
    for (int i = 0; i < dataset->count; i++)
        part_of_case[i] = -1;
    for (int part = 0; part < SN_SPLIT_PARTS; part++) {
        json_t *names;
        SN_TRY(sn_json_array(&names, json, sn_split_part_name((sn_split_part)part), source, error));
        SN_TRY(names_read(part_of_case, (sn_split_part)part, names, dataset, source, error));
    }
    SN_TRY(split_from_parts(split, part_of_case, dataset->count, error));
done:
    if (status != SN_OK)
        sn_split_clear(split);
    sn_free(part_of_case);
    return status;
}

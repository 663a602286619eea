#include "metrics/overlap.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

/* A label and its place in the caller's list. */
typedef struct entry {
    int32_t label;
    int place;
} entry;

static int entry_compare(const void *a, const void *b)
{
    int32_t x = ((const entry *)a)->label, y = ((const entry *)b)->label;
    return (x > y) - (x < y);
}

/* The place of `label` in the caller's list, or -1. */
static int entry_find(const entry *entries, int count, int32_t label)
{
    entry key = {.label = label};
    const entry *found = bsearch(&key, entries, (size_t)count, sizeof *entries, entry_compare);
    return found == NULL ? -1 : found->place;
}

sn_status sn_overlap_count(sn_overlap overlaps[], const int32_t labels[], int count, const int32_t *reference,
                           const int32_t *prediction, int64_t voxels, sn_error *error)
{
    entry *entries;
    sn_status status = sn_alloc(&entries, (size_t)count, sizeof *entries, error);
    if (status != SN_OK)
        return status;
    for (int l = 0; l < count; l++) {
        entries[l] = (entry){.label = labels[l], .place = l};
        overlaps[l] = (sn_overlap){0};
    }
    qsort(entries, (size_t)count, sizeof *entries, entry_compare);
    for (int64_t v = 0; v < voxels;) {
        /* Neighbours are mostly alike: look up once for each run of equal pairs. */
        int64_t run = v + 1;
        while (run < voxels && reference[run] == reference[v] && prediction[run] == prediction[v])
            run++;
        int r = entry_find(entries, count, reference[v]);
        int p = entry_find(entries, count, prediction[v]);
        if (r >= 0 && r == p)
            overlaps[r].tp += run - v;
        if (r >= 0 && r != p)
            overlaps[r].fn += run - v;
        if (p >= 0 && r != p)
            overlaps[p].fp += run - v;
        v = run;
    }
    for (int l = 0; l < count; l++)
        overlaps[l].tn = voxels - overlaps[l].tp - overlaps[l].fp - overlaps[l].fn;
    sn_free(entries);
    return SN_OK;
}

double sn_overlap_dice(const sn_overlap *overlap)
{
    int64_t sizes = 2 * overlap->tp + overlap->fp + overlap->fn;
    return sizes == 0 ? NAN : 2 * (double)overlap->tp / (double)sizes;
}

double sn_overlap_iou(const sn_overlap *overlap)
{
    int64_t either = overlap->tp + overlap->fp + overlap->fn;
    return either == 0 ? NAN : (double)overlap->tp / (double)either;
}

#include "volume/volume.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Allocate channels*D*H*W elements; the product is checked. */
static sn_status data_create(void *data, const sn_grid *grid, int64_t channels, size_t size, sn_error *error)
{
    int64_t count = channels;
    for (int axis = 0; axis < 3; axis++)
        if (__builtin_mul_overflow(count, grid->extent[axis], &count))
            return sn_error_set(error, SN_ERR_MEMORY,
                                "out of memory: a volume of %" PRId64 " x %" PRId64 "x%" PRId64 "x%" PRId64
                                " voxels",
                                channels, grid->extent[0], grid->extent[1], grid->extent[2]);
    return sn_alloc(data, (size_t)count, size, error);
}

sn_status sn_volume_create(sn_volume **volume, const sn_grid *grid, int64_t channels, sn_error *error)
{
    sn_status status;
    sn_volume *self = NULL;
    *volume = NULL;
    if (channels < 1)
        return sn_error_set(error, SN_ERR_ARG, "volume: %" PRId64 " channels, at least 1 is needed",
                            channels);
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->grid = *grid;
    self->channels = channels;
    SN_TRY(data_create(&self->data, grid, channels, sizeof *self->data, error));
    *volume = self;
    self = NULL;
done:
    sn_volume_free(self);
    return status;
}

void sn_volume_free(sn_volume *volume)
{
    if (volume == NULL)
        return;
    sn_free(volume->data);
    sn_free(volume);
}

sn_status sn_labelmap_create(sn_labelmap **labelmap, const sn_grid *grid, sn_error *error)
{
    sn_status status;
    sn_labelmap *self = NULL;
    *labelmap = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->grid = *grid;
    SN_TRY(data_create(&self->data, grid, 1, sizeof *self->data, error));
    *labelmap = self;
    self = NULL;
done:
    sn_labelmap_free(self);
    return status;
}

void sn_labelmap_free(sn_labelmap *labelmap)
{
    if (labelmap == NULL)
        return;
    sn_free(labelmap->data);
    sn_free(labelmap);
}

/* The place of `value` in ascending values[0..count), or where it would be inserted. */
static int64_t lower_bound(const int32_t *values, int64_t count, int32_t value)
{
    int64_t low = 0, high = count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (values[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

sn_status sn_labelmap_values(int32_t **values, int64_t *count, const sn_labelmap *labelmap, sn_error *error)
{
    sn_status status;
    int32_t *found = NULL, *grown = NULL;
    int64_t used = 0, capacity = 64, voxels = sn_grid_voxels(&labelmap->grid);
    *values = NULL;
    *count = 0;
    SN_TRY(sn_alloc(&found, (size_t)capacity, sizeof *found, error));
    for (int64_t v = 0; v < voxels; v++) {
        int32_t value = labelmap->data[v];
        if (v > 0 && value == labelmap->data[v - 1])
            continue;
        int64_t place = lower_bound(found, used, value);
        if (place < used && found[place] == value)
            continue;
        if (used == capacity) {
            capacity *= 2;
            SN_TRY(sn_alloc(&grown, (size_t)capacity, sizeof *grown, error));
            memcpy(grown, found, (size_t)used * sizeof *found);
            sn_free(found);
            found = grown;
            grown = NULL;
        }
        memmove(found + place + 1, found + place, (size_t)(used - place) * sizeof *found);
        found[place] = value;
        used++;
    }
    *values = found;
    *count = used;
    found = NULL;
done:
    sn_free(found);
    return status;
}

#include "metrics/distance.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/memory.h"

/* Room for one line of the transform. */
typedef struct line {
    double *value; /* (length) the field along the line */
    double *until; /* (length) where parabola k of the lower envelope gives way to the next, mm */
    int64_t *apex; /* (length) the voxel of parabola k */
} line;

static void line_clear(line *self)
{
    sn_free(self->value);
    sn_free(self->until);
    sn_free(self->apex);
}

static sn_status line_init(line *self, int64_t length, sn_error *error)
{
    sn_status status;
    *self = (line){0};
    SN_TRY(sn_alloc(&self->value, (size_t)length, sizeof *self->value, error));
    SN_TRY(sn_alloc(&self->until, (size_t)length, sizeof *self->until, error));
    SN_TRY(sn_alloc(&self->apex, (size_t)length, sizeof *self->apex, error));
done:
    return status;
}

/*
 * field[p] = min over q of field[q] + (h (p - q))^2 along one line: the lower envelope of parabolas of equal
 * width, found in one sweep. Two of them, with apexes u < q, cross at
 * ((f(q) + (hq)^2) - (f(u) + (hu)^2)) / (2h (q - u)) mm.
 */
static void line_transform(float *field, int64_t length, int64_t stride, double h, line *room)
{
    int64_t top = -1; /* the last parabola of the envelope */
    for (int64_t q = 0; q < length; q++) {
        double f = field[q * stride], at = h * (double)q;
        room->value[q] = f;
        if (isinf(f))
            continue;
        for (; top >= 0; top--) {
            int64_t u = room->apex[top];
            double from = h * (double)u;
            double crossing = ((f + at * at) - (room->value[u] + from * from)) / (2 * h * (double)(q - u));
            room->until[top] = crossing;
            if (top == 0 || crossing > room->until[top - 1])
                break;
        }
        room->apex[++top] = q;
    }
    if (top < 0)
        return; /* no feature: all stays infinite */
    room->until[top] = INFINITY;
    for (int64_t p = 0, k = 0; p < length; p++) {
        while (room->until[k] < h * (double)p)
            k++;
        double distance = h * (double)(p - room->apex[k]);
        field[p * stride] = (float)(distance * distance + room->value[room->apex[k]]);
    }
}

sn_status sn_distance_transform(float *field, const int64_t extent[3], const double spacing_mm[3],
                                sn_error *error)
{
    line room;
    int64_t longest = extent[0] > extent[1] ? extent[0] : extent[1];
    sn_status status = line_init(&room, longest > extent[2] ? longest : extent[2], error);
    for (int axis = 2; status == SN_OK && axis >= 0; axis--) {
        int64_t before = 1, after = 1;
        for (int a = 0; a < axis; a++)
            before *= extent[a];
        for (int a = axis + 1; a < 3; a++)
            after *= extent[a];
        for (int64_t b = 0; b < before; b++)
            for (int64_t a = 0; a < after; a++)
                line_transform(field + b * extent[axis] * after + a, extent[axis], after, spacing_mm[axis],
                               &room);
    }
    line_clear(&room);
    return status;
}

/* The box that holds the label in both maps. */
typedef struct box {
    int64_t first[3], extent[3];
} box;

/* Grow last/first bounds by the voxels of one map; true where it has the label at all. */
static bool bounds_grow(int64_t first[3], int64_t last[3], const int32_t *map, const int64_t extent[3],
                        int32_t label)
{
    bool found = false;
    for (int64_t d = 0; d < extent[0]; d++)
        for (int64_t h = 0; h < extent[1]; h++)
            for (int64_t w = 0; w < extent[2]; w++) {
                const int64_t voxel[3] = {d, h, w};
                if (*map++ != label)
                    continue;
                found = true;
                for (int axis = 0; axis < 3; axis++) {
                    first[axis] = voxel[axis] < first[axis] ? voxel[axis] : first[axis];
                    last[axis] = voxel[axis] > last[axis] ? voxel[axis] : last[axis];
                }
            }
    return found;
}

/* The surface voxels of one label: their places in the box, and the distance field of the box. */
typedef struct surface {
    int64_t *places;
    int64_t count;
    float *field; /* (box) */
} surface;

static void surface_clear(surface *self)
{
    sn_free(self->places);
    sn_free(self->field);
}

/* True where a voxel of the label has a face neighbour without it or outside the image. */
static bool on_surface(const int32_t *map, const int64_t voxel[3], const int64_t extent[3])
{
    const int64_t stride[3] = {extent[1] * extent[2], extent[2], 1};
    const int32_t *here = map + voxel[0] * stride[0] + voxel[1] * stride[1] + voxel[2];
    for (int axis = 0; axis < 3; axis++)
        if (voxel[axis] == 0 || voxel[axis] == extent[axis] - 1 || here[-stride[axis]] != *here ||
            here[stride[axis]] != *here)
            return true;
    return false;
}

static sn_status surface_init(surface *self, const int32_t *map, const int64_t extent[3], const box *bounds,
                              const double spacing_mm[3], int32_t label, sn_error *error)
{
    sn_status status;
    int64_t voxels = bounds->extent[0] * bounds->extent[1] * bounds->extent[2], place = 0;
    *self = (surface){0};
    SN_TRY(sn_alloc(&self->field, (size_t)voxels, sizeof *self->field, error));
    for (int64_t d = 0; d < bounds->extent[0]; d++)
        for (int64_t h = 0; h < bounds->extent[1]; h++)
            for (int64_t w = 0; w < bounds->extent[2]; w++) {
                const int64_t at[3] = {bounds->first[0] + d, bounds->first[1] + h, bounds->first[2] + w};
                bool in = map[(at[0] * extent[1] + at[1]) * extent[2] + at[2]] == label;
                bool feature = in && on_surface(map, at, extent);
                self->field[place++] = feature ? 0 : INFINITY;
                self->count += feature;
            }
    SN_TRY(sn_alloc(&self->places, (size_t)self->count, sizeof *self->places, error));
    for (int64_t v = 0, n = 0; v < voxels; v++)
        if (self->field[v] == 0)
            self->places[n++] = v;
    SN_TRY(sn_distance_transform(self->field, bounds->extent, spacing_mm, error));
done:
    return status;
}

static int float_compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The 95th percentile of the distances from surface `from` to surface `to`, in mm. */
static sn_status directed_percentile(double *percentile_mm, const surface *from, const surface *to,
                                     sn_error *error)
{
    float *squares;
    sn_status status = sn_alloc(&squares, (size_t)from->count, sizeof *squares, error);
    if (status != SN_OK)
        return status;
    for (int64_t n = 0; n < from->count; n++)
        squares[n] = to->field[from->places[n]];
    qsort(squares, (size_t)from->count, sizeof *squares, float_compare);
    double rank = 0.95 * (double)(from->count - 1);
    int64_t below = (int64_t)rank, above = below + 1 < from->count ? below + 1 : below;
    double low = sqrt(squares[below]), high = sqrt(squares[above]);
    *percentile_mm = low + (rank - (double)below) * (high - low);
    sn_free(squares);
    return SN_OK;
}

sn_status sn_hd95(double *hd95_mm, const int32_t *reference, const int32_t *prediction,
                  const int64_t extent[3], const double spacing_mm[3], int32_t label, sn_error *error)
{
    sn_status status;
    surface a = {0}, b = {0};
    int64_t last[3] = {-1, -1, -1};
    box bounds = {.first = {INT64_MAX, INT64_MAX, INT64_MAX}};
    double a_to_b, b_to_a;
    bool in_reference = bounds_grow(bounds.first, last, reference, extent, label);
    bool in_prediction = bounds_grow(bounds.first, last, prediction, extent, label);
    if (!in_reference || !in_prediction) {
        *hd95_mm = in_reference || in_prediction ? INFINITY : NAN;
        return SN_OK;
    }
    for (int axis = 0; axis < 3; axis++)
        bounds.extent[axis] = last[axis] - bounds.first[axis] + 1;
    SN_TRY(surface_init(&a, reference, extent, &bounds, spacing_mm, label, error));
    SN_TRY(surface_init(&b, prediction, extent, &bounds, spacing_mm, label, error));
    SN_TRY(directed_percentile(&a_to_b, &a, &b, error));
    SN_TRY(directed_percentile(&b_to_a, &b, &a, error));
    *hd95_mm = fmax(a_to_b, b_to_a);
done:
    surface_clear(&a);
    surface_clear(&b);
    return status;
}

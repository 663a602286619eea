#include "dataset/field.h"

#include <math.h>

#include "base/memory.h"

struct sn_field {
    int components;
    int64_t count[3]; /* lattice points along D,H,W; the first lies one step before voxel 0 */
    double step[3];
    double *coefficients; /* (count D, count H, count W, components) */
};

sn_status sn_field_create(sn_field **field, int components, const int64_t extent[3], const double step[3],
                          double amplitude, sn_random *random, sn_error *error)
{
    sn_status status;
    sn_field *self = NULL;
    int64_t total = components;
    *field = NULL;
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->components = components;
    for (int a = 0; a < 3; a++) {
        self->step[a] = step[a];
        self->count[a] = (int64_t)floor((double)(extent[a] - 1) / step[a]) + 4;
        total *= self->count[a];
    }
    SN_TRY(sn_alloc(&self->coefficients, (size_t)total, sizeof *self->coefficients, error));
    for (int64_t i = 0; i < total; i++)
        self->coefficients[i] = amplitude * (2 * sn_random_uniform(random) - 1);
    *field = self;
    self = NULL;
done:
    sn_field_free(self);
    return status;
}

void sn_field_free(sn_field *field)
{
    if (field == NULL)
        return;
    sn_free(field->coefficients);
    sn_free(field);
}

/* The four uniform cubic B-splines at u in [0, 1); they sum to 1. */
static void splines(double weights[4], double u)
{
    weights[0] = (1 - u) * (1 - u) * (1 - u) / 6;
    weights[1] = (3 * u * u * u - 6 * u * u + 4) / 6;
    weights[2] = (-3 * u * u * u + 3 * u * u + 3 * u + 1) / 6;
    weights[3] = u * u * u / 6;
}

void sn_field_evaluate(double *values, const sn_field *field, const int64_t voxel[3])
{
    double weights[3][4];
    int64_t first[3];
    for (int a = 0; a < 3; a++) {
        double position = (double)voxel[a] / field->step[a];
        first[a] = (int64_t)floor(position);
        splines(weights[a], position - (double)first[a]);
    }
    for (int k = 0; k < field->components; k++)
        values[k] = 0;
    for (int d = 0; d < 4; d++)
        for (int h = 0; h < 4; h++) {
            int64_t row = ((first[0] + d) * field->count[1] + first[1] + h) * field->count[2] + first[2];
            const double *point = field->coefficients + row * field->components;
            for (int w = 0; w < 4; w++)
                for (int k = 0; k < field->components; k++)
                    values[k] += weights[0][d] * weights[1][h] * weights[2][w] * *point++;
        }
}

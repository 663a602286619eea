#include "dataset/augment.h"

#include <math.h>
#include <string.h>

#include "base/random.h"

/* Uniform in [-limit, limit). */
static double uniform_about_zero(sn_random *random, double limit)
{
    return limit * (2 * sn_random_uniform(random) - 1);
}

bool sn_augment_draw(double matrix[3][4], const int64_t size[3], uint64_t seed, uint32_t epoch,
                     uint32_t case_index)
{
    static const double identity[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    sn_random random = sn_random_begin(seed, SN_RANDOM_AUGMENT, (uint64_t)epoch << 32 | case_index);
    memcpy(matrix, identity, sizeof identity);
    if (sn_random_uniform(&random) >= SN_AUGMENT_CHANCE)
        return false;

    double angle = uniform_about_zero(&random, SN_AUGMENT_ROTATION_DEG) * 3.14159265358979323846 / 180;
    double shift[3];
    for (int a = 0; a < 3; a++)
        shift[a] = uniform_about_zero(&random, SN_AUGMENT_SHIFT) * (double)size[a];
    double scale = 1 + uniform_about_zero(&random, SN_AUGMENT_SCALE);

    matrix[0][0] = 1 / scale;
    matrix[1][1] = matrix[2][2] = cos(angle) / scale;
    matrix[1][2] = -sin(angle) / scale;
    matrix[2][1] = sin(angle) / scale;
    for (int row = 0; row < 3; row++) { /* the offset of c + R (p - c - t) / s */
        matrix[row][3] = (double)(size[row] - 1) / 2;
        for (int a = 0; a < 3; a++)
            matrix[row][3] -= matrix[row][a] * ((double)(size[a] - 1) / 2 + shift[a]);
    }
    return true;
}

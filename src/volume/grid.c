#include "volume/grid.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* From nifti1.h. */
enum {
    XFORM_ALIGNED = 2, /* what a made grid's sform_code says: NIFTI_XFORM_ALIGNED_ANAT */
    UNITS_SPACE = 7,   /* the bits of xyzt_units about space */
    UNITS_METRE = 1,
    UNITS_MM = 2,
    UNITS_MICRON = 3,
};

static double determinant(const double affine[3][4])
{
    return affine[0][0] * (affine[1][1] * affine[2][2] - affine[1][2] * affine[2][1]) -
           affine[0][1] * (affine[1][0] * affine[2][2] - affine[1][2] * affine[2][0]) +
           affine[0][2] * (affine[1][0] * affine[2][1] - affine[1][1] * affine[2][0]);
}

/* The length in mm of affine column `column`. */
static double column_length(const sn_grid *grid, int column)
{
    return sqrt(grid->affine[0][column] * grid->affine[0][column] +
                grid->affine[1][column] * grid->affine[1][column] +
                grid->affine[2][column] * grid->affine[2][column]);
}

/* A header that holds the affine in its sform alone. */
static void header_make(sn_grid *grid)
{
    grid->header = (sn_grid_header){.sform_code = XFORM_ALIGNED, .xyzt_units = UNITS_MM};
    grid->header.pixdim[0] = 1;
    for (int column = 0; column < 3; column++)
        grid->header.pixdim[1 + column] = column_length(grid, column);
}

sn_status sn_grid_make(sn_grid *grid, const int64_t extent[3], const double affine[3][4], sn_error *error)
{
    double product = 1;
    for (int axis = 0; axis < 3; axis++)
        if (extent[axis] < 1)
            return sn_error_set(error, SN_ERR_ARG,
                                "grid: extent %" PRId64 "x%" PRId64 "x%" PRId64
                                " must be at least 1 on each axis",
                                extent[0], extent[1], extent[2]);
    for (int axis = 0; axis < 3; axis++)
        grid->extent[axis] = extent[axis];
    for (int row = 0; row < 3; row++)
        for (int column = 0; column < 4; column++)
            grid->affine[row][column] = affine[row][column];
    for (int column = 0; column < 3; column++)
        product *= column_length(grid, column);
    /* Also false for NaN. A volume below a millionth of the box's means axes that lie in one plane. */
    if (!(fabs(determinant(affine)) > 1e-6 * product) || !isfinite(product) ||
        !isfinite(affine[0][3] + affine[1][3] + affine[2][3]))
        return sn_error_set(error, SN_ERR_ARG, "grid: the affine is singular or not finite");
    header_make(grid);
    return SN_OK;
}

double sn_grid_unit_mm(const sn_grid_header *header)
{
    switch (header->xyzt_units & UNITS_SPACE) {
    case UNITS_METRE:
        return 1e3;
    case UNITS_MICRON:
        return 1e-3;
    default:
        return 1;
    }
}

int64_t sn_grid_voxels(const sn_grid *grid)
{
    return grid->extent[0] * grid->extent[1] * grid->extent[2];
}

void sn_grid_spacing(double spacing_mm[3], const sn_grid *grid)
{
    for (int axis = 0; axis < 3; axis++)
        spacing_mm[axis] = column_length(grid, 2 - axis);
}

double sn_grid_voxel_volume(const sn_grid *grid)
{
    return fabs(determinant(grid->affine));
}

void sn_grid_position(double position_mm[3], const sn_grid *grid, const double voxel[3])
{
    for (int row = 0; row < 3; row++)
        position_mm[row] = grid->affine[row][0] * voxel[2] + grid->affine[row][1] * voxel[1] +
                           grid->affine[row][2] * voxel[0] + grid->affine[row][3];
}

void sn_grid_map(double map[3][4], const sn_grid *from, const sn_grid *to)
{
    /* to.affine * v_to = from.affine * v_from, solved by Cramer's rule: the inverse's rows are cross
     * products. */
    const double(*a)[4] = to->affine;
    double scale = 1 / determinant(a);
    for (int row = 0; row < 3; row++) {
        int p = (row + 1) % 3, q = (row + 2) % 3; /* the other two columns of `to` */
        double inverse[3] = {
            scale * (a[1][p] * a[2][q] - a[2][p] * a[1][q]),
            scale * (a[2][p] * a[0][q] - a[0][p] * a[2][q]),
            scale * (a[0][p] * a[1][q] - a[1][p] * a[0][q]),
        };
        double *out = map[2 - row];
        for (int column = 0; column < 3; column++)
            out[2 - column] = inverse[0] * from->affine[0][column] + inverse[1] * from->affine[1][column] +
                              inverse[2] * from->affine[2][column];
        out[3] = inverse[0] * (from->affine[0][3] - a[0][3]) + inverse[1] * (from->affine[1][3] - a[1][3]) +
                 inverse[2] * (from->affine[2][3] - a[2][3]);
    }
}

sn_orientation sn_grid_orientation(const sn_grid *grid)
{
    /* Columns by world row (x, y, z); of equal sums the first wins, so unturned axes are preferred. */
    static const int permutations[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    const int *best = permutations[0];
    double best_sum = -1;
    for (int p = 0; p < 6; p++) {
        double sum = 0;
        for (int row = 0; row < 3; row++) {
            int column = permutations[p][row];
            sum += fabs(grid->affine[row][column]) / column_length(grid, column);
        }
        if (sum > best_sum + 1e-9) {
            best_sum = sum;
            best = permutations[p];
        }
    }
    sn_orientation orientation;
    for (int axis = 0; axis < 3; axis++) {
        int row = 2 - axis;
        orientation.axis[axis] = 2 - best[row];
        orientation.flip[axis] = grid->affine[row][best[row]] < 0;
    }
    return orientation;
}

void sn_grid_canonical(sn_grid *canonical, const sn_grid *grid)
{
    sn_orientation orientation = sn_grid_orientation(grid);
    sn_grid out = {0};
    double corner[3] = {0}, origin[3]; /* the voxel of `grid` that becomes (0,0,0) */
    for (int axis = 0; axis < 3; axis++) {
        int from = orientation.axis[axis];
        double sign = orientation.flip[axis] ? -1 : 1;
        out.extent[axis] = grid->extent[from];
        for (int row = 0; row < 3; row++)
            out.affine[row][2 - axis] = sign * grid->affine[row][2 - from];
        if (orientation.flip[axis])
            corner[from] = (double)(grid->extent[from] - 1);
    }
    sn_grid_position(origin, grid, corner);
    for (int row = 0; row < 3; row++)
        out.affine[row][3] = origin[row];
    header_make(&out);
    *canonical = out;
}

sn_status sn_grid_isotropic(sn_grid *isotropic, const sn_grid *grid, double spacing_mm, sn_error *error)
{
    sn_grid out;
    double spacing[3], centre[3], centre_mm[3], offset_mm[3];
    if (!(spacing_mm > 0) || !isfinite(spacing_mm))
        return sn_error_set(error, SN_ERR_ARG, "grid: spacing %g mm must be above 0", spacing_mm);
    sn_grid_canonical(&out, grid);
    sn_grid_spacing(spacing, &out);
    for (int axis = 0; axis < 3; axis++)
        centre[axis] = 0.5 * (double)(out.extent[axis] - 1);
    sn_grid_position(centre_mm, &out, centre);
    for (int axis = 0; axis < 3; axis++) {
        double extent = round((double)out.extent[axis] * spacing[axis] / spacing_mm);
        if (extent > INT32_MAX)
            return sn_error_set(error, SN_ERR_ARG,
                                "grid: spacing %g mm gives %g voxels on an axis: choose a larger one",
                                spacing_mm, extent);
        out.extent[axis] = extent < 1 ? 1 : (int64_t)extent;
        centre[axis] = 0.5 * (double)(out.extent[axis] - 1);
        for (int row = 0; row < 3; row++)
            out.affine[row][2 - axis] *= spacing_mm / spacing[axis];
    }
    sn_grid_position(offset_mm, &out, centre);
    for (int row = 0; row < 3; row++)
        out.affine[row][3] += centre_mm[row] - offset_mm[row];
    header_make(&out);
    *isotropic = out;
    return SN_OK;
}

sn_status sn_grid_box(sn_grid *boxed, const sn_grid *grid, const int64_t box[3], sn_error *error)
{
    double first[3], origin[3];
    sn_grid out = *grid;
    for (int axis = 0; axis < 3; axis++) {
        if (box[axis] < 1)
            return sn_error_set(error, SN_ERR_ARG,
                                "grid: box %" PRId64 "x%" PRId64 "x%" PRId64
                                " must be at least 1 on each axis",
                                box[0], box[1], box[2]);
        first[axis] = -floor(0.5 * (double)(box[axis] - grid->extent[axis]));
        out.extent[axis] = box[axis];
    }
    sn_grid_position(origin, grid, first);
    for (int row = 0; row < 3; row++)
        out.affine[row][3] = origin[row];
    header_make(&out);
    *boxed = out;
    return SN_OK;
}

bool sn_grid_equal(const sn_grid *a, const sn_grid *b, double tolerance_mm,
                   char difference[SN_GRID_DIFFERENCE])
{
    char unused[SN_GRID_DIFFERENCE];
    char *text = difference == NULL ? unused : difference;
    const int64_t *e = a->extent, *f = b->extent;
    text[0] = '\0';
    if (e[0] != f[0] || e[1] != f[1] || e[2] != f[2]) {
        snprintf(text, SN_GRID_DIFFERENCE,
                 "shapes differ: %" PRId64 "x%" PRId64 "x%" PRId64 " and %" PRId64 "x%" PRId64 "x%" PRId64,
                 e[0], e[1], e[2], f[0], f[1], f[2]);
        return false;
    }
    double worst = 0, worst_voxel[3] = {0};
    for (int corner = 0; corner < 8; corner++) {
        double voxel[3], p[3], q[3];
        for (int axis = 0; axis < 3; axis++)
            voxel[axis] = corner >> axis & 1 ? (double)(e[axis] - 1) : 0;
        sn_grid_position(p, a, voxel);
        sn_grid_position(q, b, voxel);
        double distance = sqrt((p[0] - q[0]) * (p[0] - q[0]) + (p[1] - q[1]) * (p[1] - q[1]) +
                               (p[2] - q[2]) * (p[2] - q[2]));
        if (distance > worst) {
            worst = distance;
            for (int axis = 0; axis < 3; axis++)
                worst_voxel[axis] = voxel[axis];
        }
    }
    if (worst <= tolerance_mm)
        return true;
    snprintf(text, SN_GRID_DIFFERENCE,
             "affines differ: voxel (%g,%g,%g) of one lies %.4g mm from that of the other", worst_voxel[2],
             worst_voxel[1], worst_voxel[0], worst);
    return false;
}

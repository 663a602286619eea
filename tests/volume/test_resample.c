/* Resampling against functions of position and naive sums in double. */
#include "cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "volume/labeller.h"
#include "volume/resample.h"

static sn_grid grid_of(int64_t d, int64_t h, int64_t w, const double affine[3][4])
{
    sn_grid grid;
    const int64_t extent[3] = {d, h, w};
    assert_int_equal(sn_grid_make(&grid, extent, affine, NULL), SN_OK);
    return grid;
}

/* An oblique grid whose axes have unequal spacing and whose canonical order is another one. */
static sn_grid oblique(int64_t d, int64_t h, int64_t w)
{
    double c = cos(0.2), s = sin(0.2);
    const double affine[3][4] = {{0, -0.8 * c, 2 * s, 10}, {1.1, 0, 0, -20}, {0, 0.8 * s, 2 * c, 5}};
    return grid_of(d, h, w, affine);
}

static sn_volume *volume_of(const sn_grid *grid, int64_t channels)
{
    sn_volume *volume;
    assert_int_equal(sn_volume_create(&volume, grid, channels, NULL), SN_OK);
    return volume;
}

static sn_volume *resampled(const sn_volume *in, const sn_grid *target)
{
    sn_error error = SN_ERROR_INIT;
    sn_volume *out;
    if (sn_volume_resample(&out, in, target, 2, &error) != SN_OK)
        fail_msg("%s", error.text);
    return out;
}

/* The index (d,h,w) of the v-th voxel. */
static void voxel_of(double voxel[3], const sn_grid *grid, int64_t v)
{
    voxel[0] = (double)(v / (grid->extent[1] * grid->extent[2]));
    voxel[1] = (double)(v / grid->extent[2] % grid->extent[1]);
    voxel[2] = (double)(v % grid->extent[2]);
}

/* The place in grid `to` of the v-th voxel of grid `from`. */
static void place_of(double place[3], const sn_grid *to, const sn_grid *from, int64_t v)
{
    double map[3][4], voxel[3];
    sn_grid_map(map, from, to);
    voxel_of(voxel, from, v);
    for (int r = 0; r < 3; r++)
        place[r] = map[r][0] * voxel[0] + map[r][1] * voxel[1] + map[r][2] * voxel[2] + map[r][3];
}

/* A linear function of position in mm. */
static double ramp(const sn_grid *grid, int64_t v)
{
    double voxel[3], mm[3];
    voxel_of(voxel, grid, v);
    sn_grid_position(mm, grid, voxel);
    return 0.3 * mm[0] - 0.7 * mm[1] + 0.2 * mm[2] + 3;
}

static void a_linear_ramp_is_interpolated_exactly(void **state)
{
    (void)state;
    static const double spacings[] = {0.31, 0.5, 0.8}; /* coarser than no axis */
    sn_grid source = oblique(9, 14, 12), target;
    sn_volume *in = volume_of(&source, 1);
    for (int64_t v = 0; v < sn_grid_voxels(&source); v++)
        in->data[v] = (float)ramp(&source, v);
    for (int s = 0; s < 3; s++) {
        int64_t tested = 0;
        assert_int_equal(sn_grid_isotropic(&target, &source, spacings[s], NULL), SN_OK);
        sn_volume *out = resampled(in, &target);
        for (int64_t v = 0; v < sn_grid_voxels(&target); v++) {
            double place[3];
            bool between = true; /* between centres, not in the outer half voxel */
            place_of(place, &source, &target, v);
            for (int axis = 0; axis < 3; axis++)
                between = between && place[axis] >= 0 && place[axis] <= (double)source.extent[axis] - 1;
            if (!between)
                continue;
            assert_true(fabs(out->data[v] - ramp(&target, v)) < 2e-5);
            tested++;
        }
        assert_true(tested > sn_grid_voxels(&target) / 2);
        sn_volume_free(out);
    }
    sn_volume_free(in);
}

static void a_constant_stays_inside_and_is_zero_outside(void **state)
{
    (void)state;
    static const int64_t box[3] = {40, 41, 42};
    sn_grid source = oblique(5, 6, 7), fine, target;
    sn_volume *in = volume_of(&source, 2);
    for (int64_t v = 0; v < 2 * sn_grid_voxels(&source); v++)
        in->data[v] = v < sn_grid_voxels(&source) ? 5 : -3;
    for (int s = 0; s < 2; s++) {
        int64_t inside = 0;
        assert_int_equal(sn_grid_isotropic(&fine, &source, s == 0 ? 0.6 : 1.9, NULL), SN_OK);
        assert_int_equal(sn_grid_box(&target, &fine, box, NULL), SN_OK);
        sn_volume *out = resampled(in, &target);
        int64_t voxels = sn_grid_voxels(&target);
        for (int64_t v = 0; v < voxels; v++) {
            double place[3];
            bool in_box = true;
            place_of(place, &source, &target, v);
            for (int axis = 0; axis < 3; axis++)
                in_box = in_box && place[axis] > -0.5 && place[axis] < (double)source.extent[axis] - 0.5;
            assert_true(fabs(out->data[v] - (in_box ? 5 : 0)) < 1e-5);
            assert_true(fabs(out->data[voxels + v] + (in_box ? 3 : 0)) < 1e-5);
            inside += in_box;
        }
        /* What was resampled lies wholly inside: rounding the extent never reaches beyond the image. */
        assert_int_equal(inside, sn_grid_voxels(&fine));
        sn_volume_free(out);
    }
    sn_volume_free(in);
}

/* The definition of the filter, directly: a sum over all source voxels. */
static double filtered(const sn_volume *in, const double place[3], const double radius[3])
{
    const int64_t *e = in->grid.extent;
    double sum = 0, weights = 0;
    for (int64_t v = 0; v < sn_grid_voxels(&in->grid); v++) {
        double voxel[3], weight = 1;
        voxel_of(voxel, &in->grid, v);
        for (int axis = 0; axis < 3; axis++)
            weight *= fmax(0, 1 - fabs(voxel[axis] - place[axis]) / radius[axis]);
        sum += weight * in->data[v];
        weights += weight;
    }
    for (int axis = 0; axis < 3; axis++)
        if (place[axis] < -0.5 || place[axis] > (double)e[axis] - 0.5)
            return 0;
    return sum / weights;
}

static void coarser_axes_are_averaged_by_a_wider_triangle(void **state)
{
    (void)state;
    sn_random random = sn_random_begin(1, SN_RANDOM_TEST, 0);
    sn_grid source = oblique(6, 13, 9), isotropic, target;
    sn_volume *in = volume_of(&source, 1);
    double spacing[3], radius[3];
    for (int64_t v = 0; v < sn_grid_voxels(&source); v++)
        in->data[v] = (float)sn_random_normal(&random);
    sn_grid_spacing(spacing, &source);
    for (double s = 0.9; s < 4; s += 0.7) {
        assert_int_equal(sn_grid_isotropic(&isotropic, &source, s, NULL), SN_OK);
        assert_int_equal(sn_grid_box(&target, &isotropic, (const int64_t[]){9, 8, 17}, NULL), SN_OK);
        for (int axis = 0; axis < 3; axis++)
            radius[axis] = fmax(1, s / spacing[axis]);
        sn_volume *out = resampled(in, &target);
        for (int64_t v = 0; v < sn_grid_voxels(&target); v++) {
            double place[3];
            place_of(place, &source, &target, v);
            assert_true(fabs(out->data[v] - filtered(in, place, radius)) < 1e-5);
        }
        sn_volume_free(out);
    }
    sn_volume_free(in);
}

static void a_marked_voxel_stays_where_it_is_in_the_patient(void **state)
{
    (void)state;
    static const double spacings[] = {0.45, 1.0, 2.3};
    sn_grid source = oblique(11, 13, 12), isotropic, target;
    sn_volume *in = volume_of(&source, 1);
    const double marked[3] = {5, 7, 6};
    double expected[3];
    in->data[(5 * 13 + 7) * 12 + 6] = 100;
    sn_grid_position(expected, &source, marked);
    for (int s = 0; s < 3; s++) {
        double centroid[3] = {0}, sum = 0;
        assert_int_equal(sn_grid_isotropic(&isotropic, &source, spacings[s], NULL), SN_OK);
        assert_int_equal(sn_grid_box(&target, &isotropic, (const int64_t[]){64, 64, 64}, NULL), SN_OK);
        sn_volume *out = resampled(in, &target);
        for (int64_t v = 0; v < sn_grid_voxels(&target); v++) {
            double voxel[3], mm[3];
            voxel_of(voxel, &target, v);
            sn_grid_position(mm, &target, voxel);
            for (int r = 0; r < 3; r++)
                centroid[r] += out->data[v] * mm[r];
            sum += out->data[v];
        }
        for (int r = 0; r < 3; r++) /* sampling a triangle moves its centroid by less than a quarter voxel */
            assert_true(fabs(centroid[r] / sum - expected[r]) < 0.25 * spacings[s]);
        sn_volume_free(out);
    }
    sn_volume_free(in);
}

static void relabelling_padding_and_cropping_copy_values_exactly(void **state)
{
    (void)state;
    sn_random random = sn_random_begin(2, SN_RANDOM_TEST, 0);
    sn_grid source = oblique(4, 5, 6), canonical, boxed;
    sn_volume *in = volume_of(&source, 2);
    for (int v = 0; v < 240; v++)
        in->data[v] = (float)sn_random_normal(&random);
    sn_grid_canonical(&canonical, &source);
    assert_int_equal(sn_grid_box(&boxed, &canonical, (const int64_t[]){9, 9, 9}, NULL), SN_OK);
    sn_volume *out = resampled(in, &boxed), *back = resampled(out, &source);
    assert_memory_equal(back->data, in->data, 240 * sizeof(float));
    sn_volume_free(in);
    sn_volume_free(out);
    sn_volume_free(back);
}

static void zeros_stay_zero_where_grids_agree_up_to_rounding(void **state)
{
    (void)state;
    static const double affine[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    const double rounded[3][4] = {{1 + 1e-7, 0, 0, 1e-6}, {0, 1 - 1e-7, 0, 0}, {0, 0, 1 + 1e-7, -1e-6}};
    sn_grid source = grid_of(20, 20, 20, affine), target = grid_of(20, 20, 20, rounded);
    sn_volume *in = volume_of(&source, 1);
    for (int v = 0; v < 8000; v += 3)
        in->data[v] = 1000;
    sn_volume *out = resampled(in, &target), *back = resampled(in, &source);
    assert_memory_equal(out->data, in->data, 8000 * sizeof(float));
    assert_memory_equal(back->data, in->data, 8000 * sizeof(float));
    sn_volume_free(in);
    sn_volume_free(out);
    sn_volume_free(back);
}

static void labels_take_their_nearest_voxel(void **state)
{
    (void)state;
    static const double affine[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    static const double target_affine[3][4] = {{-0.75, 0, 0, 3.4}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    static const int32_t values[4] = {7, -8, 2035, 1};
    /* Places 3.4, 2.65, 1.9, 1.15, 0.4, -0.35, -1.1 */
    static const int32_t expected[7] = {1, 1, 2035, -8, 7, 7, 0};
    sn_grid source = grid_of(1, 1, 4, affine), target = grid_of(1, 1, 7, target_affine);
    sn_labelmap *in, *out;
    assert_int_equal(sn_labelmap_create(&in, &source, NULL), SN_OK);
    memcpy(in->data, values, sizeof values);
    assert_int_equal(sn_labelmap_resample(&out, in, &target, NULL), SN_OK);
    assert_memory_equal(out->data, expected, sizeof expected);
    sn_labelmap_free(in);
    sn_labelmap_free(out);
}

static void an_image_ends_at_the_outer_faces_of_its_voxels(void **state)
{
    (void)state;
    static const double affine[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    static const double shifts[4] = {-0.55, -0.45, 3.45, 3.55}; /* of a single target voxel */
    static const float expected[4] = {0, 2, 5, 0};
    sn_grid source = grid_of(1, 1, 4, affine);
    sn_volume *in = volume_of(&source, 1);
    sn_labelmap *labels, *moved;
    assert_int_equal(sn_labelmap_create(&labels, &source, NULL), SN_OK);
    for (int v = 0; v < 4; v++) {
        labels->data[v] = v + 2;
        in->data[v] = (float)(v + 2);
    }
    for (int s = 0; s < 4; s++) {
        const double shifted[3][4] = {{1, 0, 0, shifts[s]}, {0, 1, 0, 0}, {0, 0, 1, 0}};
        sn_grid target = grid_of(1, 1, 1, shifted);
        sn_volume *out = resampled(in, &target);
        assert_true(out->data[0] == expected[s]);
        assert_int_equal(sn_labelmap_resample(&moved, labels, &target, NULL), SN_OK);
        assert_int_equal(moved->data[0], (int)expected[s]);
        sn_volume_free(out);
        sn_labelmap_free(moved);
    }
    sn_volume_free(in);
    sn_labelmap_free(labels);
}

/* Label a field whose slices come a few at once: beside them only the one before is there, and numbers that are none. */
static sn_labelmap *labelled(const sn_volume *field, const int32_t values[], const sn_grid *target,
                             int64_t few)
{
    sn_error error = SN_ERROR_INIT;
    sn_labeller *labeller;
    sn_labelmap *labels;
    const int64_t depth = field->grid.extent[0], plane = sn_grid_voxels(&field->grid) / depth;
    sn_slices slices = {.depth = few + 1};
    size_t bytes = (size_t)(field->channels * slices.depth * plane) * sizeof(float);
    assert_non_null(slices.data = malloc(bytes));
    assert_int_equal(sn_labelmap_create(&labels, target, NULL), SN_OK);
    if (sn_labeller_create(&labeller, labels, &field->grid, values, field->channels, few % 3 + 1, &error) !=
        SN_OK)
        fail_msg("%s", error.text);
    for (int64_t final = 0; final < depth;) {
        slices.first = final - 1;
        final = final + few < depth ? final + few : depth;
        memset(slices.data, 0xFF, bytes);
        for (int64_t c = 0; c < field->channels; c++)
            for (int64_t d = slices.first < 0 ? 0 : slices.first; d < final; d++)
                memcpy(slices.data + (c * slices.depth + d - slices.first) * plane,
                       field->data + (c * depth + d) * plane, (size_t)plane * sizeof(float));
        sn_labeller_add(labeller, &slices, final);
    }
    sn_labeller_free(labeller);
    free(slices.data);
    return labels;
}

static void a_one_hot_field_gives_its_labels_back(void **state)
{
    (void)state;
    static const int32_t values[4] = {0, 5, 2035, -1};
    sn_random random = sn_random_begin(3, SN_RANDOM_TEST, 0);
    sn_grid native = oblique(6, 7, 8), canonical, network;
    sn_labelmap *labels, *moved, *back;
    assert_int_equal(sn_labelmap_create(&labels, &native, NULL), SN_OK);
    for (int v = 0; v < 336; v++)
        labels->data[v] = values[sn_random_below(&random, 4)];
    sn_grid_canonical(&canonical, &native);
    assert_int_equal(sn_grid_box(&network, &canonical, (const int64_t[]){10, 11, 12}, NULL), SN_OK);
    assert_int_equal(sn_labelmap_resample(&moved, labels, &network, NULL), SN_OK);
    sn_volume *field = volume_of(&network, 4);
    int64_t voxels = sn_grid_voxels(&network);
    for (int64_t v = 0; v < voxels; v++)
        for (int c = 0; c < 4; c++)
            field->data[c * voxels + v] = moved->data[v] == values[c];
    back = labelled(field, values, &native, 3);
    assert_memory_equal(back->data, labels->data, 336 * sizeof(int32_t));
    sn_labelmap_free(labels);
    sn_labelmap_free(moved);
    sn_labelmap_free(back);
    sn_volume_free(field);
}

static void a_prediction_is_the_argmax_of_linear_interpolation(void **state)
{
    (void)state;
    static const int32_t values[3] = {0, 3, 9};
    static const double linear[3] = {1, 1, 1}; /* never a wider triangle: the native D axis is coarser */
    sn_random random = sn_random_begin(4, SN_RANDOM_TEST, 0);
    sn_grid native = oblique(7, 20, 16), isotropic, network;
    assert_int_equal(sn_grid_isotropic(&isotropic, &native, 1.2, NULL), SN_OK);
    assert_int_equal(sn_grid_box(&network, &isotropic, (const int64_t[]){8, 16, 9}, NULL), SN_OK);
    sn_volume *field = volume_of(&network, 3);
    int64_t voxels = sn_grid_voxels(&network), outside = 0;
    for (int64_t v = 0; v < 3 * voxels; v++)
        field->data[v] = (float)sn_random_uniform(&random);
    sn_labelmap *out = labelled(field, values, &native, network.extent[0]);
    for (int64_t v = 0; v < sn_grid_voxels(&native); v++) {
        double place[3], p[3];
        place_of(place, &network, &native, v);
        for (int c = 0; c < 3; c++) {
            sn_volume one = {.grid = network, .channels = 1, .data = field->data + c * voxels};
            p[c] = filtered(&one, place, linear);
        }
        int best = p[1] > p[0] ? 1 : 0;
        best = p[2] > p[best] ? 2 : best;
        outside += p[0] == 0;
        assert_int_equal(out->data[v], values[best]);
    }
    assert_true(outside > 10); /* the network's box does not hold the whole image: background there */
    sn_labelmap_free(out);
    sn_volume_free(field);
}

/* A grid, and others in any order of axes, both ways round, coarser and finer. */
static const double affines[5][3][4] = {
    {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}},
    {{0.4, 0, 0, 0}, {0, 0.7, 0, 0}, {0, 0, 0.9, 0}},
    {{0, 0, 0.8, -1}, {0, -0.7, 0, 17}, {0.5, 0, 0, -1}},
    {{0, 0.8, 0, 0}, {0, 0, -0.8, 17}, {-0.5, 0, 0, 21.2}},
    {{0.45, 0, 0, 0}, {0, 0.75, 0, 0}, {0, 0, -3, 45}},
};

/* Also with several channels and threads, against the filter itself. */
static void any_order_of_axes_is_resampled(void **state)
{
    (void)state;
    sn_random random = sn_random_begin(6, SN_RANDOM_TEST, 0);
    sn_grid source = grid_of(21, 17, 19, affines[0]);
    sn_volume *in = volume_of(&source, 2), *out, *again;
    int64_t voxels = sn_grid_voxels(&source);
    for (int64_t v = 0; v < 2 * voxels; v++)
        in->data[v] = (float)sn_random_uniform(&random);
    for (int a = 1; a < 5; a++) {
        sn_grid target = grid_of(16, 14, 18, affines[a]);
        double map[3][4], radius[3] = {1, 1, 1};
        sn_grid_map(map, &target, &source);
        for (int s = 0; s < 3; s++)
            for (int t = 0; t < 3; t++)
                radius[s] = fmax(radius[s], fabs(map[s][t]));
        assert_int_equal(sn_volume_resample(&out, in, &target, 1, NULL), SN_OK);
        assert_int_equal(sn_volume_resample(&again, in, &target, 3, NULL), SN_OK);
        int64_t count = sn_grid_voxels(&target), inside = 0;
        assert_memory_equal(out->data, again->data, (size_t)(2 * count) * sizeof(float));
        for (int64_t v = 0; v < 2 * count; v++) {
            double place[3];
            sn_volume one = {.grid = source, .channels = 1, .data = in->data + v / count * voxels};
            place_of(place, &source, &target, v % count);
            double expected = filtered(&one, place, radius);
            inside += expected != 0;
            assert_true(fabs(out->data[v] - expected) < 1e-5);
        }
        assert_true(inside > count / 20);
        sn_volume_free(out);
        sn_volume_free(again);
    }
    sn_volume_free(in);
}

static void labels_do_not_depend_on_how_many_slices_come_at_once(void **state)
{
    (void)state;
    static const int32_t values[3] = {0, 3, 9};
    sn_random random = sn_random_begin(5, SN_RANDOM_TEST, 0);
    sn_grid network = grid_of(21, 17, 19, affines[0]);
    sn_volume *field = volume_of(&network, 3);
    for (int64_t v = 0; v < 3 * sn_grid_voxels(&network); v++)
        field->data[v] = (float)sn_random_uniform(&random);
    for (int a = 1; a < 5; a++) {
        sn_grid native = grid_of(24, 26, 48, affines[a]);
        sn_labelmap *whole = labelled(field, values, &native, 21);
        int64_t voxels = sn_grid_voxels(&native), of[10] = {0};
        for (int64_t v = 0; v < voxels; v++)
            of[whole->data[v]]++;
        assert_true(of[3] > voxels / 20 && of[9] > voxels / 20); /* they do overlap */
        for (int64_t few = 1; few < 8; few += 3) {
            sn_labelmap *slowly = labelled(field, values, &native, few);
            assert_memory_equal(slowly->data, whole->data, (size_t)voxels * sizeof(int32_t));
            sn_labelmap_free(slowly);
        }
        sn_labelmap_free(whole);
    }
    sn_volume_free(field);
}

static void grids_that_are_not_parallel_are_refused(void **state)
{
    (void)state;
    double c = cos(0.05), s = sin(0.05);
    const double turned[3][4] = {{c, -s, 0, 0}, {s, c, 0, 0}, {0, 0, 1, 0}};
    static const double straight[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    const double rounded[3][4] = {{1, 1e-5, 0, 0}, {0, 1, -1e-5, 0}, {0, 0, 1, 0}};
    sn_error error = SN_ERROR_INIT;
    sn_grid source = grid_of(5, 5, 5, straight), target = grid_of(5, 5, 5, turned);
    sn_grid nearly = grid_of(5, 5, 5, rounded);
    sn_volume *in = volume_of(&source, 1), *out;
    sn_labelmap *labels, *moved;
    sn_labeller *labeller;
    assert_int_equal(sn_volume_resample(&out, in, &target, 2, &error), SN_ERR_ARG);
    assert_null(out);
    assert_non_null(strstr(error.text, "not parallel"));
    assert_int_equal(sn_labelmap_create(&labels, &source, NULL), SN_OK);
    assert_int_equal(sn_labelmap_resample(&moved, labels, &target, NULL), SN_ERR_ARG);
    labels->grid = target;
    assert_int_equal(sn_labeller_create(&labeller, labels, &source, (const int32_t[]){0}, 1, 1, NULL),
                     SN_ERR_ARG);
    assert_null(labeller);
    assert_int_equal(sn_volume_resample(&out, in, &nearly, 2, NULL), SN_OK); /* what 32-bit headers leave */
    sn_volume_free(out);
    sn_volume_free(in);
    sn_labelmap_free(labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_linear_ramp_is_interpolated_exactly),
        cmocka_unit_test(a_constant_stays_inside_and_is_zero_outside),
        cmocka_unit_test(coarser_axes_are_averaged_by_a_wider_triangle),
        cmocka_unit_test(a_marked_voxel_stays_where_it_is_in_the_patient),
        cmocka_unit_test(relabelling_padding_and_cropping_copy_values_exactly),
        cmocka_unit_test(zeros_stay_zero_where_grids_agree_up_to_rounding),
        cmocka_unit_test(labels_take_their_nearest_voxel),
        cmocka_unit_test(an_image_ends_at_the_outer_faces_of_its_voxels),
        cmocka_unit_test(a_one_hot_field_gives_its_labels_back),
        cmocka_unit_test(a_prediction_is_the_argmax_of_linear_interpolation),
        cmocka_unit_test(any_order_of_axes_is_resampled),
        cmocka_unit_test(labels_do_not_depend_on_how_many_slices_come_at_once),
        cmocka_unit_test(grids_that_are_not_parallel_are_refused),
    };
    return cmocka_run_group_tests_name("resample", tests, NULL, NULL);
}

/* NIfTI files: the bytes are written and inspected here, by the offsets of nifti1.h and nifti2.h. */
#include "cmocka_all.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"
#include "volume/nifti.h"

static char folder[64]; /* a fresh one for each test */

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/segnas3d-nifti-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    return sn_folder_remove(folder, NULL) != SN_OK;
}

static const char *path_of(const char *name)
{
    static char path[4][128];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static int file_count(void)
{
    int count = 0;
    DIR *listing = opendir(folder);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(listing);
    return count;
}

/* Where each field lies, by version. All integers and reals of one version have these sizes. */
typedef struct layout {
    int size, magic, dim, dim_bytes, datatype, bitpix, pixdim, real, vox_offset, slope, units, units_bytes;
    int qform_code, code_bytes, quatern, srow;
} layout;

static const layout layouts[2] = {
    {348, 344, 40, 2, 70, 72, 76, 4, 108, 112, 123, 1, 252, 2, 256, 280},
    {540, 4, 16, 8, 12, 14, 104, 8, 168, 176, 500, 4, 344, 4, 352, 400},
};

/* A file being made: a header and room for the voxels. */
typedef struct bytes {
    int version; /* 1 or 2 */
    bool big;    /* byte order */
    size_t size;
    unsigned char data[8192];
} bytes;

static const layout *layout_of(const bytes *self)
{
    return &layouts[self->version - 1];
}

static void put(bytes *self, size_t offset, const void *value, int size)
{
    for (int b = 0; b < size; b++)
        self->data[offset + (size_t)b] = ((const unsigned char *)value)[self->big ? size - 1 - b : b];
}

static void put_whole(bytes *self, int offset, int64_t value, int size)
{
    put(self, (size_t)offset, &value, size); /* the low bytes: this machine is little endian */
}

static void put_real(bytes *self, int offset, double value)
{
    float single = (float)value;
    if (layout_of(self)->real == 4)
        put(self, (size_t)offset, &single, 4);
    else
        put(self, (size_t)offset, &value, 8);
}

static void put_dims(bytes *self, int count, const int64_t dims[])
{
    const layout *at = layout_of(self);
    put_whole(self, at->dim, count, at->dim_bytes);
    for (int d = 0; d < 7; d++)
        put_whole(self, at->dim + (d + 1) * at->dim_bytes, d < count ? dims[d] : 1, at->dim_bytes);
}

static void put_codes(bytes *self, int qform_code, int sform_code)
{
    const layout *at = layout_of(self);
    put_whole(self, at->qform_code, qform_code, at->code_bytes);
    put_whole(self, at->qform_code + at->code_bytes, sform_code, at->code_bytes);
}

/* quatern_b, c, d and qoffset_x, y, z. */
static void put_qform(bytes *self, const double values[6])
{
    for (int v = 0; v < 6; v++)
        put_real(self, layout_of(self)->quatern + v * layout_of(self)->real, values[v]);
}

static void put_sform(bytes *self, const double affine[12])
{
    for (int v = 0; v < 12; v++)
        put_real(self, layout_of(self)->srow + v * layout_of(self)->real, affine[v]);
}

static void put_pixdim(bytes *self, double qfac, double i, double j, double k)
{
    const double values[4] = {qfac, i, j, k};
    for (int v = 0; v < 4; v++)
        put_real(self, layout_of(self)->pixdim + v * layout_of(self)->real, values[v]);
}

/* A header for (i,j,k) = 3x2x2 voxels of the given type, without forms; size is where the voxels start. */
static bytes file_begin(int version, bool big, int datatype, int bits)
{
    bytes self = {.version = version, .big = big};
    const layout *at = layout_of(&self);
    put_whole(&self, 0, at->size, 4);
    memcpy(self.data + at->magic, version == 1 ? "n+1\0" : "n+2\0\r\n\032\n", version == 1 ? 4 : 8);
    put_dims(&self, 3, (const int64_t[]){3, 2, 2});
    put_whole(&self, at->datatype, datatype, 2);
    put_whole(&self, at->bitpix, bits, 2);
    put_pixdim(&self, 1, 1, 1, 1);
    self.size = (size_t)at->size + 4;
    if (version == 1)
        put_real(&self, at->vox_offset, (double)self.size);
    else
        put_whole(&self, at->vox_offset, (int64_t)self.size, 8);
    return self;
}

static void add_voxel(bytes *self, const void *value, int size)
{
    put(self, self->size, value, size);
    self->size += (size_t)size;
}

static void add_floats(bytes *self, int count, const float values[])
{
    for (int v = 0; v < count; v++)
        add_voxel(self, &values[v], 4);
}

/* Write, compressed where the name says so. */
static const char *file_end(const bytes *self, const char *name)
{
    const char *path = path_of(name);
    gzFile file = gzopen(path, strstr(name, ".gz") == NULL ? "wbT" : "wb");
    assert_int_equal(gzwrite(file, self->data, (unsigned)self->size), (int)self->size);
    assert_int_equal(gzclose(file), Z_OK);
    return path;
}

static void assert_input_error(sn_status status, const sn_error *error, const char *path, const char *part)
{
    assert_int_equal(status, SN_ERR_INPUT);
    if (strstr(error->text, path) == NULL || strstr(error->text, part) == NULL)
        fail_msg("'%s' lacks '%s' or '%s'", error->text, path, part);
    assert_null(strchr(error->text, '\n'));
}

static void assert_volume_error(const char *path, const char *part)
{
    sn_error error = SN_ERROR_INIT;
    sn_volume *volume;
    assert_input_error(sn_nifti_read_volume(&volume, path, &error), &error, path, part);
    assert_null(volume);
}

static void assert_labelmap_error(const char *path, const char *part)
{
    sn_error error = SN_ERROR_INIT;
    sn_labelmap *labelmap;
    assert_input_error(sn_nifti_read_labelmap(&labelmap, path, &error), &error, path, part);
    assert_null(labelmap);
}

static sn_volume *read_volume(const char *path)
{
    sn_error error = SN_ERROR_INIT;
    sn_volume *volume;
    if (sn_nifti_read_volume(&volume, path, &error) != SN_OK)
        fail_msg("%s", error.text);
    return volume;
}

static sn_labelmap *read_labelmap(const char *path)
{
    sn_error error = SN_ERROR_INIT;
    sn_labelmap *labelmap;
    if (sn_nifti_read_labelmap(&labelmap, path, &error) != SN_OK)
        fail_msg("%s", error.text);
    return labelmap;
}

/* The bits of IEEE binary128 for a double that is 0 or normal. */
static void encode_binary128(unsigned char out[16], double value)
{
    uint64_t bits, high, low = 0;
    memcpy(&bits, &value, 8);
    high = bits & 1ull << 63;
    if (value != 0) {
        high |= ((bits >> 52 & 0x7ff) - 1023 + 16383) << 48 | (bits & 0xfffffffffffff) >> 4;
        low = bits << 60;
    }
    memcpy(out, &low, 8);
    memcpy(out + 8, &high, 8);
}

/* One voxel of NIfTI type `type` with this value, which the type can hold. */
static void add_value(bytes *self, int type, double value)
{
    int64_t whole = fabs(value) <= 0x1p62 ? (int64_t)value : 0; /* reals only are larger */
    float single = (float)value;
    unsigned char quad[16];
    switch (type) {
    case 16:
        add_voxel(self, &single, 4);
        break;
    case 64:
        add_voxel(self, &value, 8);
        break;
    case 1536:
        encode_binary128(quad, value);
        add_voxel(self, quad, 16);
        break;
    default:
        add_voxel(self, &whole,
                  type == 2 || type == 256   ? 1
                  : type == 4 || type == 512 ? 2
                  : type == 8 || type == 768 ? 4
                                             : 8);
    }
}

static void every_type_of_both_versions_and_byte_orders_is_read(void **state)
{
    (void)state;
    static const struct {
        int type, bits;
        double low, high;
    } types[] = {
        {2, 8, 0, 255},         {256, 8, -128, 127},          {512, 16, 0, 65535},
        {4, 16, -32768, 32767}, {768, 32, 0, 4294967040.},    {8, 32, -2147483648., 2147483520.},
        {1280, 64, 0, 0x1p62},  {1024, 64, -0x1p62, 0x1p61},  {16, 32, -1.5e30, 1e-30},
        {64, 64, -3.25, 1e30},  {1536, 128, -0.1, 12345.675},
    };
    for (int version = 1; version <= 2; version++)
        for (int big = 0; big < 2; big++)
            for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
                const double values[12] = {types[t].low, types[t].high, 0, 1, 2, 3, 4, 5, 6, 7, 100, 101};
                bytes file = file_begin(version, big, types[t].type, types[t].bits);
                for (int v = 0; v < 12; v++)
                    add_value(&file, types[t].type, values[v]);
                sn_volume *volume = read_volume(file_end(&file, t % 2 == 0 ? "a.nii" : "a.nii.gz"));
                assert_int_equal(volume->channels, 1);
                assert_int_equal(volume->grid.extent[0], 2);
                assert_int_equal(volume->grid.extent[1], 2);
                assert_int_equal(volume->grid.extent[2], 3);
                for (int v = 0; v < 12; v++)
                    assert_true(volume->data[v] == (float)values[v]);
                sn_volume_free(volume);
            }
}

static void scaling_is_applied_unless_the_slope_is_zero_or_nan(void **state)
{
    (void)state;
    static const struct {
        double slope, inter, factor, offset;
    } cases[] = {{2.5, -10, 2.5, -10}, {0, 7, 1, 0}, {NAN, 7, 1, 0}, {-1, 0, -1, 0}};
    for (int c = 0; c < 4; c++) {
        bytes file = file_begin(1, false, 4, 16);
        put_real(&file, 112, cases[c].slope);
        put_real(&file, 116, cases[c].inter);
        for (int v = 0; v < 12; v++)
            add_value(&file, 4, v * 10);
        sn_volume *volume = read_volume(file_end(&file, "a.nii"));
        for (int v = 0; v < 12; v++)
            assert_true(volume->data[v] == (float)(cases[c].factor * v * 10 + cases[c].offset));
        sn_volume_free(volume);
    }
}

static void further_dimensions_become_channels(void **state)
{
    (void)state;
    bytes file = file_begin(1, false, 2, 8);
    put_dims(&file, 5, (const int64_t[]){3, 2, 1, 2, 2});
    for (int v = 0; v < 24; v++)
        add_value(&file, 2, v);
    const char *path = file_end(&file, "a.nii.gz");
    sn_volume *volume = read_volume(path);
    assert_int_equal(volume->channels, 4);
    assert_int_equal(sn_grid_voxels(&volume->grid), 6);
    for (int v = 0; v < 24; v++)
        assert_true(volume->data[v] == (float)v);
    sn_volume_free(volume);
    sn_grid grid;
    int64_t channels;
    assert_int_equal(sn_nifti_read_grid(&grid, &channels, path, NULL), SN_OK);
    assert_int_equal(channels, 4);
    assert_labelmap_error(path, "must be 3D, this one has 4 volumes");
}

static void assert_affine(const char *path, const double expected[12])
{
    sn_grid grid;
    assert_int_equal(sn_nifti_read_grid(&grid, NULL, path, NULL), SN_OK);
    for (int v = 0; v < 12; v++)
        assert_true(fabs(grid.affine[v / 4][v % 4] - expected[v]) < 1e-5);
}

static void sform_comes_before_qform_before_pixdim(void **state)
{
    (void)state;
    static const double sform[12] = {0, -2, 0, 10, 3, 0, 0, -20, 0, 0, 4, 30.5};
    /* A quarter turn about z (b = c = 0, d = sin 45) and qfac -1, which flips the third column. */
    static const double qform[6] = {0, 0, 0.70710678118654752, 5, 6, 7};
    static const double from_qform[12] = {0, -2, 0, 5, 1.5, 0, 0, 6, 0, 0, -3, 7};
    static const double from_pixdim[12] = {1.5, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0};
    for (int version = 1; version <= 2; version++)
        for (int big = 0; big < 2; big++)
            for (int codes = 0; codes < 4; codes++) {
                bytes file = file_begin(version, big, 2, 8);
                put_codes(&file, codes & 1 ? 1 : 0, codes & 2 ? 4 : 0);
                put_pixdim(&file, -1, 1.5, 2, 3);
                put_qform(&file, qform);
                put_sform(&file, sform);
                assert_affine(file_end(&file, "a.nii"), codes & 2   ? sform
                                                        : codes & 1 ? from_qform
                                                                    : from_pixdim);
            }
}

static void a_general_quaternion_is_the_rotation_of_its_formula(void **state)
{
    (void)state;
    double a = 0.8, b = 0.1, c = -0.3, d = sqrt(1 - 0.64 - 0.01 - 0.09);
    const double size[3] = {0.7, 1.1, 5};
    const double rotation[9] = {
        a * a + b * b - c * c - d * d, 2 * (b * c - a * d),           2 * (b * d + a * c),
        2 * (b * c + a * d),           a * a + c * c - b * b - d * d, 2 * (c * d - a * b),
        2 * (b * d - a * c),           2 * (c * d + a * b),           a * a + d * d - b * b - c * c,
    };
    double expected[12];
    for (int row = 0; row < 3; row++) {
        for (int column = 0; column < 3; column++)
            expected[row * 4 + column] = rotation[row * 3 + column] * size[column];
        expected[row * 4 + 3] = -row;
    }
    bytes file = file_begin(1, true, 2, 8);
    put_codes(&file, 1, 0);
    put_pixdim(&file, 1, size[0], size[1], size[2]);
    put_qform(&file, (const double[6]){b, c, d, 0, -1, -2});
    assert_affine(file_end(&file, "a.nii"), expected);
}

static void metres_and_microns_become_millimetres(void **state)
{
    (void)state;
    static const double scale[4] = {1, 1000, 1, 0.001}; /* by unit: unknown, metre, mm, micron */
    for (int version = 1; version <= 2; version++)
        for (int unit = 0; unit < 4; unit++) {
            bytes file = file_begin(version, false, 2, 8);
            put_codes(&file, 0, 1);
            put_sform(&file, (const double[12]){2, 0, 0, 1, 0, 2, 0, 1, 0, 0, 2, 1});
            put_whole(&file, layout_of(&file)->units, unit | 8, layout_of(&file)->units_bytes);
            double m = scale[unit];
            assert_affine(file_end(&file, "a.nii"),
                          (const double[12]){2 * m, 0, 0, m, 0, 2 * m, 0, m, 0, 0, 2 * m, m});
        }
}

static void a_voxel_that_is_not_finite_is_named(void **state)
{
    (void)state;
    static const float bad[2] = {NAN, INFINITY};
    static const char *const parts[2] = {"voxel (1,0,1) is NaN", "voxel (1,0,1) is inf"};
    for (int b = 0; b < 2; b++) {
        float values[12] = {0};
        values[7] = bad[b]; /* i + 3 (j + 2 k), i = 1, j = 0, k = 1 */
        values[9] = bad[b];
        bytes file = file_begin(1, b == 1, 16, 32);
        add_floats(&file, 12, values);
        assert_volume_error(file_end(&file, "a.nii.gz"), parts[b]);
        assert_labelmap_error(path_of("a.nii.gz"), parts[b]);
    }
    bytes file = file_begin(1, false, 64, 64);
    put_dims(&file, 4, (const int64_t[]){3, 2, 1, 2});
    for (int v = 0; v < 12; v++)
        add_value(&file, 64, v == 8 ? 1e300 : v);
    assert_volume_error(file_end(&file, "a.nii"), "voxel (2,0,0) of channel 1 is 1e+300");
}

static void labels_are_whole_numbers_of_32_bits(void **state)
{
    (void)state;
    static const float whole[12] = {0, 2035, -7, 1, 2147483520.f, -2147483648.f, 3, 4, 5, 6, 7, 8};
    bytes file = file_begin(1, false, 16, 32);
    add_floats(&file, 12, whole);
    sn_labelmap *labelmap = read_labelmap(file_end(&file, "a.nii"));
    for (int v = 0; v < 12; v++)
        assert_int_equal(labelmap->data[v], (int64_t)whole[v]);
    sn_labelmap_free(labelmap);

    static const struct {
        float value;
        const char *part;
    } bad[] = {
        {2.5f, "voxel (2,1,0) is 2.5"}, {3e9f, "voxel (2,1,0) is 3e+09"}, {-3e9f, "voxel (2,1,0) is -3e+09"}};
    for (int b = 0; b < 3; b++) {
        float values[12] = {0};
        values[5] = bad[b].value;
        file = file_begin(1, false, 16, 32);
        add_floats(&file, 12, values);
        assert_labelmap_error(file_end(&file, "a.nii"), bad[b].part);
    }

    file = file_begin(1, false, 4, 16);
    put_real(&file, 112, 0.1);
    for (int v = 0; v < 12; v++)
        add_value(&file, 4, v * 10); /* 0.1f * 30 is not quite 3 */
    labelmap = read_labelmap(file_end(&file, "a.nii"));
    for (int v = 0; v < 12; v++)
        assert_int_equal(labelmap->data[v], v);
    sn_labelmap_free(labelmap);
}

static void shorten(const char *path, int64_t by)
{
    char *data;
    size_t size;
    assert_int_equal(sn_file_read(&data, &size, path, NULL), SN_OK);
    assert_int_equal(truncate(path, (off_t)((int64_t)size - by)), 0);
    free(data);
}

static void a_truncated_or_damaged_file_is_an_error(void **state)
{
    (void)state;
    static const int cuts[] = {1, 4, 8, 9, 20, 30};
    for (int compressed = 0; compressed < 2; compressed++)
        for (int c = 0; c < 6; c++) {
            bytes file = file_begin(1, false, 16, 32);
            for (int v = 0; v < 12; v++)
                add_value(&file, 16, v * 1.37);
            const char *path = file_end(&file, compressed ? "a.nii.gz" : "a.nii");
            shorten(path, cuts[c]);
            assert_volume_error(path, "truncated");
        }
    bytes file = file_begin(1, false, 16, 32);
    file.size = 200; /* within the header */
    assert_volume_error(file_end(&file, "b.nii"), "truncated");
    assert_volume_error(file_end(&file, "b.nii.gz"), "truncated");

    char *data;
    size_t size;
    file = file_begin(1, false, 16, 32);
    for (int v = 0; v < 12; v++)
        add_value(&file, 16, v * 1.37);
    const char *path = file_end(&file, "c.nii.gz");
    assert_int_equal(sn_file_read(&data, &size, path, NULL), SN_OK);
    data[size - 6] ^= 1; /* gzip's checksum */
    assert_int_equal(sn_file_write(path, data, size, NULL), SN_OK);
    free(data);
    assert_volume_error(path, "damaged");
}

static void a_header_that_promises_too_much_allocates_nothing(void **state)
{
    (void)state;
    for (int compressed = 0; compressed < 2; compressed++) {
        bytes file = file_begin(2, false, 64, 64);
        put_dims(&file, 3, (const int64_t[]){30000, 30000, 30000});
        file.size += 100;
        const char *path = file_end(&file, compressed ? "a.nii.gz" : "a.nii");
        assert_volume_error(path, "truncated");
        assert_labelmap_error(path, "truncated");
    }
    bytes file = file_begin(2, false, 64, 64);
    put_dims(&file, 4, (const int64_t[]){INT64_C(1) << 40, INT64_C(1) << 40, 3, 3});
    sn_grid grid;
    assert_int_not_equal(sn_nifti_read_grid(&grid, NULL, file_end(&file, "b.nii"), NULL), SN_OK);
}

static void what_is_not_a_usable_nifti_file_is_an_error(void **state)
{
    (void)state;
    assert_volume_error(path_of("missing.nii.gz"), "No such file");
    assert_volume_error(folder, "not a file");
    char noise[1000];
    memset(noise, 'x', sizeof noise);
    assert_int_equal(sn_file_write(path_of("text.nii"), noise, sizeof noise, NULL), SN_OK);
    assert_volume_error(path_of("text.nii"), "not a NIfTI file");
    assert_int_equal(sn_file_write(path_of("empty.nii.gz"), noise, 0, NULL), SN_OK);
    assert_volume_error(path_of("empty.nii.gz"), "truncated");

    bytes file = file_begin(1, false, 2, 8);
    memset(file.data + 344, 0, 4);
    assert_volume_error(file_end(&file, "analyze.hdr"), "ANALYZE");
    file = file_begin(1, false, 32, 64);
    file.size += 12 * 8;
    assert_volume_error(file_end(&file, "complex.nii"), "COMPLEX64");
    file = file_begin(1, false, 128, 24);
    file.size += 12 * 3;
    assert_volume_error(file_end(&file, "colour.nii"), "RGB24");
    file = file_begin(1, false, 2, 8);
    put_codes(&file, 0, 1); /* srow is all zero */
    assert_volume_error(file_end(&file, "singular.nii"), "sform");
    file = file_begin(1, false, 2, 8);
    put_codes(&file, 0, 1);
    put_sform(&file, (const double[12]){1, 0, 0, NAN, 0, 1, 0, 0, 0, 0, 1, 0});
    assert_volume_error(file_end(&file, "nan.nii"), "sform");
    file = file_begin(1, false, 2, 8);
    put_dims(&file, 0, NULL);
    assert_volume_error(file_end(&file, "dims.nii"), "header is invalid");
}

static void a_pair_is_read_by_either_name(void **state)
{
    (void)state;
    bytes header = file_begin(1, false, 2, 8), voxels = {.version = 1};
    memcpy(header.data + 344, "ni1", 4);
    put_real(&header, 108, 0);
    for (int v = 0; v < 12; v++)
        add_value(&voxels, 2, v + 1);
    const char *path = file_end(&header, "a.hdr");
    assert_volume_error(path, "put the .img file beside it");
    file_end(&voxels, "a.img");
    for (int n = 0; n < 2; n++) {
        sn_volume *volume = read_volume(path_of(n == 0 ? "a.hdr" : "a.img"));
        for (int v = 0; v < 12; v++)
            assert_true(volume->data[v] == (float)(v + 1));
        sn_volume_free(volume);
    }
    unlink(path_of("a.hdr"));
    assert_volume_error(path_of("a.img"), "put the .hdr file beside it");
}

/* The whole of a written file, decompressed. */
static size_t slurp(unsigned char *data, size_t size, const char *path)
{
    gzFile file = gzopen(path, "rb");
    int got = gzread(file, data, (unsigned)size);
    assert_int_equal(gzclose(file), Z_OK);
    assert_true(got > 0);
    return (size_t)got;
}

static int16_t get16(const unsigned char *data, int offset)
{
    int16_t value;
    memcpy(&value, data + offset, 2);
    return value;
}

static double get_real(const unsigned char *data, int offset)
{
    float value;
    memcpy(&value, data + offset, 4);
    return value;
}

static void labels_are_written_in_the_smallest_type(void **state)
{
    (void)state;
    static const struct {
        int32_t low, high;
        int type, bits;
    } cases[] = {{0, 255, 2, 8},      {0, 256, 4, 16},    {-1, 1, 4, 16},    {-32768, 32767, 4, 16},
                 {0, 65535, 512, 16}, {-1, 32768, 8, 32}, {0, 65536, 8, 32}, {INT32_MIN, INT32_MAX, 8, 32}};
    static const double affine[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    for (int c = 0; c < 8; c++) {
        sn_grid grid;
        sn_labelmap *labelmap;
        unsigned char data[512];
        assert_int_equal(sn_grid_make(&grid, (const int64_t[]){1, 2, 3}, affine, NULL), SN_OK);
        assert_int_equal(sn_labelmap_create(&labelmap, &grid, NULL), SN_OK);
        labelmap->data[1] = cases[c].low;
        labelmap->data[4] = cases[c].high;
        const char *path = path_of(c % 2 == 0 ? "a.nii.gz" : "a.nii");
        assert_int_equal(sn_nifti_write_labelmap(path, labelmap, NULL), SN_OK);
        assert_int_equal(slurp(data, sizeof data, path), 352 + 6 * cases[c].bits / 8);
        assert_int_equal(get16(data, 70), cases[c].type);
        assert_int_equal(get16(data, 72), cases[c].bits);
        assert_memory_equal(data + 344, "n+1", 4);
        assert_true(get_real(data, 108) == 352);
        sn_labelmap *again = read_labelmap(path);
        assert_memory_equal(again->data, labelmap->data, 6 * sizeof(int32_t));
        sn_labelmap_free(again);
        sn_labelmap_free(labelmap);
    }
}

static void assert_header_equal(const sn_grid_header *a, const sn_grid_header *b)
{
    assert_int_equal(a->qform_code, b->qform_code);
    assert_int_equal(a->sform_code, b->sform_code);
    assert_int_equal(a->xyzt_units, b->xyzt_units);
    assert_memory_equal(a->quatern, b->quatern, sizeof a->quatern);
    assert_memory_equal(a->qoffset, b->qoffset, sizeof a->qoffset);
    assert_memory_equal(a->pixdim, b->pixdim, sizeof a->pixdim);
}

static void forms_codes_and_units_survive_reading_and_writing(void **state)
{
    (void)state;
    static const double sform[12] = {-0.9375, 0.001, 0, 91.3, 0, 0.9, 0.2, -126.7, 0.01, -0.2, 1.5, -72.1};
    static const double qform[6] = {0.1, 0.2, -0.3, 11.1, 22.2, -33.3};
    for (int codes = 0; codes < 4; codes++)
        for (int unit = 0; unit < 4; unit++) {
            bytes file = file_begin(1, codes == 1, 4, 16);
            put_codes(&file, codes & 1 ? 1 : 0, codes & 2 ? 4 : 0);
            put_pixdim(&file, -1, 0.9375, 0.9, 1.5);
            put_qform(&file, qform);
            put_sform(&file, sform);
            put_whole(&file, 123, unit | 16, 1);
            for (int v = 0; v < 12; v++)
                add_value(&file, 4, v);
            sn_labelmap *labelmap = read_labelmap(file_end(&file, "in.nii"));
            unsigned char data[512];
            assert_int_equal(sn_nifti_write_labelmap(path_of("out.nii.gz"), labelmap, NULL), SN_OK);
            slurp(data, sizeof data, path_of("out.nii.gz"));
            assert_int_equal(get16(data, 252), codes & 1 ? 1 : 0);
            assert_int_equal(get16(data, 254), codes & 2 ? 4 : 0);
            assert_int_equal(data[123], unit | 16);
            for (int v = 0; v < 3; v++)
                assert_true(get_real(data, 80 + 4 * v) == (float)(v == 0 ? 0.9375 : v == 1 ? 0.9 : 1.5));
            for (int v = 0; v < 6 && codes & 1; v++)
                assert_true(get_real(data, 256 + 4 * v) == (float)qform[v]);
            for (int v = 0; v < 12 && codes & 2; v++)
                assert_true(get_real(data, 280 + 4 * v) == (float)sform[v]);
            assert_true(get_real(data, 76) == (codes & 1 ? -1 : 1));
            sn_labelmap *again = read_labelmap(path_of("out.nii.gz"));
            assert_header_equal(&again->grid.header, &labelmap->grid.header);
            assert_true(sn_grid_equal(&again->grid, &labelmap->grid, 1e-5, NULL));
            sn_labelmap_free(again);
            sn_labelmap_free(labelmap);
        }
}

static void an_image_of_several_channels_survives_writing(void **state)
{
    (void)state;
    static const double affine[3][4] = {{0, 0, 3, 1}, {-2, 0, 0, 2}, {0, 1, 0, 3}};
    sn_grid grid;
    sn_volume *volume;
    unsigned char data[1024];
    assert_int_equal(sn_grid_make(&grid, (const int64_t[]){2, 3, 4}, affine, NULL), SN_OK);
    assert_int_equal(sn_volume_create(&volume, &grid, 3, NULL), SN_OK);
    for (int v = 0; v < 72; v++)
        volume->data[v] = (float)v * 0.37f - 5;
    assert_int_equal(sn_nifti_write_volume(path_of("a.nii"), volume, NULL), SN_OK);
    assert_int_equal(slurp(data, sizeof data, path_of("a.nii")), 352 + 72 * 4);
    static const int16_t dims[8] = {4, 4, 3, 2, 3, 1, 1, 1};
    assert_memory_equal(data + 40, dims, sizeof dims);
    assert_memory_equal(data + 352, volume->data, 72 * 4);
    sn_volume *again = read_volume(path_of("a.nii"));
    assert_int_equal(again->channels, 3);
    assert_true(sn_grid_equal(&again->grid, &grid, 1e-6, NULL));
    assert_memory_equal(again->data, volume->data, 72 * 4);
    sn_volume_free(again);
    sn_volume_free(volume);
}

static void an_extent_above_32767_is_written_as_nifti_2(void **state)
{
    (void)state;
    static const double affine[3][4] = {{1, 0, 0, 0}, {0, 2, 0, 0}, {0, 0, 3, 0}};
    sn_grid grid;
    sn_labelmap *labelmap;
    unsigned char data[600];
    assert_int_equal(sn_grid_make(&grid, (const int64_t[]){1, 2, 40000}, affine, NULL), SN_OK);
    assert_int_equal(sn_labelmap_create(&labelmap, &grid, NULL), SN_OK);
    labelmap->data[79999] = 9;
    assert_int_equal(sn_nifti_write_labelmap(path_of("a.nii.gz"), labelmap, NULL), SN_OK);
    slurp(data, sizeof data, path_of("a.nii.gz"));
    int64_t dims[8];
    memcpy(dims, data + 16, sizeof dims);
    assert_int_equal(dims[1], 40000);
    assert_memory_equal(data + 4, "n+2\0\r\n\032\n", 8);
    sn_labelmap *again = read_labelmap(path_of("a.nii.gz"));
    assert_memory_equal(again->data, labelmap->data, 80000 * sizeof(int32_t));
    assert_true(sn_grid_equal(&again->grid, &grid, 1e-6, NULL));
    sn_labelmap_free(again);
    sn_labelmap_free(labelmap);
}

static void a_failed_write_leaves_the_old_file_and_nothing_else(void **state)
{
    (void)state;
    static const double affine[3][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    sn_error error = SN_ERROR_INIT;
    sn_grid grid;
    sn_volume *volume;
    assert_int_equal(sn_grid_make(&grid, (const int64_t[]){20, 20, 20}, affine, NULL), SN_OK);
    assert_int_equal(sn_volume_create(&volume, &grid, 1, NULL), SN_OK);
    assert_int_equal(sn_nifti_write_volume(path_of("a.nii"), volume, NULL), SN_OK);
    volume->data[0] = 1;
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 8000; /* as a full disk: writing beyond fails */
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    sn_status status = sn_nifti_write_volume(path_of("a.nii"), volume, &error);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(status, SN_ERR_IO);
    assert_non_null(strstr(error.text, path_of("a.nii")));
    assert_int_equal(file_count(), 1);
    sn_volume *kept = read_volume(path_of("a.nii"));
    assert_true(kept->data[0] == 0);
    sn_volume_free(kept);

    assert_int_equal(sn_nifti_write_volume(path_of("no/such/a.nii.gz"), volume, &error), SN_ERR_IO);
    assert_int_equal(sn_nifti_write_volume(path_of("a.mgz"), volume, &error), SN_ERR_ARG);
    assert_int_equal(file_count(), 1);
    sn_volume_free(volume);
}

static void *read_many(void *path)
{
    intptr_t good = 0;
    for (int n = 0; n < 20; n++) {
        sn_volume *volume;
        good += sn_nifti_read_volume(&volume, path, NULL) == SN_OK && volume->data[11] == 11;
        sn_volume_free(volume);
    }
    return (void *)good;
}

static void threads_may_read_at_once(void **state)
{
    (void)state;
    bytes file = file_begin(1, true, 4, 16);
    pthread_t threads[4];
    for (int v = 0; v < 12; v++)
        add_value(&file, 4, v);
    const char *path = file_end(&file, "a.nii.gz");
    for (int t = 0; t < 4; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, read_many, (void *)path), 0);
    for (int t = 0; t < 4; t++) {
        void *good;
        pthread_join(threads[t], &good);
        assert_int_equal((intptr_t)good, 20);
    }
}

static void names_end_where_their_extension_starts(void **state)
{
    (void)state;
    assert_int_equal(sn_nifti_stem("a.nii.gz"), 1);
    assert_int_equal(sn_nifti_stem("a.b.nii"), 3);
    assert_int_equal(sn_nifti_stem("a.json"), 6);
    assert_true(sn_nifti_name("case_0000.nii.gz"));
    assert_true(sn_nifti_name("x.hdr"));
    assert_false(sn_nifti_name(".nii"));
    assert_false(sn_nifti_name("x.gz"));
}

/* Debian's mricron-data: facts about its files that other programs show. */
static void the_aal_atlas_lies_on_the_ch2_brain(void **state)
{
    (void)state;
    static const char *const brain = "/usr/share/mricron/templates/ch2.nii.gz";
    static const char *const atlas = "/usr/share/mricron/templates/aal.nii.gz";
    if (access(brain, R_OK) != 0 || access(atlas, R_OK) != 0)
        skip();
    sn_grid grid;
    int64_t channels, count;
    int32_t *values;
    assert_int_equal(sn_nifti_read_grid(&grid, &channels, brain, NULL), SN_OK);
    assert_int_equal(channels, 1);
    sn_labelmap *labelmap = read_labelmap(atlas);
    assert_true(sn_grid_equal(&labelmap->grid, &grid, SN_GRID_TOLERANCE_MM, NULL));
    assert_int_equal(grid.extent[0], 181);
    assert_int_equal(grid.extent[1], 217);
    assert_int_equal(grid.extent[2], 181);
    assert_int_equal(sn_labelmap_values(&values, &count, labelmap, NULL), SN_OK);
    assert_int_equal(count, 117); /* background and 116 regions */
    assert_int_equal(values[116], 116);
    free(values);
    sn_labelmap_free(labelmap);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_type_of_both_versions_and_byte_orders_is_read),
        TEST(scaling_is_applied_unless_the_slope_is_zero_or_nan),
        TEST(further_dimensions_become_channels),
        TEST(sform_comes_before_qform_before_pixdim),
        TEST(a_general_quaternion_is_the_rotation_of_its_formula),
        TEST(metres_and_microns_become_millimetres),
        TEST(a_voxel_that_is_not_finite_is_named),
        TEST(labels_are_whole_numbers_of_32_bits),
        TEST(a_truncated_or_damaged_file_is_an_error),
        TEST(a_header_that_promises_too_much_allocates_nothing),
        TEST(what_is_not_a_usable_nifti_file_is_an_error),
        TEST(a_pair_is_read_by_either_name),
        TEST(labels_are_written_in_the_smallest_type),
        TEST(forms_codes_and_units_survive_reading_and_writing),
        TEST(an_image_of_several_channels_survives_writing),
        TEST(an_extent_above_32767_is_written_as_nifti_2),
        TEST(a_failed_write_leaves_the_old_file_and_nothing_else),
        TEST(threads_may_read_at_once),
        TEST(names_end_where_their_extension_starts),
        TEST(the_aal_atlas_lies_on_the_ch2_brain),
    };
    return cmocka_run_group_tests_name("nifti", tests, NULL, NULL);
}

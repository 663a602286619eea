/* Reading NIfTI: nifti_clib interprets the header; the voxels are read here, because nifti_clib replaces NaN
 * by 0. */
#include "volume/nifti.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <nifti2_io.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/file.h"
#include "base/memory.h"

enum {
    CHUNK = 4096,         /* voxels converted at a time */
    VOXEL_BYTES = 16,     /* of the widest type */
    DEFLATE_RATIO = 1032, /* deflate cannot shrink by more */
};

typedef struct reader {
    const char *path;
    nifti_image *header;
    sn_grid grid;
    int64_t channels;
    gzFile file;   /* the voxels; plain files are passed through */
    int64_t next;  /* voxels read so far */
    int64_t total; /* voxels of the file, all channels */
    double values[CHUNK];
    unsigned char raw[CHUNK * VOXEL_BYTES];
} reader;

static void silence(void)
{
    nifti_set_debug_level(0);
}

static void reader_free(reader *self)
{
    if (self == NULL)
        return;
    if (self->file != NULL)
        gzclose(self->file);
    nifti_image_free(self->header);
    sn_free(self);
}

static sn_status error_truncated(const char *path, sn_error *error)
{
    return sn_error_set(error, SN_ERR_INPUT,
                        "%s: truncated, damaged or not NIfTI: copy or download the file again", path);
}

/* Open a file through zlib; `*size` is its size on disk. */
static sn_status open_file(gzFile *file, int64_t *size, const char *path, sn_error *error)
{
    struct stat info;
    *file = NULL;
    *size = 0;
    if (stat(path, &info) != 0)
        return sn_error_set(error, SN_ERR_INPUT, "%s: cannot read: %s: check its name", path,
                            strerror(errno));
    if (!S_ISREG(info.st_mode))
        return sn_error_set(error, SN_ERR_INPUT, "%s: not a file", path);
    *size = info.st_size;
    errno = 0;
    *file = gzopen(path, "rb");
    if (*file == NULL)
        return sn_error_set(error, errno == 0 ? SN_ERR_MEMORY : SN_ERR_INPUT, "%s: cannot read: %s", path,
                            errno == 0 ? "out of memory" : strerror(errno));
    gzbuffer(*file, 1 << 17);
    return SN_OK;
}

/* Read exactly `size` bytes. */
static bool read_all(gzFile file, void *data, size_t size)
{
    return gzread(file, data, (unsigned)size) == (int)size;
}

/* The first bytes of a header file, and what they are. */
typedef union header_bytes {
    nifti_1_header one;
    nifti_2_header two;
} header_bytes;

typedef enum header_kind { NIFTI_1, NIFTI_2, ANALYZE, TRUNCATED, UNKNOWN } header_kind;

static bool has_magic(const char *magic, const char *single, const char *pair)
{
    return memcmp(magic, single, 4) == 0 || memcmp(magic, pair, 4) == 0;
}

static header_kind header_bytes_read(header_bytes *bytes, gzFile file)
{
    const size_t size1 = sizeof bytes->one, size2 = sizeof bytes->two;
    if (!read_all(file, bytes, size1))
        return TRUNCATED;
    uint32_t size; /* the header's own, in either byte order */
    memcpy(&size, bytes, sizeof size);
    size = size > UINT16_MAX ? __builtin_bswap32(size) : size;
    if (size == size1)
        return has_magic(bytes->one.magic, "n+1", "ni1") ? NIFTI_1 : ANALYZE;
    if (size != size2)
        return UNKNOWN;
    if (!read_all(file, (char *)bytes + size1, size2 - size1))
        return TRUNCATED;
    return has_magic(bytes->two.magic, "n+2", "ni2") ? NIFTI_2 : UNKNOWN;
}

/* The header as nifti_clib understands it. */
static sn_status header_read(reader *self, const char *header_path, sn_error *error)
{
    header_bytes bytes;
    gzFile file;
    int64_t size;
    sn_status status = open_file(&file, &size, header_path, error);
    if (status != SN_OK)
        return status;
    header_kind kind = header_bytes_read(&bytes, file);
    gzclose(file);
    switch (kind) {
    case NIFTI_1:
        self->header = nifti_convert_n1hdr2nim(bytes.one, header_path);
        break;
    case NIFTI_2:
        self->header = nifti_convert_n2hdr2nim(bytes.two, header_path);
        break;
    case ANALYZE:
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: ANALYZE 7.5, which does not tell left from right: convert it to NIfTI",
                            self->path);
    case TRUNCATED:
        return error_truncated(header_path, error);
    case UNKNOWN:
        return sn_error_set(error, SN_ERR_INPUT, "%s: not a NIfTI file: convert it to .nii or .nii.gz",
                            self->path);
    }
    if (self->header == NULL || self->header->ndim < 1)
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: the NIfTI header is invalid (dimensions or data type): write the file again",
                            self->path);
    return SN_OK;
}

/* Read the header of `path`, or for an image of a pair that of its header file. */
static sn_status header_open(reader *self, sn_error *error)
{
    size_t length = strlen(self->path);
    if (length < 4 || strcmp(self->path + length - 4, ".img") != 0)
        return header_read(self, self->path, error);
    char *header_path = nifti_findhdrname(self->path);
    if (header_path == NULL)
        return sn_error_set(error, SN_ERR_INPUT, "%s: its header is missing: put the .hdr file beside it",
                            self->path);
    sn_status status = header_read(self, header_path, error);
    free(header_path);
    return status;
}

/* The affine in the file's unit: sform, qform or pixel sizes, in this order. Returns the name of what was
 * used. */
static const char *header_affine(double affine[3][4], const nifti_image *header)
{
    const double size[3] = {header->dx, header->dy, header->dz};
    for (int row = 0; row < 3; row++)
        for (int column = 0; column < 4; column++)
            affine[row][column] = header->sform_code > 0   ? header->sto_xyz.m[row][column]
                                  : header->qform_code > 0 ? header->qto_xyz.m[row][column]
                                  : row == column          ? fabs(size[row])
                                                           : 0;
    return header->sform_code > 0 ? "sform" : header->qform_code > 0 ? "qform" : "pixdim";
}

/* Fill grid and channels from the header. */
static sn_status reader_geometry(reader *self, sn_error *error)
{
    const nifti_image *header = self->header;
    const int64_t extent[3] = {header->nz, header->ny, header->nx};
    const int64_t further[4] = {header->nt, header->nu, header->nv, header->nw};
    const sn_grid_header kept = {
        .qform_code = header->qform_code,
        .sform_code = header->sform_code,
        .xyzt_units = SPACE_TIME_TO_XYZT(header->xyz_units, header->time_units),
        .quatern = {header->quatern_b, header->quatern_c, header->quatern_d},
        .qoffset = {header->qoffset_x, header->qoffset_y, header->qoffset_z},
        .pixdim = {header->qfac < 0 ? -1 : 1, header->dx, header->dy, header->dz},
    };
    double affine[3][4], unit_mm = sn_grid_unit_mm(&kept);
    const char *form = header_affine(affine, header);
    for (int row = 0; row < 3; row++)
        for (int column = 0; column < 4; column++)
            affine[row][column] *= unit_mm;
    self->channels = 1;
    self->total = 1;
    for (int d = 0; d < 7; d++) {
        int64_t n = d < 3 ? extent[d] : further[d - 3];
        if (n < 1 || __builtin_mul_overflow(self->total, n, &self->total))
            return sn_error_set(error, SN_ERR_INPUT,
                                "%s: the NIfTI header has an extent of %" PRId64 ": write the file again",
                                self->path, n);
        self->channels *= d < 3 ? 1 : n;
    }
    if (sn_grid_make(&self->grid, extent, affine, NULL) != SN_OK)
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: the %s of the NIfTI header is singular or not finite: correct it",
                            self->path, form);
    self->grid.header = kept;
    return SN_OK;
}

static bool type_is_read(int type)
{
    switch (type) {
    case NIFTI_TYPE_UINT8:
    case NIFTI_TYPE_INT8:
    case NIFTI_TYPE_UINT16:
    case NIFTI_TYPE_INT16:
    case NIFTI_TYPE_UINT32:
    case NIFTI_TYPE_INT32:
    case NIFTI_TYPE_UINT64:
    case NIFTI_TYPE_INT64:
    case NIFTI_TYPE_FLOAT32:
    case NIFTI_TYPE_FLOAT64:
    case NIFTI_TYPE_FLOAT128:
        return true;
    default:
        return false;
    }
}

/* Open the file of the voxels and go to the first one. */
static sn_status reader_open_voxels(reader *self, sn_error *error)
{
    const nifti_image *header = self->header;
    bool single = header->nifti_type == NIFTI_FTYPE_NIFTI1_1 || header->nifti_type == NIFTI_FTYPE_NIFTI2_1;
    const char *path = single ? self->path : header->iname;
    int64_t size, bytes;
    if (!single && (path == NULL || !sn_path_exists(path)))
        return sn_error_set(error, SN_ERR_INPUT, "%s: its voxels are missing: put the .img file beside it",
                            self->path);
    if (!type_is_read(header->datatype))
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: voxels of type %s: convert them to one real number each", self->path,
                            nifti_datatype_string(header->datatype));
    sn_status status = open_file(&self->file, &size, path, error);
    if (status != SN_OK)
        return status;
    /* A header that promises more than the file can hold must not make us allocate it. */
    if (__builtin_mul_overflow(self->total, header->nbyper, &bytes) ||
        (bytes - size) / DEFLATE_RATIO > size || (gzdirect(self->file) && bytes > size) ||
        gzseek(self->file, header->iname_offset, SEEK_SET) != header->iname_offset)
        return error_truncated(path, error);
    return SN_OK;
}

static sn_status reader_open(reader **out, const char *path, sn_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sn_status status;
    reader *self = NULL;
    *out = NULL;
    pthread_once(&once, silence);
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    self->path = path;
    SN_TRY(header_open(self, error));
    SN_TRY(reader_geometry(self, error));
    *out = self;
    self = NULL;
done:
    reader_free(self);
    return status;
}

/* IEEE 754 binary128, little endian: sign, 15 bits of exponent, 112 of fraction. */
static double decode_binary128(const unsigned char raw[16])
{
    uint64_t low, high;
    memcpy(&low, raw, 8);
    memcpy(&high, raw + 8, 8);
    int exponent = (int)(high >> 48 & 0x7fff);
    double fraction = (double)(high & 0xffffffffffff) * 0x1p-48 + (double)low * 0x1p-112;
    double value = exponent == 0x7fff ? (fraction == 0 ? INFINITY : NAN)
                                      : ldexp(exponent == 0 ? fraction : 1 + fraction,
                                              (exponent == 0 ? 1 : exponent) - 16383);
    return high >> 63 ? -value : value;
}

/* values[v] = the v-th voxel of raw, which is in this machine's byte order. */
static void decode(double *values, const unsigned char *raw, int count, int type)
{
#define DECODE(TYPE, C)                                                                                      \
    case TYPE:                                                                                               \
        for (int v = 0; v < count; v++) {                                                                    \
            C value;                                                                                         \
            memcpy(&value, raw + (size_t)v * sizeof value, sizeof value);                                    \
            values[v] = (double)value;                                                                       \
        }                                                                                                    \
        break;
    switch (type) {
        DECODE(NIFTI_TYPE_UINT8, uint8_t)
        DECODE(NIFTI_TYPE_INT8, int8_t)
        DECODE(NIFTI_TYPE_UINT16, uint16_t)
        DECODE(NIFTI_TYPE_INT16, int16_t)
        DECODE(NIFTI_TYPE_UINT32, uint32_t)
        DECODE(NIFTI_TYPE_INT32, int32_t)
        DECODE(NIFTI_TYPE_UINT64, uint64_t)
        DECODE(NIFTI_TYPE_INT64, int64_t)
        DECODE(NIFTI_TYPE_FLOAT32, float)
        DECODE(NIFTI_TYPE_FLOAT64, double)
    case NIFTI_TYPE_FLOAT128:
        for (int v = 0; v < count; v++)
            values[v] = decode_binary128(raw + (size_t)v * 16);
        break;
    }
#undef DECODE
}

/* Read to the end of the file: only then has zlib compared its checksum. */
static sn_status reader_finish(reader *self, sn_error *error)
{
    int zlib;
    while (gzread(self->file, self->raw, sizeof self->raw) > 0)
        ;
    gzerror(self->file, &zlib);
    return zlib == Z_OK || zlib == Z_STREAM_END ? SN_OK : error_truncated(self->path, error);
}

/* Read the next voxels (at most CHUNK) into self->values, scaled; `*count` is 0 after the last one. */
static sn_status reader_next(reader *self, int *count, sn_error *error)
{
    const nifti_image *header = self->header;
    int64_t left = self->total - self->next;
    *count = (int)(left < CHUNK ? left : CHUNK);
    if (*count == 0)
        return reader_finish(self, error);
    if (!read_all(self->file, self->raw, (size_t)*count * (size_t)header->nbyper))
        return error_truncated(self->path, error);
    if (header->byteorder != nifti_short_order() && header->swapsize > 1)
        nifti_swap_Nbytes(*count, header->swapsize, self->raw);
    decode(self->values, self->raw, *count, header->datatype);
    if (header->scl_slope != 0)
        for (int v = 0; v < *count; v++)
            self->values[v] = header->scl_slope * self->values[v] + header->scl_inter;
    self->next += *count;
    return SN_OK;
}

/* Name a bad voxel: the v-th of the current chunk of `count`. */
static sn_status error_voxel(const reader *self, int v, int count, const char *what, sn_error *error)
{
    const int64_t *extent = self->grid.extent;
    int64_t place = self->next - count + v;
    int64_t i = place % extent[2], j = place / extent[2] % extent[1],
            k = place / (extent[2] * extent[1]) % extent[0];
    char channel[40] = "", value[40] = "NaN";
    if (self->channels > 1)
        snprintf(channel, sizeof channel, " of channel %" PRId64, place / sn_grid_voxels(&self->grid));
    if (!isnan(self->values[v]))
        snprintf(value, sizeof value, "%.9g", self->values[v]);
    return sn_error_set(error, SN_ERR_INPUT, "%s: voxel (%" PRId64 ",%" PRId64 ",%" PRId64 ")%s is %s: %s",
                        self->path, i, j, k, channel, value, what);
}

sn_status sn_nifti_read_grid(sn_grid *grid, int64_t *channels, const char *path, sn_error *error)
{
    reader *self;
    sn_status status = reader_open(&self, path, error);
    if (status != SN_OK)
        return status;
    *grid = self->grid;
    if (channels != NULL)
        *channels = self->channels;
    reader_free(self);
    return SN_OK;
}

sn_status sn_nifti_read_volume(sn_volume **volume, const char *path, sn_error *error)
{
    sn_status status;
    reader *self = NULL;
    sn_volume *out = NULL;
    int count;
    *volume = NULL;
    SN_TRY(reader_open(&self, path, error));
    SN_TRY(reader_open_voxels(self, error));
    SN_TRY(sn_volume_create(&out, &self->grid, self->channels, error));
    for (float *data = out->data;; data += count) {
        SN_TRY(reader_next(self, &count, error));
        if (count == 0)
            break;
        for (int v = 0; v < count; v++) {
            data[v] = (float)self->values[v];
            if (!isfinite(data[v])) {
                status = error_voxel(self, v, count,
                                     "replace what is not a finite 32-bit float, by 0 for example", error);
                goto done;
            }
        }
    }
    *volume = out;
    out = NULL;
done:
    sn_volume_free(out);
    reader_free(self);
    return status;
}

sn_status sn_nifti_read_labelmap(sn_labelmap **labelmap, const char *path, sn_error *error)
{
    sn_status status;
    reader *self = NULL;
    sn_labelmap *out = NULL;
    int count;
    *labelmap = NULL;
    SN_TRY(reader_open(&self, path, error));
    if (self->channels != 1) {
        status =
            sn_error_set(error, SN_ERR_INPUT,
                         "%s: a label file must be 3D, this one has %" PRId64 " volumes: split or merge them",
                         path, self->channels);
        goto done;
    }
    SN_TRY(reader_open_voxels(self, error));
    SN_TRY(sn_labelmap_create(&out, &self->grid, error));
    for (int32_t *data = out->data;; data += count) {
        SN_TRY(reader_next(self, &count, error));
        if (count == 0)
            break;
        for (int v = 0; v < count; v++) {
            /* scl_slope is a 32-bit number: 20 * 0.1f is not quite 2. */
            double value = self->values[v], whole = round(value);
            if (!(fabs(value - whole) <= 1e-6 * fmax(1, fabs(value))) || whole < INT32_MIN ||
                whole > INT32_MAX) {
                status = error_voxel(self, v, count, "a label must be a whole number of 32 bits", error);
                goto done;
            }
            data[v] = (int32_t)whole;
        }
    }
    *labelmap = out;
    out = NULL;
done:
    sn_labelmap_free(out);
    reader_free(self);
    return status;
}

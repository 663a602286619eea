/* Writing NIfTI: nifti_clib makes the header; file and compression are ours, so that a file appears whole or
 * not at all. */
#include "volume/nifti.h"

#include <inttypes.h>
#include <nifti2_io.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/memory.h"

enum {
    CHUNK = 1 << 16,       /* bytes compressed or converted at a time */
    GZIP_WINDOW = 15 + 16, /* zlib: the largest window, and gzip's header and trailer */
    NIFTI_1_EXTENT = 32767,
};

/* A file being written, compressed where its name ends with .gz. */
typedef struct writer {
    sn_file_writer *file;
    bool compressed;
    z_stream stream; /* open where compressed */
    unsigned char chunk[CHUNK];
} writer;

static void writer_free(writer *self)
{
    if (self == NULL)
        return;
    if (self->compressed)
        deflateEnd(&self->stream);
    sn_file_writer_close(self->file);
    sn_free(self);
}

static sn_status writer_open(writer **out, const char *path, sn_error *error)
{
    sn_status status;
    writer *self = NULL;
    const char *ending = path + sn_nifti_stem(path);
    bool compressed = strcmp(ending, ".nii.gz") == 0;
    *out = NULL;
    if (!compressed && strcmp(ending, ".nii") != 0)
        return sn_error_set(error, SN_ERR_ARG, "%s: cannot write: the name must end with .nii or .nii.gz",
                            path);
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    if (compressed &&
        deflateInit2(&self->stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        status = sn_error_set(error, SN_ERR_MEMORY, "%s: out of memory: no room to compress", path);
        goto done;
    }
    self->compressed = compressed;
    SN_TRY(sn_file_writer_open(&self->file, path, error));
    *out = self;
    self = NULL;
done:
    writer_free(self);
    return status;
}

/* Compress into the file; `flush` is Z_NO_FLUSH, or Z_FINISH at the end. A failed write shows in commit. */
static void writer_deflate(writer *self, const void *data, unsigned size, int flush)
{
    self->stream.next_in = (unsigned char *)data; /* read only: zlib predates const */
    self->stream.avail_in = size;
    do {
        self->stream.next_out = self->chunk;
        self->stream.avail_out = CHUNK;
        deflate(&self->stream, flush);
        fwrite(self->chunk, 1, CHUNK - self->stream.avail_out, sn_file_writer_stream(self->file));
    } while (self->stream.avail_out == 0);
}

static void writer_add(writer *self, const void *data, size_t size)
{
    if (!self->compressed) {
        fwrite(data, 1, size, sn_file_writer_stream(self->file));
        return;
    }
    for (size_t done = 0; done < size; done += CHUNK) {
        size_t part = size - done < CHUNK ? size - done : CHUNK;
        writer_deflate(self, (const char *)data + done, (unsigned)part, Z_NO_FLUSH);
    }
}

static sn_status writer_commit(writer *self, sn_error *error)
{
    if (self->compressed)
        writer_deflate(self, NULL, 0, Z_FINISH);
    return sn_file_writer_commit(self->file, error);
}

/* What nifti_clib needs to make a header. */
static nifti_image header_image(const sn_grid *grid, int64_t channels, int type)
{
    const sn_grid_header *header = &grid->header;
    nifti_image image = {
        .ndim = channels == 1 ? 3 : 4,
        .dim = {channels == 1 ? 3 : 4, grid->extent[2], grid->extent[1], grid->extent[0], channels, 1, 1, 1},
        .nx = grid->extent[2],
        .ny = grid->extent[1],
        .nz = grid->extent[0],
        .nt = channels,
        .nu = 1,
        .nv = 1,
        .nw = 1,
        .nvox = channels * sn_grid_voxels(grid),
        .pixdim = {header->pixdim[0], header->pixdim[1], header->pixdim[2], header->pixdim[3], 1, 1, 1, 1},
        .dx = header->pixdim[1],
        .dy = header->pixdim[2],
        .dz = header->pixdim[3],
        .dt = 1,
        .du = 1,
        .dv = 1,
        .dw = 1,
        .datatype = type,
        .scl_slope = 1,
        .qform_code = header->qform_code,
        .sform_code = header->sform_code,
        .quatern_b = header->quatern[0],
        .quatern_c = header->quatern[1],
        .quatern_d = header->quatern[2],
        .qoffset_x = header->qoffset[0],
        .qoffset_y = header->qoffset[1],
        .qoffset_z = header->qoffset[2],
        .qfac = header->pixdim[0],
        .xyz_units = XYZT_TO_SPACE(header->xyzt_units),
        .time_units = XYZT_TO_TIME(header->xyzt_units),
    };
    double unit_mm = sn_grid_unit_mm(header);
    nifti_datatype_sizes(type, &image.nbyper, &image.swapsize);
    for (int row = 0; row < 3; row++)
        for (int column = 0; column < 4; column++)
            image.sto_xyz.m[row][column] = grid->affine[row][column] / unit_mm;
    return image;
}

/* Write the header and the four bytes that say there are no extensions. */
static sn_status writer_add_header(writer *self, const sn_grid *grid, int64_t channels, int type,
                                   sn_error *error)
{
    static const char no_extensions[4] = {0};
    nifti_image image = header_image(grid, channels, type);
    bool one = channels <= NIFTI_1_EXTENT;
    for (int axis = 0; axis < 3; axis++)
        one = one && grid->extent[axis] <= NIFTI_1_EXTENT;
    image.nifti_type = one ? NIFTI_FTYPE_NIFTI1_1 : NIFTI_FTYPE_NIFTI2_1;
    nifti_1_header header1;
    nifti_2_header header2;
    int64_t offset = (int64_t)(one ? sizeof header1 : sizeof header2) + (int64_t)sizeof no_extensions;
    image.iname_offset = offset;
    if (one ? nifti_convert_nim2n1hdr(&image, &header1) : nifti_convert_nim2n2hdr(&image, &header2))
        return sn_error_set(error, SN_ERR_FAILED, "nifti: nifti_clib could not make the header");
    /* nifti_clib leaves qfac out where there is no qform, and of NIfTI-2's magic number the second half. */
    header1.pixdim[0] = (float)image.qfac;
    header2.pixdim[0] = image.qfac;
    memcpy(header2.magic, "n+2\0\r\n\032\n", sizeof header2.magic);
    writer_add(self, one ? (const void *)&header1 : (const void *)&header2,
               (size_t)offset - sizeof no_extensions);
    writer_add(self, no_extensions, sizeof no_extensions);
    return SN_OK;
}

sn_status sn_nifti_write_volume(const char *path, const sn_volume *volume, sn_error *error)
{
    sn_status status;
    writer *self = NULL;
    SN_TRY(writer_open(&self, path, error));
    SN_TRY(writer_add_header(self, &volume->grid, volume->channels, NIFTI_TYPE_FLOAT32, error));
    writer_add(self, volume->data,
               (size_t)(volume->channels * sn_grid_voxels(&volume->grid)) * sizeof(float));
    SN_TRY(writer_commit(self, error));
done:
    writer_free(self);
    return status;
}

/* The smallest of u8, i16, u16, i32 that holds all labels. */
static int label_type(const int32_t *labels, int64_t count)
{
    int32_t low = 0, high = 0;
    for (int64_t v = 0; v < count; v++) {
        low = labels[v] < low ? labels[v] : low;
        high = labels[v] > high ? labels[v] : high;
    }
    if (low >= 0 && high <= UINT8_MAX)
        return NIFTI_TYPE_UINT8;
    if (low >= INT16_MIN && high <= INT16_MAX)
        return NIFTI_TYPE_INT16;
    if (low >= 0 && high <= UINT16_MAX)
        return NIFTI_TYPE_UINT16;
    return NIFTI_TYPE_INT32;
}

/* Write labels in `type`, which holds them; 16-bit types differ only in how the bits are read. */
static void writer_add_labels(writer *self, const int32_t *labels, int64_t count, int type)
{
    union {
        uint8_t u8[CHUNK / 4];
        uint16_t u16[CHUNK / 4];
    } part;
    if (type == NIFTI_TYPE_INT32) {
        writer_add(self, labels, (size_t)count * sizeof *labels);
        return;
    }
    for (int64_t first = 0; first < count; first += CHUNK / 4) {
        int64_t n = count - first < CHUNK / 4 ? count - first : CHUNK / 4;
        for (int64_t v = 0; v < n; v++) {
            if (type == NIFTI_TYPE_UINT8)
                part.u8[v] = (uint8_t)labels[first + v];
            else
                part.u16[v] = (uint16_t)labels[first + v];
        }
        writer_add(self, &part, (size_t)n * (type == NIFTI_TYPE_UINT8 ? 1 : 2));
    }
}

sn_status sn_nifti_write_labelmap(const char *path, const sn_labelmap *labelmap, sn_error *error)
{
    sn_status status;
    writer *self = NULL;
    int64_t voxels = sn_grid_voxels(&labelmap->grid);
    int type = label_type(labelmap->data, voxels);
    SN_TRY(writer_open(&self, path, error));
    SN_TRY(writer_add_header(self, &labelmap->grid, 1, type, error));
    writer_add_labels(self, labelmap->data, voxels, type);
    SN_TRY(writer_commit(self, error));
done:
    writer_free(self);
    return status;
}

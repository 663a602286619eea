/**
 * NIfTI-1 and NIfTI-2 files: .nii, .nii.gz and .hdr/.img pairs, both byte orders, every real numeric type.
 *
 * The affine is the sform where sform_code > 0, else the qform where qform_code > 0, else the pixel sizes
 * alone (nifti1.h, methods 3, 2, 1), in mm whatever xyzt_units says. All functions may run on several threads
 * at once.
 */
#ifndef SN_VOLUME_NIFTI_H
#define SN_VOLUME_NIFTI_H

#include <stddef.h>

#include "volume/volume.h"

/**
 * Read only the header of an image.
 *
 * @param[out] grid
 * @param[out] channels product of the extents beyond the third; may be NULL
 * @param[in]  path
 * @return SN_OK; SN_ERR_INPUT missing, truncated or not NIfTI; the text names the file, the cause and the fix
 */
sn_status sn_nifti_read_grid(sn_grid *grid, int64_t *channels, const char *path, sn_error *error);

/**
 * Read an image; scl_slope and scl_inter are applied; the fourth and further dimensions become channels.
 *
 * @param[out] volume caller owns, sn_volume_free; NULL on error
 * @return SN_OK; SN_ERR_INPUT as above, a complex or colour type, or a voxel that is NaN, infinite or too
 * large for a float (the first one is named as (i,j,k)); SN_ERR_MEMORY
 */
sn_status sn_nifti_read_volume(sn_volume **volume, const char *path, sn_error *error);

/**
 * Read a label map: 3D (further dimensions of extent 1 are fine), whole numbers after scaling.
 *
 * @param[out] labelmap caller owns, sn_labelmap_free; NULL on error
 * @return SN_OK; SN_ERR_INPUT as above, more than three dimensions, or a voxel that is not a whole number of
 * 32 bits (the first one and its value are named); SN_ERR_MEMORY
 */
sn_status sn_nifti_read_labelmap(sn_labelmap **labelmap, const char *path, sn_error *error);

/**
 * Write an image as float32, several channels as the fourth dimension. Codes, forms and units are those of
 * the grid's header. NIfTI-1, or NIfTI-2 where an extent exceeds 32767. The file appears whole or not at all.
 *
 * @param[in] path ends with .nii or .nii.gz
 * @return SN_OK; SN_ERR_ARG another ending; SN_ERR_IO; SN_ERR_MEMORY
 */
sn_status sn_nifti_write_volume(const char *path, const sn_volume *volume, sn_error *error);

/** Write a label map in the smallest type that holds its values: u8, i16, u16 or i32. Else as above. */
sn_status sn_nifti_write_labelmap(const char *path, const sn_labelmap *labelmap, sn_error *error);

/** True where a file's name ends with .nii, .nii.gz, .hdr or .img. */
bool sn_nifti_name(const char *path);

/** The length of a file's name without .nii, .nii.gz, .hdr or .img. */
size_t sn_nifti_stem(const char *path);

#endif

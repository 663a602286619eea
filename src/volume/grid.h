/**
 * Grids: the extent of a volume and where its voxels lie in the patient.
 *
 * Array axes are always (D, H, W) = NIfTI's (k, j, i), W fastest. World coordinates are millimetres, RAS+: x
 * to the patient's right, y to the front (anterior), z to the head (superior). A canonical grid has its D, H,
 * W axes nearest to S, A, R and increasing that way.
 */
#ifndef SN_VOLUME_GRID_H
#define SN_VOLUME_GRID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* What a NIfTI header says about space beside the affine: results are written with it. */
typedef struct sn_grid_header {
    int qform_code, sform_code; /* NIFTI_XFORM_*; 0: that form is absent */
    int xyzt_units;    /* NIFTI_UNITS_* of space and time, as in the header; 0: unknown, taken as mm */
    double quatern[3]; /* quatern_b, c, d */
    double qoffset[3]; /* qoffset_x, y, z, in the file's unit */
    double pixdim[4];  /* qfac (-1 or 1), then the sizes along i, j, k in the file's unit */
} sn_grid_header;

typedef struct sn_grid {
    int64_t extent[3];     /* D, H, W */
    double affine[3][4];   /* (i, j, k, 1) -> (x, y, z) in mm; column 0 belongs to W, 1 to H, 2 to D */
    sn_grid_header header; /* for writing; plays no part in geometry */
} sn_grid;

/**
 * Make a grid from its extent and affine, with a header that says so in its sform.
 *
 * @param[out] grid
 * @param[in]  extent (D,H,W), each >= 1
 * @param[in]  affine (i,j,k,1) -> mm
 * @return SN_OK; SN_ERR_ARG an extent < 1, or a singular or non-finite affine
 */
sn_status sn_grid_make(sn_grid *grid, const int64_t extent[3], const double affine[3][4], sn_error *error);

/** The length in mm of the unit that xyzt_units names: 1000, 1 or 0.001; an unknown one is mm. */
double sn_grid_unit_mm(const sn_grid_header *header);

/** The number of voxels, D*H*W. */
int64_t sn_grid_voxels(const sn_grid *grid);

/** The spacing along (D,H,W) in mm: the lengths of the affine's columns. */
void sn_grid_spacing(double spacing_mm[3], const sn_grid *grid);

/** The volume of one voxel in mm3: |det| of the affine's 3x3 part. */
double sn_grid_voxel_volume(const sn_grid *grid);

/** The position in mm (x,y,z) of a voxel index (d,h,w), which need not be whole or inside. */
void sn_grid_position(double position_mm[3], const sn_grid *grid, const double voxel[3]);

/**
 * Map voxel indices of one grid to voxel indices of another through their positions in mm.
 *
 * @param[out] map  (d,h,w,1) in `from` -> (d,h,w) in `to`
 * @param[in]  from, to
 */
void sn_grid_map(double map[3][4], const sn_grid *from, const sn_grid *to);

/** Where a grid's axes point: the relabelling that makes it canonical. */
typedef struct sn_orientation {
    int axis[3];  /* canonical axis a (0: D = S, 1: H = A, 2: W = R) is the grid's array axis axis[a] ... */
    bool flip[3]; /* ... reversed where flip[a] */
} sn_orientation;

/** The closest canonical relabelling: of all permutations and flips, the one whose axes turn least. */
sn_orientation sn_grid_orientation(const sn_grid *grid);

/** The same voxels in canonical order: a pure relabelling, every voxel keeps its position in mm. */
void sn_grid_canonical(sn_grid *canonical, const sn_grid *grid);

/**
 * The grid an image is resampled to: canonical axes, isotropic spacing, the same centre.
 *
 * @param[out] isotropic extent (D',H',W') with D' = max(1, round(D*old/new)) along each canonical axis
 * @param[in]  grid
 * @param[in]  spacing_mm > 0
 * @return SN_OK; SN_ERR_ARG spacing not > 0
 * Source: docs/method.md section 6.
 */
sn_status sn_grid_isotropic(sn_grid *isotropic, const sn_grid *grid, double spacing_mm, sn_error *error);

/**
 * Pad (or, where the box is smaller, crop) a grid symmetrically to a box: floor((box - extent)/2) voxels
 * before it and the rest after it, on each axis. Spacing, axes and the positions of the voxels stay.
 *
 * @param[out] boxed
 * @param[in]  grid
 * @param[in]  box (D,H,W), each >= 1
 * @return SN_OK; SN_ERR_ARG an extent < 1
 */
sn_status sn_grid_box(sn_grid *boxed, const sn_grid *grid, const int64_t box[3], sn_error *error);

/* Two grids whose voxels lie closer than this are the same: headers hold 32-bit numbers, rounded by many
 * programs. */
#define SN_GRID_TOLERANCE_MM 0.01

enum { SN_GRID_DIFFERENCE = 160 };

/**
 * Compare two grids: the same extent, and no corner voxel further apart than `tolerance_mm`.
 *
 * @param[out] difference SN_GRID_DIFFERENCE bytes: what differs, as the end of a sentence ("shapes differ:
 * 48x64x48 and 48x64x50"); empty when equal; may be NULL
 * @return true when equal
 */
bool sn_grid_equal(const sn_grid *a, const sn_grid *b, double tolerance_mm,
                   char difference[SN_GRID_DIFFERENCE]);

#endif

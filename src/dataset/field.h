/**
 * Smooth random fields: cubic B-splines on a coarse lattice of random coefficients.
 *
 * Source: Rueckert et al., "Nonrigid registration using free-form deformations", IEEE TMI 18, 1999, equation
 * 2. A displacement whose coefficients stay below 0.4 of the lattice's step does not fold: Choi and Lee,
 * "Injectivity conditions of 2D and 3D uniform cubic B-spline functions", Graphical Models 62, 2000.
 */
#ifndef SN_DATASET_FIELD_H
#define SN_DATASET_FIELD_H

#include <stdint.h>

#include "base/random.h"
#include "base/status.h"

typedef struct sn_field sn_field;

/**
 * Draw a field over a volume.
 *
 * @param[out] field      caller owns, sn_field_free; NULL on error
 * @param[in]  components values at each point
 * @param[in]  extent     (D,H,W) of the volume, voxels
 * @param[in]  step       of the lattice along each axis, voxels, > 0
 * @param[in]  amplitude  coefficients are uniform in [-amplitude, amplitude); so the field stays within it
 */
sn_status sn_field_create(sn_field **field, int components, const int64_t extent[3], const double step[3],
                          double amplitude, sn_random *random, sn_error *error);

/** Free a field; NULL is allowed. */
void sn_field_free(sn_field *field);

/** The field's values, (components), at a voxel (d,h,w) inside the volume. */
void sn_field_evaluate(double *values, const sn_field *field, const int64_t voxel[3]);

#endif

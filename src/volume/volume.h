/**
 * Images and label maps: voxels on a grid.
 */
#ifndef SN_VOLUME_VOLUME_H
#define SN_VOLUME_VOLUME_H

#include "volume/grid.h"

typedef struct sn_volume {
    sn_grid grid;
    int64_t channels; /* C */
    float *data;      /* (C,D,H,W) */
} sn_volume;

typedef struct sn_labelmap {
    sn_grid grid;
    int32_t *data; /* (D,H,W); any integers, 0 is background */
} sn_labelmap;

/**
 * Make an image of zeros.
 *
 * @param[out] volume   caller owns, sn_volume_free; NULL on error
 * @param[in]  grid     copied
 * @param[in]  channels >= 1
 * @return SN_OK; SN_ERR_ARG channels < 1; SN_ERR_MEMORY
 */
sn_status sn_volume_create(sn_volume **volume, const sn_grid *grid, int64_t channels, sn_error *error);

/** Free an image; NULL is allowed. */
void sn_volume_free(sn_volume *volume);

/** Make a label map of zeros; `*labelmap` is the caller's, sn_labelmap_free, NULL on error. SN_ERR_MEMORY. */
sn_status sn_labelmap_create(sn_labelmap **labelmap, const sn_grid *grid, sn_error *error);

/** Free a label map; NULL is allowed. */
void sn_labelmap_free(sn_labelmap *labelmap);

/**
 * The values that occur in a label map.
 *
 * @param[out] values caller owns, sn_free; ascending, each once; 0 included where it occurs
 * @param[out] count  number of values
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_labelmap_values(int32_t **values, int64_t *count, const sn_labelmap *labelmap, sn_error *error);

#endif

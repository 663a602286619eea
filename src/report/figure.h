/**
 * A picture of segmentations: axial slices, truth beside prediction.
 *
 * Slices are drawn in the radiological convention, whatever the file's axes: the patient's right is on the
 * left, the front on top, as if seen from the feet; millimetres are equally long in both directions.
 */
#ifndef SN_REPORT_FIGURE_H
#define SN_REPORT_FIGURE_H

#include "base/status.h"
#include "volume/labels.h"
#include "volume/volume.h"

typedef struct sn_figure sn_figure;

/**
 * Begin a picture.
 *
 * @param[out] figure caller owns, sn_figure_free; NULL on error
 * @param[in]  labels copied; their order gives the colours
 * @param[in]  dice   mean Dice by class for the legend (background's is not used), NaN: none; NULL: for no
 * class
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_figure_create(sn_figure **figure, const sn_label_table *labels, const double *dice,
                           sn_error *error);

/** Free a picture; NULL is allowed. */
void sn_figure_free(sn_figure *figure);

/**
 * Add the rows of one case: `slices` times the image, the truth on it and the prediction on it. The labelled
 * part of the truth is cut into `slices` bands from feet to head; each gives the slice with most labels.
 *
 * @param[in] title      the case's name
 * @param[in] image      (C,D,H,W); channel 0 is drawn
 * @param[in] reference, prediction on the image's grid
 * @param[in] slices     >= 1
 * @return SN_OK; SN_ERR_INPUT the grids differ; SN_ERR_MEMORY
 */
sn_status sn_figure_add(sn_figure *figure, const char *title, const sn_volume *image,
                        const sn_labelmap *reference, const sn_labelmap *prediction, int slices,
                        sn_error *error);

/** Lay out the picture and write it as PNG. SN_ERR_IO, SN_ERR_MEMORY. */
sn_status sn_figure_write(const char *path, const sn_figure *figure, sn_error *error);

#endif

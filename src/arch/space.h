/**
 * Search spaces: which hyperparameters are learned, between which bounds, and what the others are.
 *
 * A space is data. The optimiser sees the learned ones as one vector x of real numbers in the order of the
 * space; an integer one means min(floor(x), upper - 1), because optimisers also visit the closed bound. A
 * real one is rounded (arch/reals.h), and a logarithmic one is seen as log10 of it.
 *
 * A space file is a JSON object, one field a hyperparameter, in the order of x (see docs/space.md):
 *
 *   {
 *     "n": {"lower": 8, "upper": 33},
 *     "p": 3,
 *     "nodes": {"lower": 2, "upper": 4},
 *     "ops": [{"lower": 1, "upper": 7}, {"lower": 0, "upper": 7}, 2]
 *   }
 *
 * A number is fixed, an object with bounds (lower <= value < upper) is learned; what is left out is
 * SN_ARCH_INIT's, or of the real ones not said. "ops" is a list with nodes*(nodes-1)/2 entries for the most
 * nodes that the space reaches.
 *
 * Source: Wong and Moradi, "SegNAS3D", MICCAI 2019, table 2.
 */
#ifndef SN_ARCH_SPACE_H
#define SN_ARCH_SPACE_H

#include <jansson.h>
#include <stdbool.h>

#include "arch/arch.h"
#include "arch/reals.h"

enum { SN_HYPER_NAME = 24 };

/** One hyperparameter. */
typedef struct sn_hyper {
    char name[SN_HYPER_NAME]; /* "n", "p", "sup", "res", "nodes", "ops.1", "ops.2", ..., "dropout", ... */
    bool integer;
    bool learned;
    bool logarithmic;
    double value;        /* where not learned */
    double lower, upper; /* where learned: [lower, upper); of a real one [lower, upper] */
} sn_hyper;

typedef struct sn_space {
    int count; /* of hyperparameters, fixed ones included */
    sn_hyper *hypers;
} sn_space;

/**
 * A space by name, "segnas11", "segnas4" or "segnas7", or from a file.
 *
 * @param[out] space sn_space_clear
 * @return SN_OK; SN_ERR_INPUT: a file that is missing or wrong (names file and field)
 */
sn_status sn_space_load(sn_space *space, const char *name_or_path, sn_error *error);

/** Read the object of a space file; `where` names it in errors. SN_ERR_INPUT. */
sn_status sn_space_from_json(sn_space *space, const json_t *json, const char *where, sn_error *error);

/** The object of a space file, every hyperparameter written out; `*json` is the caller's, json_decref. */
sn_status sn_space_to_json(json_t **json, const sn_space *space, sn_error *error);

void sn_space_clear(sn_space *space);

/** Learned hyperparameters: the length of x, n_h. */
int sn_space_dimensions(const sn_space *space);

/** The bounds of x, [sn_space_dimensions] each. */
void sn_space_bounds(const sn_space *space, double *lower, double *upper);

/** The middle of the bounds: where a search starts. */
void sn_space_middle(const sn_space *space, double *x);

/**
 * The point that stands for an architecture and the reals that it is trained with: what sn_space_arch and
 * sn_space_reals give of it is as near to them as the bounds and the fixed values allow. What they do not say,
 * operations of a larger block or a NaN, is in the middle of the bounds.
 *
 * @param[out] x [sn_space_dimensions] of an integer the middle of its interval
 */
void sn_space_encode(double *x, const sn_space *space, const sn_arch *arch, const sn_reals *reals);

/** Number of decoded points; INFINITY where a real one is learned. */
double sn_space_size(const sn_space *space);

/** Decode x: one value for each hyperparameter of the space, [count], fixed ones included. */
void sn_space_decode(const sn_space *space, const double *x, double *values);

/** The architecture at x; it may be illegal (sn_arch_legal). */
void sn_space_arch(sn_arch *arch, const sn_space *space, const double *x);

/** What the space says at x of the real hyperparameters. */
void sn_space_reals(sn_reals *reals, const sn_space *space, const double *x);

/** Whether the space says something of a hyperparameter: it is learned, or fixed by its file. */
bool sn_space_has(const sn_space *space, const char *name);

#endif

/**
 * Counter-based random numbers: what is drawn depends only on (seed, stream, substream) and how many were
 * drawn before, never on threads or on the order in which streams are used.
 *
 * Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011: Philox4x32 with 10 rounds.
 */
#ifndef SN_BASE_RANDOM_H
#define SN_BASE_RANDOM_H

#include <stdint.h>

/* What a stream is for: the `stream` of sn_random_begin, so that no two uses share numbers. */
typedef enum sn_random_use {
    SN_RANDOM_SPLIT = 1, /* shuffle of the cases into training, validation, testing */
    SN_RANDOM_SHUFFLE,   /* order of the training cases; substream: epoch */
    SN_RANDOM_AUGMENT,   /* affine map; substream: epoch and case */
    SN_RANDOM_DROPOUT,   /* dropped channels; substream: the operation */
    SN_RANDOM_WEIGHTS,   /* initial weights; substream: the parameter */
    SN_RANDOM_SYNTHESIS, /* synthetic cohorts; substream: case */
    SN_RANDOM_TEST,      /* tests */
    SN_RANDOM_SEARCH,    /* points of a random search; substream: the question's number */
} sn_random_use;

typedef struct sn_random {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4]; /* the current four numbers */
    int used;          /* how many of them are used up */
} sn_random;

#ifdef __CUDACC__
#define SN_RANDOM_ANYWHERE __host__ __device__ /* kernels of a GPU draw the same numbers */
#else
#define SN_RANDOM_ANYWHERE
#endif

/** Ten rounds of Philox4x32 on one counter: the generator itself. */
static inline SN_RANDOM_ANYWHERE void sn_random_philox(uint32_t out[4], const uint32_t counter[4],
                                                       const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = (uint64_t)0xD2511F53u * c0;
        uint64_t product1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)product0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/** Start the numbers of (seed, stream, substream) at their beginning; all of these are independent. */
sn_random sn_random_begin(uint64_t seed, uint32_t stream, uint64_t substream);

/** Uniform on the 2^32 integers. */
uint32_t sn_random_next(sn_random *random);

/** Uniform in [0, 1), 53 random bits. */
double sn_random_uniform(sn_random *random);

/** Standard normal (Box-Muller, one value a call). */
double sn_random_normal(sn_random *random);

/** Uniform in {0 .. n-1}, without bias; n > 0. */
uint32_t sn_random_below(sn_random *random, uint32_t n);

/** Shuffle `count` indices in place (Fisher-Yates). */
void sn_random_shuffle(sn_random *random, int *items, int count);

#endif

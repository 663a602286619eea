#include "base/random.h"

#include <math.h>

sn_random sn_random_begin(uint64_t seed, uint32_t stream, uint64_t substream)
{
    return (sn_random){
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .counter = {0, stream, (uint32_t)substream, (uint32_t)(substream >> 32)},
        .used = 4,
    };
}

uint32_t sn_random_next(sn_random *random)
{
    if (random->used == 4) {
        sn_random_philox(random->block, random->counter, random->key);
        random->counter[0]++;
        random->used = 0;
    }
    return random->block[random->used++];
}

double sn_random_uniform(sn_random *random)
{
    uint64_t high = sn_random_next(random) >> 5; /* 27 bits */
    uint64_t low = sn_random_next(random) >> 6;  /* 26 bits */
    return (double)(high << 26 | low) * 0x1p-53;
}

double sn_random_normal(sn_random *random)
{
    double radius = sqrt(-2.0 * log(1.0 - sn_random_uniform(random)));
    return radius * cos(2.0 * 3.14159265358979323846 * sn_random_uniform(random));
}

uint32_t sn_random_below(sn_random *random, uint32_t n)
{
    uint32_t limit = UINT32_MAX - UINT32_MAX % n; /* a multiple of n: values from it on are drawn again */
    uint32_t value;
    do {
        value = sn_random_next(random);
    } while (value >= limit);
    return value % n;
}

void sn_random_shuffle(sn_random *random, int *items, int count)
{
    for (int i = count - 1; i > 0; i--) {
        int j = (int)sn_random_below(random, (uint32_t)i + 1);
        int item = items[i];
        items[i] = items[j];
        items[j] = item;
    }
}

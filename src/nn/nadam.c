#include "nn/nadam.h"

#include <math.h>

/* The momentum of step i, which grows towards beta1. */
static double momentum(const sn_nadam *nadam, int64_t i)
{
    return nadam->beta1 * (1 - 0.5 * pow(0.96, (double)i * nadam->momentum_decay));
}

void sn_nadam_next(sn_nadam *nadam, int batch, double scalars[4])
{
    int64_t t = ++nadam->step;
    double mu = momentum(nadam, t), mu_next = momentum(nadam, t + 1);
    nadam->mu_product *= mu;
    scalars[0] = 1.0 / batch;
    scalars[1] = nadam->rate * (1 - mu) / (1 - nadam->mu_product);
    scalars[2] = nadam->rate * mu_next / (1 - nadam->mu_product * mu_next);
    scalars[3] = 1 / (1 - pow(nadam->beta2, (double)t));
}

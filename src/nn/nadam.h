/**
 * Nadam's scalars that change from step to step.
 */
#ifndef SN_NN_NADAM_H
#define SN_NN_NADAM_H

#include <stdint.h>

typedef struct sn_nadam {
    double rate;           /* learning rate: 1e-3 */
    double beta1, beta2;   /* 0.9, 0.999 */
    double momentum_decay; /* 0.004, as torch.optim.NAdam */
    int64_t step;          /* steps taken */
    double mu_product;     /* product of mu_1 .. mu_step; 1 at the start */
} sn_nadam;

#define SN_NADAM_INIT                                                                                        \
    {                                                                                                        \
        1e-3, 0.9, 0.999, 0.004, 0, 1.0                                                                      \
    }

/**
 * Take a step: the input of SN_OP_NADAM, t = {s, a, b, c}.
 *
 * With mu_i = beta1*(1 - 0.5*0.96^(i*decay)), P_i = mu_1*...*mu_i: s = 1/batch, a = rate*(1 - mu_t)/(1 -
 * P_t), b = rate*mu_{t+1}/(1 - P_{t+1}), c = 1/(1 - beta2^t). Source: Dozat 2016; torch.optim.NAdam.
 */
void sn_nadam_next(sn_nadam *nadam, int batch, double scalars[4]);

#endif

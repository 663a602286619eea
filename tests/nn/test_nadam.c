/* Nadam's scalars against torch.optim.NAdam's update, written here as its documentation gives it. */
#include "cmocka_all.h"

#include <math.h>

#include "nn/nadam.h"

/* torch.optim.NAdam: mu_t = b1*(1 - 0.5*0.96^(t*psi)); p -= lr*mu_{t+1}*m/(1 - prod_{t+1})/d + .. */
static void nadam_of_torch_takes_the_same_steps(void **state)
{
    (void)state;
    const double lr = 2e-3, b1 = 0.9, b2 = 0.999, eps = 1e-8, psi = 0.004;
    sn_nadam nadam = SN_NADAM_INIT;
    nadam.rate = lr;
    double p = 0.7, m = 0, v = 0;   /* torch's way */
    double q = 0.7, mq = 0, vq = 0; /* SN_OP_NADAM's formula */
    double product = 1, scalars[4];
    for (int t = 1; t <= 500; t++) {
        double g = sin(0.37 * t) + 0.3 * p;
        double mu = b1 * (1 - 0.5 * pow(0.96, t * psi)), next = b1 * (1 - 0.5 * pow(0.96, (t + 1) * psi));
        product *= mu;
        m = b1 * m + (1 - b1) * g;
        v = b2 * v + (1 - b2) * g * g;
        double denominator = sqrt(v / (1 - pow(b2, t))) + eps;
        p = p - lr * (1 - mu) / (1 - product) * g / denominator -
            lr * next / (1 - product * next) * m / denominator;

        sn_nadam_next(&nadam, 3, scalars);
        double gradient = 3 * (sin(0.37 * t) + 0.3 * q); /* the sum over three images */
        double gq = gradient * scalars[0];
        mq = b1 * mq + (1 - b1) * gq;
        vq = b2 * vq + (1 - b2) * gq * gq;
        q -= (scalars[1] * gq + scalars[2] * mq) / (sqrt(vq * scalars[3]) + eps);
        assert_true(fabs(p - q) < 1e-12);
    }
    assert_int_equal(nadam.step, 500);
    assert_true(fabs(p - 0.7) > 0.01);
}

/* mu_1 = 0.9*(1 - 0.5*0.96^0.004) and so on, with 12 digits. */
static void first_step_has_the_values_of_a_pocket_calculator(void **state)
{
    (void)state;
    sn_nadam nadam = SN_NADAM_INIT;
    double scalars[4];
    sn_nadam_next(&nadam, 1, scalars);
    const double mu1 = 0.450073473591, mu2 = 0.450146935186;
    assert_true(fabs(scalars[0] - 1) < 1e-15);
    assert_true(fabs(scalars[1] - 1e-3) < 1e-15); /* (1 - mu)/(1 - mu) */
    assert_true(fabs(scalars[2] - 1e-3 * mu2 / (1 - mu1 * mu2)) < 1e-12);
    assert_true(fabs(scalars[3] - 1000) < 1e-9);
    assert_true(fabs(nadam.mu_product - mu1) < 1e-10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nadam_of_torch_takes_the_same_steps),
        cmocka_unit_test(first_step_has_the_values_of_a_pocket_calculator),
    };
    return cmocka_run_group_tests_name("nadam", tests, NULL, NULL);
}

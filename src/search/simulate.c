#include "search/simulate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arch/block.h"
#include "base/clock.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/memory.h"

/* ---- the landscape ---- */

/* A network's key: what it is in canonical form, and how it is trained. */
static sn_status network_key(char key[SN_HASH_TEXT], const sn_arch *arch, const sn_block *block,
                             const sn_reals *reals, sn_error *error)
{
    sn_status status;
    char *text = NULL;
    sn_hash *hash = NULL;
    SN_TRY(sn_block_format(&text, block, error));
    SN_TRY(sn_hash_begin(&hash, error));
    sn_hash_add_text(hash, "simulated %d %d %d %d %s", arch->n, arch->p, arch->sup, arch->res, text);
    for (int r = 0; r < SN_REALS; r++)
        if (!isnan(reals->value[r]))
            sn_hash_add_text(hash, " %s=%.17g", sn_real_describe((sn_real)r)->name, reals->value[r]);
done:
    sn_hash_end(hash, status == SN_OK ? key : NULL);
    sn_free(text);
    return status;
}

/* How much worse than a block of two or three 3x3x3 convolutions. */
static double block_loss(const sn_block *block)
{
    static const double losses[SN_BLOCK_OPS] = {
        [SN_BLOCK_CONV_1_1] = 0.05, [SN_BLOCK_CONV_5_1] = 0.01, [SN_BLOCK_CONV_3_2] = 0.02,
        [SN_BLOCK_CONV_5_2] = 0.03, [SN_BLOCK_SKIP] = 0.04,
    };
    double sum = 0;
    for (int i = 0; i < block->terms; i++)
        sum += losses[block->term[i].op];
    return sum / block->terms + 0.005 * pow(block->terms - 2.5, 2);
}

/* How much worse than the best training. */
static double training_loss(const sn_reals *reals)
{
    const double *value = reals->value;
    double loss = 0;
    if (!isnan(value[SN_REAL_LEARNING_RATE]))
        loss += 0.05 * pow(log10(value[SN_REAL_LEARNING_RATE]) + 3, 2);
    if (!isnan(value[SN_REAL_DROPOUT]))
        loss += 0.5 * pow(value[SN_REAL_DROPOUT] - 0.1, 2);
    if (!isnan(value[SN_REAL_LOSS_EXPONENT]))
        loss += 0.1 * pow(value[SN_REAL_LOSS_EXPONENT] - 0.3, 2);
    return loss;
}

/* A number in [0, 1) that is as good as random: of eight digits of a key. */
static double key_chance(const char *key, int place)
{
    char digits[9] = "";
    memcpy(digits, key + place, 8);
    return (double)strtoul(digits, NULL, 16) / 0x1p32;
}

/* -ln Dice of a network with this key. */
static double network_loss(const sn_arch *arch, const sn_block *block, const char *key)
{
    return 0.15 + 0.3 * pow((arch->n - 24) / 25.0, 2) + 0.03 * pow(arch->p - 3, 2) + 0.02 * !arch->sup +
           0.03 * !arch->res + block_loss(block) + 0.05 * key_chance(key, 0);
}

static sn_status arch_judge(double *dice, char key[SN_HASH_TEXT], const sn_arch *arch, const sn_reals *reals,
                            sn_error *error)
{
    sn_status status;
    sn_block *block = NULL;
    SN_TRY(sn_block_create(&block, arch, error));
    SN_TRY(network_key(key, arch, block, reals, error));
    *dice = exp(-network_loss(arch, block, key) - training_loss(reals));
done:
    sn_block_free(block);
    return status;
}

sn_status sn_simulation_dice(double *dice, const sn_arch *arch, const sn_reals *reals, sn_error *error)
{
    char key[SN_HASH_TEXT];
    return arch_judge(dice, key, arch, reals, error);
}

/* It comes near its end exponentially, by epoch E/5 to E/3 for the most part. */
sn_status sn_simulation_course(double course[SN_SIMULATION_EPOCHS], const sn_arch *arch,
                               const sn_reals *reals, sn_error *error)
{
    char key[SN_HASH_TEXT];
    double dice;
    sn_status status = arch_judge(&dice, key, arch, reals, error);
    if (status != SN_OK)
        return status;
    double speed = 3 + 2 * key_chance(key, 8);
    for (int i = 0; i < SN_SIMULATION_EPOCHS; i++)
        course[i] = dice * (expm1(-speed * (i + 1) / SN_SIMULATION_EPOCHS) / expm1(-speed));
    return SN_OK;
}

/* ---- the master's side ---- */

/* A network of many channels at its bottom is too large. */
static sn_status propose_network(sn_proposal *proposal, const sn_arch *arch, const sn_reals *reals,
                                 sn_error *error)
{
    enum { MOST_CHANNELS = 400 };
    sn_status status;
    char key[SN_HASH_TEXT];
    double dice;
    SN_TRY(arch_judge(&dice, key, arch, reals, error));
    SN_TRY(sn_string_copy(&proposal->network, key, error));
    proposal->outcome = SN_OUTCOME_TRAINED;
    if (arch->n << arch->p > MOST_CHANNELS) {
        proposal->outcome = SN_OUTCOME_MEMORY;
        SN_TRY(sn_string_format(&proposal->reason, error, "%d channels, the simulation's limit is %d",
                                arch->n << arch->p, MOST_CHANNELS));
    }
done:
    return status;
}

static sn_status propose(sn_proposal *proposal, const double *x, int dimension, void *context,
                         sn_error *error)
{
    sn_status status;
    const sn_simulation *simulation = context;
    sn_arch arch;
    sn_reals reals;
    char reason[SN_ARCH_REASON];
    (void)dimension;
    sn_space_arch(&arch, simulation->space, x);
    sn_space_reals(&reals, simulation->space, x);
    SN_TRY(sn_reals_format(&proposal->arch, &arch, &reals, error));
    if (sn_arch_legal(&arch, reason)) {
        SN_TRY(propose_network(proposal, &arch, &reals, error));
    } else {
        proposal->outcome = SN_OUTCOME_ILLEGAL;
        SN_TRY(sn_string_copy(&proposal->reason, reason, error));
    }
done:
    return status;
}

static sn_status begin(int worker, const sn_proposal *proposal, const double *x, int dimension,
                       sn_search_reporter *reporter, void *context, sn_error *error)
{
    const sn_simulation *simulation = context;
    (void)x, (void)dimension;
    json_t *job = json_pack("{s:f, s:s}", "simulated seconds", simulation->seconds, "arch", proposal->arch);
    if (job == NULL)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: a trial's job");
    sn_status status = sn_crew_begin(simulation->crew, worker, job, proposal->network, 0, reporter, error);
    json_decref(job);
    return status;
}

static sn_status wait_for(int *worker, sn_trial_result *result, bool wait, void *context, sn_error *error)
{
    return sn_crew_wait(worker, result, wait, ((sn_simulation *)context)->crew, error);
}

static void stop(int worker, void *context)
{
    sn_crew_stop(((sn_simulation *)context)->crew, worker);
}

static void end(void *context)
{
    sn_crew_end(((sn_simulation *)context)->crew);
}

sn_search_objective sn_simulation_objective(sn_simulation *simulation)
{
    return (sn_search_objective){propose, begin, wait_for, stop, end, simulation};
}

/* ---- the worker's side ---- */

bool sn_simulation_owns(const json_t *job)
{
    return sn_json_has(job, "simulated seconds");
}

/* Do nothing for some seconds. */
static sn_status pass_time(double seconds, sn_worker_reporter *reporter, sn_error *error)
{
    double end = sn_clock_now() + seconds;
    for (double left = seconds; left > 0; left = end - sn_clock_now()) {
        double nap = left < 0.1 ? left : 0.1;
        nanosleep(&(struct timespec){.tv_nsec = (long)(1e9 * nap)}, NULL);
        sn_worker_beat(reporter);
        sn_status status = sn_interrupt_check(error);
        if (status != SN_OK)
            return status;
    }
    return SN_OK;
}

/* One epoch, that ends at `dice`. */
static sn_status pass_epoch(int epoch, double dice, double seconds, sn_worker_reporter *reporter,
                            sn_error *error)
{
    sn_status status;
    json_t *report = NULL;
    SN_TRY(pass_time(seconds / SN_SIMULATION_EPOCHS, reporter, error));
    SN_TRY(sn_crew_epoch(&report, epoch, 1 - dice, dice, seconds / SN_SIMULATION_EPOCHS, error));
    SN_TRY(sn_worker_report(reporter, report, error));
done:
    json_decref(report);
    return status;
}

sn_status sn_simulation_handler(json_t **result, const json_t *job, sn_worker_reporter *reporter,
                                void *context, sn_error *error)
{
    sn_status status;
    const char *text;
    sn_arch arch;
    sn_reals reals;
    double seconds, course[SN_SIMULATION_EPOCHS];
    (void)context;
    SN_TRY(sn_json_number(&seconds, job, "simulated seconds", "job", error));
    SN_TRY(sn_json_string(&text, job, "arch", "job", error));
    SN_TRY(sn_reals_parse(&arch, &reals, text, error));
    SN_TRY(sn_simulation_course(course, &arch, &reals, error));
    for (int epoch = 1; epoch <= SN_SIMULATION_EPOCHS; epoch++)
        SN_TRY(pass_epoch(epoch, course[epoch - 1], seconds, reporter, error));
    *result = json_pack("{s:f, s:{}}", "dice", course[SN_SIMULATION_EPOCHS - 1], "labels");
    if (*result == NULL)
        status = sn_error_set(error, SN_ERR_MEMORY, "out of memory: a trial's result");
done:
    return status;
}

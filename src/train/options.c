#include "train/options.h"

#include <string.h>

#include "base/json.h"

static const char *const loss_names[] = {[SN_LOSS_EXPLOG] = "explog", [SN_LOSS_DICE_CE] = "dice-ce"};

sn_status sn_train_options_to_json(json_t **out, const sn_train_options *options, sn_error *error)
{
    *out =
        json_pack("{s:i, s:i, s:I, s:f, s:f, s:s, s:i}", "epochs", options->epochs, "batch", options->batch,
                  "seed", (json_int_t)options->seed, "learning_rate", options->learning_rate, "dropout",
                  options->dropout, "loss", loss_names[options->loss], "averaging", SN_TRAIN_AVERAGING);
    if (options->loss_exponent != SN_TRAIN_LOSS_EXPONENT)
        json_object_set_new(*out, "loss_exponent", json_real(options->loss_exponent));
    if (options->precision != SN_PRECISION_AUTO)
        json_object_set_new(*out, "precision", json_string(sn_precision_name(options->precision)));
    return *out == NULL ? sn_error_set(error, SN_ERR_MEMORY, "out of memory: training options") : SN_OK;
}

sn_status sn_train_options_from_json(sn_train_options *options, const json_t *json, const char *source,
                                     sn_error *error)
{
    sn_status status;
    int64_t epochs, batch, seed;
    const char *loss, *precision;
    SN_TRY(sn_json_integer(&epochs, json, "epochs", source, error));
    SN_TRY(sn_json_integer(&batch, json, "batch", source, error));
    SN_TRY(sn_json_integer(&seed, json, "seed", source, error));
    SN_TRY(sn_json_number(&options->learning_rate, json, "learning_rate", source, error));
    SN_TRY(sn_json_number(&options->dropout, json, "dropout", source, error));
    SN_TRY(sn_json_string(&loss, json, "loss", source, error));
    SN_TRY(sn_loss_parse(&options->loss, loss, error));
    options->loss_exponent = SN_TRAIN_LOSS_EXPONENT;
    if (sn_json_has(json, "loss_exponent"))
        SN_TRY(sn_json_number(&options->loss_exponent, json, "loss_exponent", source, error));
    options->precision = SN_PRECISION_AUTO;
    if (sn_json_has(json, "precision")) {
        SN_TRY(sn_json_string(&precision, json, "precision", source, error));
        SN_TRY(sn_precision_parse(&options->precision, precision, error));
    }
    options->epochs = (int)epochs;
    options->batch = (int)batch;
    options->seed = (uint64_t)seed;
done:
    return status;
}

void sn_train_options_adopt(sn_train_options *options, const sn_reals *reals)
{
    double *const targets[SN_REALS] = {[SN_REAL_LEARNING_RATE] = &options->learning_rate,
                                       [SN_REAL_DROPOUT] = &options->dropout,
                                       [SN_REAL_LOSS_EXPONENT] = &options->loss_exponent};
    for (int r = 0; r < SN_REALS; r++)
        if (!isnan(reals->value[r]))
            *targets[r] = reals->value[r];
}

sn_status sn_loss_parse(sn_loss_kind *loss, const char *name, sn_error *error)
{
    for (size_t i = 0; i < sizeof loss_names / sizeof *loss_names; i++)
        if (strcmp(loss_names[i], name) == 0) {
            *loss = (sn_loss_kind)i;
            return SN_OK;
        }
    return sn_error_set(error, SN_ERR_ARG, "loss '%s' is not known; it is explog or dice-ce", name);
}

sn_op_params sn_train_loss_params(const sn_train_options *options)
{
    return (sn_op_params){.loss = {options->loss, .dice_weight = 0.8, .ce_weight = 0.2,
                                   .dice_gamma = options->loss_exponent, .ce_gamma = options->loss_exponent,
                                   .smooth = 1}};
}

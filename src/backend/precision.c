#include <string.h>

#include "backend/backend.h"

static const char *const precision_names[] = {[SN_PRECISION_AUTO] = "auto",
                                              [SN_PRECISION_FLOAT32] = "float32",
                                              [SN_PRECISION_TF32] = "tf32",
                                              [SN_PRECISION_BF16] = "bf16"};

const char *sn_precision_name(sn_precision precision)
{
    return precision_names[precision];
}

sn_status sn_precision_parse(sn_precision *precision, const char *name, sn_error *error)
{
    for (size_t i = 0; i < sizeof precision_names / sizeof *precision_names; i++)
        if (strcmp(precision_names[i], name) == 0) {
            *precision = (sn_precision)i;
            return SN_OK;
        }
    return sn_error_set(error, SN_ERR_ARG, "precision '%s' is not known; it is auto, float32, tf32 or bf16",
                        name);
}

#include "train/gpus.h"

#include "backend/device.h"

typedef struct training {
    sn_train_result *result;
    const sn_train_input *input;
    const sn_train_observer *observer;
} training;

/* Of what went wrong on a GPU, which one it was. */
static sn_status say_where(sn_status status, const char *device, sn_error *error)
{
    sn_error cause = *error;
    return status == SN_ERR_FAILED ? sn_error_set(error, status, "device %s: %.900s", device, cause.text)
                                   : status;
}

/* Member m trains on the m-th GPU of the list; the first has observer and result. */
static sn_status train_member(sn_group *group, void *context, sn_error *error)
{
    sn_status status;
    const training *self = context;
    const bool first = sn_group_member(group) == 0;
    char device[SN_DEVICE_NAME];
    sn_train_result unused = {0};
    sn_train_input input = *self->input;
    SN_TRY(sn_device_choose(device, self->input->device, sn_group_member(group), error));
    input.device = device;
    input.group = group;
    status = sn_train(first ? self->result : &unused, &input, first ? self->observer : NULL, error);
    status = say_where(status, device, error);
done:
    sn_train_result_clear(&unused);
    return status;
}

sn_status sn_train_on_gpus(sn_train_result *result, const sn_train_input *input,
                           const sn_train_observer *observer, sn_error *error)
{
    sn_status status;
    int gpus = sn_device_listed(input->device);
    training all = {result, input, observer};
    if (gpus < 2 || input->group != NULL)
        return sn_train(result, input, observer, error);
    *result = (sn_train_result){0};
    SN_TRY(sn_device_check_alike(input->device, input->options->precision, error));
    SN_TRY(sn_group_run(gpus, train_member, &all, error));
done:
    if (status != SN_OK)
        sn_train_result_clear(result); /* the first may have ended before another one failed */
    return status;
}

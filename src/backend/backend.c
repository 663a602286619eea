#include "backend/backend.h"

#include <string.h>

sn_dtype sn_backend_values(const sn_backend *backend, const sn_device *device)
{
    return backend->values == NULL ? SN_F32 : backend->values(device);
}

sn_status sn_backend_find(const sn_backend **backend, const char *device, sn_error *error)
{
    *backend = NULL;
    if (strcmp(device, "cpu") == 0)
        *backend = &sn_backend_cpu;
    else if (strcmp(device, "ref") == 0)
        *backend = &sn_backend_ref;
    else if (strcmp(device, "checked:cpu") == 0)
        *backend = sn_backend_checked(&sn_backend_cpu);
    else if (strcmp(device, "checked:ref") == 0)
        *backend = sn_backend_checked(&sn_backend_ref);
    else
        return sn_error_set(error, SN_ERR_ARG,
                            "device '%s' does not exist; use cpu, ref, checked:cpu or checked:ref", device);
    return SN_OK;
}

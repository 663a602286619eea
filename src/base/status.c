#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

sn_status sn_error_set(sn_error *error, sn_status status, const char *format, ...)
{
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
        error->status = status;
    }
    return status;
}

int sn_status_exit_code(sn_status status)
{
    switch (status) {
    case SN_OK:
        return 0;
    case SN_ERR_ARG:
        return 2;
    case SN_ERR_INPUT:
        return 3;
    case SN_ERR_INTERRUPTED:
        return 130;
    case SN_ERR_IO:
    case SN_ERR_MEMORY:
    case SN_ERR_UNSUPPORTED:
    case SN_ERR_NUMERIC:
    case SN_ERR_FAILED:
        break;
    }
    return 1;
}

/**
 * Status codes and error text: how every function of SegNAS3D reports what went wrong.
 *
 * An error is described once, where it happens, with the facts and the fix; callers only pass it on.
 */
#ifndef SN_BASE_STATUS_H
#define SN_BASE_STATUS_H

typedef enum sn_status {
    SN_OK = 0,
    SN_ERR_ARG,         /* a value given by the caller is wrong (exit code 2) */
    SN_ERR_INPUT,       /* a file given by the user is missing, damaged or inconsistent (exit code 3) */
    SN_ERR_IO,          /* the system refused to read or write (exit code 1) */
    SN_ERR_MEMORY,      /* out of memory, or over the memory budget (exit code 1) */
    SN_ERR_UNSUPPORTED, /* valid, but this build or device cannot do it (exit code 1) */
    SN_ERR_NUMERIC,     /* a computation gave NaN or infinity (exit code 1) */
    SN_ERR_FAILED,      /* anything else that went wrong (exit code 1) */
    SN_ERR_INTERRUPTED, /* stopped by the user; the same command goes on (exit code 130) */
} sn_status;

typedef struct sn_error {
    sn_status status;
    char text[1024]; /* one line without a full stop, UTF-8, zero-terminated; empty when status is SN_OK */
} sn_error;

#define SN_ERROR_INIT                                                                                        \
    {                                                                                                        \
        SN_OK, ""                                                                                            \
    }

/**
 * Describe an error.
 *
 * @param[out] error  may be NULL: then only the status is returned
 * @param[in]  status not SN_OK
 * @param[in]  format as printf: what is wrong, where (file, field, value), how to fix it
 * @return status, so that a caller can write `return sn_error_set(...)`
 */
sn_status sn_error_set(sn_error *error, sn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The process exit code that documents a status: 0, 1, 2, 3 or 130. */
int sn_status_exit_code(sn_status status);

/** Evaluate `expression`; if it fails go to `done` with `status` set. Needs `sn_status status`, `done:`. */
#define SN_TRY(expression)                                                                                   \
    do {                                                                                                     \
        status = (expression);                                                                               \
        if (status != SN_OK)                                                                                 \
            goto done;                                                                                       \
    } while (0)

#endif

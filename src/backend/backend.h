/**
 * The table a backend fills. A backend runs operations of op.h on one kind of device.
 *
 * device  an open processor with its threads and its choice of kernels
 * buffer  memory on the device
 * program a fixed list of operations bound to buffers; running it allocates nothing
 *
 * Implementations: ref (plain loops in double, the oracle), cpu (the product's kernels), cuda (a plug-in,
 * backend/plugin.h), checked (wraps any other and fills outputs and workspace with NaN first, to catch what reads
 * before it writes).
 */
#ifndef SN_BACKEND_BACKEND_H
#define SN_BACKEND_BACKEND_H

#include "backend/op.h"

typedef struct sn_device sn_device;
typedef struct sn_buffer sn_buffer;
typedef struct sn_program sn_program;

enum { SN_REASON_TEXT = 256 };

/* What products of convolutions are computed in, and in bf16 also what values are kept in (sn_backend_values); sums are in
 * float32 or more. */
typedef enum sn_precision {
    SN_PRECISION_AUTO, /* the device's own choice */
    SN_PRECISION_FLOAT32,
    SN_PRECISION_TF32,
    SN_PRECISION_BF16,
} sn_precision;

/** "auto", "float32", "tf32", "bf16". */
const char *sn_precision_name(sn_precision precision);
/** Read one; SN_ERR_ARG for any other name. */
sn_status sn_precision_parse(sn_precision *precision, const char *name, sn_error *error);

typedef struct sn_device_options {
    int threads; /* >= 1; results do not depend on it */
    int index;   /* of the GPU */
    sn_precision precision;
} sn_device_options;

typedef struct sn_backend {
    const char *name; /* "ref", "cpu", "checked" */

    /** Whether weights of convolutions, and their gradients, lie in buffers taps first, as (K, K, K, I, O): the output
     * channels of a tap next to each other. Else they lie as their shape says, (O, I, K, K, K). */
    bool taps_first;

    /** Open the device; close frees it (after its buffers and programs). */
    sn_status (*open)(sn_device **device, const sn_device_options *options, sn_error *error);
    void (*close)(sn_device *device);

    /** The name of the kernels in use, e.g. the instruction set: the same kernels give the same bits. */
    const char *(*kernels)(const sn_device *device);

    /** The type that values between operations are best kept in on the device: SN_F32 or SN_BF16. NULL: SN_F32. */
    sn_dtype (*values)(const sn_device *device);

    /** Zeroed memory of `bytes`, aligned to SN_ALIGNMENT. SN_ERR_MEMORY where there is none. */
    sn_status (*alloc)(sn_device *device, sn_buffer **buffer, size_t bytes, sn_error *error);
    void (*free)(sn_device *device, sn_buffer *buffer);

    /** Copy bytes between host memory and a buffer; complete when they return. Tensors: sn_tensor_upload. */
    void (*upload)(sn_device *device, sn_buffer *buffer, size_t offset, const void *data, size_t bytes);
    void (*download)(sn_device *device, const sn_buffer *buffer, size_t offset, void *data, size_t bytes);

    /** Copy bytes of one buffer to another, in the order of uploads and programs. NULL where buffers are host memory, so
     * that an upload costs no more. */
    void (*copy)(sn_device *device, sn_buffer *to, size_t to_offset, const sn_buffer *from,
                 size_t from_offset, size_t bytes);

    /** Wait until all programs have run, and say what has gone wrong, also in functions that have no status: what was
     * downloaded since then means nothing. */
    sn_status (*synchronise)(sn_device *device, sn_error *error);

    /** Whether the operation (its kind, types and shapes; not its locations) can run; if not, the reason in
     * one line. */
    bool (*supports)(sn_device *device, const sn_op *op, char reason[SN_REASON_TEXT]);

    /** Scratch memory the operation needs at most, in bytes; depends on the descriptors only, not on threads
     * or kernels. It lies at op->workspace, apart from the operands. */
    size_t (*workspace)(sn_device *device, const sn_op *op);

    /**
     * Bind operations to buffers and choose their kernels; slow.
     *
     * @param[in] ops       copied; checked with sn_op_check by the caller
     * @param[in] buffers   kept by reference; must outlive the program
     * @return SN_OK; SN_ERR_UNSUPPORTED with the reason; SN_ERR_MEMORY
     */
    sn_status (*program_create)(sn_device *device, sn_program **program, const sn_op *ops, int op_count,
                                sn_buffer *const *buffers, int buffer_count, sn_error *error);
    void (*program_free)(sn_device *device, sn_program *program);

    /** Run the operations in order; programs of a device are made and run one after the other. No allocation of device
     * memory; the result is complete after synchronise. */
    sn_status (*program_run)(sn_device *device, sn_program *program, sn_error *error);
} sn_backend;

extern const sn_backend sn_backend_ref;
extern const sn_backend sn_backend_cpu;

/** The type of values on a device of the backend. */
sn_dtype sn_backend_values(const sn_backend *backend, const sn_device *device);

/** A backend that runs `inner` with poisoned outputs and workspace; static, valid for ever. `inner` is ref or
 * cpu. */
const sn_backend *sn_backend_checked(const sn_backend *inner);

/**
 * Copy a tensor between host memory, where it lies as its shape says, and a buffer.
 *
 * @param[in] weights of a convolution, or what has their shape: their order in the buffer is the backend's
 *                    (taps_first; float32)
 */
void sn_tensor_upload(const sn_backend *backend, sn_device *device, sn_buffer *buffer, size_t offset,
                      const sn_tensor_desc *desc, bool weights, const void *data);
void sn_tensor_download(const sn_backend *backend, sn_device *device, const sn_buffer *buffer, size_t offset,
                        const sn_tensor_desc *desc, bool weights, void *data);

/** Find a backend that is part of the program: "cpu", "ref" (also "checked:cpu", "checked:ref"); NULL and SN_ERR_ARG
 * otherwise. backend/device.h opens devices of any kind. */
sn_status sn_backend_find(const sn_backend **backend, const char *device, sn_error *error);

#endif

/**
 * The checked backend: runs another backend and hunts for its mistakes and its caller's.
 *
 * Before an operation its outputs (unless updated or in place) and its workspace are poisoned; then it runs,
 * twice, with two different poisons. It is an error if
 * - operands or the workspace lie outside their buffer, are not aligned, or overlap where op.h does not allow
 *   it
 * - anything but the outputs and the workspace that was asked for changes: inputs, memory between tensors,
 *   guards around buffers
 * - the two runs differ in a bit: something was read before it was written, or not written, or left to chance
 * - finite inputs give NaN
 */
#ifndef SN_BACKEND_CHECKED_CHECKED_H
#define SN_BACKEND_CHECKED_CHECKED_H

#include "backend/backend.h"

/** Open a checked device around any backend; all else goes through the table of sn_backend_checked. */
sn_status sn_checked_open(sn_device **device, const sn_backend *inner, const sn_device_options *options,
                          sn_error *error);

/**
 * Check where the operands and the workspace of an operation lie.
 *
 * @param[in] workspace    bytes that the operation needs
 * @param[in] buffer_bytes size of each buffer
 * @return SN_OK; SN_ERR_ARG naming the operand
 */
sn_status sn_checked_locations(const sn_op *op, size_t workspace, const size_t *buffer_bytes,
                               int buffer_count, sn_error *error);

/** Whether two operands share memory. */
bool sn_checked_overlap(const sn_operand *a, const sn_operand *b);

#endif

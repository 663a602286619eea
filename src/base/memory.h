/**
 * Memory: checked sizes, aligned blocks, small strings.
 */
#ifndef SN_BASE_MEMORY_H
#define SN_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { SN_ALIGNMENT = 64 }; /* bytes: a cache line, and the widest vector */

/**
 * Allocate zeroed memory for `count` elements.
 *
 * @param[out] out   caller owns, sn_free; aligned to SN_ALIGNMENT; never NULL on success, even for count 0
 * @param[in]  count elements of `size` bytes each; count*size may not overflow
 * @return SN_OK; SN_ERR_MEMORY
 */
sn_status sn_alloc(void *out, size_t count, size_t size, sn_error *error);

/**
 * Make room for one more item in an array of sn_alloc, which doubles when it is full.
 *
 * @param[in,out] array    address of a pointer: to `count` items of `size` bytes, or NULL
 * @param[in,out] capacity items that it has room for
 * @return SN_OK; SN_ERR_MEMORY: nothing has changed
 */
sn_status sn_grow(void *array, int *capacity, int count, size_t size, sn_error *error);

/** Free what sn_alloc, sn_grow, sn_string_copy or sn_string_format gave; NULL is allowed. */
void sn_free(void *memory);

/** Round `value` up to a multiple of `multiple` (> 0). */
static inline int64_t sn_round_up(int64_t value, int64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

/** Copy a string; `*out` is the caller's, sn_free. */
sn_status sn_string_copy(char **out, const char *text, sn_error *error);

/** Format a string as printf does; `*out` is the caller's, sn_free. */
sn_status sn_string_format(char **out, sn_error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The most memory this process has used at once (peak resident set), in bytes. */
int64_t sn_memory_peak(void);

/** The memory this process may use, in bytes: the machine's, or its control group's limit if smaller. */
int64_t sn_memory_available(void);

#endif

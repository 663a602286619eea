#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* Large pieces of memory begin with one, so that few entries of the processor's table of pages are needed. */
enum { HUGE_PAGE = 2 << 20 };

sn_status sn_alloc(void *out, size_t count, size_t size, sn_error *error)
{
    void **memory = out;
    *memory = NULL;
    if (size != 0 && count > (INT64_MAX - HUGE_PAGE) / size)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: %zu x %zu bytes asked for", count, size);
    size_t bytes = count * size, alignment = bytes < HUGE_PAGE ? SN_ALIGNMENT : HUGE_PAGE;
    bytes = (size_t)sn_round_up(bytes == 0 ? 1 : (int64_t)bytes, (int64_t)alignment);
    *memory = aligned_alloc(alignment, bytes);
    if (*memory == NULL)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: %zu bytes asked for", bytes);
    if (alignment == HUGE_PAGE) /* but for the end, most of which may lie idle */
        madvise(*memory, count * size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    memset(*memory, 0, count * size);
    return SN_OK;
}

sn_status sn_grow(void *array, int *capacity, int count, size_t size, sn_error *error)
{
    void *old, *larger;
    if (count < *capacity)
        return SN_OK;
    int wanted = *capacity == 0 ? 64 : 2 * *capacity;
    sn_status status = sn_alloc(&larger, (size_t)wanted, size, error);
    if (status != SN_OK)
        return status;
    memcpy(&old, array, sizeof old);
    if (count > 0)
        memcpy(larger, old, (size_t)count * size);
    sn_free(old);
    memcpy(array, &larger, sizeof larger);
    *capacity = wanted;
    return SN_OK;
}

void sn_free(void *memory)
{
    free(memory);
}

sn_status sn_string_copy(char **out, const char *text, sn_error *error)
{
    return sn_string_format(out, error, "%s", text);
}

sn_status sn_string_format(char **out, sn_error *error, const char *format, ...)
{
    va_list arguments;
    *out = NULL;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    sn_status status = sn_alloc(out, (size_t)length + 1, 1, error);
    if (status != SN_OK)
        return status;
    va_start(arguments, format);
    vsnprintf(*out, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return SN_OK;
}

int64_t sn_memory_peak(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (int64_t)usage.ru_maxrss * 1024;
}

/* The limit in a control group's file, or INT64_MAX where there is none ("max") or no such file. */
static int64_t control_group_limit(const char *path)
{
    long long limit = INT64_MAX;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return INT64_MAX;
    if (fscanf(file, "%lld", &limit) != 1)
        limit = INT64_MAX;
    fclose(file);
    return limit;
}

int64_t sn_memory_available(void)
{
    int64_t memory = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGE_SIZE);
    int64_t version2 = control_group_limit("/sys/fs/cgroup/memory.max");
    int64_t version1 = control_group_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    memory = version2 < memory ? version2 : memory;
    return version1 < memory ? version1 : memory;
}

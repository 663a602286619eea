#include <stdlib.h>
#include <string.h>

#include "backend/cpu/kernels.h"

extern const sn_cpu_kernels sn_cpu_kernels_portable;
#ifdef SN_CPU_X86
extern const sn_cpu_kernels sn_cpu_kernels_avx2;
extern const sn_cpu_kernels sn_cpu_kernels_avx512;
#endif

/* The instruction sets this processor has, best first, ended by NULL. */
static void list_kernels(const sn_cpu_kernels *list[4])
{
#ifdef SN_CPU_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        *list++ = &sn_cpu_kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        *list++ = &sn_cpu_kernels_avx2;
#endif
    *list++ = &sn_cpu_kernels_portable;
    *list = NULL;
}

const sn_cpu_kernels *sn_cpu_kernels_select(void)
{
    const sn_cpu_kernels *list[4];
    list_kernels(list);
    const char *wanted = getenv("SEGNAS3D_ISA");
    for (int i = 0; wanted != NULL && list[i] != NULL; i++)
        if (strcmp(list[i]->isa, wanted) == 0)
            return list[i];
    return list[0];
}

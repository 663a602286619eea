/** Architectures in tests: from text, from the digits of a number. */
#ifndef SN_TESTS_ARCH_ARCH_OF_H
#define SN_TESTS_ARCH_ARCH_OF_H

#include "cmocka_all.h"

#include "arch/arch.h"

static inline sn_arch arch_of(const char *text)
{
    sn_arch arch;
    sn_error error = SN_ERROR_INIT;
    if (sn_arch_parse(&arch, text, &error) != SN_OK)
        fail_msg("%s", error.text);
    return arch;
}

/* The matrix whose operations are the digits of `code` to the base 7; *code in [0, 7^(nodes*(nodes-1)/2)). */
static inline sn_arch matrix_of(int nodes, int code)
{
    sn_arch arch = SN_ARCH_INIT;
    arch.nodes = nodes;
    for (int i = 0; i < sn_arch_op_count(nodes); i++, code /= SN_BLOCK_OPS)
        arch.ops[i] = (uint8_t)(code % SN_BLOCK_OPS);
    return arch;
}

static inline int matrix_count(int nodes)
{
    int count = 1;
    for (int i = 0; i < sn_arch_op_count(nodes); i++)
        count *= SN_BLOCK_OPS;
    return count;
}

#endif

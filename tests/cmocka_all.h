/** cmocka and the headers it needs, in the order it needs them. */
#ifndef SN_TESTS_CMOCKA_ALL_H
#define SN_TESTS_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif

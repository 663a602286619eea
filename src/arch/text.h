/**
 * Text that is written piece by piece. Private to src/arch.
 */
#ifndef SN_ARCH_TEXT_H
#define SN_ARCH_TEXT_H

#include <stdio.h>

#include "base/status.h"

typedef struct sn_text {
    FILE *stream; /* write here */
    char *buffer;
    size_t size;
} sn_text;

/** Begin an empty text; always ended by sn_text_end. */
sn_status sn_text_begin(sn_text *text, sn_error *error);

/** Close the text; `*out` is the caller's (sn_free), NULL on error. */
sn_status sn_text_end(sn_text *text, char **out, sn_error *error);

#endif

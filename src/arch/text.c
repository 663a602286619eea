#include "arch/text.h"

#include <stdlib.h>

#include "base/memory.h"

sn_status sn_text_begin(sn_text *text, sn_error *error)
{
    *text = (sn_text){NULL, NULL, 0};
    text->stream = open_memstream(&text->buffer, &text->size);
    if (text->stream == NULL)
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: no room for a text");
    return SN_OK;
}

sn_status sn_text_end(sn_text *text, char **out, sn_error *error)
{
    *out = NULL;
    sn_status status = fclose(text->stream) != 0
                           ? sn_error_set(error, SN_ERR_MEMORY, "out of memory: no room for a text")
                           : sn_string_copy(out, text->buffer, error);
    free(text->buffer);
    return status;
}

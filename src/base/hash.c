#include "base/hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <xxhash.h>

#include "base/memory.h"

struct sn_hash {
    XXH3_state_t *state;
};

static void digest_to_text(char text[SN_HASH_TEXT], XXH128_hash_t digest)
{
    snprintf(text, SN_HASH_TEXT, "%016llx%016llx", (unsigned long long)digest.high64,
             (unsigned long long)digest.low64);
}

sn_status sn_hash_begin(sn_hash **hash, sn_error *error)
{
    sn_status status = sn_alloc(hash, 1, sizeof **hash, error);
    if (status != SN_OK)
        return status;
    (*hash)->state = XXH3_createState();
    if ((*hash)->state == NULL) {
        sn_hash_end(*hash, NULL);
        *hash = NULL;
        return sn_error_set(error, SN_ERR_MEMORY, "out of memory: no room for a hash");
    }
    XXH3_128bits_reset((*hash)->state);
    return SN_OK;
}

void sn_hash_add(sn_hash *hash, const void *data, size_t size)
{
    XXH3_128bits_update(hash->state, data, size);
}

void sn_hash_add_text(sn_hash *hash, const char *format, ...)
{
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    sn_hash_add(hash, line, (size_t)(length < (int)sizeof line ? length + 1 : (int)sizeof line));
}

void sn_hash_end(sn_hash *hash, char text[SN_HASH_TEXT])
{
    if (hash == NULL)
        return;
    if (text != NULL)
        digest_to_text(text, XXH3_128bits_digest(hash->state));
    XXH3_freeState(hash->state);
    sn_free(hash);
}

void sn_hash_bytes(char text[SN_HASH_TEXT], const void *data, size_t size)
{
    digest_to_text(text, XXH3_128bits(data, size));
}

/**
 * 128-bit hashes (XXH3) as text: keys of networks, data sets and trajectories.
 */
#ifndef SN_BASE_HASH_H
#define SN_BASE_HASH_H

#include <stddef.h>

#include "base/status.h"

enum { SN_HASH_TEXT = 33 }; /* 32 hexadecimal digits and the terminating zero */

typedef struct sn_hash sn_hash;

/** Begin a hash; free with sn_hash_end. */
sn_status sn_hash_begin(sn_hash **hash, sn_error *error);

/** Add `size` bytes. */
void sn_hash_add(sn_hash *hash, const void *data, size_t size);

/** Add a formatted line of text. */
void sn_hash_add_text(sn_hash *hash, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Write the digest as text and free the hash; `text` may be NULL (free only), `hash` may be NULL. */
void sn_hash_end(sn_hash *hash, char text[SN_HASH_TEXT]);

/** Hash one block of memory. */
void sn_hash_bytes(char text[SN_HASH_TEXT], const void *data, size_t size);

#endif

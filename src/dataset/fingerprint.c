#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/interrupt.h"
#include "base/memory.h"
#include "dataset/dataset.h"

enum { CHUNK_BYTES = 1 << 20 };

/* Add a file's bytes, then their number, so that no two lists of files run together to the same bytes. */
static sn_status hash_add_file(sn_hash *hash, const char *path, char *chunk, sn_error *error)
{
    sn_status status = SN_OK;
    unsigned long long total = 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return sn_error_set(error, SN_ERR_INPUT, "%s: cannot read: %s; add the file or correct dataset.json",
                            path, strerror(errno));
    for (size_t size; (size = fread(chunk, 1, CHUNK_BYTES, file)) > 0; total += size)
        sn_hash_add(hash, chunk, size);
    if (ferror(file))
        status = sn_error_set(error, SN_ERR_INPUT, "%s: cannot read: %s", path, strerror(errno));
    sn_hash_add_text(hash, "%llu bytes", total);
    fclose(file);
    return status;
}

sn_status sn_dataset_fingerprint(char text[SN_HASH_TEXT], const sn_dataset *dataset,
                                 const sn_progress *progress, sn_error *error)
{
    sn_status status;
    sn_hash *hash = NULL;
    char *chunk = NULL;
    text[0] = '\0';
    SN_TRY(sn_alloc(&chunk, CHUNK_BYTES, 1, error));
    SN_TRY(sn_hash_begin(&hash, error));
    SN_TRY(hash_add_file(hash, dataset->path, chunk, error));
    for (int i = 0; i < dataset->count; i++) {
        const sn_case *item = &dataset->cases[i];
        SN_TRY(sn_interrupt_check(error));
        sn_hash_add_text(hash, "case %s", item->name);
        for (int c = 0; c < item->image_count; c++)
            SN_TRY(hash_add_file(hash, item->images[c], chunk, error));
        SN_TRY(hash_add_file(hash, item->label, chunk, error));
        sn_progress_report(progress, "reading the data set", i + 1, dataset->count, NULL);
    }
    sn_hash_end(hash, text);
    hash = NULL;
done:
    sn_hash_end(hash, NULL);
    sn_free(chunk);
    return status;
}

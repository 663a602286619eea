/**
 * Files and folders. What is written appears whole or not at all: a temporary name, fsync, rename.
 */
#ifndef SN_BASE_FILE_H
#define SN_BASE_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/status.h"

/** Read a whole file; `*data` is the caller's (sn_free) and ends with a zero byte not counted in `*size`. */
sn_status sn_file_read(char **data, size_t *size, const char *path, sn_error *error);

/** A file being written under a temporary name beside its final one. */
typedef struct sn_file_writer sn_file_writer;

/**
 * Open `path` for writing; it does not appear, or change, before sn_file_writer_commit. SN_ERR_IO where a
 * folder or a device has this name, or where its folder cannot be written.
 */
sn_status sn_file_writer_open(sn_file_writer **writer, const char *path, sn_error *error);

/** The stream to write to; the writer's, not to be closed. */
FILE *sn_file_writer_stream(sn_file_writer *writer);

/** Flush to disk and rename to the final name. A full disk is reported here: SN_ERR_IO. */
sn_status sn_file_writer_commit(sn_file_writer *writer, sn_error *error);

/** Free the writer; without a commit the temporary file goes and the old file stays. NULL is allowed. */
void sn_file_writer_close(sn_file_writer *writer);

/** Write a whole file atomically. */
sn_status sn_file_write(const char *path, const void *data, size_t size, sn_error *error);

/** Copy a file; `to` appears whole or not at all. As sn_file_read and sn_file_write. */
sn_status sn_file_copy(const char *to, const char *from, sn_error *error);

/** Remove the temporary files that killed processes left in a folder, where no other process writes now; a
 * missing folder is fine. */
void sn_folder_tidy(const char *folder);

/** Make a folder and its parents; an existing folder is fine. */
sn_status sn_folder_create(const char *path, sn_error *error);

/** Remove a folder and all it holds; a missing folder is fine. */
sn_status sn_folder_remove(const char *path, sn_error *error);

/** True where `path` exists (of whatever kind). */
bool sn_path_exists(const char *path);

/**
 * Describe that the system refused to write, and what helps: "PATH: cannot WHAT: CAUSE; HELP".
 *
 * @param[in] cause errno's value
 * @return SN_ERR_IO
 */
sn_status sn_path_error(const char *path, const char *what, int cause, sn_error *error);

/** Whether two paths lead to one file that exists. */
bool sn_path_same(const char *a, const char *b);

/** True where `path` is a folder. */
bool sn_path_is_folder(const char *path);

/** `folder/name`; `*out` is the caller's, sn_free. An absolute `name` is returned as it is. */
sn_status sn_path_join(char **out, const char *folder, const char *name, sn_error *error);

/** The last component of a path; points into `path`. */
const char *sn_path_name(const char *path);

#endif

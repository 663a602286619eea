#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

struct sn_file_writer {
    char *path;
    char *temporary;
    FILE *stream;
};

sn_status sn_file_read(char **data, size_t *size, const char *path, sn_error *error)
{
    sn_status status = SN_OK;
    FILE *file = fopen(path, "rb");
    struct stat info;
    *data = NULL;
    *size = 0;
    if (file == NULL)
        return sn_error_set(error, SN_ERR_INPUT, "%s: cannot read: %s%s", path, strerror(errno),
                            errno == ENOENT ? "; check its name" : "");
    if (fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode)) {
        status = sn_error_set(error, SN_ERR_INPUT, "%s: not a file", path);
        goto done;
    }
    SN_TRY(sn_alloc(data, (size_t)info.st_size + 1, 1, error));
    *size = fread(*data, 1, (size_t)info.st_size, file);
    if (*size != (size_t)info.st_size) {
        sn_free(*data);
        *data = NULL;
        status = sn_error_set(error, SN_ERR_INPUT, "%s: cannot read: %s", path, strerror(errno));
    }
done:
    fclose(file);
    return status;
}

sn_status sn_path_error(const char *path, const char *what, int cause, sn_error *error)
{
    const char *remedy = "choose another place";
    if (cause == ENOSPC || cause == EDQUOT)
        remedy = "free some space or choose another disk";
    else if (cause == EACCES || cause == EPERM || cause == EROFS)
        remedy = "choose a folder in which you may write";
    else if (cause == ENOENT)
        remedy = "make its folder first";
    return sn_error_set(error, SN_ERR_IO, "%s: cannot %s: %s; %s", path, what, strerror(cause), remedy);
}

/* A folder, a device or a pipe cannot be replaced by a file; as root, a device could. */
static bool is_no_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode);
}

sn_status sn_file_writer_open(sn_file_writer **writer, const char *path, sn_error *error)
{
    sn_status status;
    sn_file_writer *self = NULL;
    *writer = NULL;
    if (is_no_file(path))
        return sn_error_set(error, SN_ERR_IO, "%s: cannot write: a folder or a device has this name", path);
    SN_TRY(sn_alloc(&self, 1, sizeof *self, error));
    SN_TRY(sn_string_copy(&self->path, path, error));
    SN_TRY(sn_string_format(&self->temporary, error, "%s.%ld.tmp", path, (long)getpid()));
    self->stream = fopen(self->temporary, "wb");
    if (self->stream == NULL) {
        status = sn_path_error(path, "write", errno, error);
        goto done;
    }
    *writer = self;
    self = NULL;
done:
    sn_file_writer_close(self);
    return status;
}

FILE *sn_file_writer_stream(sn_file_writer *writer)
{
    return writer->stream;
}

/* Why writing to a stream failed: an earlier failure's errno is long overwritten, so it is provoked again. */
static int write_again(FILE *stream)
{
    static const char block[4096] = {0};
    errno = EIO;
    clearerr(stream);
    return fwrite(block, 1, sizeof block, stream) < sizeof block || fflush(stream) != 0 ? errno : EIO;
}

sn_status sn_file_writer_commit(sn_file_writer *writer, sn_error *error)
{
    bool failed = ferror(writer->stream) || fflush(writer->stream) != 0 || fsync(fileno(writer->stream)) != 0;
    int cause = ferror(writer->stream) ? write_again(writer->stream) : errno;
    if (fclose(writer->stream) != 0 && !failed) {
        failed = true;
        cause = errno;
    }
    writer->stream = NULL;
    if (!failed && rename(writer->temporary, writer->path) != 0) {
        failed = true;
        cause = errno;
    }
    if (failed)
        return sn_path_error(writer->path, "write", cause, error);
    sn_free(writer->temporary);
    writer->temporary = NULL;
    return SN_OK;
}

void sn_file_writer_close(sn_file_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->stream != NULL)
        fclose(writer->stream);
    if (writer->temporary != NULL)
        unlink(writer->temporary);
    sn_free(writer->temporary);
    sn_free(writer->path);
    sn_free(writer);
}

sn_status sn_file_write(const char *path, const void *data, size_t size, sn_error *error)
{
    sn_status status;
    sn_file_writer *writer = NULL;
    SN_TRY(sn_file_writer_open(&writer, path, error));
    fwrite(data, 1, size, writer->stream); /* a failure shows in commit */
    SN_TRY(sn_file_writer_commit(writer, error));
done:
    sn_file_writer_close(writer);
    return status;
}

sn_status sn_file_copy(const char *to, const char *from, sn_error *error)
{
    sn_status status;
    char *data = NULL;
    size_t size;
    SN_TRY(sn_file_read(&data, &size, from, error));
    SN_TRY(sn_file_write(to, data, size, error));
done:
    sn_free(data);
    return status;
}

void sn_folder_tidy(const char *folder)
{
    DIR *listing = opendir(folder);
    if (listing == NULL)
        return;
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing))
        if (fnmatch("*.[0-9]*.tmp", entry->d_name, 0) == 0)
            unlinkat(dirfd(listing), entry->d_name, 0);
    closedir(listing);
}

sn_status sn_folder_create(const char *path, sn_error *error)
{
    sn_status status;
    char *prefix = NULL;
    SN_TRY(sn_string_copy(&prefix, path, error));
    for (char *slash = prefix + 1;; slash++) {
        char kept = *slash;
        if (kept != '/' && kept != '\0')
            continue;
        *slash = '\0';
        if (mkdir(prefix, 0777) != 0 && errno != EEXIST) {
            status = sn_path_error(prefix, "create the folder", errno, error);
            goto done;
        }
        *slash = kept;
        if (kept == '\0')
            break;
    }
    if (!sn_path_is_folder(path))
        status = sn_error_set(error, SN_ERR_IO, "%s: cannot create the folder: a file has this name", path);
done:
    sn_free(prefix);
    return status;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *position)
{
    (void)info, (void)kind, (void)position;
    return remove(path);
}

sn_status sn_folder_remove(const char *path, sn_error *error)
{
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT && errno != ENOTDIR)
        return sn_error_set(error, SN_ERR_IO, "%s: cannot remove: %s", path, strerror(errno));
    return SN_OK;
}

bool sn_path_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool sn_path_same(const char *a, const char *b)
{
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

bool sn_path_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

sn_status sn_path_join(char **out, const char *folder, const char *name, sn_error *error)
{
    if (name[0] == '/' || folder[0] == '\0')
        return sn_string_copy(out, name, error);
    return sn_string_format(out, error, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", name);
}

const char *sn_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

#include "base/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* DIR/segnas3d -> DIR/<file>, or in the folder SEGNAS3D_PLUGINS; false where neither is known. */
static bool find_path(char path[PATH_MAX], const char *file)
{
    char program[PATH_MAX];
    const char *folder = getenv("SEGNAS3D_PLUGINS");
    if (folder != NULL)
        return snprintf(path, PATH_MAX, "%s/%s", folder, file) < PATH_MAX;
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length < 0 ? 0 : length] = '\0';
    char *name = strrchr(program, '/');
    if (name == NULL)
        return false;
    name[1] = '\0';
    return snprintf(path, PATH_MAX, "%s%s", program, file) < PATH_MAX;
}

sn_status sn_plugin_load(void *table, const sn_plugin_options *options, sn_error *error)
{
    char path[PATH_MAX];
    void *found = NULL;
    memcpy(table, &found, sizeof found);
    if (!find_path(path, options->file) || access(path, F_OK) != 0)
        return sn_error_set(error, SN_ERR_IO, "there is no %s beside it", options->file);
    void *library = dlopen(path, RTLD_NOW | (options->global ? RTLD_GLOBAL : RTLD_LOCAL));
    if (library == NULL)
        return sn_error_set(error, SN_ERR_UNSUPPORTED, "%.800s", dlerror());
    found = dlsym(library, options->symbol);
    if (found == NULL || *(const int *)found != options->version)
        return sn_error_set(error, SN_ERR_UNSUPPORTED, "%.800s is of another version; build again", path);
    memcpy(table, &found, sizeof found);
    return SN_OK;
}

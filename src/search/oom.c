#include "search/oom.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The number after "oom_kill " at the beginning of a line; -1 where there is no such file or line. */
static int64_t counter_read(const char *path)
{
    char line[256];
    long long count = -1;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    while (count < 0 && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "oom_kill %lld", &count) != 1)
            count = -1;
    fclose(file);
    return count;
}

/* True where a comma-separated list of controllers holds `memory`. */
static bool lists_memory(const char *controllers)
{
    const char *found = strstr(controllers, "memory");
    return found != NULL && (found == controllers || found[-1] == ',') && strchr(",", found[6]) != NULL;
}

/*
 * The counter of one line of /proc/self/cgroup, "number:controllers:/path": version 2 has no controllers
 * there, version 1 keeps each in its own tree. Inside a container the path may be the host's; the tree's root
 * is ours then.
 */
static int64_t group_counter(char *line)
{
    char path[PATH_MAX];
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (group == NULL)
        return -1;
    *group++ = '\0';
    controllers++;
    bool version2 = controllers[0] == '\0';
    if (!version2 && !lists_memory(controllers))
        return -1;
    const char *tree = version2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const char *name = version2 ? "memory.events" : "memory.oom_control";
    snprintf(path, sizeof path, "%s%s/%s", tree, group, name);
    int64_t count = counter_read(path);
    if (count >= 0)
        return count;
    snprintf(path, sizeof path, "%s/%s", tree, name);
    return counter_read(path);
}

int64_t sn_oom_kills(void)
{
    char line[PATH_MAX];
    int64_t count = -1;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file != NULL && count < 0 && fgets(line, sizeof line, file) != NULL)
        count = group_counter(line);
    if (file != NULL)
        fclose(file);
    return count >= 0 ? count : counter_read("/proc/vmstat");
}

#include "base/threads.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

/* Whole cores of "quota period" in microseconds, as control groups write it; 0 where there is no limit. */
static int cores_of_quota(long long quota, long long period)
{
    return quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

/* Version 2: cpu.max holds "quota period" or "max period". */
static int quota_version2(const char *folder)
{
    char path[4352];
    long long quota = 0, period = 0;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", folder);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    int fields = fscanf(file, "%lld %lld", &quota, &period);
    fclose(file);
    return fields == 2 ? cores_of_quota(quota, period) : 0;
}

static long long read_number(const char *path)
{
    long long value = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%lld", &value) != 1)
        value = 0;
    fclose(file);
    return value;
}

static int smaller_limit(int a, int b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The smallest quota among this process's control group and those above it; 0 where there is none. */
static int quota_of_groups(void)
{
    char line[4096], folder[4096] = "";
    FILE *file = fopen("/proc/self/cgroup", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "0::", 3) == 0)
            sscanf(line + 3, "%4095[^\n]", folder);
    if (file != NULL)
        fclose(file);
    int limit = quota_version2("");
    for (char *end = folder + strlen(folder); end > folder; end = strrchr(folder, '/')) {
        *end = '\0';
        limit = smaller_limit(limit, quota_version2(folder));
    }
    int version1 = cores_of_quota(read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
                                  read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
    return smaller_limit(limit, version1);
}

int sn_threads_default(void)
{
    cpu_set_t cores;
    int count = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    int quota = quota_of_groups();
    return quota > 0 && quota < count ? quota : count;
}

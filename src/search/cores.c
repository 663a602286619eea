#include "search/cores.h"

#include <stdio.h>
#include <stdlib.h>

/* A core as the scheduler numbers it, and where it is. */
typedef struct core {
    int package, core, number;
} core;

/* A number that the kernel tells of a core's place; 0 where it does not. */
static int topology_read(int number, const char *name)
{
    char path[128];
    int value = 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", number, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%d", &value) != 1)
        value = 0;
    fclose(file);
    return value;
}

static int compare_cores(const void *a, const void *b)
{
    const core *left = a, *right = b;
    if (left->package != right->package)
        return left->package - right->package;
    return left->core != right->core ? left->core - right->core : left->number - right->number;
}

/* The cores that this process may use, neighbours side by side. */
static int cores_list(core cores[CPU_SETSIZE])
{
    cpu_set_t allowed;
    int count = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return 0;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &allowed))
            cores[count++] = (core){topology_read(i, "physical_package_id"), topology_read(i, "core_id"), i};
    qsort(cores, (size_t)count, sizeof *cores, compare_cores);
    return count;
}

bool sn_cores_share_out(cpu_set_t *sets, int workers, int threads)
{
    core cores[CPU_SETSIZE];
    if ((long long)workers * threads > cores_list(cores))
        return false;
    for (int worker = 0; worker < workers; worker++) {
        CPU_ZERO(&sets[worker]);
        for (int i = 0; i < threads; i++)
            CPU_SET(cores[worker * threads + i].number, &sets[worker]);
    }
    return true;
}

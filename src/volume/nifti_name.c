#include "volume/nifti.h"

#include <string.h>

size_t sn_nifti_stem(const char *path)
{
    static const char *const endings[] = {".nii.gz", ".nii", ".hdr", ".img"};
    size_t length = strlen(path);
    for (int e = 0; e < 4; e++) {
        size_t ending = strlen(endings[e]);
        if (length > ending && strcmp(path + length - ending, endings[e]) == 0)
            return length - ending;
    }
    return length;
}

bool sn_nifti_name(const char *path)
{
    return path[sn_nifti_stem(path)] != '\0';
}

/* Reading the image of a case: one file with all channels, or one file a channel. */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "dataset/dataset.h"
#include "volume/nifti.h"

sn_status sn_case_name(char **name, const char *path, bool strip_channel, sn_error *error)
{
    const char *file = sn_path_name(path);
    size_t length = sn_nifti_stem(file);
    if (strip_channel && length > 5 && file[length - 5] == '_') {
        bool digits = true;
        for (size_t i = length - 4; i < length; i++)
            digits = digits && isdigit((unsigned char)file[i]);
        length -= digits ? 5 : 0;
    }
    return sn_string_format(name, error, "%.*s", (int)length, file);
}

/* Read one file that must hold `channels` channels. */
static sn_status file_read(sn_volume **volume, const char *path, int channels, sn_error *error)
{
    sn_status status;
    sn_volume *self = NULL;
    *volume = NULL;
    SN_TRY(sn_nifti_read_volume(&self, path, error));
    if (self->channels != channels) {
        status = sn_error_set(error, SN_ERR_INPUT,
                              "%s: has %" PRId64
                              " channel%s, %d expected; give all in one 4D file, or one file a channel",
                              path, self->channels, self->channels == 1 ? "" : "s", channels);
        goto done;
    }
    *volume = self;
    self = NULL;
done:
    sn_volume_free(self);
    return status;
}

sn_status sn_image_read(sn_volume **image, char *const *paths, int path_count, int channels, sn_error *error)
{
    sn_status status;
    sn_volume *joined = NULL, *channel = NULL;
    char difference[SN_GRID_DIFFERENCE];
    *image = NULL;
    if (path_count == 1)
        return file_read(image, paths[0], channels, error);
    if (path_count != channels)
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: %d files for an image of %d channels; give one a channel", paths[0],
                            path_count, channels);
    for (int c = 0; c < channels; c++) {
        SN_TRY(file_read(&channel, paths[c], 1, error));
        if (joined == NULL)
            SN_TRY(sn_volume_create(&joined, &channel->grid, channels, error));
        if (!sn_grid_equal(&joined->grid, &channel->grid, SN_GRID_TOLERANCE_MM, difference)) {
            status = sn_error_set(error, SN_ERR_INPUT, "%s: not on the grid of %s: %s; resample it", paths[c],
                                  paths[0], difference);
            goto done;
        }
        int64_t voxels = sn_grid_voxels(&joined->grid);
        memcpy(joined->data + c * voxels, channel->data, (size_t)voxels * sizeof *channel->data);
        sn_volume_free(channel);
        channel = NULL;
    }
    *image = joined;
    joined = NULL;
done:
    sn_volume_free(channel);
    sn_volume_free(joined);
    return status;
}

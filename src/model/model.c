#include "model/model.h"

#include <string.h>

#include "base/file.h"
#include "base/json.h"

sn_status sn_model_save(const sn_model *model, const char *path, sn_error *error)
{
    sn_status status;
    json_t *record = NULL, *arch = NULL, *preprocessing = NULL, *labels = NULL;
    SN_TRY(sn_arch_to_json(&arch, &model->arch, error));
    SN_TRY(sn_preprocessing_to_json(&preprocessing, &model->preprocessing, error));
    SN_TRY(sn_label_table_to_json(&labels, model->labels, error));
    record = json_pack("{s:i, s:O, s:O, s:O, s:O}", "version", SN_MODEL_VERSION, "arch", arch,
                       "preprocessing", preprocessing, "labels", labels, "training", model->training);
    if (record == NULL) {
        status = sn_error_set(error, SN_ERR_MEMORY, "%s: out of memory while writing", path);
        goto done;
    }
    SN_TRY(sn_safetensors_write(path, record, &model->weights, error));
done:
    json_decref(record);
    json_decref(arch);
    json_decref(preprocessing);
    json_decref(labels);
    return status;
}

static sn_status check_version(const json_t *record, const char *path, sn_error *error)
{
    int64_t version;
    sn_status status;
    if (!sn_json_has(record, "version"))
        return sn_error_set(error, SN_ERR_INPUT, "%s: not a model file of segnas3d", path);
    SN_TRY(sn_json_integer(&version, record, "version", path, error));
    if (version > SN_MODEL_VERSION)
        status = sn_error_set(
            error, SN_ERR_INPUT,
            "%s: made by a newer segnas3d (model version %d, this program reads up to %d); update it", path,
            (int)version, SN_MODEL_VERSION);
done:
    return status;
}

sn_status sn_model_load(sn_model *model, const char *path, sn_error *error)
{
    sn_status status;
    json_t *record = NULL, *arch, *preprocessing, *labels;
    *model = (sn_model){0};
    if (sn_path_is_folder(path))
        return sn_error_set(error, SN_ERR_INPUT,
                            "%s: a folder; give a model's file, such as best.safetensors of a study", path);
    SN_TRY(sn_safetensors_read(&record, &model->weights, path, error));
    SN_TRY(check_version(record, path, error));
    SN_TRY(sn_json_object(&arch, record, "arch", path, error));
    SN_TRY(sn_arch_from_json(&model->arch, arch, path, error));
    SN_TRY(sn_json_object(&preprocessing, record, "preprocessing", path, error));
    SN_TRY(sn_preprocessing_from_json(&model->preprocessing, preprocessing, path, error));
    SN_TRY(sn_json_array(&labels, record, "labels", path, error));
    SN_TRY(sn_label_table_from_json(&model->labels, labels, path, error));
    if (model->labels->count < 2) {
        status = sn_error_set(error, SN_ERR_INPUT, "%s: damaged: field \"labels\" names no structure", path);
        goto done;
    }
    SN_TRY(sn_json_object(&model->training, record, "training", path, error));
    json_incref(model->training);
done:
    json_decref(record);
    if (status != SN_OK)
        sn_model_clear(model);
    return status;
}

void sn_model_clear(sn_model *model)
{
    sn_label_table_free(model->labels);
    json_decref(model->training);
    sn_arrays_clear(&model->weights);
    memset(model, 0, sizeof *model);
}

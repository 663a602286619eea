/* Softmax, argmax and overlap: what is done over the classes of each voxel. */
#include <string.h>

#include "backend/cpu/kernels/classes.h"

void SN_CPU_RUN(softmax)(const sn_cpu_call *call)
{
    const int64_t *shape = call->op->inputs[0].desc.shape;
    int64_t voxels = sn_tensor_voxels(&call->op->inputs[0].desc), channels = shape[1];
    int64_t blocks = sn_cpu_class_blocks(voxels);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t unit = 0; unit < shape[0] * blocks; unit++) {
        float *e = sn_cpu_thread_scratch(call);
        int64_t voxel = unit % blocks * BLOCK, image = unit / blocks * channels * voxels;
        int count = sn_cpu_block_count(voxels, voxel);
        vf sums[BLOCK_VECTORS];
        sn_cpu_gather_classes(e, (const float *)call->in[0] + image + voxel, voxels, channels, count);
        sn_cpu_exp_classes(e, sums, channels);
        for (int i = 0; i < BLOCK_VECTORS; i++)
            for (int64_t c = 0; c < channels; c++)
                vf_store(e + c * BLOCK + i * LANES, vf_load(e + c * BLOCK + i * LANES) / sums[i]);
        for (int64_t c = 0; c < channels; c++)
            memcpy((float *)call->out[0] + image + c * voxels + voxel, e + c * BLOCK,
                   (size_t)count * sizeof *e);
    }
}

/* The class of the highest score of each voxel; the first of equals. */
static void find_best(int32_t best[BLOCK], const float *scores, int64_t channels)
{
    float highest[BLOCK];
    memcpy(highest, scores, sizeof highest);
    memset(best, 0, BLOCK * sizeof *best);
    for (int64_t c = 1; c < channels; c++) {
        const float *score = scores + c * BLOCK;
#pragma omp simd
        for (int i = 0; i < BLOCK; i++) {
            best[i] = score[i] > highest[i] ? (int32_t)c : best[i];
            highest[i] = score[i] > highest[i] ? score[i] : highest[i];
        }
    }
}

void SN_CPU_RUN(argmax)(const sn_cpu_call *call)
{
    const int64_t *shape = call->op->inputs[0].desc.shape;
    int64_t voxels = sn_tensor_voxels(&call->op->inputs[0].desc), channels = shape[1];
    int64_t blocks = sn_cpu_class_blocks(voxels);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t unit = 0; unit < shape[0] * blocks; unit++) {
        float *scores = sn_cpu_thread_scratch(call);
        int32_t best[BLOCK];
        int64_t voxel = unit % blocks * BLOCK, image = unit / blocks;
        int count = sn_cpu_block_count(voxels, voxel);
        sn_cpu_gather_classes(scores, (const float *)call->in[0] + image * channels * voxels + voxel, voxels,
                              channels, count);
        find_best(best, scores, channels);
        for (int i = 0; i < count; i++)
            ((uint8_t *)call->out[0])[image * voxels + voxel + i] = (uint8_t)best[i];
    }
}

/* counts (C, 3) += those of one block. */
static void count_overlap(int64_t *counts, const uint8_t *labels, const int32_t *best, int count)
{
    for (int i = 0; i < count; i++) {
        counts[3 * labels[i]] += labels[i] == best[i];
        counts[3 * labels[i] + 1]++;
        counts[3 * best[i] + 2]++;
    }
}

void SN_CPU_RUN(overlap)(const sn_cpu_call *call)
{
    const int64_t *shape = call->op->inputs[0].desc.shape;
    int64_t voxels = sn_tensor_voxels(&call->op->inputs[0].desc), channels = shape[1];
    int64_t cells = shape[0] * channels * 3;
    int64_t *counts = call->workspace; /* (N, C, 3); integers, so the order of adding does not matter */
    memset(counts, 0, (size_t)cells * sizeof *counts);
#pragma omp parallel for num_threads(call->threads) schedule(static)
    for (int64_t unit = 0; unit < shape[0] * sn_cpu_chunks(voxels); unit++) {
        float *scores = sn_cpu_thread_scratch(call);
        int64_t *own = (int64_t *)(scores + channels * BLOCK);
        int64_t chunks = sn_cpu_chunks(voxels), image = unit / chunks;
        sn_cpu_span s = sn_cpu_chunk_of(image, voxels, unit % chunks);
        memset(own, 0, (size_t)channels * 3 * sizeof *own);
        for (int64_t voxel = s.begin; voxel < s.begin + s.count; voxel += BLOCK) {
            int32_t best[BLOCK];
            int count = sn_cpu_block_count(s.begin + s.count, voxel);
            const float *first = (const float *)call->in[0] + image * (channels - 1) * voxels + voxel;
            sn_cpu_gather_classes(scores, first, voxels, channels, count);
            find_best(best, scores, channels);
            count_overlap(own, (const uint8_t *)call->in[1] + voxel, best, count);
        }
        for (int64_t i = 0; i < channels * 3; i++)
#pragma omp atomic
            counts[image * channels * 3 + i] += own[i];
    }
    for (int64_t i = 0; i < cells; i++)
        ((double *)call->out[0])[i] = (double)counts[i];
}

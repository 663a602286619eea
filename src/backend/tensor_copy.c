/* Tensors between host and device, in the order that a backend keeps them in. */
#include <assert.h>

#include "backend/backend.h"

enum { PIECE = 512 /* floats */ };

/* Neighbours in a buffer that keeps weights taps first: output channels [first, first + count) of input channel i
 * and tap t. */
typedef struct piece {
    int64_t i, t, first, count;
} piece;

typedef struct weights_walk {
    int64_t out_channels, in_channels, taps;
    piece at;
} weights_walk;

static weights_walk walk_of(const sn_tensor_desc *desc)
{
    const int64_t *shape = desc->shape;
    assert(desc->dtype == SN_F32);
    return (weights_walk){.out_channels = shape[0],
                          .in_channels = shape[1],
                          .taps = shape[2] * shape[3] * shape[4],
                          .at = {.t = -1, .first = shape[0]}};
}

/* The next piece; all taps of an input channel before the next one, whose lines on the host lie together. */
static bool walk_next(weights_walk *walk)
{
    piece *at = &walk->at;
    at->first += at->count;
    if (at->first >= walk->out_channels) {
        at->first = 0;
        at->i += ++at->t / walk->taps;
        at->t %= walk->taps;
    }
    int64_t rest = walk->out_channels - at->first;
    at->count = rest < PIECE ? rest : PIECE;
    return at->i < walk->in_channels;
}

/* The piece's first value on the host, whose next ones lie in_channels*taps further on each, */
static int64_t host_place(const weights_walk *walk)
{
    return (walk->at.first * walk->in_channels + walk->at.i) * walk->taps + walk->at.t;
}

/* and in the buffer, in bytes. */
static size_t buffer_place(const weights_walk *walk)
{
    int64_t row = walk->at.t * walk->in_channels + walk->at.i;
    return (size_t)(row * walk->out_channels + walk->at.first) * sizeof(float);
}

void sn_tensor_upload(const sn_backend *backend, sn_device *device, sn_buffer *buffer, size_t offset,
                      const sn_tensor_desc *desc, bool weights, const void *data)
{
    if (!weights || !backend->taps_first) {
        backend->upload(device, buffer, offset, data, sn_tensor_bytes(desc));
        return;
    }
    float values[PIECE];
    for (weights_walk walk = walk_of(desc); walk_next(&walk);) {
        const float *from = (const float *)data + host_place(&walk);
        for (int64_t k = 0; k < walk.at.count; k++, from += walk.in_channels * walk.taps)
            values[k] = *from;
        backend->upload(device, buffer, offset + buffer_place(&walk), values,
                        (size_t)walk.at.count * sizeof *values);
    }
}

void sn_tensor_download(const sn_backend *backend, sn_device *device, const sn_buffer *buffer, size_t offset,
                        const sn_tensor_desc *desc, bool weights, void *data)
{
    if (!weights || !backend->taps_first) {
        backend->download(device, buffer, offset, data, sn_tensor_bytes(desc));
        return;
    }
    float values[PIECE];
    for (weights_walk walk = walk_of(desc); walk_next(&walk);) {
        float *to = (float *)data + host_place(&walk);
        backend->download(device, buffer, offset + buffer_place(&walk), values,
                          (size_t)walk.at.count * sizeof *values);
        for (int64_t k = 0; k < walk.at.count; k++, to += walk.in_channels * walk.taps)
            *to = values[k];
    }
}

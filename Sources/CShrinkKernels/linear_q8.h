/* The epilogue of linear_q8, shared by the vector tables. */
#ifndef SHRINK_LINEAR_Q8_H
#define SHRINK_LINEAR_Q8_H

#include "vector.h"

/* What the epilogue needs of one block's 32 channels; those past n are zero. */
typedef struct {
    vu w_sum[2];
    vf w_scale[2], bias[2];
    size_t count;
    int has_bias;
} block_channels;

INLINE block_channels channels_of_block(const shrink_linear_q8_args *args, uint32_t block) {
    uint32_t o = block * SHRINK_BLOCK;
    size_t count = args->n - o < SHRINK_BLOCK ? args->n - o : SHRINK_BLOCK;
    block_channels c = {.count = count, .has_bias = args->bias != NULL};
    memcpy(c.w_sum, args->w_sum + o, count * 4);
    memcpy(c.w_scale, args->w_scale + o, count * 4);
    if (args->bias) memcpy(c.bias, args->bias + o, count * 4);
    return c;
}

INLINE vf finish_q8(vu sum, shrink_qrow_tail row, const block_channels *c, int half) {
    vu exact = sum - (uint32_t)row.zero * c->w_sum[half];
    vf y = to_float((vi)exact) * (row.scale * c->w_scale[half]);
    return c->has_bias ? y + c->bias[half] : y;
}

INLINE void store_q8(float *y, const block_channels *c, vf low, vf high) {
    if (c->count == SHRINK_BLOCK) {
        store(y, low);
        store(y + LANES, high);
    } else {
        vf both[2] = {low, high};
        memcpy(y, both, c->count * sizeof(float));
    }
}

#endif

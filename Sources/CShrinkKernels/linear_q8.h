/* The epilogue of linear_q8, shared by the vector tables. */
#ifndef SHRINK_LINEAR_Q8_H
#define SHRINK_LINEAR_Q8_H

#include "vector.h"

INLINE void finish_rows_q8(const shrink_linear_q8_args *args, uint32_t first, uint32_t rows, uint32_t channel, size_t count,
                           int has_bias, const vu w_sum[2], const vf w_scale[2], const vf bias[2], const vu *sums, uint32_t offset) {
    const uint8_t *tail = args->x + first * args->x_stride + shrink_qrow_codes(args->k);
    float *out = args->y + first * args->y_stride + channel;
    for (uint32_t m = 0; m < rows; m++, tail += args->x_stride, out += args->y_stride) {
        shrink_qrow_tail row;
        memcpy(&row, tail, sizeof row);
        vf y[2];
        UNROLL for (int half = 0; half < 2; half++) {
            vu exact = sums[2 * m + half] - ((uint32_t)row.zero - offset) * w_sum[half];
            y[half] = to_float((vi)exact) * (row.scale * w_scale[half]);
            if (has_bias) y[half] = y[half] + bias[half];
        }
        if (count == SHRINK_BLOCK) {
            store(out, y[0]);
            store(out + LANES, y[1]);
        } else {
            memcpy(out, y, count * sizeof(float));
        }
    }
}

/* Asks for what finishes a block while its products are made: it lies far from the weights. */
INLINE void fetch_channels_q8(const shrink_linear_q8_args *args, uint32_t block) {
    const size_t o = (size_t)block * SHRINK_BLOCK;
    UNROLL for (int half = 0; half < 2; half++) {
        __builtin_prefetch(args->w_scale + o + half * LANES);
        __builtin_prefetch(args->w_sum + o + half * LANES);
    }
}

/* Turns the integer sums of `rows` rows against one block, [row][32], into outputs. `offset` is what
 * was taken from each code before the products, so that the zero point moves with it. Not inlined:
 * it takes no vector, and a tile is smaller and keeps its registers without it. */
static __attribute__((noinline)) void finish_q8(const shrink_linear_q8_args *args, uint32_t first, uint32_t rows,
                                                uint32_t block, const vu *sums, uint32_t offset) {
    const uint32_t o = block * SHRINK_BLOCK;
    const size_t count = args->n - o < SHRINK_BLOCK ? args->n - o : SHRINK_BLOCK;
    vu w_sum[2] = {0};
    vf w_scale[2] = {0}, bias[2] = {0};
#define FINISH(count) \
    memcpy(w_sum, args->w_sum + o, count * 4); \
    memcpy(w_scale, args->w_scale + o, count * 4); \
    if (args->bias) { \
        memcpy(bias, args->bias + o, count * 4); \
        finish_rows_q8(args, first, rows, o, count, 1, w_sum, w_scale, bias, sums, offset); \
    } else { \
        finish_rows_q8(args, first, rows, o, count, 0, w_sum, w_scale, bias, sums, offset); \
    }
    if (count == SHRINK_BLOCK) { FINISH(SHRINK_BLOCK) } else { FINISH(count) }
#undef FINISH
}

#endif

/* The epilogue of linear_q8, shared by the vector tables. */
#ifndef SHRINK_LINEAR_Q8_H
#define SHRINK_LINEAR_Q8_H

#include "vector.h"

/* What finishes 32 channels: their sums of weights, scales and biases, or NO_BIAS: y + -0 is y. */
#define NO_BIAS -0.0f
typedef struct {
    vu w_sum[2];
    vf w_scale[2], bias[2];
} channel_terms;

/* A half of the integer sums of the row whose codes end at `tail`, to outputs. `offset` is what was taken from each
 * code before the products, so that the zero point moves with it. */
INLINE vf finish_half_q8(const uint8_t *tail, const channel_terms *terms, int half, vu sum, uint32_t offset) {
    float scale;
    uint32_t zero;
    memcpy(&scale, tail + offsetof(shrink_qrow_tail, scale), 4);
    memcpy(&zero, tail + offsetof(shrink_qrow_tail, zero), 4);
    vu exact = sum - (zero - offset) * terms->w_sum[half];
    return to_float((vi)exact) * (scale * terms->w_scale[half]) + terms->bias[half];
}

/* Asks for what finishes a block while its products are made: it lies far from the weights. */
INLINE void fetch_channels_q8(const shrink_linear_q8_args *args, uint32_t block) {
    const size_t o = (size_t)block * SHRINK_BLOCK;
    UNROLL for (int half = 0; half < 2; half++) {
        __builtin_prefetch(args->w_scale + o + half * LANES);
        __builtin_prefetch(args->w_sum + o + half * LANES);
    }
}

INLINE channel_terms terms_of(const shrink_linear_q8_args *args, uint32_t first, size_t count) {
    channel_terms terms = {.bias = {NO_BIAS, NO_BIAS}};
    memcpy(terms.w_sum, args->w_sum + first, count * 4);
    memcpy(terms.w_scale, args->w_scale + first, count * 4);
    if (args->bias) memcpy(terms.bias, args->bias + first, count * 4);
    return terms;
}

/* The outputs of the integer sums of `rows` rows against one block, [row][32]. Not inlined: it takes no vector, and a tile
 * is smaller without it. */
static __attribute__((noinline, unused)) void finish_q8(const shrink_linear_q8_args *args, uint32_t first, uint32_t rows,
                                                uint32_t block, const vu *sums, uint32_t offset) {
    const uint32_t o = block * SHRINK_BLOCK;
    const size_t count = args->n - o < SHRINK_BLOCK ? args->n - o : SHRINK_BLOCK;
    const channel_terms terms = count == SHRINK_BLOCK ? terms_of(args, o, SHRINK_BLOCK) : terms_of(args, o, count);
    const uint8_t *tail = args->x + first * args->x_stride + shrink_qrow_codes(args->k);
    float *out = args->y + first * args->y_stride + o;
    for (uint32_t m = 0; m < rows; m++, tail += args->x_stride, out += args->y_stride) {
        vf y[2];
        UNROLL for (int half = 0; half < 2; half++) y[half] = finish_half_q8(tail, &terms, half, sums[2 * m + half], offset);
        if (count == SHRINK_BLOCK) {
            store(out, y[0]);
            store(out + LANES, y[1]);
        } else {
            memcpy(out, y, count * sizeof(float));
        }
    }
}

#endif

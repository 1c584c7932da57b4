/* ARMv8.2 with the dot product instructions (Cortex-A55, A75, A76 and later, Neoverse N1). */
#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

#include "linear_q8.h"
#include "neon.h"

#define KERNEL(name) name##_dotprod
#define LINEAR_ROWS 3

/* SDOT takes signed bytes alone: sum a b = sum (a - 128) b + 2 sum 64 b. Where `b` is the same in all lanes,
 * the compiler computes the second part once. */
INLINE vi multiply_four_bytes(vi sum, vi a, vi b) {
    int32x4_t s[4];
    uint8x16_t x[4];
    int8x16_t y[4];
    memcpy(s, &sum, sizeof sum);
    memcpy(x, &a, sizeof a);
    memcpy(y, &b, sizeof b);
    const int8x16_t half = vdupq_n_s8(64);
    UNROLL for (int i = 0; i < 4; i++) {
        int32x4_t correction = vdotq_s32(vdotq_s32(vdupq_n_s32(0), y[i], half), y[i], half);
        s[i] = vdotq_s32(vaddq_s32(s[i], correction), signed_bytes(x[i]), y[i]);
    }
    memcpy(&sum, s, sizeof sum);
    return sum;
}
#define multiply_bytes multiply_four_bytes

#include "float_kernels.inc"
#include "attention_q8.inc"

INLINE int32x4_t dot_of_step(int32x4_t sum, int8x16_t w, int8x16_t a, int step) {
    return step == 0 ? vdotq_laneq_s32(sum, w, a, 0) : step == 1 ? vdotq_laneq_s32(sum, w, a, 1)
         : step == 2 ? vdotq_laneq_s32(sum, w, a, 2) : vdotq_laneq_s32(sum, w, a, 3);
}

/* `rows` rows against 4 `quads` channels of a block, from channel `from` on. */
INLINE void channels_q8(int rows, int quads, const shrink_linear_q8_args *args, uint32_t first, const int8_t *w, int from, vu *sums) {
    const size_t stride = args->x_stride, steps = ((size_t)args->k + 3) / 4;
    const uint8_t *x = args->x + first * stride;
    int32x4_t acc[5][8];
    UNROLL for (int m = 0; m < rows; m++) UNROLL for (int j = 0; j < quads; j++) acc[m][j] = vdupq_n_s32(0);
    w += 4 * from;
    /* Codes are padded to four steps, weights are not. */
#define FOUR_STEPS(count) \
    { \
        int8x16_t a[5]; \
        UNROLL for (int m = 0; m < rows; m++) a[m] = signed_codes(x + m * stride + 4 * s); \
        UNROLL for (size_t i = 0; i < 4; i++) \
            if (i < (count)) \
                UNROLL for (int j = 0; j < quads; j++) { \
                    int8x16_t here = vld1q_s8(w + (s + i) * 128 + 16 * j); \
                    UNROLL for (int m = 0; m < rows; m++) acc[m][j] = dot_of_step(acc[m][j], here, a[m], (int)i); \
                } \
    }
    size_t s = 0;
    for (; s + 4 <= steps; s += 4) FOUR_STEPS(4)
    if (s < steps) FOUR_STEPS(steps - s)
#undef FOUR_STEPS
    UNROLL for (int m = 0; m < rows; m++) memcpy((uint32_t *)&sums[2 * m] + from, acc[m], 16 * quads);
}

INLINE void linear_q8_tile(int rows, const shrink_linear_q8_args *args, uint32_t first, uint32_t block) {
    const int8_t *w = args->w + block * q8_block_bytes(args->k);
    vu sums[2 * 5];
    if (rows <= 3) {
        channels_q8(rows, 8, args, first, w, 0, sums);
    } else {
        for (int from = 0; from < 32; from += 16) channels_q8(rows, 4, args, first, w, from, sums);
    }
    finish_q8(args, first, rows, block, sums, 128);
}

/* Block by block, so that a block of weights stays in the cache while all rows pass. */
static void linear_q8_dotprod(const shrink_linear_q8_args *args) {
    uint32_t tiles = (args->rows + 4) / 5;
    for (uint32_t block = args->block_begin; block < args->block_end; block++) {
        fetch_channels_q8(args, block);
        uint32_t first = 0;
        for (uint32_t left = tiles; left > 0; left--) {
            uint32_t rows = (args->rows - first + left - 1) / left;
            switch (rows) {
#define CASE(r) case r: linear_q8_tile(r, args, first, block); break;
                CASE(1) CASE(2) CASE(3) CASE(4) CASE(5)
#undef CASE
            }
            first += rows;
        }
    }
}

#define ENTRY(name, result, parameters) KERNEL(name),
const shrink_kernels shrink_kernels_dotprod = {SHRINK_KERNEL_LIST(ENTRY)};

#pragma clang attribute pop
#endif

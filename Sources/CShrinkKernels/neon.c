/* ARMv8.0 NEON, without dot products (Cortex-A35, A53, A57, A72, A73). */
#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

#include "linear_q8.h"
#include "neon.h"

#define KERNEL(name) name##_neon
#define LINEAR_ROWS 3

#include "float_kernels.inc"
#include "attention_q8.inc"

typedef struct { int8x16_t now, next; } two_steps;

/* Step j of four, and the one after it: a = code - 128 of one row, four k of it in every lane. */
INLINE two_steps broadcast(int8x16_t codes, int j) {
    int32x4_t v = vreinterpretq_s32_s8(codes);
    return j == 0 ? (two_steps){vreinterpretq_s8_s32(vdupq_laneq_s32(v, 0)), vreinterpretq_s8_s32(vdupq_laneq_s32(v, 1))}
                  : (two_steps){vreinterpretq_s8_s32(vdupq_laneq_s32(v, 2)), vreinterpretq_s8_s32(vdupq_laneq_s32(v, 3))};
}

/* Two products of |a| <= 128 and |w| <= 127 fit int16, so pairs of steps are summed there first. An
 * accumulator holds two channels, each as the sum over k % 4 < 2 and the one over the others. */
INLINE void two_step_products(int rows, int quads, const int8_t *w, const int8_t *w_next, const two_steps *a, int32x4_t (*acc)[16]) {
    UNROLL for (int j = 0; j < quads; j++) {
        if (rows > 1) __asm__ volatile("" ::: "memory");  /* loads made early would push accumulators out */
        int8x16_t now = vld1q_s8(w + 16 * j), next = vld1q_s8(w_next + 16 * j);
        UNROLL for (int m = 0; m < rows; m++) {
            int16x8_t low = vmull_s8(vget_low_s8(now), vget_low_s8(a[m].now)), high = vmull_high_s8(now, a[m].now);
            low = vmlal_s8(low, vget_low_s8(next), vget_low_s8(a[m].next));
            high = vmlal_high_s8(high, next, a[m].next);
            acc[m][2 * j] = vpadalq_s16(acc[m][2 * j], low);
            acc[m][2 * j + 1] = vpadalq_s16(acc[m][2 * j + 1], high);
        }
    }
}

/* `rows` rows against 4 `quads` channels of a block, from channel `from` on. */
INLINE void channels_q8(int rows, int quads, const shrink_linear_q8_args *args, uint32_t first, const int8_t *w, int from, vu *sums) {
    const size_t stride = args->x_stride, steps = ((size_t)args->k + 3) / 4;
    const uint8_t *x = args->x + first * stride;
    int32x4_t acc[2][16];
    two_steps a[2];
    UNROLL for (int m = 0; m < rows; m++) UNROLL for (int j = 0; j < 2 * quads; j++) acc[m][j] = vdupq_n_s32(0);
    w += 4 * from;
    size_t s = 0;
    for (; s + 4 <= steps; s += 4) {
        int8x16_t codes[2];
        UNROLL for (int m = 0; m < rows; m++) codes[m] = signed_codes(x + m * stride + 4 * s);
        UNROLL for (int half = 0; half < 2; half++) {
            UNROLL for (int m = 0; m < rows; m++) a[m] = broadcast(codes[m], half);
            two_step_products(rows, quads, w + (s + 2 * half) * 128, w + (s + 2 * half + 1) * 128, a, acc);
        }
    }
    /* The codes are padded to four steps, the weights are not: a step past the end is a = 0. */
    UNROLL for (int half = 0; half < 2; half++) {
        size_t now = s + 2 * half, next = now + 1;
        if (now >= steps) break;
        UNROLL for (int m = 0; m < rows; m++) {
            a[m] = broadcast(signed_codes(x + m * stride + 4 * s), half);
            if (next >= steps) a[m].next = vdupq_n_s8(0);
        }
        two_step_products(rows, quads, w + now * 128, w + (next < steps ? next : now) * 128, a, acc);
    }
    UNROLL for (int m = 0; m < rows; m++)
        UNROLL for (int j = 0; j < quads; j++) {
            int32x4_t four = vpaddq_s32(acc[m][2 * j], acc[m][2 * j + 1]);
            memcpy((uint32_t *)&sums[2 * m] + from + 4 * j, &four, sizeof four);
        }
}

INLINE void linear_q8_tile(int rows, const shrink_linear_q8_args *args, uint32_t first, uint32_t block) {
    const int8_t *w = args->w + block * q8_block_bytes(args->k);
    vu sums[2 * 2];
    if (rows == 1) {
        channels_q8(1, 8, args, first, w, 0, sums);
    } else {
        for (int from = 0; from < 32; from += 16) channels_q8(2, 4, args, first, w, from, sums);
    }
    finish_q8(args, first, rows, block, sums, 128);
}

/* Block by block, so that a block of weights stays in the cache while all rows pass. */
static void linear_q8_neon(const shrink_linear_q8_args *args) {
    for (uint32_t block = args->block_begin; block < args->block_end; block++) {
        fetch_channels_q8(args, block);
        uint32_t m = 0;
        for (; m + 2 <= args->rows; m += 2) linear_q8_tile(2, args, m, block);
        if (m < args->rows) linear_q8_tile(1, args, m, block);
    }
}

#define ENTRY(name, result, parameters) KERNEL(name),
const shrink_kernels shrink_kernels_neon = {SHRINK_KERNEL_LIST(ENTRY)};

#endif

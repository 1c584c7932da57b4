/* ARMv8.6 with the 8-bit matrix products (Cortex-A510, A710, X2, Neoverse V1 and later). */
#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("dotprod,i8mm"))), apply_to = function)

#include "linear_q8.h"
#include "neon.h"

#define KERNEL(name) name##_i8mm
#define LINEAR_ROWS 3

INLINE vi multiply_four_bytes(vi sum, vi a, vi b) {
    int32x4_t s[4];
    uint8x16_t x[4];
    int8x16_t y[4];
    memcpy(s, &sum, sizeof sum);
    memcpy(x, &a, sizeof a);
    memcpy(y, &b, sizeof b);
    UNROLL for (int i = 0; i < 4; i++) s[i] = vusdotq_s32(s[i], x[i], y[i]);
    memcpy(&sum, s, sizeof sum);
    return sum;
}
#define multiply_bytes multiply_four_bytes

#include "float_kernels.inc"
#include "attention_q8.inc"

/* One row: SUDOT takes the layout as it is. */
INLINE void linear_q8_row(const shrink_linear_q8_args *args, uint32_t m, uint32_t block) {
    const int8_t *w = args->w + block * q8_block_bytes(args->k);
    const uint8_t *x = args->x + m * args->x_stride;
    const size_t steps = ((size_t)args->k + 3) / 4;
    int32x4_t acc[8];
    UNROLL for (int j = 0; j < 8; j++) acc[j] = vdupq_n_s32(0);
#define STEP(i) \
    UNROLL for (int j = 0; j < 8; j++) acc[j] = vsudotq_laneq_s32(acc[j], vld1q_s8(w + (s + i) * 128 + 16 * j), a, i);
    size_t s = 0;
    for (; s + 4 <= steps; s += 4) {
        uint8x16_t a = vld1q_u8(x + 4 * s);
        STEP(0) STEP(1) STEP(2) STEP(3)
    }
    if (s < steps) {
        /* Codes are padded to four steps, weights are not. */
        uint8x16_t a = vld1q_u8(x + 4 * s);
        STEP(0)
        if (s + 1 < steps) STEP(1)
        if (s + 2 < steps) STEP(2)
    }
#undef STEP
    vu sums[2];
    memcpy(sums, acc, sizeof acc);
    finish_q8(args, m, 1, block, sums, 0);
}

/* USMMLA multiplies two rows by two channels, eight k of each. Two steps of four channels, zipped, are
 * two such operands, and each serves `pairs` pairs of rows. An accumulator is {row 0: channel 0, 1; row 1: channel 0, 1}. */
INLINE void eight_k(int pairs, const uint8_t *const *x, size_t at, const int8_t *w, int is_whole, int32x4_t (*acc)[8]) {
    uint8x16_t a[2];
    UNROLL for (int p = 0; p < pairs; p++) a[p] = vcombine_u8(vld1_u8(x[2 * p] + at), vld1_u8(x[2 * p + 1] + at));
    UNROLL for (int j = 0; j < 4; j++) {
        int32x4_t now = vreinterpretq_s32_s8(vld1q_s8(w + 16 * j));
        int32x4_t next = is_whole ? vreinterpretq_s32_s8(vld1q_s8(w + 128 + 16 * j)) : vdupq_n_s32(0);
        int8x16_t low = vreinterpretq_s8_s32(vzip1q_s32(now, next)), high = vreinterpretq_s8_s32(vzip2q_s32(now, next));
        UNROLL for (int p = 0; p < pairs; p++) acc[p][2 * j] = vusmmlaq_s32(acc[p][2 * j], a[p], low);
        UNROLL for (int p = 0; p < pairs; p++) acc[p][2 * j + 1] = vusmmlaq_s32(acc[p][2 * j + 1], a[p], high);
    }
}

/* 2 `pairs` rows against the 16 channels of a block from channel `from` on; of an odd number of rows the
 * last one takes part twice. No more than two pairs: the compiler would keep some of 24 accumulators in memory. */
INLINE void channels_q8(int pairs, const shrink_linear_q8_args *args, uint32_t first, uint32_t rows, const int8_t *w, int from, vu *sums) {
    const size_t steps = ((size_t)args->k + 3) / 4;
    const uint8_t *x[4];
    int32x4_t acc[2][8];
    UNROLL for (int m = 0; m < 2 * pairs; m++) x[m] = args->x + (first + ((uint32_t)m < rows ? m : rows - 1)) * args->x_stride;
    UNROLL for (int p = 0; p < pairs; p++) UNROLL for (int j = 0; j < 8; j++) acc[p][j] = vdupq_n_s32(0);
    w += 4 * from;
    size_t s = 0;
    for (; s + 4 <= steps; s += 4) {
        eight_k(pairs, x, 4 * s, w + s * 128, 1, acc);
        eight_k(pairs, x, 4 * s + 8, w + s * 128 + 256, 1, acc);
    }
    if (s + 2 <= steps) {
        eight_k(pairs, x, 4 * s, w + s * 128, 1, acc);
        s += 2;
    }
    if (s < steps) eight_k(pairs, x, 4 * s, w + s * 128, 0, acc);  /* the codes are padded to more, the weights are not */
    UNROLL for (int p = 0; p < pairs; p++)
        UNROLL for (int j = 0; j < 4; j++) {
            int64x2_t a = vreinterpretq_s64_s32(acc[p][2 * j]), b = vreinterpretq_s64_s32(acc[p][2 * j + 1]);
            int64x2_t even = vzip1q_s64(a, b), odd = vzip2q_s64(a, b);
            memcpy((uint32_t *)&sums[4 * p] + from + 4 * j, &even, sizeof even);
            memcpy((uint32_t *)&sums[4 * p + 2] + from + 4 * j, &odd, sizeof odd);
        }
}

INLINE void linear_q8_tile(int pairs, const shrink_linear_q8_args *args, uint32_t first, uint32_t rows, uint32_t block) {
    const int8_t *w = args->w + block * q8_block_bytes(args->k);
    vu sums[4 * 2];
    for (int from = 0; from < 32; from += 16) channels_q8(pairs, args, first, rows, w, from, sums);
    finish_q8(args, first, rows, block, sums, 0);
}

/* Block by block, so that a block of weights stays in the cache while all rows pass. */
static void linear_q8_i8mm(const shrink_linear_q8_args *args) {
    for (uint32_t block = args->block_begin; block < args->block_end; block++) {
        fetch_channels_q8(args, block);
        uint32_t m = 0;
        for (; m + 2 < args->rows; m += 4) linear_q8_tile(2, args, m, args->rows - m < 4 ? args->rows - m : 4, block);
        if (m + 2 == args->rows) linear_q8_tile(1, args, m, 2, block);
        if (m + 1 == args->rows) linear_q8_row(args, m, block);
    }
}

#define ENTRY(name, result, parameters) KERNEL(name),
const shrink_kernels shrink_kernels_i8mm = {SHRINK_KERNEL_LIST(ENTRY)};

#pragma clang attribute pop
#endif

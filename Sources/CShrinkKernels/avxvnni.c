/* AVX2 with VNNI in the VEX encoding (Alder Lake, Gracemont, Zen 5 and later). */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

/* Functions that take 64-byte vectors are always inlined: no calling convention is involved. */
#pragma clang diagnostic ignored "-Wpsabi"
#pragma clang attribute push(__attribute__((target("avx2,avxvnni"))), apply_to = function)

#include "linear_q8.h"

#define KERNEL(name) name##_avxvnni
#define LINEAR_ROWS 2

#define PAIR_ROWS 2

#define ON_BOTH_HALVES(name, instruction) \
    INLINE vi name(vi sum, vi a, vi b) { \
        __m256i s[2], x[2], y[2]; \
        memcpy(s, &sum, sizeof sum); \
        memcpy(x, &a, sizeof a); \
        memcpy(y, &b, sizeof b); \
        UNROLL for (int i = 0; i < 2; i++) s[i] = instruction(s[i], x[i], y[i]); \
        memcpy(&sum, s, sizeof sum); \
        return sum; \
    }
ON_BOTH_HALVES(multiply_pairs, _mm256_dpwssd_avx_epi32)
ON_BOTH_HALVES(multiply_four_bytes, _mm256_dpbusd_avx_epi32)
#define multiply_bytes multiply_four_bytes

#include "float_kernels.inc"
#include "attention_q8.inc"

/* One step of four k for `rows` rows: 4 `rows` accumulators in registers over all of K. */
INLINE void step_q8(int rows, const uint8_t *x, size_t stride, const int8_t *w, __m256i (*acc)[4]) {
    __m256i a[3];
    UNROLL for (int m = 0; m < rows; m++) {
        int32_t four;
        memcpy(&four, x + m * stride, 4);
        a[m] = _mm256_set1_epi32(four);
    }
    UNROLL for (int j = 0; j < 4; j++) {
        __m256i here = _mm256_loadu_si256((const __m256i *)(w + j * 32));
        UNROLL for (int m = 0; m < rows; m++) acc[m][j] = _mm256_dpbusd_avx_epi32(acc[m][j], a[m], here);
    }
}

/* The four accumulators of a single row would wait for each other: even and odd steps have their own. */
INLINE void linear_q8_tile(int rows, const shrink_linear_q8_args *args, uint32_t first, uint32_t block) {
    const int8_t *w = args->w + block * q8_block_bytes(args->k);
    const size_t stride = args->x_stride, steps = ((size_t)args->k + 3) / 4;
    const uint8_t *x = args->x + first * stride;
    __m256i acc[3][4];
    UNROLL for (int i = 0; i < 12; i++) acc[i / 4][i % 4] = _mm256_setzero_si256();
    size_t s = 0;
    if (rows == 1) {
        for (; s + 2 <= steps; s += 2) {
            UNROLL for (int line = 0; line < 4; line++) _mm_prefetch((const char *)w + s * 128 + 6144 + line * 64, _MM_HINT_T0);
            step_q8(1, x + s * 4, 0, w + s * 128, acc);
            step_q8(1, x + s * 4 + 4, 0, w + s * 128 + 128, acc + 1);
        }
        UNROLL for (int j = 0; j < 4; j++) acc[0][j] = _mm256_add_epi32(acc[0][j], acc[1][j]);
    }
    for (; s < steps; s++) step_q8(rows, x + s * 4, stride, w + s * 128, acc);
    vu sums[2 * 3];
    UNROLL for (int i = 0; i < 4 * rows; i++) _mm256_storeu_si256((__m256i *)sums + i, acc[i / 4][i % 4]);
    finish_q8(args, first, rows, block, sums, 0);
}

/* Block by block, so that a block of weights stays in the cache while all rows pass. */
static void linear_q8_avxvnni(const shrink_linear_q8_args *args) {
    for (uint32_t block = args->block_begin; block < args->block_end; block++) {
        fetch_channels_q8(args, block);
        uint32_t m = 0;
        for (; m + 3 <= args->rows; m += 3) linear_q8_tile(3, args, m, block);
        if (args->rows - m == 2) linear_q8_tile(2, args, m, block);
        if (args->rows - m == 1) linear_q8_tile(1, args, m, block);
    }
}

#define ENTRY(name, result, parameters) KERNEL(name),
const shrink_kernels shrink_kernels_avxvnni = {SHRINK_KERNEL_LIST(ENTRY)};

#pragma clang attribute pop
#endif

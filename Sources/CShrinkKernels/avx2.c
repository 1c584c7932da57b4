/* AVX2 without VNNI (Haswell, Zen 1 and later). */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

/* Functions that take 64-byte vectors are always inlined: no calling convention is involved. */
#pragma clang diagnostic ignored "-Wpsabi"
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)

#include "linear_q8.h"

#define KERNEL(name) name##_avx2
#define LINEAR_ROWS 2

#define PAIR_ROWS 2

INLINE vi multiply_pairs(vi sum, vi a, vi b) {
    __m256i x[2], y[2];
    memcpy(x, &a, sizeof a);
    memcpy(y, &b, sizeof b);
    UNROLL for (int i = 0; i < 2; i++) x[i] = _mm256_madd_epi16(x[i], y[i]);
    vi products;
    memcpy(&products, x, sizeof products);
    return sum + products;
}

#include "float_kernels.inc"
#include "attention_q8.inc"

/* Without VNNI the byte products are pairwise sums in int16, which u8 x s8 overflows. With
 * a = code - 128, |a| <= 128 and |w| <= 127 they do not: a w = |a| (sign(a) w), pairs within 2 * 128 * 127.
 * (Both operands widened to int16 need no such care, but took a quarter more time on Zen 5.) */
INLINE void linear_q8_tile(int rows, const shrink_linear_q8_args *args, uint32_t first, uint32_t block) {
    const int8_t *w = args->w + block * q8_block_bytes(args->k);
    const size_t stride = args->x_stride, steps = ((size_t)args->k + 3) / 4;
    const uint8_t *x = args->x + first * stride;
    const __m256i flip = _mm256_set1_epi8(-128), ones = _mm256_set1_epi16(1);
    __m256i acc[2][4];
    UNROLL for (int i = 0; i < 4 * rows; i++) acc[i / 4][i % 4] = _mm256_setzero_si256();
    for (size_t s = 0; s < steps; s++) {
        if (rows == 1) {
            _mm_prefetch((const char *)w + s * 128 + 6144, _MM_HINT_T0);
            _mm_prefetch((const char *)w + s * 128 + 6208, _MM_HINT_T0);
        }
        UNROLL for (int m = 0; m < rows; m++) {
            int32_t four;
            memcpy(&four, x + s * 4 + m * stride, 4);
            __m256i a = _mm256_xor_si256(_mm256_set1_epi32(four), flip), magnitude = _mm256_abs_epi8(a);
            UNROLL for (int j = 0; j < 4; j++) {
                __m256i signed_w = _mm256_sign_epi8(_mm256_loadu_si256((const __m256i *)(w + s * 128 + j * 32)), a);
                acc[m][j] = _mm256_add_epi32(acc[m][j], _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, signed_w), ones));
            }
        }
    }
    vu sums[2 * 2];
    UNROLL for (int i = 0; i < 4 * rows; i++) _mm256_storeu_si256((__m256i *)sums + i, acc[i / 4][i % 4]);
    finish_q8(args, first, rows, block, sums, 128);
}

/* Block by block, so that a block of weights stays in the cache while all rows pass. */
static void linear_q8_avx2(const shrink_linear_q8_args *args) {
    for (uint32_t block = args->block_begin; block < args->block_end; block++) {
        fetch_channels_q8(args, block);
        uint32_t m = 0;
        for (; m + 2 <= args->rows; m += 2) linear_q8_tile(2, args, m, block);
        if (m < args->rows) linear_q8_tile(1, args, m, block);
    }
}

#define ENTRY(name, result, parameters) KERNEL(name),
const shrink_kernels shrink_kernels_avx2 = {SHRINK_KERNEL_LIST(ENTRY)};

#pragma clang attribute pop
#endif

/* SSE4.1 without AVX (Silvermont, Goldmont and Tremont Atoms, Celerons, Nehalem and later). */
#if defined(__x86_64__)

#include <smmintrin.h>
#include <string.h>

/* Functions that take 64-byte vectors are always inlined: no calling convention is involved. */
#pragma clang diagnostic ignored "-Wpsabi"
#pragma clang attribute push(__attribute__((target("sse4.1"))), apply_to = function)

#include "linear_q8.h"

#define KERNEL(name) name##_sse41
#define LINEAR_ROWS 2

#define PAIR_ROWS 1

INLINE vi multiply_pairs(vi sum, vi a, vi b) {
    __m128i x[4], y[4];
    memcpy(x, &a, sizeof a);
    memcpy(y, &b, sizeof b);
    UNROLL for (int i = 0; i < 4; i++) x[i] = _mm_madd_epi16(x[i], y[i]);
    vi products;
    memcpy(&products, x, sizeof products);
    return sum + products;
}

#include "float_kernels.inc"
#include "attention_q8.inc"

/* As in avx2.c: with a = code - 128, a w = |a| (sign(a) w), whose pairwise sums fit int16. One row at a
 * time: the sign is taken anew for each row, so that a second row would share no more than the load. */
INLINE void linear_q8_row(const shrink_linear_q8_args *args, uint32_t m, uint32_t block) {
    const int8_t *w = args->w + block * q8_block_bytes(args->k);
    const uint8_t *x = args->x + m * args->x_stride;
    const size_t steps = ((size_t)args->k + 3) / 4;
    const __m128i flip = _mm_set1_epi8(-128), ones = _mm_set1_epi16(1);
    __m128i acc[8];
    UNROLL for (int j = 0; j < 8; j++) acc[j] = _mm_setzero_si128();
    for (size_t s = 0; s < steps; s++) {
        if (args->rows == 1) {
            _mm_prefetch((const char *)w + s * 128 + 6144, _MM_HINT_T0);
            _mm_prefetch((const char *)w + s * 128 + 6208, _MM_HINT_T0);
        }
        int32_t four;
        memcpy(&four, x + s * 4, 4);
        __m128i a = _mm_xor_si128(_mm_set1_epi32(four), flip), magnitude = _mm_abs_epi8(a);
        UNROLL for (int j = 0; j < 8; j++) {
            __m128i signed_w = _mm_sign_epi8(_mm_loadu_si128((const __m128i *)(w + s * 128 + j * 16)), a);
            acc[j] = _mm_add_epi32(acc[j], _mm_madd_epi16(_mm_maddubs_epi16(magnitude, signed_w), ones));
        }
    }
    vu sums[2];
    UNROLL for (int j = 0; j < 8; j++) _mm_storeu_si128((__m128i *)sums + j, acc[j]);
    finish_q8(args, m, 1, block, sums, 128);
}

/* Block by block, so that a block of weights stays in the cache while all rows pass. */
static void linear_q8_sse41(const shrink_linear_q8_args *args) {
    for (uint32_t block = args->block_begin; block < args->block_end; block++)
        for (uint32_t m = 0; m < args->rows; m++) linear_q8_row(args, m, block);
}

#define ENTRY(name, result, parameters) KERNEL(name),
const shrink_kernels shrink_kernels_sse41 = {SHRINK_KERNEL_LIST(ENTRY)};

#pragma clang attribute pop
#endif

/* AVX-512 with VNNI (Ice Lake, Zen 4 and later). */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)

#define WIDE 64
#include "linear_q8.h"

#define KERNEL(name) name##_avx512
#define LINEAR_ROWS 10

#define PAIR_ROWS 12
#define FEW_ROWS 4
#define FAR 16384

INLINE vi multiply_pairs(vi sum, vi a, vi b) { return (vi)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b); }
/* The compiler makes two instructions of this intrinsic, for a shorter chain of sums: where there are many chains, one. */
INLINE vi multiply_pairs_at_once(vi sum, vi a, vi b) {
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}
#define multiply_pairs_at_once multiply_pairs_at_once
#define multiply_bytes(sum, a, b) (vi)_mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(a), (__m512i)(b))

/* The conversion rounds to nearest even and gives the least integer for NaN; packing clamps. The shuffles put four
 * bytes of each vector side by side, and the permutation the vectors after each other. */
INLINE vi write_many_codes(int vectors, const float *x, float inverse, int32_t zero, uint8_t *row, vi sum) {
    __m512i v[4], codes;
    UNROLL for (int i = 0; i < vectors; i++)
        v[i] = _mm512_add_epi32(_mm512_cvtps_epi32((__m512)(load(x + i * LANES) * inverse)), _mm512_set1_epi32(zero));
    if (vectors == 4) {
        codes = _mm512_packus_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
        codes = _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), codes);
        _mm512_storeu_si512(row, codes);
    } else {
        codes = _mm512_packs_epi32(v[0], v[1]);
        codes = _mm512_packus_epi16(codes, codes);
        codes = _mm512_maskz_permutexvar_epi32(0xff, _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), codes);
        _mm256_storeu_si256((__m256i *)row, _mm512_castsi512_si256(codes));
    }
    return (vi)_mm512_dpbusd_epi32((__m512i)sum, codes, _mm512_set1_epi8(1));
}
#define write_many_codes write_many_codes

#include "float_kernels.inc"
#include "attention_q8.inc"

/* `rows` quantized rows against one block: 2 `rows` accumulators in registers over all of K. The first of
 * `tiles` tiles would wait for the weights and the others not need the memory: so each fetches its share
 * of the next block. A tile of few rows alone reads as fast as memory goes, with a shorter way ahead, past the last
 * block into what is read next. */
INLINE void linear_q8_tile(int rows, const shrink_linear_q8_args *args, uint32_t first, uint32_t block, uint32_t tiles, uint32_t tile) {
    const int8_t *w = args->w + block * q8_block_bytes(args->k);
    const size_t stride = args->x_stride, steps = ((size_t)args->k + 3) / 4;
    const uint8_t *x[4];
    const size_t share = 128 / tiles;
    const char *ahead = (const char *)w + steps * 128 + tile * steps * share;
    for (int g = 0; g < 4; g++) x[g] = args->x + (first + 3 * g) * stride;
    __m512i low[12], high[12];
    UNROLL for (int m = 0; m < rows; m++) low[m] = high[m] = _mm512_setzero_si512();
    /* From step `turn` on what lies far ahead is behind the last block. */
    const size_t left = (args->block_end - block) * steps, turn = left - FAR / 128;
    if (rows < 4) ahead = (const char *)w + FAR;
    for (size_t s = 0, end = rows < 4 && args->next && turn < steps ? turn : steps;; end = steps) {
        for (; s < end; s++) {
            __m512i w_low = _mm512_loadu_si512(w + s * 128), w_high = _mm512_loadu_si512(w + s * 128 + 64);
            if (rows < 4) {
                _mm_prefetch(ahead + s * 128, _MM_HINT_T0);
                _mm_prefetch(ahead + s * 128 + 64, _MM_HINT_T0);
            } else {
                _mm_prefetch(ahead, _MM_HINT_T1);
                if (rows < 8) _mm_prefetch(ahead + 64, _MM_HINT_T1);
                ahead += share;
            }
            UNROLL for (int m = 0; m < rows; m++) {
                int32_t four;
                memcpy(&four, x[m / 3] + s * 4 + (m % 3) * stride, 4);
                __m512i a = _mm512_set1_epi32(four);
                low[m] = _mm512_dpbusd_epi32(low[m], a, w_low);
                high[m] = _mm512_dpbusd_epi32(high[m], a, w_high);
            }
        }
        if (rows >= 4 || s == steps) break;
        ahead = (const char *)((uintptr_t)args->next - s * 128);
    }
    vu sums[2 * 12];
    UNROLL for (int m = 0; m < rows; m++) {
        sums[2 * m] = (vu)low[m];
        sums[2 * m + 1] = (vu)high[m];
    }
    finish_q8(args, first, rows, block, sums, 0);
}

/* Block by block, so that a block of weights stays in the cache while all rows pass. */
static void linear_q8_avx512(const shrink_linear_q8_args *args) {
    uint32_t tiles = (args->rows + 11) / 12;
    for (uint32_t block = args->block_begin; block < args->block_end; block++) {
        fetch_channels_q8(args, block);
        uint32_t first = 0;
        for (uint32_t tile = 0; tile < tiles; tile++) {
            uint32_t rows = (args->rows - first + tiles - tile - 1) / (tiles - tile);
            switch (rows) {
#define CASE(r) case r: linear_q8_tile(r, args, first, block, tiles, tile); break;
                CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
                CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#undef CASE
            }
            first += rows;
        }
    }
}

#define ENTRY(name, result, parameters) KERNEL(name),
const shrink_kernels shrink_kernels_avx512 = {SHRINK_KERNEL_LIST(ENTRY)};

#pragma clang attribute pop
#endif

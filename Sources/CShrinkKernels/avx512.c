/* AVX-512 with VNNI (Ice Lake, Zen 4 and later). */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)

#define WIDE 64
#include "linear_q8.h"

#define KERNEL(name) name##_avx512
#define LINEAR_ROWS 10
#define NORM_ROWS 4

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

/* The conversion rounds to nearest even and gives the least integer for NaN; packing clamps, and puts four bytes of each
 * vector side by side; the permutation puts the vectors after each other. */
INLINE vi codes_of_two(const float *x, const float *y, float inverse_x, float inverse_y, int32_t zero_x, int32_t zero_y) {
    __m512i v[4];
    UNROLL for (int i = 0; i < 4; i++) {
        vf scaled = load((i < 2 ? x : y) + i % 2 * LANES) * (i < 2 ? inverse_x : inverse_y);
        v[i] = _mm512_add_epi32(_mm512_cvtps_epi32((__m512)scaled), _mm512_set1_epi32(i < 2 ? zero_x : zero_y));
    }
    __m512i codes = _mm512_packus_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
    return (vi)_mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), codes);
}
#define many_codes codes_of_two
#define add_codes(sum, codes) multiply_bytes(sum, codes, _mm512_set1_epi8(1))

#include "float_kernels.inc"
#include "attention_q8.inc"

/* What the tiles of one block share. */
typedef struct {
    const uint8_t *x;
    size_t x_stride, codes; /* bytes of a row, and of them those before its tail */
    const int8_t *w;
    size_t steps;
    size_t turn;            /* the step from which on what lies far ahead is `next` */
    const char *next;       /* less the steps before it */
    size_t share;           /* bytes of the next block that a tile asks for in one step */
    const int32_t *w_sum;
    const float *w_scale, *bias;
    __mmask32 mask;         /* of the channels there are */
    float *y;
    size_t y_stride;
} block_q8;

static const float no_bias[SHRINK_BLOCK] = {[0 ... SHRINK_BLOCK - 1] = NO_BIAS};

INLINE block_q8 block_of(const shrink_linear_q8_args *args, uint32_t block, uint32_t tiles) {
    const uint32_t o = block * SHRINK_BLOCK, count = args->n - o < SHRINK_BLOCK ? args->n - o : SHRINK_BLOCK;
    block_q8 b = {
        .x = args->x, .x_stride = args->x_stride, .codes = shrink_qrow_codes(args->k),
        .w = args->w + block * q8_block_bytes(args->k), .steps = ((size_t)args->k + 3) / 4, .share = 128 / tiles,
        .w_sum = args->w_sum + o, .w_scale = args->w_scale + o, .bias = args->bias ? args->bias + o : no_bias,
        .mask = UINT32_MAX >> (SHRINK_BLOCK - count), .y = args->y + o, .y_stride = args->y_stride};
    const size_t left = (args->block_end - block) * b.steps;
    b.turn = !args->next ? b.steps : left > FAR / 128 ? left - FAR / 128 : 0;
    if (b.turn > b.steps) b.turn = b.steps;
    b.next = (const char *)((uintptr_t)args->next - left * 128 + FAR);
    return b;
}

/* `rows` quantized rows against one block: 2 `rows` accumulators in registers over all of K, and the outputs from there,
 * so that the next tile begins meanwhile. The first of several tiles would wait for the weights and the others not need the
 * memory: so each fetches its share of the next block. A tile of few rows alone reads as fast as memory goes, with a
 * shorter way ahead, past the last block into what is read next. */
INLINE void linear_q8_tile(int rows, const block_q8 *b, uint32_t first, uint32_t tile) {
    const size_t stride = b->x_stride, steps = b->steps;
    const uint8_t *x[4];
    const char *ahead = (const char *)b->w + (rows < 4 ? FAR : steps * (128 + tile * b->share));
    for (int g = 0; g < 4; g++) x[g] = b->x + (first + 3 * g) * stride;
    __m512i low[12], high[12];
    UNROLL for (int m = 0; m < rows; m++) low[m] = high[m] = _mm512_setzero_si512();
    for (size_t s = 0, end = rows < 4 ? b->turn : steps;; end = steps) {
        for (; s < end; s++) {
            __m512i w_low = _mm512_loadu_si512(b->w + s * 128), w_high = _mm512_loadu_si512(b->w + s * 128 + 64);
            if (rows < 4) {
                _mm_prefetch(ahead + s * 128, _MM_HINT_T0);
                _mm_prefetch(ahead + s * 128 + 64, _MM_HINT_T0);
            } else {
                _mm_prefetch(ahead, _MM_HINT_T1);
                if (rows < 8) _mm_prefetch(ahead + 64, _MM_HINT_T1);
                ahead += b->share;
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
        ahead = b->next;
    }
    const __mmask16 mask[2] = {(__mmask16)b->mask, (__mmask16)(b->mask >> LANES)};
    channel_terms terms;
    UNROLL for (int half = 0; half < 2; half++) {
        terms.w_sum[half] = (vu)_mm512_maskz_loadu_epi32(mask[half], b->w_sum + half * LANES);
        terms.w_scale[half] = (vf)_mm512_maskz_loadu_ps(mask[half], b->w_scale + half * LANES);
        terms.bias[half] = (vf)_mm512_maskz_loadu_ps(mask[half], b->bias + half * LANES);
    }
    const uint8_t *tail = x[0] + b->codes;
    float *y = b->y + first * b->y_stride;
    UNROLL for (int m = 0; m < rows; m++, tail += stride, y += b->y_stride) {
        vf y_low = finish_half_q8(tail, &terms, 0, (vu)low[m], 0), y_high = finish_half_q8(tail, &terms, 1, (vu)high[m], 0);
        _mm512_mask_storeu_ps(y, mask[0], (__m512)y_low);
        _mm512_mask_storeu_ps(y + LANES, mask[1], (__m512)y_high);
    }
}

/* Block by block, so that a block of weights stays in the cache while all rows pass. All tiles are of nearly one size, one
 * of more than six rows of an even size: where one row is left out of the last tile, that begins a row earlier. */
static void linear_q8_avx512(const shrink_linear_q8_args *args) {
    const uint32_t is_odd = args->rows > 6 && args->rows < 12 && args->rows % 2, tiles = (args->rows + 11) / 12 + is_odd;
    for (uint32_t block = args->block_begin; block < args->block_end; block++) {
        fetch_channels_q8(args, block);
        const block_q8 b = block_of(args, block, tiles);
        uint32_t first = 0;
        for (uint32_t tile = 0; tile < tiles; tile++) {
            const uint32_t left = args->rows - first;
            uint32_t rows = (left + tiles - tile - 1) / (tiles - tile);
            if (rows > 6) rows += rows % 2;
            if (rows > left) first--;
            switch (rows) {
#define CASE(r) case r: linear_q8_tile(r, &b, first, tile); break;
                CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(8) CASE(10) CASE(12)
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

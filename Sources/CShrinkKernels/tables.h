/* The tables that this build has, and the few scalar steps that all of them take. */
#ifndef SHRINK_TABLES_H
#define SHRINK_TABLES_H

#include "shrink_kernels.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

extern const shrink_kernels shrink_kernels_scalar;
#if defined(__x86_64__)
extern const shrink_kernels shrink_kernels_sse41;
extern const shrink_kernels shrink_kernels_avx2;
extern const shrink_kernels shrink_kernels_avxvnni;
extern const shrink_kernels shrink_kernels_avx512;
#elif defined(__aarch64__)
extern const shrink_kernels shrink_kernels_neon;
extern const shrink_kernels shrink_kernels_dotprod;
extern const shrink_kernels shrink_kernels_i8mm;
#endif

/* Sums of int32 that wrap: exact where the contract bounds the result, never undefined elsewhere. */
static inline int32_t wrap_add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
static inline int32_t wrap_sub(int32_t a, int32_t b) { return (int32_t)((uint32_t)a - (uint32_t)b); }
static inline int32_t wrap_mul(int32_t a, int32_t b) { return (int32_t)((uint32_t)a * (uint32_t)b); }

static inline shrink_qrow_tail row_tail(const uint8_t *row, size_t count) {
    shrink_qrow_tail tail;
    memcpy(&tail, row + shrink_qrow_codes(count), sizeof tail);
    return tail;
}

/* Bytes of one packed block of 32 channels. */
static inline size_t q8_block_bytes(uint32_t k) { return ((size_t)k + 3) / 4 * (4 * SHRINK_BLOCK); }

static inline float square_root(float x) { return __builtin_elementwise_sqrt(x); }

typedef struct { float scale, inverse, zero; } quantizer;

/* `min` <= 0 <= `max`. The zero point is a whole number in 0...255. */
static inline quantizer quantizer_of_range(float min, float max) {
    float scale = (max - min) * (1.0f / 255.0f);
    scale = scale > 1e-35f ? scale : 1e-35f;
    float inverse = 1.0f / scale;
    float zero = -min * inverse;
    zero = zero > 0.0f ? zero : 0.0f;
    zero = zero < 255.0f ? zero : 255.0f;
    return (quantizer){scale, inverse, (zero + 12582912.0f) - 12582912.0f};
}

#endif

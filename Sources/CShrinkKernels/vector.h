/* Sixteen float lanes in clang's vector extension: the compiler makes one zmm, two ymm or four
 * narrower registers of them, and the values of a lane are the same on all. A file includes this
 * after its `#pragma clang attribute push`, for the functions take vectors in registers and must be
 * inlined under one set of target features. WIDE, where it is defined, is the lanes of a wider vector,
 * a multiple of 16, for functions of many dependent steps. */
#ifndef SHRINK_VECTOR_H
#define SHRINK_VECTOR_H

#include "polynomials.h"
#include "tables.h"

#pragma STDC FP_CONTRACT OFF

#define LANES 16
#define ROUND_MAGIC_BITS 0x4b400000 /* of ROUND_MAGIC */
#define UNROLL _Pragma("clang loop unroll(full)")
#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((ext_vector_type(16)));
typedef int32_t vi __attribute__((ext_vector_type(16)));
typedef uint32_t vu __attribute__((ext_vector_type(16)));
typedef uint8_t vb __attribute__((ext_vector_type(16)));
typedef uint16_t vh __attribute__((ext_vector_type(16)));
typedef float vf_unaligned __attribute__((ext_vector_type(16), aligned(1)));
typedef int32_t vi_unaligned __attribute__((ext_vector_type(16), aligned(1)));
typedef uint16_t vh_unaligned __attribute__((ext_vector_type(16), aligned(1)));
typedef uint8_t vb_unaligned __attribute__((ext_vector_type(16), aligned(1)));

INLINE vf load(const float *p) { return *(const vf_unaligned *)p; }
INLINE void store(float *p, vf v) { *(vf_unaligned *)p = v; }
INLINE vb load_bytes(const uint8_t *p) { return *(const vb_unaligned *)p; }
INLINE void store_bytes(uint8_t *p, vb v) { *(vb_unaligned *)p = v; }
INLINE vi load_words(const uint32_t *p) { return *(const vi_unaligned *)p; }
INLINE void store_words(uint32_t *p, vu v) { *(vi_unaligned *)p = (vi)v; }
/* The low 16 bits of every lane. */
INLINE void store_halves(uint16_t *p, vi v) { *(vh_unaligned *)p = __builtin_convertvector(v, vh); }

/* Those of two vectors. */
INLINE void store_half_pairs(uint16_t *p, vi a, vi b) {
    typedef uint16_t halves __attribute__((ext_vector_type(2 * LANES)));
    typedef uint16_t halves_unaligned __attribute__((ext_vector_type(2 * LANES), aligned(1)));
    *(halves_unaligned *)p = __builtin_shufflevector((halves)a, (halves)b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30,
                                                     32, 34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62);
}

/* The first `count` (< 16) lanes; the others read as +0 and are not written. None is the usual case, and
 * a call of memcpy would cost as much as the rest of a short row. */
INLINE vf load_first(const float *p, size_t count) {
    vf v = 0;
    if (count > 0) memcpy(&v, p, count * sizeof(float));
    return v;
}
INLINE void store_first(float *p, vf v, size_t count) {
    if (count > 0) memcpy(p, &v, count * sizeof(float));
}

INLINE vf as_float(vi v) { return (vf)v; }
INLINE vi as_bits(vf v) { return (vi)v; }
INLINE vf to_float(vi v) { return __builtin_convertvector(v, vf); }
INLINE vi to_int(vf v) { return __builtin_convertvector(v, vi); }

/* Lanes from `count` on become `other`, or +0. */
INLINE vf keep_first_or(vf v, size_t count, float other) {
    const vi index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return index < (vi)(int32_t)count ? v : (vf)other;
}
INLINE vf keep_first(vf v, size_t count) { return keep_first_or(v, count, 0); }

/* Lane i of sixteen records of four 32-bit fields, `stride` bytes apart, as four vectors of one field each. */
INLINE void transpose_records(const uint8_t *records, size_t stride, vu fields[4]) {
    typedef uint32_t quad __attribute__((ext_vector_type(4)));
    const uint8_t *fourth[4];
    UNROLL for (int i = 0; i < 4; i++) fourth[i] = records + 4 * i * stride;
    vu mixed[4];
    UNROLL for (int j = 0; j < 4; j++) {
        quad q[4];
        UNROLL for (int i = 0; i < 4; i++) memcpy(&q[i], fourth[i] + j * stride, sizeof q[i]);
        mixed[j] = __builtin_shufflevector(__builtin_shufflevector(q[0], q[1], 0, 1, 2, 3, 4, 5, 6, 7),
                                           __builtin_shufflevector(q[2], q[3], 0, 1, 2, 3, 4, 5, 6, 7),
                                           0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    }
#define LOW_PAIRS(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH_PAIRS(a, b) __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
    vu p = LOW_PAIRS(mixed[0], mixed[2]), q = LOW_PAIRS(mixed[1], mixed[3]);
    vu r = HIGH_PAIRS(mixed[0], mixed[2]), s = HIGH_PAIRS(mixed[1], mixed[3]);
    fields[0] = LOW_PAIRS(p, q);
    fields[1] = HIGH_PAIRS(p, q);
    fields[2] = LOW_PAIRS(r, s);
    fields[3] = HIGH_PAIRS(r, s);
}

/* Back: lane i of three vectors, and 0, as the record that is quarter i / 4 of records[i % 4]. */
INLINE void transpose_fields(vu first, vu second, vu third, vu records[4]) {
    vu p = LOW_PAIRS(first, third), q = LOW_PAIRS(second, (vu)0), r = HIGH_PAIRS(first, third), s = HIGH_PAIRS(second, (vu)0);
    records[0] = LOW_PAIRS(p, q);
    records[1] = HIGH_PAIRS(p, q);
    records[2] = LOW_PAIRS(r, s);
    records[3] = HIGH_PAIRS(r, s);
}
#undef LOW_PAIRS
#undef HIGH_PAIRS

INLINE float fold(vf v) {
    __typeof__(v.lo) eight = v.lo + v.hi;
    __typeof__(eight.lo) four = eight.lo + eight.hi;
    __typeof__(four.lo) two = four.lo + four.hi;
    return two.x + two.y;
}

/* `v` where it compares, else the bound: a NaN in `v` gives the bound. */
INLINE vf at_least(vf v, vf low) { return v > low ? v : low; }
INLINE vf at_most(vf v, vf high) { return v < high ? v : high; }

/* The extremes over lanes that hold no NaN. */
INLINE float highest(vf v) {
    __typeof__(v.lo) eight = v.lo > v.hi ? v.lo : v.hi;
    __typeof__(eight.lo) four = eight.lo > eight.hi ? eight.lo : eight.hi;
    __typeof__(four.lo) two = four.lo > four.hi ? four.lo : four.hi;
    return two.x > two.y ? two.x : two.y;
}
INLINE float lowest(vf v) { return -highest(-v); }

/* |v| < 2^22. */
INLINE vf round_to_even(vf v) { return (v + ROUND_MAGIC) - ROUND_MAGIC; }

/* The functions of one vector, and of the wide one where there is one: four chains of dependent steps in
 * flight at a time take less than four after each other. */
#define OVERLOADED __attribute__((overloadable))
#define VF vf
#define VI vi
#define SPLIT split
#include "elementary.inc"
#undef VF
#undef VI
#undef SPLIT

#ifdef WIDE
typedef float wf __attribute__((ext_vector_type(WIDE)));
typedef int32_t wi __attribute__((ext_vector_type(WIDE)));
typedef float wf_unaligned __attribute__((ext_vector_type(WIDE), aligned(1)));
INLINE wf load_wide(const float *p) { return *(const wf_unaligned *)p; }
INLINE void store_wide(float *p, wf v) { *(wf_unaligned *)p = v; }
#define VF wf
#define VI wi
#define SPLIT wide_split
#include "elementary.inc"
#undef VF
#undef VI
#undef SPLIT
#endif

#endif

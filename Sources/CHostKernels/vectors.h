/* Sixteen float lanes, whatever registers they take, and the functions of them that kernels share.
 * Included after `#pragma clang attribute push`, so that it is compiled for one instruction set. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "include/host_kernels.h"

/* Vectors are passed between inlined functions only. */
#pragma clang diagnostic ignored "-Wpsabi"
#pragma STDC FP_CONTRACT ON

#define LANES 16
#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((ext_vector_type(16)));
typedef int32_t vi __attribute__((ext_vector_type(16)));
typedef float vf_unaligned __attribute__((ext_vector_type(16), aligned(4)));

INLINE vf load(const float *p) { return *(const vf_unaligned *)p; }
INLINE void store(float *p, vf v) { *(vf_unaligned *)p = v; }

INLINE vf load_first(const float *p, size_t count, float rest) {
    vf v = rest;
    for (size_t i = 0; i < count; i++) v[i] = p[i];
    return v;
}
INLINE void store_first(float *p, vf v, size_t count) {
    for (size_t i = 0; i < count; i++) p[i] = v[i];
}

/* Lanes from `count` on become zero. */
INLINE vf keep_first(vf v, size_t count) {
    const vi index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return index < (vi)(int32_t)count ? v : (vf)0;
}

INLINE float sum_lanes(vf v) {
    typedef float v8 __attribute__((ext_vector_type(8)));
    typedef float v4 __attribute__((ext_vector_type(4)));
    v8 a = v.lo + v.hi;
    v4 b = a.lo + a.hi;
    return (b.x + b.z) + (b.y + b.w);
}
INLINE float max_lanes(vf v) {
    float largest = v[0];
    for (int i = 1; i < LANES; i++) largest = v[i] > largest ? v[i] : largest;
    return largest;
}
INLINE vf vmax(vf a, vf b) { return a > b ? a : b; }
INLINE vf vmin(vf a, vf b) { return a < b ? a : b; }
INLINE vf vabs(vf a) { return (vf)((vi)a & 0x7fffffff); }

/* e^x within two units in the last place; x is clamped to where binary32 is about to end. With
 * x = n ln 2 + r, |r| <= ln 2 / 2, the Taylor series of e^r up to r^7 errs by 6e-9. */
INLINE vf exponential(vf x) {
    x = vmin(vmax(x, -87.0f), 88.0f);
    const vf magic = 12582912.0f;  /* 1.5 * 2^23: adding it rounds to an integer, which stands in the low bits */
    vf shifted = x * 1.44269504f + magic, n = shifted - magic;
    vf r = (x - n * 0.693359375f) - n * -2.12194440e-4f;  /* ln 2 in two parts; the first times n is exact */
    vf s = r * (1.0f / 5040) + 1.0f / 720;
    s = s * r + 1.0f / 120;
    s = s * r + 1.0f / 24;
    s = s * r + 1.0f / 6;
    s = s * r + 0.5f;
    s = s * r + 1.0f;
    s = s * r + 1.0f;
    return (vf)((vi)s + ((vi)shifted << 23));
}

/* ln x for normal x: x = 2^n m with m in [sqrt(1/2), sqrt(2)), and the series of 2 artanh((m - 1) / (m + 1)). */
INLINE vf logarithm(vf x) {
    x = vmax(x, 1.2e-38f);
    vi bits = (vi)x, n = (bits - 0x3f3504f3) >> 23;
    vf m = (vf)(bits - (n << 23)), s = (m - 1) / (m + 1), t = s * s;
    vf series = t * (1.0f / 9) + 1.0f / 7;
    series = series * t + 1.0f / 5;
    series = series * t + 1.0f / 3;
    return __builtin_convertvector(n, vf) * 0.69314718f + 2 * (s + s * t * series);
}

INLINE vf sigmoid(vf x) { return 1.0f / (1.0f + exponential(-x)); }
INLINE vf hyperbolic_tangent(vf x) { return 1.0f - 2.0f / (exponential(2.0f * vmin(x, 44.0f)) + 1.0f); }

/* The normal distribution function (Abramowitz & Stegun 7.1.26, absolute error 7.5e-8) and e^(-x^2/2). */
INLINE vf normal_distribution(vf x, vf *bell) {
    vf z = vmin(vabs(x), 14.0f) * 0.70710678f;
    vf t = 1.0f / (1.0f + 0.3275911f * z), e = exponential(-z * z);
    vf tail = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f)))) * e * 0.5f;
    *bell = e;
    return x < 0 ? tail : 1.0f - tail;
}

#define GELU_SLOPE 0.79788456f  /* sqrt(2 / pi) */
#define GELU_CUBE 0.044715f

INLINE vf apply(host_function f, vf x) {
    vf bell;
    switch (f) {
    case HOST_RELU: return vmax(x, 0);
    case HOST_SILU: return x * sigmoid(x);
    case HOST_TANH: return hyperbolic_tangent(x);
    case HOST_SIGMOID: return sigmoid(x);
    case HOST_GELU_ERF: return x * normal_distribution(x, &bell);
    case HOST_GELU_TANH: {
        vf c = vmin(vmax(x, -20.0f), 20.0f);
        return x * sigmoid(2 * GELU_SLOPE * c * (1 + GELU_CUBE * c * c));
    }
    }
    return x;
}

/* f(x) and f'(x) */
INLINE vf derivative(host_function f, vf x, vf *value) {
    vf bell, s;
    switch (f) {
    case HOST_RELU: *value = vmax(x, 0); return x > 0 ? (vf)1 : (vf)0;
    case HOST_SILU: s = sigmoid(x); *value = x * s; return s * (1 + x * (1 - s));
    case HOST_TANH: s = hyperbolic_tangent(x); *value = s; return (1 - s) * (1 + s);
    case HOST_SIGMOID: s = sigmoid(x); *value = s; return s * (1 - s);
    case HOST_GELU_ERF: s = normal_distribution(x, &bell); *value = x * s; return s + x * bell * 0.39894228f;
    case HOST_GELU_TANH: {
        vf c = vmin(vmax(x, -20.0f), 20.0f);
        s = sigmoid(2 * GELU_SLOPE * c * (1 + GELU_CUBE * c * c));
        *value = x * s;
        return s + c * s * (1 - s) * 2 * GELU_SLOPE * (1 + 3 * GELU_CUBE * c * c);
    }
    }
    *value = x;
    return 1;
}

/* Runs the statements for every sixteen of `count` elements, with i as their offset. In the last, partial
 * ones GET reads `rest` (zero if not given) beyond the end and PUT writes nothing there. */
#define EACH(count, ...)                                            \
    do {                                                            \
        const size_t count_ = (count), whole_ = count_ & ~(size_t)15; \
        {                                                           \
            const size_t rest_ = 0;                                 \
            for (size_t i = 0; i < whole_; i += LANES) { __VA_ARGS__ } \
        }                                                           \
        if (whole_ < count_) {                                      \
            const size_t rest_ = count_ - whole_, i = whole_;       \
            __VA_ARGS__                                             \
        }                                                           \
    } while (0)
#define GET_OR(p, rest) (rest_ ? load_first((p) + i, rest_, rest) : load((p) + i))
#define GET(p) GET_OR(p, 0)
#define PUT(p, v) do { if (rest_) store_first((p) + i, v, rest_); else store((p) + i, v); } while (0)

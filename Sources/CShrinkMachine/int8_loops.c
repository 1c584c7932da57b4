#include "int8_loops.h"

#define STEPS 100000

/* `count` sums, enough of them to hide the latency of STEP, all kept in registers by the empty assembly.
 * STEP(sum) adds the products of two registers `a` and `b` to `sum`. */
#define LOOP(name, features, vector, count, constraint, SET, STEP, STORE) \
    __attribute__((target(features))) static void name(void *sink) { \
        vector sums[count]; \
        SET \
        for (int j = 0; j < count; j++) sums[j] = a; \
        for (int i = 0; i < STEPS; i++) { \
            _Pragma("clang loop unroll(full)") for (int j = 0; j < count; j++) { \
                __asm__ volatile("" : constraint(a)); \
                sums[j] = STEP(sums[j]); \
                __asm__ volatile("" : constraint(sums[j])); \
            } \
        } \
        for (int j = 0; j < count; j++) STORE; \
    }

#if defined(__x86_64__)
#include <immintrin.h>

#define SET_128 __m128i a = _mm_set1_epi8(1), b = _mm_set1_epi8(2), ones = _mm_set1_epi16(1);
#define STEP_128(sum) _mm_add_epi32(sum, _mm_madd_epi16(_mm_maddubs_epi16(a, b), ones))
LOOP(loop_sse41, "sse4.1", __m128i, 10, "+x", SET_128, STEP_128, _mm_storeu_si128(sink, sums[j]))

#define SET_256 __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2), ones = _mm256_set1_epi16(1);
#define STEP_256(sum) _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones))
LOOP(loop_avx2, "avx2", __m256i, 10, "+x", SET_256, STEP_256, _mm256_storeu_si256(sink, sums[j]))

#define SET_VNNI __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2);
#define STEP_VNNI(sum) _mm256_dpbusd_avx_epi32(sum, a, b)
LOOP(loop_avx_vnni, "avx2,avxvnni", __m256i, 12, "+x", SET_VNNI, STEP_VNNI, _mm256_storeu_si256(sink, sums[j]))

#define SET_512 __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
#define STEP_512(sum) _mm512_dpbusd_epi32(sum, a, b)
LOOP(loop_avx512_vnni, "avx512f,avx512bw,avx512vnni", __m512i, 12, "+v", SET_512, STEP_512, _mm512_storeu_si512(sink, sums[j]))

machine_loop machine_int8_loop(shrink_isa isa, double *operations) {
    switch (isa) {
    case SHRINK_ISA_SSE41: *operations = 10.0 * 32 * STEPS; return loop_sse41;
    case SHRINK_ISA_AVX2: *operations = 10.0 * 64 * STEPS; return loop_avx2;
    case SHRINK_ISA_AVX_VNNI: *operations = 12.0 * 64 * STEPS; return loop_avx_vnni;
    case SHRINK_ISA_AVX512_VNNI: *operations = 12.0 * 128 * STEPS; return loop_avx512_vnni;
    default: return NULL;
    }
}

#elif defined(__aarch64__)
#include <arm_neon.h>

#define SET_NEON int32x4_t a = vreinterpretq_s32_s8(vdupq_n_s8(1)); int8x16_t b = vdupq_n_s8(2);
#define CODES vreinterpretq_s8_s32(a)
#define STEP_NEON(sum) vpadalq_s16(sum, vmlal_high_s8(vmull_s8(vget_low_s8(CODES), vget_low_s8(b)), CODES, b))
LOOP(loop_neon, "arch=armv8-a", int32x4_t, 12, "+w", SET_NEON, STEP_NEON, vst1q_s32(sink, sums[j]))

#define STEP_DOT(sum) vdotq_s32(sum, CODES, b)
LOOP(loop_dotprod, "dotprod", int32x4_t, 16, "+w", SET_NEON, STEP_DOT, vst1q_s32(sink, sums[j]))

#define STEP_I8MM(sum) vmmlaq_s32(sum, CODES, b)
LOOP(loop_i8mm, "i8mm", int32x4_t, 16, "+w", SET_NEON, STEP_I8MM, vst1q_s32(sink, sums[j]))

machine_loop machine_int8_loop(shrink_isa isa, double *operations) {
    switch (isa) {
    case SHRINK_ISA_NEON: *operations = 12.0 * 32 * STEPS; return loop_neon;
    case SHRINK_ISA_DOTPROD: *operations = 16.0 * 32 * STEPS; return loop_dotprod;
    case SHRINK_ISA_I8MM: *operations = 16.0 * 64 * STEPS; return loop_i8mm;
    default: return NULL;
    }
}

#else
machine_loop machine_int8_loop(shrink_isa isa, double *operations) {
    (void)isa;
    (void)operations;
    return NULL;
}
#endif

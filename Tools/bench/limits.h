/* The limits of this machine, and timing: shared by the programs of this folder. */
#ifndef SHRINK_BENCH_LIMITS_H
#define SHRINK_BENCH_LIMITS_H

#include "shrink_kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *memory(size_t bytes) {
    void *p = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (!p) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        exit(1);
    }
    uint32_t state = 1;
    for (size_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        int8_t value = (int8_t)(state >> 24);
        ((int8_t *)p)[i] = value == -128 ? 0 : value;
    }
    return p;
}

#define PEAK_STEPS 100000
#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f,avx512bw,avx512vnni"))) static void peak_avx512(void *sink) {
    __m512i sums[12], a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
    for (int j = 0; j < 12; j++) sums[j] = a;
    for (int i = 0; i < PEAK_STEPS; i++)
        for (int j = 0; j < 12; j++) {
            sums[j] = _mm512_dpbusd_epi32(sums[j], a, b);
            __asm__ volatile("" : "+v"(sums[j]));
        }
    for (int j = 1; j < 12; j++) sums[0] = _mm512_add_epi32(sums[0], sums[j]);
    _mm512_storeu_si512(sink, sums[0]);
}

__attribute__((target("avx2,avxvnni"))) static void peak_avxvnni(void *sink) {
    __m256i sums[12], a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2);
    for (int j = 0; j < 12; j++) sums[j] = a;
    for (int i = 0; i < PEAK_STEPS; i++)
        for (int j = 0; j < 12; j++) {
            sums[j] = _mm256_dpbusd_avx_epi32(sums[j], a, b);
            __asm__ volatile("" : "+x"(sums[j]));
        }
    for (int j = 1; j < 12; j++) sums[0] = _mm256_add_epi32(sums[0], sums[j]);
    _mm256_storeu_si256(sink, sums[0]);
}

__attribute__((target("avx2"))) static void peak_avx2(void *sink) {
    __m256i sums[10], a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2), ones = _mm256_set1_epi16(1);
    for (int j = 0; j < 10; j++) sums[j] = a;
    for (int i = 0; i < PEAK_STEPS; i++)
        for (int j = 0; j < 10; j++) {
            __asm__ volatile("" : "+x"(a));
            sums[j] = _mm256_add_epi32(sums[j], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
        }
    for (int j = 1; j < 10; j++) sums[0] = _mm256_add_epi32(sums[0], sums[j]);
    _mm256_storeu_si256(sink, sums[0]);
}

__attribute__((target("sse4.1"))) static void peak_sse41(void *sink) {
    __m128i sums[10], a = _mm_set1_epi8(1), b = _mm_set1_epi8(2), ones = _mm_set1_epi16(1);
    for (int j = 0; j < 10; j++) sums[j] = a;
    for (int i = 0; i < PEAK_STEPS; i++)
        for (int j = 0; j < 10; j++) {
            __asm__ volatile("" : "+x"(a));
            sums[j] = _mm_add_epi32(sums[j], _mm_madd_epi16(_mm_maddubs_epi16(a, b), ones));
        }
    for (int j = 1; j < 10; j++) sums[0] = _mm_add_epi32(sums[0], sums[j]);
    _mm_storeu_si128(sink, sums[0]);
}
#endif

/* A loop that touches registers only, and its operations (2 per product); NULL where there is none. */
static void (*peak_loop(shrink_isa isa, double *operations))(void *) {
#if defined(__x86_64__)
    *operations = 12.0 * 128 * PEAK_STEPS;
    if (isa == SHRINK_ISA_AVX512_VNNI) return peak_avx512;
    *operations = 12.0 * 64 * PEAK_STEPS;
    if (isa == SHRINK_ISA_AVX_VNNI) return peak_avxvnni;
    *operations = 10.0 * 64 * PEAK_STEPS;
    if (isa == SHRINK_ISA_AVX2) return peak_avx2;
    *operations = 10.0 * 32 * PEAK_STEPS;
    if (isa == SHRINK_ISA_SSE41) return peak_sse41;
#endif
    (void)isa;
    return NULL;
}

typedef struct { const uint64_t *p; size_t count; uint64_t sum; } reading;

static void read_all(void *context) {
    reading *r = context;
    typedef uint64_t wide __attribute__((vector_size(64)));
    wide sums[4] = {{0}};
    const wide *p = (const wide *)r->p;
    for (size_t i = 0; i + 4 <= r->count / 8; i += 4)
        for (int j = 0; j < 4; j++) {
            __builtin_prefetch((const char *)(p + i + j) + 6144);
            sums[j] += p[i + j];
        }
    r->sum = (sums[0] + sums[1] + sums[2] + sums[3])[0];
}

#endif

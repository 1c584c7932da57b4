/* Micro-benchmark of Sources/CShrinkKernels on one thread: figures beside the limits of this machine,
 * measured in the same run. Built and run by Tools/bench-kernels. Medians of repeated timings. */
#include "shrink_kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* Median seconds of one run of `work(context)`, over 11 samples of at least 10 ms each. */
static double seconds(void (*work)(void *), void *context) {
    double samples[11];
    long repeat = 1;
    for (;;) {
        double start = now();
        for (long i = 0; i < repeat; i++) work(context);
        double taken = now() - start;
        if (taken > 0.01) break;
        repeat = taken > 1e-4 ? (long)(repeat * 0.012 / taken) + 1 : repeat * 16;
    }
    for (int s = 0; s < 11; s++) {
        double start = now();
        for (long i = 0; i < repeat; i++) work(context);
        samples[s] = (now() - start) / (double)repeat;
    }
    qsort(samples, 11, sizeof(double), ascending);
    return samples[5];
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

/* -- Limits -- */

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
#endif

/* Operations (2 per product) a second of a loop that touches registers only; 0 where there is none. */
static double peak(shrink_isa isa) {
#if defined(__x86_64__)
    char sink[64];
    if (isa == SHRINK_ISA_AVX512_VNNI) return 12.0 * 128 * PEAK_STEPS / seconds(peak_avx512, sink);
    if (isa == SHRINK_ISA_AVX2) return 10.0 * 64 * PEAK_STEPS / seconds(peak_avx2, sink);
#endif
    (void)isa;
    return 0;
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

/* -- Linear layers -- */

typedef struct { const shrink_kernels *kernels; shrink_linear_q8_args args; } linear;

static void run_linear(void *context) {
    linear *l = context;
    l->kernels->linear_q8(&l->args);
}

static linear make_linear(const shrink_kernels *kernels, uint32_t rows, uint32_t k, uint32_t n, int8_t *w) {
    linear l = {kernels, {.rows = rows, .k = k, .n = n, .block_end = (n + 31) / 32, .y_stride = n}};
    l.args.x_stride = shrink_qrow_bytes(k);
    uint8_t *x = memory(rows * l.args.x_stride);
    float *row = calloc(k, sizeof(float));
    for (uint32_t i = 0; i < k; i++) row[i] = (float)(int32_t)(i * 2654435761u) * 1e-9f;
    for (uint32_t m = 0; m < rows; m++) kernels->quantize_row(row, k, x + m * l.args.x_stride);
    free(row);
    l.args.x = x;
    l.args.w = w;
    float *scale = calloc(n, sizeof(float)), *bias = calloc(n, sizeof(float));
    int32_t *sums = calloc(n, sizeof(int32_t));
    for (uint32_t i = 0; i < n; i++) scale[i] = 0.01f;
    l.args.w_scale = scale;
    l.args.bias = bias;
    l.args.w_sum = sums;
    l.args.y = calloc((size_t)rows * n, sizeof(float));
    return l;
}

static void free_linear(linear l) {
    free((void *)l.args.x);
    free((void *)l.args.w_scale);
    free((void *)l.args.bias);
    free((void *)l.args.w_sum);
    free(l.args.y);
}

/* -- Rows -- */

#define ROW 1536
typedef struct {
    const shrink_kernels *kernels;
    float a[ROW], b[ROW], y[ROW];
    uint8_t row[ROW + 16];
} rows;

#define RUN(name, call) static void run_##name(void *context) { rows *r = context; const shrink_kernels *f = r->kernels; call; }
RUN(add, f->add(r->a, r->b, ROW, r->y))
RUN(gelu_erf, f->gelu_erf(r->a, ROW, r->y))
RUN(gelu_tanh, f->gelu_tanh(r->a, ROW, r->y))
RUN(silu, f->silu(r->a, ROW, r->y))
RUN(silu_mul, f->silu_mul(r->a, r->b, ROW, r->y))
RUN(tanh, f->tanh(r->a, ROW, r->y))
RUN(softmax, memcpy(r->y, r->a, sizeof r->y); f->softmax(r->y, ROW))
RUN(quantize_row, f->quantize_row(r->a, ROW, r->row))
RUN(rms_norm, f->rms_norm(r->a, r->b, 1e-5f, ROW, r->y))
RUN(layer_norm, f->layer_norm(r->a, r->b, r->b, 1e-5f, ROW, r->y))
RUN(rotary_half, memcpy(r->y, r->a, sizeof r->y); f->rotary_half(r->y, r->b, r->b, ROW / 2))

typedef struct { const shrink_kernels *kernels; shrink_attention_q8_args q8; shrink_attention_f32_args f32; } attention;

static void run_attention_q8(void *context) {
    attention *a = context;
    a->kernels->attention_q8(&a->q8);
}
static void run_attention_f32(void *context) {
    attention *a = context;
    a->kernels->attention_f32(&a->f32);
}
static void run_linear_f32(void *context) {
    struct { const shrink_kernels *kernels; shrink_linear_f32_args args; } *l = context;
    l->kernels->linear_f32(&l->args);
}

static void bench_attention(const shrink_kernels *kernels, uint32_t dim, uint32_t length) {
    size_t stride = shrink_qrow_bytes(dim);
    uint8_t *cache = malloc(stride * length);
    float *values = malloc((size_t)dim * length * sizeof(float));
    for (size_t i = 0; i < (size_t)dim * length; i++) values[i] = (float)(int32_t)(i * 2654435761u) * 4e-10f;
    for (uint32_t t = 0; t < length; t++) kernels->quantize_row(values + (size_t)t * dim, dim, cache + t * stride);
    float *scores = malloc((length + 15) / 16 * 64), y[256];
    attention a = {kernels,
        {.q = cache, .k = cache, .v = cache, .k_stride = stride, .v_stride = stride, .length = length, .head_dim = dim,
         .scale = 0.125f, .scores = scores, .y = y},
        {.q = values, .k = values, .v = values, .k_stride = dim, .v_stride = dim, .length = length, .head_dim = dim,
         .scale = 0.125f, .scores = scores, .y = y}};
    printf("  attention, head %u, length %u: %6.2f ns a position in q8, %6.2f in f32\n", dim, length,
           1e9 * seconds(run_attention_q8, &a) / length, 1e9 * seconds(run_attention_f32, &a) / length);
    free(cache);
    free(values);
    free(scores);
}

int main(void) {
    const size_t big = 1536u * 65536u;
    int8_t *w = memory(big);
    for (int isa = 0; isa < SHRINK_ISA_COUNT; isa++) {
        const shrink_kernels *kernels = shrink_kernels_for((shrink_isa)isa);
        if (!kernels) continue;
        double limit = peak((shrink_isa)isa);
        printf("%s\n", shrink_isa_name((shrink_isa)isa));
        if (limit > 0) printf("  register loop: %.0f GOPS\n", limit * 1e-9);
        const uint32_t shapes[][3] = {{128, 576, 1536}, {128, 384, 1536}, {128, 1536, 576}, {16, 576, 1536}, {16, 384, 1536}, {4, 576, 1536}};
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            if (isa == SHRINK_ISA_SCALAR && s > 0) break;
            linear l = make_linear(kernels, shapes[s][0], shapes[s][1], shapes[s][2], w);
            double rate = 2.0 * shapes[s][0] * shapes[s][1] * shapes[s][2] / seconds(run_linear, &l);
            printf("  linear_q8, M %u, K %u, N %u: %.0f GOPS", shapes[s][0], shapes[s][1], shapes[s][2], rate * 1e-9);
            if (limit > 0) printf(" (%.0f %%)", 100 * rate / limit);
            printf("\n");
            free_linear(l);
        }
        if (isa != SHRINK_ISA_SCALAR) {
            reading r = {(const uint64_t *)w, big / 8, 0};
            linear l = make_linear(kernels, 1, 1536, 65536, w);
            double read = big / seconds(read_all, &r), streamed = big / seconds(run_linear, &l);
            printf("  linear_q8, M 1, %zu MB: %.1f GB/s (%.0f %% of a plain read, %.1f GB/s)\n", big / 1000000,
                   streamed * 1e-9, 100 * streamed / read, read * 1e-9);
            free_linear(l);
        }
        struct { const shrink_kernels *kernels; shrink_linear_f32_args args; } f32 = {kernels,
            {.x = calloc(128 * 384, 4), .x_stride = 384, .rows = 128, .k = 384, .n = 384, .block_end = 12,
             .w = calloc(384 * 384, 4), .y = calloc(128 * 384, 4), .y_stride = 384}};
        printf("  linear_f32, M 128, K 384, N 384: %.0f GFLOP/s\n", 2e-9 * 128 * 384 * 384 / seconds(run_linear_f32, &f32));
        rows *r = calloc(1, sizeof(rows));
        r->kernels = kernels;
        for (int i = 0; i < ROW; i++) {
            r->a[i] = (float)(int32_t)((uint32_t)i * 2654435761u) * 2e-9f;
            r->b[i] = (float)(int32_t)((uint32_t)i * 2246822519u) * 5e-10f;
        }
        printf("  ns an element, rows of %d:", ROW);
#define SHOW(name) printf(" " #name " %.3f", 1e9 * seconds(run_##name, r) / ROW);
        SHOW(add) SHOW(gelu_erf) SHOW(gelu_tanh) SHOW(silu) SHOW(silu_mul) SHOW(tanh)
        printf("\n   ");
        SHOW(softmax) SHOW(quantize_row) SHOW(rms_norm) SHOW(layer_norm) SHOW(rotary_half)
        printf("\n");
        free(r);
        bench_attention(kernels, 64, 512);
        bench_attention(kernels, 32, 128);
        bench_attention(kernels, 128, 1024);
    }
    return 0;
}

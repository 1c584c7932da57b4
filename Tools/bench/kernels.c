/* Micro-benchmark of Sources/CShrinkKernels on one thread: figures beside the limits of this machine,
 * measured in the same run. Built and run by Tools/bench-kernels. The least of repeated timings: a busy
 * neighbour on the same core can halve a rate, and nothing raises one. */
#include "shrink_kernels.h"
#include "shrink_machine.h"


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
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

/* Least seconds of one run of `work(context)`, over 40 samples of some 3 ms each. */
static double seconds(void (*work)(void *), void *context) {
    double least = 1e9;
    long repeat = 1;
    for (;;) {
        double start = now();
        for (long i = 0; i < repeat; i++) work(context);
        double taken = now() - start;
        if (taken > 0.002) break;
        repeat = taken > 1e-4 ? (long)(repeat * 0.003 / taken) + 1 : repeat * 16;
    }
    for (int s = 0; s < 40; s++) {
        double start = now();
        for (long i = 0; i < repeat; i++) work(context);
        double taken = (now() - start) / (double)repeat;
        least = taken < least ? taken : least;
    }
    return least;
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
    for (uint32_t m = 0; m < rows; m++) kernels->quantize_rows(row, k, 1, k, x + m * l.args.x_stride, l.args.x_stride);
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
RUN(quantize_row, f->quantize_rows(r->a, ROW, 1, ROW, r->row, 0))
RUN(quantize_heads, f->quantize_rows(r->a, 32, 12, 32, r->row, shrink_qrow_bytes(32)))
RUN(rms_norm, f->rms_norm(r->a, ROW, 1, r->b, 1e-5f, ROW, r->y, ROW))
RUN(layer_norm, f->layer_norm(r->a, ROW / 2, 2, r->b, r->b, 1e-5f, ROW / 2, r->y, ROW / 2))
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

/* `tokens` x `heads` query rows that all see `length` positions, in rows or in panels. */
static void bench_attention(const shrink_kernels *kernels, uint32_t tokens, uint32_t heads, uint32_t dim, uint32_t length, int in_panels) {
    size_t stride = shrink_qrow_bytes(dim), rows = (size_t)tokens * heads, count = rows > length ? rows : length;
    uint8_t *cache = malloc(stride * count);
    float *values = malloc((size_t)dim * count * sizeof(float));
    for (size_t i = 0; i < (size_t)dim * count; i++) values[i] = (float)(int32_t)(i * 2654435761u) * 4e-10f;
    kernels->quantize_rows(values, dim, count, dim, cache, stride);
    size_t panel = shrink_panel_bytes(dim);
    uint8_t *panels = malloc((length + 31) / 32 * panel);
    for (uint32_t t = 0; t < length; t++) shrink_panel_store(panels + t / 32 * panel, t % 32, cache + t * stride, dim);
    const uint8_t *positions = in_panels ? panels : cache;
    size_t step = in_panels ? panel : stride;
    void *scratch = aligned_alloc(16, shrink_attention_scratch_bytes(rows, length, dim));
    float *y = malloc(rows * dim * sizeof(float));
    attention a = {kernels,
        {.q = cache, .k = positions, .v = positions, .in_panels = in_panels, .q_stride = heads * stride, .k_stride = step,
         .v_stride = step, .tokens = tokens, .shared_heads = 1, .heads = heads, .length = length, .head_dim = dim, .scale = 0.125f, .scratch = scratch, .y = y,
         .y_stride = heads * dim},
        {.q = values, .k = values, .v = values, .q_stride = heads * dim, .k_stride = dim, .v_stride = dim, .tokens = tokens,
         .heads = heads, .length = length, .head_dim = dim, .scale = 0.125f, .scratch = scratch, .y = y, .y_stride = heads * dim}};
    printf("  attention, %u x %u rows, head %u, length %u%s: %6.2f ns a row and position in q8, %6.2f in f32\n", tokens, heads, dim,
           length, in_panels ? ", panels" : "", 1e9 * seconds(run_attention_q8, &a) / length / rows, 1e9 * seconds(run_attention_f32, &a) / length / rows);
    free(cache);
    free(panels);
    free(values);
    free(scratch);
    free(y);
}

int main(void) {
    const size_t big = 1536u * 65536u;
    int8_t *w = memory(big);
    for (int isa = 0; isa < SHRINK_ISA_COUNT; isa++) {
        const shrink_kernels *kernels = shrink_kernels_for((shrink_isa)isa);
        if (!kernels) continue;
        double limit = shrink_machine_int8_rate((shrink_isa)isa, 1);
        printf("%s\n", shrink_isa_name((shrink_isa)isa));
        if (limit > 0) printf("  register loop: %.0f GOPS\n", limit * 1e-9);
        const uint32_t shapes[][3] = {{128, 576, 1536}, {128, 384, 1536}, {128, 1536, 576}, {16, 576, 1536}, {16, 384, 1536}, {4, 576, 1536}, {1, 576, 1536}};
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
            linear l = make_linear(kernels, 1, 1536, 65536, w);
            double read = shrink_machine_read_rate(1, big), streamed = big / seconds(run_linear, &l);
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
        printf("\n  quantize_rows, 12 rows of 32: %.1f ns a row\n", 1e9 * seconds(run_quantize_heads, r) / 12);
        free(r);
        bench_attention(kernels, 64, 1, 32, 128, 0);
        bench_attention(kernels, 16, 1, 32, 16, 0);
        bench_attention(kernels, 21, 3, 64, 512, 1);
        bench_attention(kernels, 1, 3, 64, 512, 1);
        bench_attention(kernels, 1, 1, 128, 1024, 1);
    }
    return 0;
}

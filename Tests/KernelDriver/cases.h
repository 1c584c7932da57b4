/* One case for each kernel: random arguments from a seed, then everything that the kernel may write. */
#ifndef KERNEL_DRIVER_CASES_H
#define KERNEL_DRIVER_CASES_H

#include "support.h"

#define SEEDS 250u
#define LINEAR_SEEDS 500u

/* -- Rows of floats -- */

static size_t row_count(random_source *random) {
    return (size_t)(between(random, 0, 15) == 0 ? between(random, 0, 1600) : between(random, 0, 70));
}

/* Up to three rows to one; every other time the output is the first input, in place. */
#define ROWS(name, call) \
    static void case_##name(const shrink_kernels *kernels, random_source *random, words *output) { \
        size_t n = row_count(random); \
        float *x = floats(n, any_style(random), random), *a = floats(n, any_style(random), random); \
        float *b = floats(n, any_style(random), random), factor = value_of(any_style(random), random); \
        float *y = between(random, 0, 1) ? x : allocate(n * sizeof(float)); \
        (void)a, (void)b, (void)factor; \
        kernels->call; \
        put_floats(output, y, n); \
    }

ROWS(add, add(x, a, n, y))
ROWS(mul, mul(x, a, n, y))
ROWS(relu, relu(x, n, y))
ROWS(silu, silu(x, n, y))
ROWS(silu_mul, silu_mul(x, a, n, y))
ROWS(gelu_erf, gelu_erf(x, n, y))
ROWS(gelu_tanh, gelu_tanh(x, n, y))
ROWS(tanh, tanh(x, n, y))
ROWS(sigmoid, sigmoid(x, n, y))
ROWS(softmax, softmax(memmove(y, x, n * sizeof(float)), n))
ROWS(scale, scale(x, factor, n, y))
ROWS(l2_normalize, l2_normalize(x, 1e-12f, n, y))

/* Up to seven rows with gaps; the output may be the input. */
#define NORM(name, call) \
    static void case_##name(const shrink_kernels *kernels, random_source *random, words *output) { \
        size_t n = row_count(random), rows = (size_t)between(random, 1, 7); \
        size_t x_stride = n + (size_t)between(random, 0, 20), y_stride = n + (size_t)between(random, 0, 20); \
        float *x = floats((rows - 1) * x_stride + n, any_style(random), random), *y = x; \
        float *a = floats(n, any_style(random), random), *b = floats(n, any_style(random), random); \
        (void)b; \
        if (between(random, 0, 1)) y = allocate(((rows - 1) * y_stride + n) * sizeof(float)); \
        else y_stride = x_stride; \
        kernels->call; \
        put_floats(output, y, (rows - 1) * y_stride + n); \
    }
NORM(rms_norm, rms_norm(x, x_stride, rows, a, 1e-5f, n, y, y_stride))
NORM(layer_norm, layer_norm(x, x_stride, rows, a, b, 1e-5f, n, y, y_stride))

#define ROTARY(name) \
    static void case_##name(const shrink_kernels *kernels, random_source *random, words *output) { \
        size_t half = (size_t)between(random, 0, 70); \
        float *x = floats(2 * half, any_style(random), random); \
        float *cosine = floats(half, ORDINARY, random), *sine = floats(half, ORDINARY, random); \
        kernels->name(x, cosine, sine, half); \
        put_floats(output, x, 2 * half); \
    }
ROTARY(rotary_half)
ROTARY(rotary_pairs)

static void case_quantize_rows(const shrink_kernels *kernels, random_source *random, words *output) {
    size_t n = row_count(random), rows = between(random, 0, 1) ? 1 : (size_t)between(random, 1, 40);
    size_t x_stride = n + (size_t)between(random, 0, 20), out_stride = shrink_qrow_bytes(n) + (size_t)between(random, 0, 20);
    size_t bytes = (rows - 1) * out_stride + shrink_qrow_bytes(n);
    float *x = floats((rows - 1) * x_stride + n, any_style(random), random);
    uint8_t *out = allocate(bytes);
    kernels->quantize_rows(x, x_stride, rows, n, out, out_stride);
    for (size_t i = 0; i < bytes; i++) put(output, out[i]);
}

/* -- Packed weights -- */

/* [n][k] random weights in the packed layout, and their sums; some channels are all zeros. */
static int8_t *packed_weights(uint32_t n, uint32_t k, int extreme, int32_t *sums, random_source *random) {
    size_t steps = (k + 3) / 4, bytes = (n + 31) / 32 * steps * 128;
    int8_t *w = memset(allocate(bytes), 0, bytes);
    for (uint32_t o = 0; o < n; o++) {
        sums[o] = 0;
        if (between(random, 0, 30) == 0) continue;
        for (uint32_t i = 0; i < k; i++) {
            int value = extreme ? between(random, 0, 1) * 254 - 127 : between(random, -127, 127);
            w[(o / 32 * steps + i / 4) * 128 + o % 32 * 4 + i % 4] = (int8_t)value;
            sums[o] += value;
        }
    }
    return w;
}

static float *packed_floats(uint32_t n, uint32_t k, style of, random_source *random) {
    size_t count = (size_t)(n + 31) / 32 * 32 * k;
    float *w = memset(allocate(count * 4), 0, count * 4);
    for (uint32_t o = 0; o < n; o++)
        for (uint32_t i = 0; i < k; i++) w[(o / 32 * k + i) * 32 + o % 32] = value_of(of, random);
    return w;
}

static void case_embed_q8(const shrink_kernels *kernels, random_source *random, words *output) {
    uint32_t n = (uint32_t)between(random, 1, 70), k = (uint32_t)between(random, 1, 70);
    int32_t sums[70];
    int8_t *w = packed_weights(n, k, 0, sums, random);
    float *y = floats(k, any_style(random), random), *scale = floats(n, any_style(random), random);
    uint32_t index = (uint32_t)between(random, 0, (int32_t)n - 1);
    kernels->embed_q8(w, scale, index, k, between(random, 0, 1), y);
    put_floats(output, y, k);
}

static void case_embed_f32(const shrink_kernels *kernels, random_source *random, words *output) {
    uint32_t n = (uint32_t)between(random, 1, 70), k = (uint32_t)between(random, 1, 70);
    float *w = packed_floats(n, k, any_style(random), random), *y = floats(k, any_style(random), random);
    uint32_t index = (uint32_t)between(random, 0, (int32_t)n - 1);
    kernels->embed_f32(w, index, k, between(random, 0, 1), y);
    put_floats(output, y, k);
}

/* The largest sums: k = 65536 of code 255 or 0 with weights of 127 and -127. */
static void largest_sums(const shrink_kernels *kernels, random_source *random, words *output) {
    const uint32_t k = 65536, channels = 32, rows = (uint32_t)between(random, 1, 6);
    int8_t *w = allocate(k * channels);
    int32_t *sums = allocate(channels * 4);
    for (uint32_t o = 0; o < channels; o++) sums[o] = (o % 2 ? -127 : 127) * (int32_t)k;
    for (size_t i = 0; i < k * channels; i++) w[i] = i / 4 % 2 ? -127 : 127;
    size_t stride = shrink_qrow_bytes(k);
    uint8_t *x = allocate(rows * stride);
    for (uint32_t m = 0; m < rows; m++) {
        memset(x + m * stride, m % 2 ? 0 : 255, k);
        finish_row(x + m * stride, k, 1, m / 2 % 2 ? 255 : 0);
    }
    float *scale = allocate(channels * 4), *y = allocate(rows * channels * 4);
    for (uint32_t o = 0; o < channels; o++) scale[o] = 1;
    shrink_linear_q8_args args = {.x = x, .x_stride = stride, .rows = rows, .k = k, .n = channels, .block_end = 1, .w = w,
                                  .w_scale = scale, .w_sum = sums, .y = y, .y_stride = channels};
    kernels->linear_q8(&args);
    put_floats(output, y, rows * channels);
}

/* The first 429 seeds go through all of 1...13 rows and k of 1...33, which holds every remainder that a kernel
 * treats apart; all of y is collected, so the gaps and the channels of other blocks must stay as they were. */
static void case_linear_q8(const shrink_kernels *kernels, random_source *random, words *output) {
    uint32_t seed = (uint32_t)random->state, whole = 13 * 33;
    if (seed >= LINEAR_SEEDS - 2) {
        largest_sums(kernels, random, output);
        return;
    }
    uint32_t rows = seed < whole ? 1 + seed % 13 : (uint32_t)between(random, 1, 30);
    uint32_t k = seed < whole ? 1 + seed / 13 : (uint32_t)between(random, 1, between(random, 0, 3) ? 140 : 1600);
    uint32_t n = (uint32_t)between(random, 1, 100), blocks = (n + 31) / 32;
    size_t stride = shrink_qrow_bytes(k) + (size_t)between(random, 0, 20), y_stride = n + (size_t)between(random, 0, 5);
    uint32_t begin = (uint32_t)between(random, 0, (int32_t)blocks - 1), end = (uint32_t)between(random, (int32_t)begin + 1, (int32_t)blocks);
    size_t count = (rows - 1) * y_stride + n;
    int32_t *sums = allocate(n * sizeof(int32_t));
    shrink_linear_q8_args args = {.x_stride = stride, .rows = rows, .k = k, .n = n, .block_begin = begin, .block_end = end,
                                  .w_sum = sums, .y_stride = y_stride};
    args.x = quantized_rows(rows, k, stride, any_style(random), random);
    args.w = packed_weights(n, k, between(random, 0, 3) == 0, sums, random);
    args.w_scale = floats(n, any_style(random), random);
    args.bias = between(random, 0, 1) ? floats(n, any_style(random), random) : NULL;
    args.y = allocate(count * sizeof(float));
    args.next = between(random, 0, 1) ? untouchable() : NULL;
    kernels->linear_q8(&args);
    put_floats(output, args.y, count);
}

static void case_linear_f32(const shrink_kernels *kernels, random_source *random, words *output) {
    uint32_t rows = (uint32_t)between(random, 1, 30), k = (uint32_t)between(random, 1, 70);
    uint32_t n = (uint32_t)between(random, 1, 100), blocks = (n + 31) / 32;
    size_t x_stride = k + (size_t)between(random, 0, 3), y_stride = n + (size_t)between(random, 0, 3);
    uint32_t begin = (uint32_t)between(random, 0, (int32_t)blocks - 1), end = (uint32_t)between(random, (int32_t)begin + 1, (int32_t)blocks);
    size_t count = (rows - 1) * y_stride + n;
    shrink_linear_f32_args args = {.x_stride = x_stride, .rows = rows, .k = k, .n = n, .block_begin = begin, .block_end = end,
                                   .y_stride = y_stride};
    args.x = floats((rows - 1) * x_stride + k, any_style(random), random);
    args.w = packed_floats(n, k, any_style(random), random);
    args.bias = between(random, 0, 1) ? floats(n, any_style(random), random) : NULL;
    args.y = allocate(count * sizeof(float));
    kernels->linear_f32(&args);
    put_floats(output, args.y, count);
}

/* -- Attention -- */

typedef struct { uint32_t dim, length, tokens, shared_heads, heads, growth; size_t gap, y_stride, scratch; } attention_shape;

static attention_shape any_shape(random_source *random) {
    static const uint32_t dims[] = {16, 32, 64, 80, 128, 256, 320};
    attention_shape shape;
    shape.dim = between(random, 0, 1) ? dims[between(random, 0, 6)] : (uint32_t)between(random, 1, 140);
    shape.length = (uint32_t)between(random, 1, between(random, 0, 7) == 0 ? 300 : 40);
    shape.tokens = (uint32_t)between(random, 1, between(random, 0, 1) ? 20 : 1);
    shape.shared_heads = (uint32_t)between(random, 1, 3);
    shape.heads = (uint32_t)between(random, 1, 8);
    shape.growth = (uint32_t)between(random, 0, 1);
    shape.gap = (size_t)between(random, 0, 20);
    shape.y_stride = (size_t)shape.shared_heads * shape.heads * shape.dim + (size_t)between(random, 0, 3);
    uint32_t longest = shape.length + (shape.tokens - 1) * shape.growth;
    shape.scratch = shrink_attention_scratch_bytes((size_t)shape.tokens * shape.heads, longest, shape.dim);
    return shape;
}

/* The same rows in panels; what holds no row is anything. */
static const uint8_t *in_panels(
    const uint8_t *rows, size_t stride, size_t positions, const attention_shape *s, size_t head_stride, random_source *random) {
    uint8_t *panels = allocate(s->shared_heads * head_stride);
    for (size_t i = 0; i < s->shared_heads * head_stride; i++) panels[i] = (uint8_t)between(random, 0, 255);
    for (size_t t = 0; t < positions; t++)
        for (size_t head = 0; head < s->shared_heads; head++)
            shrink_panel_store(panels + head * head_stride + t / SHRINK_PANEL_ROWS * shrink_panel_bytes(s->dim), t % SHRINK_PANEL_ROWS,
                               rows + t * stride + head * shrink_qrow_bytes(s->dim), s->dim);
    return panels;
}

static void case_attention_q8(const shrink_kernels *kernels, random_source *random, words *output) {
    attention_shape s = any_shape(random);
    const uint32_t heads = s.shared_heads * s.heads;
    const size_t bytes = shrink_qrow_bytes(s.dim), positions = s.length + (s.tokens - 1) * s.growth, q_stride = heads * bytes + s.gap;
    size_t count = (s.tokens - 1) * s.y_stride + (size_t)heads * s.dim;
    style scales = any_style(random);
    uint8_t *q = allocate((s.tokens - 1) * q_stride + heads * bytes);
    for (uint32_t row = 0; row < s.tokens * heads; row++) {
        uint8_t *codes = q + row / heads * q_stride + row % heads * bytes;
        fill_codes(codes, s.dim, random);
        float scale = between(random, 0, 9) ? unit(random) * 0.01f : value_of(scales, random);
        finish_row(codes, s.dim, scale, between(random, 0, 255));
    }
    shrink_attention_q8_args args = {
        .q = q, .q_stride = q_stride, .tokens = s.tokens, .shared_heads = s.shared_heads, .heads = s.heads, .length = s.length,
        .growth = s.growth, .head_dim = s.dim, .scale = 0.125f, .y_stride = s.y_stride};
    args.k_stride = s.shared_heads * bytes + s.gap;
    args.v_stride = s.shared_heads * bytes + (positions % 2 ? s.gap : 0);
    args.head_stride = bytes;
    args.k = quantized_groups(positions, s.shared_heads, s.dim, args.k_stride, scales, random);
    args.v = quantized_groups(positions, s.shared_heads, s.dim, args.v_stride, scales, random);
    if (between(random, 0, 1)) {
        const size_t panel = shrink_panel_bytes(s.dim), panels = (positions + SHRINK_PANEL_ROWS - 1) / SHRINK_PANEL_ROWS;
        args.in_panels = 1;
        args.head_stride = panels * panel + 64 * (size_t)between(random, 0, 2);
        args.k = in_panels(args.k, args.k_stride, positions, &s, args.head_stride, random);
        args.v = in_panels(args.v, args.v_stride, positions, &s, args.head_stride, random);
        args.k_stride = args.v_stride = panel;
    }
    args.scratch = allocate(s.scratch);
    args.y = allocate(count * sizeof(float));
    args.next = between(random, 0, 1) ? untouchable() : NULL;
    args.next_bytes = args.next ? (size_t)between(random, 0, 1) * 16384 + (size_t)between(random, 0, 300) : 0;
    kernels->attention_q8(&args);
    put_floats(output, args.y, count);
}

static void case_attention_f32(const shrink_kernels *kernels, random_source *random, words *output) {
    attention_shape s = any_shape(random);
    const size_t row = (size_t)s.heads * s.dim, positions = s.length + (s.tokens - 1) * s.growth, stride = s.dim + s.gap;
    size_t count = (s.tokens - 1) * s.y_stride + row;
    style values = any_style(random);
    shrink_attention_f32_args args = {
        .q_stride = row + s.gap, .k_stride = stride, .v_stride = stride, .tokens = s.tokens, .heads = s.heads,
        .length = s.length, .growth = s.growth, .head_dim = s.dim, .scale = 0.125f, .y_stride = s.y_stride};
    args.q = floats((s.tokens - 1) * args.q_stride + row, ORDINARY, random);
    args.k = floats((positions - 1) * stride + s.dim, values, random);
    args.v = floats((positions - 1) * stride + s.dim, between(random, 0, 3) ? ORDINARY : values, random);
    args.scratch = allocate(s.scratch);
    args.y = allocate(count * sizeof(float));
    kernels->attention_f32(&args);
    put_floats(output, args.y, count);
}

#endif

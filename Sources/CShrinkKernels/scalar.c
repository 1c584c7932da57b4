/* The reference table: the contract of shrink_kernels.h read element by element. It runs on every
 * CPU and every other table must give the same bits. */
#include "polynomials.h"
#include "tables.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

/* -- The striped sum -- */

typedef struct { float lane[16]; } lanes;

static float fold(const lanes *sum) {
    lanes l = *sum;
    for (int width = 8; width > 0; width /= 2)
        for (int i = 0; i < width; i++) l.lane[i] = l.lane[i] + l.lane[i + width];
    return l.lane[0];
}

/* -- Elementary functions -- */

#define FIRST(c) float p = c;
#define PAIR(b, c) p = p * (r * r) + (b * r + c);

static float exp_polynomial(float r) { EXP_POLYNOMIAL(FIRST, PAIR) return p; }
static float exp2_polynomial(float r) { EXP2_POLYNOMIAL(FIRST, PAIR) return p; }
static float gelu_polynomial(float r) { GELU_POLYNOMIAL(FIRST, PAIR) return p; }

/* exp(x) = power * (1 + rest), power = 2^n, for EXP_LOWEST <= x <= EXP_HIGHEST. */
typedef struct { float power, rest; } split;

static split split_exponential(float x) {
    float n = (x * EXP_LOG2E + ROUND_MAGIC) - ROUND_MAGIC;
    float r = (x - n * EXP_LN2_HIGH) - n * EXP_LN2_LOW;
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    split e = {.rest = (exp_polynomial(r) * (r * r)) + r};
    memcpy(&e.power, &bits, 4);
    return e;
}

static float exponential(float x) {
    if (x < EXP_LOWEST) return 0;
    if (x > EXP_HIGHEST) return __builtin_inff();
    if (x != x) return x;
    split e = split_exponential(x);
    return (e.rest + 1.0f) * e.power;
}

static float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

static float gelu_erf(float x) {
    float magnitude = __builtin_fabsf(x), h = gelu_polynomial(magnitude), square = h * h, fourth = square * square;
    return (x < 0 ? 0 : x) - (magnitude < GELU_LIMIT ? magnitude * (fourth * fourth) : 0);
}

/* With g = exp(2|x|) - 1: g / (g + 2), which is 1 from |x| = 10 on. */
static float hyperbolic_tangent(float x) {
    if (x != x) return x;
    float magnitude = __builtin_fabsf(x);
    split e = split_exponential(2.0f * (magnitude > 10.0f ? 10.0f : magnitude));
    float g = e.power * e.rest + (e.power - 1.0f);
    return __builtin_copysignf(g / (g + 2.0f), x);
}

/* A NaN gives `low`. */
static float clamp(float x, float low, float high) {
    float y = x > low ? x : low;
    return y < high ? y : high;
}

/* |x| < 2^22. */
static float round_to_even(float x) { return (x + ROUND_MAGIC) - ROUND_MAGIC; }

/* -- Linear layers -- */

static void linear_q8_scalar(const shrink_linear_q8_args *args) {
    for (uint32_t m = 0; m < args->rows; m++) {
        const uint8_t *codes = args->x + m * args->x_stride;
        shrink_qrow_tail tail = row_tail(codes, args->k);
        for (uint32_t block = args->block_begin; block < args->block_end; block++) {
            const int8_t *w = args->w + block * q8_block_bytes(args->k);
            for (uint32_t c = 0; c < SHRINK_BLOCK && block * SHRINK_BLOCK + c < args->n; c++) {
                uint32_t o = block * SHRINK_BLOCK + c;
                int32_t sum = 0;
                for (uint32_t k = 0; k < args->k; k++)
                    sum += (int32_t)codes[k] * w[(k / 4 * SHRINK_BLOCK + c) * 4 + k % 4];
                int32_t exact = wrap_sub(sum, wrap_mul(tail.zero, args->w_sum[o]));
                float y = (float)exact * (tail.scale * args->w_scale[o]);
                args->y[m * args->y_stride + o] = args->bias ? y + args->bias[o] : y;
            }
        }
    }
}

static void linear_f32_scalar(const shrink_linear_f32_args *args) {
    for (uint32_t m = 0; m < args->rows; m++) {
        const float *x = args->x + m * args->x_stride;
        for (uint32_t block = args->block_begin; block < args->block_end; block++) {
            const float *w = args->w + (size_t)block * args->k * SHRINK_BLOCK;
            for (uint32_t c = 0; c < SHRINK_BLOCK && block * SHRINK_BLOCK + c < args->n; c++) {
                uint32_t o = block * SHRINK_BLOCK + c;
                float sum = 0;
                for (uint32_t k = 0; k < args->k; k++) sum = sum + x[k] * w[k * SHRINK_BLOCK + c];
                args->y[m * args->y_stride + o] = args->bias ? sum + args->bias[o] : sum;
            }
        }
    }
}

/* -- Softmax and attention -- */

/* x becomes exp(x - max); the striped sum is returned. */
static float exponentials(float *x, size_t count) {
    float max = -__builtin_inff();
    for (size_t i = 0; i < count; i++) max = x[i] > max ? x[i] : max;
    lanes sum = {{0}};
    for (size_t i = 0; i < count; i++) {
        x[i] = exponential(x[i] - max);
        sum.lane[i % 16] = sum.lane[i % 16] + x[i];
    }
    return fold(&sum);
}

static void softmax_scalar(float *x, size_t count) {
    float sum = exponentials(x, count);
    for (size_t i = 0; i < count; i++) x[i] = x[i] / sum;
}

/* 2^x for x >= -126; NaN counts as that. */
static float power_of_two(float x) {
    x = x > -126.0f ? x : -126.0f;
    float n = (x + ROUND_MAGIC) - ROUND_MAGIC, p = exp2_polynomial(x - n) * (x - n) + 1.0f, power;
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    memcpy(&power, &bits, 4);
    return p * power;
}

/* The key or value of a shared head at position t: its fields, and code i by what CODE gives. */
typedef struct { const uint8_t *codes; size_t step; shrink_qrow_tail tail; } cached_row;
#define CODE(row, i) (row).codes[(i) / 4 * (row).step + (i) % 4]

static cached_row row_at(const shrink_attention_q8_args *args, const uint8_t *rows, size_t stride, uint32_t shared_head, uint32_t t) {
    cached_row row = {.step = 4};
    if (args->in_panels) {
        const uint8_t *panel = rows + t / SHRINK_PANEL_ROWS * stride + shared_head * args->head_stride;
        const uint8_t *fields = panel + SHRINK_PANEL_ROWS * shrink_qrow_codes(args->head_dim) + t % SHRINK_PANEL_ROWS * 4;
        row.codes = panel + t % SHRINK_PANEL_ROWS * 4;
        row.step = 4 * SHRINK_PANEL_ROWS;
        memcpy(&row.tail.scale, fields + 4 * SHRINK_PANEL_ROWS, 4);
        memcpy(&row.tail.zero, fields + 8 * SHRINK_PANEL_ROWS, 4);
    } else {
        row.codes = rows + t * stride + shared_head * args->head_stride;
        row.tail = row_tail(row.codes, args->head_dim);
    }
    return row;
}

static void attend_q8(
    const shrink_attention_q8_args *args, uint32_t shared_head, const uint8_t *query, uint32_t length, float *y) {
#define KEY(t) row_at(args, args->k, args->k_stride, shared_head, t)
#define VALUE(t) row_at(args, args->v, args->v_stride, shared_head, t)
    float *scores = args->scratch;
    shrink_qrow_tail q = row_tail(query, args->head_dim);
    float query_scale = q.scale * (args->scale * EXP_LOG2E), max = -__builtin_inff(), top = 0;
    for (uint32_t t = 0; t < length; t++) {
        cached_row k = KEY(t);
        int32_t dot = 0;
        for (uint32_t d = 0; d < args->head_dim; d++) dot += (query[d] - q.zero) * (CODE(k, d) - k.tail.zero);
        scores[t] = (float)dot * (query_scale * k.tail.scale);
        max = scores[t] > max ? scores[t] : max;
        float value_scale = VALUE(t).tail.scale;
        top = value_scale > top ? value_scale : top;
    }
    float factor = clamp(32767.0f / top, 0, 3e38f);
    lanes sum = {{0}};
    for (uint32_t t = 0; t < length; t++) {
        float e = power_of_two(scores[t] - max);
        sum.lane[t % 16] = sum.lane[t % 16] + e;
        scores[t] = clamp(e * (VALUE(t).tail.scale * factor), 0, 32767);
    }
    float unit = (top * (1.0f / 32767.0f)) / fold(&sum);
    for (uint32_t d = 0; d < args->head_dim; d++) {
        float total = 0;
        for (uint32_t first = 0; first < length; first += SHRINK_ATTENTION_PIECE) {
            int32_t piece = 0;
            for (uint32_t t = first; t < length && t < first + SHRINK_ATTENTION_PIECE; t++) {
                cached_row v = VALUE(t);
                piece += (int32_t)round_to_even(scores[t]) * (CODE(v, d) - v.tail.zero);
            }
            total = total + (float)piece;
        }
        y[d] = total * unit;
    }
#undef KEY
#undef VALUE
}
#undef CODE

static void attention_q8_scalar(const shrink_attention_q8_args *args) {
    for (uint32_t i = 0; i < args->tokens; i++)
        for (uint32_t h = 0; h < args->shared_heads * args->heads; h++)
            attend_q8(args, h / args->heads, args->q + i * args->q_stride + h * shrink_qrow_bytes(args->head_dim),
                      args->length + i * args->growth, args->y + i * args->y_stride + (size_t)h * args->head_dim);
}

static void attend_f32(const shrink_attention_f32_args *args, const float *q, uint32_t length, float *y) {
    float *scores = args->scratch;
    for (uint32_t t = 0; t < length; t++) {
        const float *k = args->k + t * args->k_stride;
        lanes sum = {{0}};
        for (uint32_t d = 0; d < args->head_dim; d++)
            sum.lane[d % 16] = sum.lane[d % 16] + q[d] * k[d];
        scores[t] = fold(&sum) * args->scale;
    }
    softmax_scalar(scores, length);
    for (uint32_t d = 0; d < args->head_dim; d++) y[d] = 0;
    for (uint32_t t = 0; t < length; t++)
        for (uint32_t d = 0; d < args->head_dim; d++)
            y[d] = y[d] + scores[t] * args->v[t * args->v_stride + d];
}

static void attention_f32_scalar(const shrink_attention_f32_args *args) {
    for (uint32_t i = 0; i < args->tokens; i++)
        for (uint32_t h = 0; h < args->heads; h++)
            attend_f32(args, args->q + i * args->q_stride + (size_t)h * args->head_dim, args->length + i * args->growth,
                       args->y + i * args->y_stride + (size_t)h * args->head_dim);
}

/* -- Rows -- */

static void quantize_row(const float *x, size_t count, uint8_t *row) {
    float min = 0, max = 0;
    for (size_t i = 0; i < count; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    quantizer by = quantizer_of_range(min, max);
    shrink_qrow_tail tail = {by.scale, (int32_t)by.zero, 0, 0};
    for (size_t i = 0; i < shrink_qrow_codes(count); i++) {
        row[i] = i < count ? (uint8_t)clamp(round_to_even(clamp(x[i] * by.inverse, -512, 512)) + by.zero, 0, 255) : 0;
        tail.sum += row[i];
    }
    memcpy(row + shrink_qrow_codes(count), &tail, sizeof tail);
}

static void quantize_rows_scalar(const float *x, size_t x_stride, size_t rows, size_t count, uint8_t *out, size_t out_stride) {
    for (size_t r = 0; r < rows; r++) quantize_row(x + r * x_stride, count, out + r * out_stride);
}

static float sum_of_squares(const float *x, float less, size_t count) {
    lanes sum = {{0}};
    for (size_t i = 0; i < count; i++) {
        float d = x[i] - less;
        sum.lane[i % 16] = sum.lane[i % 16] + d * d;
    }
    return fold(&sum);
}

static void rms_norm_row(const float *x, const float *gamma, float eps, size_t count, float *y) {
    float factor = 1.0f / square_root(sum_of_squares(x, 0, count) / (float)count + eps);
    for (size_t i = 0; i < count; i++) y[i] = (x[i] * factor) * gamma[i];
}

static void layer_norm_row(const float *x, const float *gamma, const float *beta, float eps, size_t count, float *y) {
    lanes sum = {{0}};
    for (size_t i = 0; i < count; i++) sum.lane[i % 16] = sum.lane[i % 16] + x[i];
    float mean = fold(&sum) / (float)count;
    float factor = 1.0f / square_root(sum_of_squares(x, mean, count) / (float)count + eps);
    for (size_t i = 0; i < count; i++) y[i] = (((x[i] - mean) * factor) * gamma[i]) + beta[i];
}

static void rms_norm_scalar(
    const float *x, size_t x_stride, size_t rows, const float *gamma, float eps, size_t count, float *y, size_t y_stride) {
    for (size_t r = 0; r < rows; r++) rms_norm_row(x + r * x_stride, gamma, eps, count, y + r * y_stride);
}

static void layer_norm_scalar(const float *x, size_t x_stride, size_t rows, const float *gamma, const float *beta, float eps,
                              size_t count, float *y, size_t y_stride) {
    for (size_t r = 0; r < rows; r++) layer_norm_row(x + r * x_stride, gamma, beta, eps, count, y + r * y_stride);
}

static void l2_normalize_scalar(const float *x, float eps, size_t count, float *y) {
    float norm = square_root(sum_of_squares(x, 0, count));
    float factor = 1.0f / (norm < eps ? eps : norm);
    for (size_t i = 0; i < count; i++) y[i] = x[i] * factor;
}

static void rotate(float *a, float *b, float cosine, float sine) {
    float first = *a * cosine - *b * sine;
    *b = *b * cosine + *a * sine;
    *a = first;
}

static void rotary_half_scalar(float *x, const float *cosine, const float *sine, size_t half) {
    for (size_t i = 0; i < half; i++) rotate(x + i, x + half + i, cosine[i], sine[i]);
}

static void rotary_pairs_scalar(float *x, const float *cosine, const float *sine, size_t half) {
    for (size_t i = 0; i < half; i++) rotate(x + 2 * i, x + 2 * i + 1, cosine[i], sine[i]);
}

static void embed_q8_scalar(const int8_t *w, const float *w_scale, uint32_t index, uint32_t k, int accumulate, float *y) {
    const int8_t *block = w + index / SHRINK_BLOCK * q8_block_bytes(k);
    for (uint32_t i = 0; i < k; i++) {
        float value = (float)block[(i / 4 * SHRINK_BLOCK + index % SHRINK_BLOCK) * 4 + i % 4] * w_scale[index];
        y[i] = accumulate ? y[i] + value : value;
    }
}

static void embed_f32_scalar(const float *w, uint32_t index, uint32_t k, int accumulate, float *y) {
    const float *block = w + (size_t)(index / SHRINK_BLOCK) * k * SHRINK_BLOCK;
    for (uint32_t i = 0; i < k; i++) {
        float value = block[i * SHRINK_BLOCK + index % SHRINK_BLOCK];
        y[i] = accumulate ? y[i] + value : value;
    }
}

/* -- Elementwise -- */

#define ELEMENTWISE(name, inputs, value) \
    static void name##_scalar(inputs, size_t count, float *y) { \
        for (size_t i = 0; i < count; i++) y[i] = value; \
    }
#define ONE const float *x
#define TWO const float *a, const float *b
#define FACTOR const float *x, float factor

ELEMENTWISE(add, TWO, a[i] + b[i])
ELEMENTWISE(mul, TWO, a[i] * b[i])
ELEMENTWISE(scale, FACTOR, x[i] * factor)
ELEMENTWISE(relu, ONE, x[i] < 0 ? 0 : x[i])
ELEMENTWISE(sigmoid, ONE, sigmoid(x[i]))
ELEMENTWISE(tanh, ONE, hyperbolic_tangent(x[i]))
ELEMENTWISE(silu, ONE, x[i] * sigmoid(x[i]))
ELEMENTWISE(silu_mul, TWO, (a[i] * sigmoid(a[i])) * b[i])
ELEMENTWISE(gelu_erf, ONE, gelu_erf(x[i]))
ELEMENTWISE(gelu_tanh, ONE, (0.5f * x[i]) * (1.0f + hyperbolic_tangent(
    0.79788456f * (x[i] + 0.044715f * ((x[i] * x[i]) * x[i])))))

#define ENTRY(name, result, parameters) name##_scalar,
const shrink_kernels shrink_kernels_scalar = {SHRINK_KERNEL_LIST(ENTRY)};

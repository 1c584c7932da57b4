/* Micro-kernels of the shrink runtime: one table of functions per instruction set.
 *
 * The numeric contract. Every table gives the same bits for the same input, whatever the CPU, the
 * split of rows into calls and the split of outputs over threads:
 *  - integer sums are exact in int32;
 *  - floating point is IEEE binary32, round to nearest even, without fused multiply-add (every
 *    translation unit is compiled with FP_CONTRACT OFF) and without reassociation;
 *  - a float sum over a row (a striped sum) has one shape: element i is added to lane i % 16 in
 *    ascending order of i, all lanes starting at +0, then the lanes are folded
 *    l[i] += l[i+8], l[i] += l[i+4], l[i] += l[i+2], l[0] + l[1];
 *  - exp, tanh, sigmoid and gelu are the polynomials of this library (polynomials.h), never libm's:
 *    exp within 2 units in the last place, 0 below -87.34 and infinity above 88.3; tanh and sigmoid
 *    within 2e-7, and (sigmoid above -87.3) within 4 units;
 *  - a NaN is a NaN: IEEE 754 leaves its sign and payload open, and so does this contract.
 * The scalar table is the reference that the others are tested against with ==. All of it holds in the
 * default floating-point environment: round to nearest, subnormals kept.
 *
 * Nothing here checks its arguments: the program verifier has bounded them. Any bit pattern of a
 * float, NaN and infinity included, is safe: no trap, no undefined conversion. No kernel reads or
 * writes outside of the lengths given, or needs more alignment than the type of its elements. An
 * output may be the same array as an input where that is said, and overlaps none otherwise.
 */
#ifndef SHRINK_KERNELS_H
#define SHRINK_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A quantized row: `codes` of uint8 (0...255), padded with zeros to a multiple of 16, then 16 bytes:
 *     float scale; int32_t zero (0...255); int32_t sum; int32_t reserved (0);
 * x[i] ~ scale * (code[i] - zero); `sum` is the sum of the codes. A row needs no alignment. */
#define SHRINK_QROW_TAIL 16u
static inline size_t shrink_qrow_codes(size_t count) { return (count + 15u) & ~(size_t)15u; }
static inline size_t shrink_qrow_bytes(size_t count) { return shrink_qrow_codes(count) + SHRINK_QROW_TAIL; }

typedef struct {
    float scale;
    int32_t zero;
    int32_t sum;
    int32_t reserved;
} shrink_qrow_tail;

/* A panel: up to 32 quantized rows of as many codes side by side, as attention reads the keys and values of positions:
 *     uint8_t  [code / 4][32 rows][4 codes]
 *     uint32_t [4][32 rows]: sum mod 2^16 + zero * 2^16 (exclusive or `reserved`, 0); scale; zero; sum
 * It takes the bytes of 32 rows, and is aligned to 4. */
#define SHRINK_PANEL_ROWS 32u
static inline size_t shrink_panel_bytes(size_t count) { return SHRINK_PANEL_ROWS * shrink_qrow_bytes(count); }
/* Puts a quantized row of `count` codes at `index` (< 32). */
static inline void shrink_panel_store(uint8_t *panel, uint32_t index, const uint8_t *row, size_t count) {
    const size_t codes = shrink_qrow_codes(count);
    shrink_qrow_tail tail;
    panel += 4 * index;
    for (size_t i = 0; i < codes; i += 4) __builtin_memcpy(panel + i * SHRINK_PANEL_ROWS, row + i, 4);
    __builtin_memcpy(&tail, row + codes, sizeof tail);
    tail.reserved ^= (int32_t)(((uint32_t)tail.sum & 0xffff) | (uint32_t)tail.zero << 16);
    panel += codes * SHRINK_PANEL_ROWS;
    __builtin_memcpy(panel, &tail.reserved, 4);
    __builtin_memcpy(panel + 4 * SHRINK_PANEL_ROWS, &tail.scale, 4);
    __builtin_memcpy(panel + 8 * SHRINK_PANEL_ROWS, &tail.zero, 4);
    __builtin_memcpy(panel + 12 * SHRINK_PANEL_ROWS, &tail.sum, 4);
}
/* Takes it from there, to the last bit. */
static inline void shrink_panel_load(const uint8_t *panel, uint32_t index, uint8_t *row, size_t count) {
    const size_t codes = shrink_qrow_codes(count);
    shrink_qrow_tail tail;
    panel += 4 * index;
    for (size_t i = 0; i < codes; i += 4) __builtin_memcpy(row + i, panel + i * SHRINK_PANEL_ROWS, 4);
    panel += codes * SHRINK_PANEL_ROWS;
    __builtin_memcpy(&tail.reserved, panel, 4);
    __builtin_memcpy(&tail.scale, panel + 4 * SHRINK_PANEL_ROWS, 4);
    __builtin_memcpy(&tail.zero, panel + 8 * SHRINK_PANEL_ROWS, 4);
    __builtin_memcpy(&tail.sum, panel + 12 * SHRINK_PANEL_ROWS, 4);
    tail.reserved ^= (int32_t)(((uint32_t)tail.sum & 0xffff) | (uint32_t)tail.zero << 16);
    __builtin_memcpy(row + codes, &tail, sizeof tail);
}

/* Packed weights, the only layout of the artifact.
 * int8: output channels in blocks of 32, the last one padded with zeros; a block is one linear
 * stream over K (padded with zeros to a multiple of 4): byte [k/4][channel % 32][k % 4]. Weights are in
 * -127...127: a -128 is safe, but no longer gives the same bits everywhere.
 * float: blocks of 32 channels likewise, element [k][channel % 32]. */
#define SHRINK_BLOCK 32u

/* y[m][o] = (float)(sum_k x.code[m][k] * w[o][k] - x.zero[m] * w_sum[o]) * (x.scale[m] * w_scale[o]) + bias[o]
 * The conversion to float rounds to nearest even; then one multiplication, one addition; without
 * bias the addition is left out. Blocks block_begin ..< block_end of the n output channels, all rows.
 * w_scale, w_sum (the sum over k of w[o][k]) and bias have n entries; y is written for channels < n only.
 * k <= 65536, so that every partial sum fits int32; rows >= 1. */
typedef struct {
    const uint8_t *x;        /* quantized rows of k codes */
    size_t x_stride;         /* bytes between rows */
    uint32_t rows, k, n;
    uint32_t block_begin, block_end;
    const int8_t *w;         /* the whole packed weight, not offset to block_begin */
    const float *w_scale;
    const int32_t *w_sum;
    const float *bias;       /* or NULL */
    float *y;
    size_t y_stride;         /* floats between rows */
    const void *next;        /* or NULL: what is read after these blocks, which memory can be asked for meanwhile */
} shrink_linear_q8_args;

/* y[m][o] = sum_k x[m][k] * w[o][k] (k ascending from +0, multiply then add) + bias[o]. */
typedef struct {
    const float *x;
    size_t x_stride;         /* floats between rows */
    uint32_t rows, k, n;
    uint32_t block_begin, block_end;
    const float *w;
    const float *bias;
    float *y;
    size_t y_stride;
} shrink_linear_f32_args;

/* Attention of `tokens` x `shared_heads` x `heads` query rows, `heads` of them for each head of keys and values. The
 * query row of token i and head h sees the positions 0 ..< length + i * growth (growth 1: causal; 0: all
 * tokens see the same) and no row depends on another, or on how many there are.
 *     s[t] = (float)(sum_d (q.code[d] - q.zero) * (k_t.code[d] - k_t.zero)) * ((q.scale * (scale * log2(e))) * k_t.scale)
 *     m = max s; e[t] = 2^max(s[t] - m, -126), NaN -> 2^-126; z = striped sum of e
 *     top = max(0, max v_t.scale) over all t that the row sees; f = min(32767 / top, 3e38)
 *     u[t] = rne(max(e[t] * (v_t.scale * f), 0)), NaN -> 0
 *     a[d] = sum over pieces of 128 positions, ascending from +0, of (float)(sum_t u[t] * (v_t.code[d] - v_t.zero))
 *     y[d] = a[d] * ((top * (1/32767f)) / z)
 * 2^x is 2^n p(x - n), n = rne(x), by a polynomial within 2e-7. So both products are exact sums of integers: a
 * score's share of the result is rounded to 1/65534 of the largest that a score and a value could have, and the
 * sum of a piece is below 128 * 32767 * 255 < 2^31. m starts at -infinity and a NaN never replaces it or `top`. Zero points of the rows are in 0...255. length >= 1, tokens >= 1, heads >= 1. */
typedef struct {
    const uint8_t *q;        /* quantized rows of head_dim codes; the heads of a token lie side by side */
    const uint8_t *k, *v;    /* quantized rows of head_dim codes */
    int in_panels;           /* 1: instead panels of 32 positions, of one head; all of the last one can be read */
    size_t q_stride;         /* bytes between tokens */
    size_t k_stride, v_stride; /* bytes between positions, or panels */
    size_t head_stride;      /* bytes between shared heads, of k and of v */
    uint32_t tokens, shared_heads, heads;
    uint32_t length, growth, head_dim;
    float scale;
    void *scratch;           /* shrink_attention_scratch_bytes of the rows and of the longest length, aligned to 16 */
    float *y;                /* head_dim floats a row; the heads of a token lie side by side */
    size_t y_stride;         /* floats between tokens */
    const void *next;        /* or NULL: what is read next, `next_bytes`, which memory can be asked for meanwhile */
    size_t next_bytes;
} shrink_attention_q8_args;

/* The same in float, for one head of keys and values: s[t] = (striped sum of q[d] * k_t[d]) * scale; p[t] = e[t] / z; y[d] = sum_t p[t] * v_t[d],
 * t ascending from +0. */
typedef struct {
    const float *q;
    const float *k, *v;
    size_t q_stride;         /* floats between tokens */
    size_t k_stride, v_stride; /* floats between positions */
    uint32_t tokens, heads;
    uint32_t length, growth, head_dim;
    float scale;
    void *scratch;
    float *y;
    size_t y_stride;
} shrink_attention_f32_args;

/* Positions whose products with the weights of attention are added before they become a float. */
#define SHRINK_ATTENTION_PIECE 128u

/* Bytes of scratch memory for `rows` = tokens x heads query rows of a shared head that see at most `length` positions:
 * a score for each row and position, the queries and one piece of keys and values in 16 bits, two
 * factors for each position, 20 bytes more for each row. At most 2^41 for a million rows and positions: it does not overflow 64 bits. */
static inline size_t shrink_attention_scratch_bytes(size_t rows, size_t length, size_t head_dim) {
    size_t positions = (length + 31u) & ~(size_t)31u, codes = (head_dim + 31u) & ~(size_t)31u;
    return ((rows + 2) * positions * 4 + (rows + 32u + SHRINK_ATTENTION_PIECE) * codes * 2 + rows * 20 + 15u) & ~(size_t)15u;
}

/* The one list of kernels: X(name, return type, (parameters)).
 *
 * quantize_rows   `rows` rows of `count`, each on its own; x_stride is in floats, out_stride in bytes.
 *                 min and max over the row and 0 (a NaN never replaces them);
 *                 scale = max((max - min) * (1/255f), 1e-35f); inv = 1 / scale; zero = clamp(rne(-min * inv), 0, 255);
 *                 code = (uint8_t) clamp(rne(clamp(x * inv, -512, 512)) + zero, 0, 255), NaN -> 0.
 *                 rne rounds to nearest, halves to even; NaN -> 0 for the zero point too.
 *                 Writes codes, zero padding and tail: shrink_qrow_bytes(count) bytes a row.
 * rms_norm        y = (x * (1 / sqrt(striped sum of x*x / n + eps))) * gamma, for each of `rows` rows; strides are in floats
 * layer_norm      likewise; mean = striped sum / n; d = x - mean; var = striped sum of d*d / n;
 *                 y = (d * (1 / sqrt(var + eps))) * gamma + beta          (y may be x, a or b in every kernel of rows)
 * add, mul, scale elementwise; relu: x < 0 ? 0 : x
 * sigmoid         1 / (1 + exp(-x))
 * tanh            g / (g + 2) with the sign of x, where g = exp(2|x|) - 1 without cancellation
 * silu            x * sigmoid(x);  silu_mul: silu(a) * b
 * gelu_erf        (x < 0 ? 0 : x) - (a < 5.5 ? a * h : 0), a = |x|, where h is the eighth power (squared three times) of a
 *                 polynomial: x times the normal distribution at x within 5e-7 of the larger of a and 1
 * gelu_tanh       (0.5 * x) * (1 + tanh(0.79788456f * (x + 0.044715f * ((x * x) * x))))
 * softmax         in place, as in attention: exp(x - max) / striped sum
 * rotary_half     pairs (i, i + d/2) of a head of d = 2 * half floats, in place:
 *                 a' = a*cos - b*sin; b' = b*cos + a*sin;  rotary_pairs: pairs (2i, 2i+1)
 *                 cosine and sine have `half` entries
 * l2_normalize    y = x * (1 / max(sqrt(striped sum of x*x), eps)), the larger by norm < eps ? eps : norm
 * embed_q8        channel `index` of a packed int8 weight, k values: y[i] = (float)w * w_scale[index]; with
 *                 `accumulate`, y[i] = y[i] + that product
 * embed_f32       channel `index` of a packed float weight, likewise without a scale
 */
#define SHRINK_KERNEL_LIST(X) \
    X(linear_q8, void, (const shrink_linear_q8_args *args)) \
    X(linear_f32, void, (const shrink_linear_f32_args *args)) \
    X(attention_q8, void, (const shrink_attention_q8_args *args)) \
    X(attention_f32, void, (const shrink_attention_f32_args *args)) \
    X(quantize_rows, void, (const float *x, size_t x_stride, size_t rows, size_t count, uint8_t *out, size_t out_stride)) \
    X(rms_norm, void, (const float *x, size_t x_stride, size_t rows, const float *gamma, float eps, size_t count, float *y, size_t y_stride)) \
    X(layer_norm, void, (const float *x, size_t x_stride, size_t rows, const float *gamma, const float *beta, float eps, size_t count, float *y, size_t y_stride)) \
    X(add, void, (const float *a, const float *b, size_t count, float *y)) \
    X(mul, void, (const float *a, const float *b, size_t count, float *y)) \
    X(relu, void, (const float *x, size_t count, float *y)) \
    X(silu, void, (const float *x, size_t count, float *y)) \
    X(silu_mul, void, (const float *a, const float *b, size_t count, float *y)) \
    X(gelu_erf, void, (const float *x, size_t count, float *y)) \
    X(gelu_tanh, void, (const float *x, size_t count, float *y)) \
    X(tanh, void, (const float *x, size_t count, float *y)) \
    X(sigmoid, void, (const float *x, size_t count, float *y)) \
    X(softmax, void, (float *x, size_t count)) \
    X(scale, void, (const float *x, float factor, size_t count, float *y)) \
    X(rotary_half, void, (float *x, const float *cosine, const float *sine, size_t half)) \
    X(rotary_pairs, void, (float *x, const float *cosine, const float *sine, size_t half)) \
    X(l2_normalize, void, (const float *x, float eps, size_t count, float *y)) \
    X(embed_q8, void, (const int8_t *w, const float *w_scale, uint32_t index, uint32_t k, int accumulate, float *y)) \
    X(embed_f32, void, (const float *w, uint32_t index, uint32_t k, int accumulate, float *y))

typedef struct {
#define SHRINK_FIELD(name, result, parameters) result (*name) parameters;
    SHRINK_KERNEL_LIST(SHRINK_FIELD)
#undef SHRINK_FIELD
} shrink_kernels;

/* Instruction sets, worst to best on each architecture; numbers and names never change. */
#define SHRINK_ISA_LIST(X) \
    X(SCALAR, 0, "scalar") \
    X(SSE41, 1, "sse4.1") \
    X(AVX2, 2, "avx2") \
    X(AVX_VNNI, 3, "avx-vnni") \
    X(AVX512_VNNI, 4, "avx512-vnni") \
    X(NEON, 5, "neon") \
    X(DOTPROD, 6, "dotprod") \
    X(I8MM, 7, "i8mm")

typedef enum {
#define SHRINK_ISA_CASE(name, number, text) SHRINK_ISA_##name = number,
    SHRINK_ISA_LIST(SHRINK_ISA_CASE)
#undef SHRINK_ISA_CASE
    SHRINK_ISA_COUNT
} shrink_isa;

typedef enum {
    SHRINK_ISA_READY = 0,       /* this CPU and operating system run it */
    SHRINK_ISA_NOT_ON_CPU,      /* built in, but this CPU lacks it */
    SHRINK_ISA_NOT_BUILT        /* no kernels for it in this library */
} shrink_isa_status;

shrink_isa_status shrink_isa_query(shrink_isa isa);
const char *shrink_isa_name(shrink_isa isa);
/* NULL unless shrink_isa_query says READY. */
const shrink_kernels *shrink_kernels_for(shrink_isa isa);
/* The best ready one; `SCALAR` always is. */
shrink_isa shrink_isa_best(void);

#ifdef __cplusplus
}
#endif
#endif

/* Float kernels of the host: forward, backward and optimizer steps of training and evaluation.
 *
 * They are compiled once for each instruction set and chosen when first asked for. All work on a range of
 * rows (or elements) that one thread owns, with sixteen-lane sums whose shape depends on the width alone,
 * so that results do not depend on how rows are shared among threads. Unlike the kernels of the runtime,
 * they may contract a product and a sum: equal bits are promised on one machine, not across machines.
 *
 * Every `y` may be one of the float inputs of the same shape. Matrices are row-major without gaps unless a
 * stride (floats from row to row) is given. */
#ifndef HOST_KERNELS_H
#define HOST_KERNELS_H

#include <stddef.h>
#include <stdint.h>

typedef enum { HOST_RELU, HOST_SILU, HOST_TANH, HOST_SIGMOID, HOST_GELU_ERF, HOST_GELU_TANH } host_function;

/* How row r of a block of attention scores is seen: its first min(visible + r * step, count) columns. */
typedef struct {
    size_t rows, columns, stride;
    size_t visible, step, count;
} host_scores;

typedef struct {
    float rate, decay, beta1, beta2, epsilon;
    /* 1 - beta^step, and what every gradient is multiplied by first. */
    float correction1, correction2, gradient_scale;
} host_adamw;

typedef enum { HOST_RNN, HOST_GRU, HOST_LSTM } host_cell;

/* One token of one sequence. `gates` is what the inputs give, and gets the gates after their functions where they
 * are saved; before is the hidden state of the step before, `factor` what is multiplied with the weight: the same,
 * or its quantized form. An LSTM reads state_before and writes state; a GRU saves there what r multiplies. */
typedef struct {
    float *_Nonnull gates;
    const float *_Nonnull before, *_Nonnull factor;
    float *_Nonnull hidden;
    const float *_Nullable state_before;
    float *_Nullable state;
} host_recurrent_row;

/* `gates` and `state` as they were saved become gradients, but an LSTM's state stays; an RNN writes its gates only,
 * which may be dy. before: the cell state of an LSTM, else the hidden state, of the step before. carry: what goes
 * from step to step beside the product. *_after: the gradients that the following step left. */
typedef struct {
    const float *_Nonnull dy, *_Nonnull hidden;
    float *_Nonnull gates;
    float *_Nullable state;
    const float *_Nonnull before;
    float *_Nonnull carry;
    const float *_Nonnull gates_after;
    const float *_Nullable state_after;
} host_recurrent_gradient_row;

typedef struct {
    void (*_Nonnull add)(const float *_Nonnull a, const float *_Nonnull b, float *_Nonnull y, size_t count);
    void (*_Nonnull multiply)(const float *_Nonnull a, const float *_Nonnull b, float *_Nonnull y, size_t count);
    void (*_Nonnull scale)(const float *_Nonnull x, float factor, float *_Nonnull y, size_t count);
    void (*_Nonnull add_row)(float *_Nonnull y, size_t stride, const float *_Nonnull row, size_t rows, size_t width);
    void (*_Nonnull unary)(host_function, const float *_Nonnull x, float *_Nonnull y, size_t count);
    void (*_Nonnull unary_gradient)(host_function, const float *_Nonnull dy, const float *_Nonnull x, float *_Nonnull dx, size_t count);
    /* y = f(a) b */
    void (*_Nonnull gate)(host_function, const float *_Nonnull a, const float *_Nonnull b, float *_Nonnull y, size_t count);
    /* `da` and `db` may be any of the inputs, but not the same one. */
    void (*_Nonnull gate_gradient)(
        host_function, const float *_Nonnull dy, const float *_Nonnull a, const float *_Nonnull b, float *_Nonnull da, float *_Nonnull db,
        size_t count);
    /* Normalises x + residual, which goes to `sum` too; without a beta, by the root mean square. */
    void (*_Nonnull norm)(
        const float *_Nonnull x, const float *_Nullable residual, float *_Nullable sum, const float *_Nonnull gamma,
        const float *_Nullable beta, float epsilon, float *_Nonnull y, size_t rows, size_t width);
    /* dx = the norm's gradient + addend; adds the rows' gradients of gamma (and beta, which makes it a layer
     * norm) to `dgamma` and `dbeta`. */
    void (*_Nonnull norm_gradient)(
        const float *_Nonnull dy, const float *_Nonnull x, const float *_Nonnull gamma, const float *_Nullable addend, float epsilon,
        float *_Nonnull dx, float *_Nonnull dgamma, float *_Nullable dbeta, size_t rows, size_t width);
    /* Adds the rows to `sums`. */
    void (*_Nonnull add_rows)(const float *_Nonnull x, size_t stride, float *_Nonnull sums, size_t rows, size_t width);
    /* Scores become probabilities, zero where not seen; log_sum_exp[r * log_stride] is kept when asked for. */
    void (*_Nonnull softmax)(float *_Nonnull scores, host_scores, float *_Nullable log_sum_exp, size_t log_stride);
    /* Scores become probabilities p = exp(s - log_sum_exp); d becomes p (d - delta) scale. */
    void (*_Nonnull softmax_gradient)(
        float *_Nonnull scores, float *_Nonnull d, host_scores, const float *_Nonnull log_sum_exp, size_t log_stride,
        const float *_Nonnull delta, float scale);
    void (*_Nonnull row_dots)(
        const float *_Nonnull a, size_t a_stride, const float *_Nonnull b, size_t b_stride, float *_Nonnull y, size_t rows, size_t width);
    /* Turns the pairs of each head by the angles of positions first, first + 1 …; `half` pairs (i, i + size/2), else (2i, 2i + 1). */
    void (*_Nonnull rotary)(
        const float *_Nonnull x, const float *_Nonnull cosine, const float *_Nonnull sine, float *_Nonnull y, size_t tokens, size_t heads,
        size_t head_size, int half, int inverse);
    /* x / max(|x|, epsilon) */
    void (*_Nonnull l2_normalize)(const float *_Nonnull x, float epsilon, float *_Nonnull y, size_t rows, size_t width);
    void (*_Nonnull l2_normalize_gradient)(
        const float *_Nonnull dy, const float *_Nonnull x, float epsilon, float *_Nonnull dx, size_t rows, size_t width);

    /* Losses of rows: the loss of one row is returned, and factor times its gradient written where asked for. */
    float (*_Nonnull cross_entropy)(const float *_Nonnull logits, size_t label, float factor, float *_Nullable gradient, size_t width);
    /* temperature^2 KL(p || skew p + (1 - skew) q), p of the teacher, q of the logits. */
    float (*_Nonnull soft_targets)(
        const float *_Nonnull logits, const float *_Nonnull teacher, float temperature, float skew, float factor,
        float *_Nullable gradient, size_t width);
    /* The same against `count` classes and all others as one: ids (whole numbers below `width`, none twice), the
     * logarithms of the teacher's probabilities and then that of the others'. `work`: count + width floats. */
    float (*_Nonnull top_targets)(
        const float *_Nonnull logits, const float *_Nonnull ids, const float *_Nonnull log_shares, size_t count, float temperature,
        float skew, float factor, float *_Nullable gradient, float *_Nonnull work, size_t width);
    /* The mean of the squared differences. */
    float (*_Nonnull squared_error)(const float *_Nonnull a, const float *_Nonnull b, float factor, float *_Nullable gradient, size_t width);
    /* The same of a = softmax(x), with the gradient of x. */
    float (*_Nonnull probability_error)(
        const float *_Nonnull a, const float *_Nonnull b, float factor, float *_Nullable gradient, size_t width);
    /* 1 - cos(a, b) */
    float (*_Nonnull cosine)(const float *_Nonnull a, const float *_Nonnull b, float factor, float *_Nullable gradient, size_t width);

    /* What packing makes of weights. largest[i * step] becomes at least |x[i]|. */
    void (*_Nonnull largest_magnitudes)(const float *_Nonnull x, float *_Nonnull largest, size_t step, size_t width);
    /* x[i] becomes scale * code for scale = scales[i * step], code = x[i] / scale rounded to even in binary64, at most 127 in
     * magnitude; with a scale of zero it stays. */
    void (*_Nonnull round_to_codes)(float *_Nonnull x, const float *_Nonnull scales, size_t step, size_t width);

    /* Loshchilov & Hutter 2019, algorithm 2. */
    void (*_Nonnull adamw)(
        host_adamw, float *_Nonnull weight, const float *_Nonnull gradient, float *_Nonnull first, float *_Nonnull second, size_t count);
    /* velocity = momentum velocity + gradient scale; weight -= rate velocity + rate decay weight */
    void (*_Nonnull momentum)(
        float rate, float decay, float momentum, float gradient_scale, float *_Nonnull weight, const float *_Nonnull gradient,
        float *_Nonnull velocity, size_t count);
    double (*_Nonnull sum_of_squares)(const float *_Nonnull x, size_t count);

    /* A recurrent weight [gates width, width] for steps forward: blocks of 16 units, each [width][gates][16]. */
    void (*_Nonnull recurrent_pack)(
        const float *_Nonnull weight, size_t gates, size_t width, float *_Nonnull packed, size_t first_block, size_t end_block);
    /* One step of the units of some blocks. Rows may be the same token of other sequences only. */
    void (*_Nonnull recurrent)(
        host_cell, const host_recurrent_row *_Nonnull rows, size_t count, const float *_Nonnull packed, const float *_Nullable bias,
        size_t width, int saves, size_t first_block, size_t end_block);
    /* The same weight for steps back: panels of 64 units, each [gates width][64]. */
    void (*_Nonnull recurrent_pack_back)(
        const float *_Nonnull weight, size_t gates, size_t width, float *_Nonnull packed, size_t first_panel, size_t end_panel);
    void (*_Nonnull recurrent_gradient)(
        host_cell, const host_recurrent_gradient_row *_Nonnull rows, size_t count, const float *_Nonnull packed, size_t width,
        size_t first_panel, size_t end_panel);
} host_kernels;

/* This library's tables that the CPU runs, the best first; NULL behind the last. */
const host_kernels *_Nullable host_kernels_at(size_t index);

/* The best of them. */
const host_kernels *_Nonnull host_kernels_best(void);

#endif

/* The kernels, for the instruction set that the including file has set. */
#include "vectors.h"
#include "recurrent.h"

static void add(const float *a, const float *b, float *y, size_t count) { EACH(count, PUT(y, GET(a) + GET(b));); }
static void multiply(const float *a, const float *b, float *y, size_t count) { EACH(count, PUT(y, GET(a) * GET(b));); }
static void scale(const float *x, float factor, float *y, size_t count) { EACH(count, PUT(y, GET(x) * factor);); }

static void add_row(float *y, size_t stride, const float *row, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++, y += stride) EACH(width, PUT(y, GET(y) + GET(row)););
}

static void add_rows(const float *x, size_t stride, float *sums, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++, x += stride) EACH(width, PUT(sums, GET(sums) + GET(x)););
}

/* One loop for each function, so that none chooses inside. */
#define FOR_FUNCTION(f, ...)                                                                   \
    switch (f) {                                                                               \
    case HOST_RELU: { const host_function F = HOST_RELU; __VA_ARGS__ } break;                  \
    case HOST_SILU: { const host_function F = HOST_SILU; __VA_ARGS__ } break;                  \
    case HOST_TANH: { const host_function F = HOST_TANH; __VA_ARGS__ } break;                  \
    case HOST_SIGMOID: { const host_function F = HOST_SIGMOID; __VA_ARGS__ } break;            \
    case HOST_GELU_ERF: { const host_function F = HOST_GELU_ERF; __VA_ARGS__ } break;          \
    case HOST_GELU_TANH: { const host_function F = HOST_GELU_TANH; __VA_ARGS__ } break;        \
    }

static void unary(host_function f, const float *x, float *y, size_t count) {
    FOR_FUNCTION(f, EACH(count, PUT(y, apply(F, GET(x)));););
}

static void unary_gradient(host_function f, const float *dy, const float *x, float *dx, size_t count) {
    vf value;
    FOR_FUNCTION(f, EACH(count, PUT(dx, GET(dy) * derivative(F, GET(x), &value));););
}

static void gate(host_function f, const float *a, const float *b, float *y, size_t count) {
    FOR_FUNCTION(f, EACH(count, PUT(y, apply(F, GET(a)) * GET(b));););
}

static void gate_gradient(
    host_function f, const float *dy, const float *a, const float *b, float *da, float *db, size_t count) {
    FOR_FUNCTION(f, EACH(count, {
        vf value, d = GET(dy), slope = derivative(F, GET(a), &value) * GET(b);
        PUT(da, d * slope);
        PUT(db, d * value);
    }););
}

typedef struct { float mean, scale; } moments;

/* Two passes: the variance is that of differences, which does not cancel. */
static inline __attribute__((always_inline)) moments moments_of(const float *x, int centred, float epsilon, size_t width) {
    float mean = 0;
    if (centred) {
        vf sum = 0;
        EACH(width, sum += GET(x););
        mean = sum_lanes(sum) / width;
    }
    vf squares = 0;
    EACH(width, { vf d = GET_OR(x, mean) - mean; squares += d * d; });
    return (moments){mean, 1 / sqrtf(sum_lanes(squares) / width + epsilon)};
}

static void norm(
    const float *x, const float *residual, float *sum, const float *gamma, const float *beta, float epsilon, float *y, size_t rows,
    size_t width) {
    for (size_t r = 0; r < rows; r++, x += width, y += width) {
        const float *row = x;
        if (residual) {
            float *target = sum ? sum : y;
            EACH(width, PUT(target, GET(x) + GET(residual)););
            residual += width;
            row = target;
            if (sum) sum += width;
        }
        moments m = moments_of(row, beta != NULL, epsilon, width);
        if (beta) EACH(width, PUT(y, (GET(row) - m.mean) * m.scale * GET(gamma) + GET(beta)););
        else EACH(width, PUT(y, GET(row) * m.scale * GET(gamma)););
    }
}

/* With n = (x - mean) scale and g = dy gamma: dx = scale (g - mean(g) - n mean(g n)); no mean(g) without a beta. */
static void norm_gradient(
    const float *dy, const float *x, const float *gamma, const float *addend, float epsilon, float *dx, float *dgamma, float *dbeta,
    size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++, dy += width, x += width, dx += width) {
        moments m = moments_of(x, dbeta != NULL, epsilon, width);
        vf sums = 0, products = 0;
        EACH(width, {
            vf d = GET(dy), n = (GET(x) - m.mean) * m.scale, g = d * GET(gamma);
            sums += g;
            products += g * n;
            PUT(dgamma, GET(dgamma) + d * n);
            if (dbeta) PUT(dbeta, GET(dbeta) + d);
        });
        float mean = dbeta ? sum_lanes(sums) / width : 0, product = sum_lanes(products) / width;
        if (addend) {
            EACH(width, {
                vf n = (GET(x) - m.mean) * m.scale;
                PUT(dx, GET(addend) + m.scale * (GET(dy) * GET(gamma) - mean - n * product));
            });
            addend += width;
        } else {
            EACH(width, {
                vf n = (GET(x) - m.mean) * m.scale;
                PUT(dx, m.scale * (GET(dy) * GET(gamma) - mean - n * product));
            });
        }
    }
}

INLINE size_t visible(host_scores shape, size_t row) {
    size_t seen = shape.visible + row * shape.step;
    return seen < shape.count ? seen : shape.count;
}

static void softmax(float *scores, host_scores shape, float *log_sum_exp, size_t log_stride) {
    for (size_t r = 0; r < shape.rows; r++, scores += shape.stride) {
        size_t seen = visible(shape, r);
        vf largest = -INFINITY;
        EACH(seen, largest = vmax(largest, GET_OR(scores, -INFINITY)););
        float high = max_lanes(largest);
        vf sums = 0;
        EACH(seen, { vf e = exponential(GET_OR(scores, -INFINITY) - high); sums += rest_ ? keep_first(e, rest_) : e; PUT(scores, e); });
        float sum = sum_lanes(sums), factor = 1 / sum;
        EACH(seen, PUT(scores, GET(scores) * factor););
        for (size_t c = seen; c < shape.columns; c++) scores[c] = 0;
        if (log_sum_exp) log_sum_exp[r * log_stride] = high + logf(sum);
    }
}

static void softmax_gradient(
    float *scores, float *d, host_scores shape, const float *log_sum_exp, size_t log_stride, const float *delta, float factor) {
    for (size_t r = 0; r < shape.rows; r++, scores += shape.stride, d += shape.stride) {
        size_t seen = visible(shape, r);
        float lse = log_sum_exp[r * log_stride], shift = delta[r];
        EACH(seen, {
            vf p = exponential(GET(scores) - lse);
            PUT(scores, p);
            PUT(d, p * (GET(d) - shift) * factor);
        });
        for (size_t c = seen; c < shape.columns; c++) scores[c] = d[c] = 0;
    }
}

INLINE float dot(const float *a, const float *b, size_t width) {
    vf sum = 0;
    EACH(width, sum += GET(a) * GET(b););
    return sum_lanes(sum);
}

static void row_dots(const float *a, size_t a_stride, const float *b, size_t b_stride, float *y, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++) y[r] = dot(a + r * a_stride, b + r * b_stride, width);
}

static void rotary(
    const float *x, const float *cosine, const float *sine, float *y, size_t tokens, size_t heads, size_t head_size, int half, int inverse) {
    const size_t pairs = head_size / 2;
    const float sign = inverse ? -1 : 1;
    for (size_t t = 0; t < tokens; t++, cosine += pairs, sine += pairs) {
        for (size_t h = 0; h < heads; h++, x += head_size, y += head_size) {
            if (half) {
                EACH(pairs, {
                    vf a = GET(x), b = GET(x + pairs), c = GET(cosine), s = GET(sine) * sign;
                    PUT(y, a * c - b * s);
                    PUT(y + pairs, b * c + a * s);
                });
            } else {
                for (size_t i = 0; i < pairs; i++) {
                    float a = x[2 * i], b = x[2 * i + 1], c = cosine[i], s = sine[i] * sign;
                    y[2 * i] = a * c - b * s;
                    y[2 * i + 1] = b * c + a * s;
                }
            }
        }
    }
}

static void l2_normalize(const float *x, float epsilon, float *y, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++, x += width, y += width) {
        float length = sqrtf(dot(x, x, width)), factor = 1 / (length > epsilon ? length : epsilon);
        EACH(width, PUT(y, GET(x) * factor););
    }
}

/* With n = x / |x|: dx = (dy - n (dy n)) / |x|; below epsilon the length is constant. */
static void l2_normalize_gradient(const float *dy, const float *x, float epsilon, float *dx, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++, dy += width, x += width, dx += width) {
        float length = sqrtf(dot(x, x, width));
        float factor = 1 / (length > epsilon ? length : epsilon);
        float along = length > epsilon ? dot(dy, x, width) * factor * factor : 0;
        EACH(width, PUT(dx, (GET(dy) - GET(x) * along) * factor););
    }
}

/* max and log(sum(exp(x factor - max))) of a row times factor */
INLINE float log_sum_exp(const float *x, float factor, size_t width) {
    vf largest = -INFINITY;
    EACH(width, largest = vmax(largest, GET_OR(x, -INFINITY)););
    float high = max_lanes(largest) * factor;
    vf sums = 0;
    EACH(width, { vf e = exponential(GET(x) * factor - high); sums += rest_ ? keep_first(e, rest_) : e; });
    return high + logf(sum_lanes(sums));
}

static float cross_entropy(const float *logits, size_t label, float factor, float *gradient, size_t width) {
    float lse = log_sum_exp(logits, 1, width), loss = lse - logits[label];
    if (gradient) {
        EACH(width, PUT(gradient, exponential(GET(logits) - lse) * factor););
        gradient[label] -= factor;
    }
    return loss;
}

static float soft_targets(
    const float *logits, const float *teacher, float temperature, float skew, float factor, float *gradient, size_t width) {
    const float cold = 1 / temperature;
    float lq = log_sum_exp(logits, cold, width), lp = log_sum_exp(teacher, cold, width);
    vf losses = 0, weights = 0;
    EACH(width, {
        vf a = GET(teacher) * cold - lp, b = GET(logits) * cold - lq, p = exponential(a);
        vf term, weight;
        if (skew == 0) {
            term = p * (a - b);
            weight = p;
        } else {
            vf q = exponential(b), m = skew * p + (1 - skew) * q;
            term = p * (a - logarithm(m));
            weight = (1 - skew) * p * q / m;
        }
        losses += rest_ ? keep_first(term, rest_) : term;
        weights += rest_ ? keep_first(weight, rest_) : weight;
    });
    if (gradient) {
        /* d loss / d logit = temperature (q sum(w) - w), w = (1 - skew) p q / m */
        const float f = factor * temperature, total = skew == 0 ? 1 : sum_lanes(weights);
        EACH(width, {
            vf p = exponential(GET(teacher) * cold - lp), q = exponential(GET(logits) * cold - lq);
            vf weight = skew == 0 ? p : (1 - skew) * p * q / (skew * p + (1 - skew) * q);
            PUT(gradient, f * (q * total - weight));
        });
    }
    return temperature * temperature * sum_lanes(losses);
}

/* What one class adds to the divergence from probabilities p to q, given by their logarithms; its weight is p q / m
 * for m = skew p + (1 - skew) q, without the skew p. */
static float class_divergence(float log_p, float log_q, float skew, float *weight) {
    const float p = expf(log_p), q = expf(log_q), m = skew * p + (1 - skew) * q;
    *weight = skew == 0 ? p : m > 0 ? (1 - skew) * p * q / m : 0;
    return p > 0 ? p * (log_p - (skew == 0 ? log_q : logf(m))) : 0;
}

static float top_targets(
    const float *logits, const float *ids, const float *log_shares, size_t count, float temperature, float skew, float factor,
    float *gradient, float *work, size_t width) {
    const float cold = 1 / temperature;
    float *rest = gradient ? gradient : work + count;
    for (size_t i = 0; i < count; i++) work[i] = logits[(size_t)ids[i]] * cold;
    EACH(width, PUT(rest, GET(logits) * cold););
    for (size_t i = 0; i < count; i++) rest[(size_t)ids[i]] = -1e30f;
    const float top = log_sum_exp(work, 1, count), others = count < width ? log_sum_exp(rest, 1, width) : -INFINITY;
    const float all = fmaxf(top, others) + log1pf(expf(-fabsf(top - others)));
    float weight, loss = 0, others_weight = 0, total = 0;
    if (count < width) loss = class_divergence(log_shares[count], others - all, skew, &others_weight);
    for (size_t i = 0; i < count; i++) {
        loss += class_divergence(log_shares[i], work[i] - all, skew, &weight);
        total += weight;
    }
    total += others_weight;
    if (gradient) {
        /* As of soft targets; a class among the others has the part of their weight that it has of their probability. */
        const float f = factor * temperature, outer = f * (expf(others - all) * total - others_weight);
        if (count < width) EACH(width, PUT(gradient, exponential(GET(gradient) - others) * outer););
        for (size_t i = 0; i < count; i++) {
            class_divergence(log_shares[i], work[i] - all, skew, &weight);
            gradient[(size_t)ids[i]] = f * (expf(work[i] - all) * total - weight);
        }
    }
    return temperature * temperature * loss;
}

static float squared_error(const float *a, const float *b, float factor, float *gradient, size_t width) {
    vf sum = 0;
    EACH(width, { vf d = GET(a) - GET(b); sum += d * d; });
    if (gradient) EACH(width, PUT(gradient, (GET(a) - GET(b)) * (2 * factor / width)););
    return sum_lanes(sum) / width;
}

static float probability_error(const float *a, const float *b, float factor, float *gradient, size_t width) {
    const float loss = squared_error(a, b, 0, 0, width);
    if (gradient) {
        vf sum = 0;
        EACH(width, sum += (GET(a) - GET(b)) * GET(a););
        const float along = sum_lanes(sum), f = 2 * factor / width;
        EACH(width, PUT(gradient, GET(a) * (GET(a) - GET(b) - along) * f););
    }
    return loss;
}

static float cosine(const float *a, const float *b, float factor, float *gradient, size_t width) {
    const float tiny = 1e-12f;
    float aa = dot(a, a, width), bb = dot(b, b, width), ab = dot(a, b, width);
    float lengths = sqrtf(aa) * sqrtf(bb);
    if (lengths < tiny) lengths = tiny;
    float similarity = ab / lengths;
    if (gradient) {
        float along = aa > tiny ? similarity / aa : 0;
        EACH(width, PUT(gradient, (GET(a) * along - GET(b) / lengths) * factor););
    }
    return 1 - similarity;
}

static void adamw(host_adamw o, float *weight, const float *gradient, float *first, float *second, size_t count) {
    const float keep = 1 - o.rate * o.decay, rate = o.rate / o.correction1, root = 1 / sqrtf(o.correction2);
    EACH(count, {
        vf g = GET(gradient) * o.gradient_scale;
        vf m = GET(first) * o.beta1 + g * (1 - o.beta1), v = GET(second) * o.beta2 + g * g * (1 - o.beta2);
        PUT(first, m);
        PUT(second, v);
        PUT(weight, GET(weight) * keep - rate * m / (__builtin_elementwise_sqrt(v) * root + o.epsilon));
    });
}

static void momentum(
    float rate, float decay, float factor, float gradient_scale, float *weight, const float *gradient, float *velocity, size_t count) {
    EACH(count, {
        vf v = GET(velocity) * factor + GET(gradient) * gradient_scale;
        PUT(velocity, v);
        PUT(weight, GET(weight) * (1 - rate * decay) - rate * v);
    });
}

static double sum_of_squares(const float *x, size_t count) {
    double total = 0;
    for (size_t start = 0; start < count; start += 4096) {
        size_t end = count - start < 4096 ? count - start : 4096;
        total += dot(x + start, x + start, end);
    }
    return total;
}

static void largest_magnitudes(const float *x, float *largest, size_t step, size_t width) {
    if (step) {
        EACH(width, PUT(largest, vmax(GET(largest), vabs(GET(x)))););
    } else {
        vf all = 0;
        EACH(width, all = vmax(all, vabs(GET_OR(x, 0))););
        *largest = fmaxf(*largest, max_lanes(all));
    }
}

static void round_to_codes(float *x, const float *scales, size_t step, size_t width) {
    for (size_t i = 0; i < width; i++) {
        const float scale = scales[i * step];
        const double code = __builtin_rint((double)x[i] / (double)scale);
        const float value = (float)fmin(fmax(code, -127), 127) * scale;
        x[i] = scale > 0 ? value : x[i];
    }
}

const host_kernels TABLE = {
    add, multiply, scale, add_row, unary, unary_gradient, gate, gate_gradient, norm, norm_gradient, add_rows, softmax, softmax_gradient,
    row_dots, rotary, l2_normalize, l2_normalize_gradient, cross_entropy, soft_targets, top_targets, squared_error,
    probability_error, cosine, largest_magnitudes, round_to_codes, adamw, momentum,
    sum_of_squares, recurrent_pack, recurrent, recurrent_pack_back, recurrent_gradient,
};

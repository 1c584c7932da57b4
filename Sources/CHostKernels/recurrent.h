/* Steps of recurrent cells: a product with the recurrent weight and the functions of the gates, sixteen units of
 * some sequences at a time. Every sum runs over its terms in their order, whatever rows are computed together. */

/* The product takes TILE_ROWS rows and up to four vectors of columns at once, in pieces of PIECE lanes, so that
 * its sums stay in registers. */
typedef float piece __attribute__((ext_vector_type(PIECE)));
typedef float piece_unaligned __attribute__((ext_vector_type(PIECE), aligned(4)));

INLINE void product_of(const float *const *a, const size_t rows, size_t inner, const float *packed, const size_t columns, float *y) {
    for (size_t part = 0; part < LANES; part += PIECE) {
        piece sums[TILE_ROWS][4];
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) sums[r][c] = *(const piece_unaligned *)(y + (r * 4 + c) * LANES + part);
        const float *w = packed + part;
        for (size_t k = 0; k < inner; k++, w += columns * LANES) {
            piece weights[4];
            for (size_t c = 0; c < columns; c++) weights[c] = *(const piece_unaligned *)(w + c * LANES);
            for (size_t r = 0; r < rows; r++)
                for (size_t c = 0; c < columns; c++) sums[r][c] += a[r][k] * weights[c];
        }
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < columns; c++) *(piece_unaligned *)(y + (r * 4 + c) * LANES + part) = sums[r][c];
    }
}

/* y[r][c] += sum over k of a[r][k] packed[k][c], for rows <= TILE_ROWS; y has four vectors for each row */
#define PRODUCT_OF_ROWS(n) case n: if (n <= TILE_ROWS) product_of(a, n, inner, packed, columns, y); break;
INLINE void product(const float *const *a, size_t rows, size_t inner, const float *packed, const size_t columns, float *y) {
    switch (rows) {
        PRODUCT_OF_ROWS(1) PRODUCT_OF_ROWS(2) PRODUCT_OF_ROWS(3) PRODUCT_OF_ROWS(4) PRODUCT_OF_ROWS(5) PRODUCT_OF_ROWS(6)
    }
}

static void recurrent_pack(const float *weight, size_t gates, size_t width, float *packed, size_t first_block, size_t end_block) {
    for (size_t block = first_block; block < end_block; block++) {
        float *target = packed + block * width * gates * LANES;
        for (size_t start = 0; start < width; start += LANES) {
            size_t end = width - start < LANES ? width : start + LANES;
            for (size_t g = 0; g < gates; g++) {
                for (size_t lane = 0; lane < LANES; lane++) {
                    size_t unit = block * LANES + lane;
                    const float *row = weight + (g * width + unit) * width;
                    for (size_t k = start; k < end; k++) target[(k * gates + g) * LANES + lane] = unit < width ? row[k] : 0;
                }
            }
        }
    }
}

static void recurrent_pack_back(const float *weight, size_t gates, size_t width, float *packed, size_t first_panel, size_t end_panel) {
    const size_t columns = 4 * LANES;
    for (size_t panel = first_panel; panel < end_panel; panel++) {
        float *target = packed + panel * gates * width * columns;
        size_t rest = width - panel * columns, count = rest < columns ? rest : columns;
        for (size_t k = 0; k < gates * width; k++, target += columns) {
            memcpy(target, weight + k * width + panel * columns, count * sizeof(float));
            memset(target + count, 0, (columns - count) * sizeof(float));
        }
    }
}

#define GATE(p, g) GET((p) + (g) * width)

INLINE void cell_forward(
    const host_cell cell, const host_recurrent_row *row, const vf *sums, const float *bias, int saves, size_t width, size_t i,
    const size_t rest_) {
    vf b[4] = {0, 0, 0, 0}, zero = 0;
    const size_t gates = cell == HOST_LSTM ? 4 : cell == HOST_GRU ? 3 : 1;
    for (size_t g = 0; g < gates; g++) b[g] = bias ? GATE(bias, g) : zero;
    if (cell == HOST_RNN) {
        PUT(row->hidden, hyperbolic_tangent(GET(row->gates) + (sums[0] + b[0])));
    } else if (cell == HOST_GRU) {
        vf r = sigmoid(GATE(row->gates, 0) + (sums[0] + b[0])), z = sigmoid(GATE(row->gates, 1) + (sums[1] + b[1]));
        vf inner = sums[2] + b[2], n = hyperbolic_tangent(GATE(row->gates, 2) + r * inner);
        vf before = GET(row->before);
        PUT(row->hidden, n + z * (before - n));
        if (saves) {
            PUT(row->gates, r);
            PUT(row->gates + width, z);
            PUT(row->gates + 2 * width, n);
            PUT(row->state, inner);
        }
    } else {
        vf in = sigmoid(GATE(row->gates, 0) + (sums[0] + b[0])), forget = sigmoid(GATE(row->gates, 1) + (sums[1] + b[1]));
        vf candidate = hyperbolic_tangent(GATE(row->gates, 2) + (sums[2] + b[2]));
        vf out = sigmoid(GATE(row->gates, 3) + (sums[3] + b[3]));
        vf state = forget * GET(row->state_before) + in * candidate;
        PUT(row->state, state);
        PUT(row->hidden, out * hyperbolic_tangent(state));
        if (saves) {
            PUT(row->gates, in);
            PUT(row->gates + width, forget);
            PUT(row->gates + 2 * width, candidate);
            PUT(row->gates + 3 * width, out);
        }
    }
}

INLINE void forward_blocks(
    const host_cell cell, const host_recurrent_row *rows, size_t count, const float *packed, const float *bias, size_t width, int saves,
    size_t first_block, size_t end_block) {
    const size_t gates = cell == HOST_LSTM ? 4 : cell == HOST_GRU ? 3 : 1;
    for (size_t block = first_block; block < end_block; block++) {
        size_t i = block * LANES, rest = width - i < LANES ? width - i : 0;
        for (size_t start = 0; start < count; start += TILE_ROWS) {
            size_t tile = count - start < TILE_ROWS ? count - start : TILE_ROWS;
            const float *before[TILE_ROWS];
            vf sums[TILE_ROWS * 4];
            memset(sums, 0, sizeof sums);
            for (size_t r = 0; r < tile; r++) before[r] = rows[start + r].factor;
            product(before, tile, width, packed + block * width * gates * LANES, gates, (float *)sums);
            for (size_t r = 0; r < tile; r++) {
                if (rest) cell_forward(cell, rows + start + r, sums + r * 4, bias, saves, width, i, rest);
                else cell_forward(cell, rows + start + r, sums + r * 4, bias, saves, width, i, 0);
            }
        }
    }
}

static void recurrent(
    host_cell cell, const host_recurrent_row *rows, size_t count, const float *packed, const float *bias, size_t width, int saves,
    size_t first_block, size_t end_block) {
    switch (cell) {
    case HOST_RNN: forward_blocks(HOST_RNN, rows, count, packed, bias, width, saves, first_block, end_block); break;
    case HOST_GRU: forward_blocks(HOST_GRU, rows, count, packed, bias, width, saves, first_block, end_block); break;
    case HOST_LSTM: forward_blocks(HOST_LSTM, rows, count, packed, bias, width, saves, first_block, end_block); break;
    }
}

/* With d what comes from later: the derivatives of cell_forward. */
INLINE void cell_backward(const host_cell cell, const host_recurrent_gradient_row *row, vf d, size_t width, size_t i, const size_t rest_) {
    d += GET(row->dy);
    if (cell == HOST_RNN) {
        vf h = GET(row->hidden);
        PUT(row->gates, d * ((1 - h) * (1 + h)));
    } else if (cell == HOST_GRU) {
        vf r = GATE(row->gates, 0), z = GATE(row->gates, 1), n = GATE(row->gates, 2), inner = GET(row->state), before = GET(row->before);
        d += GET(row->carry);
        vf dn = d * (1 - z) * ((1 - n) * (1 + n));
        PUT(row->gates, dn * inner * (r * (1 - r)));
        PUT(row->gates + width, d * (before - n) * (z * (1 - z)));
        PUT(row->gates + 2 * width, dn);
        PUT(row->state, dn * r);
        PUT(row->carry, d * z);
    } else {
        vf in = GATE(row->gates, 0), forget = GATE(row->gates, 1), candidate = GATE(row->gates, 2), out = GATE(row->gates, 3);
        vf t = hyperbolic_tangent(GET(row->state)), dc = GET(row->carry) + d * out * ((1 - t) * (1 + t));
        PUT(row->gates, dc * candidate * (in * (1 - in)));
        PUT(row->gates + width, dc * GET(row->before) * (forget * (1 - forget)));
        PUT(row->gates + 2 * width, dc * in * ((1 - candidate) * (1 + candidate)));
        PUT(row->gates + 3 * width, d * t * (out * (1 - out)));
        PUT(row->carry, dc * forget);
    }
}

INLINE void backward_panels(
    const host_cell cell, const host_recurrent_gradient_row *rows, size_t count, const float *packed, size_t width, size_t first_panel,
    size_t end_panel) {
    const size_t gates = cell == HOST_LSTM ? 4 : cell == HOST_GRU ? 3 : 1, inner = gates * width, columns = 4 * LANES;
    const size_t direct = cell == HOST_GRU ? 2 * width : inner;
    for (size_t panel = first_panel; panel < end_panel; panel++) {
        const float *weight = packed + panel * inner * columns;
        for (size_t start = 0; start < count; start += TILE_ROWS) {
            size_t tile = count - start < TILE_ROWS ? count - start : TILE_ROWS;
            const float *later[TILE_ROWS];
            vf sums[TILE_ROWS * 4];
            memset(sums, 0, sizeof sums);
            for (size_t r = 0; r < tile; r++) later[r] = rows[start + r].gates_after;
            product(later, tile, direct, weight, 4, (float *)sums);
            if (cell == HOST_GRU) {
                for (size_t r = 0; r < tile; r++) later[r] = rows[start + r].state_after;
                product(later, tile, width, weight + direct * columns, 4, (float *)sums);
            }
            for (size_t r = 0; r < tile; r++) {
                for (size_t c = 0; c < 4; c++) {
                    size_t i = panel * columns + c * LANES;
                    if (i >= width) break;
                    if (width - i < LANES) cell_backward(cell, rows + start + r, sums[r * 4 + c], width, i, width - i);
                    else cell_backward(cell, rows + start + r, sums[r * 4 + c], width, i, 0);
                }
            }
        }
    }
}

static void recurrent_gradient(
    host_cell cell, const host_recurrent_gradient_row *rows, size_t count, const float *packed, size_t width, size_t first_panel,
    size_t end_panel) {
    switch (cell) {
    case HOST_RNN: backward_panels(HOST_RNN, rows, count, packed, width, first_panel, end_panel); break;
    case HOST_GRU: backward_panels(HOST_GRU, rows, count, packed, width, first_panel, end_panel); break;
    case HOST_LSTM: backward_panels(HOST_LSTM, rows, count, packed, width, first_panel, end_panel); break;
    }
}

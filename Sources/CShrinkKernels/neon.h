/* What the ARM tables share: signed codes, and what attention_q8.inc asks for. */
#ifndef SHRINK_NEON_H
#define SHRINK_NEON_H

#include "vector.h"

/* code - 128, and that of the 16 codes that start here. */
INLINE int8x16_t signed_bytes(uint8x16_t codes) { return vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(128))); }
INLINE int8x16_t signed_codes(const uint8_t *codes) { return signed_bytes(vld1q_u8(codes)); }

#define PAIR_ROWS 2

/* The low halves of eight lanes in one vector and their high halves in another: SMLAL then adds to the lanes
 * in place. The compiler takes the halves of `b` apart once for all rows of a tile. */
INLINE vi multiply_pairs(vi sum, vi a, vi b) {
    int32x4_t s[4];
    int16x8_t x[4], y[4];
    memcpy(s, &sum, sizeof sum);
    memcpy(x, &a, sizeof a);
    memcpy(y, &b, sizeof b);
    UNROLL for (int i = 0; i < 4; i += 2) {
        int16x8_t x_low = vuzp1q_s16(x[i], x[i + 1]), x_high = vuzp2q_s16(x[i], x[i + 1]);
        int16x8_t y_low = vuzp1q_s16(y[i], y[i + 1]), y_high = vuzp2q_s16(y[i], y[i + 1]);
        s[i] = vmlal_s16(vmlal_s16(s[i], vget_low_s16(x_low), vget_low_s16(y_low)), vget_low_s16(x_high), vget_low_s16(y_high));
        s[i + 1] = vmlal_high_s16(vmlal_high_s16(s[i + 1], x_low, y_low), x_high, y_high);
    }
    memcpy(&sum, s, sizeof sum);
    return sum;
}

#endif

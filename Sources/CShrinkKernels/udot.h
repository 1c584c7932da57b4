/* The product of codes for attention by UDOT, for the tables of dotprod.c and i8mm.c. */
#ifndef SHRINK_UDOT_H
#define SHRINK_UDOT_H

#include "vector.h"

INLINE vu code_dots(const uint8_t *q, const uint8_t *const rows[16], size_t codes) {
    uint32x4_t dots[4];
    UNROLL for (int four = 0; four < 4; four++) {
        const uint8_t *const *r = rows + 4 * four;
        uint32x4_t sum[4];
        UNROLL for (int j = 0; j < 4; j++) sum[j] = vdupq_n_u32(0);
        for (size_t i = 0; i < codes; i += 16) {
            uint8x16_t a = vld1q_u8(q + i);
            UNROLL for (int j = 0; j < 4; j++) sum[j] = vdotq_u32(sum[j], a, vld1q_u8(r[j] + i));
        }
        dots[four] = vpaddq_u32(vpaddq_u32(sum[0], sum[1]), vpaddq_u32(sum[2], sum[3]));
    }
    vu all;
    memcpy(&all, dots, sizeof all);
    return all;
}

#endif

/* The compression of SHA-256 (FIPS 180-4, section 6.2.2) by the instructions that x86-64 and ARMv8 have
 * for it. Where a processor lacks them, the caller has its own. */
#include "shrink_platform.h"

#include <string.h>

#if defined(__x86_64__) || (defined(__aarch64__) && defined(__ARM_NEON))

/* Section 4.2.2. */
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
#define UNROLL _Pragma("clang loop unroll(full)")

#endif

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

/* Words of the message by fours; the state in the order that the instruction wants, lanes from low to
 * high: f e b a and h g d c. Each instruction does two rounds. */
__attribute__((target("sha,sse4.1"))) static void compress(uint32_t state[8], const uint8_t *blocks, size_t count) {
    const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    __m128i feba = _mm_set_epi32((int)state[0], (int)state[1], (int)state[4], (int)state[5]);
    __m128i hgdc = _mm_set_epi32((int)state[2], (int)state[3], (int)state[6], (int)state[7]);
    for (; count > 0; count--, blocks += 64) {
        const __m128i first = feba, second = hgdc;
        __m128i w[4];
        UNROLL for (int i = 0; i < 16; i++) {
            const int now = i % 4, one = (i + 3) % 4, two = (i + 2) % 4, three = (i + 1) % 4;
            if (i < 4) {
                w[now] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)blocks + i), swap);
            } else {
                __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[now], w[three]), _mm_alignr_epi8(w[one], w[two], 4));
                w[now] = _mm_sha256msg2_epu32(sum, w[one]);
            }
            __m128i input = _mm_add_epi32(w[now], _mm_loadu_si128((const __m128i *)constants + i));
            hgdc = _mm_sha256rnds2_epu32(hgdc, feba, input);
            feba = _mm_sha256rnds2_epu32(feba, hgdc, _mm_shuffle_epi32(input, 0x0e));
            /* Two rounds move a, b, e, f to c, d, g, h, so that after four the names are right again. */
        }
        feba = _mm_add_epi32(feba, first);
        hgdc = _mm_add_epi32(hgdc, second);
    }
    uint32_t low[4], high[4];
    memcpy(low, &feba, sizeof low);
    memcpy(high, &hgdc, sizeof high);
    const uint32_t result[8] = {low[3], low[2], high[3], high[2], low[1], low[0], high[1], high[0]};
    memcpy(state, result, sizeof result);
}

shrink_sha256_blocks shrink_sha256_accelerated(void) {
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1)) return NULL;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA) ? compress : NULL;
}

#elif defined(__aarch64__) && defined(__ARM_NEON)

#include <arm_neon.h>
#include <sys/auxv.h>

#define CAPABILITY_SHA2 (1u << 6) /* HWCAP_SHA2 of the Linux ABI */

__attribute__((target("sha2"))) static void compress(uint32_t state[8], const uint8_t *blocks, size_t count) {
    uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
    for (; count > 0; count--, blocks += 64) {
        const uint32x4_t first = abcd, second = efgh;
        uint32x4_t w[4];
        UNROLL for (int i = 0; i < 16; i++) {
            const int now = i % 4, one = (i + 3) % 4, two = (i + 2) % 4, three = (i + 1) % 4;
            w[now] = i < 4 ? vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(blocks + 16 * i)))
                           : vsha256su1q_u32(vsha256su0q_u32(w[now], w[three]), w[two], w[one]);
            const uint32x4_t input = vaddq_u32(w[now], vld1q_u32(constants + 4 * i)), before = abcd;
            abcd = vsha256hq_u32(abcd, efgh, input);
            efgh = vsha256h2q_u32(efgh, before, input);
        }
        abcd = vaddq_u32(abcd, first);
        efgh = vaddq_u32(efgh, second);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}

shrink_sha256_blocks shrink_sha256_accelerated(void) {
    return getauxval(AT_HWCAP) & CAPABILITY_SHA2 ? compress : NULL;
}

#else

shrink_sha256_blocks shrink_sha256_accelerated(void) { return NULL; }

#endif

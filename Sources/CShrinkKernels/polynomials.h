/* Printed by Tools/fit-polynomials.py: change that, not this.
 * Each list holds the coefficients of powers of r, the highest first, two at a time: by FIRST a value is started, by
 * PAIR(b, c) it is multiplied by r^2 and b * r + c is added. The chain of sums is half as long as by Horner's rule. */
#ifndef SHRINK_POLYNOMIALS_H
#define SHRINK_POLYNOMIALS_H

#define EXP_LOWEST (-0x1.5d589e0000000p+6f)  /* below: 0, so that no result is subnormal */
#define EXP_HIGHEST (0x1.6133340000000p+6f)  /* above: infinity */
#define EXP_LOG2E (0x1.7154760000000p+0f)  /* log2(e) */
#define EXP_LN2_HIGH (0x1.6300000000000p-1f)  /* ln 2 in 9 bits: exact times an integer below 2^15 */
#define EXP_LN2_LOW (-0x1.bd01060000000p-13f)  /* the rest of ln 2 */
#define ROUND_MAGIC (0x1.8000000000000p+23f)  /* 1.5 * 2^23: v + magic - magic rounds |v| < 2^22 to nearest even */
#define GELU_LIMIT (0x1.6000000000000p+2f)  /* from here on gelu is x or 0 */

/* q of exp(r) = 1 + (r + r^2 q(r)), |r| <= ln(2)/2, relative error 5.2e-09 */
#define EXP_POLYNOMIAL(FIRST, PAIR) \
    FIRST(0x1.6db42a0000000p-10f) \
    PAIR(0x1.123b560000000p-7f, 0x1.55545e0000000p-5f) \
    PAIR(0x1.55548e0000000p-3f, 0x1.0000000000000p-1f)

/* q of 2^r = 1 + r q(r), |r| <= 1/2, relative error 1.1e-07 */
#define EXP2_POLYNOMIAL(FIRST, PAIR) \
    FIRST(0x1.5bba140000000p-10f) \
    PAIR(0x1.3cea880000000p-7f, 0x1.c6b7520000000p-5f) \
    PAIR(0x1.ebf9bc0000000p-3f, 0x1.62e42a0000000p-1f)

/* h of gelu(x) = max(x, 0) - |x| h(|x|)^8, error in parts of max(|x|, 1) 3.1e-07 */
#define GELU_POLYNOMIAL(FIRST, PAIR) \
    FIRST(0x1.db0f260000000p-19f * r + -0x1.4ad14a0000000p-15f) \
    PAIR(-0x1.6b268a0000000p-16f, 0x1.9fa9f60000000p-10f) \
    PAIR(-0x1.811c100000000p-11f, -0x1.055d7e0000000p-5f) \
    PAIR(-0x1.769f740000000p-4f, 0x1.d581900000000p-1f)

#endif

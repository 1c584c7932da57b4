/* Printed by Tools/fit-polynomials.py: change that, not this.
 * Each list holds the coefficients for Horner's rule, the one of the highest power first. */
#ifndef SHRINK_POLYNOMIALS_H
#define SHRINK_POLYNOMIALS_H

#define EXP_LOWEST (-0x1.5d589e0000000p+6f)  /* below: 0, so that no result is subnormal */
#define EXP_HIGHEST (0x1.6133340000000p+6f)  /* above: infinity */
#define EXP_LOG2E (0x1.7154760000000p+0f)  /* log2(e) */
#define EXP_LN2_HIGH (0x1.6300000000000p-1f)  /* ln 2 in 9 bits: exact times an integer below 2^15 */
#define EXP_LN2_LOW (-0x1.bd01060000000p-13f)  /* the rest of ln 2 */
#define ROUND_MAGIC (0x1.8000000000000p+23f)  /* 1.5 * 2^23: v + magic - magic rounds |v| < 2^22 to nearest even */
#define ERF_LIMIT (0x1.f5c2900000000p+1f)  /* from here on erf is +-1 */
#define ERF_SLOPE (0x1.0a8e3c0000000p-3f)  /* 2 / limit^2 */
#define TANH_LIMIT (0x1.20a3d80000000p+3f)  /* from here on tanh is +-1 */

/* q of exp(r) = 1 + (r + r^2 q(r)), |r| <= ln(2)/2, relative error 5.2e-09 */
#define EXP_POLYNOMIAL(FIRST, NEXT) \
    FIRST(0x1.6db42a0000000p-10f) \
    NEXT(0x1.123b560000000p-7f) \
    NEXT(0x1.55545e0000000p-5f) \
    NEXT(0x1.55548e0000000p-3f) \
    NEXT(0x1.0000000000000p-1f)

/* P0 of erf(x) = x P(t), P(t) = P0(t^4) + t P1(t^4) + t^2 (P2(t^4) + t P3(t^4)), t = x^2 * slope - 1, absolute error 4.6e-08 */
#define ERF_POLYNOMIAL_0(FIRST, NEXT) \
    FIRST(0x1.006fe60000000p-9f) \
    NEXT(0x1.e6fb4a0000000p-6f) \
    NEXT(0x1.7316d80000000p-4f) \
    NEXT(0x1.7164fe0000000p-2f)

/* P1 */
#define ERF_POLYNOMIAL_1(FIRST, NEXT) \
    FIRST(-0x1.73c64a0000000p-10f) \
    NEXT(-0x1.47bf180000000p-6f) \
    NEXT(-0x1.2f2ec80000000p-4f) \
    NEXT(-0x1.70dcca0000000p-3f)

/* P2 */
#define ERF_POLYNOMIAL_2(FIRST, NEXT) \
    FIRST(0x1.118c1c0000000p-9f) \
    NEXT(0x1.d032f20000000p-7f) \
    NEXT(0x1.de51ca0000000p-5f) \
    NEXT(0x1.129ae60000000p-3f)

/* P3 */
#define ERF_POLYNOMIAL_3(FIRST, NEXT) \
    FIRST(-0x1.b5ff6e0000000p-11f) \
    NEXT(-0x1.f4815e0000000p-8f) \
    NEXT(-0x1.63d5200000000p-5f) \
    NEXT(-0x1.bf32d40000000p-4f)

/* N of tanh(x) = x (N(x^2) / D(x^2)), relative error 9.1e-09 */
#define TANH_NUMERATOR(FIRST, NEXT) \
    FIRST(-0x1.ad5fd80000000p-37f) \
    NEXT(0x1.06b9840000000p-25f) \
    NEXT(0x1.d5e3740000000p-16f) \
    NEXT(0x1.fb07ae0000000p-9f) \
    NEXT(0x1.182a2c0000000p-3f) \
    NEXT(0x1.0000000000000p+0f)

/* D */
#define TANH_DENOMINATOR(FIRST, NEXT) \
    FIRST(0x1.5993800000000p-20f) \
    NEXT(0x1.9cff040000000p-12f) \
    NEXT(0x1.be65660000000p-6f) \
    NEXT(0x1.e16a6a0000000p-2f) \
    NEXT(0x1.0000000000000p+0f)

#endif

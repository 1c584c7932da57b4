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
#define ERF_LIMIT (0x1.e000000000000p+1f)  /* from here on erf is +-1 */
#define ERF_SLOPE (0x1.2345680000000p-3f)  /* t = x^2 * slope - centre */
#define ERF_CENTRE (0x1.19999a0000000p+0f)  /* t = x^2 * slope - centre */
#define ERF_CONSTANT (0x1.702c100000000p-2f)  /* c of P, see ERF_POLYNOMIAL_0 */

/* q of exp(r) = 1 + (r + r^2 q(r)), |r| <= ln(2)/2, relative error 5.2e-09 */
#define EXP_POLYNOMIAL(FIRST, NEXT) \
    FIRST(0x1.6db42a0000000p-10f) \
    NEXT(0x1.123b560000000p-7f) \
    NEXT(0x1.55545e0000000p-5f) \
    NEXT(0x1.55548e0000000p-3f) \
    NEXT(0x1.0000000000000p-1f)

/* P0 of erf(x) = x P(t), P(t) = c + t (P0(t^4) + t P1(t^4) + t^2 (P2(t^4) + t P3(t^4))), absolute error 5.5e-08 */
#define ERF_POLYNOMIAL_0(FIRST, NEXT) \
    FIRST(-0x1.17966e0000000p-11f) \
    NEXT(-0x1.1c98640000000p-7f) \
    NEXT(-0x1.792c400000000p-5f) \
    NEXT(-0x1.4e3e0a0000000p-3f)

/* P1 */
#define ERF_POLYNOMIAL_1(FIRST, NEXT) \
    FIRST(0x1.27a5460000000p-18f) \
    NEXT(0x1.3291b60000000p-8f) \
    NEXT(0x1.0e44d20000000p-5f) \
    NEXT(0x1.c48d9e0000000p-4f)

/* P2 */
#define ERF_POLYNOMIAL_2(FIRST, NEXT) \
    FIRST(-0x1.6aa0cc0000000p-13f) \
    NEXT(-0x1.5b90b60000000p-9f) \
    NEXT(-0x1.707aee0000000p-6f) \
    NEXT(-0x1.4f45200000000p-4f)

/* P3 */
#define ERF_POLYNOMIAL_3(FIRST, NEXT) \
    FIRST(0x1.1ebf3e0000000p-13f) \
    NEXT(0x1.adcf0e0000000p-10f) \
    NEXT(0x1.dc21340000000p-7f) \
    NEXT(0x1.fac66e0000000p-5f)

#endif

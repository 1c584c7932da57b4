#!/usr/bin/env python3
"""Fits the polynomials of Sources/CShrinkKernels/polynomials.h and prints that file.

    python3 Tools/fit-polynomials.py > Sources/CShrinkKernels/polynomials.h

Weighted minimax fits by Lawson's iteration (least squares whose weights follow the error), in a
Chebyshev basis; the rational one is linearised around its last denominator. The printed errors are
those of the coefficients as rounded to binary32, evaluated in binary64.
Needs numpy==2.* and scipy==1.*.
"""
import numpy as np
from numpy.polynomial import chebyshev, polynomial
from scipy.special import erf


def lawson(columns, target, weight, iterations=400):
    """Coefficients c that make max |weight * (columns @ c - target)| small."""
    importance = np.ones(len(target))
    best, best_error = None, np.inf
    for _ in range(iterations):
        row = weight * np.sqrt(importance)
        c = np.linalg.lstsq(columns * row[:, None], target * row, rcond=None)[0]
        error = np.abs(weight * (columns @ c - target))
        if error.max() < best_error:
            best, best_error = c, error.max()
        importance *= error / error.max() + 1e-3
        importance /= importance.sum()
    return best


def nodes(low, high, count=4000):
    unit = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return unit, (low + high) / 2 + (high - low) / 2 * unit


def fit_polynomial(function, weight, low, high, degree):
    """Monomial coefficients in t, where t in [-1, 1] stands for [low, high]."""
    unit, x = nodes(low, high)
    c = lawson(chebyshev.chebvander(unit, degree), function(x), weight(x))
    return chebyshev.cheb2poly(c)


def show(name, coefficients, comment):
    print(f"\n/* {comment} */")
    print(f"#define {name}(FIRST, NEXT) \\")
    lines = [f"    {'NEXT' if i else 'FIRST'}({float(np.float32(c)).hex()}f)" for i, c in enumerate(coefficients[::-1])]
    print(" \\\n".join(lines))


def constant(name, value, comment):
    print(f"#define {name} ({float(np.float32(value)).hex()}f)  /* {comment} */")


def rounded(c):
    return np.float32(c).astype(np.float64)


# exp(r) = 1 + r + r^2 q(r) for |r| <= ln(2)/2, relative error.
bound = np.log(2) / 2 * 1.0001
q = fit_polynomial(lambda r: np.where(abs(r) < 1e-3, 0.5 + r / 6 + r * r / 24 + r**3 / 120,
                                      (np.expm1(r) - r) / np.where(r == 0, 1, r) ** 2),
                   lambda r: r * r, -bound, bound, 4)
q = q / bound ** np.arange(len(q))
r = np.linspace(-bound, bound, 20001)
exp_error = np.max(np.abs((1 + r + r * r * polynomial.polyval(r, rounded(q))) / np.exp(r) - 1))

# erf(x) = x P(t), t = x^2 * slope - centre, for |x| < limit; +-1 outside. Absolute error. The centre lies
# past the middle because an error of P counts x times.
erf_limit = 3.75
erf_slope = np.float64(np.float32(2 / erf_limit**2))
erf_centre = np.float64(np.float32(1.1))


def erf_ratio(t):
    root = np.sqrt(np.maximum((t + erf_centre) / erf_slope, 1e-12))
    return erf(root) / root


p = fit_polynomial(erf_ratio, lambda t: np.sqrt(np.maximum((t + erf_centre) / erf_slope, 0)) + 0.3,
                   -erf_centre, erf_limit**2 * erf_slope - erf_centre, 16)
middle, radius = erf_limit**2 * erf_slope / 2 - erf_centre, erf_limit**2 * erf_slope / 2
p = polynomial.Polynomial(p)(polynomial.Polynomial([-middle / radius, 1 / radius])).coef
x = np.linspace(-erf_limit, erf_limit, 200001)
erf_error = np.max(np.abs(x * polynomial.polyval(x * x * erf_slope - erf_centre, rounded(p)) - erf(x)))

print("/* Printed by Tools/fit-polynomials.py: change that, not this.\n"
      " * Each list holds the coefficients for Horner's rule, the one of the highest power first. */")
print("#ifndef SHRINK_POLYNOMIALS_H\n#define SHRINK_POLYNOMIALS_H\n")
constant("EXP_LOWEST", -126 * np.log(2) + 4e-6, "below: 0, so that no result is subnormal")
constant("EXP_HIGHEST", 88.3, "above: infinity")
constant("EXP_LOG2E", 1 / np.log(2), "log2(e)")
constant("EXP_LN2_HIGH", 0.693359375, "ln 2 in 9 bits: exact times an integer below 2^15")
constant("EXP_LN2_LOW", np.log(2) - 0.693359375, "the rest of ln 2")
constant("ROUND_MAGIC", 12582912.0, "1.5 * 2^23: v + magic - magic rounds |v| < 2^22 to nearest even")
constant("ERF_LIMIT", erf_limit, "from here on erf is +-1")
constant("ERF_SLOPE", erf_slope, "t = x^2 * slope - centre")
constant("ERF_CENTRE", erf_centre, "t = x^2 * slope - centre")
constant("ERF_CONSTANT", p[0], "c of P, see ERF_POLYNOMIAL_0")
show("EXP_POLYNOMIAL", q, f"q of exp(r) = 1 + (r + r^2 q(r)), |r| <= ln(2)/2, relative error {exp_error:.1e}")
for part in range(4):
    show(f"ERF_POLYNOMIAL_{part}", p[1 + part::4],
         f"P0 of erf(x) = x P(t), P(t) = c + t (P0(t^4) + t P1(t^4) + t^2 (P2(t^4) + t P3(t^4))), "
         f"absolute error {erf_error:.1e}" if part == 0 else f"P{part}")
print("\n#endif")

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

# erf(x) = x P(t), t = x^2 * (2 / limit^2) - 1, for |x| < limit; +-1 outside. Absolute error.
erf_limit = np.float64(np.float32(3.92))
square = erf_limit**2


def erf_ratio(u):
    root = np.sqrt(np.maximum(u, 1e-12))
    return erf(root) / root


p = fit_polynomial(erf_ratio, lambda u: np.sqrt(u) + 0.5, 0, square, 15)
x = np.linspace(-erf_limit, erf_limit, 200001)
slope = np.float64(np.float32(2 / square))
erf_error = np.max(np.abs(x * polynomial.polyval(x * x * slope - 1, rounded(p)) - erf(x)))

# tanh(x) = x N(x^2) / D(x^2) for |x| < limit; +-1 outside. Relative error.
tanh_limit = np.float64(np.float32(9.02))
unit, x = nodes(0, tanh_limit)
x = tanh_limit * ((unit + 1) / 2) ** 1.5 + 1e-4
ratio = np.tanh(x) / x
degree_n, degree_d = 5, 4
u = (x / tanh_limit) ** 2
denominator = np.ones_like(x)
for _ in range(30):
    columns = np.hstack([u[:, None] ** np.arange(degree_n + 1),
                         -ratio[:, None] * u[:, None] ** np.arange(1, degree_d + 1)])
    c = lawson(columns, ratio, 1 / np.abs(denominator) / ratio, 60)
    n, d = c[:degree_n + 1], np.concatenate([[1], c[degree_n + 1:]])
    denominator = polynomial.polyval(u, d)
n = n / tanh_limit ** (2 * np.arange(len(n)))
d = d / tanh_limit ** (2 * np.arange(len(d)))
x = np.linspace(1e-6, tanh_limit, 200001)
tanh_error = np.max(np.abs(x * polynomial.polyval(x * x, rounded(n)) / polynomial.polyval(x * x, rounded(d)) / np.tanh(x) - 1))

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
constant("ERF_SLOPE", slope, "2 / limit^2")
constant("TANH_LIMIT", tanh_limit, "from here on tanh is +-1")
show("EXP_POLYNOMIAL", q, f"q of exp(r) = 1 + (r + r^2 q(r)), |r| <= ln(2)/2, relative error {exp_error:.1e}")
for part in range(4):
    show(f"ERF_POLYNOMIAL_{part}", p[part::4],
         f"P{part} of erf(x) = x P(t), P(t) = P0(t^4) + t P1(t^4) + t^2 (P2(t^4) + t P3(t^4)), t = x^2 * slope - 1, "
         f"absolute error {erf_error:.1e}" if part == 0 else f"P{part}")
show("TANH_NUMERATOR", n, f"N of tanh(x) = x (N(x^2) / D(x^2)), relative error {tanh_error:.1e}")
show("TANH_DENOMINATOR", d, "D")
print("\n#endif")

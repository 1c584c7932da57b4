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
from scipy.special import erfc


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
    print(f"#define {name}(FIRST, PAIR) \\")
    c = [f"{float(np.float32(c)).hex()}f" for c in coefficients[::-1]]
    odd = len(c) % 2
    lines = [f"    FIRST({c[0]})" if odd else f"    FIRST({c[0]} * r + {c[1]})"]
    lines += [f"    PAIR({c[i]}, {c[i + 1]})" for i in range(2 - odd, len(c), 2)]
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

# 2^r = 1 + r q(r) for |r| <= 1/2, relative error.
q2 = fit_polynomial(lambda r: np.expm1(r * np.log(2)) / np.where(r == 0, 1, r) + np.where(r == 0, np.log(2), 0),
                    lambda r: np.abs(r) / np.exp2(r), -0.5, 0.5, 4)
q2 = q2 * 2.0 ** np.arange(len(q2))
r = np.linspace(-0.5, 0.5, 20001)
exp2_error = np.max(np.abs((1 + r * polynomial.polyval(r, rounded(q2))) / np.exp2(r) - 1))

# gelu(x) = max(x, 0) - a h(a)^8, a = |x| < limit, where h is the eighth root of the normal distribution at -a, which is
# nearly a straight line there. The error of gelu, evaluated in binary32, in parts of the larger of |x| and 1.
gelu_limit = 5.5


def normal_root(a):
    return (erfc(a / np.sqrt(2)) / 2) ** 0.125


g = fit_polynomial(normal_root, lambda a: np.maximum(a, 0.7) * 8 * normal_root(a) ** 7, 0, gelu_limit, 7)
g = polynomial.Polynomial(g)(polynomial.Polynomial([-1, 2 / gelu_limit])).coef
x = np.linspace(-8, 8, 400001).astype(np.float32)
a = np.abs(x)
c = np.float32(g[::-1])
h = c[0] * a + c[1]
for i in range(2, len(c), 2):
    h = h * (a * a) + (c[i] * a + c[i + 1])
for _ in range(3):
    h = h * h
y = np.where(x < 0, np.float32(0), x) - np.where(a < gelu_limit, a * h, np.float32(0))
exact = np.maximum(x, 0).astype(np.float64) - a * normal_root(a.astype(np.float64)) ** 8
gelu_error = np.max(np.abs(y - exact) / np.maximum(a, 1))

print("/* Printed by Tools/fit-polynomials.py: change that, not this.\n"
      " * Each list holds the coefficients of powers of r, the highest first, two at a time: by FIRST a value is started, by\n"
      " * PAIR(b, c) it is multiplied by r^2 and b * r + c is added. The chain of sums is half as long as by Horner's rule. */")
print("#ifndef SHRINK_POLYNOMIALS_H\n#define SHRINK_POLYNOMIALS_H\n")
constant("EXP_LOWEST", -126 * np.log(2) + 4e-6, "below: 0, so that no result is subnormal")
constant("EXP_HIGHEST", 88.3, "above: infinity")
constant("EXP_LOG2E", 1 / np.log(2), "log2(e)")
constant("EXP_LN2_HIGH", 0.693359375, "ln 2 in 9 bits: exact times an integer below 2^15")
constant("EXP_LN2_LOW", np.log(2) - 0.693359375, "the rest of ln 2")
constant("ROUND_MAGIC", 12582912.0, "1.5 * 2^23: v + magic - magic rounds |v| < 2^22 to nearest even")
constant("GELU_LIMIT", gelu_limit, "from here on gelu is x or 0")
show("EXP_POLYNOMIAL", q, f"q of exp(r) = 1 + (r + r^2 q(r)), |r| <= ln(2)/2, relative error {exp_error:.1e}")
show("EXP2_POLYNOMIAL", q2, f"q of 2^r = 1 + r q(r), |r| <= 1/2, relative error {exp2_error:.1e}")
show("GELU_POLYNOMIAL", g, f"h of gelu(x) = max(x, 0) - |x| h(|x|)^8, error in parts of max(|x|, 1) {gelu_error:.1e}")
print("\n#endif")

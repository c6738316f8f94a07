"""exp, log, the logistic function and the normal quantile from +, −, ×, ÷, √ and powers of two.

IEEE 754 fixes the result of those operations to the last bit, and of nothing else: library
versions of exp differ between machines, and between vector widths of one machine, so they would
make episodes differ too. Errors stay within a few units in the last place.

Each function has up to three forms: `exp` for arrays, `exp_of` for one number inside compiled
loops, and `exps` in place for one row inside compiled loops.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Floats
from .compiled import compiled

LN2 = 0.6931471805599453
LN2_HIGH = 6.93147180369123816490e-01
LN2_LOW = 1.90821492927058770002e-10
INVERSE_LN2 = 1.44269504088896338700e00
ROOT_HALF = 0.70710678118654752440
MANTISSA, HALF_BITS = 0xFFFFFFFFFFFFF, 0x3FE0000000000000
POWERS = np.ldexp(1.0, np.arange(-1022, 1024))
"""2^k for every normal exponent k, so that scaling is a product."""

CENTER = (
    (3.3871328727963666080e0, 1.0),
    (1.3314166789178437745e2, 4.2313330701600911252e1),
    (1.9715909503065514427e3, 6.8718700749205790830e2),
    (1.3731693765509461125e4, 5.3941960214247511077e3),
    (4.5921953931549871457e4, 2.1213794301586595867e4),
    (6.7265770927008700853e4, 3.9307895800092710610e4),
    (3.3430575583588128105e4, 2.8729085735721942674e4),
    (2.5090809287301226727e3, 5.2264952788528545610e3),
)
NEAR_TAIL = (
    (1.42343711074968357734e0, 1.0),
    (4.63033784615654529590e0, 2.05319162663775882187e0),
    (5.76949722146069140550e0, 1.67638483018380384940e0),
    (3.64784832476320460504e0, 6.89767334985100004550e-1),
    (1.27045825245236838258e0, 1.48103976427480074590e-1),
    (2.41780725177450611770e-1, 1.51986665636164571966e-2),
    (2.27238449892691845833e-2, 5.47593808499534494600e-4),
    (7.74545014278341407640e-4, 1.05075007164441684324e-9),
)
FAR_TAIL = (
    (6.65790464350110377720e0, 1.0),
    (5.46378491116411436990e0, 5.99832206555887937690e-1),
    (1.78482653991729133580e0, 1.36929880922735805310e-1),
    (2.96560571828504891230e-1, 1.48753612908506148525e-2),
    (2.65321895265761230930e-2, 7.86869131145613259100e-4),
    (1.24266094738807843860e-3, 1.84631831751005468180e-5),
    (2.71155556874348757815e-5, 1.42151175831644588870e-7),
    (2.01033439929228813265e-7, 2.04426310338993978564e-15),
)


@compiled
def _exp_of_moderate(x: float) -> float:
    """e^x for x from −708 to 709."""
    k = float(np.rint(x * INVERSE_LN2))
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    r2 = r * r
    r4 = r2 * r2
    low = (1.0 + r) + r2 * (0.5 + r * (1.0 / 6.0))
    middle = (1.0 / 24.0 + r * (1.0 / 120.0)) + r2 * (1.0 / 720.0 + r * (1.0 / 5040.0))
    high = (1.0 / 40320.0 + r * (1.0 / 362880.0)) + r2 * (1.0 / 3628800.0 + r * (1.0 / 39916800.0))
    last = 1.0 / 479001600.0 + r * (1.0 / 6227020800.0)
    power: float = POWERS[int(k) + 1022]
    return (low + r4 * (middle + r4 * (high + r4 * last))) * power


@compiled
def exp_of(x: float) -> float:
    """e^x: x = k ln 2 + r with |r| ≤ ½ ln 2, and the power series of e^r to r¹³.

    0 below −708, infinity above 709.
    """
    if x != x:
        return x
    if x < -708.0:
        return 0.0
    if x > 709.0:
        return math.inf
    return _exp_of_moderate(x)


@compiled
def exps(x: Floats) -> None:
    """`exp_of` of each number in a row, in place, in a loop that vectorizes."""
    for j in range(x.size):
        moderate = -708.0 <= x[j] <= 709.0
        y = _exp_of_moderate(x[j] if moderate else 0.0)
        x[j] = y if moderate else (0.0 if x[j] < 0.0 else x[j] + math.inf)


@compiled
def _log_of_parts(m: float, e: float) -> float:
    """ln(m 2^e) for m in [√½, √2)."""
    f = (m - 1.0) / (m + 1.0)
    s = f * f
    s2 = s * s
    s4 = s2 * s2
    low = (2.0 / 3.0 + s * (2.0 / 5.0)) + s2 * (2.0 / 7.0 + s * (2.0 / 9.0))
    high = (2.0 / 11.0 + s * (2.0 / 13.0)) + s2 * (2.0 / 15.0 + s * (2.0 / 17.0))
    last = (2.0 / 19.0 + s * (2.0 / 21.0)) + s2 * (2.0 / 23.0)
    series = s * (low + s4 * (high + s4 * last))
    return (e * LN2_LOW + (2.0 * f + f * series)) + e * LN2_HIGH


@compiled
def log_of(x: float) -> float:
    """ln x: x = m 2^e with m in [√½, √2), and 2 artanh((m − 1) / (m + 1)) as a power series.

    −infinity at 0, NaN below.
    """
    if not x > 0.0:
        return -math.inf if x == 0.0 else math.nan
    if x == math.inf:
        return x
    m, e = math.frexp(x)
    if m < ROOT_HALF:
        m, e = 2.0 * m, e - 1
    return _log_of_parts(m, float(e))


@compiled
def sigmoid_of(x: float) -> float:
    """1 / (1 + e^−x)."""
    return 1.0 / (1.0 + exp_of(-x))


@compiled
def _ratio(x: float, terms: tuple[tuple[float, float], ...]) -> float:
    """Two polynomials of degree 7 in x, divided; `terms` pairs their coefficients."""
    (a0, b0), (a1, b1), (a2, b2), (a3, b3), (a4, b4), (a5, b5), (a6, b6), (a7, b7) = terms
    x2 = x * x
    x4 = x2 * x2
    above = ((a0 + x * a1) + x2 * (a2 + x * a3)) + x4 * ((a4 + x * a5) + x2 * (a6 + x * a7))
    below = ((b0 + x * b1) + x2 * (b2 + x * b3)) + x4 * ((b4 + x * b5) + x2 * (b6 + x * b7))
    return above / below


@compiled
def _central_quantile(q: float) -> float:
    """Φ⁻¹(½ + q) for |q| ≤ 0.425; anything finite beyond."""
    return q * _ratio(max(0.180625 - q * q, 0.0), CENTER)


@compiled
def _tail_quantile(p: float) -> float:
    q = p - 0.5
    tail = p if q < 0.0 else 1.0 - p
    if tail <= 0.0:
        return math.copysign(math.inf, q)
    r = math.sqrt(-log_of(tail))
    x = _ratio(r - 1.6, NEAR_TAIL) if r <= 5.0 else _ratio(r - 5.0, FAR_TAIL)
    return x if q > 0.0 else -x


@compiled
def normal_quantile_of(p: float) -> float:
    """Φ⁻¹(p) for p in (0, 1) by Wichura's rational approximations (1988, algorithm AS 241).

    Relative error about 1e-15; −infinity at 0, infinity at 1.
    """
    q = p - 0.5
    return _central_quantile(q) if abs(q) <= 0.425 else _tail_quantile(p)


@compiled
def normal_quantiles(p: Floats, near: Floats, tail: Floats, out: Floats) -> None:
    """`normal_quantile_of` of each number in a row, all in (0, 1), in loops that vectorize.

    Both the center and the near tail are computed everywhere, which is faster than branching.
    `near` and `tail`, each as long as p, are workspace.
    """
    for k in range(p.size):
        near[k] = p[k] if p[k] < 0.5 else 1.0 - p[k]
    logs(near, tail)
    for k in range(p.size):
        near[k] = math.sqrt(-near[k])
        tail[k] = _ratio(near[k] - 1.6, NEAR_TAIL)
    for k in range(p.size):
        q = p[k] - 0.5
        center = _central_quantile(q)
        x = tail[k] if q > 0.0 else -tail[k]
        out[k] = center if abs(q) <= 0.425 else x
    for k in range(p.size):
        if near[k] > 5.0:
            out[k] = _tail_quantile(p[k])


@compiled
def logs(x: Floats, exponent: Floats) -> None:
    """`log_of` of each number in a row, in place; all normal and positive.

    `exponent`, as long as x, is workspace.
    """
    bits = x.view(np.int64)
    for j in range(x.size):
        exponent[j] = float((bits[j] >> 52) - 1022)
        bits[j] = (bits[j] & MANTISSA) | HALF_BITS
    for j in range(x.size):
        low = x[j] < ROOT_HALF
        m = 2.0 * x[j] if low else x[j]
        x[j] = _log_of_parts(m, exponent[j] - (1.0 if low else 0.0))


@compiled
def _exp(x: Floats, out: Floats) -> None:
    for k in range(x.size):
        out[k] = exp_of(x[k])


@compiled
def _log(x: Floats, out: Floats) -> None:
    for k in range(x.size):
        out[k] = log_of(x[k])


@compiled
def _sigmoid(x: Floats, out: Floats) -> None:
    for k in range(x.size):
        out[k] = sigmoid_of(x[k])


@compiled
def _normal_quantile(p: Floats, out: Floats) -> None:
    for k in range(p.size):
        out[k] = normal_quantile_of(p[k])


def exp(x: ArrayLike) -> Floats:
    """e^x, elementwise."""
    flat, out = _flat(x)
    _exp(flat, out)
    return out.reshape(np.shape(x))


def log(x: ArrayLike) -> Floats:
    """ln x, elementwise."""
    flat, out = _flat(x)
    _log(flat, out)
    return out.reshape(np.shape(x))


def sigmoid(x: ArrayLike) -> Floats:
    """1 / (1 + e^−x), elementwise."""
    flat, out = _flat(x)
    _sigmoid(flat, out)
    return out.reshape(np.shape(x))


def normal_quantile(p: ArrayLike) -> Floats:
    """Φ⁻¹(p), elementwise, for p in (0, 1)."""
    flat, out = _flat(p)
    _normal_quantile(flat, out)
    return out.reshape(np.shape(p))


def _flat(x: ArrayLike) -> tuple[Floats, Floats]:
    flat = np.ascontiguousarray(x, dtype=np.float64).reshape(-1)
    return flat, np.empty_like(flat)

"""exp, log, logistic and normal quantile against 50-digit arithmetic and the C library."""

import subprocess
import sys
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from tasteshift.envs.numerics import elementary

ULP = 2.0**-52


@given(st.floats(-700, 700))
def test_exp_is_within_two_units_in_the_last_place(x):
    with localcontext(prec=50):
        true = Decimal(x).exp()
        error = abs(Decimal(float(elementary.exp(x))) - true) / true
    assert error < 2 * ULP


@given(st.floats(5e-300, 1e300))
def test_log_is_within_two_units_in_the_last_place(x):
    with localcontext(prec=50):
        true = Decimal(x).ln()
        error = abs(Decimal(float(elementary.log(x))) - true)
        assert error <= 2 * Decimal(ULP) * abs(true)


@given(st.floats(1e-300, 1 - 1e-16))
def test_normal_quantile_agrees_with_scipy(p):
    assert float(elementary.normal_quantile(p)) == pytest.approx(
        float(special.ndtri(p)), rel=4e-15, abs=4e-16
    )


@given(st.floats(-700, 700))
def test_sigmoid_agrees_with_scipy(x):
    assert float(elementary.sigmoid(x)) == pytest.approx(float(special.expit(x)), rel=1e-14)


def test_limits_and_nan():
    assert elementary.exp([-800.0, 0.0, 800.0, -np.inf]).tolist() == [0.0, 1.0, np.inf, 0.0]
    assert elementary.log([0.0, 1.0, np.inf, 5e-324]).tolist() == [
        -np.inf,
        0.0,
        np.inf,
        pytest.approx(np.log(5e-324)),
    ]
    assert elementary.normal_quantile([0.0, 0.5, 1.0]).tolist() == [-np.inf, 0.0, np.inf]
    assert np.isnan([*elementary.exp([np.nan]), *elementary.log([-1.0, np.nan])]).all()


def test_shape_is_kept_and_elements_are_independent():
    x = np.linspace(-30, 30, 24).reshape(2, 3, 4)
    for function in (elementary.exp, elementary.sigmoid, lambda a: elementary.log(np.abs(a))):
        assert function(x).shape == x.shape
        assert (function(x[:, ::-1]) == function(x)[:, ::-1]).all()
        assert float(function(x[1, 2, 3])) == function(x)[1, 2, 3]


def test_interpreter_and_compiler_give_the_same_bits():
    source = (
        "import numpy as np; from tasteshift.envs.numerics import elementary;"
        "x = np.linspace(-40, 40, 333);"
        "p = 1 / (1 + np.arange(1, 400) ** 1.7);"
        "exp, log = elementary.exp(x), elementary.log(np.abs(x));"
        "parts = (exp, log, elementary.sigmoid(x), elementary.normal_quantile(p));"
        "print(np.concatenate(parts).tobytes().hex())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-P", "-c", source],
            env={**__import__("os").environ, "NUMBA_DISABLE_JIT": switch},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for switch in ("0", "1")
    }
    assert len(found) == 1


def test_row_exp_keeps_nan_and_limits():
    x = np.array([np.nan, -np.inf, -709.0, 0.0, 710.0, np.inf])
    elementary.exps(x)
    assert np.array_equal(x, [np.nan, 0.0, 0.0, 1.0, np.inf, np.inf], equal_nan=True)

"""exp, log, logistic and normal quantile against 50-digit arithmetic and the C library."""

import subprocess
import sys
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from tasteshift.envs.numerics import elementary as exact

ULP = 2.0**-52


@given(st.floats(-700, 700))
def test_exp_is_within_two_units_in_the_last_place(x):
    with localcontext(prec=50):
        true = Decimal(x).exp()
        error = abs(Decimal(float(exact.exp(x))) - true) / true
    assert error < 2 * ULP


@given(st.floats(5e-300, 1e300))
def test_log_is_within_two_units_in_the_last_place(x):
    with localcontext(prec=50):
        true = Decimal(x).ln()
        error = abs(Decimal(float(exact.log(x))) - true)
        assert error <= 2 * Decimal(ULP) * abs(true)


@given(st.floats(1e-300, 1 - 1e-16))
def test_the_normal_quantile_agrees_with_an_independent_one(p):
    assert float(exact.normal_quantile(p)) == pytest.approx(
        float(special.ndtri(p)), rel=4e-15, abs=4e-16
    )


@given(st.floats(-700, 700))
def test_the_logistic_function_is_the_logistic_function(x):
    assert float(exact.sigmoid(x)) == pytest.approx(float(special.expit(x)), rel=1e-14)


def test_the_ends_of_the_range():
    assert exact.exp([-800.0, 0.0, 800.0, -np.inf]).tolist() == [0.0, 1.0, np.inf, 0.0]
    assert exact.log([0.0, 1.0, np.inf, 5e-324]).tolist() == [
        -np.inf,
        0.0,
        np.inf,
        pytest.approx(np.log(5e-324)),
    ]
    assert exact.normal_quantile([0.0, 0.5, 1.0]).tolist() == [-np.inf, 0.0, np.inf]
    assert np.isnan([*exact.exp([np.nan]), *exact.log([-1.0, np.nan])]).all()


def test_shapes_are_kept_and_the_order_of_elements_does_not_matter():
    x = np.linspace(-30, 30, 24).reshape(2, 3, 4)
    for function in (exact.exp, exact.sigmoid, lambda a: exact.log(np.abs(a))):
        assert function(x).shape == x.shape
        assert (function(x[:, ::-1]) == function(x)[:, ::-1]).all()
        assert float(function(x[1, 2, 3])) == function(x)[1, 2, 3]


def test_the_interpreter_gives_the_same_bits_as_the_compiler():
    source = (
        "import numpy as np; from tasteshift.envs import exact;"
        "x = np.linspace(-40, 40, 333);"
        "p = 1 / (1 + np.arange(1, 400) ** 1.7);"
        "parts = (exact.exp(x), exact.log(np.abs(x)), exact.sigmoid(x), exact.normal_quantile(p));"
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


def test_many_exponentials_at_once_keep_nan_and_both_ends():
    x = np.array([np.nan, -np.inf, -709.0, 0.0, 710.0, np.inf])
    exact.exps(x)
    assert np.array_equal(x, [np.nan, 0.0, 0.0, 1.0, np.inf, np.inf], equal_nan=True)

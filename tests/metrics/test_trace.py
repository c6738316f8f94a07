"""Incomplete tables are refused."""

import pytest

from tasteshift.errors import InputError


def test_tables_with_missing_columns_or_numbers_are_refused(steps, traced):
    with pytest.raises(InputError, match="steps have no column expected, best"):
        traced(steps({}).drop(columns=["expected", "best"]))
    with pytest.raises(InputError, match="steps lack numbers in column reward"):
        traced(steps({"reward": float("nan")}))

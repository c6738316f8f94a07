"""Tables that no run recorded are refused."""

import pytest

from tasteshift.errors import InputError


def test_foreign_tables_are_refused_in_one_line(steps, traced):
    with pytest.raises(InputError, match="steps have no column expected, best"):
        traced(steps({}).drop(columns=["expected", "best"]))
    with pytest.raises(InputError, match="steps lack numbers in column reward"):
        traced(steps({"reward": float("nan")}))

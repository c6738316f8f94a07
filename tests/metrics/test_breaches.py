"""Maturity breaches and constraint violations by hand."""

import pytest

from tasteshift.metrics import METRICS


def test_maturity_breaches_by_hand_count_minors_only(steps, traced):
    table = steps(
        {"age_group": "child", "slate": [1, 2, 3], "breaches": 2},
        {"age_group": "teen", "user": 1, "slate": [4, 5], "breaches": 0},
        {"age_group": "teen", "user": 1, "slate": [], "turn": 1},
        {"age_group": "adult", "user": 2, "slate": [1, 2], "breaches": 2},
        {"age_group": "child", "policy": "random", "slate": [7], "breaches": 1},
    )
    found = METRICS.get("maturity_breaches").estimate(traced(table))
    assert found.value == pytest.approx(1000 * 2 / 5)
    assert found.n == 2


def test_maturity_breaches_need_minors_to_whom_something_was_shown(steps, traced, value):
    assert value("maturity_breaches", traced(steps({}))) is None
    nothing = steps({"age_group": "teen", "slate": []})
    assert value("maturity_breaches", traced(nothing)) is None


def test_constraint_violations_by_hand_count_all_users(steps, traced, value):
    table = steps(
        {"slate": [1, 2, 3], "violations": 2},
        {"age_group": "teen", "user": 1, "slate": [4], "violations": 0},
        {"policy": "oracle", "slate": [7], "violations": 1},
    )
    assert value("constraint_violations", traced(table)) == 1000 * 2 / 4

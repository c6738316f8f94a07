"""Preference fidelity by hand, and Spearman's correlation against SciPy."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from tasteshift.errors import InputError
from tasteshift.metrics import METRICS
from tasteshift.metrics.fidelity import spearman


def test_revealed_fidelity_by_hand(steps, traced):
    table = steps(
        # shown 2, 1, 0 times against liking 3 > 2 > 1: in the same order
        {"topics": [0, 1], "liking": [3.0, 2.0, 1.0]},
        {"turn": 1, "topics": [0, -1]},
        # shown 1, 0, 1 times against liking 1 < 2 < 3: ranks 2.5, 1, 2.5 with 1, 2, 3
        {"session": 1, "topics": [0, 2], "liking": [1.0, 2.0, 3.0]},
        # evenly shown, nothing shown, a gift session: none of them counts
        {"session": 2, "topics": [0, 1, 2], "liking": [1.0, 2.0, 3.0]},
        {"session": 3, "topics": [], "liking": [1.0, 2.0, 3.0]},
        {"session": 4, "topics": [0], "liking": [1.0, 2.0, 3.0], "gift": True},
        # shown 0, 0, 1 times against liking 3 > 2 > 1
        {"user": 1, "topics": [2], "liking": [3.0, 2.0, 1.0]},
        {"user": 2, "topics": [2], "liking": [3.0, 2.0, 1.0], "policy": "oracle"},
    )
    found = METRICS.get("revealed_fidelity").estimate(traced(table))
    assert found.value == pytest.approx((1.0 + 0.0 - np.sqrt(0.75)) / 3)
    assert found.n == 2


def test_stated_fidelity_by_hand_takes_the_last_profile_of_a_session(steps, traced, value):
    table = steps(
        {"liking": [1.0, 2.0, 3.0], "profile": [0.9, 0.5, 0.1]},
        {"turn": 1, "profile": [0.1, 0.2, 0.9]},
        {"turn": 2},
        {"session": 1, "liking": [1.0, 2.0, 3.0], "profile": [9.0, 5.0, 2.0]},
        {"session": 2, "liking": [1.0, 2.0, 3.0]},
        {"session": 3, "liking": [1.0, 2.0, 3.0], "profile": [1.0, 0.0, 0.0], "gift": True},
    )
    assert value("stated_fidelity", traced(table)) == pytest.approx((1.0 - 1.0) / 2)
    assert value("stated_fidelity", traced(table[:3])) == pytest.approx(1.0)
    assert value("stated_fidelity", traced(table[4:])) is None


def test_no_fidelity_without_recorded_liking(steps, traced, value):
    for name in ("revealed_fidelity", "stated_fidelity"):
        assert value(name, traced(steps({"profile": [1.0, 2.0]}))) is None


def test_ragged_columns_are_refused(steps, traced, value):
    liking = [1.0, 2.0]
    with pytest.raises(InputError, match="rows of 1 and of 2 topics"):
        value("revealed_fidelity", traced(steps({"liking": liking}, {"user": 1, "liking": [1.0]})))
    with pytest.raises(InputError, match="topic 7 of 2"):
        value("revealed_fidelity", traced(steps({"liking": liking, "topics": [7]})))
    with pytest.raises(InputError, match="3 topics of 2"):
        value("stated_fidelity", traced(steps({"liking": liking, "profile": [1.0, 2.0, 3.0]})))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 9).flatmap(
        lambda topics: st.lists(
            st.tuples(*[st.lists(st.integers(0, 4), min_size=topics, max_size=topics)] * 2),
            min_size=1,
            max_size=6,
        )
    )
)
def test_spearman_agrees_with_scipy_in_the_presence_of_ties(pairs):
    x, y = (np.array(side) for side in zip(*pairs, strict=True))
    found = spearman(x, y)
    for row in range(len(x)):
        if np.ptp(x[row]) and np.ptp(y[row]):
            assert found[row] == pytest.approx(spearmanr(x[row], y[row]).statistic)
        else:
            assert np.isnan(found[row])


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(5)), st.sampled_from([np.exp, np.cbrt, lambda x: 3 * x - 1]))
def test_only_the_order_of_liking_matters(steps, traced, value, liking, increasing):
    table = steps({"topics": [0, 0, 0, 1, 1, 3], "liking": [float(x) for x in liking]})
    other = table.assign(liking=[increasing(np.array(liking, dtype=float)).tolist()])
    opposite = table.assign(liking=[[-float(x) for x in liking]])
    found = value("revealed_fidelity", traced(table))
    assert -1 <= found <= 1
    assert value("revealed_fidelity", traced(other)) == pytest.approx(found)
    assert value("revealed_fidelity", traced(opposite)) == pytest.approx(-found)


def test_lists_and_arrays_give_the_same_value(steps, traced, value):
    rows = [{"user": u, "topics": [u % 3, 1], "liking": [0.1, 0.3, 0.2]} for u in range(6)]
    lists = steps(*rows, profile=[3.0, 1.0, 2.0])
    arrays = lists.assign(
        **{name: [np.array(row) for row in lists[name]] for name in ("topics", "liking", "profile")}
    )
    for name in ("revealed_fidelity", "stated_fidelity"):
        assert value(name, traced(lists)) == value(name, traced(pd.DataFrame(arrays)))

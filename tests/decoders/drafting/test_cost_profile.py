"""Cost profiles: interpolation by hand, and unusable tables."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.drafting.cost_profile import CostProfile
from tasteshift.decoders.drafting.stored_profiles import STORED, chosen_profile, default_profile
from tasteshift.errors import InputError

TABLE = CostProfile(rows=(1, 4, 8), target=(10.0, 16.0, 12.0), draft=(1.0, 1.0, 3.0))


def test_costs_are_interpolated_and_never_fall() -> None:
    # by hand: 10 + 2 a row up to 4 rows; then the measured cost falls, which is ignored
    assert TABLE.of_target(8) == [0.0, 10.0, 12.0, 14.0, 16.0, 16.0, 16.0, 16.0, 16.0]
    # three texts that read as much each: every third of 0 … 9 rows
    assert TABLE.of_target(3, texts=3) == [0.0, 14.0, 16.0, 16.0]
    # in steps 3 rows cost what 4 do, 5 to 7 what 8 do, 9 what 16 do; of three texts, four are read
    stepped = dataclasses.replace(TABLE, steps=True)
    assert stepped.of_draft(9) == [0.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 7.0]
    assert stepped.of_draft(3, texts=3) == [0.0, 1.0, 3.0, 7.0]
    # beyond the last size its slope goes on: 0.5 a row
    assert TABLE.of_draft(10) == [0.0, 1.0, 1.0, 1.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]


@given(
    st.sets(st.integers(2, 60), min_size=1, max_size=5),
    st.lists(st.floats(0.01, 100), min_size=12, max_size=12),
)
def test_rising_costs_are_met_exactly(sizes, costs) -> None:
    rows = (1, *sorted(sizes))
    target = tuple(sorted(costs[: len(rows)]))
    profile = CostProfile(rows=rows, target=target, draft=tuple(costs[-len(rows) :]))
    filled = profile.of_target(70)
    assert filled == sorted(filled)
    for count, cost in zip(rows, target, strict=True):
        assert filled[count] == pytest.approx(cost)


def test_a_profile_survives_json() -> None:
    config = json.loads(json.dumps(TABLE.config()))
    assert CostProfile(**config) == TABLE
    assert hash(CostProfile(**config)) == hash(TABLE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": (2, 4, 8)},
        {"rows": (1, 8, 4)},
        {"rows": (1, 4, 4)},
        {"rows": (1,), "target": (1.0,), "draft": (1.0,)},
        {"target": (1.0, 2.0)},
        {"draft": (1.0, 0.0, 2.0)},
        {"target": (1.0, float("inf"), 2.0)},
        {"target": (1.0, float("nan"), 2.0)},
        {"trust": 1.0},
    ],
)
def test_unusable_tables_are_refused(wrong) -> None:
    with pytest.raises(InputError, match="profile"):
        dataclasses.replace(TABLE, **wrong)


def test_the_option_may_be_a_profile_a_mapping_or_none(pair) -> None:
    assert chosen_profile(TABLE, pair) is TABLE
    assert chosen_profile(TABLE.config(), pair) == TABLE
    assert chosen_profile(None, pair) == default_profile(pair)
    with pytest.raises(InputError, match="rows, target and draft"):
        chosen_profile({"rows": (1, 2)}, pair)


def test_unknown_pairs_get_an_estimate_from_their_sizes(llama) -> None:
    deep, flat = llama(1, layers=4), llama(2, layers=1)
    profile = default_profile(ModelPair(deep, flat, None, "unknown"))
    assert profile == default_profile(ModelPair(llama(5, layers=4), llama(6), None, "x")) or (
        profile.target == default_profile(ModelPair(llama(5, layers=4), flat, None, "x")).target
    )
    assert profile.target[0] > profile.draft[0] > 0
    stored = default_profile(ModelPair(deep, flat, None, "tiny"))
    assert stored == STORED["tiny cpu"]

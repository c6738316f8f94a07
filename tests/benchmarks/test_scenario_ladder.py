"""Every scenario tells good agents from bad ones."""

import numpy as np
import pytest

from tasteshift.benchmarks.env_speed import interleaved
from tasteshift.benchmarks.scenario_ladder import (
    LEAST_FROZEN_LOSS,
    LEAST_ROOM,
    Rungs,
    changing,
    ladder,
    rungs,
)
from tasteshift.benchmarks.tables import ladder_table, speed_table
from tasteshift.envs.simulator.scenarios import SCENARIOS

USERS = 12


@pytest.mark.parametrize("scenario", SCENARIOS.names())
def test_the_ladder_holds(scenario):
    one = rungs("movielens-100k", scenario, USERS)
    share = {name: place.value for name, place in one.share.items()}
    assert share["random"] == 0 < share["popular"] < share["frozen-oracle"] <= 1
    assert max(share["oracle"], share["oracle-plan"]) == 1
    assert share["linucb"] <= 1 - LEAST_ROOM
    if changing(scenario):
        assert share["frozen-oracle"] <= 1 - LEAST_FROZEN_LOSS
    assert one.holds
    if scenario in ("stationary", "cold-item", "cold-user", "privacy-canary", "poisoned-items"):
        assert share["frozen-oracle"] == share["oracle"]


def test_shares_are_ratios_of_sums_and_rows_are_json():
    (one,) = ladder("synthetic:60", 3, ["stationary"])
    assert isinstance(one, Rungs)
    low, high = one.reward["random"], max(one.reward["oracle"], one.reward["oracle-plan"])
    for name, place in one.share.items():
        assert place.value == pytest.approx((one.reward[name] - low) / (high - low))
        assert place.low is None  # three users
    row = one.row()
    assert row["users"] == 3
    assert row["share_of_room"]["random"]["value"] == 0
    assert ladder_table([one]).row_count == 1


def test_rates_are_medians_of_rounds_in_which_all_take_turns():
    turns = []

    def sprint(name, work):
        def run():
            turns.append(name)
            np.sort(np.arange(work)[::-1])
            return 5

        return run

    rates = interleaved({"light": sprint("light", 10), "heavy": sprint("heavy", 2_000_000)})
    assert turns[:4] == ["light", "heavy"] * 2
    assert rates["light"] > rates["heavy"]
    table = speed_table([{"what": "x", "value": 1.0, "unit": "×", "bar": None}])
    assert table.row_count == 1

"""Every scenario separates strong policies from weak ones."""

import json

import pytest
from typer.testing import CliRunner

from tasteshift.benchmarks.env_tables import difficulty_table
from tasteshift.benchmarks.scenario_difficulty import (
    MIN_FROZEN_LOSS,
    MIN_HEADROOM,
    POLICIES,
    ScenarioDifficulty,
    changing,
    difficulty_of,
    measure_difficulty,
)
from tasteshift.cli import app
from tasteshift.envs.simulator.scenarios import SCENARIOS

USERS = 12


@pytest.mark.parametrize("scenario", SCENARIOS.names())
def test_policies_are_in_order_and_far_enough_apart(scenario):
    one = difficulty_of("movielens-100k", scenario, USERS)
    share = {name: found.value for name, found in one.normalized.items()}
    assert share["random"] == 0 < share["popular"] < share["frozen-oracle"] <= 1
    assert max(share["oracle"], share["oracle-plan"]) == 1
    assert share["linucb"] <= 1 - MIN_HEADROOM
    if changing(scenario):
        assert share["frozen-oracle"] <= 1 - MIN_FROZEN_LOSS
    assert one.passes
    if scenario in ("stationary", "cold-item", "cold-user", "privacy-canary", "poisoned-items"):
        assert share["frozen-oracle"] == share["oracle"]


def test_normalized_returns_are_ratios_of_sums_and_rows_are_flat_json():
    (one,) = measure_difficulty("synthetic:60", 3, ["stationary"])
    assert isinstance(one, ScenarioDifficulty)
    low, high = one.returns["random"], max(one.returns["oracle"], one.returns["oracle-plan"])
    for name, found in one.normalized.items():
        assert found.value == pytest.approx((one.returns[name] - low) / (high - low))
        assert found.low is None  # three users
    row = one.row()
    assert (row["name"], row["users"], row["normalized_return_random"]) == ("stationary", 3, 0)
    assert row["return_oracle_plan"] == one.returns["oracle-plan"]
    assert len(row) == 3 + 4 * len(POLICIES)
    assert difficulty_table([one]).row_count == 1


def test_the_command_prints_a_list_of_flat_rows(monkeypatch):
    from tasteshift.benchmarks import scenario_difficulty

    (one,) = measure_difficulty("synthetic:60", 3, ["stationary"])
    monkeypatch.setattr(scenario_difficulty, "measure_difficulty", lambda *_, **__: iter([one]))
    printed = CliRunner().invoke(app, ["bench", "scenarios", "--json"])
    assert printed.exit_code == 0
    assert json.loads(printed.stdout) == [one.row()]
    assert CliRunner().invoke(app, ["bench", "scenarios"]).exit_code == 0

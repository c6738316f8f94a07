"""Environment benchmark: rates by hand, and the rows that the command prints."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from tasteshift.benchmarks import env_speed
from tasteshift.benchmarks.env_speed import interleaved_rates
from tasteshift.cli import app

CONTRACT = {"name", "num_envs", "num_items", "user_steps_per_s"}
RATES = {
    "tasteshift-vector": 1000.0,
    "tasteshift-vector-stationary": 2000.0,
    "tasteshift-vector-1m-items": 800.0,
    "tasteshift-single": 60.0,
    "tasteshift-single-1m-items": 50.0,
    "sardine-sync": 10.0,
}


def test_rates_are_medians_of_interleaved_rounds():
    order = []

    def rollout(name, work):
        def run():
            order.append(name)
            np.sort(np.arange(work)[::-1])
            return 5

        return run

    rates = interleaved_rates({"light": rollout("light", 10), "heavy": rollout("heavy", 2_000_000)})
    assert order[:4] == ["light", "heavy"] * 2
    assert rates["light"] > rates["heavy"]


@pytest.fixture
def measured(monkeypatch):
    """Stand-ins for all that takes time, with or without SARDINE."""

    def stand_in(sardine):
        for name in ("vector_rollout", "single_rollout", "sardine_rollout"):
            monkeypatch.setattr(env_speed, name, lambda *_: None)
        monkeypatch.setattr(env_speed, "find_spec", lambda name: True if sardine else None)
        monkeypatch.setattr(
            env_speed, "interleaved_rates", lambda kinds: {name: RATES[name] for name in kinds}
        )
        monkeypatch.setattr(env_speed, "peak_memory_gb", lambda users: 0.5)

    return stand_in


def test_the_command_prints_a_list_of_flat_rows(measured):
    measured(True)
    printed = CliRunner().invoke(app, ["bench", "envs", "--json"])
    rows = json.loads(printed.stdout)
    assert [row["name"] for row in rows] == [*RATES]
    for row in rows:
        assert row.keys() >= CONTRACT
        assert not any(isinstance(value, dict | list) for value in row.values())
        assert row["user_steps_per_s"] == RATES[row["name"]]
        assert row["speedup_sardine"] == RATES[row["name"]] / 10
    by_name = {row["name"]: row for row in rows}
    vector, many = by_name["tasteshift-vector"], by_name["tasteshift-vector-1m-items"]
    assert (vector["num_envs"], vector["num_items"], vector["memory_gb"]) == (16384, 1000, 0.5)
    assert (many["num_items"], many["slowdown_items"], many["memory_gb"]) == (10**6, 1.25, None)
    assert by_name["tasteshift-single-1m-items"]["slowdown_items"] == 1.2
    assert (by_name["tasteshift-single"]["num_envs"], vector["target"]) == (1, 700_000)
    shown = CliRunner().invoke(app, ["bench", "envs"])
    assert shown.exit_code == 0


def test_without_sardine_there_is_no_row_of_it_and_no_ratio(measured):
    measured(False)
    rows = env_speed.measure_speed()
    assert [row["name"] for row in rows] == [*RATES][:-1]
    assert {row["speedup_sardine"] for row in rows} == {None}

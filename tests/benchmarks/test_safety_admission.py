"""Scenarios about safety are worth their name, and the test that says so can fail."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from tasteshift.benchmarks.safety_admission import (
    POISONED_SCENARIOS,
    SAFETY_SCENARIOS,
    Admission,
    Poisoning,
    admission,
    poisoning,
)
from tasteshift.benchmarks.tables import admission_table, poisoning_table
from tasteshift.cli import app
from tasteshift.envs.catalogs.overlays import Overlay
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.simulator.scenarios import SCENARIOS
from tasteshift.metrics.statistics import Estimate

FILMS, USERS = "movielens-100k", 24


@pytest.fixture(scope="module")
def admitted():
    return {name: admission(FILMS, name, USERS) for name in SAFETY_SCENARIOS}


@pytest.mark.parametrize("scenario", SAFETY_SCENARIOS)
def test_every_scenario_about_rules_is_admitted(admitted, scenario):
    one = admitted[scenario]
    assert one.unconstrained.value >= 0.2
    assert one.filtered.value >= 0.5 * one.unconstrained.value
    assert one.removed.value == pytest.approx(1 - one.filtered.value / one.unconstrained.value)
    assert one.safe.value == 0
    assert 0.95 <= one.kept.value < 1
    assert one.users == one.kept.n == USERS
    assert one.kept.low < one.kept.value < one.kept.high
    assert one.passes


@pytest.mark.parametrize("scenario", POISONED_SCENARIOS)
def test_poison_works_on_those_who_believe_it(scenario):
    one = poisoning(FILMS, scenario, 3)
    assert one.believing.value >= 0.8
    assert one.counting.value == 0
    assert one.passes


def test_a_world_that_tempts_nobody_is_refused():
    adult = replace(SCENARIOS.get("stationary"), name="grown-ups", youngest=18, sessions=2)
    one = admission(FILMS, adult, 3)
    assert one.unconstrained.value == 0
    assert one.removed is None
    assert one.kept.value == 1
    assert not one.passes
    assert admission_table([one]).row_count == 1


def test_labels_that_tell_everything_are_refused():
    honest = replace(SCENARIOS.get("minor-profile"), overlay=None, age_observed=True, sessions=3)
    one = admission(FILMS, honest, 6)
    assert one.unconstrained.value > 0.2
    assert one.removed.value == 1
    assert not one.passes


def test_an_untampered_catalog_has_no_poison():
    clean = replace(
        SCENARIOS.get("poisoned-items"), overlay=Overlay("poison-popularity", 0.0), sessions=2
    )
    one = poisoning("synthetic:200", clean, 2)
    assert one.believing.value == one.counting.value == 0
    assert not one.passes


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ({}, True),
        ({"unconstrained": 0.19}, False),
        ({"removed": 0.51}, False),
        ({"safe": 0.01}, False),
        ({"kept": 0.94}, False),
    ],
)
def test_each_bound_counts(change, passes):
    values = {"unconstrained": 0.2, "filtered": 0.1, "safe": 0.0, "removed": 0.5, "kept": 0.95}
    shares = {name: Estimate(value, None, None, 9) for name, value in (values | change).items()}
    one = Admission("s", 9, **shares)
    assert one.passes == one.row()["passes"] == passes
    assert one.row()["kept"] == {"value": shares["kept"].value, "low": None, "high": None, "n": 9}


@pytest.mark.parametrize(
    ("believing", "counting", "passes"), [(0.8, 0.05, True), (0.79, 0, False), (1, 0.06, False)]
)
def test_poison_must_work_and_must_be_avoidable(believing, counting, passes):
    one = Poisoning("s", 3, *(Estimate(v, None, None, 3) for v in (believing, counting)))
    assert one.passes == one.row()["passes"] == passes
    assert poisoning_table([one]).row_count == 1


def test_shares_are_of_slates_that_break_a_rule():
    """The first eligible user's life under the oracle without rules, counted here once more."""
    spec = replace(SCENARIOS.get("constraint-change"), sessions=4, turns=2)
    found = admission("synthetic", spec, 1).unconstrained
    env = Lifelong("synthetic", spec)
    env.reset(seed=0, options={"user": env.world.sample_users(0, 1)[0]})
    every = np.ones(len(env.world.catalog), dtype=bool)
    broken, turns, over = 0, 0, False
    while not over:
        slate = env.ground_truth.best(showable=every)[0]
        broken += env.ground_truth.breaches(slate) + env.ground_truth.violations(slate) > 0
        turns += 1
        padded = np.full(5, -1)
        padded[: len(slate)] = slate
        _, _, _, over, _ = env.step({"slate": padded})
    assert found.value == broken / turns
    assert turns == 8


def test_the_command_prints_both_tables_or_one_document():
    small = ["bench", "safety", "--users", "1", "--catalog", "synthetic:200"]
    shown = CliRunner().invoke(app, small)
    assert shown.exit_code == 0
    printed = CliRunner().invoke(app, [*small, "--json"])
    document = json.loads(printed.stdout)
    assert [row["scenario"] for row in document["admission"]] == list(SAFETY_SCENARIOS)
    assert [row["scenario"] for row in document["poisoning"]] == list(POISONED_SCENARIOS)
    assert document["admission"][0]["safe"]["value"] == 0
    assert document["admission"][0]["users"] == 1

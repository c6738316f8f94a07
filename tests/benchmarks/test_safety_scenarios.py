"""Safety scenarios pass their checks, and scenarios that test nothing fail them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from tasteshift.benchmarks.env_tables import poisoning_table, rule_table
from tasteshift.benchmarks.safety_scenarios import (
    POISONED_SCENARIOS,
    RULE_SCENARIOS,
    PoisoningCheck,
    RuleCheck,
    check_poisoning,
    check_rules,
)
from tasteshift.cli import app
from tasteshift.envs.catalogs.overlays import Overlay
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.simulator.scenarios import SCENARIOS
from tasteshift.metrics.statistics import Estimate

FILMS, USERS = "movielens-100k", 24


@pytest.fixture(scope="module")
def checked():
    return {name: check_rules(FILMS, name, USERS) for name in RULE_SCENARIOS}


@pytest.mark.parametrize("scenario", RULE_SCENARIOS)
def test_scenarios_about_rules_pass(checked, scenario):
    one = checked[scenario]
    assert one.unconstrained.value >= 0.2
    assert one.filtered.value >= 0.5 * one.unconstrained.value
    assert one.removed.value == pytest.approx(1 - one.filtered.value / one.unconstrained.value)
    assert one.safe.value == 0
    assert 0.95 <= one.kept.value < 1
    assert one.users == one.kept.n == USERS
    assert one.kept.low < one.kept.value < one.kept.high
    assert one.passes


@pytest.mark.parametrize("scenario", POISONED_SCENARIOS)
def test_poisoned_catalogs_affect_charts_alone(scenario):
    one = check_poisoning(FILMS, scenario, 3)
    assert one.charts.value >= 0.8
    assert one.popular.value == 0
    assert one.passes


def test_a_scenario_whose_best_slates_break_no_rule_fails():
    adult = replace(SCENARIOS.get("stationary"), name="grown-ups", youngest=18, sessions=2)
    one = check_rules(FILMS, adult, 3)
    assert one.unconstrained.value == 0
    assert one.removed is None
    assert one.kept.value == 1
    assert not one.passes
    assert rule_table([one]).row_count == 1


def test_a_scenario_solved_by_public_labels_fails():
    honest = replace(SCENARIOS.get("minor-profile"), overlay=None, age_observed=True, sessions=3)
    one = check_rules(FILMS, honest, 6)
    assert one.unconstrained.value > 0.2
    assert one.removed.value == 1
    assert not one.passes


def test_a_catalog_without_poison_fails():
    clean = replace(
        SCENARIOS.get("poisoned-items"), overlay=Overlay("poison-popularity", 0.0), sessions=2
    )
    one = check_poisoning("synthetic:200", clean, 2)
    assert one.charts.value == one.popular.value == 0
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
    one = RuleCheck("s", 9, **shares)
    assert one.passes == one.row()["passes"] == passes
    row = one.row()
    assert (row["kept"], row["kept_low"], row["kept_high"]) == (shares["kept"].value, None, None)


@pytest.mark.parametrize(
    ("charts", "popular", "passes"), [(0.8, 0.05, True), (0.79, 0, False), (1, 0.06, False)]
)
def test_poison_must_work_and_be_avoidable(charts, popular, passes):
    one = PoisoningCheck("s", 3, *(Estimate(v, None, None, 3) for v in (charts, popular)))
    assert one.passes == one.row()["passes"] == passes
    assert poisoning_table([one]).row_count == 1


def test_shares_are_of_slates_that_break_a_rule():
    """The first eligible user's episode under the oracle without rules, counted by hand."""
    spec = replace(SCENARIOS.get("constraint-change"), sessions=4, turns=2)
    found = check_rules("synthetic", spec, 1).unconstrained
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


def test_the_command_prints_tables_or_a_list_of_flat_rows():
    small = ["bench", "safety", "--users", "1", "--catalog", "synthetic:200"]
    shown = CliRunner().invoke(app, small)
    assert shown.exit_code == 0
    printed = CliRunner().invoke(app, [*small, "--json"])
    rows = json.loads(printed.stdout)
    assert [row["name"] for row in rows] == [*RULE_SCENARIOS, *POISONED_SCENARIOS]
    assert [row["check"] for row in rows] == ["rules", "rules", "poisoned-catalog"]
    assert (rows[0]["safe"], rows[0]["users"], rows[2]["users"]) == (0, 1, 1)
    assert not any(isinstance(value, dict | list) for row in rows for value in row.values())

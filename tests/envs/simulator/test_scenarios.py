"""Scenarios: parameters in range can be simulated, all others raise one line."""

import json
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasteshift.envs.catalogs.overlays import KINDS, Overlay
from tasteshift.envs.dynamics.boredom import Boredom, pull
from tasteshift.envs.dynamics.cold import ColdItems, ColdUsers
from tasteshift.envs.dynamics.constraint import Constraint
from tasteshift.envs.dynamics.drift import Drift
from tasteshift.envs.dynamics.influence import Influence
from tasteshift.envs.dynamics.interest_evolution import InterestEvolution
from tasteshift.envs.dynamics.long_term_satisfaction import LongTermSatisfaction
from tasteshift.envs.dynamics.patience import Patience
from tasteshift.envs.dynamics.recurring import Recurring
from tasteshift.envs.dynamics.retention import Retention
from tasteshift.envs.dynamics.satiation import Satiation
from tasteshift.envs.dynamics.shift import Shift
from tasteshift.envs.dynamics.transient import Transient
from tasteshift.envs.dynamics.trust import Trust
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.simulator.scenarios import SCENARIOS, Scenario
from tasteshift.envs.vector import LifelongVector
from tasteshift.errors import InputError

SHARES, RATES, COSTS = st.floats(0, 1), st.floats(0, 10), st.floats(0, 100)
HALF_LIVES, DEGREES = st.floats(1e-3, 1e6), st.floats(0, 180)
UP_TO_ONE = st.floats(0, 1, exclude_max=True)


def dated(kind, least, **others):
    days = st.lists(st.integers(least, 40), min_size=2, max_size=2).map(sorted)
    return st.builds(
        lambda when, rest: kind(first_day=when[0], last_day=when[1], **rest),
        days,
        st.fixed_dictionaries(others),
    )


DYNAMICS = {
    "drift": st.builds(Drift, HALF_LIVES, RATES),
    "shift": dated(Shift, 1, angle_degrees=DEGREES, announced=st.booleans()),
    "recurring": st.builds(Recurring, st.integers(5, 60), st.integers(2, 5), DEGREES),
    "transient": st.builds(Transient, SHARES),
    "satiation": st.builds(Satiation, HALF_LIVES, COSTS),
    "influence": st.builds(Influence, SHARES, SHARES, SHARES),
    "constraint": dated(Constraint, 0),
    "cold_users": st.builds(ColdUsers, st.floats(0.3, 1)),
    "cold_items": dated(ColdItems, 1, share=UP_TO_ONE),
    "boredom": st.builds(
        Boredom, *3 * [st.integers(1, 6)], st.booleans(), cost=COSTS, memory=SHARES
    ),
    "interest_evolution": st.builds(InterestEvolution, SHARES, COSTS),
    "long_term_satisfaction": st.builds(LongTermSatisfaction, UP_TO_ONE, RATES, RATES),
    "overlay": st.builds(Overlay, st.sampled_from(sorted(KINDS)), SHARES, st.integers(0, 2**70)),
    "patience": st.builds(Patience, st.floats(0, 20, exclude_min=True), RATES),
    "trust": st.builds(Trust, SHARES, RATES, SHARES, RATES),
}
RETENTION = st.builds(Retention, SHARES, st.integers(1, 60), st.integers(1, 30))


@st.composite
def scenarios(draw):
    named = {}
    for name, values in DYNAMICS.items():
        if draw(st.booleans()):
            named[name] = draw(values)
    if {"patience", "trust"} <= named.keys() and draw(st.booleans()):
        named["retention"] = draw(RETENTION)
    named |= {
        name: draw(st.booleans()) for name in ("minors_only", "age_observed", "shares_private_fact")
    }
    named["youngest"] = draw(st.integers(0, 30))
    return Scenario("fuzz", "", 2, 2, draw(st.integers(1, 40)), **named)


@settings(max_examples=60, deadline=None)
@given(scenario=scenarios(), seed=st.integers(0, 2**64 - 1))
def test_any_scenario_in_range_can_be_simulated(scenario, seed):
    env = Lifelong("synthetic:30", scenario, slate_size=4)
    env.action_space.seed(seed % 2**31)
    if not len(env.world.eligible_users()):
        with pytest.raises(InputError, match="has no user"):
            env.reset(seed=seed)
        return
    observation, _ = env.reset(seed=seed)
    over = False
    while not over:
        assert env.observation_space.contains(observation)
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        over = terminated or truncated
        assert 0.0 <= reward <= 1.0
        assert not np.isnan(observation["rating"])
        state = vars(env._population).values()
        assert not any(np.isnan(column).any() for column in state if column.dtype.kind == "f")
    assert env.observation_space.contains(observation)


GOOD = [
    Drift(30, 1.2),
    Shift(90, 5, 9),
    Recurring(28, 2, 90),
    Transient(0.4),
    Satiation(14, 2.0),
    Influence(0.1, 0.005, 0.02),
    Patience(6, 1),
    Trust(0.5, 0.6, 0.25, 0.02),
    Retention(0.05, 42),
    Constraint(8, 28),
    ColdUsers(0.5),
    ColdItems(0.1, 7, 49),
    Boredom(),
    InterestEvolution(),
    LongTermSatisfaction(),
    Overlay("hide-maturity", 0.1),
    Scenario("plain", ""),
]
NUMBERS = [
    (params, field.name)
    for params in GOOD
    for field in fields(params)
    if isinstance(getattr(params, field.name), (int, float))
]
WRONG = st.one_of(
    st.floats(max_value=-1e-300),
    st.integers(max_value=-1),
    st.floats(min_value=1e71),
    st.sampled_from([np.nan, np.inf, -np.inf, None, "1", [1], 1j, np.zeros(2), np.array(-1.0)]),
)


@pytest.mark.parametrize(("params", "name"), NUMBERS)
@settings(max_examples=25, deadline=None)
@given(value=WRONG)
def test_numbers_out_of_range_raise_one_line(params, name, value):
    with pytest.raises(InputError, match=name) as caught:
        replace(params, **{name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("params", "name"), NUMBERS)
def test_bools_and_numbers_are_not_interchangeable(params, name):
    value = 1 if isinstance(getattr(params, name), bool) else True
    with pytest.raises(InputError, match=name):
        replace(params, **{name: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Shift(90, 0, 3), "first_day of Shift must be a whole number of at least 1"),
        (lambda: Shift(90, 5, 4), "last_day of Shift must be at least first_day, 5, not 4"),
        (lambda: Constraint(5, 4), "last_day of Constraint"),
        (lambda: ColdItems(0.1, 5, 4), "last_day of ColdItems"),
        (lambda: ColdItems(1.0, 5, 6), "below 1"),
        (lambda: Drift(0, 1), "half_life_days of Drift"),
        (lambda: Satiation(0, 1), "half_life_days of Satiation"),
        (lambda: Recurring(28, 1, 90), "regimes of Recurring must be a whole number of at least 2"),
        (lambda: Recurring(3, 4, 90), "period_days of Recurring must be at least regimes"),
        (lambda: Retention(0.1, 0), "horizon_days of Retention"),
        (lambda: Retention(0.1, 5, 0), "churn_days of Retention"),
        (lambda: Retention(1.5, 5), "base of Retention must be a number of at least 0 and at most"),
        (lambda: Transient(1.1), "probability of Transient"),
        (lambda: Patience(0, 1), "start of Patience must be a number above 0"),
        (lambda: LongTermSatisfaction(memory=1), "memory of LongTermSatisfaction"),
        (lambda: Overlay("hide-everything", 0.1), "is unknown; use one of"),
        (lambda: Overlay(["hide"], 0.1), "is unknown; use one of"),
        (lambda: Scenario("a", "", turns=0), "turns of Scenario must be a whole number"),
        (lambda: Scenario("a", "", gap_days=0), "gap_days of Scenario must be a whole number"),
        (lambda: Scenario("a", "", sessions=10**6, turns=10**6), "use at most"),
        (lambda: Scenario(3, ""), "name of Scenario must be str, not int"),
        (lambda: Scenario("a", "", drift=Satiation(1, 1)), "must be dynamics.drift.Drift | None"),
        (lambda: Scenario("a", "", retention=Retention(0.1, 5)), "set patience and trust"),
        (
            lambda: replace(SCENARIOS.get("retention"), patience=None),
            "set patience and trust",
        ),
    ],
)
def test_inconsistent_parameters_raise_one_line(make, message):
    with pytest.raises(InputError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numpy_numbers_become_python_numbers():
    drift = Drift(np.float32(0.5), np.int8(1))
    assert [type(number) for number in asdict(drift).values()] == [float, int]
    assert json.dumps(asdict(Drift(30, 1.2))) == '{"half_life_days": 30, "dispersion": 1.2}'
    ours = Scenario(
        "a", "", sessions=np.uint8(2), gap_days=np.int64(3), shares_private_fact=np.True_
    )
    assert json.dumps(asdict(ours)) == json.dumps(
        asdict(Scenario("a", "", sessions=2, gap_days=3, shares_private_fact=True))
    )


def test_a_scenario_without_eligible_users_raises_on_reset():
    empty = Scenario("empty", "", cold_users=ColdUsers(0.0))
    for env in (
        Lifelong("synthetic:30", empty, slate_size=3),
        LifelongVector(2, "synthetic:30", empty, slate_size=3),
    ):
        for options in (None, {"user": 0}):
            with pytest.raises(InputError, match="has no user for scenario 'empty'") as caught:
                env.reset(seed=0, options=options)
            assert "\n" not in str(caught.value)


def test_a_pull_without_a_direction_leaves_the_taste():
    taste, clicked = np.array([[0.6, 0.8]]), np.ones((1, 1), bool)
    for z in ([0.0, 0.0], [-0.6, -0.8]):
        stays = pull(Boredom(memory=0.0 if z[0] == 0 else 0.5), taste, np.array([[z]]), clicked)
        assert np.abs(stays - taste).max() < 1e-5

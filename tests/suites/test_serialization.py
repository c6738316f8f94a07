"""JSON forms of dataclasses: exact there and back, and wrong values refused by position."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.envs.catalogs.overlays import Overlay
from tasteshift.envs.dynamics.drift import Drift
from tasteshift.envs.dynamics.satiation import Satiation
from tasteshift.envs.dynamics.shift import Shift
from tasteshift.envs.simulator.scenarios import Scenario
from tasteshift.errors import InputError
from tasteshift.suites.serialization import (
    canonical_json,
    dataclass_from_dict,
    dataclass_to_dict,
)
from tasteshift.suites.suite import Suite, Task, suite_from_dict

DRIFTING = Scenario("mine", "as I like it", 7, 3, drift=Drift(30, 1.2), shift=Shift(60, 20, 30))
TASK = Task("own/task", "synthetic:30", DRIFTING, 2, 3, 4, 2, counterfactual=("shift",))
SUITE = Suite("own", 1, "of my own", (TASK, Task("own/other", "synthetic:30", "stationary", 2, 3)))


number = st.one_of(st.integers(1, 90), st.floats(1, 90))
scenarios = st.builds(
    Scenario,
    st.text(max_size=5),
    st.text(max_size=5),
    st.integers(1, 30),
    minors_only=st.booleans(),
    drift=st.none() | st.builds(Drift, number, st.floats(0, 2) | st.integers(0, 2)),
    shift=st.none() | st.builds(Shift, number, st.integers(1, 9), st.integers(9, 99)),
    satiation=st.none() | st.builds(Satiation, number, number),
    overlay=st.none() | st.builds(Overlay, st.just("poison-popularity"), st.floats(0, 1)),
)


@given(scenarios)
def test_dataclasses_survive_json_to_the_last_digit(scenario):
    text = canonical_json(dataclass_to_dict(scenario))
    again = dataclass_from_dict(Scenario, json.loads(text), "it")
    assert again == scenario
    assert canonical_json(dataclass_to_dict(again)) == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("version"), "the suite: version is missing"),
        (lambda d: d.update(sedes=2), "the suite: unknown key 'sedes'; did you mean 'seeds'"),
        (lambda d: d.update(tasks={}), "the suite: tasks must be a list, not dict"),
        (lambda d: d.update(tasks=["x"]), r"the suite: tasks\[0\] must be a mapping of fields"),
        (lambda d: d["tasks"][1].pop("users"), r"the suite: tasks\[1\]: users is missing"),
        (lambda d: d["tasks"][0].update(user=2), r"tasks\[0\]: unknown key 'user'; did you mean"),
        (lambda d: d["tasks"][0].update(users="3"), r"tasks\[0\]: users of Task must be"),
        (
            lambda d: d["tasks"][0]["scenario"]["shift"].update(angle=3),
            r"tasks\[0\].scenario.shift: unknown key 'angle'; did you mean 'angle_degrees'",
        ),
        (
            lambda d: d["tasks"][0]["scenario"]["shift"].update(last_day=3),
            r"tasks\[0\].scenario.shift: last_day of Shift must be at least first_day",
        ),
    ],
)
def test_wrong_values_are_refused_with_their_position(change, message):
    values = json.loads(json.dumps(SUITE.to_dict()))
    change(values)
    with pytest.raises(InputError, match=message) as caught:
        suite_from_dict(values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [None, [], "quick", 3])
def test_values_that_are_no_mapping_are_refused(values):
    with pytest.raises(InputError, match="manifest must be a mapping"):
        suite_from_dict(values, "manifest")

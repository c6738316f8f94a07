"""Lifelong-v0: invalid arguments, actions, seeds and users raise one line and change nothing."""

import gymnasium as gym
import numpy as np
import pytest

from tasteshift import envs as _envs
from tasteshift.envs.lifelong import Lifelong
from tasteshift.errors import InputError

assert _envs


def make(**arguments):
    return gym.make("TasteShift/Lifelong-v0", **arguments).unwrapped


def test_step_before_reset_raises():
    with pytest.raises(gym.error.ResetNeeded):
        make(catalog="synthetic:60").step({"slate": np.full(5, -1)})


@pytest.mark.parametrize(
    "action",
    [
        {"slate": np.array([1, 2])},
        {"slate": np.array([1, 2, 60])},
        {"slate": np.array([1, 2, -2])},
        {"slate": "abc"},
        {"slates": np.array([1, 2, 3])},
        None,
        3,
    ],
)
def test_actions_outside_the_space_raise_and_change_nothing(action):
    env, other = (make(catalog="synthetic:60", slate_size=3) for _ in "ab")
    for one in (env, other):
        one.reset(seed=2)
    with pytest.raises(InputError, match="not in the action space"):
        env.step(action)
    good = {"slate": np.array([1, 2, 3])}
    assert repr(env.step(good)) == repr(other.step(good))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"slate_size": 0}, "slate_size must be a whole number of at least 1"),
        ({"slate_size": 2.5}, "slate_size must be a whole number"),
        ({"slate_size": 61}, "larger than catalog 'synthetic:60' with its 60 items"),
        ({"sessions": -1}, "sessions must be a whole number"),
        ({"turns": 0}, "turns must be a whole number"),
        ({"scenario": "abrupt-shifts"}, "did you mean 'abrupt-shift'"),
    ],
)
def test_invalid_arguments_raise_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        make(**{"catalog": "synthetic:60", **arguments})
    assert "\n" not in str(caught.value)


def test_unknown_render_modes_raise():
    with pytest.raises(InputError, match="use 'ansi' or None"):
        Lifelong("synthetic:60", render_mode="human")


@pytest.mark.parametrize(
    "slate",
    [
        [1.0, 2.0, 3.0],
        ["1", "2", "3"],
        [True, False, True],
        [1, 2, 2**63],
        [1, 2, 2**70],
        [-1, 2, 2**64 - 1],
        np.array([1, 2, 2**64 - 1], dtype=np.uint64),
        [1, 2, None],
        [[1, 2, 3]],
        [1, [2, 3]],
        [],
        3,
    ],
)
def test_slates_without_integers_raise_one_line(slate):
    env = make(catalog="synthetic:60", slate_size=3)
    env.reset(seed=2)
    with pytest.raises(InputError, match="not in the action space") as caught:
        env.step({"slate": slate})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [list, np.int8, np.uint16, np.uint64])
def test_slates_of_any_integer_type_are_equal(kind):
    env, other = (make(catalog="synthetic:60", slate_size=3) for _ in "ab")
    for one in (env, other):
        one.reset(seed=2)
    shown = [5, 9, 5] if kind is list else np.array([5, 9, 5], dtype=kind)
    assert repr(env.step({"slate": shown})) == repr(other.step({"slate": np.array([5, 9, 5])}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
        ({"seed": True}, "seed must be a whole number"),
        ({"seed": 1.0}, "seed must be a whole number"),
        ({"seed": "1"}, "seed must be a whole number"),
        ({"options": {"user": 10**6}}, "is not eligible for scenario"),
        ({"options": {"user": -1}}, "is not eligible for scenario"),
        ({"options": {"user": 1.0}}, "is not a row"),
        ({"options": {"user": True}}, "is not a row"),
        ({"options": {"user": "me"}}, "is not a row"),
        ({"options": {"user": [1, [2]]}}, "is not a row"),
        ({"options": {"user": [1, 2]}}, "do not fit"),
        ({"seed": 8, "options": {"user": 10**6}}, "is not eligible for scenario"),
    ],
)
def test_a_failed_reset_changes_nothing(arguments, message):
    env, other = (make(catalog="synthetic:60", slate_size=3, render_mode="ansi") for _ in "ab")
    for one in (env, other):
        one.reset(seed=2)
        one.step({"slate": np.array([1, 2, 3])})
    with pytest.raises(InputError, match=message) as caught:
        env.reset(**arguments)
    assert "\n" not in str(caught.value)
    assert (env.seed, env.render()) == (other.seed, other.render())
    assert env.np_random.random() == other.np_random.random()
    good = {"slate": np.array([4, 5, 6])}
    assert repr(env.step(good)) == repr(other.step(good))
    assert repr(env.reset()) == repr(other.reset())
    assert env.seed == other.seed


@pytest.mark.parametrize("kind", [np.int8, np.uint64, np.int64])
def test_seeds_and_users_may_be_numpy_integers(kind):
    env = make(catalog="synthetic:60")
    assert repr(env.reset(seed=kind(7))) == repr(env.reset(seed=7))
    found = env.reset(seed=kind(7), options={"user": kind(5)})
    assert repr(found) == repr(env.reset(seed=7, options={"user": 5}))

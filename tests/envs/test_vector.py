"""The vector environment is bit-exact with the single environment."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from tasteshift import envs as _envs
from tasteshift.envs.simulator.features import item_features, update_history
from tasteshift.envs.simulator.scenarios import SCENARIOS
from tasteshift.envs.vector import LifelongVector
from tasteshift.errors import InputError

assert _envs

SMALL = {"catalog": "synthetic:60", "slate_size": 4, "sessions": 2, "turns": 3}


def vector(**arguments):
    return LifelongVector(**{**SMALL, **arguments})


def slates(steps, width, items=60, size=4):
    """Slates (steps, width, K) with empty slots and repeated items among them."""
    return np.random.default_rng(width).integers(-1, items // 3, size=(steps, width, size))


def play_single(shown, seed, scenario, **arguments):
    """Results of the single environment under next-step autoreset."""
    env = gym.make("TasteShift/Lifelong-v0", **{**SMALL, "scenario": scenario, **arguments})
    observation, info = env.unwrapped.reset(seed=seed)
    seen, over = [(observation, 0.0, False, False, info)], False
    for slate in shown:
        if over:
            observation, info = env.unwrapped.reset()
            answer = (observation, 0.0, False, False, info)
        else:
            answer = env.unwrapped.step({"slate": slate})
        over = answer[2] or answer[3]
        seen.append(answer)
    return seen


def play_vector(env, shown, seed):
    observation, info = env.reset(seed=seed)
    nothing = np.zeros(env.num_envs, bool)
    seen = [(observation, np.zeros(env.num_envs), nothing, nothing, info)]
    assert env.observation_space.contains(observation)
    for slate in shown:
        seen.append(env.step({"slate": slate}))
        assert env.observation_space.contains(seen[-1][0])
    env.close()
    return seen


def assert_equal(batched, single, column):
    for (batch, *rest), (observation, *results) in zip(batched, single, strict=True):
        for name in batch.keys() - {"features"}:
            found, value = batch[name][column], observation[name]
            assert found == value if name == "utterance" else np.array_equal(found, value), name
            assert isinstance(found, str) or found.dtype == value.dtype
        assert [part[column] for part in rest[:3]] == results[:3]
        if results[3]:
            assert rest[3]["age_group"][column] == results[3]["age_group"]
            assert rest[3].get("_age_group", np.ones(column + 1, bool))[column]
        else:
            assert not rest[3].get("_age_group", np.zeros(column + 1, bool))[column]


@pytest.mark.parametrize("scenario", SCENARIOS.names())
@pytest.mark.parametrize(("width", "threads", "batch_size"), [(1, 1, 512), (3, 2, 1), (64, 2, 20)])
def test_episodes_equal_those_of_the_single_environment(scenario, width, threads, batch_size):
    env = vector(
        num_envs=width, scenario=scenario, threads=threads, batch_size=batch_size, text=width == 3
    )
    shown = slates(15, width)
    batched = play_vector(env, shown, seed=7)
    for column in {0, width // 2, width - 1}:
        assert_equal(batched, play_single(shown[:, column], 7 + column, scenario), column)


@settings(max_examples=15, deadline=None)
@given(
    scenario=st.sampled_from(SCENARIOS.names()),
    seeds=st.lists(st.integers(0, 2**63 - 1), min_size=2, max_size=9),
    threads=st.integers(1, 3),
    batch_size=st.integers(1, 10),
    order=st.randoms(use_true_random=False),
)
def test_order_threads_and_batches_do_not_change_results(
    scenario, seeds, threads, batch_size, order
):
    width = len(seeds)
    index = order.sample(range(width), width)
    shown = slates(9, width)
    plain = play_vector(vector(num_envs=width, scenario=scenario, threads=1), shown, seeds)
    other = vector(num_envs=width, scenario=scenario, threads=threads, batch_size=batch_size)
    mixed = play_vector(other, shown[:, index], [seeds[k] for k in index])
    for (a, *first), (b, *second) in zip(plain, mixed, strict=True):
        assert all(np.array_equal(a[name][index], b[name]) for name in a)
        for expected, found in zip(first[:3], second[:3], strict=True):
            assert np.array_equal(expected[index], found)


@pytest.mark.parametrize("scenario", ["gradual-drift", "retention", "constraint-change"])
def test_episodes_of_full_length_equal_those_of_the_single_environment(scenario):
    arguments = {"sessions": None, "turns": None}
    shown = slates(60, 8)
    env = vector(num_envs=8, scenario=scenario, batch_size=3, **arguments)
    batched = play_vector(env, shown, seed=11)
    for column in (0, 7):
        assert_equal(
            batched, play_single(shown[:, column], 11 + column, scenario, **arguments), column
        )
    assert sum(int(step[2].sum() + step[3].sum()) for step in batched) >= 8


def test_make_vec_uses_the_vector_entry_point():
    env = gym.make_vec(
        "TasteShift/Lifelong-v0", num_envs=5, vectorization_mode="vector_entry_point", **SMALL
    )
    assert isinstance(env.unwrapped, LifelongVector)
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    env.reset(seed=1)
    env.action_space.seed(1)
    for _ in range(9):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        assert (reward.shape, reward.dtype) == ((5,), np.float64)
        assert terminated.dtype == truncated.dtype == bool
    env.close()


def test_results_equal_those_of_sync_vector_env():
    sync = gym.make_vec("TasteShift/Lifelong-v0", num_envs=3, vectorization_mode="sync", **SMALL)
    env = vector(num_envs=3, text=True)
    for name, space in sync.observation_space.items():
        assert env.observation_space[name] == space
    assert env.action_space == sync.action_space
    pairs = [(env.reset(seed=[4, 2, 9]), sync.reset(seed=[4, 2, 9]))]
    for slate in slates(15, 3):
        pairs.append((env.step({"slate": slate}), sync.step({"slate": slate})))
    for (observation, *rest), (expected, *results) in pairs:
        assert all(np.array_equal(observation[name], expected[name]) for name in expected)
        for a, b in zip(rest[:-1], results[:-1], strict=True):
            assert np.array_equal(a, b)
        assert set(rest[-1]) <= set(results[-1])
    sync.close()


def test_seeds_may_be_none_and_users_may_be_given():
    env = vector(num_envs=3)
    env.reset(seed=[4, 2, 9])
    again, _ = env.reset(seed=[None, 2, None])
    first, second = (play_single([], seed, "stationary")[0][0] for seed in (4, 2))
    assert again["user"][1] == second["user"]
    assert again["user"][0] != first["user"]
    observation, info = env.reset(seed=0, options={"user": [5, 0, 5]})
    assert observation["user"].tolist() == [5, 0, 5]
    assert info["age_group"].tolist() == [env.world.age_group(u) for u in (5, 0, 5)]
    assert env.reset(options={"user": 6})[0]["user"].tolist() == [6, 6, 6]
    with pytest.raises(InputError, match="is not eligible for scenario"):
        env.reset(options={"user": [0, 1, 10**6]})


@pytest.mark.parametrize(
    "action",
    [
        {"slate": np.zeros((2, 4), int)},
        {"slate": np.full((3, 4), 60)},
        {"slate": np.full((3, 4), -2)},
        {"slate": np.zeros((3, 4))},
        {"slate": np.zeros((3, 4), bool)},
        {"slate": [["1"] * 4] * 3},
        {"slate": [[1, 2, 3, 2**70]] * 3},
        {"slate": np.full((3, 4), 2**64 - 1, dtype=np.uint64)},
        {"slate": [[1, 2, 3, 4], [1], [2]]},
        {"slate": "abc"},
        {"slates": np.zeros((3, 4), int)},
        None,
    ],
)
def test_actions_outside_the_space_raise_and_change_nothing(action):
    env, other = vector(num_envs=3), vector(num_envs=3)
    for one in (env, other):
        one.reset(seed=2)
    with pytest.raises(InputError, match="not in the action space") as caught:
        env.step(action)
    assert "\n" not in str(caught.value)
    good = {"slate": slates(1, 3)[0]}
    assert repr(env.step(good)) == repr(other.step(good))


def test_returned_arrays_are_copies_of_the_state():
    env, other = vector(num_envs=3), vector(num_envs=3)
    shown = slates(8, 3)
    for one in (env, other):
        observation, _ = one.reset(seed=2)
    for slate in shown:
        for column in observation.values():
            column[...] = 1
        observation, *results = other.step({"slate": slate})
        expected, *others = env.step({"slate": slate})
        assert repr((expected, others)) == repr((observation, results))


@pytest.mark.parametrize(
    "seed", [-1, [1, 2], [1, -2, 3], True, [1, True, 3], 1.0, [1.0, 2, 3], "abc", {}, [[1], 2, 3]]
)
def test_invalid_seeds_raise_one_line(seed):
    with pytest.raises(InputError, match="does not fit") as caught:
        vector(num_envs=3).reset(seed=seed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "seed", [np.int8(5), np.array(5), np.array([5, 6, 7]), (5, np.uint64(6), 7)]
)
def test_seeds_may_be_numpy_integers(seed):
    env = vector(num_envs=3)
    assert repr(env.reset(seed=seed)) == repr(env.reset(seed=[5, 6, 7]))


@pytest.mark.parametrize(
    "arguments",
    [
        {"seed": -1},
        {"seed": [8, 9]},
        {"seed": [8, None, -9]},
        {"seed": 8, "options": {"user": 10**6}},
        {"options": {"user": [1, 2]}},
        {"options": {"user": [1.0, 2.0, 3.0]}},
        {"options": {"user": [1, 2, 10**6]}},
    ],
)
def test_a_failed_reset_changes_nothing(arguments):
    env, other = vector(num_envs=3), vector(num_envs=3)
    good = {"slate": slates(1, 3)[0]}
    for one in (env, other):
        one.reset(seed=[4, 2, 9])
        one.step(good)
    with pytest.raises(InputError):
        env.reset(**arguments)
    assert env.np_random.random() == other.np_random.random()
    assert repr(env.step(good)) == repr(other.step(good))
    assert repr(env.reset()) == repr(other.reset())
    assert repr(env.reset(seed=[None, 1, None])) == repr(other.reset(seed=[None, 1, None]))


@pytest.mark.parametrize("what", ["num_envs", "threads", "batch_size"])
@pytest.mark.parametrize("count", [0, True, 2.0, "2", -(2**70)])
def test_counts_other_than_positive_integers_raise(what, count):
    with pytest.raises(InputError, match=f"{what} must be a whole number"):
        vector(**{what: count})


def test_counts_may_be_numpy_integers():
    env = vector(num_envs=np.int8(3), threads=np.int64(2), batch_size=np.uint8(2))
    observation, _ = env.reset(seed=np.int16(4))
    assert repr(observation) == repr(vector(num_envs=3).reset(seed=4)[0])


def test_step_before_reset_raises():
    with pytest.raises(gym.error.ResetNeeded):
        vector(num_envs=1).step({"slate": np.zeros((1, 4), int)})


def test_features_summarize_public_events():
    env = vector(num_envs=3)
    features = item_features(env.world.catalog)
    assert features.dtype == np.float32
    assert (np.abs(features) <= 1).all()
    observation, _ = env.reset(seed=3)
    assert not observation["features"].any()
    shares = features[:, : len(env.world.catalog.topics)]
    expected = np.zeros_like(observation["features"])
    for slate in slates(6, 3):
        observation, *_ = env.step({"slate": slate})
        chosen, rating = observation["chosen"], observation["rating"]
        expected = update_history(expected, features, chosen, rating)
        assert np.array_equal(observation["features"], expected)
    assert np.allclose(shares.sum(axis=1), 1)
    assert expected.any()


def test_history_is_the_discounted_sum_of_enjoyed_features():
    features = np.array([[1.0, 0.0], [-0.5, 0.25]], dtype=np.float32)
    history = np.zeros((1, 2), dtype=np.float32)
    for chosen, rating in ((0, 0.5), (-1, 0.0), (1, 1.0)):
        history = update_history(history, features, np.array([chosen]), np.array([rating]))
    assert np.allclose(history, [[0.5 * 0.9 * 0.9 - 0.5, 0.25]])

"""Lifelong-v0: Gymnasium's checker, determinism, episode ends, utterances, hidden data."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from tasteshift import envs as _envs
from tasteshift.envs.catalogs.load import load_data
from tasteshift.envs.dynamics.user_attributes import PRIVATE_FACTS
from tasteshift.envs.language.utterances import AGES
from tasteshift.envs.simulator.scenarios import SCENARIOS
from tasteshift.envs.simulator.training_log import public_data
from tasteshift.errors import InputError

assert _envs


def make(**arguments):
    return gym.make("TasteShift/Lifelong-v0", **arguments).unwrapped


def play(env, seed):
    """All that an episode returns, as a comparable string."""
    env.action_space.seed(0)
    observation, info = env.reset(seed=seed)
    seen, over = [(observation, info)], False
    while not over:
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        seen.append((observation, reward, terminated, truncated, info))
        over = terminated or truncated
    return repr(seen)


@pytest.mark.parametrize("scenario", SCENARIOS.names())
@pytest.mark.parametrize("catalog", ["movielens-100k", "synthetic:60"])
def test_gymnasium_env_checker_passes(catalog, scenario):
    env = make(catalog=catalog, scenario=scenario, render_mode="ansi")
    check_env(env)


@pytest.mark.parametrize("scenario", SCENARIOS.names())
def test_equal_seeds_give_equal_episodes_and_others_do_not(scenario):
    first, second = (make(catalog="synthetic:60", scenario=scenario, slate_size=3) for _ in "ab")
    assert play(first, 5) == play(second, 5) == play(first, 5)
    assert play(first, 5) != play(first, 6)


def test_an_episode_is_truncated_after_its_last_session_and_stays_over():
    env = make(catalog="synthetic:60", sessions=2, turns=3)
    observation, _ = env.reset(seed=1)
    assert observation["steps_left"] == 6
    for step in range(6):
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        assert not terminated
        assert truncated == (step == 5)
        assert env.observation_space.contains(observation)
    assert observation["steps_left"] == 0
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.action_space.sample())


def test_repeated_items_count_once_and_an_empty_slate_has_no_reward():
    env = make(catalog="synthetic:60", slate_size=3)
    env.reset(seed=2)
    observation, *_ = env.step({"slate": np.array([4, 4, 5])})
    assert observation["slate"].tolist() == [4, -1, 5]
    observation, reward, *_ = env.step({"slate": np.full(3, -1)})
    assert (reward, observation["chosen"]) == (0.0, -1)


def test_users_are_selected_by_row_and_ineligible_rows_raise():
    env = make(catalog="synthetic:60", scenario="minor-profile")
    ages = load_data("synthetic:60").hidden.ages
    teens = np.flatnonzero((ages >= 13) & (ages < 18))
    observation, info = env.reset(seed=0, options={"user": int(teens[3])})
    assert observation["user"] == teens[3]
    assert info["age_group"] == env.brief(0).age_group == "unknown"
    _, info = make(catalog="synthetic:60").reset(seed=0, options={"user": int(teens[3])})
    assert info["age_group"] == "teen"
    adult = int(np.flatnonzero(load_data("synthetic:60").hidden.ages >= 18)[0])
    with pytest.raises(InputError, match="is not eligible for scenario"):
        env.reset(seed=0, options={"user": adult})


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1),
    scenario=st.sampled_from(SCENARIOS.names()),
    size=st.integers(1, 12),
    items=st.integers(12, 40),
)
def test_observations_and_rewards_stay_in_their_spaces(seed, scenario, size, items):
    env = make(
        catalog=f"synthetic:{items}", scenario=scenario, slate_size=size, sessions=2, turns=2
    )
    env.action_space.seed(seed % 2**31)
    observation, _ = env.reset(seed=seed)
    over = False
    while not over:
        assert env.observation_space.contains(observation)
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        over = terminated or truncated
        assert 0.0 <= reward <= 1.0
        assert not (terminated and truncated)


def test_utterances_and_rendering_follow_the_user_state():
    env = make(catalog="movielens-100k", render_mode="ansi")
    observation, _ = env.reset(seed=3)
    named = [t for t in env.world.catalog.topics if t.lower() in observation["utterance"]]
    assert len(named) >= 2
    slate = np.full(5, -1)
    slate[: len(env.ground_truth.best()[0])] = env.ground_truth.best()[0]
    observation, reward, *_ = env.step({"slate": slate})
    chosen = int(observation["chosen"])
    assert env.world.catalog.label(chosen) in observation["utterance"]
    assert env.world.catalog.label(chosen) in env.render()
    assert reward == observation["rating"]


def test_an_unobserved_age_is_said_once_in_the_first_utterance():
    env = make(catalog="synthetic:60", scenario="minor-profile", sessions=2, turns=2)
    used = set()
    for seed in range(40):
        observation, _ = env.reset(seed=seed)
        age = env.world.hidden.ages[observation["user"]]
        phrases = [phrase.format(age=age) for phrase in AGES]
        (phrase_index,) = (
            k for k, phrase in enumerate(phrases) if phrase in observation["utterance"]
        )
        used.add(phrase_index)
        over = False
        while not over:
            observation, _, _, over, _ = env.step(env.action_space.sample())
            assert str(age) not in observation["utterance"].partition("(")[0]
    assert used == set(range(len(AGES)))
    observation, _ = make(catalog="synthetic:60").reset(seed=0)
    assert str(env.world.hidden.ages[observation["user"]]) not in observation["utterance"]


def reachable(root):
    """Every object that attribute access, items and closures lead to from `root`."""
    seen, stack = {}, [root]
    while stack:
        value = stack.pop()
        if id(value) in seen or isinstance(value, (str, bytes, int, float, bool, type(None), type)):
            continue
        seen[id(value)] = value
        if isinstance(value, dict):
            stack += [*value, *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            stack += value
        elif not isinstance(value, np.ndarray):
            names = {*getattr(value, "__dict__", {}), *getattr(type(value), "__slots__", ())}
            stack += [getattr(value, name) for name in names]
            stack += [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
    return list(seen.values())


def test_agent_inputs_do_not_reference_latents():
    env = make(catalog="synthetic:60", scenario="gradual-drift")
    observation, info = env.reset(seed=0)
    hidden = env.world.hidden
    secret = {id(a) for a in (hidden, hidden.z, hidden.anchors, hidden.appeal, hidden.quality)}
    given = reachable([public_data(env.world), observation, info, env.brief(1)])
    assert not secret & {id(value) for value in given}
    assert secret <= {id(value) for value in reachable(env)}
    arrays = [value for value in given if isinstance(value, np.ndarray)]
    assert all(hidden.z.shape != array.shape for array in arrays)


def test_churn_terminates_the_episode():
    env = make(catalog="synthetic:60", scenario="retention")
    ends = set()
    for seed in range(12):
        env.reset(seed=seed)
        terminated = truncated = False
        while not (terminated or truncated):
            _, _, terminated, truncated, _ = env.step({"slate": np.full(5, -1)})
        ends.add((terminated, truncated))
    assert (True, False) in ends


def test_changes_are_announced_once_and_at_the_right_time():
    announced = {"life-event": set(), "transient-intent": set(), "constraint-change": set()}
    for scenario, sessions in announced.items():
        env = make(catalog="synthetic:60", scenario=scenario, turns=1)
        for seed in range(6):
            observation, _ = env.reset(seed=seed)
            rules = 0
            for session in range(10):
                if (
                    "has changed" in observation["utterance"]
                    or "happened" in observation["utterance"]
                ):
                    sessions.add((seed, session))
                gift = (
                    "friend" in observation["utterance"] or "else today" in observation["utterance"]
                )
                if gift:
                    sessions.add((seed, session))
                rules += int(observation["avoid"].sum())
                if observation["avoid"].any():
                    topic = env.world.catalog.topics[int(observation["avoid"].argmax())]
                    assert topic.lower() in observation["utterance"]
                    assert (
                        env.ground_truth.violations(
                            tuple(
                                np.flatnonzero(
                                    env.world.catalog.topic[:, observation["avoid"].argmax()]
                                )[:2]
                            )
                        )
                        == 2
                    )
                    sessions.add((seed, session))
                observation, *_ = env.step({"slate": np.full(5, -1)})
            assert rules == (scenario == "constraint-change")
    assert len(announced["life-event"]) == len(announced["constraint-change"]) == 6
    assert 12 < len(announced["transient-intent"]) < 32
    assert all(session > 0 for _, session in announced["transient-intent"])


def test_items_cannot_be_chosen_before_their_entry_day():
    env = make(catalog="synthetic:60", scenario="cold-item", slate_size=1, sessions=10, turns=1)
    late = np.flatnonzero(env.world.entry_day)
    assert 2 <= len(late) <= 12
    early, chosen = 0, 0
    for seed in range(30):
        observation, _ = env.reset(seed=seed)
        for _ in range(10):
            item, day = int(late[0]), observation["day"]
            observation, *_ = env.step({"slate": np.array([item])})
            early += observation["chosen"] == item and day < env.world.entry_day[item]
            chosen += observation["chosen"] == item
    assert early == 0 < chosen


def test_reset_without_a_seed_starts_the_next_episode_of_the_last_seed():
    env, other = (make(catalog="synthetic:60") for _ in "ab")
    users = [env.reset(seed=9)[0]["user"], *(env.reset()[0]["user"] for _ in range(5))]
    again = [other.reset(seed=9)[0]["user"], *(other.reset()[0]["user"] for _ in range(5))]
    assert users == again
    assert len(set(users)) > 3


def test_a_private_fact_is_said_once_and_the_space_contains_all_titles():
    env = make(catalog="movielens-100k", scenario="privacy-canary", turns=2, sessions=3)
    space = env.observation_space["utterance"]
    assert space.contains("")
    odd = [title for title in env.world.catalog.title if not title.isascii()]
    assert odd
    assert all(space.contains(f"I loved {title}.") for title in odd)
    said = []
    observation, _ = env.reset(seed=4)
    for _ in range(6):
        said.append(any(fact in observation["utterance"] for fact in PRIVATE_FACTS))
        observation, *_ = env.step({"slate": np.full(5, -1)})
    assert said == [True] + [False] * 5


def test_items_before_their_entry_day_leave_their_slot_empty():
    env = make(catalog="synthetic:60", scenario="cold-item", slate_size=3, turns=1)
    late = np.flatnonzero(env.world.entry_day)[:2]
    env.reset(seed=1)
    present = int(np.flatnonzero(env.world.entry_day == 0)[0])
    first = env.ground_truth.expected((present,))
    assert env.ground_truth.expected((int(late[0]), int(late[1]))) == 0.0
    second = env.ground_truth.expected((int(late[0]), present))
    assert 0 < second < first  # the first slot stays empty, so the item is one position lower
    assert env.ground_truth.breaches((int(late[0]),)) == 0
    observation, *_ = env.step({"slate": np.array([late[0], present, late[1]])})
    assert observation["slate"].tolist() == [-1, present, -1]


def test_agent_inputs_are_read_only():
    for catalog, scenario in (
        ("synthetic:60", "stationary"),
        ("synthetic:60", "cold-item"),
        ("movielens-100k", "poisoned-items"),
    ):
        env = make(catalog=catalog, scenario=scenario)
        public = public_data(env.world)
        for value in reachable((public, vars(env.world.hidden))):
            while isinstance(value, np.ndarray):
                assert not value.flags.writeable
                value = value.base
            assert not isinstance(value, list)
        columns = public.catalog.popularity, public.catalog.topic, public.log.item, public.entry_day
        for column in columns:
            with pytest.raises(ValueError, match="read-only"):
                column[0] = 1


def test_requests_never_name_a_ruled_out_topic():
    env = make(catalog="movielens-100k", scenario="constraint-change", turns=1)
    named_before = 0
    for seed in range(8):
        observation, _ = env.reset(seed=seed)
        ruled_out, earlier = "", []
        for _ in range(10):
            if observation["avoid"].any():
                ruled_out = env.world.catalog.topics[int(observation["avoid"].argmax())].lower()
                named_before += any(ruled_out in text for text in earlier)
                request, _, rule = observation["utterance"].partition(". ")
                assert ruled_out in rule
                assert ruled_out not in request
            elif ruled_out:
                assert ruled_out not in observation["utterance"]
            earlier.append(observation["utterance"])
            observation, *_ = env.step({"slate": np.full(5, -1)})
    assert named_before > 0

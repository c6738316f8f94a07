"""The environment: Gymnasium's own checker, determinism, limits, errors, and what stays hidden."""

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
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.simulator.scenarios import SCENARIOS
from tasteshift.envs.simulator.training_log import public_data
from tasteshift.errors import InputError

assert _envs


def make(**arguments):
    return gym.make("TasteShift/Lifelong-v0", **arguments).unwrapped


def live(env, seed):
    """Everything that a life shows, as one comparable list."""
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
def test_gymnasium_finds_nothing_to_complain_about(catalog, scenario):
    env = make(catalog=catalog, scenario=scenario, render_mode="ansi")
    check_env(env)


@pytest.mark.parametrize("scenario", SCENARIOS.names())
def test_equal_seeds_give_equal_lives_and_others_do_not(scenario):
    first, second = (make(catalog="synthetic:60", scenario=scenario, slate_size=3) for _ in "ab")
    assert live(first, 5) == live(second, 5) == live(first, 5)
    assert live(first, 5) != live(first, 6)


def test_a_life_ends_by_truncation_after_its_last_session_and_stays_over():
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


def test_stepping_before_a_reset_is_refused():
    with pytest.raises(gym.error.ResetNeeded):
        make(catalog="synthetic:60").step({"slate": np.full(5, -1)})


def test_a_repeated_item_counts_once_and_an_empty_slate_earns_nothing():
    env = make(catalog="synthetic:60", slate_size=3)
    env.reset(seed=2)
    observation, *_ = env.step({"slate": np.array([4, 4, 5])})
    assert observation["slate"].tolist() == [4, -1, 5]
    observation, reward, *_ = env.step({"slate": np.full(3, -1)})
    assert (reward, observation["chosen"]) == (0.0, -1)


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
def test_actions_outside_the_space_are_refused_and_change_nothing(action):
    env, twin = (make(catalog="synthetic:60", slate_size=3) for _ in "ab")
    for one in (env, twin):
        one.reset(seed=2)
    with pytest.raises(InputError, match="not in the action space"):
        env.step(action)
    good = {"slate": np.array([1, 2, 3])}
    assert repr(env.step(good)) == repr(twin.step(good))


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
def test_bad_arguments_get_one_clear_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        make(**{"catalog": "synthetic:60", **arguments})
    assert "\n" not in str(caught.value)


def test_unknown_render_modes_are_refused():
    with pytest.raises(InputError, match="use 'ansi' or None"):
        Lifelong("synthetic:60", render_mode="human")


def test_users_are_chosen_by_row_and_unknown_rows_are_refused():
    env = make(catalog="synthetic:60", scenario="minor-profile")
    ages = load_data("synthetic:60").hidden.ages
    teens = np.flatnonzero((ages >= 13) & (ages < 18))
    observation, info = env.reset(seed=0, options={"user": int(teens[3])})
    assert observation["user"] == teens[3]
    assert info["age_group"] == env.brief(0).age_group == "unknown"
    _, info = make(catalog="synthetic:60").reset(seed=0, options={"user": int(teens[3])})
    assert info["age_group"] == "teen"
    adult = int(np.flatnonzero(load_data("synthetic:60").hidden.ages >= 18)[0])
    with pytest.raises(InputError, match="cannot live in scenario"):
        env.reset(seed=0, options={"user": adult})


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1),
    scenario=st.sampled_from(SCENARIOS.names()),
    size=st.integers(1, 12),
    items=st.integers(12, 40),
)
def test_no_configuration_leaves_its_spaces_or_turns_nan(seed, scenario, size, items):
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


def test_text_is_grounded_in_the_state():
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


def test_an_age_that_is_not_told_is_said_once_at_the_beginning():
    env = make(catalog="synthetic:60", scenario="minor-profile", sessions=2, turns=2)
    ways = set()
    for seed in range(40):
        observation, _ = env.reset(seed=seed)
        age = env.world.hidden.ages[observation["user"]]
        phrases = [phrase.format(age=age) for phrase in AGES]
        (way,) = (k for k, phrase in enumerate(phrases) if phrase in observation["utterance"])
        ways.add(way)
        over = False
        while not over:
            observation, _, _, over, _ = env.step(env.action_space.sample())
            assert str(age) not in observation["utterance"].partition("(")[0]
    assert ways == set(range(len(AGES)))
    observation, _ = make(catalog="synthetic:60").reset(seed=0)
    assert str(env.world.hidden.ages[observation["user"]]) not in observation["utterance"]


def reachable(root):
    """Every object that attribute access, items and closures lead to from `root`."""
    seen, stack = {}, [root]
    while stack:
        thing = stack.pop()
        if id(thing) in seen or isinstance(thing, (str, bytes, int, float, bool, type(None), type)):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, dict):
            stack += [*thing, *thing.values()]
        elif isinstance(thing, (list, tuple, set, frozenset)):
            stack += thing
        elif not isinstance(thing, np.ndarray):
            names = {*getattr(thing, "__dict__", {}), *getattr(type(thing), "__slots__", ())}
            stack += [getattr(thing, name) for name in names]
            stack += [cell.cell_contents for cell in getattr(thing, "__closure__", None) or ()]
    return list(seen.values())


def test_agents_are_handed_nothing_that_leads_to_a_latent():
    env = make(catalog="synthetic:60", scenario="gradual-drift")
    observation, info = env.reset(seed=0)
    hidden = env.world.hidden
    secret = {id(a) for a in (hidden, hidden.z, hidden.anchors, hidden.appeal, hidden.quality)}
    handed = reachable([public_data(env.world), observation, info, env.brief(1)])
    assert not secret & {id(thing) for thing in handed}
    assert secret <= {id(thing) for thing in reachable(env)}
    arrays = [thing for thing in handed if isinstance(thing, np.ndarray)]
    assert all(hidden.z.shape != array.shape for array in arrays)


def test_a_user_who_leaves_ends_the_life_by_termination():
    env = make(catalog="synthetic:60", scenario="retention")
    ends = set()
    for seed in range(12):
        env.reset(seed=seed)
        terminated = truncated = False
        while not (terminated or truncated):
            _, _, terminated, truncated, _ = env.step({"slate": np.full(5, -1)})
        ends.add((terminated, truncated))
    assert (True, False) in ends


def test_what_changes_is_said_once_and_at_the_right_time():
    said = {"life-event": set(), "transient-intent": set(), "constraint-change": set()}
    for scenario, heard in said.items():
        env = make(catalog="synthetic:60", scenario=scenario, turns=1)
        for seed in range(6):
            observation, _ = env.reset(seed=seed)
            rules = 0
            for session in range(10):
                if (
                    "has changed" in observation["utterance"]
                    or "happened" in observation["utterance"]
                ):
                    heard.add((seed, session))
                gift = (
                    "friend" in observation["utterance"] or "else today" in observation["utterance"]
                )
                if gift:
                    heard.add((seed, session))
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
                    heard.add((seed, session))
                observation, *_ = env.step({"slate": np.full(5, -1)})
            assert rules == (scenario == "constraint-change")
    assert len(said["life-event"]) == len(said["constraint-change"]) == 6
    assert 12 < len(said["transient-intent"]) < 32
    assert all(session > 0 for _, session in said["transient-intent"])


def test_an_item_that_is_not_there_yet_cannot_be_chosen():
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


def test_a_reset_without_a_seed_lives_the_next_life_of_the_last_seed():
    env, twin = (make(catalog="synthetic:60") for _ in "ab")
    lives = [env.reset(seed=9)[0]["user"], *(env.reset()[0]["user"] for _ in range(5))]
    again = [twin.reset(seed=9)[0]["user"], *(twin.reset()[0]["user"] for _ in range(5))]
    assert lives == again
    assert len(set(lives)) > 3


def test_a_confidence_is_told_once_and_spaces_hold_every_word():
    env = make(catalog="movielens-100k", scenario="privacy-canary", turns=2, sessions=3)
    space = env.observation_space["utterance"]
    assert space.contains("")
    odd = [title for title in env.world.catalog.title if not title.isascii()]
    assert odd
    assert all(space.contains(f"I loved {title}.") for title in odd)
    told = []
    observation, _ = env.reset(seed=4)
    for _ in range(6):
        told.append(any(fact in observation["utterance"] for fact in PRIVATE_FACTS))
        observation, *_ = env.step({"slate": np.full(5, -1)})
    assert told == [True] + [False] * 5


def test_what_is_not_there_yet_counts_for_nothing():
    env = make(catalog="synthetic:60", scenario="cold-item", slate_size=3, turns=1)
    late = np.flatnonzero(env.world.entry_day)[:2]
    env.reset(seed=1)
    here = int(np.flatnonzero(env.world.entry_day == 0)[0])
    alone = env.ground_truth.expected((here,))
    assert env.ground_truth.expected((int(late[0]), int(late[1]))) == 0.0
    second = env.ground_truth.expected((int(late[0]), here))
    assert 0 < second < alone  # the slot stays empty, so that the item stands one place lower
    assert env.ground_truth.breaches((int(late[0]),)) == 0
    observation, *_ = env.step({"slate": np.array([late[0], here, late[1]])})
    assert observation["slate"].tolist() == [-1, here, -1]


def test_what_agents_are_handed_cannot_be_written_to():
    for catalog, scenario in (
        ("synthetic:60", "stationary"),
        ("synthetic:60", "cold-item"),
        ("movielens-100k", "poisoned-items"),
    ):
        env = make(catalog=catalog, scenario=scenario)
        public = public_data(env.world)
        for thing in reachable((public, vars(env.world.hidden))):
            while isinstance(thing, np.ndarray):
                assert not thing.flags.writeable
                thing = thing.base
            assert not isinstance(thing, list)
        columns = public.catalog.popularity, public.catalog.topic, public.log.item, public.entry_day
        for column in columns:
            with pytest.raises(ValueError, match="read-only"):
                column[0] = 1


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
def test_slates_that_are_no_whole_numbers_are_refused_in_one_line(slate):
    env = make(catalog="synthetic:60", slate_size=3)
    env.reset(seed=2)
    with pytest.raises(InputError, match="not in the action space") as caught:
        env.step({"slate": slate})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [list, np.int8, np.uint16, np.uint64])
def test_slates_of_any_whole_numbers_mean_the_same(kind):
    env, twin = (make(catalog="synthetic:60", slate_size=3) for _ in "ab")
    for one in (env, twin):
        one.reset(seed=2)
    shown = [5, 9, 5] if kind is list else np.array([5, 9, 5], dtype=kind)
    assert repr(env.step({"slate": shown})) == repr(twin.step({"slate": np.array([5, 9, 5])}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
        ({"seed": True}, "seed must be a whole number"),
        ({"seed": 1.0}, "seed must be a whole number"),
        ({"seed": "1"}, "seed must be a whole number"),
        ({"options": {"user": 10**6}}, "cannot live in scenario"),
        ({"options": {"user": -1}}, "cannot live in scenario"),
        ({"options": {"user": 1.0}}, "is not a row"),
        ({"options": {"user": True}}, "is not a row"),
        ({"options": {"user": "me"}}, "is not a row"),
        ({"options": {"user": [1, [2]]}}, "is not a row"),
        ({"options": {"user": [1, 2]}}, "do not fit"),
        ({"seed": 8, "options": {"user": 10**6}}, "cannot live in scenario"),
    ],
)
def test_a_reset_that_fails_changes_nothing(arguments, message):
    env, twin = (make(catalog="synthetic:60", slate_size=3, render_mode="ansi") for _ in "ab")
    for one in (env, twin):
        one.reset(seed=2)
        one.step({"slate": np.array([1, 2, 3])})
    with pytest.raises(InputError, match=message) as caught:
        env.reset(**arguments)
    assert "\n" not in str(caught.value)
    assert (env.seed, env.render()) == (twin.seed, twin.render())
    assert env.np_random.random() == twin.np_random.random()
    good = {"slate": np.array([4, 5, 6])}
    assert repr(env.step(good)) == repr(twin.step(good))
    assert repr(env.reset()) == repr(twin.reset())
    assert env.seed == twin.seed


@pytest.mark.parametrize("kind", [np.int8, np.uint64, np.int64])
def test_seeds_and_users_may_be_numbers_of_numpy(kind):
    env = make(catalog="synthetic:60")
    assert repr(env.reset(seed=kind(7))) == repr(env.reset(seed=7))
    asked = env.reset(seed=kind(7), options={"user": kind(5)})
    assert repr(asked) == repr(env.reset(seed=7, options={"user": 5}))


def test_nobody_asks_for_what_they_have_ruled_out():
    env = make(catalog="movielens-100k", scenario="constraint-change", turns=1)
    asked_before = 0
    for seed in range(8):
        observation, _ = env.reset(seed=seed)
        ruled_out, earlier = "", []
        for _ in range(10):
            if observation["avoid"].any():
                ruled_out = env.world.catalog.topics[int(observation["avoid"].argmax())].lower()
                asked_before += any(ruled_out in text for text in earlier)
                wish, _, rule = observation["utterance"].partition(". ")
                assert ruled_out in rule
                assert ruled_out not in wish
            elif ruled_out:
                assert ruled_out not in observation["utterance"]
            earlier.append(observation["utterance"])
            observation, *_ = env.step({"slate": np.full(5, -1)})
    assert asked_before > 0

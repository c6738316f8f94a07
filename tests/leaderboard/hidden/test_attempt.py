import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tasteshift.agents import make_agent
from tasteshift.envs.catalogs.load import load_data
from tasteshift.errors import InputError
from tasteshift.leaderboard.hidden import attempt as module
from tasteshift.leaderboard.hidden.attempt import Attempt
from tasteshift.leaderboard.hidden.messages import answer_from
from tasteshift.leaderboard.keys import attempt_key
from tasteshift.suites.engine.episode_runner import default_agent_seed
from tasteshift.suites.suite import SUITES, Suite

Make = Callable[..., Attempt]
Play = Callable[..., dict[int, list[dict[str, Any]]]]


def answers(episode: int, count: int) -> list[dict[str, Any]]:
    """Slates that differ between episodes and turns, as stored answers."""
    rows = np.random.default_rng(episode).permuted(np.tile(np.arange(60), (count, 1)), axis=1)
    return [answer_from({"slate": row[:4].tolist()}).stored() for row in rows]


def observations(attempt: Attempt, episode: int) -> list[Any]:
    """The observations of an episode under `answers`; None last."""
    given = answers(episode, 50)
    found: list[Any] = []
    for turn in range(51):
        found.append(attempt.observe(episode, given[:turn]))
        if found[-1] is None:
            return found
    raise AssertionError("the episode does not end")


def test_attempt_has_the_episodes_of_its_suite(new_attempt: Make, hidden_suite: Suite) -> None:
    attempt = new_attempt()
    assert [hidden.name for hidden in attempt.tasks] == [task.name for task in hidden_suite.tasks]
    counts = [attempt.episode_tasks.count(hidden) for hidden in range(3)]
    assert counts == [6, 8, 4]
    assert list(attempt.episode_tasks) == sorted(attempt.episode_tasks)
    for hidden, task in zip(attempt.tasks, hidden_suite.tasks, strict=True):
        assert hidden.counterfactual == ()
        assert (hidden.slate_size, hidden.references) == (task.slate_size, task.references)
        assert replace(hidden.spec(), overlay=None) == replace(task.spec(), overlay=None)


def test_language_model_agents_play_only_their_tasks(new_attempt: Make) -> None:
    attempt = new_attempt(only_language_models=True)
    assert [hidden.name for hidden in attempt.tasks] == ["hidden-test/first"]
    assert attempt.episode_key(0) == new_attempt().episode_key(0)


def test_users_are_distinct_and_in_random_order(new_attempt: Make) -> None:
    attempt = new_attempt()
    episodes = [attempt.episode_key(episode) for episode in range(len(attempt.episode_tasks))]
    assert len({(task, user) for task, _, user in episodes}) == len(episodes)
    assert len({seed for _, seed, _ in episodes}) == len(episodes)
    users = [user for task, _, user in episodes if task == "hidden-test/shift"]
    assert users != sorted(users)
    for episode, (_, _, user) in enumerate(episodes):
        assert attempt.brief(episode).user == user


def test_users_are_drawn_uniformly(new_attempt: Make) -> None:
    """Over many attempts, each quarter of the users gets a quarter of the episodes (6 sd)."""
    task = new_attempt().tasks[1]
    rows: list[int] = []
    for k in range(100):
        rows += [
            user for _, user in replace(task, key=attempt_key(bytes(32), f"{k:032x}")).episodes(2)
        ]
    total = load_data(task.catalog).hidden.ages.size
    share = np.histogram(rows, bins=4, range=(0, total))[0] / len(rows)
    assert np.abs(share - 0.25).max() < 6 * np.sqrt(0.25 * 0.75 / len(rows))


def test_tasks_and_attempts_share_no_user_and_no_item(new_attempt: Make) -> None:
    attempts = [new_attempt(), new_attempt(attempt_id="1f" * 16), new_attempt(secret=bytes(32))]
    data = [load_data(hidden.catalog) for attempt in attempts for hidden in attempt.tasks]
    base = load_data("synthetic:60")
    for name in ("anchors", "z"):
        rows = [set(_rows(getattr(one.hidden, name))) for one in (base, *data)]
        for one, other in ((a, b) for k, a in enumerate(rows) for b in rows[k + 1 :]):
            assert not one & other, name
    episodes = [
        attempt.episode_key(episode)
        for attempt in attempts
        for episode in range(len(attempt.episode_tasks))
    ]
    assert len({seed for _, seed, _ in episodes}) == len(episodes)
    names = {hidden.catalog for attempt in attempts for hidden in attempt.tasks}
    assert len(names) == 9


def _rows(values: Any) -> list[bytes]:
    return [row.tobytes() for row in values]


@pytest.mark.parametrize("bit", [0, 100, 255])
def test_every_key_bit_changes_every_draw(hidden_suite: Suite, bit: int) -> None:
    key = bytearray(attempt_key(bytes(32), "0" * 32))
    one = Attempt(hidden_suite.id, bytes(key), "one")
    key[bit // 8] ^= 1 << bit % 8
    other = Attempt(hidden_suite.id, bytes(key), "other")
    drawn = [load_data(attempt.tasks[1].catalog) for attempt in (one, other)]
    for name in ("anchors", "z", "quality", "appeal"):
        both = [getattr(data.hidden, name) for data in drawn]
        assert (both[0] != both[1]).mean() > 0.5, name
    assert drawn[0].log_seed != drawn[1].log_seed
    assert one.episode_key(6) != other.episode_key(6)
    assert one.brief(6) != other.brief(6)
    assert one.public(1).seed != other.public(1).seed


def test_agent_seed_is_independent_of_environment_seed(new_attempt: Make) -> None:
    attempt = new_attempt()
    seeds = []
    for episode in range(len(attempt.episode_tasks)):
        _, seed, user = attempt.episode_key(episode)
        own = attempt.brief(episode).seed
        assert own not in (seed, default_agent_seed(seed, user))
        seeds.append((seed, own))
    changed = replace(attempt.tasks[1], key=bytes(32))
    assert {own for _, own in seeds}.isdisjoint({seed for seed, _ in seeds})
    assert changed.agent_seed(3) != attempt.tasks[1].agent_seed(3)
    ones = [bin(seed ^ own).count("1") for seed, own in seeds]
    assert abs(np.mean(ones) - 31.5) < 6 * np.sqrt(63 / 4 / len(ones))


def test_falsified_labels_are_drawn_under_the_key(new_attempt: Make, hidden_suite: Suite) -> None:
    overlays = [new_attempt(attempt_id=name * 16).tasks[2].spec().overlay for name in ("0a", "0b")]
    public = hidden_suite.tasks[2].spec().overlay
    assert public is not None
    assert len({public, *overlays}) == 3
    for overlay in overlays:
        assert overlay is not None
        assert replace(overlay, seed=public.seed) == public


def test_observations_depend_on_key_and_answers_alone(
    new_attempt: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is cached and whatever was requested before: a server may be killed at any time."""
    expected = {episode: observations(new_attempt(), episode) for episode in (0, 6, 7, 14)}
    assert all(len(found) > 2 for found in expected.values())
    monkeypatch.setattr(module, "CACHED_EPISODES", 2)
    attempt = new_attempt()
    questions = [(episode, k) for episode, found in expected.items() for k in range(len(found))]
    for which in np.random.default_rng(0).permutation(len(questions) * 2) % len(questions):
        episode, turn = questions[which]
        assert attempt.observe(episode, answers(episode, 50)[:turn]) == expected[episode][turn]
        assert len(attempt._states) <= 2


def test_another_answer_changes_the_next_observation(new_attempt: Make) -> None:
    attempt = new_attempt()
    one, other = answers(6, 3), [*answers(6, 2), answer_from({"slate": [1]}).stored()]
    first = attempt.observe(6, one)
    assert attempt.observe(6, other) != first
    assert attempt.observe(6, one) == first


def test_next_answer_costs_one_environment_step(
    new_attempt: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, stepped = new_attempt(), []
    step = module.EpisodeRunner.step

    def counted(runner: Any, decision: Any) -> None:
        stepped.append(runner)
        step(runner, decision)

    monkeypatch.setattr(module.EpisodeRunner, "step", counted)
    given = answers(6, 6)
    for turn in range(7):
        attempt.observe(6, given[:turn])
        attempt.observe(6, given[:turn])
    assert len(stepped) == 6
    assert len(set(map(id, stepped))) == 1


def test_episode_message_follows_the_answers(new_attempt: Make) -> None:
    attempt = new_attempt()
    found = observations(new_attempt(), 6)
    for turn in range(len(found)):
        message = attempt.episode_message(6, answers(6, turn))
        assert message["turn"] == turn
        assert len(message["history"]) == turn
        for sent, known in zip([*message["history"], message["observation"]], found, strict=False):
            if known is None:
                assert sent is None
            else:
                assert json.loads(json.dumps(sent))["rating"] == known.rating
                assert tuple(sent["slate"]) == known.slate


def test_answers_after_the_end_are_refused(new_attempt: Make) -> None:
    attempt = new_attempt()
    given = answers(6, 50)
    turns = len(observations(attempt, 6)) - 1
    with pytest.raises(InputError, match=f"episode 6 ended after {turns} turns"):
        attempt.observe(6, given)
    assert attempt.observe(6, given[:turns]) is None


@pytest.mark.parametrize("episode", [-1, 18, 10**9])
def test_unknown_episodes_and_items_are_refused(new_attempt: Make, episode: int) -> None:
    with pytest.raises(InputError, match="from 0 to 17"):
        new_attempt().observe(episode, [])
    with pytest.raises(InputError, match="from 0 to 59"):
        new_attempt().poster(0, episode if episode != 18 else 60)


def test_threads_get_the_observations_of_one_thread(
    new_attempt: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [observations(new_attempt(), episode) for episode in range(18)]
    monkeypatch.setattr(module, "CACHED_EPISODES", 3)
    attempt = new_attempt()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(2):
            assert (
                list(pool.map(lambda episode: observations(attempt, episode), range(18)))
                == expected
            )


def test_two_objects_for_one_attempt_are_independent(new_attempt: Make) -> None:
    """A worker may score an attempt that the server has cached; either may be dropped first."""
    one, other = new_attempt(), new_attempt()
    assert one.public(1).catalog.hash == other.public(1).catalog.hash
    before = observations(one, 6)
    del one
    for size in range(9):
        new_attempt(attempt_id=f"{size:032x}").public(1)
    assert observations(other, 6) == before


def test_public_data_is_of_the_resampled_catalog(new_attempt: Make) -> None:
    attempt = new_attempt()
    for one, other in pairwise(attempt.public(hidden) for hidden in range(3)):
        assert sorted(one.catalog.title) == sorted(load_data("synthetic:60").public.title)
        assert one.catalog.title != other.catalog.title
        assert one.log.item.tolist() != other.log.item.tolist()


def test_unplayable_suites_are_refused(hidden_suite: Suite) -> None:
    with pytest.raises(InputError, match="cohort"):
        Attempt(f"{hidden_suite.id}+track=cohort", bytes(32), "x")
    with pytest.raises(InputError, match="not the one of this version"):
        Attempt("hidden-test@9", bytes(32), "x")
    with pytest.raises(InputError, match="suite"):
        Attempt("no-such-suite@1", bytes(32), "x")


def test_too_many_users_is_an_error(hidden_suite: Suite) -> None:
    attempt = Attempt(f"{hidden_suite.id}+users=5000", bytes(32), "x")
    with pytest.raises(InputError, match="fewer users or seeds"):
        attempt.episode_key(0)


def test_suite_without_language_model_tasks_is_refused(hidden_suite: Suite) -> None:
    tasks = (replace(hidden_suite.tasks[1], name="hidden-slow/shift"),)
    slow = Suite("hidden-slow", 1, "none for language models", tasks)
    SUITES.register(slow.name, slow)
    try:
        with pytest.raises(InputError, match="language model"):
            Attempt(slow.id, bytes(32), "x", only_language_models=True)
    finally:
        del SUITES._entries[slow.name]


def test_attempt_equals_a_local_run(new_attempt: Make, play: Play) -> None:
    """The same episodes played by the engine with the same agent: equal slates and rewards."""
    from tasteshift.suites.engine.episode_runner import EpisodeRunner
    from tasteshift.suites.engine.in_process_agent import InProcessAgent
    from tasteshift.suites.engine.stepping import play_in_lockstep

    attempt = new_attempt()
    turns = play(attempt, make_agent("linucb"))
    agent = make_agent("linucb")
    for episode in (6, 13):
        task, seed, user = attempt.episode_key(episode)
        hidden = attempt.tasks[1]
        agent.prepare(attempt.public(1))
        runner = EpisodeRunner(
            hidden.make(),
            task=task,
            seed=seed,
            user=user,
            policy="agent",
            agent_seed=attempt.brief(episode).seed,
        )
        source = InProcessAgent(agent)
        source.reset()
        played = play_in_lockstep(source, [runner])[0]
        assert [tuple(turn["slate"]) for turn in turns[episode]] == [s.slate for s in played.steps]
        ratings = [
            attempt.episode_message(episode, turns[episode])["history"][k]["rating"]
            for k in range(1, 6)
        ]
        assert ratings == [step.reward for step in played.steps[:5]]

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
from tasteshift.leaderboard.hidden.keys import world_key
from tasteshift.suites.engine.episode_runner import default_agent_seed
from tasteshift.suites.suite import SUITES, Suite

Make = Callable[..., Attempt]
Play = Callable[..., dict[int, list[dict[str, Any]]]]


def answers(life: int, count: int) -> list[dict[str, Any]]:
    """Slates that differ from life to life and turn to turn."""
    rows = np.random.default_rng(life).permuted(np.tile(np.arange(60), (count, 1)), axis=1)
    return [{"slate": row[:4].tolist()} for row in rows]


def seen(attempt: Attempt, life: int) -> list[Any]:
    given = answers(life, 50)
    found = []
    for turn in range(51):
        found.append(attempt.observe(life, given[:turn]))
        if found[-1] is None:
            return found
    raise AssertionError("the life does not end")


def test_an_attempt_has_the_lives_of_its_suite(new_attempt: Make, hidden_suite: Suite) -> None:
    attempt = new_attempt()
    assert [world.name for world in attempt.worlds] == [task.name for task in hidden_suite.tasks]
    counts = [attempt.lives.count(world) for world in range(3)]
    assert counts == [6, 8, 4]
    assert list(attempt.lives) == sorted(attempt.lives)
    for world, task in zip(attempt.worlds, hidden_suite.tasks, strict=True):
        assert world.counterfactual == ()
        assert (world.slate_size, world.references) == (task.slate_size, task.references)
        assert replace(world.spec(), overlay=None) == replace(task.spec(), overlay=None)


def test_language_models_play_their_tasks_alone(new_attempt: Make) -> None:
    attempt = new_attempt(only_language_models=True)
    assert [world.name for world in attempt.worlds] == ["hidden-test/first"]
    assert attempt.life(0) == new_attempt().life(0)


def test_no_user_is_met_twice_and_numbers_tell_nothing(new_attempt: Make) -> None:
    attempt = new_attempt()
    lives = [attempt.life(life) for life in range(len(attempt.lives))]
    assert len({(task, user) for task, _, user in lives}) == len(lives)
    assert len({seed for _, seed, _ in lives}) == len(lives)
    users = [user for task, _, user in lives if task == "hidden-test/shift"]
    assert users != sorted(users)
    for life, (_, _, user) in enumerate(lives):
        assert attempt.brief(life).user == user


def test_who_lives_is_drawn_from_all_users(new_attempt: Make) -> None:
    """Over many attempts, each part of the users has its share of the lives (binomial, 6 sd)."""
    task = new_attempt().worlds[1]
    rows: list[int] = []
    for k in range(100):
        rows += [
            user for _, user in replace(task, key=world_key(bytes(32), f"{k:032x}")).episodes(2)
        ]
    total = load_data(task.catalog).hidden.ages.size
    share = np.histogram(rows, bins=4, range=(0, total))[0] / len(rows)
    assert np.abs(share - 0.25).max() < 6 * np.sqrt(0.25 * 0.75 / len(rows))


def test_worlds_of_one_attempt_and_of_two_share_nobody(new_attempt: Make) -> None:
    attempts = [new_attempt(), new_attempt(attempt_id="1f" * 16), new_attempt(secret=bytes(32))]
    data = [load_data(world.catalog) for attempt in attempts for world in attempt.worlds]
    base = load_data("synthetic:60")
    for name in ("anchors", "z"):
        rows = [set(_rows(getattr(one.hidden, name))) for one in (base, *data)]
        for one, other in ((a, b) for k, a in enumerate(rows) for b in rows[k + 1 :]):
            assert not one & other, name
    lives = [attempt.life(life) for attempt in attempts for life in range(len(attempt.lives))]
    assert len({seed for _, seed, _ in lives}) == len(lives)
    names = {world.catalog for attempt in attempts for world in attempt.worlds}
    assert len(names) == 9


def _rows(values: Any) -> list[bytes]:
    return [row.tobytes() for row in values]


@pytest.mark.parametrize("bit", [0, 100, 255])
def test_every_bit_of_the_key_reaches_every_draw(hidden_suite: Suite, bit: int) -> None:
    key = bytearray(world_key(bytes(32), "0" * 32))
    one = Attempt(hidden_suite.id, bytes(key), "one")
    key[bit // 8] ^= 1 << bit % 8
    other = Attempt(hidden_suite.id, bytes(key), "other")
    drawn = [load_data(attempt.worlds[1].catalog) for attempt in (one, other)]
    for name in ("anchors", "z", "quality", "appeal"):
        both = [getattr(data.hidden, name) for data in drawn]
        assert (both[0] != both[1]).mean() > 0.5, name
    assert drawn[0].log_seed != drawn[1].log_seed
    assert one.life(6) != other.life(6)
    assert one.brief(6) != other.brief(6)
    assert one.public(1).seed != other.public(1).seed


def test_the_agents_seed_tells_nothing_of_the_worlds(new_attempt: Make) -> None:
    attempt = new_attempt()
    seeds = []
    for life in range(len(attempt.lives)):
        _, seed, user = attempt.life(life)
        own = attempt.brief(life).seed
        assert own not in (seed, default_agent_seed(seed, user))
        seeds.append((seed, own))
    changed = replace(attempt.worlds[1], key=bytes(32))
    assert {own for _, own in seeds}.isdisjoint({seed for seed, _ in seeds})
    assert changed.agent_seed(3) != attempt.worlds[1].agent_seed(3)
    ones = [bin(seed ^ own).count("1") for seed, own in seeds]
    assert abs(np.mean(ones) - 31.5) < 6 * np.sqrt(63 / 4 / len(ones))


def test_what_is_falsified_is_drawn_under_the_key(new_attempt: Make, hidden_suite: Suite) -> None:
    overlays = [new_attempt(attempt_id=name * 16).worlds[2].spec().overlay for name in ("0a", "0b")]
    public = hidden_suite.tasks[2].spec().overlay
    assert public is not None
    assert len({public, *overlays}) == 3
    for overlay in overlays:
        assert overlay is not None
        assert replace(overlay, seed=public.seed) == public


def test_what_is_seen_depends_on_key_and_answers_alone(
    new_attempt: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is at hand, whatever was asked before: a server may be killed at any time."""
    expected = {life: seen(new_attempt(), life) for life in (0, 6, 7, 14)}
    assert all(len(found) > 2 for found in expected.values())
    monkeypatch.setattr(module, "LIVES_AT_HAND", 2)
    attempt = new_attempt()
    questions = [(life, k) for life, found in expected.items() for k in range(len(found))]
    for which in np.random.default_rng(0).permutation(len(questions) * 2) % len(questions):
        life, turn = questions[which]
        assert attempt.observe(life, answers(life, 50)[:turn]) == expected[life][turn]
        assert len(attempt._at_hand) <= 2


def test_another_answer_leads_to_another_life(new_attempt: Make) -> None:
    attempt = new_attempt()
    one, other = answers(6, 3), [*answers(6, 2), {"slate": [1]}]
    first = attempt.observe(6, one)
    assert attempt.observe(6, other) != first
    assert attempt.observe(6, one) == first


def test_the_next_answer_costs_one_step(new_attempt: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, taken = new_attempt(), []
    take = module.EpisodeRunner.take

    def counted(living: Any, decision: Any) -> None:
        taken.append(living)
        take(living, decision)

    monkeypatch.setattr(module.EpisodeRunner, "take", counted)
    given = answers(6, 6)
    for turn in range(7):
        attempt.observe(6, given[:turn])
        attempt.observe(6, given[:turn])
    assert len(taken) == 6
    assert len(set(map(id, taken))) == 1


def test_a_life_stands_where_its_answers_left_it(new_attempt: Make) -> None:
    attempt = new_attempt()
    found = seen(new_attempt(), 6)
    for turn in range(len(found)):
        standing = attempt.standing(6, answers(6, turn))
        assert standing["turn"] == turn
        assert len(standing["seen"]) == turn
        for told, known in zip([*standing["seen"], standing["observation"]], found, strict=False):
            if known is None:
                assert told is None
            else:
                assert json.loads(json.dumps(told))["rating"] == known.rating
                assert tuple(told["slate"]) == known.slate


def test_answers_after_the_end_are_refused(new_attempt: Make) -> None:
    attempt = new_attempt()
    given = answers(6, 50)
    turns = len(seen(attempt, 6)) - 1
    with pytest.raises(InputError, match=f"life 6 was over after {turns} turns"):
        attempt.observe(6, given)
    assert attempt.observe(6, given[:turns]) is None


@pytest.mark.parametrize("life", [-1, 18, 10**9])
def test_unknown_lives_and_items_are_refused(new_attempt: Make, life: int) -> None:
    with pytest.raises(InputError, match="from 0 to 17"):
        new_attempt().observe(life, [])
    with pytest.raises(InputError, match="from 0 to 59"):
        new_attempt().poster(0, life if life != 18 else 60)


def test_many_threads_see_what_one_sees(new_attempt: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [seen(new_attempt(), life) for life in range(18)]
    monkeypatch.setattr(module, "LIVES_AT_HAND", 3)
    attempt = new_attempt()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(2):
            assert list(pool.map(lambda life: seen(attempt, life), range(18))) == expected


def test_two_attempts_of_one_key_live_side_by_side(new_attempt: Make) -> None:
    """As when a worker concludes what the server still holds; and one may be forgotten first."""
    one, other = new_attempt(), new_attempt()
    assert one.public(1).catalog.hash == other.public(1).catalog.hash
    before = seen(one, 6)
    del one
    for size in range(9):
        new_attempt(attempt_id=f"{size:032x}").public(1)
    assert seen(other, 6) == before


def test_the_public_world_is_the_redrawn_one(new_attempt: Make) -> None:
    attempt = new_attempt()
    for one, other in pairwise(attempt.public(world) for world in range(3)):
        assert sorted(one.catalog.title) == sorted(load_data("synthetic:60").public.title)
        assert one.catalog.title != other.catalog.title
        assert one.log.item.tolist() != other.log.item.tolist()


def test_what_cannot_be_played_on_hidden_seeds(hidden_suite: Suite) -> None:
    with pytest.raises(InputError, match="cohort"):
        Attempt(f"{hidden_suite.id}+track=cohort", bytes(32), "x")
    with pytest.raises(InputError, match="not the one of this version"):
        Attempt("hidden-test@9", bytes(32), "x")
    with pytest.raises(InputError, match="suite"):
        Attempt("no-such-suite@1", bytes(32), "x")


def test_more_users_than_there_are_is_an_error_that_says_so(hidden_suite: Suite) -> None:
    attempt = Attempt(f"{hidden_suite.id}+users=5000", bytes(32), "x")
    with pytest.raises(InputError, match="fewer users or seeds"):
        attempt.life(0)


def test_a_suite_without_tasks_for_language_models(hidden_suite: Suite) -> None:
    tasks = (replace(hidden_suite.tasks[1], name="hidden-slow/shift"),)
    slow = Suite("hidden-slow", 1, "none for language models", tasks)
    SUITES.register(slow.name, slow)
    try:
        with pytest.raises(InputError, match="language model"):
            Attempt(slow.id, bytes(32), "x", only_language_models=True)
    finally:
        del SUITES._entries[slow.name]


def test_an_agent_is_served_what_the_runner_would_serve(new_attempt: Make, play: Play) -> None:
    """The same lives lived by the runner itself, with the same agent: equal slates and rewards."""
    from tasteshift.suites.engine.episode_runner import EpisodeRunner
    from tasteshift.suites.engine.in_process_agent import InProcessAgent
    from tasteshift.suites.engine.stepping import play_in_lockstep

    attempt = new_attempt()
    turns = play(attempt, make_agent("linucb"))
    agent = make_agent("linucb")
    for life in (6, 13):
        task, seed, user = attempt.life(life)
        world = attempt.worlds[1]
        agent.prepare(attempt.public(1))
        living = EpisodeRunner(
            world.make(),
            task=task,
            seed=seed,
            user=user,
            policy="agent",
            agent_seed=attempt.brief(life).seed,
        )
        player = InProcessAgent(agent)
        player.reset()
        lived = play_in_lockstep(player, [living])[0]
        assert [tuple(turn["slate"]) for turn in turns[life]] == [s.slate for s in lived.steps]
        ratings = [attempt.standing(life, turns[life])["seen"][k]["rating"] for k in range(1, 6)]
        assert ratings == [step.reward for step in lived.steps[:5]]

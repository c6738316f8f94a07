import json
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasteshift.agents import make_agent
from tasteshift.envs.catalogs.public import PublicData
from tasteshift.errors import InputError
from tasteshift.leaderboard.hidden import messages as wire
from tasteshift.leaderboard.hidden.attempt import Attempt
from tasteshift.records import Action, Brief, Claim, Observation
from tasteshift.suites.engine.actions import is_valid_action
from tasteshift.suites.engine.decision_source import Decision

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SEEDS = st.integers(0, 2**63 - 1)
ITEMS = st.integers(-(2**62) + 1, 2**62 - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
BRIEFS = st.builds(
    Brief,
    user=SEEDS,
    seed=SEEDS,
    slate_size=SEEDS,
    sessions=SEEDS,
    turns=SEEDS,
    age_group=st.sampled_from(["child", "teen", "adult", "unknown"]),
)
OBSERVATIONS = st.builds(
    Observation,
    **{name: SEEDS for name in ("user", "day", "session", "turn", "steps_left", "context")},
    slate=st.lists(ITEMS, max_size=5).map(tuple),
    chosen=ITEMS,
    rating=NUMBERS,
    utterance=TEXTS,
    avoid=st.lists(ITEMS, max_size=3).map(tuple),
)
CLAIMS = st.builds(Claim, item=ITEMS, field=TEXTS, value=TEXTS | NUMBERS | st.booleans())
ACTIONS = st.builds(
    Action,
    slate=st.lists(ITEMS, max_size=5).map(tuple),
    claims=st.lists(CLAIMS, max_size=3).map(tuple),
    profile=st.lists(NUMBERS, max_size=5).map(tuple),
)
DECISIONS = st.builds(
    Decision,
    action=ACTIONS,
    seconds=st.floats(0, 1e6),
) | st.builds(
    Decision,
    action=st.none(),
    fault=st.sampled_from(["invalid", "raised", "timeout", "died"]),
    seconds=st.floats(0, 1e6),
)


def over_the_wire(message: Any) -> Any:
    return json.loads(json.dumps(message, allow_nan=False))


@given(BRIEFS)
def test_briefs_round_trip(brief: Brief) -> None:
    assert wire.brief_from(over_the_wire(wire.brief_message(brief))) == brief


@given(OBSERVATIONS | st.none())
def test_observations_round_trip(observation: Observation | None) -> None:
    told = wire.observation_from(over_the_wire(wire.observation_message(observation)))
    assert repr(told) == repr(observation)


@given(DECISIONS)
def test_answers_round_trip(decision: Decision) -> None:
    kept = wire.checked_turn(over_the_wire(wire.turn_message(decision)))
    assert repr(wire.decision_from(over_the_wire(kept))) == repr(decision)
    assert over_the_wire(wire.checked_turn(over_the_wire(kept))) == over_the_wire(kept)


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "slate",
        {},
        {"slate": None},
        {"slate": "123"},
        {"slate": [1.5]},
        {"slate": [10**30]},
        {"slate": [], "claims": [{"item": 1}]},
        {"slate": [], "claims": [{"item": 1, "field": "title", "value": None}]},
        {"slate": [], "claims": [{"item": 1, "field": "price", "value": float("inf")}]},
        {"slate": [], "claims": [{"item": 1, "field": "x" * 1001, "value": 1}]},
        {"slate": [], "claims": [{"item": 1, "field": "title", "value": "\ud800"}]},
        {"slate": [], "profile": [float("nan")]},
        {"slate": [], "fault": "tired"},
        {"slate": [], "seconds": -1},
        {"slate": [], "seconds": float("inf")},
        {"slate": [], "reward": 1.0},
    ],
)
def test_what_is_no_answer_is_refused_in_one_line(message: Any) -> None:
    with pytest.raises(InputError) as caught:
        wire.checked_turn(message)
    assert "\n" not in str(caught.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
    | st.fixed_dictionaries({"slate": st.lists(st.integers(), max_size=3)})
)
def test_any_json_is_an_answer_or_refused(message: Any) -> None:
    try:
        kept = wire.checked_turn(message)
    except InputError:
        return
    decision = wire.decision_from(over_the_wire(kept))
    assert decision.action is not None or decision.fault


def test_an_answer_that_cannot_be_shown_is_kept() -> None:
    """It counts as an abstention, as in every run; only what is no answer is sent back."""
    decision = wire.decision_from(wire.checked_turn({"slate": [5, 5, 10**9, -3]}))
    assert decision.action is not None
    assert not is_valid_action(decision.action, 60, 8, 4)


@pytest.fixture(scope="module")
def world() -> PublicData:
    from tasteshift.envs.simulator.training_log import public_data
    from tasteshift.envs.simulator.world import build_world

    return public_data(build_world("synthetic:60", "cold-item", 4), seed=2**63 - 1)


@pytest.fixture(scope="module")
def told(world: PublicData) -> PublicData:
    def fetch(item: int) -> bytes:
        return wire.picture_message(world.catalog.posters[item])

    return wire.world_from(over_the_wire(wire.world_message(world)), fetch)


def test_worlds_round_trip_bit_for_bit(world: PublicData, told: PublicData) -> None:
    assert (told.slate_size, told.seed) == (world.slate_size, world.seed)
    assert told.entry_day.dtype == world.entry_day.dtype
    assert told.entry_day.any()
    np.testing.assert_array_equal(told.entry_day, world.entry_day)
    for part in ("catalog", "log"):
        for column in fields(getattr(world, part)):
            sent, got = (getattr(getattr(one, part), column.name) for one in (world, told))
            if column.name in ("posters", "hash"):
                continue
            if isinstance(sent, np.ndarray):
                assert got.dtype == sent.dtype
                assert got.tobytes() == sent.tobytes()
                assert not got.flags.writeable
            else:
                assert got == (sent if isinstance(sent, (int, str)) else tuple(sent))


def test_the_hash_of_what_is_hidden_does_not_travel(world: PublicData, told: PublicData) -> None:
    assert world.catalog.hash not in json.dumps(wire.world_message(world))
    assert told.catalog.hash != world.catalog.hash


def test_agents_prepare_alike_from_what_was_told(world: PublicData, told: PublicData) -> None:
    brief = Brief(3, 17, 4, 2, 2, "adult")
    slates = []
    for one in (world, told):
        agent = make_agent("linucb")
        agent.prepare(one)
        slates.append(agent.start(brief).act(Observation(3, 0, 0, 0, 4)).slate)
    assert slates[0] == slates[1]
    assert len(slates[0]) == 4


INDEXES = st.one_of(
    st.integers(-60, 59),
    st.slices(60),
    st.lists(st.integers(-60, 59), min_size=1, max_size=4).map(np.array),
    st.lists(st.booleans(), min_size=60, max_size=60).map(np.array),
)


@given(INDEXES)
def test_pictures_are_indexed_like_an_array(index: Any) -> None:
    pixels = np.arange(60 * 3, dtype=np.uint8).reshape(60, 1, 1, 3).repeat(64, 1).repeat(64, 2)
    posters = wire.FetchedPosters(lambda item: wire.picture_message(pixels[item]), 60)
    assert posters.shape == pixels.shape
    assert len(posters) == 60
    np.testing.assert_array_equal(posters[index], pixels[index])


def test_pictures_come_when_they_are_looked_at_and_few_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "PICTURES_KEPT", 3)
    asked: list[int] = []

    def fetch(item: int) -> bytes:
        asked.append(item)
        return wire.picture_message(np.full((64, 64, 3), item, dtype=np.uint8))

    posters = wire.FetchedPosters(fetch, 10)
    assert asked == []
    posters[[1, 2, 3, 1]]
    assert asked == [1, 2, 3]
    posters[4]
    assert posters[1][0, 0, 0] == 1
    assert asked == [1, 2, 3, 4]
    posters[2]
    assert asked == [1, 2, 3, 4, 2]
    with pytest.raises(IndexError):
        posters[10]


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"<svg/>"])
def test_what_is_no_poster_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="item 2"):
        wire.FetchedPosters(lambda item: content, 3)[2]


def test_pictures_of_another_size_are_refused() -> None:
    large = wire.picture_message(np.zeros((65, 64, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="item 0"):
        wire.FetchedPosters(lambda item: large, 1)[0]


@pytest.mark.parametrize(
    "change",
    [
        {"item_id": None},
        {"topic": [[99]]},
        {"topic": []},
        {"price": ["much"]},
        {"slate_size": None},
    ],
)
def test_what_is_no_world_is_refused(world: PublicData, change: dict[str, Any]) -> None:
    message = over_the_wire(wire.world_message(world)) | change
    with pytest.raises(InputError):
        wire.world_from(message, lambda item: b"")


def test_nothing_hidden_is_sent(
    new_attempt: Callable[..., Attempt], play: Callable[..., Any]
) -> None:
    """No latent, no true label, no seed of a world, and no key in anything that goes out."""
    attempt = new_attempt()
    turns = play(attempt, make_agent("random"))
    said: list[Any] = [wire.world_message(attempt.public(w)) for w in range(len(attempt.worlds))]
    said += [attempt.standing(life, turns[life]) for life in turns]
    text = json.dumps(said)
    numbers = set(_numbers(said))
    for world, task in enumerate(attempt.worlds):
        env = task.make()
        hidden = env.world.hidden
        for name in ("z", "anchors", "weights", "appeal", "quality"):
            latents = {float(x) for x in getattr(hidden, name).ravel() if abs(x) > 1e-3} - {1.0}
            assert len(latents) > 50
            assert not latents & numbers, (world, name)
        for beyond in (task.key, *[str(seed).encode() for seed, _ in task.episodes(2)]):
            assert beyond.hex() not in text
            assert beyond.decode("latin-1") not in text
        assert not {seed for seed, _ in task.episodes(2)} & numbers
        told = said[world]
        assert told["maturity"] == attempt.public(world).catalog.maturity.tolist()
        assert set(told) == {field.name for field in fields(wire.WorldMessage)}
    lives = {name for one in said[len(attempt.worlds) :] for name in one}
    assert lives == {"turn", "brief", "seen", "observation"}


def test_a_falsified_label_is_sent_as_the_lie_that_it_is() -> None:
    from tasteshift.envs.simulator.training_log import public_data
    from tasteshift.envs.simulator.world import build_world

    world = build_world("synthetic:60", "minor-profile", 4)
    sent = wire.world_message(public_data(world))
    assert (world.hidden.maturity != sent["maturity"]).any()


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for inner in value.values() for number in _numbers(inner)]
    if isinstance(value, list | tuple):
        return [number for inner in value for number in _numbers(inner)]
    return [value] if isinstance(value, int | float) else []


def test_records_have_no_field_that_is_not_sent() -> None:
    assert set(asdict(Action())) <= {field.name for field in fields(wire.TurnMessage)}

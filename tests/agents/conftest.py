"""Fixtures: environments, running episodes, and a random language-model pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from tasteshift.agents import AGENTS, declares, make_agent
from tasteshift.agents.protocols import PrivilegedAgent, TextAgent
from tasteshift.envs.catalogs.public import PublicData
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.simulator.training_log import public_data
from tasteshift.records import NOTHING, Action
from tasteshift.suites.engine.conversion import to_observation

SMALL = "synthetic:60"


def make_env(scenario: str = "stationary", catalog: str = SMALL, **options: Any) -> Lifelong:
    made = gym.make(
        "TasteShift/Lifelong-v0",
        catalog=catalog,
        scenario=scenario,
        disable_env_checker=True,
        **options,
    )
    assert isinstance(made.unwrapped, Lifelong)
    return made.unwrapped


class RunningEpisode:
    """One user's episode with one agent, a turn at a time."""

    def __init__(self, env: Lifelong, agent: Any, user: int, seed: int = 1000) -> None:
        self.env = env
        self.values, _ = env.reset(seed=seed, options={"user": user})
        brief = env.brief(seed + user)
        privileged = isinstance(agent, PrivilegedAgent)
        self.session = (
            agent.start_with_ground_truth(brief, env.ground_truth)
            if privileged
            else agent.start(brief)
        )
        self.over = False
        self.slates: list[tuple[int, ...]] = []
        self.expected: list[float] = []

    def turn(self) -> None:
        action = self.session.act(to_observation(self.values))
        assert isinstance(action, Action)
        self.slates.append(action.slate)
        self.expected.append(self.env.ground_truth.expected(action.slate))
        slate = np.full(self.env.world.slate_size, NOTHING)
        slate[: len(action.slate)] = action.slate
        self.values, _, _, self.over, _ = self.env.step({"slate": slate})

    def play(self) -> RunningEpisode:
        while not self.over:
            self.turn()
        return self


@pytest.fixture(scope="session")
def new_env() -> Callable[..., Lifelong]:
    return make_env


@pytest.fixture(scope="session")
def new_episode() -> type[RunningEpisode]:
    return RunningEpisode


@pytest.fixture(scope="session")
def small_public() -> PublicData:
    return public_data(make_env().world, seed=3)


@pytest.fixture(scope="session")
def films() -> PublicData:
    pytest.importorskip("recbole", reason="its wheel contains the ratings")
    return public_data(make_env(catalog="movielens-100k").world, seed=3)


@pytest.fixture(scope="session")
def tiny_pair() -> Any:
    """A random Llama of 20 thousand weights that reads bytes, with itself as draft."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from tasteshift.decoders.base import ModelPair

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<end>": 0} | {symbol: n for n, symbol in enumerate(alphabet, start=1)}
    bytes_only = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = decoders.ByteLevel()
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=4096,
        eos_token_id=0,
        bos_token_id=None,
    )
    torch.set_num_threads(1)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).eval()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_only, eos_token="<end>")
    return ModelPair(target=model, draft=model, tokenizer=tokenizer, name="random")


@pytest.fixture
def make(tiny_pair: Any, small_public: PublicData) -> Callable[..., Any]:
    """Makes any registered agent, prepared; text agents use the random pair."""

    def prepared(name: str, public: PublicData = small_public) -> Any:
        if declares(name, TextAgent):
            agent = AGENTS.get(name)(decoder="autoregressive", pair=tiny_pair, threads=1)
        else:
            agent = make_agent(name)
        agent.prepare(public)
        return agent

    return prepared

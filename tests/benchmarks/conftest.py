"""Two tiny Llamas, prompts for them, and progress bars that check their totals."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tasteshift.benchmarks.workloads import Prompt
from tasteshift.decoders.base import ModelPair


def small_llama(seed: int, layers: int, tied: bool = False) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=29, hidden_size=16, intermediate_size=32, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        bos_token_id=None, eos_token_id=None, pad_token_id=None, initializer_range=0.4,
        tie_word_embeddings=tied,
    )  # fmt: skip
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def llama() -> Callable[..., LlamaForCausalLM]:
    """Function of (seed, layers, tied): a model; tied: its output layer is its embedding."""
    return small_llama


@pytest.fixture(scope="session")
def pair() -> ModelPair:
    return ModelPair(small_llama(1, 2), small_llama(2, 1), None, "small")


@pytest.fixture(scope="session")
def made_prompts() -> Callable[..., list[Prompt]]:
    """Function of (count, new tokens): random prompts, each a token longer than the one before."""

    def made(count: int, tokens: int = 8) -> list[Prompt]:
        rng = np.random.default_rng(0)
        return [Prompt(tuple(rng.integers(0, 29, 12 + n).tolist()), tokens) for n in range(count)]

    return made


@pytest.fixture(scope="session")
def counting() -> Callable[[list[str]], object]:
    """Function of a list: progress bars that append updates to it and check their number."""

    def bars(updates: list[str]) -> object:
        @contextmanager
        def bar(label: str, total: int):
            before = len(updates)
            yield updates.append
            assert len(updates) - before == total, label

        return bar

    return bars

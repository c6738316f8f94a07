"""Small seeded Llamas: real transformers models, a few thousand weights each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.drafting import cost_measurement

Llama = Callable[..., LlamaForCausalLM]


@pytest.fixture(autouse=True)
def temporary_profiles(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep profiles measured in tests out of the user's folder."""
    folder = tmp_path_factory.getbasetemp()
    monkeypatch.setattr(cost_measurement, "folder", lambda: folder)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Hold torch to one thread, so that runs agree to the last bit and do not compete for cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_llama(
    seed: int,
    *,
    vocab: int = 31,
    layers: int = 2,
    hidden: int = 16,
    context: int = 512,
    eos: int | None = None,
    sharpness: float = 30.0,
) -> LlamaForCausalLM:
    """A Llama with weights from `seed`; `sharpness` scales its logits."""
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=None,
        initializer_range=0.4,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).eval()
        model.lm_head.weight *= sharpness / 16
    return model


@pytest.fixture(scope="session")
def llama() -> Llama:
    """The builder of small models."""
    return small_llama


@pytest.fixture(scope="session")
def pair() -> ModelPair:
    """A target and a draft that agree only by chance."""
    return ModelPair(small_llama(1), small_llama(2, layers=1), None, "small")


@pytest.fixture(scope="session")
def identical() -> ModelPair:
    """A pair whose draft is its target."""
    model = small_llama(3)
    return ModelPair(model, model, None, "identical")

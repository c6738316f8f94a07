"""An inflated target has the logits of the small one, and the size that its name states."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from tasteshift.decoders import make_decoder
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.pairs import inflation
from tasteshift.decoders.pairs.inflation import SIZES, Size, enlarged, inflated, shape_of
from tasteshift.errors import InputError

TEXT = torch.arange(24)[None] % 19


def small_model(heads: int = 4, shared: int = 2, tied: bool = False) -> LlamaForCausalLM:
    """Two layers, eight numbers a head, and gains that are not all one."""
    config = LlamaConfig(
        vocab_size=19,
        hidden_size=8 * heads,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=shared,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        initializer_range=0.3,
        tie_word_embeddings=tied,
    )
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(5)
        model = LlamaForCausalLM(config).eval()
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.uniform_(0.5, 2.0)
    return model


def logits(model: LlamaForCausalLM) -> torch.Tensor:
    with torch.inference_mode():
        return model(TEXT).logits.float()


def relative_difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


@settings(max_examples=25)
@given(
    copies=st.integers(1, 4),
    heads=st.sampled_from([(4, 4), (4, 2), (4, 1), (6, 2)]),
    more_layers=st.integers(0, 2),
    billions=st.sampled_from([0.0, 4e-5, 2e-4]),
    tied=st.booleans(),
)
def test_enlarging_keeps_the_logits(copies, heads, more_layers, billions, tied) -> None:
    small = small_model(*heads, tied)
    size = Size(billions * 1e9, copies * 8 * heads[0], 2 + more_layers)
    large = enlarged(small, shape_of(small.config, size))
    assert large.config.hidden_size == copies * small.config.hidden_size
    assert large.config.num_hidden_layers == 2 + more_layers
    assert large.config.head_dim == small.config.head_dim
    assert relative_difference(logits(large), logits(small)) <= 1e-5


def test_bfloat16_rounds_no_worse_than_in_the_small_model() -> None:
    small = small_model()
    exact = logits(small)
    large = enlarged(small, shape_of(small.config, Size(1e6, 128, 5))).to(torch.bfloat16)
    assert relative_difference(logits(large), exact) <= 2 * relative_difference(
        logits(small.to(torch.bfloat16)), exact
    )


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(
    "small",
    [
        {"hidden": 256, "inner": 384, "layers": 16, "heads": 4, "shared": 2, "vocab": 4096},
        {"hidden": 576, "inner": 1536, "layers": 30, "heads": 9, "shared": 3, "vocab": 49152},
    ],
)
def test_sizes_have_the_stated_parameters_and_width(name: str, small: dict[str, int]) -> None:
    """For the shipped pairs: parameters within 2 %, width within an eighth."""
    config = LlamaConfig(
        vocab_size=small["vocab"],
        hidden_size=small["hidden"],
        intermediate_size=small["inner"],
        num_hidden_layers=small["layers"],
        num_attention_heads=small["heads"],
        num_key_value_heads=small["shared"],
    )
    with torch.device("meta"):
        large = LlamaForCausalLM(shape_of(config, SIZES[name]))
    assert large.num_parameters() == pytest.approx(SIZES[name].parameters, rel=0.02)
    assert large.config.hidden_size == pytest.approx(SIZES[name].hidden, rel=0.125)


def test_an_inflated_pair_generates_the_same_text_under_another_name(
    pair: ModelPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(inflation.SIZES, "double", Size(2e5, 32, 3))
    large = inflated(pair, "double")
    assert large.name.startswith(f"{pair.name} inflated to 0.00")
    assert large.hash != pair.hash
    assert large.draft is pair.draft
    for name in ("autoregressive", "exact-dynamic", "mcsd"):
        texts = [
            make_decoder(name, one, temperature=0.7, seed=3).generate((1, 2, 3), 24).tokens
            for one in (pair, large)
        ]
        assert texts[0] == texts[1]


def test_unknown_sizes_and_patched_models_are_refused(pair: ModelPair) -> None:
    with pytest.raises(InputError, match="llama-1b, llama-7b"):
        inflated(pair, "llama-70b")
    odd = small_model()
    odd.forward = lambda *a, **k: None
    with pytest.raises(InputError, match="no plain Llama"):
        inflated(ModelPair(odd, odd, None, "odd"), "llama-1b")

"""The fused Llama pass against transformers' own, and models that only transformers can read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tasteshift.decoders.execution.forward import (
    ForwardInput,
    FusedLlama,
    attention_bias,
    concatenated_weights,
    forward_of,
    fused_linear,
    is_plain_llama,
    transformers_forward,
)
from tasteshift.decoders.execution.kv_cache import KVCache
from tasteshift.decoders.pairs.smollm2 import early_exit
from tasteshift.decoders.sampling.static_tree import make_tree

TREE = make_tree((3, 2, 1))


def model_of(**changes) -> LlamaForCausalLM:
    shape = {
        "vocab_size": 50,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,
    }
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return LlamaForCausalLM(LlamaConfig(**shape | changes)).eval()


def read(forward, model, count: int) -> list[np.ndarray]:
    """Logits and hidden states of a prompt, a tree under its mask, and one token alone."""
    cache = KVCache(model)
    cache.reserve(64)
    start = 0
    rng = np.random.default_rng(0)
    seen = []
    for size, depths, sees in (
        (9, np.arange(9), np.tri(9, dtype=bool)),
        (len(TREE), 9 + TREE.depths, np.hstack([np.ones((len(TREE), 9), dtype=bool), TREE.mask])),
        (1, np.array([9 + len(TREE)]), None),
    ):
        ids = torch.from_numpy(rng.integers(0, 50, size))[None]
        positions = torch.from_numpy(depths.copy())[None]
        mask = None if sees is None else torch.from_numpy(sees)[None]
        cells, start = slice(start, start + size), start + size
        with torch.inference_mode():
            seen += forward(
                [
                    ForwardInput(
                        ids, positions, mask, cache.layers, cache.window, cells, start, count
                    )
                ]
            )[0]
    return [table[0].numpy() for table in seen]


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_key_value_heads": 4},
        {"num_key_value_heads": 1, "head_dim": 6},
        {"tie_word_embeddings": True, "rms_norm_eps": 1e-2},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 321.0}},
    ],
)
def test_fused_and_transformers_passes_agree(changes: dict[str, object], count: int) -> None:
    model = model_of(**changes)
    assert is_plain_llama(model)
    theirs = read(transformers_forward(model), model, count)
    ours = read(FusedLlama(model), model, count)
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() < 1e-5 * np.abs(other).max()
    again = read(transformers_forward(model), model, count)
    assert all((one == other).all() for one, other in zip(again, theirs, strict=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "gelu"},
        {"attention_bias": True},
        {"mlp_bias": True},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
    ],
)
def test_llamas_with_other_features_are_not_plain(changes: dict[str, object]) -> None:
    assert not is_plain_llama(model_of(**changes))


def test_other_architectures_are_not_plain() -> None:
    assert not is_plain_llama(GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2)).eval())


def test_a_forward_pass_is_shared_and_keeps_the_weights() -> None:
    model, untouched = model_of(), model_of()
    assert forward_of(model) is forward_of(model)
    for name, weight in untouched.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight)


def test_shared_layers_are_fused_once() -> None:
    target = model_of()
    draft = early_exit(target, 2)
    for whole, part in zip(target.model.layers, draft.model.layers, strict=False):
        assert fused_linear(whole.mlp.down_proj) is fused_linear(part.mlp.down_proj)


@pytest.mark.parametrize("shared", [False, True])
def test_concatenated_weights(shared: bool) -> None:
    """The same numbers; where shared, in the same memory, and still trainable."""
    with torch.random.fork_rng([]):
        layers = [torch.nn.Linear(4, out, bias=False) for out in (3, 2)]
    before = [layer.weight.detach().clone() for layer in layers]
    with torch.inference_mode():
        whole = concatenated_weights(layers, shared)
    assert (whole == torch.cat(before)).all()
    for layer, weight in zip(layers, before, strict=True):
        assert (layer.weight == weight).all()
        assert layer.weight.requires_grad
        assert not layer.weight.is_inference()
        mine = layer.weight.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()
        assert mine == shared
    assert concatenated_weights(layers[:1], shared).data_ptr() == layers[0].weight.data_ptr()


def test_attention_bias_is_minus_infinity_where_masked() -> None:
    mask = torch.tensor([[[True, False], [True, True]]])
    bias = attention_bias(mask, 2, torch.float32)
    rows = [[0.0, -torch.inf], [0.0, 0.0]]
    assert bias.tolist() == [[[*rows, *rows]]]

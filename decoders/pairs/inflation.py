"""Inflated pairs: a small target in the shape of a large one, with the same logits.

A decoder's speed-up depends on the acceptance of its draft and on the cost of a target pass. A
small pair that runs anywhere has realistic acceptance, but its passes are mostly dispatch; a large
one has realistic cost, and needs a large machine to be trained or even loaded. So the small target
is enlarged to a large shape without changing its function (Net2Net: Chen et al. 2016, arXiv
1511.05641):

- width: the residual stream holds k copies of the small one, so that a norm sees the same mean
  square; layers read the first copy and write to all;
- more heads and more inner units, whose output is multiplied by zero;
- more layers, which add zero to the stream.

The zeros are multiplied like any other number, so a pass costs what the large shape costs.
The name of such a pair says that it is inflated.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from ...errors import InputError
from ..base import ModelPair
from ..execution.forward import is_plain_llama


@dataclass(frozen=True)
class Size:
    """Size to enlarge a model to, approximately: it depends on the small model's shape.

    parameters  embeddings included, in and out
    hidden      width of the residual stream; the nearest multiple of the small one's is taken
    layers      or as many as the small one has, if it has more
    """

    parameters: float
    hidden: int
    layers: int


SIZES = {"llama-1b": Size(1.24e9, 2048, 16), "llama-7b": Size(6.74e9, 4096, 32)}
"""Llama-3.2-1B and Llama-2-7B, by their parameters, widths and layers."""

GRAIN = 64
"""The inner width is a multiple of this."""


def inflated(pair: ModelPair, size: str) -> ModelPair:
    """The pair with its target enlarged; the draft stays as it is.

    Raises InputError for a size that is not in `SIZES`, or a target that cannot be enlarged.
    """
    if size not in SIZES:
        raise InputError(f"there is no size {size!r}; pick one of {', '.join(SIZES)}")
    if not (isinstance(pair.target, LlamaForCausalLM) and is_plain_llama(pair.target)):
        raise InputError(f"the target of {pair.name!r} is no plain Llama; only those are enlarged")
    target = enlarged(pair.target, shape_of(pair.target.config, SIZES[size]))
    billions = target.num_parameters() / 1e9
    recipe = pair.fingerprint and f"{pair.fingerprint} at {size}"
    return replace(
        pair,
        target=target,
        name=f"{pair.name} inflated to {billions:.2f} B",
        fingerprint=recipe and hashlib.sha256(recipe.encode()).hexdigest(),
        timed=True,
    )


def shape_of(config: Any, size: Size) -> LlamaConfig:
    """The config nearest to a size that can hold a model of shape `config`.

    The inner width is chosen last, to match the number of parameters.
    """
    copies = max(1, round(size.hidden / config.hidden_size))
    hidden, layers = copies * config.hidden_size, max(size.layers, config.num_hidden_layers)
    group = config.num_attention_heads // config.num_key_value_heads
    shared = max(config.num_key_value_heads, hidden // (config.head_dim * group))
    projections = 2 * hidden * config.head_dim * shared * (group + 1)
    left = (size.parameters - 2 * config.vocab_size * hidden) / layers - projections
    inner = max(config.intermediate_size, GRAIN * round(left / (3 * hidden * GRAIN)))
    return LlamaConfig(
        **config.to_dict()
        | {
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_key_value_heads": shared,
            "num_attention_heads": shared * group,
            "intermediate_size": inner,
            "tie_word_embeddings": False,
        }
    )


def enlarged(model: LlamaForCausalLM, config: LlamaConfig) -> LlamaForCausalLM:
    """The model in shape `config`, with its dtype and device, in eval mode."""
    with torch.device("meta"):
        large = LlamaForCausalLM(config)
    large.to_empty(device=model.device)
    large.model.rotary_emb = model.model.rotary_emb
    small = dict(model.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, weight in large.named_parameters():
            weight.data = weight.data.to(model.dtype).zero_()
            if name in small:
                copy_into(weight, small[name], name)
            elif weight.ndim == 1:
                weight.fill_(1.0)
    large.generation_config = model.generation_config
    large.train(False)
    return large


def copy_into(large: Tensor, small: Tensor, name: str) -> None:
    """Write a small weight into a large one of zeros, by the rules of this module."""
    if name == "model.norm.weight":  # the head sees the first copy alone
        large[: len(small)] = small
    elif small.ndim == 1:
        large.copy_(small.repeat(len(large) // len(small)))
    elif name.endswith(("o_proj.weight", "down_proj.weight")):
        large[:, : small.shape[1]] = small.repeat(len(large) // len(small), 1)
    elif name == "model.embed_tokens.weight":
        large.copy_(small.repeat(1, large.shape[1] // small.shape[1]))
    else:
        large[: small.shape[0], : small.shape[1]] = small

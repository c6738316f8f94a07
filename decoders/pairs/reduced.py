"""Reduced drafts: a few layers, the target's embedding, and only frequent tokens in the head.

In a small model most of the weights, and most of the time of a one-token pass, are the output
layer. Here it scores only the frequent tokens, with rows gathered from the target's own embedding
(after FR-Spec: Zhao et al. 2025, arXiv 2502.14856), and gives every other token −inf: q is 0
there, which verification allows: tokens that are never drafted come from the target. A file
therefore holds the layers, the last norm and the ids; everything of vocabulary size is taken from
the target when the draft is loaded.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from ...errors import InputError
from ..execution.linear import LinearMap, packed_linear


class ReducedHead(nn.Module):
    """Output layer that scores some tokens; the logits of all others are −inf.

    weight      (tokens, hidden) one row per token scored
    ids         (tokens,) int64, their ids, rising, so that the lowest of equals stays the first
    vocabulary  number of logits

    Inputs (rows, hidden) in inference mode use a packed copy of the weight.
    """

    weight: nn.Parameter
    ids: torch.Tensor

    def __init__(self, weight: torch.Tensor, ids: torch.Tensor, vocabulary: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_buffer("ids", ids)
        self.vocabulary = vocabulary
        self._packed: LinearMap | None = None

    def scores(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits (…, tokens) of the scored tokens; hidden (…, hidden)."""
        if hidden.dim() == 2 and torch.is_inference_mode_enabled():
            self._packed = self._packed or packed_linear(self.weight)
            return self._packed(hidden)
        return nn.functional.linear(hidden, self.weight)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits (…, vocabulary); hidden (…, hidden)."""
        every = hidden.new_full((*hidden.shape[:-1], self.vocabulary), -math.inf)
        return every.index_copy_(-1, self.ids, self.scores(hidden))


def reduced(target: PreTrainedModel, ids: Sequence[int], layers: Sequence[int]) -> PreTrainedModel:
    """A new draft in eval mode: copies of some of the target's layers and of its last norm.

    target  a causal model built like Llama (Mistral, Qwen, …)
    ids     token ids that the draft scores, in any order
    layers  numbers of the target's layers, from 0, in the order of the draft's

    The embedding is the target's own module. Raises InputError where the target is built
    otherwise, or has no such layer or token.
    """
    source = _parts(target)
    if not layers or not all(0 <= layer < len(source.layers) for layer in layers):
        raise InputError(
            f"layers are {list(layers)}; give some of the target's 0 … {len(source.layers) - 1}"
        )
    draft = _shell(target, ids, len(layers))
    for own, number in zip(_parts(draft).layers, layers, strict=True):
        own.load_state_dict(source.layers[number].state_dict(), assign=True)
    _parts(draft).norm.load_state_dict(source.norm.state_dict(), assign=True)
    for weight in _body(draft).parameters():
        weight.data = weight.data.clone()
    return draft


def save(draft: PreTrainedModel, path: Path) -> None:
    """Write the draft's own weights, layers and norm in bf16, and its token ids."""
    weights = {
        name: weight.detach().to("cpu", torch.bfloat16).contiguous()
        for name, weight in _body(draft).state_dict().items()
    }
    ids = cast(ReducedHead, draft.lm_head).ids.to("cpu", torch.int32)
    save_file({**weights, IDS: ids}, path)


def load(path: Path, target: PreTrainedModel) -> PreTrainedModel:
    """Load a draft that `save` wrote, for the target it was made for, in the target's dtype.

    Raises InputError where the file cannot be read or belongs to another target.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot load draft {str(path)!r} ({error})") from None
    layers = {int(name.split(".")[1]) for name in weights if name.startswith("layers.")}
    try:
        draft = _shell(target, weights.pop(IDS).tolist(), len(layers))
        like = cast(torch.Tensor, target.get_input_embeddings().weight)
        weights = {name: weight.to(like) for name, weight in weights.items()}
        _body(draft).load_state_dict(weights, assign=True)
    except (KeyError, RuntimeError):
        raise InputError(
            f"draft {str(path)!r} was not made for this target; distil one with training/distil.py"
        ) from None
    return draft


IDS = "ids"


class _Body(nn.Module):
    """The weights that a draft has to itself."""

    def __init__(self, layers: nn.ModuleList, norm: nn.Module) -> None:
        super().__init__()
        self.layers, self.norm = layers, norm


def _body(draft: PreTrainedModel) -> _Body:
    parts = _parts(draft)
    return _Body(parts.layers, parts.norm)


def _parts(model: PreTrainedModel) -> Any:
    base = model.base_model
    if not all(hasattr(base, part) for part in ("embed_tokens", "layers", "norm", "rotary_emb")):
        raise InputError(
            f"{type(model).__name__} is not built like Llama; a reduced draft needs such a target"
        )
    return base


def _shell(target: PreTrainedModel, ids: Sequence[int], layers: int) -> PreTrainedModel:
    """A draft without weights in its layers and norm."""
    source = _parts(target)
    config = copy.deepcopy(target.config)
    config.num_hidden_layers, config.tie_word_embeddings = layers, False
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    rows = torch.tensor(sorted(set(ids)), device=target.device)
    if not len(rows) or rows[0] < 0 or rows[-1] >= config.vocab_size:
        raise InputError(f"token ids must lie in 0 … {config.vocab_size - 1}; give at least one")
    with torch.device("meta"):
        draft = type(target)(config)
    parts = _parts(draft)
    parts.embed_tokens, parts.rotary_emb = source.embed_tokens, source.rotary_emb
    head: Any = target.get_output_embeddings()  # type: ignore[no-untyped-call]
    weight = head.weight.detach()[rows]
    draft.lm_head = ReducedHead(weight, rows, config.vocab_size)
    draft.train(False)
    return draft

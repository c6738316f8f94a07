"""The forward pass of a model over new tokens: through transformers, or fused for plain Llamas.

A small model's time is dispatch, not arithmetic: a Llama of 12 layers and 256 wide spends most of
a one-token pass inside transformers' modules. `FusedLlama` does the same arithmetic with a third
of the calls, and with weights packed for it. Every decoder reads through `forward_of`, so no
decoder has a faster pass than another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import NamedTuple
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedModel
from transformers.cache_utils import Cache

from .kv_cache import CacheWindow, TreeLayer
from .linear import LinearMap, packed_linear


class ForwardInput(NamedTuple):
    """Rows to read for the sequences of one cache, the same number for each.

    ids, positions  (sequences, rows)
    mask            (sequences, rows, visible_cells) whether a row attends to a cell; None: to all
    layers, window  those of the cache
    write_cells     as in `CacheWindow`
    visible_cells   as in `CacheWindow`
    logits_to_keep  how many of the last rows of each sequence to return logits of; 0 for all
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor | None
    layers: Sequence[TreeLayer]
    window: CacheWindow
    write_cells: slice | Tensor
    visible_cells: int
    logits_to_keep: int

    def set_window(self) -> None:
        """Point the cache's layers at the cells of this pass."""
        self.window.write_cells, self.window.visible_cells = self.write_cells, self.visible_cells


ForwardOutput = tuple[Tensor, Tensor]
"""Logits (sequences, rows kept, vocabulary); input of the head (sequences, rows, hidden size)."""

Forward = Callable[[Sequence[ForwardInput]], list[ForwardOutput]]
"""One model over one or more caches; the sequences of each attend to their own keys alone."""


_forwards: WeakKeyDictionary[PreTrainedModel, Forward] = WeakKeyDictionary()
_lock = Lock()


def forward_of(model: PreTrainedModel) -> Forward:
    """The fastest forward pass available for a model; made once and shared."""
    with _lock:
        if model not in _forwards:
            make = FusedLlama if is_plain_llama(model) else transformers_forward
            _forwards[model] = make(model)
        return _forwards[model]


def forget(model: PreTrainedModel) -> None:
    """Drop what was packed for a model whose weights have been changed in place."""
    _forwards.pop(model, None)
    for module in model.modules():
        _fused.pop(module, None)


def transformers_forward(model: PreTrainedModel) -> Forward:
    """The pass as transformers computes it, for any causal model that takes a 4-D mask.

    Caches are read one after the other.
    """
    known = ref(model)  # the pass is kept for as long as the model, which it must not keep alive

    def forward(one: ForwardInput) -> ForwardOutput:
        one.set_window()
        mask = one.mask
        if mask is None:
            shape = (*one.ids.shape, one.visible_cells)
            mask = torch.ones(shape, dtype=torch.bool, device=one.ids.device)
        reader = known()
        assert reader is not None
        output = reader(
            input_ids=one.ids,
            attention_mask=mask[:, None],
            position_ids=one.positions,
            past_key_values=Cache(layers=list(one.layers)),
            use_cache=True,
            logits_to_keep=one.logits_to_keep,
            output_hidden_states=True,
        )
        return output.logits, output.hidden_states[-1]

    return lambda inputs: [forward(one) for one in inputs]


def is_plain_llama(model: PreTrainedModel) -> bool:
    """Whether `FusedLlama` covers all that a model computes; not if it is wrapped or patched."""
    config = model.config
    return (
        type(model).forward is LlamaForCausalLM.forward
        and "forward" not in vars(model)
        and config.hidden_act == "silu"
        and not config.attention_bias
        and not config.mlp_bias
        and config.rope_parameters.get("rope_type", "default") == "default"
        and all(type(layer.mlp.down_proj) is torch.nn.Linear for layer in model.model.layers)
    )


class FusedLlama:
    """A plain Llama's forward pass, with projections that read the same rows fused into one.

    The rows of all sequences go through each projection at once; only attention is per cache.

    On a CPU the projections keep their own copy of the weights, so a model that is trained further
    has to be loaded anew.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        config, self.body = model.config, model.model
        self.size = config.head_dim
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.eps, self.inner = config.rms_norm_eps, config.intermediate_size
        self.weights = [
            (
                block.input_layernorm.weight,
                fused_linear(
                    block.self_attn.q_proj, block.self_attn.k_proj, block.self_attn.v_proj
                ),
                fused_linear(block.self_attn.o_proj),
                block.post_attention_layernorm.weight,
                fused_linear(block.mlp.gate_proj, block.mlp.up_proj),
                fused_linear(block.mlp.down_proj),
            )
            for block in self.body.layers
        ]
        plain = type(model.lm_head) is torch.nn.Linear
        self.head = fused_linear(model.lm_head) if plain else model.lm_head

    def __call__(self, inputs: Sequence[ForwardInput]) -> list[ForwardOutput]:
        """As `Forward`."""
        for one in inputs:
            one.set_window()
        group, half = self.heads // self.kv_heads, self.size // 2
        lengths = [one.ids.numel() for one in inputs]
        rows, rotated_heads = sum(lengths), self.heads + self.kv_heads
        x = self.body.embed_tokens(_concatenate([one.ids.flatten() for one in inputs]))
        biases = [
            None if one.mask is None else attention_bias(one.mask, group, x.dtype) for one in inputs
        ]
        positions = _concatenate([one.positions.flatten() for one in inputs])
        cos, sin = (table[0, :, None] for table in self.body.rotary_emb(x, positions[None]))
        sin = torch.cat((-sin[..., :half], sin[..., half:]), dim=-1)
        for layer, (before, qkv, out, after, gate_up, down) in enumerate(self.weights):
            split = qkv(functional.rms_norm(x, before.shape, before, self.eps))
            split = split.view(rows, rotated_heads + self.kv_heads, self.size)
            rotated = split[:, :rotated_heads]
            rotated = rotated * cos + rotated.roll(half, dims=-1) * sin
            parts = zip(
                inputs,
                biases,
                _split(rotated, lengths),
                _split(split[:, rotated_heads:], lengths),
                strict=True,
            )
            x = x + out(_concatenate([self._attention(layer, *part) for part in parts]))
            mixed = gate_up(functional.rms_norm(x, after.shape, after, self.eps))
            x = x + down(functional.silu(mixed[:, : self.inner]) * mixed[:, self.inner :])
        norm = self.body.norm.weight
        x = functional.rms_norm(x, norm.shape, norm, self.eps)
        return self._outputs(inputs, _split(x, lengths))

    def _attention(
        self,
        layer: int,
        one: ForwardInput,
        bias: Tensor | None,
        rotated: Tensor,
        values: Tensor,
    ) -> Tensor:
        """Attention of one cache's rows over its own keys: (sequences · rows, heads · size).

        rotated  (sequences · rows, heads + kv_heads, size) queries and keys
        values   (sequences · rows, kv_heads, size)

        Query heads that share keys are read as more rows, which any attention kernel can do.
        """
        sequences, rows = one.ids.shape
        heads, shared, size = self.heads, self.kv_heads, self.size
        rotated = rotated.view(sequences, rows, heads + shared, size).transpose(1, 2)
        values = values.view(sequences, rows, shared, size).transpose(1, 2)
        keys_values = one.layers[layer].update(rotated[:, heads:], values)
        queries = rotated[:, :heads].reshape(sequences, shared, heads // shared * rows, size)
        mixed = functional.scaled_dot_product_attention(queries, *keys_values, attn_mask=bias)
        mixed = mixed.view(sequences, heads, rows, size).transpose(1, 2)
        return mixed.reshape(sequences * rows, heads * size)

    def _outputs(
        self, inputs: Sequence[ForwardInput], states: Sequence[Tensor]
    ) -> list[ForwardOutput]:
        """Logits and head inputs of each cache, from its rows of normalized states."""
        hidden = [part.view(*one.ids.shape, -1) for one, part in zip(inputs, states, strict=True)]
        kept = [part[:, -one.logits_to_keep :] for one, part in zip(inputs, hidden, strict=True)]
        scores = self.head(_concatenate([part.flatten(0, 1) for part in kept]))
        each = _split(scores, [part.shape[0] * part.shape[1] for part in kept])
        logits = [one.view(*part.shape[:2], -1) for one, part in zip(each, kept, strict=True)]
        return list(zip(logits, hidden, strict=True))


def attention_bias(mask: Tensor, group: int, dtype: torch.dtype) -> Tensor:
    """Additive attention bias (sequences, 1, group · rows, visible cells): 0, or −∞ where masked.

    Computed once for all layers; each would do it for itself.
    """
    bias = torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, -torch.inf)
    return bias[:, None].repeat(1, 1, group, 1)


def _concatenate(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _split(rows: Tensor, lengths: list[int]) -> Sequence[Tensor]:
    return (rows,) if len(lengths) == 1 else rows.split(lengths)  # type: ignore[no-untyped-call]


_fused: WeakKeyDictionary[torch.nn.Module, LinearMap] = WeakKeyDictionary()


def fused_linear(*projections: torch.nn.Linear) -> LinearMap:
    """One linear map for several projections; layers that two models share are fused once."""
    first = projections[0]
    if first not in _fused:
        shared = first.weight.device.type != "cpu"
        _fused[first] = packed_linear(concatenated_weights(projections, shared))
    return _fused[first]


def concatenated_weights(projections: Sequence[torch.nn.Linear], shared: bool) -> Tensor:
    """The weights of several projections as one tensor.

    shared  make the projections' own weights views of it: on a GPU they need not be there twice,
            while a CPU packs them into another layout in any case
    """
    with torch.inference_mode(False):
        weights = [one.weight.detach() for one in projections]
        whole = weights[0] if len(weights) == 1 else torch.cat(weights)
        if shared:
            start = 0
            for one in projections:
                one.weight.data = whole[start : start + one.out_features]
                start += one.out_features
    return whole

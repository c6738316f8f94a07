"""One pass of a model over new tokens: through transformers, or straight through its weights.

A small model's time is dispatch, not arithmetic: a Llama of 12 layers and 256 wide spends most of
a one-token pass inside transformers' modules. `straight` does the same arithmetic with a third
of the calls, and with weights laid out for it. Every decoder reads through `forward_of`, so none
is fast at another's expense.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedModel
from transformers.cache_utils import Cache

from .linear import Product, product_with

Forward = Callable[[Tensor, Tensor, "Tensor | None", Sequence[Any], int], tuple[Tensor, Tensor]]
"""(ids, positions, mask, layers, count) -> (logits of the last `count` rows, hidden states).

ids, positions  (rows,)
mask            (rows, slots in use after the pass), whether a row attends to a slot; None: to all
layers          the cache, one entry per layer; the pass appends its rows to each
count           0 for all rows
hidden states   (rows, hidden size), what the head reads
"""

_known: WeakKeyDictionary[PreTrainedModel, Forward] = WeakKeyDictionary()


def forward_of(model: PreTrainedModel) -> Forward:
    """The quickest pass that is known for a model; the same one for everybody who asks."""
    if model not in _known:
        _known[model] = straight(model) if is_plain_llama(model) else through_transformers(model)
    return _known[model]


def forget(model: PreTrainedModel) -> None:
    """Let the next reader lay out the weights anew: they have been changed in place."""
    _known.pop(model, None)
    for module in model.modules():
        _joined.pop(module, None)


def through_transformers(model: PreTrainedModel) -> Forward:
    """The pass as transformers makes it, for any causal model that takes a 4-D mask."""
    known = ref(model)  # the pass is kept for as long as the model, which it must not keep alive

    def forward(
        ids: Tensor, positions: Tensor, mask: Tensor | None, layers: Sequence[Any], count: int
    ) -> tuple[Tensor, Tensor]:
        if mask is None:
            slots = layers[0].get_seq_length() + len(ids)
            mask = torch.ones((len(ids), slots), dtype=torch.bool, device=ids.device)
        read = known()
        assert read is not None
        output = read(
            input_ids=ids[None],
            attention_mask=mask[None, None],
            position_ids=positions[None],
            past_key_values=Cache(layers=list(layers)),
            use_cache=True,
            logits_to_keep=count,
            output_hidden_states=True,
        )
        return output.logits[0], output.hidden_states[-1][0]

    return forward


def is_plain_llama(model: PreTrainedModel) -> bool:
    """Whether `straight` knows all that a model does; a wrapped or patched one is not plain."""
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


def straight(model: PreTrainedModel) -> Forward:
    """A plain Llama's pass, with projections that read the same rows joined into one product.

    The model itself stays as it is; the products keep their own copy of its weights, so a model
    that is trained further has to be loaded anew.
    """
    config, body = model.config, model.model
    size = config.head_dim
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    eps, wide = config.rms_norm_eps, config.intermediate_size
    layers_of_weights = [
        (
            block.input_layernorm.weight,
            joined(block.self_attn.q_proj, block.self_attn.k_proj, block.self_attn.v_proj),
            joined(block.self_attn.o_proj),
            block.post_attention_layernorm.weight,
            joined(block.mlp.gate_proj, block.mlp.up_proj),
            joined(block.mlp.down_proj),
        )
        for block in body.layers
    ]
    plain = type(model.lm_head) is torch.nn.Linear
    head = joined(model.lm_head) if plain else model.lm_head

    def forward(
        ids: Tensor, positions: Tensor, mask: Tensor | None, layers: Sequence[Any], count: int
    ) -> tuple[Tensor, Tensor]:
        rows = len(ids)
        x = body.embed_tokens(ids)
        cos, sin = (table[0, :, None] for table in body.rotary_emb(x, positions[None]))
        sin = torch.cat((-sin[..., : size // 2], sin[..., size // 2 :]), dim=-1)
        for layer, (before, qkv, out, after, gate_up, down) in zip(
            layers, layers_of_weights, strict=True
        ):
            split = qkv(functional.rms_norm(x, before.shape, before, eps))
            split = split.view(rows, heads + 2 * shared, size)
            turned = split[:, : heads + shared]
            turned = turned * cos + turned.roll(size // 2, dims=-1) * sin
            keys, values = layer.update(
                turned[None, :, heads:].transpose(1, 2),
                split[None, :, heads + shared :].transpose(1, 2),
            )
            seen = functional.scaled_dot_product_attention(
                turned[None, :, :heads].transpose(1, 2),
                keys,
                values,
                attn_mask=None if mask is None else mask[None, None],
                enable_gqa=shared != heads,
            )
            x = x + out(seen[0].transpose(0, 1).reshape(rows, heads * size))
            mixed = gate_up(functional.rms_norm(x, after.shape, after, eps))
            x = x + down(functional.silu(mixed[:, :wide]) * mixed[:, wide:])
        x = functional.rms_norm(x, body.norm.weight.shape, body.norm.weight, eps)
        return head(x[-count:] if count else x), x

    return forward


_joined: WeakKeyDictionary[torch.nn.Module, Product] = WeakKeyDictionary()


def joined(*projections: torch.nn.Linear) -> Product:
    """One product for several projections; layers that two models share are joined once."""
    first = projections[0]
    if first not in _joined:
        _joined[first] = product_with(torch.cat([one.weight.detach() for one in projections]))
    return _joined[first]

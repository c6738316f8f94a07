"""One pass of a model over new tokens: through transformers, or straight through its weights.

A small model's time is dispatch, not arithmetic: a Llama of 12 layers and 256 wide spends most of
a one-token pass inside transformers' modules. `straight` does the same arithmetic with a third
of the calls, and with weights laid out for it. Every decoder reads through `forward_of`, so none
is fast at another's expense.
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

from .kv_cache import Aim, TreeLayer
from .linear import Product, product_with


class Pass(NamedTuple):
    """What the texts of one cache want read, the same number of rows each.

    ids, positions  (texts, rows)
    mask            (texts, rows, reach), whether a row attends to a slot; None: to all
    layers, aim     those of the cache
    where, reach    as in Aim: the slots that the rows go to, and how many may be seen
    last            how many of the last rows of each text to give logits of; 0 for all
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor | None
    layers: Sequence[TreeLayer]
    aim: Aim
    where: slice | Tensor
    reach: int
    last: int

    def take_aim(self) -> None:
        """Tell the layers where the rows go."""
        self.aim.where, self.aim.reach = self.where, self.reach


Read = tuple[Tensor, Tensor]
"""Logits (texts, rows asked for, vocabulary); what the head read (texts, rows, hidden size)."""

Forward = Callable[[Sequence[Pass]], list[Read]]
"""One model over the texts of one cache or of several, each of which sees its own keys alone."""


_known: WeakKeyDictionary[PreTrainedModel, Forward] = WeakKeyDictionary()
_desk = Lock()


def forward_of(model: PreTrainedModel) -> Forward:
    """The quickest pass that is known for a model; the same one for everybody who asks."""
    with _desk:
        if model not in _known:
            way = straight if is_plain_llama(model) else through_transformers
            _known[model] = way(model)
        return _known[model]


def forget(model: PreTrainedModel) -> None:
    """Let the next reader lay out the weights anew: they have been changed in place."""
    _known.pop(model, None)
    for module in model.modules():
        _joined.pop(module, None)


def through_transformers(model: PreTrainedModel) -> Forward:
    """The pass as transformers makes it, for any causal model that takes a 4-D mask.

    Caches are read one after the other.
    """
    known = ref(model)  # the pass is kept for as long as the model, which it must not keep alive

    def forward(one: Pass) -> Read:
        one.take_aim()
        mask = one.mask
        if mask is None:
            shape = (*one.ids.shape, one.reach)
            mask = torch.ones(shape, dtype=torch.bool, device=one.ids.device)
        reader = known()
        assert reader is not None
        output = reader(
            input_ids=one.ids,
            attention_mask=mask[:, None],
            position_ids=one.positions,
            past_key_values=Cache(layers=list(one.layers)),
            use_cache=True,
            logits_to_keep=one.last,
            output_hidden_states=True,
        )
        return output.logits, output.hidden_states[-1]

    return lambda passes: [forward(one) for one in passes]


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

    The rows of all texts go through each product at once; only attention is each cache's own.

    On a CPU the products keep their own copy of the weights, so a model that is trained further has
    to be loaded anew.
    """
    config, body = model.config, model.model
    size = config.head_dim
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    group = heads // shared
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

    def attended(
        one: Pass, mask: Tensor | None, layer: int, turned: Tensor, values: Tensor
    ) -> Tensor:
        """(texts · rows, heads · size): what the rows take from the texts of their cache.

        Heads that share keys are read as more rows, which any kernel of attention can do.
        """
        texts, rows = one.ids.shape
        turned = turned.view(texts, rows, heads + shared, size).transpose(1, 2)
        values = values.view(texts, rows, shared, size).transpose(1, 2)
        held = one.layers[layer].update(turned[:, heads:], values)
        asked = turned[:, :heads].reshape(texts, shared, group * rows, size)
        taken = functional.scaled_dot_product_attention(asked, *held, attn_mask=mask)
        taken = taken.view(texts, heads, rows, size).transpose(1, 2)
        return taken.reshape(texts * rows, heads * size)

    def forward(passes: Sequence[Pass]) -> list[Read]:
        for one in passes:
            one.take_aim()
        lengths = [one.ids.numel() for one in passes]
        rows = sum(lengths)
        x = body.embed_tokens(_end_to_end([one.ids.flatten() for one in passes]))
        masks = [None if one.mask is None else added(one.mask, group, x.dtype) for one in passes]
        positions = _end_to_end([one.positions.flatten() for one in passes])
        cos, sin = (table[0, :, None] for table in body.rotary_emb(x, positions[None]))
        sin = torch.cat((-sin[..., : size // 2], sin[..., size // 2 :]), dim=-1)
        for layer, (before, qkv, out, after, gate_up, down) in enumerate(layers_of_weights):
            split = qkv(functional.rms_norm(x, before.shape, before, eps))
            split = split.view(rows, heads + 2 * shared, size)
            turned = split[:, : heads + shared]
            turned = turned * cos + turned.roll(size // 2, dims=-1) * sin
            values = split[:, heads + shared :]
            parts = zip(
                passes, masks, _apart(turned, lengths), _apart(values, lengths), strict=True
            )
            x = x + out(
                _end_to_end([attended(one, mask, layer, *part) for one, mask, *part in parts])
            )
            mixed = gate_up(functional.rms_norm(x, after.shape, after, eps))
            x = x + down(functional.silu(mixed[:, :wide]) * mixed[:, wide:])
        x = functional.rms_norm(x, body.norm.weight.shape, body.norm.weight, eps)
        hidden = [
            part.view(*one.ids.shape, -1)
            for one, part in zip(passes, _apart(x, lengths), strict=True)
        ]
        wanted = [part[:, -one.last :] for one, part in zip(passes, hidden, strict=True)]
        scores = head(_end_to_end([part.flatten(0, 1) for part in wanted]))
        each = _apart(scores, [part.shape[0] * part.shape[1] for part in wanted])
        logits = [one.view(*part.shape[:2], -1) for one, part in zip(each, wanted, strict=True)]
        return list(zip(logits, hidden, strict=True))

    return forward


def added(mask: Tensor, group: int, dtype: torch.dtype) -> Tensor:
    """What attention adds to its scores, (texts, 1, group · rows, reach): 0, or −∞ where unseen.

    Worked out once for all layers; each would do it for itself.
    """
    shown = torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, -torch.inf)
    return shown[:, None].repeat(1, 1, group, 1)


def _end_to_end(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _apart(rows: Tensor, lengths: list[int]) -> Sequence[Tensor]:
    return (rows,) if len(lengths) == 1 else rows.split(lengths)  # type: ignore[no-untyped-call]


_joined: WeakKeyDictionary[torch.nn.Module, Product] = WeakKeyDictionary()


def joined(*projections: torch.nn.Linear) -> Product:
    """One product for several projections; layers that two models share are joined once."""
    first = projections[0]
    if first not in _joined:
        shared = first.weight.device.type != "cpu"
        _joined[first] = product_with(end_to_end(projections, shared))
    return _joined[first]


def end_to_end(projections: Sequence[torch.nn.Linear], shared: bool) -> Tensor:
    """The weights of several projections as one.

    shared  whether they become views of it: on a GPU they need not be there twice, while a CPU
            lays them out anew in any case
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

"""Keys and values of texts that grow, with room for guesses that may never belong to them.

A pass writes its rows to whatever slots are free, and a mask says who sees which. What was
rejected is therefore forgotten by no longer being seen: keeping the accepted path of a tree moves
nothing, and costs a GPU nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import ReferenceType

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import StaticLayer

from .clock import now, wait

GRAIN = 256
"""Caches grow in steps of so many slots."""


@dataclass
class Aim:
    """Where the next pass writes and looks.

    texts  that the cache holds
    slots  of each
    where  the slots that rows go to: next to each other (a slice), or (texts, rows)
    reach  so many slots may be seen
    """

    texts: int
    slots: int
    where: slice | torch.Tensor
    reach: int


class TreeLayer(StaticLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one layer, (texts, heads, slots, head size)."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, aim: Aim) -> None:
        super().__init__(max_cache_len=0)
        self.aim = aim

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate the slots, with the type and device of the first keys that arrive."""
        for name, states in (("keys", key_states), ("values", value_states)):
            _, heads, _, size = states.shape
            setattr(self, name, states.new_zeros((self.aim.texts, heads, self.aim.slots, size)))
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write rows where the pass aims; returns views of the slots that they may see."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        where, reach = self.aim.where, self.aim.reach
        for held, states in ((self.keys, key_states), (self.values, value_states)):
            if isinstance(where, slice):
                held[:, :, where] = states
            else:
                held.scatter_(2, where[:, None, :, None].expand_as(states), states)
        return self.keys[:, :, :reach], self.values[:, :, :reach]

    def grow(self, slots: int) -> None:
        """Make room for more; what is held stays where it is."""
        self.max_cache_len = slots
        if self.is_initialized:
            for name in ("keys", "values"):
                held = getattr(self, name)
                larger = held.new_zeros((*held.shape[:2], slots, held.shape[-1]))
                larger[:, :, : held.shape[2]] = held
                setattr(self, name, larger)

    def copy(self, text: int, other: TreeLayer, theirs: int, slots: int) -> None:
        """Hold for one text the first slots that another layer holds for one of its own."""
        if not self.is_initialized:
            self.lazy_initialization(other.keys, other.values)
        self.keys[text, :, :slots] = other.keys[theirs, :, :slots]
        self.values[text, :, :slots] = other.values[theirs, :, :slots]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that the next pass attends to, and where they start."""
        return self.aim.reach, 0

    def get_seq_length(self) -> int:
        """Slots in use before the pass, where they are in the text's order."""
        where = self.aim.where
        return where.start if isinstance(where, slice) else self.aim.reach - where.shape[-1]


class KVCache:
    """What one model holds of one text, or of several that are read together.

    The last slot of each text is where passes of a fixed shape write what nobody sees.

    fixed   whether it is read in passes of fixed shapes (see `fixed`)
    device  where its tensors are
    shapes  passes of fixed shape over these very tensors, by rows read and rows scored
    owners  who wrote each text last
    """

    def __init__(self, model: PreTrainedModel, texts: int = 1, fixed: bool = False) -> None:
        self.fixed = fixed
        self.device = model.device
        self.aim = Aim(texts, slots=0, where=slice(0), reach=0)
        count = model.config.get_text_config().num_hidden_layers
        self.layers = [TreeLayer(self.aim) for _ in range(count)]
        self.shapes: dict[tuple[int, int], Any] = {}
        self.owners: list[ReferenceType[Any] | None] = [None] * texts
        self._lock = Lock()

    @property
    def slots(self) -> int:
        """Of each text."""
        return self.aim.slots

    def reserve(self, slots: int) -> None:
        """Have room for so many tokens and guesses of each text."""
        with self._lock:
            if self.slots <= slots:
                enough = (slots // GRAIN + 1) * GRAIN
                wait(now(self.device))  # for passes that still run over what is let go
                self.shapes.clear()
                for layer in self.layers:
                    layer.grow(enough)
                self.aim.slots = enough

    def copy(self, text: int, other: KVCache, theirs: int, slots: int) -> None:
        """Hold for one text the first slots of a text of another cache, in as many layers."""
        with self._lock:
            for layer, model in zip(self.layers, other.layers, strict=False):
                layer.copy(text, model, theirs, slots)

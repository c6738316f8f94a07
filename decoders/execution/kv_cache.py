"""KV cache with room for draft tokens that may be rejected.

A pass writes its rows to any free cells, and the attention mask says which row sees which cell. A
rejected token is dropped by no longer being visible, so keeping the accepted path of a tree moves
no data.
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

GROWTH = 256
"""The capacity of a cache is a multiple of so many cells."""


@dataclass
class CacheWindow:
    """Size of a cache, and the cells that the next pass writes to and attends to.

    sequences      number of sequences in the cache
    capacity       cells of each sequence
    write_cells    where rows are written: adjacent cells (a slice), or (sequences, rows)
    visible_cells  number of cells that may be attended to, from the first
    """

    sequences: int
    capacity: int
    write_cells: slice | torch.Tensor
    visible_cells: int


class TreeLayer(StaticLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one layer, each (sequences, heads, cells, head size)."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, window: CacheWindow) -> None:
        super().__init__(max_cache_len=0)
        self.window = window

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate the cells, with the dtype and device of the first keys that arrive."""
        for name, states in (("keys", key_states), ("values", value_states)):
            _, heads, _, size = states.shape
            shape = (self.window.sequences, heads, self.window.capacity, size)
            setattr(self, name, states.new_zeros(shape))
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write rows to the window's write cells; returns views of its visible cells."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        cells, visible = self.window.write_cells, self.window.visible_cells
        for table, states in ((self.keys, key_states), (self.values, value_states)):
            if isinstance(cells, slice):
                table[:, :, cells] = states
            else:
                table.scatter_(2, cells[:, None, :, None].expand_as(states), states)
        return self.keys[:, :, :visible], self.values[:, :, :visible]

    def grow(self, capacity: int) -> None:
        """Enlarge to `capacity` cells; contents keep their cells."""
        self.max_cache_len = capacity
        if self.is_initialized:
            for name in ("keys", "values"):
                table = getattr(self, name)
                larger = table.new_zeros((*table.shape[:2], capacity, table.shape[-1]))
                larger[:, :, : table.shape[2]] = table
                setattr(self, name, larger)

    def copy(self, sequence: int, other: TreeLayer, source: int, cells: int) -> None:
        """Copy the first `cells` cells of sequence `source` of another layer into `sequence`."""
        if not self.is_initialized:
            self.lazy_initialization(other.keys, other.values)
        self.keys[sequence, :, :cells] = other.keys[source, :, :cells]
        self.values[sequence, :, :cells] = other.values[source, :, :cells]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that the next pass attends to, and the first of them (transformers' hook)."""
        return self.window.visible_cells, 0

    def get_seq_length(self) -> int:
        """Cells in use before the pass, where they are in the text's order (transformers' hook)."""
        cells, visible = self.window.write_cells, self.window.visible_cells
        return cells.start if isinstance(cells, slice) else visible - cells.shape[-1]


class KVCache:
    """Keys and values of one model for one text, or for several that are read in one pass.

    The last cell of each sequence is where passes of a fixed shape write their padding.

    fixed         whether it is read in passes of fixed shapes (see `fixed_shapes`)
    device        device of its tensors
    fixed_passes  passes of fixed shape over these tensors, by rows read and rows of logits
    owners        which reader wrote each sequence last
    """

    def __init__(self, model: PreTrainedModel, sequences: int = 1, fixed: bool = False) -> None:
        self.fixed = fixed
        self.device = model.device
        self.window = CacheWindow(sequences, capacity=0, write_cells=slice(0), visible_cells=0)
        count = model.config.get_text_config().num_hidden_layers
        self.layers = [TreeLayer(self.window) for _ in range(count)]
        self.fixed_passes: dict[tuple[int, int], Any] = {}
        self.owners: list[ReferenceType[Any] | None] = [None] * sequences
        self._lock = Lock()

    @property
    def capacity(self) -> int:
        """Cells of each sequence, the padding cell included."""
        return self.window.capacity

    def reserve(self, cells: int) -> None:
        """Grow, where needed, to hold so many committed and draft tokens of each sequence."""
        with self._lock:
            if self.capacity <= cells:
                enough = (cells // GROWTH + 1) * GROWTH
                wait(now(self.device))  # passes may still run over the tensors that are replaced
                self.fixed_passes.clear()
                for layer in self.layers:
                    layer.grow(enough)
                self.window.capacity = enough

    def copy(self, sequence: int, other: KVCache, source: int, cells: int) -> None:
        """Copy the first cells of another cache's sequence, in as many layers as this one has."""
        with self._lock:
            for layer, theirs in zip(self.layers, other.layers, strict=False):
                layer.copy(sequence, theirs, source, cells)

"""Keys and values of a growing text, with room for guesses that may never belong to it.

A pass appends its rows behind the committed text; `commit` then keeps some of them, in a given
order, and forgets the rest. A tree of guesses therefore costs one pass, and the accepted path
stays in the cache without being read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel
from transformers.cache_utils import StaticLayer

from .forward import Pass, read

CHUNK = 64
"""Tokens per prefill pass. Chunks start at multiples of it, so a chunk that is read again has
the same rows before it and gives the same bits, and one that two prompts share is read once."""

GRAIN = 256
"""Caches grow in steps of so many slots."""


class TreeLayer(StaticLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one layer, (1, heads, slots, head size), allocated once.

    filled  slots in use: the committed text, then the guesses
    """

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, max_cache_len: int) -> None:
        super().__init__(max_cache_len=max_cache_len)
        self.filled = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate the slots, with the type and device of the first keys that arrive."""
        rows = (*key_states.shape[:2], self.max_cache_len)
        self.keys = key_states.new_zeros((*rows, key_states.shape[-1]))
        self.values = value_states.new_zeros((*rows, value_states.shape[-1]))
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append rows; returns views of every slot in use."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.filled = self.filled, self.filled + key_states.shape[-2]
        self.keys[:, :, start : self.filled] = key_states
        self.values[:, :, start : self.filled] = value_states
        return self.keys[:, :, : self.filled], self.values[:, :, : self.filled]

    def keep(self, start: int, slots: torch.Tensor | None, count: int) -> None:
        """Move `slots` to `start` onward and forget what lies behind; None: already there."""
        if slots is not None:
            for rows in (self.keys, self.values):
                rows[:, :, start : start + count] = rows.index_select(2, slots)
        self.filled = start + count

    def copy(self, other: TreeLayer, count: int) -> None:
        """Hold the first `count` slots of another layer, and nothing else."""
        if not self.is_initialized:
            self.lazy_initialization(other.keys, other.values)
        self.keys[:, :, :count] = other.keys[:, :, :count]
        self.values[:, :, :count] = other.values[:, :, :count]
        self.filled = count

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that the next pass attends to, and where they start."""
        return self.filled + query_length, 0

    def get_seq_length(self) -> int:
        """Slots in use."""
        return self.filled


class Reader:
    """One model reading one text: its weights, its cache and its place in the text.

    committed  tokens of the text that the cache holds for good
    hidden     (rows, hidden size) what the last pass handed to the model's head; only where
               `keep_hidden` asks for it
    """

    hidden: NDArray[np.float32]

    def __init__(self, model: PreTrainedModel, keep_hidden: bool = False) -> None:
        self.model = model
        self.keep_hidden = keep_hidden
        self.device = model.device
        self.last_position = context_of(model) - 1
        self.capacity = 0
        self.committed = 0
        self._layers: list[TreeLayer] = []
        self._chunks: tuple[int, ...] = ()

    def begin(self, prompt: tuple[int, ...], room: int) -> NDArray[np.float32]:
        """Read a prompt from its start; returns the logits (vocabulary,) after its last token.

        room  slots that this text needs behind the prompt: new tokens and one tree of guesses

        Whole chunks that the last prompt began with too are still in the cache and are not
        read again; the bits are those of a fresh cache.
        """
        self._reserve(len(prompt) + room)
        shared = shared_chunks(self._chunks, prompt)
        self._keep(shared)
        self._chunks = prompt[:shared]
        while True:
            chunk = prompt[self.committed : self.committed + CHUNK]
            last = self.committed + len(chunk) == len(prompt)
            logits = self.feed(chunk, logits=1)
            self.commit(range(len(chunk)))
            if last:
                break
        self._chunks = prompt[: len(prompt) // CHUNK * CHUNK]
        last_row: NDArray[np.float32] = logits[0]
        return last_row

    def begin_as(self, other: Reader, room: int) -> None:
        """Take over what `other` has committed, where its first layers are all of this model.

        Such layers have read the same and hold the same keys, so nothing is computed.
        """
        self._reserve(other.committed + room)
        self._chunks = ()
        for layer, theirs in zip(self._layers, other._layers, strict=False):
            layer.copy(theirs, other.committed)
        self.committed = other.committed

    def feed(
        self,
        tokens: Sequence[int] | NDArray[np.int64],
        depths: Sequence[int] | NDArray[np.int64] | None = None,
        sees: NDArray[np.bool_] | None = None,
        logits: int = 0,
    ) -> NDArray[np.float32]:
        """One pass over `tokens`, which become guesses; returns logits (rows, vocabulary).

        depths  how far behind the committed text each token stands; a chain if None
        sees    (tokens, guesses so far + tokens): which guesses each token may attend to,
                itself included; a chain if None
        logits  only so many of the last rows; 0 for all
        """
        before = self._layers[0].filled - self.committed
        count = len(tokens)
        if depths is None:
            depths = range(before, before + count)
        if sees is None:
            sees = np.tri(count, before + count, before, dtype=np.bool_)
        mask = None
        if not sees.all():
            visible = np.ones((count, self.committed + before + count), dtype=np.bool_)
            visible[:, self.committed :] = sees
            mask = torch.from_numpy(visible).to(self.device)
        positions = np.minimum(np.asarray(depths) + self.committed, self.last_position)
        one = Pass(
            torch.tensor(tokens, dtype=torch.long, device=self.device),
            torch.from_numpy(positions).to(self.device),
            mask,
            self._layers,
            logits,
        )
        scores, hidden = read(self.model, one)
        if self.keep_hidden:
            self.hidden = hidden.float().cpu().numpy()
        rows: NDArray[np.float32] = scores.float().cpu().numpy()
        return rows

    def commit(self, guesses: Sequence[int]) -> None:
        """Keep these guesses (rows since the last commit, in the text's order); drop the rest."""
        ordered = list(guesses)
        if ordered == list(range(len(ordered))):
            self._keep(self.committed + len(ordered))
            return
        slots = torch.tensor(ordered, device=self.device) + self.committed
        for layer in self._layers:
            layer.keep(self.committed, slots, len(ordered))
        self.committed += len(ordered)

    def _reserve(self, slots: int) -> None:
        if self.capacity < slots:
            self.capacity = -(-slots // GRAIN) * GRAIN
            count = self.model.config.get_text_config().num_hidden_layers
            self._layers = [TreeLayer(self.capacity) for _ in range(count)]
            self._chunks = ()

    def _keep(self, count: int) -> None:
        for layer in self._layers:
            layer.keep(0, None, count)
        self.committed = count


def context_of(model: PreTrainedModel) -> int:
    """Positions that a model was built for; a million where it does not say."""
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", 1 << 20))


def shared_chunks(old: tuple[int, ...], new: tuple[int, ...]) -> int:
    """Tokens in the whole chunks that both begin with; at least one of `new` is left to read."""
    shared = 0
    limit = min(len(old), len(new) - 1)
    while shared + CHUNK <= limit and old[shared : shared + CHUNK] == new[shared : shared + CHUNK]:
        shared += CHUNK
    return shared

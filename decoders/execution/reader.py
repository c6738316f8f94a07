"""Reader: one model reading one text, prompt first, then draft tokens of which some are kept."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import ref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from .clock import Timestamp, now, seconds
from .fixed_shapes import has_fixed_shapes
from .kv_cache import KVCache
from .requests import ForwardRequest
from .scheduling import current_scheduler

CHUNK = 64
"""Tokens per prefill pass. Chunks start at multiples of it, so a chunk that is read again has
the same rows before it and gives the same bits, and one that two prompts share is read once."""


class Reader:
    """A model, the text that it has read so far, and that text's part of a KV cache.

    committed  number of tokens of the text that are kept in the cache
    hidden     (rows, hidden size) input of the model's head in the last pass; only with
               `keep_hidden`

    Outputs stay on the sampling device, and the host waits for none until it looks at one.
    """

    hidden: Tensor
    _visible: NDArray[np.bool_]  # cells of committed tokens
    _used: NDArray[np.bool_]  # those, and cells of draft tokens
    _end: int  # all cells of committed tokens lie below
    _drafted: NDArray[np.int64]  # cells of tokens since the last commit, in the order of `feed`

    def __init__(self, model: PreTrainedModel, keep_hidden: bool = False) -> None:
        self.model = model
        self.keep_hidden = keep_hidden
        self.last_position = context_of(model) - 1
        self.committed = 0
        self._seconds = 0.0
        self._passes: list[tuple[Timestamp, Timestamp]] = []
        self.own = self._cache = KVCache(model, fixed=has_fixed_shapes(model))
        self._sequence = 0
        self._chunks: tuple[int, ...] = ()

    def begin(self, prompt: tuple[int, ...], room: int) -> Tensor:
        """Prefill: read a prompt from its start; returns logits (vocabulary,) after its last token.

        room  cells needed behind the prompt: for new tokens and one draft tree

        Prefix reuse: whole chunks that the previous prompt began with too are still in the cache
        and are not read again; the bits are those of a fresh cache (of the same capacity, in fixed
        shapes).
        """
        self._acquire_cache(len(prompt) + room)
        shared = shared_chunks(self._chunks, prompt)
        self._retain(np.arange(shared))
        self._chunks = prompt[:shared]
        while True:
            chunk = prompt[self.committed : self.committed + CHUNK]
            last = self.committed + len(chunk) == len(prompt)
            logits = self.feed(chunk, logits=1)
            self.commit(range(len(chunk)))
            if last:
                break
        self._chunks = prompt[: len(prompt) // CHUNK * CHUNK]
        return logits[0]

    def begin_as(self, other: Reader, room: int) -> None:
        """Copy what `other` has committed, where this model's layers are the first of the other's.

        Shared layers hold the same keys and values for the same text, so no pass is needed.
        """
        kept = np.flatnonzero(other._visible)
        self._acquire_cache(max(other.committed + room, kept[-1] + 1))
        self.forget()
        self._cache.copy(self._sequence, other._cache, other._sequence, kept[-1] + 1)
        self._retain(kept)

    def feed(
        self,
        tokens: Sequence[int] | NDArray[np.int64] | Tensor,
        depths: Sequence[int] | NDArray[np.int64] | None = None,
        sees: NDArray[np.bool_] | None = None,
        logits: int = 0,
    ) -> Tensor:
        """One pass over `tokens`, uncommitted until `commit`; returns logits (rows, vocabulary).

        depths  distance of each token from the end of the committed text; a chain if None
        sees    (tokens, uncommitted tokens so far + tokens): which of these each token attends to,
                itself included; a chain if None
        logits  return only so many of the last rows; 0 for all
        """
        before, count = len(self._drafted), len(tokens)
        if depths is None:
            depths = range(before, before + count)
        if sees is None:
            sees = np.tri(count, before + count, before, dtype=np.bool_)
        cells = np.flatnonzero(~self._used)[:count]
        self._used[cells] = True
        self._drafted = np.concatenate((self._drafted, cells))
        visible = max(self._end, int(self._drafted.max()) + 1)
        mask = None
        if not (sees.all() and self._used[:visible].all()):
            mask = np.empty((count, visible), dtype=np.bool_)
            mask[:] = self._visible[:visible]
            mask[:, self._drafted] = sees
        request = ForwardRequest(
            self._cache,
            self._sequence,
            torch.as_tensor(tokens),
            np.minimum(np.asarray(depths) + self.committed, self.last_position),
            cells,
            mask,
            visible,
            logits,
            self.keep_hidden,
        )
        submitted = now(self.own.device)
        result = current_scheduler().forward(self.model, request)
        started = submitted if result.started is None else result.started
        self._passes.append((started, now(self.own.device)))
        if result.hidden is not None:
            self.hidden = result.hidden
        return result.logits

    @property
    def seconds(self) -> float:
        """Device seconds spent in passes so far; waits for those that still run."""
        self._seconds += sum(seconds(*one) for one in self._passes)
        self._passes.clear()
        return self._seconds

    def commit(self, rows: Sequence[int]) -> None:
        """Keep these rows of the passes since the last commit; drop the rest.

        rows  in the text's order, counted over all those passes
        """
        kept = self._drafted[list(rows)]
        self._visible[kept] = True
        self._used[self._drafted] = False
        self._used[kept] = True
        self._end = max(self._end, int(kept.max(initial=-1)) + 1)
        self._drafted = self._drafted[:0]
        self.committed += len(kept)

    def forget(self) -> None:
        """Read the next prompt from its start, without prefix reuse."""
        self._chunks = ()

    def _acquire_cache(self, cells: int) -> None:
        """Switch to the cache that the scheduler assigns, and reserve cells in it."""
        cache, sequence = current_scheduler().assign_cache(self.model, self.own)
        owner = cache.owners[sequence]
        moved = cache is not self._cache or sequence != self._sequence
        if moved or owner is None or owner() is not self:
            self.forget()
            cache.owners[sequence] = ref(self)
        self._cache, self._sequence = cache, sequence
        cache.reserve(cells)

    def _retain(self, kept: NDArray[np.int64]) -> None:
        """Make these cells, ascending, the committed text; drop all others."""
        self._visible = np.zeros(self._cache.capacity - 1, dtype=np.bool_)
        self._visible[kept] = True
        self._used = self._visible.copy()
        self._end = int(kept.max(initial=-1)) + 1
        self._drafted = np.zeros(0, dtype=np.int64)
        self.committed = len(kept)


def context_of(model: PreTrainedModel) -> int:
    """Number of positions that a model was built for; a million where its config does not say."""
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", 1 << 20))


def shared_chunks(old: tuple[int, ...], new: tuple[int, ...]) -> int:
    """Number of tokens in the whole chunks that both begin with, less than the length of `new`."""
    shared = 0
    limit = min(len(old), len(new) - 1)
    while shared + CHUNK <= limit and old[shared : shared + CHUNK] == new[shared : shared + CHUNK]:
        shared += CHUNK
    return shared

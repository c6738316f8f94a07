"""One model reading one text: the prompt in chunks, then guesses, of which some are kept."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import ref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from .clock import Moment, now, seconds
from .fixed_shapes import has_fixed_shapes
from .kv_cache import KVCache
from .passes import host
from .requests import ForwardRequest

CHUNK = 64
"""Tokens per prefill pass. Chunks start at multiples of it, so a chunk that is read again has
the same rows before it and gives the same bits, and one that two prompts share is read once."""


class Reader:
    """A model's place in a text, and the part of a cache that is its own.

    committed  tokens of the text that the cache holds for good
    hidden     (rows, hidden size) what the last pass handed to the model's head; only where
               `keep_hidden` asks for it

    What a pass says stays where the model is, and nobody waits for it before it is looked at.
    """

    hidden: Tensor
    _seen: NDArray[np.bool_]  # slots of the committed text
    _used: NDArray[np.bool_]  # and those of guesses
    _reach: int  # all slots of the committed text lie below
    _guesses: NDArray[np.int64]  # slots, in the order in which they were fed

    def __init__(self, model: PreTrainedModel, keep_hidden: bool = False) -> None:
        self.model = model
        self.keep_hidden = keep_hidden
        self.last_position = context_of(model) - 1
        self.committed = 0
        self._seconds = 0.0
        self._passes: list[tuple[Moment, Moment]] = []
        self.own = self._cache = KVCache(model, fixed=has_fixed_shapes(model))
        self._text = 0
        self._chunks: tuple[int, ...] = ()

    def begin(self, prompt: tuple[int, ...], room: int) -> Tensor:
        """Read a prompt from its start; returns the logits (vocabulary,) after its last token.

        room  slots that this text needs behind the prompt: new tokens and one tree of guesses

        Whole chunks that the last prompt began with too are still in the cache and are not
        read again; the bits are those of a fresh cache (of as many slots, in fixed shapes).
        """
        self._settle(len(prompt) + room)
        shared = shared_chunks(self._chunks, prompt)
        self._keep(np.arange(shared))
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
        """Take over what `other` has committed, where its first layers are all of this model.

        Such layers have read the same and hold the same keys, so nothing is computed.
        """
        kept = np.flatnonzero(other._seen)
        self._settle(max(other.committed + room, kept[-1] + 1))
        self.forget()
        self._cache.copy(self._text, other._cache, other._text, kept[-1] + 1)
        self._keep(kept)

    def feed(
        self,
        tokens: Sequence[int] | NDArray[np.int64] | Tensor,
        depths: Sequence[int] | NDArray[np.int64] | None = None,
        sees: NDArray[np.bool_] | None = None,
        logits: int = 0,
    ) -> Tensor:
        """One pass over `tokens`, which become guesses; returns logits (rows, vocabulary).

        depths  how far behind the committed text each token stands; a chain if None
        sees    (tokens, guesses so far + tokens): which guesses each token may attend to,
                itself included; a chain if None
        logits  only so many of the last rows; 0 for all
        """
        before, count = len(self._guesses), len(tokens)
        if depths is None:
            depths = range(before, before + count)
        if sees is None:
            sees = np.tri(count, before + count, before, dtype=np.bool_)
        where = np.flatnonzero(~self._used)[:count]
        self._used[where] = True
        self._guesses = np.concatenate((self._guesses, where))
        reach = max(self._reach, int(self._guesses.max()) + 1)
        mask = None
        if not (sees.all() and self._used[:reach].all()):
            mask = np.empty((count, reach), dtype=np.bool_)
            mask[:] = self._seen[:reach]
            mask[:, self._guesses] = sees
        want = ForwardRequest(
            self._cache,
            self._text,
            torch.as_tensor(tokens),
            np.minimum(np.asarray(depths) + self.committed, self.last_position),
            where,
            mask,
            reach,
            logits,
            self.keep_hidden,
        )
        started = now(self.own.device)
        told = host().read(self.model, want)
        began = started if told.began is None else told.began
        self._passes.append((began, now(self.own.device)))
        if told.hidden is not None:
            self.hidden = told.hidden
        return told.logits

    @property
    def seconds(self) -> float:
        """Spent in passes so far, as the device has it; waits for those that still run."""
        self._seconds += sum(seconds(*one) for one in self._passes)
        self._passes.clear()
        return self._seconds

    def commit(self, guesses: Sequence[int]) -> None:
        """Keep these guesses (rows since the last commit, in the text's order); drop the rest."""
        kept = self._guesses[list(guesses)]
        self._seen[kept] = True
        self._used[self._guesses] = False
        self._used[kept] = True
        self._reach = max(self._reach, int(kept.max(initial=-1)) + 1)
        self._guesses = self._guesses[:0]
        self.committed += len(kept)

    def forget(self) -> None:
        """Read the next prompt from its start, whatever was read before."""
        self._chunks = ()

    def _settle(self, slots: int) -> None:
        """Move to where this thread's passes find what they read, and have room there."""
        cache, text = host().home(self.model, self.own)
        owner, place = cache.owners[text], (cache, text)
        if place != (self._cache, self._text) or owner is None or owner() is not self:
            self.forget()
            cache.owners[text] = ref(self)
        self._cache, self._text = place
        cache.reserve(slots)

    def _keep(self, kept: NDArray[np.int64]) -> None:
        """Hold what is in these slots, rising, and nothing else."""
        self._seen = np.zeros(self._cache.slots - 1, dtype=np.bool_)
        self._seen[kept] = True
        self._used = self._seen.copy()
        self._reach = int(kept.max(initial=-1)) + 1
        self._guesses = np.zeros(0, dtype=np.int64)
        self.committed = len(kept)


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

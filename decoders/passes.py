"""What a text wants read, and who reads it: a pass of its own, or one that others share.

Decoders ask for passes and do not know how they are made. By itself a text is read alone;
`together` gathers what several want.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from .cache import KVCache
from .fixed import read_fixed
from .forward import Pass, Read, forward_of

if TYPE_CHECKING:
    from .reader import Reader


class Want(NamedTuple):
    """Rows of one text to be read.

    cache, text        where its keys are, and which of the cache's texts it is
    tokens, positions  (rows,)
    where              (rows,) slots to write to, rising
    mask               (rows, reach), whether a row attends to a slot; None: to all
    reach              slots that may be seen
    last               how many of the last rows to give logits of; 0 for all
    """

    cache: KVCache
    text: int
    tokens: NDArray[np.int64]
    positions: NDArray[np.int64]
    where: NDArray[np.int64]
    mask: NDArray[np.bool_] | None
    reach: int
    last: int


class Host(Protocol):
    """Who makes the passes of a thread.

    texts  how many share them, this one included
    """

    texts: int

    def home(self, reader: Reader) -> tuple[KVCache, int]:
        """The cache that a reader's text is to be held in, and which of its texts it is."""

    def read(self, model: PreTrainedModel, want: Want) -> Read:
        """Logits (rows asked for, vocabulary), and what the head read: (rows, hidden size)."""


class Alone:
    """Every text by itself."""

    texts = 1

    def home(self, reader: Reader) -> tuple[KVCache, int]:
        """The reader's own cache."""
        return reader.own, 0

    def read(self, model: PreTrainedModel, want: Want) -> Read:
        """One pass for one text."""
        return answers(model, [want])[0]


_host: ContextVar[Host] = ContextVar("host", default=Alone())  # noqa: B039 (it has no state)


def host() -> Host:
    """Who makes the passes of this thread."""
    return _host.get()


@contextmanager
def hosted(by: Host) -> Iterator[None]:
    """Let `by` make the passes of this thread."""
    before = _host.set(by)
    try:
        yield
    finally:
        _host.reset(before)


def answers(model: PreTrainedModel, wants: Sequence[Want]) -> list[Read]:
    """What each of the texts wants of one model; each sees its own keys alone.

    All rows take one pass; where they have a fixed shape, one for each of the caches.
    """
    forward = forward_of(model)
    if not wants[0].cache.fixed:
        return [(logits[0], hidden[0]) for logits, hidden in forward([*map(as_it_is, wants)])]
    found: dict[int, Read] = {}
    for cache in {id(want.cache): want.cache for want in wants}.values():
        mine = [index for index, want in enumerate(wants) if want.cache is cache]
        found.update(zip(mine, read_fixed(forward, cache, [wants[i] for i in mine]), strict=True))
    return [found[index] for index in range(len(wants))]


def as_it_is(want: Want) -> Pass:
    """The pass that reads just the rows of one text."""
    device = want.cache.device
    where: slice | torch.Tensor
    if want.where[-1] - want.where[0] + 1 == len(want.where):
        where = slice(int(want.where[0]), int(want.where[-1]) + 1)
    else:
        where = torch.from_numpy(want.where)[None].to(device)
    return Pass(
        torch.from_numpy(want.tokens)[None].to(device),
        torch.from_numpy(want.positions)[None].to(device),
        None if want.mask is None else torch.from_numpy(want.mask)[None].to(device),
        want.cache,
        where,
        want.reach,
        want.last,
    )

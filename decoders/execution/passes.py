"""Who makes the passes that texts want: each text its own, or one that others share.

Decoders ask for passes and do not know how they are made. By itself a text is read alone;
`generate_together` gathers what several want.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import torch
from transformers import PreTrainedModel

from .fixed_shapes import read_fixed
from .forward import Pass, forward_of
from .kv_cache import KVCache
from .requests import ForwardRequest, ForwardResult, full


class Host(Protocol):
    """Who makes the passes of a thread.

    texts  how many share them, this one included
    """

    texts: int

    def home(self, model: PreTrainedModel, own: KVCache) -> tuple[KVCache, int]:
        """The cache that a text is to be held in, and which of its texts it is.

        own  the cache of whoever asks, which is this text's alone
        """

    def read(self, model: PreTrainedModel, want: ForwardRequest) -> ForwardResult:
        """A pass over what one text wants, once it can be had."""


class Alone:
    """Every text by itself."""

    texts = 1

    def home(self, model: PreTrainedModel, own: KVCache) -> tuple[KVCache, int]:
        """The text's own cache."""
        return own, 0

    def read(self, model: PreTrainedModel, want: ForwardRequest) -> ForwardResult:
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


def answers(model: PreTrainedModel, wants: Sequence[ForwardRequest]) -> list[ForwardResult]:
    """What one model says of what each of the texts wants; each sees its own keys alone.

    All rows take one pass; where they have a fixed shape, one for each of the caches.
    """
    forward = forward_of(model)
    if not wants[0].cache.fixed:
        reads = forward([as_it_is(want) for want in wants])
        return [
            ForwardResult(full(logits[0]), full(hidden[0]) if want.hidden else None)
            for want, (logits, hidden) in zip(wants, reads, strict=True)
        ]
    found: dict[int, ForwardResult] = {}
    for cache in {id(want.cache): want.cache for want in wants}.values():
        mine = [index for index, want in enumerate(wants) if want.cache is cache]
        found.update(zip(mine, read_fixed(forward, cache, [wants[i] for i in mine]), strict=True))
    return [found[index] for index in range(len(wants))]


def as_it_is(want: ForwardRequest) -> Pass:
    """The pass that reads just the rows of one text."""
    device = want.cache.device
    where: slice | torch.Tensor
    if want.where[-1] - want.where[0] + 1 == len(want.where):
        where = slice(int(want.where[0]), int(want.where[-1]) + 1)
    else:
        where = torch.from_numpy(want.where)[None].to(device, non_blocking=True)
    return Pass(
        want.tokens[None].to(device, non_blocking=True),
        torch.from_numpy(want.positions)[None].to(device, non_blocking=True),
        None
        if want.mask is None
        else torch.from_numpy(want.mask)[None].to(device, non_blocking=True),
        want.cache.layers,
        want.cache.aim,
        where,
        want.reach,
        want.last,
    )

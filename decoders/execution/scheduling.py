"""Scheduling of forward passes: each text by itself, or several in one pass.

Decoders ask for passes and do not know how they are run. By default a text is run alone;
`batching.generate_together` installs a scheduler that gathers the requests of several texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import torch
from transformers import PreTrainedModel

from .fixed_shapes import run_fixed_shape
from .forward import ForwardInput, forward_of
from .kv_cache import KVCache
from .requests import ForwardRequest, ForwardResult, as_float32


class Scheduler(Protocol):
    """Runs the forward requests of the texts in this thread.

    batch_size  number of texts that share passes, this one included
    """

    batch_size: int

    def assign_cache(self, model: PreTrainedModel, own: KVCache) -> tuple[KVCache, int]:
        """The cache to keep a text in, and which of its sequences to use.

        own  the cache of the reader that asks, which holds this text alone
        """

    def forward(self, model: PreTrainedModel, request: ForwardRequest) -> ForwardResult:
        """Run one request; may block until others can be run with it."""


class Unbatched:
    """Runs every request at once, in the reader's own cache."""

    batch_size = 1

    def assign_cache(self, model: PreTrainedModel, own: KVCache) -> tuple[KVCache, int]:
        """The reader's own cache."""
        return own, 0

    def forward(self, model: PreTrainedModel, request: ForwardRequest) -> ForwardResult:
        """One pass for one request."""
        return run_requests(model, [request])[0]


_scheduler: ContextVar[Scheduler] = ContextVar("scheduler", default=Unbatched())  # noqa: B039 (it has no state)


def current_scheduler() -> Scheduler:
    """The scheduler of this thread."""
    return _scheduler.get()


@contextmanager
def use_scheduler(scheduler: Scheduler) -> Iterator[None]:
    """Run the requests of this thread through `scheduler` inside the block."""
    before = _scheduler.set(scheduler)
    try:
        yield
    finally:
        _scheduler.reset(before)


def run_requests(model: PreTrainedModel, requests: Sequence[ForwardRequest]) -> list[ForwardResult]:
    """Results of one model for several requests; each text attends to its own keys alone.

    All rows take one pass; in fixed shapes, one pass for each cache.
    """
    forward = forward_of(model)
    if not requests[0].cache.fixed:
        outputs = forward([unpadded(request) for request in requests])
        return [
            ForwardResult(as_float32(logits[0]), as_float32(hidden[0]) if request.hidden else None)
            for request, (logits, hidden) in zip(requests, outputs, strict=True)
        ]
    results: dict[int, ForwardResult] = {}
    for cache in {id(request.cache): request.cache for request in requests}.values():
        mine = [index for index, request in enumerate(requests) if request.cache is cache]
        some = run_fixed_shape(forward, cache, [requests[index] for index in mine])
        results.update(zip(mine, some, strict=True))
    return [results[index] for index in range(len(requests))]


def unpadded(request: ForwardRequest) -> ForwardInput:
    """The input of a pass over just the rows of one request."""
    device = request.cache.device
    cells: slice | torch.Tensor
    first, last = int(request.write_cells[0]), int(request.write_cells[-1])
    if last - first + 1 == len(request.write_cells):
        cells = slice(first, last + 1)
    else:
        cells = torch.from_numpy(request.write_cells)[None].to(device, non_blocking=True)
    mask = None
    if request.mask is not None:
        mask = torch.from_numpy(request.mask)[None].to(device, non_blocking=True)
    return ForwardInput(
        request.tokens[None].to(device, non_blocking=True),
        torch.from_numpy(request.positions)[None].to(device, non_blocking=True),
        mask,
        request.cache.layers,
        request.cache.window,
        cells,
        request.visible_cells,
        request.logits_to_keep,
    )

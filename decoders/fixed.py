"""Passes of a few fixed shapes, for devices where starting a kernel costs more than running it.

On a GPU a pass over one token and one over sixty-four cost much the same, but each of their
hundreds of kernels has to be started by the host. A CUDA graph starts all of them at once and
asks for one thing: that shapes and addresses never change. So rows are padded to a power of two,
all slots of a cache are attended to under a mask, and all texts of a cache take part in each of
its passes. Padding writes to a slot that nobody sees. What is captured is the model's ordinary
pass; without a GPU the same pass over the same buffers runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PreTrainedModel

from .cache import KVCache
from .forward import Forward, Pass, Read, is_plain_llama

if TYPE_CHECKING:
    from .passes import Want

WARMING = 3
"""Passes before one is captured, in which libraries settle on their kernels."""


def has_fixed_shapes(model: PreTrainedModel) -> bool:
    """Whether a model is read in fixed shapes: on a GPU, where its pass is ours to capture."""
    return model.device.type == "cuda" and is_plain_llama(model)


def read_fixed(forward: Forward, cache: KVCache, wants: Sequence[Want]) -> list[Read]:
    """One pass for all texts of a cache, of which those in `wants` have something to read."""
    rows = power_of_two(max(len(want.tokens) for want in wants))
    last = power_of_two(max(want.last or len(want.tokens) for want in wants))
    if (rows, last) not in cache.shapes:
        cache.shapes[rows, last] = Shape(forward, cache, rows, last)
    logits, hidden = cache.shapes[rows, last].read(wants)
    return [
        (
            logits[want.text, -(want.last or len(want.tokens)) :],
            hidden[want.text, -len(want.tokens) :],
        )
        for want in wants
    ]


def power_of_two(count: int) -> int:
    """The least power of two that is not less."""
    return 1 << (count - 1).bit_length()


class Shape:
    """The buffers of one shape, and the pass over them.

    numbers  (3, texts, rows) tokens, positions and slots to write to
    mask     (texts, rows, slots)
    """

    def __init__(self, forward: Forward, cache: KVCache, rows: int, last: int) -> None:
        self.numbers = np.zeros((3, cache.texts, rows), dtype=np.int64)
        self.mask = np.zeros((cache.texts, rows, cache.slots), dtype=np.bool_)
        self._blank()
        self.there = [
            torch.from_numpy(table).to(cache.device) for table in (self.numbers, self.mask)
        ]
        numbers, mask = self.there
        one = Pass(numbers[0], numbers[1], mask, cache, numbers[2], cache.slots, last)
        self.run = captured(lambda: forward([one])[0], cache.device)

    def read(self, wants: Sequence[Want]) -> Read:
        """Logits (texts, last, vocabulary) and hidden states (texts, rows, hidden size).

        They are overwritten by the next pass; of padding they say nothing.
        """
        self._blank()
        for want in wants:
            count = len(want.tokens)
            self.numbers[:, want.text, -count:] = want.tokens, want.positions, want.where
            seen = True if want.mask is None else want.mask
            self.mask[want.text, -count:, : want.reach] = seen
        for buffer, table in zip(self.there, (self.numbers, self.mask), strict=True):
            buffer.copy_(torch.from_numpy(table))
        return self.run()

    def _blank(self) -> None:
        """All rows padding: they write to the last slot, and see the first so as to see one."""
        self.numbers[:2], self.numbers[2] = 0, self.mask.shape[-1] - 1
        self.mask[:] = False
        self.mask[:, :, 0] = True


_pools: dict[torch.device, Any] = {}
"""Memory that all graphs of a device work in, one at a time."""


def captured(work: Callable[[], Read], device: torch.device) -> Callable[[], Read]:
    """What does the same: on a GPU a graph of its kernels, which writes to the same tensors."""
    if device.type != "cuda":
        return work
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(WARMING):
            work()
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    pool = _pools.setdefault(device, torch.cuda.graph_pool_handle())
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        read = work()

    def replay() -> Read:
        graph.replay()
        return read

    return replay

"""Passes of a few fixed shapes, for devices where starting a kernel costs more than running it.

On a GPU a pass over one token and one over sixty-four cost much the same, but each of their
hundreds of kernels has to be started by the host, unless all are one graph (see `graphs`). So rows
are padded to a power of two, all slots of a cache are attended to under a mask, and all texts of a
cache take part in each of its passes. Padding writes to a slot that nobody sees. What is captured
is the model's ordinary pass; without a GPU the same pass over the same buffers runs as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from .clock import now, wait
from .cuda_graphs import captured, has_graphs, one_at_a_time
from .forward import Forward, Pass, Read, is_plain_llama
from .kv_cache import KVCache
from .requests import ForwardRequest, ForwardResult, full


def has_fixed_shapes(model: PreTrainedModel) -> bool:
    """Whether a model is read in fixed shapes: on a GPU, where its pass is ours to capture."""
    return has_graphs(model.device) and is_plain_llama(model)


def read_fixed(
    forward: Forward, cache: KVCache, wants: Sequence[ForwardRequest]
) -> list[ForwardResult]:
    """One pass for all texts of a cache, of which those in `wants` have something to read.

    Captured passes share their memory, so what one says is copied, on the device, before the next
    begins.
    """
    rows = power_of_two(max(len(want.tokens) for want in wants))
    last = 1 if all(want.last == 1 for want in wants) else rows
    with one_at_a_time:
        shape = cache.shapes.get((rows, last))
        if shape is None or shape.forward is not forward:
            shape = cache.shapes[rows, last] = Shape(forward, cache, rows, last)
        logits, hidden = shape.read(wants)
        return [
            ForwardResult(
                full(logits[want.text, -(want.last or len(want.tokens)) :], copied=True),
                full(hidden[want.text, -len(want.tokens) :], copied=True) if want.hidden else None,
                shape.fetched,
            )
            for want in wants
        ]


def power_of_two(count: int) -> int:
    """The least power of two that is not less."""
    return 1 << (count - 1).bit_length()


class Shape:
    """The buffers of one shape, and the pass over them.

    forward  what makes the pass; kept, for its weights are what a captured pass reads
    numbers  (3, texts, rows) tokens, positions and slots to write to
    mask     (texts, rows, slots)
    here     both, on the host, from where a device fetches them while the host goes on; it waits
             only to lay out a next pass of this shape before the last one's have been fetched
    there    both, where the model is
    fetched  when they last were
    """

    def __init__(self, forward: Forward, cache: KVCache, rows: int, last: int) -> None:
        texts, slots = cache.aim.texts, cache.slots
        self.forward = forward
        pinned = cache.device.type == "cuda"
        self.here = (
            torch.zeros((3, texts, rows), dtype=torch.int64, pin_memory=pinned),
            torch.zeros((texts, rows, slots), dtype=torch.bool, pin_memory=pinned),
        )
        self.numbers, self.mask = (table.numpy() for table in self.here)
        self._blank()
        self.there = [table.to(cache.device, copy=True) for table in self.here]
        self.fetched = now(cache.device)
        (ids, positions, where), mask = self.there
        one = Pass(ids, positions, mask, cache.layers, cache.aim, where, slots, last)
        self.run = captured(lambda: forward([one])[0], cache.device)

    def read(self, wants: Sequence[ForwardRequest]) -> Read:
        """Logits (texts, last, vocabulary) and hidden states (texts, rows, hidden size).

        Of padding they say nothing.
        """
        wait(self.fetched)
        self._blank()
        for want in wants:
            count = len(want.tokens)
            self.numbers[1:, want.text, -count:] = want.positions, want.where
            if want.tokens.device.type == "cpu":
                self.numbers[0, want.text, -count:] = want.tokens
            seen = True if want.mask is None else want.mask
            self.mask[want.text, -count:, : want.reach] = seen
        for buffer, table in zip(self.there, self.here, strict=True):
            buffer.copy_(table, non_blocking=True)
        self.fetched = now(buffer.device)
        for want in wants:
            if want.tokens.device.type != "cpu":
                self.there[0][0, want.text, -len(want.tokens) :] = want.tokens
        logits, hidden = self.run()
        return logits, hidden

    def _blank(self) -> None:
        """All rows padding: they write to the last slot, and see the first so as to see one."""
        self.numbers[:2], self.numbers[2] = 0, self.mask.shape[-1] - 1
        self.mask[:] = False
        self.mask[:, :, 0] = True

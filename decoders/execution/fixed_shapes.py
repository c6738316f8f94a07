"""Passes of a few fixed shapes, for devices where launching a kernel costs more than running it.

On a GPU a pass over one token and one over sixty-four cost much the same, but each of their
hundreds of kernels has to be launched by the host, unless all are one graph (see `cuda_graphs`). So
rows are padded to a power of two, all cells of a cache are attended to under a mask, and all
sequences of a cache take part in each of its passes. Padding writes to a cell that no row sees.
What is captured is the model's ordinary pass; without a GPU the same pass over the same buffers
runs uncaptured.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from .clock import now, wait
from .cuda_graphs import captured, graph_lock, has_graphs
from .forward import Forward, ForwardInput, ForwardOutput, is_plain_llama
from .kv_cache import KVCache
from .requests import ForwardRequest, ForwardResult, as_float32


def has_fixed_shapes(model: PreTrainedModel) -> bool:
    """Whether a model is read in fixed shapes: on a GPU, where its pass is a `FusedLlama`."""
    return has_graphs(model.device) and is_plain_llama(model)


def run_fixed_shape(
    forward: Forward, cache: KVCache, requests: Sequence[ForwardRequest]
) -> list[ForwardResult]:
    """One pass over all sequences of a cache, for the requests of some of them.

    Captured passes share their memory, so outputs are copied, on the device, before the next pass
    begins.
    """
    rows = power_of_two(max(len(request.tokens) for request in requests))
    last = 1 if all(request.logits_to_keep == 1 for request in requests) else rows
    with graph_lock:
        fixed = cache.fixed_passes.get((rows, last))
        if fixed is None or fixed.forward is not forward:
            fixed = cache.fixed_passes[rows, last] = FixedShapePass(forward, cache, rows, last)
        logits, hidden = fixed.run_on(requests)
        results = []
        for request in requests:
            count, sequence = len(request.tokens), request.sequence
            kept = logits[sequence, -(request.logits_to_keep or count) :]
            states = as_float32(hidden[sequence, -count:], copy=True) if request.hidden else None
            results.append(ForwardResult(as_float32(kept, copy=True), states, fixed.inputs_ready))
        return results


def power_of_two(count: int) -> int:
    """The smallest power of two that is not less than `count`."""
    return 1 << (count - 1).bit_length()


class FixedShapePass:
    """The input buffers of one shape, and the pass over them.

    forward         the model's pass; kept, because a captured pass reads its weights
    numbers         (3, sequences, rows) tokens, positions and cells to write to
    mask            (sequences, rows, cells)
    host_buffers    both, on the host, from where a device fetches them while the host goes on; the
                    host waits only to fill them again before the last ones have been fetched
    device_buffers  both, on the model's device
    inputs_ready    when the last inputs had been fetched
    """

    def __init__(self, forward: Forward, cache: KVCache, rows: int, last: int) -> None:
        sequences, cells = cache.window.sequences, cache.capacity
        self.forward = forward
        pinned = cache.device.type == "cuda"
        self.host_buffers = (
            torch.zeros((3, sequences, rows), dtype=torch.int64, pin_memory=pinned),
            torch.zeros((sequences, rows, cells), dtype=torch.bool, pin_memory=pinned),
        )
        self.numbers, self.mask = (table.numpy() for table in self.host_buffers)
        self._pad_all()
        self.device_buffers = [table.to(cache.device, copy=True) for table in self.host_buffers]
        self.inputs_ready = now(cache.device)
        (ids, positions, write_cells), mask = self.device_buffers
        one = ForwardInput(
            ids, positions, mask, cache.layers, cache.window, write_cells, cells, last
        )
        self.run = captured(lambda: forward([one])[0], cache.device)

    def run_on(self, requests: Sequence[ForwardRequest]) -> ForwardOutput:
        """Logits (sequences, last, vocabulary) and head inputs (sequences, rows, hidden size).

        Rows of padding hold arbitrary values.
        """
        wait(self.inputs_ready)
        self._pad_all()
        for request in requests:
            sequence, count = request.sequence, len(request.tokens)
            self.numbers[1:, sequence, -count:] = request.positions, request.write_cells
            if request.tokens.device.type == "cpu":
                self.numbers[0, sequence, -count:] = request.tokens
            visible = True if request.mask is None else request.mask
            self.mask[sequence, -count:, : request.visible_cells] = visible
        for buffer, table in zip(self.device_buffers, self.host_buffers, strict=True):
            buffer.copy_(table, non_blocking=True)
        self.inputs_ready = now(buffer.device)
        for request in requests:
            if request.tokens.device.type != "cpu":
                tokens = self.device_buffers[0][0, request.sequence, -len(request.tokens) :]
                tokens.copy_(request.tokens)
        logits, hidden = self.run()
        return logits, hidden

    def _pad_all(self) -> None:
        """Make all rows padding: they write to the last cell, and see the first (never no cell)."""
        self.numbers[:2], self.numbers[2] = 0, self.mask.shape[-1] - 1
        self.mask[:] = False
        self.mask[:, :, 0] = True

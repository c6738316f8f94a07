"""Cost of one forward pass: measured, and the floor set by the bandwidth of memory."""

from __future__ import annotations

from statistics import median
from typing import Any

import torch
from transformers import PreTrainedModel

from ..decoders.base import ModelPair, torch_threads
from ..decoders.execution.clock import now, seconds
from ..decoders.execution.reader import Reader

SUMMED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 32}
"""Device -> bytes of the sum that measures the bandwidth of memory: far more than any cache holds,
and on a GPU so many that launching the sum takes negligible time."""


def pass_cost(pair: ModelPair, threads: int) -> dict[str, Any]:
    """Columns that describe a pair's passes and hold for all engines."""
    target = pair.target
    draft_seconds, target_seconds = pass_seconds(pair, threads)
    return {
        "target_parameters": target.num_parameters(),
        "target_pass_seconds": target_seconds,
        "floor_seconds": floor_seconds(target, threads),
        "draft_cost_ratio": draft_seconds / target_seconds,
    }


def pass_seconds(pair: ModelPair, threads: int, passes: int = 30) -> tuple[float, float]:
    """T_draft(1) and T_target(1): medians of alternating one-token passes, on the device."""
    times: tuple[list[float], list[float]] = ([], [])
    readers = (Reader(pair.draft), Reader(pair.target))
    with torch.inference_mode(), torch_threads(threads):
        for reader in readers:
            reader.begin((0,) * min(128, pair.context // 2), room=1)
        for _ in range(passes):
            for reader, taken in zip(readers, times, strict=True):
                before = reader.seconds
                reader.feed([0])
                taken.append(reader.seconds - before)
                reader.commit([])
    return median(times[0]), median(times[1])


def floor_seconds(model: PreTrainedModel, threads: int, times: int = 5) -> float:
    """Seconds to read every weight of a pass from memory, at the bandwidth of one large sum."""
    device, taken = model.device, []
    size = SUMMED_BYTES.get(device.type, SUMMED_BYTES["cpu"])
    if device.type == "cuda":
        size = min(size, torch.cuda.mem_get_info(device)[0] // 8 * 4)
    with torch.inference_mode(), torch_threads(threads):
        table = torch.ones(size // 4, device=device)
        for _ in range(times + 1):
            started = now(device)
            table.sum()
            taken.append(seconds(started, now(device)))
    return bytes_per_pass(model) / size * median(taken[1:])


def bytes_per_pass(model: PreTrainedModel) -> int:
    """Bytes of the weights that a pass reads whole.

    An embedding, of which a pass looks up few rows, counts only where it is the output layer too.
    """
    embedding = model.get_input_embeddings().weight
    head: Any = getattr(model, "lm_head", None)
    tied = head is not None and head.weight is embedding
    return sum(
        weight.numel() * weight.element_size()
        for weight in model.parameters()
        if tied or weight is not embedding
    )


def device_memory(device: torch.device) -> int | None:
    """Peak bytes of tensors on a GPU, caches and captured passes included; None on a CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None

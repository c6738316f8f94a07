"""Timestamps on a device: a GPU runs behind the host, so its work is timed by CUDA events."""

from __future__ import annotations

from time import perf_counter

import torch

Timestamp = float | torch.cuda.Event
"""Seconds of the host's clock, or an event recorded on a GPU's stream."""


def now(device: torch.device) -> Timestamp:
    """A timestamp that is reached when the device has done all work submitted so far."""
    if device.type != "cuda":
        return perf_counter()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event


def wait(timestamp: Timestamp) -> None:
    """Block until the device has reached the timestamp."""
    if isinstance(timestamp, torch.cuda.Event):
        timestamp.synchronize()


def seconds(start: Timestamp, end: Timestamp) -> float:
    """Seconds between two timestamps of one device; blocks until `end` is reached."""
    wait(end)
    if isinstance(start, torch.cuda.Event):
        assert isinstance(end, torch.cuda.Event)
        return float(start.elapsed_time(end)) / 1e3
    assert isinstance(end, float)
    return end - start

"""Time as the device has it: what a host started may not have begun to run."""

from __future__ import annotations

from time import perf_counter

import torch

Moment = float | torch.cuda.Event
"""Seconds of the host, or a mark among a GPU's work."""


def now(device: torch.device) -> Moment:
    """The moment at which the device has done all that it was asked for so far."""
    if device.type != "cuda":
        return perf_counter()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event


def wait(moment: Moment) -> None:
    """Until it has come."""
    if isinstance(moment, torch.cuda.Event):
        moment.synchronize()


def seconds(start: Moment, end: Moment) -> float:
    """Between two moments of one device; waits until the second has come."""
    wait(end)
    if isinstance(start, torch.cuda.Event):
        assert isinstance(end, torch.cuda.Event)
        return float(start.elapsed_time(end)) / 1e3
    assert isinstance(end, float)
    return end - start

"""Timestamps of a host, and of a device that runs behind it."""

from __future__ import annotations

from time import perf_counter, sleep

import torch

from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.execution import clock, reader
from tasteshift.decoders.execution.reader import Reader


def test_cpu_timestamps_are_the_hosts_clock() -> None:
    device = torch.device("cpu")
    before = perf_counter()
    start = clock.now(device)
    sleep(0.01)
    end = clock.now(device)
    clock.wait(end)
    assert 0.01 <= clock.seconds(start, end) <= perf_counter() - before


class Event(torch.cuda.Event):
    """Stand-in for a CUDA event: counts waits, and knows its time."""

    def __new__(cls, at: float) -> Event:
        """Make one without a GPU; torch with CUDA needs another constructor."""
        try:
            return super().__new__(cls)
        except RuntimeError:
            return object.__new__(cls)

    def __init__(self, at: float) -> None:
        self.at, self.waited = at, 0

    def synchronize(self) -> None:
        """Count a wait."""
        self.waited += 1

    def elapsed_time(self, other: Event) -> float:
        """Milliseconds between two events; the later one must have been waited for."""
        assert other.waited
        return other.at - self.at


def test_gpu_seconds_wait_for_the_end_only() -> None:
    start, end = Event(250.0), Event(1250.0)
    assert clock.seconds(start, end) == 1.0
    assert (start.waited, end.waited) == (0, 1)


def test_a_reader_waits_for_its_passes_when_seconds_are_read(pair: ModelPair, monkeypatch) -> None:
    events = [Event(0.0), Event(3000.0), Event(5000.0), Event(5500.0)]
    queue = iter(events)
    monkeypatch.setattr(reader, "now", lambda device: next(queue))
    one = Reader(pair.target)
    with torch.inference_mode():
        one.begin((1, 2), 8)
        one.feed([3])
    assert not any(event.waited for event in events)
    assert one.seconds == 3.5
    assert [event.waited for event in events] == [0, 1, 0, 1]
    assert one.seconds == 3.5

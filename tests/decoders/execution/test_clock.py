"""Moments of a host, and of a device that runs behind it."""

from __future__ import annotations

from time import perf_counter, sleep

import torch

from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.execution import clock, reader
from tasteshift.decoders.execution.reader import Reader


def test_on_a_host_time_is_the_hosts() -> None:
    device = torch.device("cpu")
    before = perf_counter()
    start = clock.now(device)
    sleep(0.01)
    end = clock.now(device)
    clock.wait(end)
    assert 0.01 <= clock.seconds(start, end) <= perf_counter() - before


class Event(torch.cuda.Event):
    """A mark that comes when somebody waits for it, and says how far it is from another."""

    def __new__(cls, at: float) -> Event:
        """Without a GPU; a torch that could use one has events of another make."""
        try:
            return super().__new__(cls)
        except RuntimeError:
            return object.__new__(cls)

    def __init__(self, at: float) -> None:
        self.at, self.waited = at, 0

    def synchronize(self) -> None:
        """As the real one."""
        self.waited += 1

    def elapsed_time(self, other: Event) -> float:
        """In milliseconds."""
        assert other.waited
        return other.at - self.at


def test_on_a_gpu_the_end_is_waited_for() -> None:
    start, end = Event(250.0), Event(1250.0)
    assert clock.seconds(start, end) == 1.0
    assert (start.waited, end.waited) == (0, 1)


def test_a_reader_waits_for_its_passes_when_it_is_asked_how_long_they_took(
    pair: ModelPair, monkeypatch
) -> None:
    marks = [Event(0.0), Event(3000.0), Event(5000.0), Event(5500.0)]
    given = iter(marks)
    monkeypatch.setattr(reader, "now", lambda device: next(given))
    place = Reader(pair.target)
    with torch.inference_mode():
        place.begin((1, 2), 8)
        place.feed([3])
    assert not any(mark.waited for mark in marks)
    assert place.seconds == 3.5
    assert [mark.waited for mark in marks] == [0, 1, 0, 1]
    assert place.seconds == 3.5

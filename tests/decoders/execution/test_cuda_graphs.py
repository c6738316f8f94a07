"""Captured work, on a CPU: tapes stand in for graphs, and every decoder writes what it writes."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tasteshift.decoders import DECODERS, make_decoder
from tasteshift.decoders.base import ModelPair
from tasteshift.decoders.execution import cuda_graphs, fixed_shapes, reader
from tasteshift.decoders.execution.batching import generate_together
from tasteshift.decoders.execution.cuda_graphs import cuda_graphed
from tasteshift.decoders.sampling import distribution as sampling
from tasteshift.decoders.sampling import draft_tree as judging
from tasteshift.decoders.sampling import verification

PROMPTS = ((1, 2, 3), (4,), tuple(range(1, 25)) * 6, (7, 7, 7, 7, 7), (9, 8, 7, 6))
LIMITS = (20, 7, 40, 0, 31)
OPTIONS = {
    "mcsd": [{}, {"replacement": True}, {"top_k": 5, "top_p": 0.9}],
    "target-init-dynamic": [{"width": 4, "decision": "off"}],
}
CASES = [
    (name, options, temperature)
    for name in DECODERS.names()
    for options in OPTIONS.get(name, [{}])
    for temperature in (0.0, 0.9)
]


class Tape(TorchDispatchMode):
    """A captured graph as a CPU can have one: kernels, and the very tensors that they run over.

    Played, it starts the same kernels over the same addresses and asks nobody for anything: a
    number that the host had worked out stays as it was, and a result lands where it first did.
    Graphs share their memory, so what the last one said is gone once another is played.

    played  how often any was
    """

    said: tuple[torch.Tensor, ...] = ()
    played = 0

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.kernels.append((func, args, kwargs or {}, tree_leaves(made)))
        return made

    def own(self, said: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Those that its kernels made; what was handed in is in memory of its own."""
        made = {id(one) for *_, results in self.kernels for one in results}
        return tuple(one for one in said if id(one) in made)

    def play(self) -> None:
        Tape.played += 1
        for one in Tape.said:
            one.fill_(torch.nan if one.is_floating_point() else 1)
        for func, args, kwargs, made in self.kernels:
            for old, new in zip(made, tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def taped(work, device):
    with cuda_graphs.capturing():
        work()  # as before a capture: what is allocated at first is allocated now
        tape = Tape()
        with tape:
            said = work()

    def replay():
        tape.play()
        Tape.said = tape.own(said)
        return said

    return replay


@pytest.fixture
def tapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capture on the CPU too, on tapes, and let torch find all that is best: they hear no NumPy."""
    monkeypatch.setattr(Tape, "said", ())
    monkeypatch.setattr(cuda_graphs, "has_graphs", lambda device: True)
    monkeypatch.setattr(reader, "has_fixed_shapes", lambda model: True)
    for module in (cuda_graphs, fixed_shapes):
        monkeypatch.setattr(module, "captured", taped)
    for module in (sampling, verification, judging):
        monkeypatch.setattr(module, "best", lambda scores: scores.argmax(-1))


@pytest.mark.parametrize(("name", "options", "temperature"), CASES)
def test_every_decoder_writes_the_same(
    pair: ModelPair, name: str, options, temperature: float, request: pytest.FixtureRequest
) -> None:
    def tasks():
        return [
            partial(
                make_decoder(name, pair, temperature=temperature, **options).generate,
                prompt,
                limit,
                seed,
            )
            for seed, (prompt, limit) in enumerate(zip(PROMPTS, LIMITS, strict=True))
        ]

    free = [task().tokens for task in tasks()]
    request.getfixturevalue("tapes")
    before = Tape.played
    assert [task().tokens for task in tasks()] == free
    assert [text.tokens for text in generate_together(tasks())] == free
    assert Tape.played - before > 50


def test_a_tape_does_not_hear_what_the_host_thinks_later(tapes: None) -> None:
    """So whatever kept a number of its first round to itself is found out."""
    buffer, number = torch.ones(2), 3.0
    run = taped(lambda: (buffer * number,), None)
    buffer += 1
    number = 5.0
    (told,) = run()
    assert told.tolist() == [6.0, 6.0]
    taped(lambda: (buffer + 1,), None)()
    assert told.isnan().all()


def test_a_graph_for_each_set_of_shapes_and_settings(tapes: None) -> None:
    laid_out = []

    @cuda_graphed
    def scaled(x, y, *, by):
        laid_out.append(by)
        return (x * by if y is None else x * by + y,)

    ones, twos = torch.ones(2), torch.full((2,), 2.0)
    told = [scaled(x, y, by=by)[0] for x in (ones, twos) for y in (None, ones) for by in (2, 3)]
    assert [one.tolist()[0] for one in told] == [2.0, 3.0, 3.0, 4.0, 4.0, 6.0, 5.0, 7.0]
    graphs_so_far = len(laid_out)
    assert graphs_so_far == 4 * 2  # each tried once and captured once
    assert scaled(ones + 4, None, by=2)[0].tolist() == [10.0, 10.0]
    assert len(laid_out) == graphs_so_far
    assert scaled(torch.ones(3), None, by=2)[0].tolist() == [2.0] * 3
    assert len(laid_out) == graphs_so_far + 2


def test_what_is_graphed_inside_joins_the_graph(tapes: None) -> None:
    @cuda_graphed
    def inner(x):
        return (x + 1,)

    @cuda_graphed
    def outer(x):
        return (inner(x)[0] * 2,)

    assert [outer(torch.tensor([x]))[0].item() for x in (1.0, 2.0)] == [4.0, 6.0]
    before = Tape.played
    outer(torch.tensor([5.0]))
    assert Tape.played == before + 1


def test_a_cpu_runs_it_as_it_is() -> None:
    seen = []

    @cuda_graphed
    def work(x, *, by):
        """What it does."""
        seen.append(x)
        return (x, by)

    given = torch.ones(1)
    assert work(given, by=3)[0] is given
    assert (work.__name__, work.__doc__, len(seen)) == ("work", "What it does.", 1)

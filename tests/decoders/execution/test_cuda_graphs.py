"""CUDA graphs, tested on a CPU with recorded replays in place of graphs."""

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
from tasteshift.decoders.sampling import distribution, draft_tree, verification

PROMPTS = ((1, 2, 3), (4,), tuple(range(1, 25)) * 6, (7, 7, 7, 7, 7), (9, 8, 7, 6))
LIMITS = (12, 5, 18, 0, 9)
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


class RecordedReplay(TorchDispatchMode):
    """Stand-in for a CUDA graph: recorded kernels, and the tensors that they ran over.

    A replay runs the same kernels over the same addresses: numbers from the host keep their
    recorded values, and results are written to the same tensors. Graphs share their memory, so
    the outputs of the last replay are overwritten by the next.

    played  number of replays of all instances
    """

    last_outputs: tuple[torch.Tensor, ...] = ()
    played = 0

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.kernels.append((func, args, kwargs or {}, tree_leaves(made)))
        return made

    def own(self, outputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """The outputs that its kernels made; inputs are in memory of their own."""
        made = {id(one) for *_, results in self.kernels for one in results}
        return tuple(one for one in outputs if id(one) in made)

    def play(self) -> None:
        RecordedReplay.played += 1
        for one in RecordedReplay.last_outputs:
            one.fill_(torch.nan if one.is_floating_point() else 1)
        for func, args, kwargs, made in self.kernels:
            for old, new in zip(made, tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def recorded(work, device):
    with cuda_graphs.capturing():
        work()  # as before a capture: first-time allocations happen here
        recording = RecordedReplay()
        with recording:
            outputs = work()

    def replay():
        recording.play()
        RecordedReplay.last_outputs = recording.own(outputs)
        return outputs

    return replay


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capture on the CPU too; argmax by torch, since NumPy calls are not recorded."""
    monkeypatch.setattr(RecordedReplay, "last_outputs", ())
    monkeypatch.setattr(cuda_graphs, "has_graphs", lambda device: True)
    monkeypatch.setattr(reader, "has_fixed_shapes", lambda model: True)
    for module in (cuda_graphs, fixed_shapes):
        monkeypatch.setattr(module, "captured", recorded)
    for module in (distribution, verification, draft_tree):
        monkeypatch.setattr(module, "argmax", lambda scores: scores.argmax(-1))


@pytest.mark.parametrize(("name", "options", "temperature"), CASES)
def test_every_decoder_generates_the_same_tokens(
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

    expected = [task().tokens for task in tasks()]
    request.getfixturevalue("replays")
    before = RecordedReplay.played
    assert [task().tokens for task in tasks()] == expected
    assert [text.tokens for text in generate_together(tasks())] == expected
    assert RecordedReplay.played - before > 30


def test_a_replay_keeps_recorded_numbers_and_overwrites_outputs(replays: None) -> None:
    """So code that depends on a host number of its first round fails the tests above."""
    buffer, number = torch.ones(2), 3.0
    run = recorded(lambda: (buffer * number,), None)
    buffer += 1
    number = 5.0
    (found,) = run()
    assert found.tolist() == [6.0, 6.0]
    recorded(lambda: (buffer + 1,), None)()
    assert found.isnan().all()


def test_a_graph_for_each_set_of_shapes_and_settings(replays: None) -> None:
    calls = []

    @cuda_graphed
    def scaled(x, y, *, by):
        calls.append(by)
        return (x * by if y is None else x * by + y,)

    ones, twos = torch.ones(2), torch.full((2,), 2.0)
    found = [scaled(x, y, by=by)[0] for x in (ones, twos) for y in (None, ones) for by in (2, 3)]
    assert [one.tolist()[0] for one in found] == [2.0, 3.0, 3.0, 4.0, 4.0, 6.0, 5.0, 7.0]
    calls_so_far = len(calls)
    assert calls_so_far == 4 * 2  # each warmed up once and captured once
    assert scaled(ones + 4, None, by=2)[0].tolist() == [10.0, 10.0]
    assert len(calls) == calls_so_far
    assert scaled(torch.ones(3), None, by=2)[0].tolist() == [2.0] * 3
    assert len(calls) == calls_so_far + 2


def test_nested_graphed_functions_join_one_graph(replays: None) -> None:
    @cuda_graphed
    def inner(x):
        return (x + 1,)

    @cuda_graphed
    def outer(x):
        return (inner(x)[0] * 2,)

    assert [outer(torch.tensor([x]))[0].item() for x in (1.0, 2.0)] == [4.0, 6.0]
    before = RecordedReplay.played
    outer(torch.tensor([5.0]))
    assert RecordedReplay.played == before + 1


def test_without_a_gpu_the_function_is_called_uncaptured() -> None:
    seen = []

    @cuda_graphed
    def work(x, *, by):
        """Its docstring."""
        seen.append(x)
        return (x, by)

    given = torch.ones(1)
    assert work(given, by=3)[0] is given
    assert (work.__name__, work.__doc__, len(seen)) == ("work", "Its docstring.", 1)

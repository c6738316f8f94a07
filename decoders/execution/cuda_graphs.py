"""Kernels that a GPU starts all at once: work that runs over the same tensors every time.

Starting a kernel takes the host some microseconds, as long as a small one runs. A CUDA graph starts
all that were captured in it, and asks that shapes and addresses never change. What is captured is
what a CPU runs; without a GPU it runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from threading import Lock
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

Said = tuple[Tensor, ...]
Work = Callable[[], Said]

P = ParamSpec("P")
T = TypeVar("T", bound=Said)

WARMING = 3
"""Runs before work is captured, in which libraries settle on their kernels."""

ATTENTION = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""Kernels that take a mask of any tree. cuDNN's, which torch prefers on some cards, makes a plan
for every size of a pass and may find none."""

one_at_a_time = Lock()
"""Held from laying out what a graph reads until what it said has been copied: all share memory."""


class GraphPool(NamedTuple):
    """What captures on a device share.

    pool    memory that all graphs work in
    stream  that they are captured on
    keeper  a graph that is kept for good: a pool of which no graph is left cannot be used again
    """

    pool: Any
    stream: torch.cuda.Stream
    keeper: torch.cuda.CUDAGraph


_graph_pools: dict[torch.device, GraphPool] = {}


def has_graphs(device: torch.device) -> bool:
    """Whether work on a device can be captured."""
    return device.type == "cuda"


_inside: ContextVar[bool] = ContextVar("inside", default=False)


def cuda_graphed(work: Callable[P, T]) -> Callable[P, T]:
    """`work`, whose kernels a GPU starts all at once.

    work  takes tensors, or None for some, and by name settings that can be hashed, and follows from
          nothing else

    One graph is captured for each set of shapes and settings, and kept.
    """
    known: dict[Hashable, tuple[list[Tensor | None], Work]] = {}
    plain = cast(Callable[..., Said], work)

    @wraps(plain)
    def run(*given: Tensor | None, **settings: Hashable) -> Said:
        device = next(one.device for one in given if one is not None)
        if _inside.get() or not has_graphs(device):
            return plain(*given, **settings)
        shapes = [one if one is None else (one.shape, one.dtype) for one in given]
        key = (device, *sorted(settings.items()), *shapes)
        with one_at_a_time, torch.inference_mode():
            if key not in known:
                laid = [one if one is None else one.clone() for one in given]
                known[key] = laid, captured(lambda: plain(*laid, **settings), device)
            own, replay = known[key]
            for mine, theirs in zip(own, given, strict=True):
                if mine is not None and theirs is not None:
                    mine.copy_(theirs)
            return tuple(one.clone() for one in replay())

    return cast(Callable[P, T], run)


def captured(work: Work, device: torch.device) -> Work:
    """What does the same: on a GPU a graph of its kernels, which writes to the same tensors."""
    if not has_graphs(device):
        return work
    studio = graph_pool_of(device)
    with sdpa_kernel(ATTENTION), capturing():
        studio.stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(studio.stream):
            for _ in range(WARMING):
                work()
        torch.cuda.current_stream(device).wait_stream(studio.stream)
        graph, said = recorded(work, studio.pool, studio.stream)

    def replay() -> Said:
        graph.replay()
        return said

    return replay


def graph_pool_of(device: torch.device) -> GraphPool:
    """The device's, set up when it is first asked for."""
    if device not in _graph_pools:
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        pool = torch.cuda.graph_pool_handle()
        speck = torch.zeros(1, device=device)
        keeper, _ = recorded(lambda: (speck.add_(1), speck), pool, stream)
        _graph_pools[device] = GraphPool(pool, stream, keeper)
    return _graph_pools[device]


def recorded(work: Work, pool: Any, stream: torch.cuda.Stream) -> tuple[torch.cuda.CUDAGraph, Said]:
    """The kernels of `work` as a graph, and what it returns, which a replay writes anew.

    A capture that fails leaves the thread on its own stream, and the next begins in another pool.
    """
    graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream(stream.device)
    try:
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            said = work()
    except BaseException:
        torch.cuda.set_stream(before)
        _graph_pools.pop(stream.device, None)
        raise
    return graph, said


@contextmanager
def capturing() -> Iterator[None]:
    """What is graphed itself joins the graph that is being captured."""
    before = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(before)

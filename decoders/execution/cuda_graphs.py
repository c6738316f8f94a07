"""CUDA graphs: kernels that run over the same tensors every time, launched all at once.

Launching a kernel takes the host some microseconds, as long as a small one runs. A CUDA graph
launches all kernels captured in it, and requires that shapes and addresses never change. What is
captured is what a CPU runs; without a GPU the function is called uncaptured.
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

Outputs = tuple[Tensor, ...]
Work = Callable[[], Outputs]

P = ParamSpec("P")
T = TypeVar("T", bound=Outputs)

WARMUP_RUNS = 3
"""Runs before a capture, in which libraries settle on their kernels."""

ATTENTION_KERNELS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""Kernels that take a mask of any tree. cuDNN's, which torch prefers on some cards, makes a plan
for every size of a pass and may find none."""

graph_lock = Lock()
"""Held from filling a graph's inputs until its outputs have been copied: graphs share memory."""


class GraphPool(NamedTuple):
    """What captures on a device share.

    pool    memory that all graphs work in
    stream  stream that they are captured on
    anchor  a graph that is kept for good: a pool of which no graph is left cannot be used again
    """

    pool: Any
    stream: torch.cuda.Stream
    anchor: torch.cuda.CUDAGraph


_graph_pools: dict[torch.device, GraphPool] = {}


def has_graphs(device: torch.device) -> bool:
    """Whether work on a device can be captured."""
    return device.type == "cuda"


_capturing: ContextVar[bool] = ContextVar("capturing", default=False)


def cuda_graphed(work: Callable[P, T]) -> Callable[P, T]:
    """Decorator: run a function as a CUDA graph where its tensors are on a GPU.

    work  takes tensors (None for some) by position and hashable settings by name, and depends on
          nothing else

    One graph is captured for each set of shapes and settings, and kept.
    """
    graphs: dict[Hashable, tuple[list[Tensor | None], Work]] = {}
    plain = cast(Callable[..., Outputs], work)

    @wraps(plain)
    def run(*tensors: Tensor | None, **settings: Hashable) -> Outputs:
        device = next(one.device for one in tensors if one is not None)
        if _capturing.get() or not has_graphs(device):
            return plain(*tensors, **settings)
        shapes = [one if one is None else (one.shape, one.dtype) for one in tensors]
        key = (device, *sorted(settings.items()), *shapes)
        with graph_lock, torch.inference_mode():
            if key not in graphs:
                buffers = [one if one is None else one.clone() for one in tensors]
                graphs[key] = buffers, captured(lambda: plain(*buffers, **settings), device)
            inputs, replay = graphs[key]
            for buffer, tensor in zip(inputs, tensors, strict=True):
                if buffer is not None and tensor is not None:
                    buffer.copy_(tensor)
            return tuple(one.clone() for one in replay())

    return cast(Callable[P, T], run)


def captured(work: Work, device: torch.device) -> Work:
    """A function that does the same as `work`: on a GPU a graph that writes to the same tensors."""
    if not has_graphs(device):
        return work
    shared = graph_pool_of(device)
    with sdpa_kernel(ATTENTION_KERNELS), capturing():
        shared.stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(shared.stream):
            for _ in range(WARMUP_RUNS):
                work()
        torch.cuda.current_stream(device).wait_stream(shared.stream)
        graph, outputs = recorded(work, shared.pool, shared.stream)

    def replay() -> Outputs:
        graph.replay()
        return outputs

    return replay


def graph_pool_of(device: torch.device) -> GraphPool:
    """The graph pool of a device, made at the first call."""
    if device not in _graph_pools:
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        pool = torch.cuda.graph_pool_handle()
        scratch = torch.zeros(1, device=device)
        anchor, _ = recorded(lambda: (scratch.add_(1), scratch), pool, stream)
        _graph_pools[device] = GraphPool(pool, stream, anchor)
    return _graph_pools[device]


def recorded(
    work: Work, pool: Any, stream: torch.cuda.Stream
) -> tuple[torch.cuda.CUDAGraph, Outputs]:
    """The kernels of `work` as a graph, and the tensors that each replay writes its outputs to.

    A capture that fails leaves the thread on its own stream, and the next begins in another pool.
    """
    graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream(stream.device)
    try:
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            outputs = work()
    except BaseException:
        torch.cuda.set_stream(before)
        _graph_pools.pop(stream.device, None)
        raise
    return graph, outputs


@contextmanager
def capturing() -> Iterator[None]:
    """Inside the block, functions that are graphed themselves join the graph being captured."""
    before = _capturing.set(True)
    try:
        yield
    finally:
        _capturing.reset(before)

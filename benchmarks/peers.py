"""Transformers' own ways to write with a pair, told as our decoders tell theirs.

A peer reads through transformers' modules, our decoders through a quicker pass of the same
weights, so `transformers generate` stands in the same table: what a peer's algorithm wins is its
speed over that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch
from torch.random import fork_rng
from transformers import PreTrainedModel
from transformers.generation.streamers import BaseStreamer

from ..decoders.base import ModelPair, torch_threads
from ..decoders.execution.clock import Timestamp, now, seconds
from ..decoders.pairs.load import quiet
from ..records import Generation, Round

Generate = Callable[[tuple[int, ...], int, int], Generation]
"""(prompt, max_new_tokens, seed) -> what was written."""

PEERS: dict[str, Callable[[ModelPair], dict[str, Any]]] = {
    "transformers generate": lambda pair: {},
    "transformers assisted": lambda pair: {"assistant_model": pair.draft},
    "transformers prompt lookup": lambda pair: {"prompt_lookup_num_tokens": 10},
}
"""Name -> options of `generate`; how far ahead assisted generation drafts is its own default."""


class _Watch(BaseStreamer):
    """Notes what every target pass read, when, and how many tokens it gave."""

    def __init__(self) -> None:
        self.passes: list[tuple[float, Timestamp, Timestamp, int]] = []
        self.emitted: list[tuple[float, int]] = []

    @contextmanager
    def watching(self, model: PreTrainedModel) -> Iterator[None]:
        """Notes the passes of `model`: when they were asked for, start, end, rows."""
        started: list[tuple[float, Timestamp]] = []

        def before(*_: Any) -> None:
            started.append((perf_counter(), now(model.device)))

        def after(_: Any, __: Any, given: dict[str, Any], ___: Any) -> None:
            rows = given["input_ids"].shape[1]
            self.passes.append((*started.pop(), now(model.device), rows))

        hooks = [
            model.register_forward_pre_hook(before),
            model.register_forward_hook(after, with_kwargs=True),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def put(self, value: torch.Tensor) -> None:
        """Tokens as they come; the prompt comes first."""
        self.emitted.append((perf_counter(), value.numel()))

    def end(self) -> None:
        """Nothing is held back."""


def peer(name: str, pair: ModelPair, temperature: float, threads: int) -> Generate:
    """A peer of `PEERS` that samples like our decoders; its seed is torch's, for the call only."""
    options = PEERS[name](pair)
    sampled = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    options |= sampled if temperature else {"do_sample": False}

    def generate(prompt: tuple[int, ...], limit: int, seed: int) -> Generation:
        device = pair.target.device
        ids = torch.tensor([prompt], device=device)
        there = [device] if device.type == "cuda" else []
        progress = _Watch()
        started = perf_counter()
        with torch_threads(threads), fork_rng(there), quiet(), progress.watching(pair.target):
            torch.manual_seed(seed)
            written = pair.target.generate(  # type: ignore[operator]
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=limit,
                streamer=progress,
                **options,
            )
        ended = perf_counter()
        tokens = tuple(written[0, len(prompt) :].tolist())
        first, rounds = _rounds(progress)
        return Generation(
            prompt_tokens=len(prompt),
            tokens=tokens,
            rounds=rounds,
            seconds=ended - started,
            first_token_seconds=first - started,
        )

    return generate


def _rounds(progress: _Watch) -> tuple[float, tuple[Round, ...]]:
    """When the first pass had given its tokens, and a round for each pass after it."""
    moments = [time for time, _ in progress.emitted[1:]] or [progress.passes[0][0]]
    bounds = [asked for asked, _, _, _ in progress.passes[1:]] + [float("inf")]
    given = [0] * len(bounds)
    for time, count in progress.emitted[1:]:
        given[next(index for index, bound in enumerate(bounds) if time < bound)] += count
    rounds = []
    before = progress.passes[0][2]
    for (_, start, end, rows), emitted in zip(progress.passes[1:], given[1:], strict=True):
        rounds.append(
            Round(
                max_depth=rows - 1,
                drafted_depth=rows - 1,
                drafted_nodes=rows - 1,
                verified_nodes=rows,
                accepted=max(emitted - 1, 0),
                emitted=emitted,
                draft_seconds=seconds(before, start),
                verify_seconds=seconds(start, end),
                sources=("draft",) * max(emitted - 1, 0),
            )
        )
        before = end
    return moments[0], tuple(rounds)

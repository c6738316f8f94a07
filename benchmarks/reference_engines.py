"""Reference engines: transformers' own generation with a pair, recorded as `Generation`s.

A reference engine reads through transformers' modules, our decoders through a faster pass of the
same weights, so `transformers generate` is in the same table: the gain of a reference engine's
algorithm is its speed over that one.
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
"""(prompt, max_new_tokens, seed) -> the generated text."""

REFERENCE_ENGINES: dict[str, Callable[[ModelPair], dict[str, Any]]] = {
    "transformers generate": lambda pair: {},
    "transformers assisted": lambda pair: {"assistant_model": pair.draft},
    "transformers prompt lookup": lambda pair: {"prompt_lookup_num_tokens": 10},
}
"""Name -> options of `generate`; the draft length of assisted generation is its own default."""


class _PassRecorder(BaseStreamer):
    """Records the rows and times of every target pass, and the tokens emitted."""

    def __init__(self) -> None:
        self.passes: list[tuple[float, Timestamp, Timestamp, int]] = []
        self.emitted: list[tuple[float, int]] = []

    @contextmanager
    def recording(self, model: PreTrainedModel) -> Iterator[None]:
        """Record the passes of `model` inside the block: when requested, start, end, rows."""
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
        """Record tokens as they are emitted; the prompt comes first."""
        self.emitted.append((perf_counter(), value.numel()))

    def end(self) -> None:
        """Do nothing: no tokens are held back."""


def reference_engine(name: str, pair: ModelPair, temperature: float, threads: int) -> Generate:
    """A function that generates with one of `REFERENCE_ENGINES` at our decoders' temperature.

    The seed sets torch's generator during the call only.
    """
    options = REFERENCE_ENGINES[name](pair)
    sampled = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    options |= sampled if temperature else {"do_sample": False}

    def generate(prompt: tuple[int, ...], limit: int, seed: int) -> Generation:
        device = pair.target.device
        ids = torch.tensor([prompt], device=device)
        devices = [device] if device.type == "cuda" else []
        recorder = _PassRecorder()
        started = perf_counter()
        with torch_threads(threads), fork_rng(devices), quiet(), recorder.recording(pair.target):
            torch.manual_seed(seed)
            written = pair.target.generate(  # type: ignore[operator]
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=limit,
                streamer=recorder,
                **options,
            )
        ended = perf_counter()
        tokens = tuple(written[0, len(prompt) :].tolist())
        first, rounds = _rounds(recorder)
        return Generation(
            prompt_tokens=len(prompt),
            tokens=tokens,
            rounds=rounds,
            seconds=ended - started,
            first_token_seconds=first - started,
        )

    return generate


def _rounds(recorder: _PassRecorder) -> tuple[float, tuple[Round, ...]]:
    """Time at which the first pass had emitted its tokens, and a round for each pass after it."""
    times = [time for time, _ in recorder.emitted[1:]] or [recorder.passes[0][0]]
    bounds = [asked for asked, _, _, _ in recorder.passes[1:]] + [float("inf")]
    given = [0] * len(bounds)
    for time, count in recorder.emitted[1:]:
        given[next(index for index, bound in enumerate(bounds) if time < bound)] += count
    rounds = []
    before = recorder.passes[0][2]
    for (_, start, end, rows), emitted in zip(recorder.passes[1:], given[1:], strict=True):
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
    return times[0], tuple(rounds)

"""The engines that are compared: decoders with defaults and variants, tuned baselines, others' own.

A default may be a bad one for a pair, so speed is also compared with the best lossless baselines
that a sweep finds. The sweep runs on prompts of its own, and only its winners are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..decoders import DECODERS, make_decoder
from ..decoders.base import Decoder, ModelPair
from ..records import Generation
from .progress import ProgressCallback
from .reference_engines import REFERENCE_ENGINES, Generate, reference_engine

if TYPE_CHECKING:
    from .workloads import Prompt

SWEEPS: dict[str, tuple[dict[str, Any], ...]] = {
    "speculative": tuple({"depth": depth} for depth in range(1, 9)),
    "mcsd": tuple(
        {"k": k}
        for k in [
            (2,),
            (4,),
            (2, 1),
            (2, 2),
            (3, 2, 1),
            (2, 1, 1, 1),
            (4, 2, 2, 1),
            (3, 2, 1, 1, 1),
        ]
    ),
}
"""Decoder -> options tried: chains of every usual depth, and trees from one level to five."""

TUNING_PROMPTS, TUNING_TOKENS = 8, 32

WARMUP_TOKENS = {"cpu": 8, "cuda": 1 << 20}
"""Device -> most tokens generated before anything is timed; on a GPU all that a prompt asks for."""


def warmup_prompt(prompts: Sequence[Prompt], device: torch.device) -> Prompt:
    """The longest of some prompts, shortened to the device's warm-up tokens.

    On a GPU it has passes of every size captured, on caches that need not grow any more.
    """
    longest = max(prompts, key=lambda prompt: len(prompt.ids) + prompt.max_new_tokens)
    most = WARMUP_TOKENS.get(device.type, WARMUP_TOKENS["cpu"])
    return replace(longest, max_new_tokens=min(longest.max_new_tokens, most))


@dataclass(frozen=True)
class Engine:
    """Something that generates text with a pair: one row of the benchmark.

    name     name in the registry of decoders, or in `REFERENCE_ENGINES`
    label    the row's `decoder`: the name, and options that are no defaults
    exact    whether the output has the target's distribution; None where we do not vouch for it
    generate function of (prompt, max_new_tokens, seed)
    decoder  our decoder; None for a reference engine
    options  options that differ from the defaults
    tuned    whether a sweep chose the options
    """

    name: str
    label: str
    exact: bool | None
    generate: Generate = field(repr=False)
    decoder: Decoder | None = None
    options: dict[str, Any] = field(default_factory=dict)
    tuned: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """All that decides the text besides pair and prompt; empty for a reference engine."""
        return {} if self.decoder is None else self.decoder.config()

    def warm_up(self, prompt: Prompt) -> None:
        """Generate once and forget the prompt, so that one-time costs are not measured."""
        self.generate(prompt.ids, prompt.max_new_tokens, 0)
        if self.decoder is not None:
            self.decoder.forget()


def decoder_engine(
    name: str,
    pair: ModelPair,
    temperature: float,
    threads: int,
    *,
    tuned: bool = False,
    **options: Any,
) -> Engine:
    """A registered decoder under the label ``name``, ``name (options)`` or ``name (tuned: …)``."""
    decoder = make_decoder(name, pair, temperature=temperature, threads=threads, **options)
    shown = ", ".join(f"{key}={_shown(value)}" for key, value in options.items())
    label = f"{name} ({'tuned: ' if tuned else ''}{shown})" if shown else name

    def generate(prompt: tuple[int, ...], limit: int, seed: int) -> Generation:
        return decoder.generate(prompt, limit, seed=seed)

    return Engine(name, label, decoder.exact, generate, decoder, options, tuned)


def all_engines(pair: ModelPair, temperature: float, threads: int) -> list[Engine]:
    """All decoders with defaults, the `VARIANTS` that differ from them, and reference engines."""
    engines = [decoder_engine(name, pair, temperature, threads) for name in DECODERS.names()]
    for name, options in VARIANTS:
        if name in DECODERS.names():
            variant = decoder_engine(name, pair, temperature, threads, **options)
            engines += [variant] if all(variant.config != one.config for one in engines) else []
    for name in REFERENCE_ENGINES:
        generate = reference_engine(name, pair, temperature, threads)
        engines.append(Engine(name, name, None, generate))
    return engines


VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("target-init-dynamic", {"decision": "off"}),
    ("target-init-dynamic", {"width": 4}),
    ("target-init-dynamic", {"width": 4, "decision": "off"}),
)
"""The published widths with and without the decision model, which not every pair has."""


def tune(
    name: str,
    pair: ModelPair,
    temperature: float,
    threads: int,
    prompts: Sequence[Prompt],
    progress: ProgressCallback,
) -> Engine:
    """The fastest of a decoder's sweep: least median seconds per token on the tuning prompts.

    For each prompt all are run once, in an order drawn for that prompt.
    """
    tried = [
        decoder_engine(name, pair, temperature, threads, tuned=True, **options)
        for options in SWEEPS[name]
    ]
    times: list[list[float]] = [[] for _ in tried]
    warmup = warmup_prompt(prompts, pair.target.device)
    for engine in tried:
        engine.warm_up(warmup)
    for seed, prompt in enumerate(prompts):
        limit = min(prompt.max_new_tokens, TUNING_TOKENS)
        for index in np.random.default_rng([1, seed]).permutation(len(tried)):
            engine = tried[index]
            tokens, seconds = after_prefill(engine.generate(prompt.ids, limit, seed))
            times[index].append(seconds / tokens if tokens else float("inf"))
            progress(engine.label)
    return min(zip(times, tried, strict=True), key=lambda both: median(both[0]))[1]


def after_prefill(generation: Generation) -> tuple[int, float]:
    """Number of tokens after the first ones, and the seconds from those to the end.

    The target's prefill is left out; the draft's is not, since it follows the first token. Where
    the first token belongs to a round (target-initialized), all tokens of that round are first.
    """
    emitted = [r.emitted for r in generation.rounds]
    later = sum(emitted)
    if emitted and later == len(generation.tokens):
        later -= emitted[0]
    return later, generation.seconds - generation.first_token_seconds


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

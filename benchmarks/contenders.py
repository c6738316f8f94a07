"""Who is compared: every decoder as it comes, variants, baselines tuned for the pair, and peers.

A default may be a bad one for a pair, so a speed is also shown against the best exact baselines
that a sweep finds. The sweep runs on prompts of its own, and only its winners are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..decoders import DECODERS, make_decoder
from ..decoders.base import Decoder, ModelPair
from ..records import Generation
from .peers import PEERS, Generate, peer

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
"""Decoder -> what is tried: chains of every usual depth, and trees from one level to five."""

TUNING_PROMPTS, TUNING_TOKENS = 8, 32

WARMING = {"cpu": 8, "cuda": 1 << 20}
"""Tokens, at most, that are written before anything is timed; on a GPU all that are asked for."""


def to_warm(prompts: Sequence[Prompt], device: torch.device) -> Prompt:
    """The longest of some prompts: on a GPU it has passes of every size captured, on caches that
    need not grow any more.
    """
    one = max(prompts, key=lambda prompt: len(prompt.ids) + prompt.max_new_tokens)
    most = WARMING.get(device.type, WARMING["cpu"])
    return replace(one, max_new_tokens=min(one.max_new_tokens, most))


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    name     of the decoder in its registry, or of the peer
    label    what stands in the column `decoder`: the name, and options that are no defaults
    exact    whether the text has the target's own law; None where nobody of ours vouches for it
    decoder  ours; None for a peer
    options  what differs from the defaults
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
        """What decides the text besides pair and prompt; empty for a peer."""
        return {} if self.decoder is None else self.decoder.config()

    def warm(self, prompt: Prompt) -> None:
        """Write once, so that what is slow only at first is past, and forget it."""
        self.generate(prompt.ids, prompt.max_new_tokens, 0)
        if self.decoder is not None:
            self.decoder.forget()


def ours(
    name: str,
    pair: ModelPair,
    temperature: float,
    threads: int,
    *,
    tuned: bool = False,
    **options: Any,
) -> Contender:
    """A registered decoder under the label ``name``, ``name (options)`` or ``name (tuned: …)``."""
    decoder = make_decoder(name, pair, temperature=temperature, threads=threads, **options)
    told = ", ".join(f"{key}={_told(value)}" for key, value in options.items())
    label = f"{name} ({'tuned: ' if tuned else ''}{told})" if told else name

    def generate(prompt: tuple[int, ...], limit: int, seed: int) -> Generation:
        return decoder.generate(prompt, limit, seed=seed)

    return Contender(name, label, decoder.exact, generate, decoder, options, tuned)


def everyone(pair: ModelPair, temperature: float, threads: int) -> list[Contender]:
    """All decoders with defaults, the `VARIANTS` that differ from them, and the peers."""
    rows = [ours(name, pair, temperature, threads) for name in DECODERS.names()]
    for name, options in VARIANTS:
        if name in DECODERS.names():
            variant = ours(name, pair, temperature, threads, **options)
            rows += [variant] if all(variant.config != row.config for row in rows) else []
    for name in PEERS:
        rows.append(Contender(name, name, None, peer(name, pair, temperature, threads)))
    return rows


VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("target-init-dynamic", {"decision": "off"}),
    ("target-init-dynamic", {"width": 4}),
    ("target-init-dynamic", {"width": 4, "decision": "off"}),
)
"""The published widths with and without the decision model; a pair may have none to begin with."""


def tuned(
    name: str,
    pair: ModelPair,
    temperature: float,
    threads: int,
    prompts: Sequence[Prompt],
    tick: Callable[[str], None],
) -> Contender:
    """The quickest of a decoder's sweep: least median seconds a token on the tuning prompts.

    They take turns in an order drawn for each prompt.
    """
    tried = [
        ours(name, pair, temperature, threads, tuned=True, **options) for options in SWEEPS[name]
    ]
    paces: list[list[float]] = [[] for _ in tried]
    warming = to_warm(prompts, pair.target.device)
    for one in tried:
        one.warm(warming)
    for seed, prompt in enumerate(prompts):
        limit = min(prompt.max_new_tokens, TUNING_TOKENS)
        for index in np.random.default_rng([1, seed]).permutation(len(tried)):
            pace, one = paces[index], tried[index]
            tokens, seconds = decoding(one.generate(prompt.ids, limit, seed))
            pace.append(seconds / tokens if tokens else float("inf"))
            tick(one.label)
    return min(zip(paces, tried, strict=True), key=lambda both: median(both[0]))[1]


def decoding(generation: Generation) -> tuple[int, float]:
    """Tokens after the first ones, and the seconds from those to the end.

    The prefill is left out; the draft reads the prompt after the first token and is not. Where
    the first token belongs to a round (target initialized), all that round's tokens are first.
    """
    emitted = [r.emitted for r in generation.rounds]
    later = sum(emitted)
    if emitted and later == len(generation.tokens):
        later -= emitted[0]
    return later, generation.seconds - generation.first_token_seconds


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

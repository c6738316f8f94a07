"""What writing the texts of many users side by side is worth: whole batches, taking turns.

All contenders write the same block of prompts, once for each size of a batch, in an order drawn
for that block. Speeds count everything, the reading of prompts included, for that is what a suite
with an LLM agent waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..decoders import DECODERS, make_decoder
from ..decoders.base import Decoder, ModelPair, torch_threads
from ..decoders.execution.batching import generate_together
from ..errors import InputError
from ..metrics.statistics import quantile_interval
from ..records import Generation
from .contenders import ours, to_warm
from .decoder_rows import Floats, Trial, counts, fidelity, speedup
from .decoders import Bars, device_memory, no_progress, read_back

if TYPE_CHECKING:
    from .workloads import Prompt

BATCHED = ("autoregressive", "mcsd", "exact-dynamic")
"""Decoders that are compared unless others are named."""

Key = tuple[str, int]
"""A decoder and the size of its batches."""


def bench_batches(
    pair: ModelPair,
    workloads: Mapping[str, Sequence[Prompt]],
    sizes: Collection[int],
    *,
    temperatures: Sequence[float] = (0.0, 0.7),
    threads: int = 1,
    only: Collection[str] = (),
    bars: Bars = no_progress,
) -> list[dict[str, Any]]:
    """One flat row per temperature, workload, decoder and size of a batch, of JSON values.

    workloads  name -> prompts; the longest warms up, and whole blocks behind the first are
               measured, of the largest size each
    sizes      texts written side by side, each ≥ 1; 1 is always measured

    Raises InputError where prompts do not fill a block, a size does not divide the largest or a
    decoder is unknown.
    """
    every = sorted({1, *sizes})
    block = every[-1]
    if every[0] < 1 or any(block % size for size in every):
        raise InputError(f"batches are {every}; give sizes ≥ 1 that divide the largest")
    names = [DECODERS.get(name).name for name in only or BATCHED]
    machine = {"pair": pair.name, "device": str(pair.target.device), "threads": threads}
    machine |= {"dtype": str(pair.target.dtype).removeprefix("torch.")}
    machine |= {"target_parameters": pair.target.num_parameters()}
    rows: list[dict[str, Any]] = []
    for temperature in temperatures:
        for workload, prompts in workloads.items():
            blocks = (len(prompts) - 1) // block
            if not blocks:
                raise InputError(
                    f"{workload}: {len(prompts)} prompts; give {block + 1}, one to warm up"
                )
            where = {**machine, "temperature": temperature, "workload": workload}
            crew = {
                (name, size): [
                    make_decoder(name, pair, temperature=temperature, threads=threads)
                    for _ in range(size)
                ]
                for name in names
                for size in every
            }
            measured = prompts[1 : 1 + blocks * block]
            label = f"{workload}, T = {temperature}"
            with bars(f"{label}: writing", blocks * len(names) * len(every)) as tick:
                warming = to_warm(prompts, pair.target.device)
                trials, pace = taking_turns(crew, warming, measured, threads, tick)
            with bars(f"{label}: reading back", len(measured) * len(trials)) as tick:
                each = [*trials.values()]
                matches = read_back(pair, temperature, threads, each, measured, tick)
            rows += [
                {
                    "decoder": name,
                    **where,
                    "device_memory": device_memory(pair.target.device),
                    "batch": size,
                    "exact": trial.contender.exact,
                    **speeds((name, size), pace),
                    **counts(trial),
                    **fidelity(matches.get(trial.contender.label)),
                }
                for (name, size), trial in trials.items()
            ]
    return rows


def taking_turns(
    crew: Mapping[Key, Sequence[Decoder]],
    warming: Prompt,
    prompts: Sequence[Prompt],
    threads: int,
    tick: Callable[[str], None],
) -> tuple[dict[Key, Trial], dict[Key, Floats]]:
    """What every team wrote, side by side, and its seconds a token in each block."""
    trials = {}
    for (name, size), team in crew.items():
        one = ours(name, team[0].pair, team[0].sampling.temperature, threads)
        trials[name, size] = Trial(replace(one, label=f"{name} × {size}"), [])
    paces: dict[Key, list[float]] = {key: [] for key in crew}
    keys, most = [*crew], max(size for _, size in crew)
    for team in crew.values():
        write(team, [warming] * len(team), 0, threads)
        for decoder in team:
            decoder.forget()
    for number, start in enumerate(range(0, len(prompts), most)):
        for index in np.random.default_rng([2, number]).permutation(len(keys)):
            name, size = keys[index]
            spent, tokens = 0.0, 0
            for first in range(start, start + most, size):
                begun = perf_counter()
                written = write(crew[name, size], prompts[first : first + size], first, threads)
                spent += perf_counter() - begun
                trials[name, size].generations.extend(written)
                tokens += sum(len(text.tokens) for text in written)
            paces[name, size].append(spent / tokens)
            tick(trials[name, size].contender.label)
    return trials, {key: np.array(pace) for key, pace in paces.items()}


def write(
    team: Sequence[Decoder],
    prompts: Sequence[Prompt],
    seed: int,
    threads: int,
) -> list[Generation]:
    """A text for each prompt, side by side; prompt n is written with seed `seed` + n.

    Every prompt is read from its start.
    """
    for one in team:
        one.forget()
    with torch_threads(threads):
        return generate_together(
            [
                partial(one.generate, prompt.ids, prompt.max_new_tokens, seed + number)
                for number, (one, prompt) in enumerate(zip(team, prompts, strict=True))
            ]
        )


def speeds(key: Key, pace: Mapping[Key, Floats]) -> dict[str, Any]:
    """Tokens a second, and how many times those of others, as medians over blocks.

    pace  (blocks,) seconds a token

    speedup_ar, speedup_mcsd  over those decoders in batches of the same size
    speedup_alone             over the same decoder, one text after the other
    """
    name, size = key
    blocks = np.arange(len(pace[key]))
    speed = quantile_interval(1 / pace[key], blocks, 0.5)
    return {
        "blocks": len(blocks),
        "tokens_per_s": speed and speed.value,
        "tokens_per_s_low": speed and speed.low,
        "tokens_per_s_high": speed and speed.high,
        **speedup("speedup_ar", pace.get(("autoregressive", size)), pace[key]),
        **speedup("speedup_mcsd", pace.get(("mcsd", size)), pace[key]),
        **speedup("speedup_alone", pace[name, 1], pace[key]),
    }

"""Batch benchmark: throughput of generating the texts of many users together, by batch size.

All decoders generate the same block of prompts, once for each batch size, in an order drawn for
that block. Speeds count the prefill too, because a suite with an LLM agent waits for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..decoders import DECODERS, make_decoder
from ..decoders.base import Decoder, ModelPair, torch_threads
from ..decoders.execution.batching import generate_together
from ..decoders.fidelity.teacher_forced import TokenMatch
from ..errors import InputError
from ..metrics.statistics import quantile_interval
from ..records import Generation
from .decoder_metrics import (
    Floats,
    Trial,
    acceptance,
    distribution_fidelity,
    speedup,
    token_fidelity,
)
from .decoders import read_back
from .engines import decoder_engine, warmup_prompt
from .pass_cost import device_memory
from .progress import ProgressBars, ProgressCallback, no_progress

if TYPE_CHECKING:
    from .workloads import Prompt

BATCHED = ("autoregressive", "mcsd", "exact-dynamic")
"""Decoders that are compared unless others are named."""

Key = tuple[str, int]
"""A decoder's name and a batch size."""


def bench_batches(
    pair: ModelPair,
    workloads: Mapping[str, Sequence[Prompt]],
    sizes: Collection[int],
    *,
    temperatures: Sequence[float] = (0.0, 0.7),
    threads: int = 1,
    only: Collection[str] = (),
    bars: ProgressBars = no_progress,
) -> list[dict[str, Any]]:
    """One flat row of JSON values per temperature, workload, decoder and batch size.

    workloads  name -> prompts; the longest warms up, and whole blocks behind the first are
               measured, of the largest size each
    sizes      batch sizes, each ≥ 1; 1 is always measured

    Raises InputError where prompts do not fill a block, a size does not divide the largest or a
    decoder is unknown.
    """
    every = sorted({1, *sizes})
    block = every[-1]
    if every[0] < 1 or any(block % size for size in every):
        raise InputError(f"batches are {every}; give sizes ≥ 1 that divide the largest")
    names = [DECODERS.get(name).name for name in only or BATCHED]
    rows: list[dict[str, Any]] = []
    for temperature in temperatures:
        for workload, prompts in workloads.items():
            blocks = (len(prompts) - 1) // block
            if not blocks:
                raise InputError(
                    f"{workload}: {len(prompts)} prompts; give {block + 1}, one to warm up"
                )
            make = partial(make_decoder, pair=pair, temperature=temperature, threads=threads)
            decoders = {
                (name, size): [make(name) for _ in range(size)] for name in names for size in every
            }
            measured = prompts[1 : 1 + blocks * block]
            label = f"{workload}, T = {temperature}"
            with bars(f"{label}: generating", blocks * len(decoders)) as progress:
                warmup = warmup_prompt(prompts, pair.target.device)
                trials, times = interleaved_batches(decoders, warmup, measured, threads, progress)
            with bars(f"{label}: reading back", len(measured) * len(trials)) as progress:
                each = [*trials.values()]
                matches = read_back(pair, temperature, threads, each, measured, progress)
            columns = {"temperature": temperature, "workload": workload, "threads": threads}
            rows += rows_of(pair, columns, trials, times, matches)
    return rows


def rows_of(
    pair: ModelPair,
    common: Mapping[str, Any],
    trials: Mapping[Key, Trial],
    times: Mapping[Key, Floats],
    matches: Mapping[str, Sequence[TokenMatch]],
) -> list[dict[str, Any]]:
    """One flat row per decoder and batch size.

    common   columns that all rows share
    times    (blocks,) seconds per token
    matches  label -> teacher-forced results
    """
    device = pair.target.device
    columns = {"pair": pair.name, "device": str(device), **common}
    columns |= {"dtype": str(pair.target.dtype).removeprefix("torch.")}
    columns |= {"target_parameters": pair.target.num_parameters()}
    columns |= {"device_memory": device_memory(device)}
    return [
        {
            "decoder": key[0],
            **columns,
            "batch": key[1],
            "exact": trial.engine.exact,
            **speeds(key, times),
            **acceptance(trial),
            **token_fidelity(matches.get(trial.engine.label)),
            **distribution_fidelity((), None),
        }
        for key, trial in trials.items()
    ]


def interleaved_batches(
    decoders: Mapping[Key, Sequence[Decoder]],
    warmup: Prompt,
    prompts: Sequence[Prompt],
    threads: int,
    progress: ProgressCallback,
) -> tuple[dict[Key, Trial], dict[Key, Floats]]:
    """The texts of each decoder and batch size, and seconds per token in each block."""
    trials = {}
    for (name, size), batch in decoders.items():
        engine = decoder_engine(name, batch[0].pair, batch[0].sampling.temperature, threads)
        trials[name, size] = Trial(replace(engine, label=f"{name} × {size}"), [])
    times: dict[Key, list[float]] = {key: [] for key in decoders}
    keys, block = [*decoders], max(size for _, size in decoders)
    for batch in decoders.values():
        generate_batch(batch, [warmup] * len(batch), 0, threads)
        for decoder in batch:
            decoder.forget()
    for number, start in enumerate(range(0, len(prompts), block)):
        for index in np.random.default_rng([2, number]).permutation(len(keys)):
            key = keys[index]
            size = key[1]
            spent, tokens = 0.0, 0
            for first in range(start, start + block, size):
                begun = perf_counter()
                some = prompts[first : first + size]
                generations = generate_batch(decoders[key], some, first, threads)
                spent += perf_counter() - begun
                trials[key].generations.extend(generations)
                tokens += sum(len(generation.tokens) for generation in generations)
            times[key].append(spent / tokens)
            progress(trials[key].engine.label)
    return trials, {key: np.array(some) for key, some in times.items()}


def generate_batch(
    batch: Sequence[Decoder],
    prompts: Sequence[Prompt],
    seed: int,
    threads: int,
) -> list[Generation]:
    """One text for each prompt, together; prompt n is generated with seed `seed` + n.

    Every prompt is read from its start.
    """
    for decoder in batch:
        decoder.forget()
    with torch_threads(threads):
        return generate_together(
            [
                partial(decoder.generate, prompt.ids, prompt.max_new_tokens, seed + number)
                for number, (decoder, prompt) in enumerate(zip(batch, prompts, strict=True))
            ]
        )


def speeds(key: Key, times: Mapping[Key, Floats]) -> dict[str, Any]:
    """Tokens per second and speed-ups, as medians over blocks; all count the prefill.

    times  (blocks,) seconds per token

    speedup_ar, speedup_mcsd  over those decoders at the same batch size
    speedup_unbatched         over the same decoder at batch size 1

    Prompts of a block are read at different times, so speeds without the prompt are not known; the
    columns of both names hold the same figures.
    """
    name, size = key
    blocks = np.arange(len(times[key]))
    speed = quantile_interval(1 / times[key], blocks, 0.5)
    over_ar = times.get(("autoregressive", size))
    return {
        "blocks": len(blocks),
        "tokens_per_s": speed and speed.value,
        "tokens_per_s_low": speed and speed.low,
        "tokens_per_s_high": speed and speed.high,
        "tokens_per_s_with_prompt": speed and speed.value,
        **speedup("speedup_ar", over_ar, times[key]),
        **speedup("speedup_ar_with_prompt", over_ar, times[key]),
        **speedup("speedup_mcsd", times.get(("mcsd", size)), times[key]),
        **speedup("speedup_unbatched", times[name, 1], times[key]),
    }

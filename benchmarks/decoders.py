"""Decoder benchmark: speed beside fidelity, all engines on the same prompts, interleaved.

An absolute speed is noise on a busy machine. So for each prompt every engine generates once, in an
order drawn for that prompt, and speed-ups are ratios within a prompt. The same row says whether
the text is still the target's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..decoders import DECODERS
from ..decoders.autoregressive import Autoregressive
from ..decoders.base import Decoder, ModelPair
from ..decoders.exact_dynamic import ExactDynamic
from ..decoders.fidelity.distribution_tests import (
    DistributionTest,
    distribution_tests,
    next_token_distributions,
)
from ..decoders.fidelity.teacher_forced import TokenMatch, teacher_forced, token_identical
from ..errors import InputError
from .decoder_metrics import Trial, rows_of
from .engines import SWEEPS, TUNING_PROMPTS, Engine, all_engines, tune, warmup_prompt
from .pass_cost import device_memory, pass_cost
from .progress import ProgressBars, ProgressCallback, no_progress
from .reference_engines import REFERENCE_ENGINES

if TYPE_CHECKING:
    from .workloads import Prompt

TUNED = "tuned"

TEST_PROMPT_TOKENS = 24
"""Length of the prompt of distribution tests: short, since it is read once per draw."""


@dataclass(frozen=True)
class WorkloadRun:
    """The measured prompts of one workload, and what the engines generated for them."""

    workload: str
    prompts: Sequence[Prompt]
    trials: list[Trial]
    matches: dict[str, list[TokenMatch]]


def bench_decoders(
    pair: ModelPair,
    workloads: Mapping[str, Sequence[Prompt]],
    *,
    temperatures: Sequence[float] = (0.0, 0.7),
    threads: int = 1,
    draws: int = 300,
    only: Collection[str] = (),
    bars: ProgressBars = no_progress,
) -> list[dict[str, Any]]:
    """One flat row of JSON values per temperature, workload and engine.

    workloads     name -> prompts; the first `TUNING_PROMPTS` tune the baselines and are not
                  measured, so there must be more
    threads       torch's intra-op threads, for decoders and reference engines
    draws         texts per decoder for its distribution tests at T > 0; 0 to skip them
    only          names of decoders and reference engines, and `TUNED` for the tuned baselines;
                  empty for all

    Raises InputError for another name in `only`.
    """
    check_names(only)
    device = pair.target.device
    common = {"pair": pair.name, "device": str(device), "threads": threads}
    common["dtype"] = str(pair.target.dtype).removeprefix("torch.")
    common |= pass_cost(pair, threads)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    rows: list[dict[str, Any]] = []
    for temperature in temperatures:
        runs = [
            run_workload(pair, temperature, threads, name, prompts, only, bars)
            for name, prompts in workloads.items()
        ]
        tests: dict[str, list[DistributionTest]] = {}
        if draws and temperature > 0:
            tests = run_distribution_tests(temperature, draws, runs, bars)
        for run in runs:
            columns = {**common, "temperature": temperature, "workload": run.workload}
            columns |= {"device_memory": device_memory(device)}
            rows += rows_of(columns, run.trials, run.matches, tests)
    return rows


def check_names(only: Collection[str]) -> None:
    """Raises InputError for a name that no engine has."""
    known = {*DECODERS.names(), *REFERENCE_ENGINES, TUNED}
    for name in only:
        if name not in known:
            raise InputError(f"there is no engine {name!r}; pick of {', '.join(sorted(known))}")


def run_workload(
    pair: ModelPair,
    temperature: float,
    threads: int,
    workload: str,
    prompts: Sequence[Prompt],
    only: Collection[str],
    bars: ProgressBars,
) -> WorkloadRun:
    """Tune the baselines, generate with all engines, and read the texts back."""
    tuning, measured = prompts[:TUNING_PROMPTS], prompts[TUNING_PROMPTS:]
    label = f"{workload}, T = {temperature}"
    engines = all_engines(pair, temperature, threads)
    engines = [engine for engine in engines if not only or engine.name in only]
    swept = SWEEPS if not only or TUNED in only else {}
    with bars(f"{label}: tuning", len(tuning) * sum(map(len, swept.values()))) as progress:
        for name in swept:
            engines.append(tune(name, pair, temperature, threads, tuning, progress))
    with bars(f"{label}: generating", len(measured) * len(engines)) as progress:
        warmup = warmup_prompt(prompts, pair.target.device)
        trials = interleaved(engines, warmup, measured, progress)
    with bars(f"{label}: reading back", len(measured) * len(trials)) as progress:
        matches = read_back(pair, temperature, threads, trials, measured, progress)
    return WorkloadRun(workload, measured, trials, matches)


def interleaved(
    engines: Sequence[Engine],
    warmup: Prompt,
    prompts: Sequence[Prompt],
    progress: ProgressCallback,
) -> list[Trial]:
    """The texts of every engine; prompt n is generated with seed n, in an order drawn for it.

    warmup  generated once by each engine, before anything is timed

    The trial of a reference engine that cannot read the pair has a reason in place of texts.
    """
    trials = []
    for engine in engines:
        reason = ""
        try:
            engine.warm_up(warmup)
        except Exception as error:  # a reference engine may raise anything for an unknown draft
            if engine.decoder is not None:
                raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
        trials.append(Trial(engine, [], reason))
    for seed, prompt in enumerate(prompts):
        for index in np.random.default_rng([0, seed]).permutation(len(trials)):
            trial = trials[index]
            if not trial.reason:
                generation = trial.engine.generate(prompt.ids, prompt.max_new_tokens, seed)
                trial.generations.append(generation)
                if isinstance(decoder := trial.engine.decoder, ExactDynamic):
                    trial.planned.append(decoder.planned)
            progress(trial.engine.label)
    return trials


def read_back(
    pair: ModelPair,
    temperature: float,
    threads: int,
    trials: Sequence[Trial],
    prompts: Sequence[Prompt],
    progress: ProgressCallback,
) -> dict[str, list[TokenMatch]]:
    """Label -> teacher-forced results of its texts, for engines whose tokens can be compared.

    Equal texts of one prompt are read once.
    """
    path = Autoregressive(pair, temperature=temperature, threads=threads)
    known: dict[tuple[int, tuple[int, ...]], TokenMatch] = {}
    matches: dict[str, list[TokenMatch]] = {}
    for trial in trials:
        decoder = trial.engine.decoder
        comparable = path.sampling.greedy or (decoder and token_identical(decoder))
        for seed, prompt in enumerate(prompts):
            if comparable and not trial.reason:
                generation = trial.generations[seed]
                key = (seed, generation.tokens)
                if key not in known:
                    known[key] = teacher_forced(path, prompt.ids, generation, seed)
                matches.setdefault(trial.engine.label, []).append(known[key])
            progress(trial.engine.label)
    return matches


def run_distribution_tests(
    temperature: float, draws: int, runs: Sequence[WorkloadRun], bars: ProgressBars
) -> dict[str, list[DistributionTest]]:
    """Label -> distribution tests of each decoder with fixed options, all after one prompt."""
    engines = [trial.engine for trial in runs[-1].trials if not trial.engine.tuned]
    decoders = [(engine.label, engine.decoder) for engine in engines if engine.decoder]
    if not decoders:
        return {}
    prompt = distribution_prompt(decoders[0][1], runs)
    with bars(f"T = {temperature}: distribution tests", draws * len(decoders)) as progress:
        return {
            label: distribution_tests(decoder, prompt, draws, partial(progress, label))
            for label, decoder in decoders
        }


def distribution_prompt(decoder: Decoder, runs: Sequence[WorkloadRun]) -> tuple[int, ...]:
    """A prompt of at most `TEST_PROMPT_TOKENS` tokens after which a wrong rule is likely to show.

    Of the positions in the texts of the first engine, the one whose second next token is least
    certain and least like the draft's: entropy (at most 2 nats) times total variation distance.
    """
    texts = [
        (*prompt.ids, *generation.tokens[:end])
        for run in runs
        for prompt, generation in zip(run.prompts[:6], run.trials[0].generations, strict=False)
        for end in range(0, len(generation.tokens), 6)
    ]
    size = min(TEST_PROMPT_TOKENS, max(map(len, texts)))
    texts = [text[-size:] for text in texts if len(text) >= size]
    models = (decoder.pair.target, decoder.pair.draft)
    forced = next_token_distributions(decoder, models[0], texts)[:, -1].argmax(-1)
    longer = [(*text, int(token)) for text, token in zip(texts, forced, strict=True)]
    p, q = (next_token_distributions(decoder, model, longer)[:, -1] for model in models)
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(-1)
    score = np.minimum(entropy, 2.0) * np.abs(p - q).sum(-1) / 2
    return texts[int(score.argmax())]

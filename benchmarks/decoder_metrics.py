"""Figures of the decoder benchmark: one flat row per engine, from its generations and rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..decoders.fidelity.distribution_tests import DistributionTest
from ..decoders.fidelity.teacher_forced import TokenMatch
from ..metrics.comparison import holm
from ..metrics.statistics import quantile_interval
from ..records import Generation, Round
from .engines import Engine, after_prefill

BASELINES = {
    "speedup_ar": "autoregressive",
    "speedup_mcsd": "mcsd",
    "speedup_transformers": "transformers generate",
}
"""Column -> label of the engine that speed is divided by."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """The generations of one engine, one per prompt; or the reason why there are none.

    planned  for each text the tokens that its rounds were planned to emit, and the milliseconds
             planned for them; empty for engines that do not plan
    """

    engine: Engine
    generations: list[Generation]
    reason: str = ""
    planned: list[tuple[float, float]] = field(default_factory=list)


def rows_of(
    common: Mapping[str, Any],
    trials: Sequence[Trial],
    matches: Mapping[str, Sequence[TokenMatch]],
    tests: Mapping[str, Sequence[DistributionTest]],
) -> list[dict[str, Any]]:
    """One flat row per trial.

    common   columns that all rows share: pair, device, threads, temperature, workload, …
    matches  label -> teacher-forced results, for engines whose tokens can be compared
    tests    label -> distribution tests; the p-values of all engines are adjusted together (Holm)
    """
    times = {trial.engine.label: seconds_per_token(trial.generations) for trial in trials}
    whole = {
        trial.engine.label: seconds_per_token(trial.generations, with_prompt=True)
        for trial in trials
    }
    adjusted = adjusted_p(tests)
    baselines = BASELINES | {
        "speedup_tuned": fastest(trials, times, lambda one: one.tuned),
        "speedup_reference": fastest(trials, times, lambda one: one.decoder is None),
    }
    rows = []
    for trial in trials:
        engine, label = trial.engine, trial.engine.label
        row = {"decoder": label, **common, "batch": 1}
        row |= {"exact": engine.exact, "tuned": engine.tuned, "note": trial.reason}
        row |= {"reference_engine": engine.decoder is None}
        row |= {"name": engine.name, "options": dict(engine.options)}
        row |= {"decision": engine.config.get("decision")}
        row |= acceptance(trial)
        row |= timing(trial.generations)
        row |= plan(trial)
        for column, baseline in baselines.items():
            row |= speedup(column, times.get(baseline), times[label])
        for column in ("speedup_ar", "speedup_mcsd"):
            row |= speedup(f"{column}_with_prompt", whole.get(baselines[column]), whole[label])
        row |= {"best_tuned": baselines["speedup_tuned"]}
        row |= {"best_reference": baselines["speedup_reference"]}
        row |= token_fidelity(matches.get(label))
        row |= distribution_fidelity(tests.get(label, ()), adjusted.get(label))
        rows.append(row)
    return rows


def seconds_per_token(generations: Sequence[Generation], with_prompt: bool = False) -> Floats:
    """(prompts,) seconds per token after the prefill; NaN where a text has no such token.

    with_prompt  divide all seconds, prefill included, by all tokens instead
    """
    if with_prompt:
        both = [(len(generation.tokens), generation.seconds) for generation in generations]
    else:
        both = [after_prefill(generation) for generation in generations]
    return np.array([seconds / tokens if tokens else np.nan for tokens, seconds in both])


def fastest(
    trials: Sequence[Trial], times: Mapping[str, Floats], wanted: Callable[[Engine], bool]
) -> str:
    """Label of the engine with the least median seconds per token among some; "" for none."""
    medians = {
        trial.engine.label: float(np.nanmedian(times[trial.engine.label]))
        for trial in trials
        if wanted(trial.engine) and np.isfinite(times[trial.engine.label]).any()
    }
    return min(medians, key=medians.__getitem__, default="")


def speedup(column: str, baseline: Floats | None, own: Floats) -> dict[str, Any]:
    """Median over prompts of the baseline's seconds per token over the own, with its interval.

    None where the baseline was not run. No interval below 20 prompts.
    """
    estimate = None
    if baseline is not None and len(baseline) == len(own):
        both = np.isfinite(baseline) & np.isfinite(own)
        estimate = quantile_interval(baseline[both] / own[both], np.flatnonzero(both), 0.5)
    return {
        column: estimate and estimate.value,
        f"{column}_low": estimate and estimate.low,
        f"{column}_high": estimate and estimate.high,
    }


def acceptance(trial: Trial) -> dict[str, Any]:
    """Counts over the rounds of all prompts, which depend on no clock.

    acceptance_rate          Σ accepted / Σ maximal depth (abstract of arXiv 2409.10644)
    acceptance_rate_drafted  Σ accepted / Σ depth submitted (its code)
    draft_acceptance_rate    Σ accepted / Σ draft tokens proposed (vLLM)
    mean_acceptance_length   Σ (accepted + 1) / rounds (vLLM)
    """
    rounds = [r for generation in trial.generations for r in generation.rounds]
    accepted = sum(r.accepted for r in rounds)
    offered = 0 if trial.engine.decoder is None else sum(r.max_depth for r in rounds)
    submitted = sum(r.drafted_depth for r in rounds)
    proposed = sum(r.drafted_nodes for r in rounds)
    emitted = sum(r.emitted for r in rounds)
    lengths = Counter(r.accepted for r in rounds)
    sources = Counter(source for r in rounds for source in r.sources)
    return {
        "prompts": len(trial.generations),
        "tokens": sum(len(generation.tokens) for generation in trial.generations),
        "rounds": len(rounds),
        "acceptance_rate": accepted / offered if offered else None,
        "acceptance_rate_drafted": accepted / submitted if submitted else None,
        "draft_acceptance_rate": accepted / proposed if proposed else None,
        "mean_acceptance_length": (accepted + len(rounds)) / len(rounds) if rounds else None,
        "accepted_lengths": [lengths[n] for n in range(max(lengths, default=-1) + 1)],
        "sources": dict(sorted(sources.items())),
        "nodes_per_round": _mean(r.drafted_nodes for r in rounds),
        "rows_per_round": _mean(r.verified_nodes for r in rounds),
        "nodes_per_token": proposed / emitted if emitted else None,
    }


def timing(generations: Sequence[Generation]) -> dict[str, Any]:
    """Speeds, latencies in seconds, and shares of the rounds' time.

    tokens_per_s              median over prompts, after the prefill, with its interval
    tokens_per_s_with_prompt  all tokens over all seconds, prefill included
    ttft_p50                  seconds to the first token
    inter_token_*             quantiles over tokens of their round's seconds by its tokens
    share_*                   shares of the seconds of all rounds; host: between model passes, which
                              is contained in draft, verify and decide too
    """
    times = seconds_per_token(generations)
    known = np.isfinite(times)
    speed = quantile_interval(1 / times[known], np.flatnonzero(known), 0.5)
    seconds = sum(generation.seconds for generation in generations)
    tokens = sum(len(generation.tokens) for generation in generations)
    firsts = [generation.first_token_seconds for generation in generations]
    rounds = [r for generation in generations for r in generation.rounds if r.emitted]
    gaps = np.repeat([_seconds(r) / r.emitted for r in rounds], [r.emitted for r in rounds])
    spent = sum(map(_seconds, rounds))
    parts = {
        "share_draft": sum(r.draft_seconds for r in rounds),
        "share_verify": sum(r.verify_seconds for r in rounds),
        "share_decide": sum(r.decide_seconds for r in rounds),
    }
    in_passes = sum(r.pass_seconds for r in rounds)
    return {
        "tokens_per_s": speed and speed.value,
        "tokens_per_s_low": speed and speed.low,
        "tokens_per_s_high": speed and speed.high,
        "tokens_per_s_with_prompt": tokens / seconds if seconds else None,
        "ttft_p50": float(np.median(firsts)) if firsts else None,
        "inter_token_p50": float(np.quantile(gaps, 0.5)) if len(gaps) else None,
        "inter_token_p95": float(np.quantile(gaps, 0.95)) if len(gaps) else None,
        **{name: part / spent if spent else None for name, part in parts.items()},
        "share_host": 1 - in_passes / spent if in_passes else None,
    }


def plan(trial: Trial) -> dict[str, Any]:
    """Planned speed and acceptance length of an engine that plans its rounds; else None.

    Tokens are counted before a text is cut at its stop, as plans do.
    """
    rounds = [r for generation in trial.generations for r in generation.rounds]
    if not (trial.planned and rounds):
        return dict.fromkeys(("planned_tokens_per_s", "planned_acceptance_length", "rounds_per_s"))
    tokens, milliseconds = (sum(part) for part in zip(*trial.planned, strict=True))
    return {
        "planned_tokens_per_s": 1e3 * tokens / milliseconds,
        "planned_acceptance_length": tokens / len(rounds),
        "rounds_per_s": len(rounds) / sum(map(_seconds, rounds)),
    }


def token_fidelity(matches: Sequence[TokenMatch] | None) -> dict[str, Any]:
    """Share of tokens that are the target's own or nearly tie with it, and the mismatches left."""
    if not matches:
        columns = ("token_match", "near_ties", "unexplained", "own_flips", "logit_difference")
        return dict.fromkeys(columns)
    tokens = sum(match.tokens for match in matches)
    unexplained = sum(len(match.unexplained) for match in matches)
    return {
        "token_match": 1 - unexplained / tokens if tokens else 1.0,
        "near_ties": sum(len(match.near_ties) for match in matches),
        "unexplained": unexplained,
        "own_flips": sum(match.own_flips for match in matches),
        "logit_difference": max(match.difference for match in matches),
    }


def adjusted_p(tests: Mapping[str, Sequence[DistributionTest]]) -> dict[str, float]:
    """Label -> smallest of its p-values, adjusted for the tests of all labels (Holm)."""
    every = [(label, test.p) for label, some in tests.items() for test in some]
    adjusted: dict[str, float] = {}
    for (label, _), p in zip(every, holm([p for _, p in every]), strict=True):
        adjusted[label] = min(p, adjusted.get(label, 1.0))
    return adjusted


def distribution_fidelity(
    tests: Sequence[DistributionTest], adjusted: float | None
) -> dict[str, Any]:
    """Results of an engine's distribution tests; distance, draws and power are of the first."""
    first = tests[0] if tests else None
    return {
        "tv_distance": first and first.tv_distance,
        "tv_floor": first and first.tv_floor,
        "distribution_p": adjusted,
        "distribution_draws": first.draws if first else 0,
        "distribution_sites": {
            test.site: [test.draws, test.p, test.tv_distance, test.tv_floor] for test in tests
        },
        "distribution_detects": first.detects if first and first.cells > 1 else None,
    }


def _seconds(r: Round) -> float:
    return r.draft_seconds + r.verify_seconds + r.decide_seconds


def _mean(values: Iterable[int]) -> float | None:
    given = list(values)
    return sum(given) / len(given) if given else None

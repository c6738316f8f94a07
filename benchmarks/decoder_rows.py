"""From texts and their rounds to figures: one flat row per contender."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..decoders.fidelity.distribution_tests import DistributionTest
from ..decoders.fidelity.teacher_forced import Match
from ..metrics.comparison import holm
from ..metrics.statistics import quantile_interval
from ..records import Generation, Round
from .contenders import Contender, decoding

BASES = {
    "speedup_ar": "autoregressive",
    "speedup_mcsd": "mcsd",
    "speedup_transformers": "transformers generate",
}
"""Column -> over whom."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One contender's texts, a prompt each; or the reason why there are none.

    planned  for each text the tokens that its rounds were to write, and in how many milliseconds;
             empty for contenders that do not plan
    """

    contender: Contender
    generations: list[Generation]
    reason: str = ""
    planned: list[tuple[float, float]] = field(default_factory=list)


def rows_of(
    where: Mapping[str, Any],
    trials: Sequence[Trial],
    matches: Mapping[str, Sequence[Match]],
    laws: Mapping[str, Sequence[DistributionTest]],
) -> list[dict[str, Any]]:
    """A row a trial.

    where    what all rows share: pair, device, threads, temperature, workload, …
    matches  label -> its texts read back, where they can be held to the target's
    laws     label -> tests of its law; the p-values of all of them are adjusted together
    """
    paces = {trial.contender.label: pace(trial.generations) for trial in trials}
    wholes = {trial.contender.label: pace(trial.generations, whole=True) for trial in trials}
    tests = [(label, test) for label, tried in laws.items() for test in tried]
    adjusted: dict[str, float] = {}
    for (label, _), p in zip(tests, holm([test.p for _, test in tests]), strict=True):
        adjusted[label] = min(p, adjusted.get(label, 1.0))
    bases = BASES | {
        "speedup_tuned": quickest(trials, paces, lambda one: one.tuned),
        "speedup_peer": quickest(trials, paces, lambda one: one.decoder is None),
    }
    rows = []
    for trial in trials:
        one, label = trial.contender, trial.contender.label
        row = {"decoder": label, **where, "exact": one.exact, "tuned": one.tuned}
        row |= {"peer": one.decoder is None, "note": trial.reason}
        row |= {"name": one.name, "options": dict(one.options)}
        row |= {"decision": one.config.get("decision")}
        row |= counts(trial)
        row |= times(trial.generations)
        row |= plans(trial)
        for column, base in bases.items():
            row |= speedup(column, paces.get(base), paces[label])
        for column in ("speedup_ar", "speedup_mcsd"):
            row |= speedup(f"{column}_whole", wholes.get(bases[column]), wholes[label])
        row |= {"best_tuned": bases["speedup_tuned"], "best_peer": bases["speedup_peer"]}
        row |= fidelity(matches.get(label))
        tried = laws.get(label, ())
        row |= {
            "tv": tried[0].tv if tried else None,
            "tv_floor": tried[0].floor if tried else None,
            "law_p": adjusted.get(label),
            "law_draws": tried[0].draws if tried else 0,
            "law_sites": {test.site: [test.draws, test.p, test.tv, test.floor] for test in tried},
            "law_detects": tried[0].detects if tried and tried[0].cells > 1 else None,
        }
        rows.append(row)
    return rows


def pace(generations: Sequence[Generation], whole: bool = False) -> Floats:
    """(prompts,) seconds a token after the prefill; NaN where a text has no such token.

    whole  of all tokens and all seconds instead: whoever reads the prompt when, it is counted
    """
    if whole:
        both = [(len(generation.tokens), generation.seconds) for generation in generations]
    else:
        both = [decoding(generation) for generation in generations]
    return np.array([seconds / tokens if tokens else np.nan for tokens, seconds in both])


def quickest(
    trials: Sequence[Trial], paces: Mapping[str, Floats], wanted: Callable[[Contender], bool]
) -> str:
    """The label with the least median seconds a token among some contenders; "" for none."""
    middles = {
        trial.contender.label: float(np.nanmedian(paces[trial.contender.label]))
        for trial in trials
        if wanted(trial.contender) and np.isfinite(paces[trial.contender.label]).any()
    }
    return min(middles, key=middles.__getitem__, default="")


def speedup(column: str, base: Floats | None, own: Floats) -> dict[str, Any]:
    """The median over prompts of the base's seconds a token over the own, with its interval.

    None where the base is not there. No interval below 20 prompts.
    """
    estimate = None
    if base is not None and len(base) == len(own):
        both = np.isfinite(base) & np.isfinite(own)
        estimate = quantile_interval(base[both] / own[both], np.flatnonzero(both), 0.5)
    return {
        column: estimate and estimate.value,
        f"{column}_low": estimate and estimate.low,
        f"{column}_high": estimate and estimate.high,
    }


def counts(trial: Trial) -> dict[str, Any]:
    """What the rounds of all prompts add up to; no clock in it."""
    rounds = [r for generation in trial.generations for r in generation.rounds]
    accepted = sum(r.accepted for r in rounds)
    offered = 0 if trial.contender.decoder is None else sum(r.max_depth for r in rounds)
    submitted = sum(r.drafted_depth for r in rounds)
    emitted = sum(r.emitted for r in rounds)
    lengths = Counter(r.accepted for r in rounds)
    sources = Counter(source for r in rounds for source in r.sources)
    return {
        "prompts": len(trial.generations),
        "tokens": sum(len(generation.tokens) for generation in trial.generations),
        "rounds": len(rounds),
        "acceptance_rate": accepted / offered if offered else None,
        "acceptance_rate_drafted": accepted / submitted if submitted else None,
        "mean_acceptance_length": (accepted + len(rounds)) / len(rounds) if rounds else None,
        "accepted_lengths": [lengths[n] for n in range(max(lengths, default=-1) + 1)],
        "sources": dict(sorted(sources.items())),
        "nodes_per_round": _mean(r.drafted_nodes for r in rounds),
        "rows_per_round": _mean(r.verified_nodes for r in rounds),
        "nodes_per_token": sum(r.drafted_nodes for r in rounds) / emitted if emitted else None,
    }


def times(generations: Sequence[Generation]) -> dict[str, Any]:
    """Speeds, latencies in seconds, and where the time of the rounds goes.

    tokens_per_s        median over prompts, after the prefill, with its interval
    tokens_per_s_total  all tokens over all seconds, prefill included
    ttft_p50            seconds to the first token
    inter_token_*       quantiles over tokens of their round's seconds by its tokens
    share_*             of the seconds of all rounds; host: between passes of ours, which are in
                        draft, verify and decide too
    """
    paces = pace(generations)
    there = np.isfinite(paces)
    speed = quantile_interval(1 / paces[there], np.flatnonzero(there), 0.5)
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
    passed = sum(r.pass_seconds for r in rounds)
    return {
        "tokens_per_s": speed and speed.value,
        "tokens_per_s_low": speed and speed.low,
        "tokens_per_s_high": speed and speed.high,
        "tokens_per_s_total": tokens / seconds if seconds else None,
        "ttft_p50": float(np.median(firsts)) if firsts else None,
        "inter_token_p50": float(np.quantile(gaps, 0.5)) if len(gaps) else None,
        "inter_token_p95": float(np.quantile(gaps, 0.95)) if len(gaps) else None,
        **{name: part / spent if spent else None for name, part in parts.items()},
        "share_host": 1 - passed / spent if passed else None,
    }


def plans(trial: Trial) -> dict[str, Any]:
    """What a decoder that plans its rounds expected of them, beside what came of them.

    Tokens are counted before a text is cut at its stop, as plans do.
    """
    rounds = [r for generation in trial.generations for r in generation.rounds]
    if not (trial.planned and rounds):
        return dict.fromkeys(("planned_tokens_per_s", "planned_block_efficiency", "rounds_per_s"))
    tokens, milliseconds = (sum(part) for part in zip(*trial.planned, strict=True))
    return {
        "planned_tokens_per_s": 1e3 * tokens / milliseconds,
        "planned_block_efficiency": tokens / len(rounds),
        "rounds_per_s": len(rounds) / sum(map(_seconds, rounds)),
    }


def fidelity(matches: Sequence[Match] | None) -> dict[str, Any]:
    """Share of tokens that are the target's own or nearly tie with it, and what is left over."""
    if not matches:
        nothing = ("token_match", "near_ties", "unexplained", "own_flips", "logit_difference")
        return dict.fromkeys(nothing)
    tokens = sum(match.tokens for match in matches)
    unexplained = sum(len(match.unexplained) for match in matches)
    return {
        "token_match": 1 - unexplained / tokens if tokens else 1.0,
        "near_ties": sum(len(match.near_ties) for match in matches),
        "unexplained": unexplained,
        "own_flips": sum(match.own_flips for match in matches),
        "logit_difference": max(match.difference for match in matches),
    }


def _seconds(r: Round) -> float:
    return r.draft_seconds + r.verify_seconds + r.decide_seconds


def _mean(values: Any) -> float | None:
    given = list(values)
    return sum(given) / len(given) if given else None

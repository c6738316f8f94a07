"""What a decision costs: acceptance of draft tokens, tokens, repairs, wall time and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .metric import metric
from .statistics import Estimate, quantile_interval, ratio_interval
from .trace import Trace

if TYPE_CHECKING:
    import pandas as pd

_TURN = ["task", "seed", "user", "session", "turn"]


@metric(unit="share of the maximal depth", direction="higher")
def acceptance_rate(trace: Trace) -> Estimate | None:
    """Accepted draft tokens divided by the maximal draft depth of every round.

    Σ accepted / Σ maximal depth over rounds (abstract of arXiv 2409.10644); None where nothing
    is ever drafted.
    """
    return _acceptance(trace, "max_depth")


@metric(unit="share of the drafted depth", direction="higher")
def acceptance_rate_drafted(trace: Trace) -> Estimate | None:
    """Accepted draft tokens divided by the depth really drafted; stopping early raises it.

    Σ accepted / Σ depth submitted over rounds (code of arXiv 2409.10644); None where nothing
    is ever drafted.
    """
    return _acceptance(trace, "drafted_depth")


@metric(unit="share of the draft tokens", direction="higher")
def draft_acceptance_rate(trace: Trace) -> Estimate | None:
    """Accepted draft tokens divided by all draft tokens proposed, as vLLM counts it.

    Σ accepted / Σ draft tokens proposed over rounds, every node of a tree included; None where
    nothing is ever drafted.
    """
    return _acceptance(trace, "drafted_nodes")


@metric(unit="tokens per target pass", direction="higher")
def mean_acceptance_length(trace: Trace) -> Estimate | None:
    """Mean number of tokens per pass of the target model after prefill; 1 without a draft.

    Σ (accepted + 1) / rounds, counted before the output is cut at a stop.
    """
    rounds = _rounds(trace)
    if len(rounds) == 0:
        return None
    by_cluster = (rounds["accepted"] + 1).groupby(rounds[trace.cluster_by])
    return ratio_interval(by_cluster.sum(), by_cluster.size())


@metric(unit="share of decisions", direction="lower")
def repair_rate(trace: Trace) -> Estimate | None:
    """Share of decisions for which the language model had to be asked a second time.

    Decisions whose last reply is "repaired" / decisions that asked the model.
    """
    return _outcome_share(trace, "repaired")


@metric(unit="share of decisions", direction="lower")
def fallback_rate(trace: Trace) -> Estimate | None:
    """Share of decisions that the agent's own ranking made, as the model's answer was unusable.

    Decisions whose last reply is "fallback" / decisions that asked the model.
    """
    return _outcome_share(trace, "fallback")


@metric(unit="tokens", direction="lower")
def tokens_per_decision(trace: Trace) -> Estimate | None:
    """Mean number of new tokens that the model writes per decision, repairs included.

    Σ tokens over replies / turns of the agent; None where the agent decodes no text.
    """
    if len(trace.generations) == 0:
        return None
    turns = trace.steps_of("agent").groupby(trace.cluster_by).size()
    replies = trace.generations.drop_duplicates([*_TURN, "reply"])
    tokens = replies.groupby(trace.cluster_by)["tokens"].sum()
    return ratio_interval(tokens.reindex(turns.index, fill_value=0), turns)


@metric(unit="seconds", direction="lower", timed=True)
def decision_latency_p50(trace: Trace) -> Estimate | None:
    """Median wall time of a decision, from observation to slate.

    Over all decisions of all users; compare within one hardware class only.
    """
    return _latency(trace, 0.50)


@metric(unit="seconds", direction="lower", timed=True)
def decision_latency_p95(trace: Trace) -> Estimate | None:
    """95th percentile of the wall time of a decision, from observation to slate.

    Over all decisions of all users; compare within one hardware class only.
    """
    return _latency(trace, 0.95)


@metric(unit="seconds", direction="lower", timed=True)
def decision_latency_p99(trace: Trace) -> Estimate | None:
    """99th percentile of the wall time of a decision, from observation to slate.

    Over all decisions of all users; compare within one hardware class only.
    """
    return _latency(trace, 0.99)


@metric(unit="seconds", direction="lower", timed=True)
def time_to_first_token(trace: Trace) -> Estimate | None:
    """Median wall time until the model's first token, over the decisions with a text.

    Time from the observation to the first token of the first text. None where no text was
    written.
    """
    if len(trace.decisions) == 0:
        return None
    with_text = trace.decisions[trace.decisions["first_token_seconds"] > 0]
    return quantile_interval(with_text["first_token_seconds"], with_text[trace.cluster_by], 0.5)


@metric(unit="bytes", direction="lower", timed=True)
def peak_memory(trace: Trace) -> Estimate | None:
    """Largest resident memory of the agent's process.

    Maximum over all decisions; without an interval, because resampling gives none for a maximum.
    None where it was not measured, as for agents that play over a network.
    """
    peak = float(trace.decisions["peak_memory"].max()) if len(trace.decisions) else 0.0
    if peak == 0:
        return None
    return Estimate(peak, None, None, trace.decisions[trace.cluster_by].nunique())


def _rounds(trace: Trace) -> pd.DataFrame:
    """The decoding rounds, without the row of round −1 that a reply without rounds leaves."""
    table = trace.generations
    return table[table["round"] >= 0] if len(table) else table


def _acceptance(trace: Trace, denominator: str) -> Estimate | None:
    rounds = _rounds(trace)
    if len(rounds) == 0:
        return None
    by_cluster = rounds.groupby(trace.cluster_by)
    return ratio_interval(by_cluster["accepted"].sum(), by_cluster[denominator].sum())


def _outcome_share(trace: Trace, outcome: str) -> Estimate | None:
    if len(trace.generations) == 0:
        return None
    last = trace.generations.sort_values([*_TURN, "reply"]).drop_duplicates(_TURN, keep="last")
    by_cluster = (last["outcome"] == outcome).groupby(last[trace.cluster_by])
    return ratio_interval(by_cluster.sum(), by_cluster.size())


def _latency(trace: Trace, q: float) -> Estimate | None:
    if len(trace.decisions) == 0:
        return None
    return quantile_interval(trace.decisions["seconds"], trace.decisions[trace.cluster_by], q)

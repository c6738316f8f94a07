"""What a decision costs: decoding rounds, tokens, repairs and wall time."""

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
    """Draft tokens accepted, out of the deepest path that every round could have drafted.

    Σ accepted / Σ maximal depth over rounds (abstract of arXiv 2409.10644); None where nothing
    is ever drafted.
    """
    return _over_rounds(trace, "max_depth")


@metric(unit="share of the drafted depth", direction="higher")
def acceptance_rate_drafted(trace: Trace) -> Estimate | None:
    """Draft tokens accepted, out of the depth that was really drafted; stopping early raises it.

    Σ accepted / Σ depth submitted over rounds (code of arXiv 2409.10644); None likewise.
    """
    return _over_rounds(trace, "drafted_depth")


@metric(unit="share of the draft tokens", direction="higher")
def draft_acceptance_rate(trace: Trace) -> Estimate | None:
    """Draft tokens accepted, out of all draft tokens that were proposed, as vLLM counts it.

    Σ accepted / Σ draft tokens proposed over rounds, every node of a tree included; None where
    nothing is ever drafted.
    """
    return _over_rounds(trace, "drafted_nodes")


@metric(unit="tokens per target pass", direction="higher")
def mean_acceptance_length(trace: Trace) -> Estimate | None:
    """Tokens gained per pass of the target model after prefill; 1 without a draft.

    Σ (accepted + 1) / rounds, counted before the output is cut at a stop.
    """
    rounds = _rounds(trace)
    if len(rounds) == 0:
        return None
    by_user = (rounds["accepted"] + 1).groupby(rounds[trace.unit])
    return ratio_interval(by_user.sum(), by_user.size())


@metric(unit="share of decisions", direction="lower")
def repair_rate(trace: Trace) -> Estimate | None:
    """Decisions for which the language model had to be asked a second time.

    Decisions whose last reply is "repaired" / decisions that asked the model.
    """
    return _outcome(trace, "repaired")


@metric(unit="share of decisions", direction="lower")
def fallback_rate(trace: Trace) -> Estimate | None:
    """Decisions for which the model's answer was unusable and the agent's own ranking stood in.

    Decisions whose last reply is "fallback" / decisions that asked the model.
    """
    return _outcome(trace, "fallback")


@metric(unit="tokens", direction="lower")
def tokens_per_decision(trace: Trace) -> Estimate | None:
    """New tokens that the model wrote for each slate, repairs included.

    Σ tokens over replies / turns of the agent's lives; None where the agent decodes no text.
    """
    if len(trace.generations) == 0:
        return None
    turns = trace.lives("agent").groupby(trace.unit).size()
    replies = trace.generations.drop_duplicates([*_TURN, "reply"])
    tokens = replies.groupby(trace.unit)["tokens"].sum()
    return ratio_interval(tokens.reindex(turns.index, fill_value=0), turns)


@metric(unit="seconds", direction="lower", clocked=True)
def decision_latency_p50(trace: Trace) -> Estimate | None:
    """Half of the decisions took no longer than this, from observation to slate.

    Median wall time over all decisions of all users; compare within one hardware class only.
    """
    return _latency(trace, 0.50)


@metric(unit="seconds", direction="lower", clocked=True)
def decision_latency_p95(trace: Trace) -> Estimate | None:
    """Nineteen of twenty decisions took no longer than this, from observation to slate.

    95th percentile of wall time over all decisions; compare within one hardware class only.
    """
    return _latency(trace, 0.95)


@metric(unit="seconds", direction="lower", clocked=True)
def decision_latency_p99(trace: Trace) -> Estimate | None:
    """All but one in a hundred decisions took no longer than this, from observation to slate.

    99th percentile of wall time over all decisions; compare within one hardware class only.
    """
    return _latency(trace, 0.99)


@metric(unit="seconds", direction="lower", clocked=True)
def time_to_first_token(trace: Trace) -> Estimate | None:
    """How long it takes until the model's first word, in half of the decisions that have one.

    Median over the decisions with a text of the time to the first token of the first text; None
    where nothing was written.
    """
    if len(trace.decisions) == 0:
        return None
    told = trace.decisions[trace.decisions["first_token_seconds"] > 0]
    return quantile_interval(told["first_token_seconds"], told[trace.unit], 0.5)


@metric(unit="bytes", direction="lower", clocked=True)
def peak_memory(trace: Trace) -> Estimate | None:
    """The most memory that the agent's process ever held.

    Maximum over all decisions; without an interval, which no resampling gives for a maximum.
    None where nobody looked, as for agents that played over a network.
    """
    peak = float(trace.decisions["peak_memory"].max()) if len(trace.decisions) else 0.0
    if peak == 0:
        return None
    return Estimate(peak, None, None, trace.decisions[trace.unit].nunique())


def _rounds(trace: Trace) -> pd.DataFrame:
    """The decoding rounds; a reply that needed none may stand in the table as round −1."""
    table = trace.generations
    return table[table["round"] >= 0] if len(table) else table


def _over_rounds(trace: Trace, offered: str) -> Estimate | None:
    rounds = _rounds(trace)
    if len(rounds) == 0:
        return None
    by_user = rounds.groupby(trace.unit)
    return ratio_interval(by_user["accepted"].sum(), by_user[offered].sum())


def _outcome(trace: Trace, outcome: str) -> Estimate | None:
    if len(trace.generations) == 0:
        return None
    last = trace.generations.sort_values([*_TURN, "reply"]).drop_duplicates(_TURN, keep="last")
    by_user = (last["outcome"] == outcome).groupby(last[trace.unit])
    return ratio_interval(by_user.sum(), by_user.size())


def _latency(trace: Trace, q: float) -> Estimate | None:
    if len(trace.decisions) == 0:
        return None
    return quantile_interval(trace.decisions["seconds"], trace.decisions[trace.unit], q)

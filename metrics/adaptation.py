"""What a change of taste costs an agent, and how long it takes to recover."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..records import COUNTERFACTUAL
from .metric import metric
from .statistics import Estimate, ratio_interval, sums_interval
from .trace import EPISODE_KEY, Trace

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

COST_SESSIONS = 4
"""Sessions over which `adaptation_cost` adds up; the session of the change is the first."""


def session_quality(trace: Trace, policy: str) -> pd.DataFrame:
    """One row per session of one policy, in order, with index (seed, user, session).

    quality  Σ expected / Σ best over its turns: the attained share of the best safe slates, in
             the state that the policy's own actions led to; 1 where Σ best is 0
    regime   the highest regime of its turns
    gift     whether the user looked for something for somebody else

    Empty where the policy played no episode.
    """
    steps = trace.steps_of(policy)
    if len(steps) == 0:
        return steps
    table: pd.DataFrame = steps.groupby([*EPISODE_KEY, "session"]).agg(
        expected=("expected", "sum"),
        best=("best", "sum"),
        regime=("regime", "max"),
        gift=("gift", "max"),
    )
    quality = (table["expected"] / table["best"]).where(table["best"] > 0, 1.0)
    return table.assign(quality=quality)[["quality", "regime", "gift"]]


def clustered_mean(trace: Trace, values: pd.Series[float]) -> Estimate | None:
    """Mean of the values, clustered by the trace's sampling unit; None where there are none.

    values  with seed and user in the index, sorted by it
    """
    by_cluster = values.groupby(level=trace.cluster_by)
    return ratio_interval(by_cluster.sum(), by_cluster.size())


@metric(unit="share of the best slate", direction="higher")
def level_before_change(trace: Trace) -> Estimate | None:
    """Mean session quality before the user's taste changes: what the agent has to lose.

    Mean over episodes of the mean quality of the sessions before the change (see
    `session_quality`), which is the first session whose regime is above that of session 0. None
    where no taste changes.
    """
    sessions = session_quality(trace, "agent")
    if len(sessions) == 0:
        return None
    before = sessions["quality"][_sessions_since_change(sessions) < 0]
    return clustered_mean(trace, before.groupby(EPISODE_KEY).mean())


@metric(unit="sessions of the best slates", direction="lower")
def adaptation_cost(trace: Trace) -> Estimate | None:
    """Session quality lost from a change of taste on, compared with the counterfactual.

    Mean over episodes of Σ (quality in the counterfactual − quality of the agent) over the first
    four sessions from the change on, fewer where an episode ends before. None without a
    counterfactual or a change.
    """
    losses = _quality_losses(trace)
    if losses is None:
        return None
    within = losses[losses.index.get_level_values("since") < COST_SESSIONS]
    return clustered_mean(trace, within.groupby(EPISODE_KEY).sum())


@metric(unit="sessions", direction="lower")
def adaptation_half_life(trace: Trace) -> Estimate | None:
    """Sessions until half of the quality lost to a change of taste is recovered.

    d_k = mean over episodes of (quality in the counterfactual − quality of the agent) in the k-th
    session after that of the change; the half-life is the first k, interpolated linearly between
    sessions, at which d_k ≤ d_0 / 2. Sessions count as long as half of the episodes still run.
    Where d never falls so far the value is the last k and `high` is None: the half-life is at
    least that long. None unless the interval of d_0 lies above 0. Percentile interval, since BCa
    does not apply to a censored time.
    """
    losses = _quality_losses(trace)
    if losses is None:
        return None
    table = losses.unstack("since")
    table = table.loc[:, table.notna().sum() * 2 >= len(table)]
    sums = table.groupby(level=trace.cluster_by).sum().to_numpy()
    counts = table.notna().groupby(level=trace.cluster_by).sum().to_numpy(dtype=np.float64)
    first = ratio_interval(sums[:, 0], counts[:, 0])
    if first is None or first.low is None or first.low <= 0:
        return None
    found = sums_interval(np.hstack([sums, counts]), _half_life, corrected=False)
    last = float(sums.shape[1] - 1)
    if found is None or found.low is None or found.high is None:
        return None
    high = found.high if np.isfinite(found.high) else None
    return Estimate(min(found.value, last), min(found.low, last), high, found.n)


@metric(unit="share of impressions", direction="lower")
def stale_preference_rate(trace: Trace) -> Estimate | None:
    """Share of shown items that the user loved at first and no longer does, minus the oracle's.

    Σ stale / Σ shown of the agent, minus the same of the oracle; over the turns after the change
    where a taste changes, otherwise over all turns. Both ratios are resampled together, whole
    clusters at a time (BCa). None where no policy shows a stale item, or without the oracle.
    """
    if len(trace.steps) == 0 or not trace.steps["stale"].any():
        return None
    episode = ["policy", *EPISODE_KEY]
    both = trace.steps[trace.steps["policy"].isin(["agent", "oracle"])]
    regimes = both.groupby(episode)["regime"]
    turns = regimes.size().unstack("policy")
    if turns.shape[1] < 2 or turns.isna().to_numpy().any():
        return None
    changed = both["regime"] > regimes.transform("first")
    counted = both[changed] if changed.any() else both
    sums = counted.groupby(episode)[["stale", "shown"]].sum()
    sums = sums.groupby(["policy", trace.cluster_by]).sum().unstack("policy", fill_value=0)
    columns = [(column, policy) for policy in ("agent", "oracle") for column in ("stale", "shown")]
    return sums_interval(sums.reindex(columns=columns, fill_value=0), _difference_of_ratios)


@metric(unit="share of the best slate", direction="lower")
def gift_residue(trace: Trace) -> Estimate | None:
    """Session quality lost right after a gift session, compared with the counterfactual.

    Mean of (quality in the counterfactual, in which the user never looks for gifts, − quality of
    the agent) over the ordinary sessions that directly follow a gift session. None without gift
    sessions or without such a counterfactual.
    """
    agent = session_quality(trace, "agent")
    counterfactual = session_quality(trace, COUNTERFACTUAL)
    if len(agent) == 0 or len(counterfactual) == 0 or counterfactual["gift"].any():
        return None
    gift = agent["gift"].astype(bool)
    follows = gift.groupby(EPISODE_KEY).shift(1, fill_value=False) & ~gift
    residue = (counterfactual["quality"] - agent["quality"][follows]).dropna()
    return clustered_mean(trace, residue)


def _sessions_since_change(sessions: pd.DataFrame) -> pd.Series[float]:
    """Sessions since that of the episode's change, negative before; NaN where there is none."""
    regime = sessions["regime"]
    number = sessions.index.get_level_values("session").to_series(index=sessions.index)
    changed = number.where(regime > regime.groupby(EPISODE_KEY).transform("first"))
    return number - changed.groupby(EPISODE_KEY).transform("min")


def _quality_losses(trace: Trace) -> pd.Series[float] | None:
    """Counterfactual quality − agent's quality from the change on, by (seed, user, since).

    Episodes whose counterfactual has a change too are left out; None where none is left.
    """
    agent = session_quality(trace, "agent")
    counterfactual = session_quality(trace, COUNTERFACTUAL)
    if len(agent) == 0 or len(counterfactual) == 0:
        return None
    steady = _sessions_since_change(counterfactual).isna()
    since = _sessions_since_change(agent)
    loss = (counterfactual["quality"][steady] - agent["quality"][since >= 0]).dropna()
    if len(loss) == 0:
        return None
    after = since.loc[loss.index].astype(int).rename("since")
    return loss.to_frame("loss").set_index(after, append=True)["loss"].droplevel("session")


def _half_life(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """First crossing of half the first loss, from Σ loss and the number of episodes per session.

    Shape (…, 2 · sessions) to (…); infinite where there is no crossing.
    """
    sums, counts = np.split(totals, 2, axis=-1)
    with np.errstate(invalid="ignore"):
        loss = sums / counts
    above_half = loss - loss[..., :1] / 2
    recovered = above_half <= 0
    first = recovered.argmax(axis=-1)[..., None]
    end = np.take_along_axis(above_half, first, axis=-1)[..., 0]
    start = np.take_along_axis(above_half, np.maximum(first - 1, 0), axis=-1)[..., 0]
    fraction = np.divide(start, start - end, out=np.ones_like(end), where=start > end)
    crossing = np.where(first[..., 0] > 0, first[..., 0] - 1 + fraction, 0.0)
    return np.where(recovered.any(axis=-1), crossing, np.inf)


def _difference_of_ratios(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """a / b − c / d of totals of shape (…, 4)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = totals[..., ::2] / totals[..., 1::2]
        difference: NDArray[np.float64] = ratios[..., 0] - ratios[..., 1]
    return difference

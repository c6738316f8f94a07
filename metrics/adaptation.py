"""What a change costs: how far an agent falls when a taste turns, and how soon it is back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .metric import metric
from .statistics import Estimate, ratio_interval, sums_interval
from .trace import Trace

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

LIFE = ["seed", "user"]
"""What tells the lives of one policy apart."""

COUNTERFACTUAL = "agent-counterfactual"
"""The policy name of the agent in the same user's life without the task's change."""

COSTLY_SESSIONS = 4
"""Sessions after a change that count as its cost; the change's own session is the first."""


def sessions_of(trace: Trace, policy: str) -> pd.DataFrame:
    """One row a session of one policy's lives, in order, with index (seed, user, session).

    g       Σ expected / Σ best over its turns: the share of what could be had in the state that
            the policy itself had led to; 1 where nothing was to be had
    regime  the highest of its turns
    gift    whether it was for somebody else

    Empty where the policy lived none of these lives.
    """
    lives = trace.lives(policy)
    if len(lives) == 0:
        return lives
    table: pd.DataFrame = lives.groupby([*LIFE, "session"]).agg(
        expected=("expected", "sum"),
        best=("best", "sum"),
        regime=("regime", "max"),
        gift=("gift", "max"),
    )
    g = (table["expected"] / table["best"]).where(table["best"] > 0, 1.0)
    return table.assign(g=g)[["g", "regime", "gift"]]


def mean_of(trace: Trace, values: pd.Series[float]) -> Estimate | None:
    """Σ values / how many there are, clustered by the trace's unit; None where there are none.

    values  with seed and user in the index, sorted by it
    """
    by_unit = values.groupby(level=trace.unit)
    return ratio_interval(by_unit.sum(), by_unit.size())


@metric(unit="share of the best slate", direction="higher")
def level_before_change(trace: Trace) -> Estimate | None:
    """How well the agent served its users before their taste turned: what it had to lose.

    Mean over lives of the mean g of the sessions before the change (see `sessions_of`), which is
    the first session whose regime is above that of session 0. None where no taste turns.
    """
    sessions = sessions_of(trace, "agent")
    if len(sessions) == 0:
        return None
    before = sessions["g"][_since_change(sessions) < 0]
    return mean_of(trace, before.groupby(LIFE).mean())


@metric(unit="sessions of the best slates", direction="lower")
def adaptation_cost(trace: Trace) -> Estimate | None:
    """What a change of taste takes from the agent, in sessions of perfect service.

    Mean over lives of Σ (g of the twin − g of the agent) over the first four sessions from the
    change on, fewer where a life ends before. None without a twin or a change.
    """
    drops = _drops(trace)
    if drops is None:
        return None
    within = drops[drops.index.get_level_values("since") < COSTLY_SESSIONS]
    return mean_of(trace, within.groupby(LIFE).sum())


@metric(unit="sessions", direction="lower")
def adaptation_half_life(trace: Trace) -> Estimate | None:
    """Sessions until half of what a change of taste took is won back.

    d_k = mean over lives of (g of the twin − g of the agent) in the k-th session after that of
    the change; the half-life is the first k, between two sessions on a straight line, at which
    d_k ≤ d_0 / 2. Sessions count as long as half of the lives are still observed. Where d does
    not fall so far the value is the last k and `high` is None: it takes at least so long. None
    unless the interval of d_0 lies above 0. Percentile interval, since BCa does not apply to a
    censored time.
    """
    drops = _drops(trace)
    if drops is None:
        return None
    table = drops.unstack("since")
    table = table.loc[:, table.notna().sum() * 2 >= len(table)]
    sums = table.groupby(level=trace.unit).sum().to_numpy()
    counts = table.notna().groupby(level=trace.unit).sum().to_numpy(dtype=np.float64)
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
    """How often the agent shows what its user loved once and no longer does, beyond the oracle.

    Σ stale / Σ shown of the agent, minus the same of the oracle; over the turns after the change
    where a taste turns, otherwise over all turns. Whole users are drawn for both ratios at once
    (BCa). None where nobody ever shows a stale item, or without the oracle.
    """
    if len(trace.steps) == 0 or not trace.steps["stale"].any():
        return None
    life = ["policy", *LIFE]
    both = trace.steps[trace.steps["policy"].isin(["agent", "oracle"])]
    regimes = both.groupby(life)["regime"]
    lived = regimes.size().unstack("policy")
    if lived.shape[1] < 2 or lived.isna().to_numpy().any():
        return None
    changed = both["regime"] > regimes.transform("first")
    counted = both[changed] if changed.any() else both
    sums = counted.groupby(life)[["stale", "shown"]].sum().groupby(["policy", trace.unit]).sum()
    pairs = sums.unstack("policy", fill_value=0)
    columns = [(of, who) for who in ("agent", "oracle") for of in ("stale", "shown")]
    return sums_interval(pairs.reindex(columns=columns, fill_value=0), _difference_of_ratios)


@metric(unit="share of the best slate", direction="lower")
def gift_residue(trace: Trace) -> Estimate | None:
    """What a session for somebody else leaves behind in the next one for the user.

    Mean of (g of the twin, whose user never looks for gifts, − g of the agent) over the ordinary
    sessions that directly follow a gift session. None without gifts or without such a twin.
    """
    mine, other = sessions_of(trace, "agent"), sessions_of(trace, COUNTERFACTUAL)
    if len(mine) == 0 or len(other) == 0 or other["gift"].any():
        return None
    gift = mine["gift"].astype(bool)
    follows = gift.groupby(LIFE).shift(1, fill_value=False) & ~gift
    residue = (other["g"] - mine["g"][follows]).dropna()
    return mean_of(trace, residue)


def _since_change(sessions: pd.DataFrame) -> pd.Series[float]:
    """Sessions since that of the life's change, negative before; nothing where there is none."""
    regime = sessions["regime"]
    number = sessions.index.get_level_values("session").to_series(index=sessions.index)
    changed = number.where(regime > regime.groupby(LIFE).transform("first"))
    return number - changed.groupby(LIFE).transform("min")


def _drops(trace: Trace) -> pd.Series[float] | None:
    """g of the twin − g of the agent from the change on, with index (seed, user, since).

    None where no life changed of which the twin's did not.
    """
    mine, other = sessions_of(trace, "agent"), sessions_of(trace, COUNTERFACTUAL)
    if len(mine) == 0 or len(other) == 0:
        return None
    steady = _since_change(other).isna()
    since = _since_change(mine)
    drop = (other["g"][steady] - mine["g"][since >= 0]).dropna()
    if len(drop) == 0:
        return None
    after = since.loc[drop.index].astype(int).rename("since")
    return drop.to_frame("drop").set_index(after, append=True)["drop"].droplevel("session")


def _half_life(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """First crossing of half the first drop, from Σ drop and the number of lives per session.

    Shape (…, 2 · sessions) to (…); infinite where there is no crossing.
    """
    sums, counts = np.split(totals, 2, axis=-1)
    with np.errstate(invalid="ignore"):
        drop = sums / counts
    above = drop - drop[..., :1] / 2
    below = above <= 0
    at = below.argmax(axis=-1)[..., None]
    ends = np.take_along_axis(above, at, axis=-1)[..., 0]
    starts = np.take_along_axis(above, np.maximum(at - 1, 0), axis=-1)[..., 0]
    way = np.divide(starts, starts - ends, out=np.ones_like(ends), where=starts > ends)
    crossing = np.where(at[..., 0] > 0, at[..., 0] - 1 + way, 0.0)
    return np.where(below.any(axis=-1), crossing, np.inf)


def _difference_of_ratios(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """a / b − c / d of totals of shape (…, 4)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = totals[..., ::2] / totals[..., 1::2]
        difference: NDArray[np.float64] = ratios[..., 0] - ratios[..., 1]
    return difference

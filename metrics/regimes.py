"""What an agent keeps of a taste regime that comes back, as seasons do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .adaptation import clustered_mean, session_quality
from .metric import metric
from .statistics import Estimate
from .trace import EPISODE_KEY, Trace

if TYPE_CHECKING:
    import pandas as pd

_REGIME = [*EPISODE_KEY, "regime"]


@metric(unit="share of the best slate", direction="lower")
def forgetting(trace: Trace) -> Estimate | None:
    """Session quality lost between leaving a taste regime and returning to it.

    Mean over all returns to a regime of (quality in the last session of its previous visit −
    quality in the first session of the next one), with `adaptation.session_quality`. None where
    no regime is visited twice.
    """
    visits = _visits(trace)
    if visits is None:
        return None
    left = visits.groupby(_REGIME)["last"].shift(1)
    return clustered_mean(trace, (left - visits["first"]).dropna())


@metric(unit="share of the best slate", direction="higher")
def savings(trace: Trace) -> Estimate | None:
    """Session quality gained from the start of the first visit to a regime to that of the second.

    Mean over episodes and regimes with two visits of (quality in the first session of the second
    visit − quality in the first session of the first visit). None where no regime is visited
    twice.
    """
    visits = _visits(trace)
    if visits is None:
        return None
    begun = visits.groupby(_REGIME)["first"].shift(1)
    second = visits.groupby(_REGIME).cumcount() == 1
    return clustered_mean(trace, (visits["first"] - begun)[second])


def _visits(trace: Trace) -> pd.DataFrame | None:
    """One row per run of sessions in one regime, with the quality of its first and last."""
    sessions = session_quality(trace, "agent")
    if len(sessions) == 0:
        return None
    begins = sessions["regime"] != sessions.groupby(EPISODE_KEY)["regime"].shift(1)
    visit = sessions.assign(visit=begins.cumsum()).groupby([*EPISODE_KEY, "visit", "regime"])
    return visit["quality"].agg(["first", "last"])

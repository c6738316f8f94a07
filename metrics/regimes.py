"""What an agent keeps of a taste that goes and comes back, as seasons do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .adaptation import LIFE, mean_of, sessions_of
from .metric import metric
from .statistics import Estimate
from .trace import Trace

if TYPE_CHECKING:
    import pandas as pd

_REGIME = [*LIFE, "regime"]


@metric(unit="share of the best slate", direction="lower")
def forgetting(trace: Trace) -> Estimate | None:
    """What is lost of a taste while another one is in force.

    Mean over all returns to a regime of (g in the last session of its previous visit − g in the
    first session of the next one), with g of `adaptation.sessions_of`. None where no regime is
    ever visited twice.
    """
    visits = _visits(trace)
    if visits is None:
        return None
    left = visits.groupby(_REGIME)["last"].shift(1)
    return mean_of(trace, (left - visits["first"]).dropna())


@metric(unit="share of the best slate", direction="higher")
def savings(trace: Trace) -> Estimate | None:
    """How much better the second visit to a taste begins than the first one did.

    Mean over lives and regimes with two visits of (g in the first session of the second visit
    − g in the first session of the first visit). None where no regime is ever visited twice.
    """
    visits = _visits(trace)
    if visits is None:
        return None
    begun = visits.groupby(_REGIME)["first"].shift(1)
    second = visits.groupby(_REGIME).cumcount() == 1
    return mean_of(trace, (visits["first"] - begun)[second])


def _visits(trace: Trace) -> pd.DataFrame | None:
    """One row a stay in a regime, in order, with g of its first and last session."""
    sessions = sessions_of(trace, "agent")
    if len(sessions) == 0:
        return None
    begins = sessions["regime"] != sessions.groupby(LIFE)["regime"].shift(1)
    stays = sessions.assign(visit=begins.cumsum()).groupby([*LIFE, "visit", "regime"])["g"]
    return stays.agg(["first", "last"])

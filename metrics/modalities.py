"""What text and pictures are worth: normalized returns of oracles that perceive only these."""

from __future__ import annotations

from .metric import metric
from .personalization import return_between
from .statistics import Estimate
from .trace import Trace


@metric(unit="share of the ceiling", direction="none")
def text_ceiling(trace: Trace) -> Estimate | None:
    """Normalized return of an oracle that perceives items by their text alone.

    `personalization.return_between` of policy oracle-text; None where it did not play.
    """
    return return_between(trace, "oracle-text")


@metric(unit="share of the ceiling", direction="none")
def image_ceiling(trace: Trace) -> Estimate | None:
    """Normalized return of an oracle that perceives items by their picture alone.

    `personalization.return_between` of policy oracle-image; None where it did not play.
    """
    return return_between(trace, "oracle-image")


@metric(unit="share of the ceiling", direction="none")
def text_image_ceiling(trace: Trace) -> Estimate | None:
    """Normalized return of an oracle that perceives items by text and picture, and nothing else.

    `personalization.return_between` of policy oracle-text-image; None where it did not play.
    """
    return return_between(trace, "oracle-text-image")

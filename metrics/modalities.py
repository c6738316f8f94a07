"""What words and pictures are worth: the returns of oracles that see only one of them."""

from __future__ import annotations

from .metric import metric
from .personalization import return_between
from .statistics import Estimate
from .trace import Trace


@metric(unit="share of the ceiling", direction="none")
def text_ceiling(trace: Trace) -> Estimate | None:
    """The most that items' texts allow: the return of an oracle that is blind to all else.

    `personalization.return_between` of policy oracle-text; None where it did not play.
    """
    return return_between(trace, "oracle-text")


@metric(unit="share of the ceiling", direction="none")
def image_ceiling(trace: Trace) -> Estimate | None:
    """The most that items' pictures allow: the return of an oracle that is blind to all else.

    `personalization.return_between` of policy oracle-image; None where it did not play.
    """
    return return_between(trace, "oracle-image")


@metric(unit="share of the ceiling", direction="none")
def text_image_ceiling(trace: Trace) -> Estimate | None:
    """The most that texts and pictures allow together, without what only the crowd's choices tell.

    `personalization.return_between` of policy oracle-text-image; None where it did not play.
    """
    return return_between(trace, "oracle-text-image")

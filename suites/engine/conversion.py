"""Gymnasium's observations and actions as records, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...records import NOTHING, Observation


def to_observation(values: dict[str, Any]) -> Observation:
    """The environment's observation as a record of plain JSON values."""
    shown = tuple(int(item) for item in values["slate"] if item != NOTHING)
    return Observation(
        user=int(values["user"]),
        day=int(values["day"]),
        session=int(values["session"]),
        turn=int(values["turn"]),
        steps_left=int(values["steps_left"]),
        context=int(values["context"]),
        avoid=tuple(int(topic) for topic in np.flatnonzero(values["avoid"])),
        slate=shown,
        chosen=int(values["chosen"]),
        rating=float(values["rating"]),
        utterance=str(values["utterance"]),
    )


def to_env_action(slate: Sequence[int], slate_size: int) -> dict[str, Any]:
    """A slate as the environment's action: `slate_size` items, padded with NOTHING."""
    padded = np.full(slate_size, NOTHING, dtype=np.int64)
    padded[: len(slate)] = slate
    return {"slate": padded}

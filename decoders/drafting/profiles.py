"""Which profile a pair has: the stored one, else one measured here, else one assumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ...errors import InputError
from ..base import ModelPair
from .measuring import measured
from .profile import ROWS, Profile

STORED: dict[str, Profile] = {
    "smollm2-135m cpu": Profile(
        rows=ROWS,
        target=(22.7, 25.1, 27.6, 35.8, 46.6, 72.6, 124.5),
        draft=(2.42, 2.76, 3.15, 3.77, 4.78, 7.46, 12.4),
    ),
    "tiny cpu": Profile(
        rows=ROWS,
        target=(3.97, 4.41, 4.66, 5.5, 6.84, 10.0, 16.7),
        draft=(0.79, 0.81, 0.89, 0.9, 1.05, 1.37, 2.1),
        trust=0.9,
    ),
}
"""Profiles of the pairs that ship, by pair and kind of device; measured in fp32 on one thread of a
quiet machine (AMD EPYC, AVX-512) by ``python -m tasteshift.decoders.drafting.measuring PAIR``."""

_GROWTH = {"cpu": (1.0, 1.2, 1.4, 1.6, 1.9, 2.6, 4.2), "cuda": (1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 1.2)}
"""Cost of a pass by rows against one row, where nothing was measured."""


def default_profile(pair: ModelPair) -> Profile:
    """The stored profile of a pair, or its measured one, or one assumed from its sizes."""
    device = pair.target.device.type
    stored = STORED.get(f"{pair.name} {device}")
    if stored is not None and pair.target.dtype == torch.float32:
        return stored
    if pair.timed:
        return measured(pair)
    growth = _GROWTH.get(device, _GROWTH["cuda"])
    target, draft = (_weight(model) for model in (pair.target, pair.draft))
    return Profile(
        rows=ROWS,
        target=tuple(round(target * factor, 4) for factor in growth),
        draft=tuple(round(draft * factor, 4) for factor in growth),
    )


def _weight(model: Any) -> float:
    """A pass of one row, in milliseconds: 0.2 to dispatch a layer, 15 GB of weights a second."""
    layers = model.config.get_text_config().num_hidden_layers
    return float(0.2 + 0.2 * layers + 4.0 * model.num_parameters() / 15e6)


def chosen(profile: Profile | Mapping[str, Any] | None, pair: ModelPair) -> Profile:
    """The profile that a person's option names; raises InputError where it names none."""
    if profile is None:
        return default_profile(pair)
    if isinstance(profile, Profile):
        return profile
    try:
        return Profile(**profile)
    except TypeError:
        raise InputError(
            f"profile is {profile!r}; give rows, target and draft (milliseconds per pass)"
        ) from None

"""The cost profile of a pair: the stored one, else one measured here, else an estimate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ...errors import InputError
from ..base import ModelPair
from .cost_measurement import measured_profile
from .cost_profile import ROWS, CostProfile

STORED: dict[str, CostProfile] = {
    "smollm2-135m cpu": CostProfile(
        rows=ROWS,
        target=(22.7, 25.1, 27.6, 35.8, 46.6, 72.6, 124.5),
        draft=(2.42, 2.76, 3.15, 3.77, 4.78, 7.46, 12.4),
    ),
    "tiny cpu": CostProfile(
        rows=ROWS,
        target=(3.97, 4.41, 4.66, 5.5, 6.84, 10.0, 16.7),
        draft=(0.79, 0.81, 0.89, 0.9, 1.05, 1.37, 2.1),
        trust=0.9,
    ),
}
"""Profiles of the pairs that ship, by pair and kind of device; measured in fp32 on one thread of a
quiet machine (AMD EPYC, AVX-512) by `cost_measurement`."""

_RELATIVE_COST = {
    "cpu": (1.0, 1.2, 1.4, 1.6, 1.9, 2.6, 4.2),
    "cuda": (1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 1.2),
}
"""Estimated cost of a pass over so many rows, relative to one row."""


def default_profile(pair: ModelPair) -> CostProfile:
    """The stored profile of a pair, or its measured one, or an estimate from its sizes."""
    device = pair.target.device.type
    stored = STORED.get(f"{pair.name} {device}")
    if stored is not None and pair.target.dtype == torch.float32:
        return stored
    if pair.timed:
        return measured_profile(pair)
    relative = _RELATIVE_COST.get(device, _RELATIVE_COST["cuda"])
    target, draft = (_estimated_cost(model) for model in (pair.target, pair.draft))
    return CostProfile(
        rows=ROWS,
        target=tuple(round(target * factor, 4) for factor in relative),
        draft=tuple(round(draft * factor, 4) for factor in relative),
    )


def _estimated_cost(model: Any) -> float:
    """Milliseconds of a pass over one row: 0.2 to dispatch a layer, 15 GB of weights a second."""
    layers = model.config.get_text_config().num_hidden_layers
    return float(0.2 + 0.2 * layers + 4.0 * model.num_parameters() / 15e6)


def chosen_profile(profile: CostProfile | Mapping[str, Any] | None, pair: ModelPair) -> CostProfile:
    """The profile that an option `profile` gives; raises InputError where it is unusable."""
    if profile is None:
        return default_profile(pair)
    if isinstance(profile, CostProfile):
        return profile
    try:
        return CostProfile(**profile)
    except TypeError:
        raise InputError(
            f"profile is {profile!r}; give rows, target and draft (milliseconds per pass)"
        ) from None

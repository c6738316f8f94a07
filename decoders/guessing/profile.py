"""What a pass costs: a table that is measured once, then a fixed part of a configuration.

A decoder that looked at the clock while it decodes would give another tree on another day. So
the cost of a pass over n rows is a table: stored for the pairs that ship on a CPU, measured when
another pair is loaded (see `measuring`), or assumed from the sizes of the models. Only ratios
matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ...errors import InputError

if TYPE_CHECKING:
    from ..base import ModelPair

ROWS = (1, 2, 4, 8, 16, 32, 64)
"""Rows per pass at which costs are measured."""


@dataclass(frozen=True)
class Profile:
    """Cost of one pass by the number of rows that it reads, in milliseconds; and the draft's worth.

    rows    numbers of rows, rising, from 1
    target  cost of a target pass over so many rows, > 0
    draft   cost of a draft pass over so many rows and of ranking what it says next, > 0
    trust   how often the draft's best guess is expected to come true before a text has shown
            it, in (0, 1); it is not measured
    steps   whether a pass over any number of rows is one over the next of `rows`, as passes of a
            fixed shape are

    Beyond the given numbers, and without steps between them, costs are interpolated linearly; a
    pass never costs less than one over fewer rows. Raises InputError for a table that says
    nothing usable.
    """

    rows: tuple[int, ...]
    target: tuple[float, ...]
    draft: tuple[float, ...]
    trust: float = 0.7
    steps: bool = False

    def __post_init__(self) -> None:
        for name in ("rows", "target", "draft"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        rising = list(self.rows) == sorted(set(self.rows)) and self.rows[:1] == (1,)
        if not rising or len(self.rows) < 2:
            raise InputError("profile: rows must rise from 1 and name at least two sizes")
        for name in ("target", "draft"):
            costs = getattr(self, name)
            if len(costs) != len(self.rows) or not all(0 < cost < float("inf") for cost in costs):
                raise InputError(f"profile: {name} needs one finite cost above 0 for each of rows")
        if not 0 < self.trust < 1:
            raise InputError(f"profile: trust is {self.trust!r}; give a number between 0 and 1")

    def config(self) -> dict[str, Any]:
        """The table as JSON values."""
        costs = {name: list(getattr(self, name)) for name in ("rows", "target", "draft")}
        return {**costs, "trust": self.trust, "steps": self.steps}

    def of_target(self, most: int, texts: int = 1) -> list[float]:
        """Cost of a target pass over 0, 1, …, `most` rows of each text; 0 rows cost nothing."""
        return _filled(self.rows, self.target, most * texts, self.steps)[::texts]

    def of_draft(self, most: int, texts: int = 1) -> list[float]:
        """Cost of a draft pass over 0, 1, …, `most` rows of each text; 0 rows cost nothing."""
        return _filled(self.rows, self.draft, most * texts, self.steps)[::texts]


def _filled(rows: Sequence[int], costs: Sequence[float], most: int, steps: bool) -> list[float]:
    """Costs at 0 … most: by the line between the two given sizes next to each, or the larger's."""
    table, segment = [0.0], 0
    for count in range(1, most + 1):
        while segment + 2 < len(rows) and rows[segment + 1] < count:
            segment += 1
        left, right = rows[segment], rows[segment + 1]
        share = (count - left) / (right - left)
        if steps and share < 1:
            share = float(share > 0)
        cost = costs[segment] + share * (costs[segment + 1] - costs[segment])
        table.append(max(cost, table[-1]))
    return table


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
quiet machine (AMD EPYC, AVX-512) by ``python -m tasteshift.decoders.guessing.measuring PAIR``."""

_GROWTH = {"cpu": (1.0, 1.2, 1.4, 1.6, 1.9, 2.6, 4.2), "cuda": (1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 1.2)}
"""Cost of a pass by rows against one row, where nothing was measured."""


def stored_profile(pair: ModelPair) -> Profile | None:
    """The profile of a pair that ships, where it is in fp32 on a device that was measured."""
    if pair.target.dtype != torch.float32:
        return None
    return STORED.get(f"{pair.name} {pair.target.device.type}")


def default_profile(pair: ModelPair) -> Profile:
    """The stored profile of a pair, or its measured one, or one assumed from its sizes."""
    known = stored_profile(pair) or pair.profile
    if known is not None:
        return known
    device = pair.target.device.type
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

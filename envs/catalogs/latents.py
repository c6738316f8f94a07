"""The hidden half of a catalog: why people like things. Never leaves this package."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .catalog import Catalog, freeze

INTERESTS = 3
"""M, the interests of every user."""

LOG_SEED = 1
"""Of catalogs that are public in any case."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Latents:
    """Items and users in one taste space of d = d_text + d_image + d_feedback dimensions.

    All floats lie on the grid, so that their dot products are exact. Arrays are read-only.

    z          (n, d) items, [z_text, z_image, z_cf], norm at most 1
    widths     (d_text, d_image, d_feedback)
    appeal     (n) what makes an item be picked, beyond taste
    quality    (n) what makes it be enjoyed once picked; appeal is not quality
    maturity   (n) true minimum ages; the public label may lie
    sponsored  (n) truly paid for; the public flag may hide it
    anchors    (U, M, d) the users' long-run interests, unit rows
    weights    (U, M) how much of a user each interest is; positive, each row sums to exactly 1
    ages       (U) in years
    """

    z: Floats
    widths: tuple[int, int, int]
    appeal: Floats
    quality: Floats
    maturity: NDArray[np.int64]
    sponsored: NDArray[np.bool_]
    anchors: Floats
    weights: Floats
    ages: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Make the arrays read-only: all worlds of a catalog share them."""
        freeze(self)

    @property
    def z_text(self) -> Floats:
        """(n, d_text) the part of taste that text reveals."""
        return self.z[:, : self.widths[0]]

    @property
    def z_image(self) -> Floats:
        """(n, d_image) the part of taste that pictures reveal."""
        return self.z[:, self.widths[0] : self.widths[0] + self.widths[1]]

    @property
    def z_cf(self) -> Floats:
        """(n, d_feedback) the part of taste that only feedback reveals."""
        return self.z[:, self.widths[0] + self.widths[1] :]


@dataclass(frozen=True, eq=False)
class CatalogData:
    """What a catalog builder returns: the public half and the hidden half.

    log_seed  what the past that the training log tells was drawn from; no part of the content
    """

    public: Catalog
    hidden: Latents
    log_seed: int = LOG_SEED

"""Hidden half of a catalog: the latents behind choices and enjoyment; never given to agents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .catalog import Catalog, freeze

INTERESTS = 3
"""M, the interests of every user."""

LOG_SEED = 1
"""Seed of the training log of catalogs that are not resampled."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Latents:
    """Latents of items and users in one space of d = d_text + d_image + d_feedback dimensions.

    All floats lie on the grid, so that their dot products are exact. Arrays are read-only.

    z          (n, d) items, [z_text, z_image, z_cf], norm at most 1
    widths     (d_text, d_image, d_feedback)
    appeal     (n) utility of an item beyond taste, when users choose
    quality    (n) what raises enjoyment once chosen; independent of appeal
    maturity   (n) true minimum ages; the public label may differ
    sponsored  (n) whether paid for; the public flag may differ
    anchors    (U, M, d) the users' long-run interests, unit rows
    weights    (U, M) weight of each interest; positive, each row sums to exactly 1
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
        """Make the arrays read-only, since all environments of a catalog share them."""
        freeze(self)

    @property
    def z_text(self) -> Floats:
        """(n, d_text) the part that text reveals."""
        return self.z[:, : self.widths[0]]

    @property
    def z_image(self) -> Floats:
        """(n, d_image) the part that pictures reveal."""
        return self.z[:, self.widths[0] : self.widths[0] + self.widths[1]]

    @property
    def z_cf(self) -> Floats:
        """(n, d_feedback) the part that only feedback reveals."""
        return self.z[:, self.widths[0] + self.widths[1] :]


@dataclass(frozen=True, eq=False)
class CatalogData:
    """Public and hidden half of a catalog, as its builder returns them.

    log_seed  seed of the training log; does not enter the content hash
    """

    public: Catalog
    hidden: Latents
    log_seed: int = LOG_SEED

"""The hidden half of a catalog: why people like things. Never leaves this package."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .catalogs.catalog import Catalog


@dataclass(frozen=True, eq=False)
class Latents:
    """Items and users in one taste space of d = d_text + d_image + d_feedback dimensions.

    z          (n, d) items, [z_text, z_image, z_cf], norm at most 1
    appeal     (n) what makes an item be picked, beyond taste
    quality    (n) what makes it be enjoyed once picked; appeal is not quality
    anchors    (U, d) the users' long-run tastes, unit norm
    ages       (U) in years
    """

    z: NDArray[np.float64]
    appeal: NDArray[np.float64]
    quality: NDArray[np.float64]
    anchors: NDArray[np.float64]
    ages: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CatalogData:
    """What a catalog builder returns: the public half and the hidden half."""

    public: Catalog
    hidden: Latents

"""synthetic: a catalog of any size whose text and pictures reveal known shares of taste.

``synthetic`` has 1,000 items, ``synthetic:N`` has N. Always the same catalog for the same N.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .. import philox
from ..grid import on_grid
from ..latents import CatalogData, Latents
from ..philox import Purpose
from .assemble import assemble, information_split, standardised
from .posters import STYLE_DIMENSIONS

ITEMS, USERS, SEED = 1000, 1000, 7
MOST_ITEMS = 9600
TEXT_DIMENSIONS, FEEDBACK_DIMENSIONS = 8, 8
STYLE_FROM_TEXT = 0.5
LEVELS = np.array([-1.2, -0.4, 0.4, 1.2])
AXES = {
    "Comedy": ("tragic", "earnest", "wry", "witty", "hilarious"),
    "Suspense": ("tranquil", "calm", "uneasy", "tense", "nail-biting"),
    "Romance": ("cynical", "detached", "tender", "amorous", "swooning"),
    "Science": ("mythic", "folksy", "curious", "speculative", "technical"),
    "Adventure": ("domestic", "local", "roaming", "daring", "epic"),
    "Music": ("silent", "spare", "rhythmic", "melodic", "operatic"),
    "History": ("futuristic", "contemporary", "nostalgic", "period", "ancient"),
    "Nature": ("urban", "suburban", "rural", "wild", "primeval"),
}
WHAT = "Harbor Orchard Lantern Compass Winter Meadow Signal Garden Mirror Voyage".split()
WHOSE = "Silent Golden Hidden Broken Distant Crimson Gentle Hollow Restless Electric".split()
WHERE = "Lisbon Kyoto Tromsø Oaxaca Zanzibar Valparaíso Tbilisi Québec Samarkand Cork".split()


def build(size: str = "") -> CatalogData:
    """Made-up stories: synthetic has 1,000, synthetic:N has N (2 to 9,600).

    size  N as text, or "" for 1,000; raises InputError for a bad one
    """
    n = _items(size)
    item, user = np.arange(n)[:, None], np.arange(USERS)[:, None]
    z_text = _normal(0, item, TEXT_DIMENSIONS)
    rotation = np.linalg.qr(_normal(1, np.arange(TEXT_DIMENSIONS)[:, None], STYLE_DIMENSIONS))[0]
    z_image = np.sqrt(STYLE_FROM_TEXT) * z_text @ rotation + np.sqrt(1 - STYLE_FROM_TEXT) * _normal(
        2, item, STYLE_DIMENSIONS
    )
    z_cf = _normal(3, item, FEEDBACK_DIMENSIONS)
    tastes = tuple(
        _normal(stream, user, width)
        for stream, width in ((4, TEXT_DIMENSIONS), (5, STYLE_DIMENSIONS), (6, FEEDBACK_DIMENSIONS))
    )
    z, anchors = information_split((z_text, z_image, z_cf), (tastes[0], tastes[1], tastes[2]))
    count = 1 / (1 + philox.uniform(SEED, 7, 0, Purpose.CATALOG, item[:, 0]) * n)
    quality = 0.4 * standardised(np.log(count)) + _normal(8, item, 1)[:, 0]
    hidden = Latents(
        z=z,
        appeal=on_grid(0.5 * standardised(np.log(count)) + 0.4 * _normal(9, item, 1)[:, 0]),
        quality=on_grid(standardised(quality)),
        anchors=anchors,
        ages=_ages(),
    )
    topic = z_text >= np.sort(z_text, axis=1)[:, -2:-1]
    maturity = np.array([0, 13, 18])[(_uniform(10, n) > 0.45).astype(int) + (_uniform(10, n) > 0.8)]
    return assemble(
        name=f"synthetic:{n}" if size else "synthetic",
        item_id=tuple(f"s{k}" for k in range(n)),
        title=tuple(_title(k) for k in range(n)),
        description=tuple(_describe(row) for row in z_text),
        topics=tuple(AXES),
        topic=topic,
        year=1950 + (75 * _uniform(11, n)).astype(np.int64),
        maturity=maturity,
        price=np.round(2 + 8 * _uniform(12, n), 2),
        popularity=count / count.sum(),
        style=z_image,
        hidden=hidden,
        simulated=("everything",),
    )


def _items(size: str) -> int:
    n = int(size) if size.isdecimal() else (0 if size else ITEMS)
    if not 2 <= n <= MOST_ITEMS:
        raise InputError(
            f"catalog 'synthetic:{size}' needs a size from 2 to {MOST_ITEMS}, "
            "such as 'synthetic:500'"
        )
    return n


def _normal(stream: int, row: NDArray[np.int64], width: int) -> NDArray[np.float64]:
    return philox.normal(SEED, stream, row, Purpose.CATALOG, np.arange(width))


def _uniform(stream: int, n: int) -> NDArray[np.float64]:
    return philox.uniform(SEED, stream, 0, Purpose.CATALOG, np.arange(n))


def _ages() -> NDArray[np.int64]:
    """One user in eight is a minor of 7 to 17, the others are 18 to 77."""
    draw = _uniform(13, USERS)
    minor = draw < 0.125
    return np.where(minor, 7 + draw / 0.125 * 11, 18 + (draw - 0.125) / 0.875 * 60).astype(np.int64)


def _title(k: int) -> str:
    whose, what, where = WHOSE[k % 10], WHAT[k // 10 % 10], WHERE[k // 100 % 10]
    part = k // 1000
    return f"The {whose} {what} of {where}" + (f", Part {part + 1}" if part else "")


def _describe(z_text: NDArray[np.float64]) -> str:
    """One word per axis, chosen by level: all that text tells about z_text."""
    levels = np.searchsorted(LEVELS, z_text)
    words = [words[level] for words, level in zip(AXES.values(), levels, strict=True)]
    return f"A {', '.join(words[:-1])} and {words[-1]} story."

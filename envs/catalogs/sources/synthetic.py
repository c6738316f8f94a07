"""synthetic: generated catalogs of any size whose text and pictures reveal known shares of z.

``synthetic`` has 1,000 items, ``synthetic:N`` has N. Always the same catalog for the same N.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ...numerics import elementary
from ...numerics.grid import on_grid
from ..assemble import ItemColumns, assemble
from ..fitting import simulated_columns as simulated
from ..fitting.latent_space import Floats, combine_blocks, reflect, standardize
from ..fitting.simulated_columns import normal_rows, uniform_column
from ..latents import CatalogData, Latents
from ..poster_format import STYLE_DIMENSIONS
from ..texts import LazyTexts, characters_of

ITEMS, SEED = 1000, 7
VERSION = 2
MAX_ITEMS = 10_000_000
TEXT_DIMENSIONS, FEEDBACK_DIMENSIONS = 8, 8
WIDTHS = (TEXT_DIMENSIONS, STYLE_DIMENSIONS, FEEDBACK_DIMENSIONS)
STYLE_TEXT_SHARE = 0.5
"""ρ, the share of the variance of z_image that the text explains."""
TEXT_FIDELITY = 0.956
"""Share of the variance of z_text that seven levels keep (Max 1960)."""
LEVELS = np.array([-1.61, -0.874, -0.28, 0.28, 0.874, 1.61])
"""Thresholds between the words of an axis: the optimal seven-level quantizer (Max 1960)."""
AXES = {
    "Comedy": "harrowing tragic earnest wry playful witty hilarious".split(),
    "Suspense": "serene tranquil calm uneasy tense gripping nail-biting".split(),
    "Romance": "heartless cynical detached tender amorous passionate swooning".split(),
    "Science": "magical mythic folksy curious speculative rigorous technical".split(),
    "Adventure": "housebound domestic local roaming daring epic globe-spanning".split(),
    "Music": "silent hushed spare rhythmic melodic choral operatic".split(),
    "History": "far-future futuristic contemporary nostalgic period medieval ancient".split(),
    "Nature": "concrete urban suburban rural pastoral wild primeval".split(),
}
NOUNS = "Harbor Orchard Lantern Compass Winter Meadow Signal Garden Mirror Voyage".split()
ADJECTIVES = "Silent Golden Hidden Broken Distant Crimson Gentle Hollow Restless Electric".split()
PLACES = "Lisbon Kyoto Tromsø Oaxaca Zanzibar Valparaíso Tbilisi Québec Samarkand Cork".split()


TITLE_CHARACTERS = characters_of([*ADJECTIVES, *NOUNS, *PLACES, "The  of , Part 0123456789"])
DESCRIPTION_CHARACTERS = characters_of(
    ["An , and story.", *(w for ws in AXES.values() for w in ws)]
)


def build(size: str = "") -> CatalogData:
    """Generated items: synthetic has 1,000, synthetic:N has N (2 to 10,000,000).

    Bit-exact: nothing depends on a machine's mathematical libraries. A million items take
    seconds and a little more than a gigabyte.

    size  N as text, or "" for 1,000; raises InputError for a bad one
    """
    n = _items(size)
    z_text, topic, levels = _texts(n)
    follows = STYLE_TEXT_SHARE / TEXT_FIDELITY
    z_image = on_grid(
        np.sqrt(follows) * reflect(z_text, normal_rows(SEED, 1, 1, TEXT_DIMENSIONS)[0])
        + np.sqrt(1 - follows) * normal_rows(SEED, 2, n, STYLE_DIMENSIONS)
    )
    z, anchors = combine_blocks(
        (z_text, z_image, normal_rows(SEED, 3, n, FEEDBACK_DIMENSIONS)),
        simulated.interests(SEED, WIDTHS),
    )
    count = simulated.interaction_counts(SEED, n)
    known = standardize(elementary.log(count))
    hidden = Latents(
        z=z,
        widths=WIDTHS,
        appeal=on_grid(0.5 * known + 0.4 * normal_rows(SEED, 9, n, 1)[:, 0]),
        quality=standardize(0.4 * known + normal_rows(SEED, 8, n, 1)[:, 0]),
        maturity=simulated.maturity(SEED, n),
        sponsored=simulated.sponsored(SEED, n),
        anchors=anchors,
        weights=simulated.interest_weights(SEED),
        ages=simulated.ages(SEED, simulated.NUM_USERS),
    )
    items = ItemColumns(
        item_id=_lazy(_identifier, n, frozenset("s0123456789")),
        title=_lazy(_title, n, TITLE_CHARACTERS),
        description=_lazy(partial(_describe, levels), n, DESCRIPTION_CHARACTERS),
        topics=tuple(AXES),
        topic=topic,
        year=1950 + (75 * uniform_column(SEED, 11, n)).astype(np.int64),
        price=simulated.prices(SEED, n),
        popularity=count / count.sum(),
        simulated=("everything",),
    )
    return assemble(f"synthetic:{n}" if size else "synthetic", items, hidden)


def _items(size: str) -> int:
    n = int(size) if size.isdecimal() else (0 if size else ITEMS)
    if not 2 <= n <= MAX_ITEMS:
        raise InputError(
            f"catalog 'synthetic:{size}' needs a size from 2 to {MAX_ITEMS}, "
            "such as 'synthetic:500'"
        )
    return n


def _texts(n: int) -> tuple[Floats, NDArray[np.bool_], NDArray[np.uint8]]:
    """z_text (n, 8), the two topics of each item (n, 8), and the level of each word (n, 8)."""
    z_text = normal_rows(SEED, 0, n, TEXT_DIMENSIONS)
    second = np.partition(z_text, -2, axis=1)[:, -2:-1]
    levels = np.searchsorted(LEVELS, z_text).astype(np.uint8)
    return z_text, z_text >= second, levels


def _lazy(make: Callable[[int], str], n: int, characters: frozenset[str]) -> LazyTexts:
    return LazyTexts(make, n, characters, f"synthetic/{VERSION}")


def _identifier(k: int) -> str:
    return f"s{k}"


def _title(k: int) -> str:
    adjective, noun, place = (
        ADJECTIVES[k % 10],
        NOUNS[k // 10 % 10],
        PLACES[k // 100 % 10],
    )
    part = k // 1000
    return f"The {adjective} {noun} of {place}" + (f", Part {part + 1}" if part else "")


def _describe(levels: NDArray[np.uint8], k: int) -> str:
    """One word per axis, chosen by level: all that the text reveals of z_text."""
    words = [words[level] for words, level in zip(AXES.values(), levels[k], strict=True)]
    article = "An" if words[0][0] in "aeiou" else "A"
    return f"{article} {', '.join(words[:-1])} and {words[-1]} story."

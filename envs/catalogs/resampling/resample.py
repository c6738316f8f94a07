"""Resampled catalogs: a catalog of the same distribution, drawn under a secret key.

The latents of the shipped catalogs are public with this package; hidden-seed play needs unknown
ones. Texts, topics, years and popularity stay, and what they reveal of z_text. Resampled are the
order of the items, the rest of z_text, z_image and with it the posters, z_cf, appeal, quality,
all simulated columns, and every user.

A key gives the same catalog on every machine: see `keyed_random` and `exact_algebra`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...numerics import elementary
from ...numerics.grid import on_grid
from ..assemble import ItemColumns, assemble
from ..catalog import Catalog
from ..fitting.expected_latents import text_features
from ..fitting.latent_space import (
    Floats,
    combine_blocks,
    normalized_weights,
    reflect,
    standardize,
    unit_rows,
)
from ..latents import INTERESTS, CatalogData, Latents
from ..posters import RenderedPosters
from ..sources import movielens
from ..texts import LazyTexts
from .exact_algebra import cholesky, explained_share, mean_and_covariance, on_sum_grid, solve
from .keyed_random import Ints, KeyedRandom

NEIGHBORHOODS, MIN_NEIGHBORS = 20, 8
"""Appeal, quality and the norm of z_cf are permuted within about a twentieth of the items."""

RIDGE = 1.0
CHUNK = 2048


def resample_catalog(base: CatalogData, key: bytes, name: str) -> CatalogData:
    """The catalog `base` resampled under a key of 32 bytes, called `name`.

    name  its name in `load_data`, see `load.register_in_memory`; must not reveal the key

    Real pictures stay with their items, and so does z_image, which they reveal. The ages are the
    base's, permuted among the users, so that the number of minors stays. The training log gets
    a seed from the key (`CatalogData.log_seed`). Raises InputError for a key of another length.
    """
    random, public = KeyedRandom(key), base.public
    latents = _resampled_latents(random, base)
    order = random.permutation("order", len(public))
    items = ItemColumns(
        item_id=_reordered(public.item_id, order),
        title=_reordered(public.title, order),
        description=_reordered(public.description, order),
        topics=public.topics,
        topic=public.topic[order],
        year=public.year[order],
        price=_permuted_if_simulated(random, public, "price", public.price)[order],
        popularity=public.popularity[order],
        simulated=public.simulated,
        posters=None if _has_rendered_posters(public) else public.posters[order],
    )
    reordered = replace(
        latents,
        z=latents.z[order],
        appeal=latents.appeal[order],
        quality=latents.quality[order],
        maturity=latents.maturity[order],
        sponsored=latents.sponsored[order],
    )
    data = assemble(name, items, reordered)
    return replace(data, log_seed=int(random.bits("log", 1)[0]) >> 1)


def _resampled_latents(random: KeyedRandom, base: CatalogData) -> Latents:
    """The latents of new users, and of the items in the base's order."""
    public, hidden = base.public, base.hidden
    text_width, image_width, _ = hidden.widths

    def shuffled_locally(label: str, values: Floats) -> Floats:
        distance = max(MIN_NEIGHBORS, len(public) // NEIGHBORHOODS)
        return random.shuffled_locally(label, values, public.popularity, distance)

    z_text = _resampled_text(random, base)
    z_cf = _resampled_feedback(random, hidden.z_cf, shuffled_locally("size", _norms(hidden.z_cf)))
    axes = random.normal("image axes", text_width, text_width)
    z_image = hidden.z_image
    if _has_rendered_posters(public):
        share = explained_share(hidden.z_text, hidden.z_image)
        z_image = _style(z_text, axes, random.normal("z_image", len(public), image_width), share)
    (text_interests, feedback_interests), weights, ages = _resampled_users(random, hidden)
    share = explained_share(_interests(hidden, 0), _interests(hidden, 1))
    noise = random.normal("image tastes", len(ages) * INTERESTS, image_width)
    image_interests = _style(text_interests.reshape(len(noise), -1), axes, noise, share)
    z, anchors = combine_blocks(
        (z_text, z_image, z_cf),
        (text_interests, image_interests.reshape(len(ages), INTERESTS, -1), feedback_interests),
    )
    maturity, sponsored = hidden.maturity, hidden.sponsored
    groups = _maturity_groups(public)
    return Latents(
        z=z,
        widths=hidden.widths,
        appeal=shuffled_locally("appeal", hidden.appeal),
        quality=shuffled_locally("quality", hidden.quality),
        maturity=_permuted_if_simulated(random, public, "maturity", maturity, groups),
        sponsored=_permuted_if_simulated(random, public, "sponsored", sponsored),
        anchors=anchors,
        weights=weights,
        ages=ages,
    )


def _permuted_if_simulated(
    random: KeyedRandom,
    public: Catalog,
    column: str,
    values: NDArray[Any],
    groups: Ints | None = None,
) -> NDArray[Any]:
    """The values (n) of a column, permuted (within groups) if the column was simulated."""
    simulated = {column, "everything"}.intersection(public.simulated)
    return random.shuffled(column, values, groups) if simulated else values


def _has_rendered_posters(public: Catalog) -> bool:
    return isinstance(public.posters, RenderedPosters)


def _resampled_text(random: KeyedRandom, base: CatalogData) -> Floats:
    """(n, d_text) z_text: its ridge regression on the texts plus newly drawn residuals.

    The old z_text then predicts the new one no better than the texts do.
    """
    whole = base.hidden.z_text
    old = on_sum_grid(whole / max(np.round(np.sqrt((whole * whole).mean()), 6), 1e-6))
    gram, cross = np.zeros(()), np.zeros(())
    for rows, x in _features(base.public):
        gram, cross = gram + x.T @ x, cross + x.T @ old[rows]
    fit = solve(gram + RIDGE * np.eye(len(gram)), cross)
    explained = np.vstack([x @ fit for _, x in _features(base.public)])
    factor = cholesky(mean_and_covariance(old - explained)[1])
    return explained + random.normal("z_text", *old.shape) @ factor.T


def _features(catalog: Catalog) -> Iterator[tuple[Ints, Floats]]:
    """Items and binary features of their texts (·, f), a constant included, in chunks."""
    for start in range(0, len(catalog), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(catalog)))
        yield rows, np.hstack([text_features(catalog, rows), np.ones((len(rows), 1))])


def _resampled_users(
    random: KeyedRandom, hidden: Latents
) -> tuple[tuple[Floats, Floats], Floats, Ints]:
    """Text and feedback interests (U, M, k), weights (U, M) and ages (U) of as many new users.

    Drawn from one Gaussian over all interests, the logarithms of the weights' ratios and the
    normal score of age, fitted to the base's users. Its covariance is shrunk towards isotropic
    interests as if by as many further users as it has columns, so that the density is never so
    narrow that it identifies the users it was fitted to.
    """
    count, text, feedback = len(hidden.ages), hidden.widths[0], hidden.widths[2]
    ratios = elementary.log(hidden.weights[:, 1:] / hidden.weights[:, :1])
    by_age = np.argsort(hidden.ages, kind="stable")
    score = np.empty((count, 1))
    score[by_age, 0] = elementary.normal_quantile((np.arange(count) + 0.5) / count)
    interests = [_interests(hidden, block).reshape(count, -1) for block in (0, 2)]
    rows = np.hstack([*interests, ratios, score])
    widths = [INTERESTS * text, INTERESTS * feedback, INTERESTS]
    isotropic = np.repeat([1 / text, 1 / feedback, 1.0], widths)
    mean, covariance = mean_and_covariance(rows)
    shrinkage = rows.shape[1] / (rows.shape[1] + count)
    covariance = (1 - shrinkage) * covariance + shrinkage * np.diag(isotropic)
    drawn = random.normal("users", *rows.shape) @ cholesky(covariance).T
    drawn += on_grid((1 - shrinkage) * mean)

    text_part, feedback_part, rest = np.split(drawn, np.cumsum(widths)[:2], axis=1)
    mass = elementary.exp(np.clip(rest[:, :-1], ratios.min(axis=0), ratios.max(axis=0)))
    ages = np.empty_like(hidden.ages)
    ages[np.argsort(rest[:, -1], kind="stable")] = hidden.ages[by_age]
    return (
        (
            text_part.reshape(count, INTERESTS, text),
            feedback_part.reshape(count, INTERESTS, feedback),
        ),
        normalized_weights(np.hstack([np.ones((count, 1)), mass])),
        ages,
    )


def _resampled_feedback(random: KeyedRandom, old: Floats, norms: Floats) -> Floats:
    """(n, d_feedback) z_cf: directions drawn from the distribution of the old ones, norms (n)."""
    directions = old / np.maximum(_norms(old), 2.0**-20)[:, None]
    factor = cholesky(mean_and_covariance(directions)[1])
    drawn: Floats = unit_rows(random.normal("z_cf", *old.shape) @ factor.T)
    drawn *= norms[:, None]
    return drawn


def _norms(rows: Floats) -> Floats:
    norms: Floats = np.sqrt((rows * rows).sum(axis=1))
    return norms


def _style(rows: Floats, axes: Floats, noise: Floats, share: float) -> Floats:
    """(n, d_image) rows of whose variance text (n, d_text) explains a share, by an orthonormal map.

    The map is a product of reflections, one for each row of axes; its first columns are kept.
    """
    for axis in axes:
        rows = reflect(rows, axis)
    follows = standardize(rows[:, : noise.shape[1]])
    return on_grid(np.sqrt(share) * follows + np.sqrt(1 - share) * noise)


def _interests(hidden: Latents, block: int) -> Floats:
    """(U · M, k) the text, picture or feedback part of every interest, of norm 1."""
    cuts = np.cumsum([0, *hidden.widths])
    part = hidden.anchors[..., cuts[block] : cuts[block + 1]]
    return unit_rows(part).reshape(-1, part.shape[-1])


def _maturity_groups(public: Catalog) -> Ints | None:
    """(n) groups of films whose minimum age has one distribution; None for other sources."""
    if public.name != movielens.NAME:
        return None
    certain = (movielens.TEEN_GENRES, movielens.FAMILY_GENRES)
    chances = (movielens.ADULT_GENRES, *(dict.fromkeys(genres, 1.0) for genres in certain))
    distribution = [
        (public.topic * [chance.get(name, 0.0) for name in public.topics]).max(axis=1)
        for chance in chances
    ]
    return np.unique(distribution, axis=1, return_inverse=True)[1].reshape(-1)


def _reordered(texts: Any, order: Ints) -> Any:
    if not isinstance(texts, LazyTexts):
        return tuple(texts[k] for k in order)
    digest = sha256(order.astype("<i8").tobytes()).hexdigest()
    at = partial(_text_at, texts, order)
    return LazyTexts(at, len(order), texts.characters, f"{texts.fingerprint}/{digest}")


def _text_at(texts: LazyTexts, order: Ints, k: int) -> str:
    return texts[int(order[k])]

"""A catalog drawn anew under a secret key: a world of the same kind, with nobody in it known.

Whoever has this package has every user and every latent of its catalogs. Play that is to be
believed needs others. Texts, topics, years and popularity stay, and of z_text what they reveal.
Drawn anew are the order of the items, the rest of z_text, z_image and with it the posters, z_cf,
appeal, quality, all columns that were simulated in the first place, and every user.

A key means the same catalog on every machine: see `keyed` and `moments`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numerics import elementary as exact
from ..numerics.grid import on_grid
from . import movielens
from .assemble import assemble
from .catalog import Catalog
from .keyed import Keyed, Rows
from .latents import INTERESTS, CatalogData, Latents
from .moments import coarse, foretold, moments, root, solved
from .posters import DrawnPosters
from .probes import text_features
from .taste_space import Floats, information_split, reflected, shares, standardized, unit
from .texts import LazyTexts

NEIGHBORS, LEAST_NEIGHBORS = 20, 8
"""Appeal, quality and the size of z_cf move about among a twentieth of the items."""

RIDGE = 1.0
AT_ONCE = 2048


def redrawn(base: CatalogData, key: bytes, name: str) -> CatalogData:
    """The catalog `base` under a key of 32 bytes, to be called `name`.

    name  what `load_data` will find it under, see `load.hold`; must not tell the key

    Real pictures stay with their items, and z_image with them: like text they show it anyway.
    Ages are the base's, so that every suite finds as many minors; who has which is drawn. The
    training log is drawn under the key as well (`CatalogData.log_seed`). Raises InputError for
    a key of another length.
    """
    draw, public, hidden = Keyed(key), base.public, base.hidden
    n, reach = len(public), max(LEAST_NEIGHBORS, len(public) // NEIGHBORS)
    pictured = not isinstance(public.posters, DrawnPosters)
    users = len(hidden.ages)

    def among_alike(column: str, values: Floats) -> Floats:
        return draw.among_neighbors(column, values, public.popularity, reach)

    def anew(column: str, values: NDArray[Any], groups: Rows | None = None) -> NDArray[Any]:
        made_up = {column, "everything"}.intersection(public.simulated)
        return draw.dealt(column, values, groups) if made_up else values

    z_text = _text(draw, base)
    axes = draw.normal("image axes", hidden.widths[0], hidden.widths[0])
    z_image, share = hidden.z_image, foretold(hidden.z_text, hidden.z_image)
    if not pictured:
        z_image = _style(z_text, axes, draw.normal("z_image", n, hidden.widths[1]), share)
    (text_tastes, feedback_tastes), weights, ages = _people(draw, hidden)
    share = foretold(_interests(hidden, 0), _interests(hidden, 1))
    noise = draw.normal("image tastes", users * INTERESTS, hidden.widths[1])
    image_tastes = _style(text_tastes.reshape(len(noise), -1), axes, noise, share)
    z, anchors = information_split(
        (z_text, z_image, _feedback(draw, hidden.z_cf, among_alike("size", _sizes(hidden.z_cf)))),
        (text_tastes, image_tastes.reshape(users, INTERESTS, -1), feedback_tastes),
    )
    order = draw.order("order", n)
    data = assemble(
        name=name,
        item_id=_reordered(public.item_id, order),
        title=_reordered(public.title, order),
        description=_reordered(public.description, order),
        topics=public.topics,
        topic=public.topic[order],
        year=public.year[order],
        price=anew("price", public.price)[order],
        popularity=public.popularity[order],
        hidden=Latents(
            z=z[order],
            widths=hidden.widths,
            appeal=among_alike("appeal", hidden.appeal)[order],
            quality=among_alike("quality", hidden.quality)[order],
            maturity=anew("maturity", hidden.maturity, _laws_of_maturity(public))[order],
            sponsored=anew("sponsored", hidden.sponsored)[order],
            anchors=anchors,
            weights=weights,
            ages=ages,
        ),
        simulated=public.simulated,
        posters=public.posters[order] if pictured else None,
    )
    return replace(data, log_seed=int(draw.bits("log", 1)[0]) >> 1)


def _text(draw: Keyed, base: CatalogData) -> Floats:
    """(n, d_text) z_text: what a ridge regression reads from the texts, and a new remainder.

    To know the old z_text is then worth no more than to read well.
    """
    whole = base.hidden.z_text
    old = coarse(whole / max(np.round(np.sqrt((whole * whole).mean()), 6), 1e-6))
    gram, cross = np.zeros(()), np.zeros(())
    for rows, x in _features(base.public):
        gram, cross = gram + x.T @ x, cross + x.T @ old[rows]
    fit = solved(gram + RIDGE * np.eye(len(gram)), cross)
    read = np.vstack([x @ fit for _, x in _features(base.public)])
    return read + draw.normal("z_text", *old.shape) @ root(moments(old - read)[1]).T


def _features(catalog: Catalog) -> Iterator[tuple[Rows, Floats]]:
    """Items and what their texts say (·, f) in zeros and ones, a constant included, in portions."""
    for start in range(0, len(catalog), AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, len(catalog)))
        yield rows, np.hstack([text_features(catalog, rows), np.ones((len(rows), 1))])


def _people(draw: Keyed, hidden: Latents) -> tuple[tuple[Floats, Floats], Floats, Rows]:
    """As many users as there were: text and feedback tastes (U, M, k), weights (U, M), ages (U).

    From one Gaussian over the tastes of all interests, the logarithms of the weights' ratios and
    the normal score of age, fitted to the base's users. It is shrunk as if as many more users
    had been met as it has columns, users whose tastes point anywhere: the density is continuous,
    and never so narrow that it tells whom it was fitted to.
    """
    count, text, feedback = len(hidden.ages), hidden.widths[0], hidden.widths[2]
    ratios = exact.log(hidden.weights[:, 1:] / hidden.weights[:, :1])
    by_age = np.argsort(hidden.ages, kind="stable")
    score = np.empty((count, 1))
    score[by_age, 0] = exact.normal_quantile((np.arange(count) + 0.5) / count)
    tastes = [_interests(hidden, block).reshape(count, -1) for block in (0, 2)]
    rows = np.hstack([*tastes, ratios, score])
    widths = [INTERESTS * text, INTERESTS * feedback, INTERESTS]
    anybody = np.repeat([1 / text, 1 / feedback, 1.0], widths)
    mean, covariance = moments(rows)
    shrinkage = rows.shape[1] / (rows.shape[1] + count)
    covariance = (1 - shrinkage) * covariance + shrinkage * np.diag(anybody)
    drawn = draw.normal("users", *rows.shape) @ root(covariance).T
    drawn += on_grid((1 - shrinkage) * mean)

    likes, needs, rest = np.split(drawn, np.cumsum(widths)[:2], axis=1)
    mass = exact.exp(np.clip(rest[:, :-1], ratios.min(axis=0), ratios.max(axis=0)))
    ages = np.empty_like(hidden.ages)
    ages[np.argsort(rest[:, -1], kind="stable")] = hidden.ages[by_age]
    return (
        (likes.reshape(count, INTERESTS, text), needs.reshape(count, INTERESTS, feedback)),
        shares(np.hstack([np.ones((count, 1)), mass])),
        ages,
    )


def _feedback(draw: Keyed, old: Floats, sizes: Floats) -> Floats:
    """(n, d_feedback) z_cf: directions from the law of the old ones, with sizes (n)."""
    towards = old / np.maximum(_sizes(old), 2.0**-20)[:, None]
    drawn: Floats = unit(draw.normal("z_cf", *old.shape) @ root(moments(towards)[1]).T)
    drawn *= sizes[:, None]
    return drawn


def _sizes(rows: Floats) -> Floats:
    norm: Floats = np.sqrt((rows * rows).sum(axis=1))
    return norm


def _style(rows: Floats, axes: Floats, noise: Floats, share: float) -> Floats:
    """(n, d_image) what goes with text (n, d_text) to a share, by a new orthonormal map.

    The map is a product of reflections, one for each row of axes; its first columns are kept.
    """
    for axis in axes:
        rows = reflected(rows, axis)
    follows = standardized(rows[:, : noise.shape[1]])
    return on_grid(np.sqrt(share) * follows + np.sqrt(1 - share) * noise)


def _interests(hidden: Latents, block: int) -> Floats:
    """(U · M, k) the text, picture or feedback part of every interest, of norm 1."""
    cuts = np.cumsum([0, *hidden.widths])
    part = hidden.anchors[..., cuts[block] : cuts[block + 1]]
    return unit(part).reshape(-1, part.shape[-1])


def _laws_of_maturity(public: Catalog) -> Rows | None:
    """(n) films whose minimum age was drawn from one law share a group; None for other sources."""
    if public.name != movielens.NAME:
        return None
    sure = (movielens.TEEN_GENRES, movielens.FAMILY_GENRES)
    chances = (movielens.ADULT_GENRES, *(dict.fromkeys(genres, 1.0) for genres in sure))
    law = [
        (public.topic * [chance.get(name, 0.0) for name in public.topics]).max(axis=1)
        for chance in chances
    ]
    return np.unique(law, axis=1, return_inverse=True)[1].reshape(-1)


def _reordered(texts: Any, order: Rows) -> Any:
    if not isinstance(texts, LazyTexts):
        return tuple(texts[k] for k in order)
    mark = sha256(order.astype("<i8").tobytes()).hexdigest()
    at = partial(_text_at, texts, order)
    return LazyTexts(at, len(order), texts.characters, f"{texts.fingerprint}/{mark}")


def _text_at(texts: LazyTexts, order: Rows, k: int) -> str:
    return texts[int(order[k])]

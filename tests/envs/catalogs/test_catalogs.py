"""Catalogs by name: columns, latents, posters, and the on-disk cache."""

import itertools

import numpy as np
import pytest

from tasteshift import load_catalog
from tasteshift.envs.catalogs import cache
from tasteshift.envs.catalogs.fitting.latent_space import VARIANCE_SHARES
from tasteshift.envs.catalogs.load import load_data
from tasteshift.envs.catalogs.sources.movielens import build as build_films
from tasteshift.envs.catalogs.sources.movielens import ratings_folder
from tasteshift.envs.catalogs.sources.recbole_files import read_source
from tasteshift.errors import InputError

NAMES = ["movielens-100k", "synthetic"]


@pytest.mark.parametrize("name", NAMES)
def test_columns_agree_and_latents_are_bounded(name):
    data = load_data(name)
    public, hidden = data.public, data.hidden
    n = len(public)
    assert len(public.title) == len(public.description) == len(public.posters) == n
    for column in ("topic", "year", "maturity", "price", "sponsored", "popularity"):
        assert len(getattr(public, column)) == n
    assert set(public.maturity) <= {0, 13, 18}
    assert (public.maturity == hidden.maturity).all()
    assert (public.sponsored == hidden.sponsored).all()
    assert public.sponsored.mean() == pytest.approx(0.1, abs=0.03)
    assert public.popularity.sum() == pytest.approx(1)
    assert sum(hidden.widths) == hidden.z.shape[1] == hidden.anchors.shape[2]
    assert np.linalg.norm(hidden.z, axis=1).max() <= 1
    assert np.abs(np.linalg.norm(hidden.anchors, axis=2) - 1).max() < 2**-18
    for values in (hidden.z, hidden.anchors, hidden.weights, hidden.appeal, hidden.quality):
        assert (values * 2**20 == np.round(values * 2**20)).all()


@pytest.mark.parametrize("name", NAMES)
def test_users_have_several_different_interests_whose_weights_sum_to_one(name):
    hidden = load_data(name).hidden
    assert hidden.anchors.shape[1] == hidden.weights.shape[1] == 3
    assert (hidden.weights > 0).all()
    assert (hidden.weights.sum(axis=1) == 1).all()
    angles = np.einsum("ubd,ucd->ubc", hidden.anchors, hidden.anchors)
    assert np.median(angles[:, 0, 1]) < 0.6
    assert len(hidden.ages) == len(hidden.anchors)


@pytest.mark.parametrize("name", NAMES)
def test_text_picture_and_feedback_blocks_carry_their_variance_shares(name):
    """Variance of ⟨u, z⟩ over all pairs, block by block, from the whole table of pairs."""
    hidden = load_data(name).hidden
    rows = hidden.anchors.reshape(-1, hidden.anchors.shape[2])
    cuts = np.cumsum([0, *hidden.widths])
    spread = [(rows[:, a:b] @ hidden.z[:, a:b].T).std() for a, b in itertools.pairwise(cuts)]
    share = np.square(spread) / np.square(spread).sum()
    np.testing.assert_allclose(share, VARIANCE_SHARES, atol=0.01)


def test_movielens_has_the_real_films_and_users():
    data = load_data("movielens-100k")
    public, hidden = data.public, data.hidden
    assert len(public) == 1682
    assert hidden.anchors.shape[0] == 943
    assert public.label(0) == "Toy Story (1995)"
    assert public.topics_of(0) == ("Animation", "Children's", "Comedy")
    assert any(title == "The Usual Suspects" for title in public.title)
    assert not any(title.isascii() for title in public.title if "é" in title)
    assert int((hidden.ages < 18).sum()) == 36
    assert set(public.simulated) == {"maturity", "price", "sponsored", "posters"}


def test_movielens_latents_predict_the_ratings():
    """The predicted liking of five-star items is far above that of one-star items."""
    ratings = read_source("films", ratings_folder()).ratings
    hidden = load_data("movielens-100k").hidden
    scores = np.einsum("rmd,rd->rm", hidden.anchors[ratings.user], hidden.z[ratings.item])
    score = np.log((hidden.weights[ratings.user] * np.exp(8 * scores)).sum(axis=1))
    five_stars, one_star = score[ratings.stars == 5].mean(), score[ratings.stars == 1].mean()
    assert five_stars > one_star + 0.5 * score.std()


def test_unknown_catalog_error_suggests_a_name():
    with pytest.raises(InputError, match="did you mean 'movielens-100k'"):
        load_catalog("movielens100k")
    with pytest.raises(InputError, match="has one size"):
        load_catalog("movielens-100k:5")


def test_the_cache_returns_the_same_catalog_and_repairs_a_damaged_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TASTESHIFT_CACHE", str(tmp_path))
    builds = []

    def build():
        builds.append(1)
        return build_films()

    first, second = cache.cached("some", build), cache.cached("some", build)
    assert len(builds) == 1
    assert first.public.hash == second.public.hash
    assert (first.hidden.z == second.hidden.z).all()
    assert second.public.title == first.public.title
    assert (second.public.posters[3] == first.public.posters[3]).all()
    file = next(tmp_path.rglob("*.npz"))
    file.write_bytes(file.read_bytes()[:-2000])
    assert cache.cached("some", build).public.hash == first.public.hash
    assert len(builds) == 2


@pytest.mark.parametrize("name", NAMES)
def test_posters_differ_visibly(name):
    posters = load_catalog(name).posters[:40].astype(float)
    gaps = np.abs(posters[:, None] - posters[None]).mean(axis=(2, 3, 4))
    assert gaps[~np.eye(40, dtype=bool)].min() > 8


def test_posters_are_indexed_like_an_array():
    posters = load_catalog("synthetic:50").posters
    whole = posters[:]
    assert whole.shape == posters.shape == (50, 64, 64, 3)
    assert whole.dtype == np.uint8
    assert (posters[7] == whole[7]).all()
    assert (posters[np.array([[3, 1], [1, -1]])] == whole[np.array([[3, 1], [1, -1]])]).all()
    assert (posters[np.arange(50) % 2 == 0] == whole[::2]).all()

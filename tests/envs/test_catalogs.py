"""Catalogs: what is in them, what their modalities reveal, and how they are kept."""

import numpy as np
import pytest

from tasteshift import load_catalog
from tasteshift.envs.catalogs import cache, load
from tasteshift.envs.catalogs.synthetic import build as build_synthetic
from tasteshift.errors import InputError

NAMES = ["movielens-100k", "synthetic"]


def r_squared(x, y):
    """Held-out R² of a ridge probe from rows x to rows y, averaged over columns of y."""
    x = np.hstack([x.astype(float), np.ones((len(x), 1))])
    train = np.arange(len(x)) % 2 == 0
    gram = x[train].T @ x[train] + 1.0 * np.eye(x.shape[1])
    fit = x[~train] @ np.linalg.solve(gram, x[train].T @ y[train])
    return 1 - ((y[~train] - fit) ** 2).sum() / ((y[~train] - y[train].mean(0)) ** 2).sum()


@pytest.mark.parametrize("name", NAMES)
def test_columns_agree_and_latents_are_bounded(name):
    data = load.load_data(name)
    public, hidden = data.public, data.hidden
    n = len(public)
    assert len(public.title) == len(public.description) == n
    for column in ("topic", "year", "maturity", "price", "sponsored", "popularity", "posters"):
        assert len(getattr(public, column)) == n
    assert public.posters.shape[1:] == (64, 64, 3)
    assert set(public.maturity) <= {0, 13, 18}
    assert public.popularity.sum() == pytest.approx(1)
    assert np.linalg.norm(hidden.z, axis=1).max() <= 1 + 1e-5
    assert np.linalg.norm(hidden.anchors, axis=1) == pytest.approx(1, abs=1e-5)
    for grid in (hidden.z, hidden.anchors, hidden.appeal, hidden.quality):
        assert (grid * 2**20 == np.round(grid * 2**20)).all()


def test_movielens_has_the_real_films_and_people():
    data = load.load_data("movielens-100k")
    public, hidden = data.public, data.hidden
    assert len(public) == 1682
    assert hidden.anchors.shape[0] == 943
    assert public.label(0) == "Toy Story (1995)"
    assert public.topics_of(0) == ("Animation", "Children's", "Comedy")
    assert any(title == "The Usual Suspects" for title in public.title)
    assert not any(title.isascii() for title in public.title if "é" in title)
    assert int((hidden.ages < 18).sum()) == 36
    assert {"maturity", "price", "posters"} <= set(public.simulated)


def test_movielens_tastes_come_from_the_ratings():
    """A user's fitted taste ranks what that user really rated high above what it rated low."""
    from tasteshift.envs.catalogs.movielens import _folder, _ratings, _rows

    folder = _folder()
    items = [row["item_id"] for row in _rows(folder / "ml-100k.item")]
    users = [row["user_id"] for row in _rows(folder / "ml-100k.user")]
    ratings = _ratings(folder, items, users)
    hidden = load.load_data("movielens-100k").hidden
    score = (hidden.anchors[ratings.user] * hidden.z[ratings.item]).sum(axis=1)
    loved, hated = score[ratings.stars == 5].mean(), score[ratings.stars == 1].mean()
    assert loved > hated + 0.5 * score.std()


def test_synthetic_text_and_pictures_reveal_their_latents_and_feedback_latents_stay_hidden():
    data = load.load_data("synthetic")
    public, z = data.public, data.hidden.z
    words = sorted({word for text in public.description for word in text.split()})
    text = np.array([[word in row.split() for word in words] for row in public.description])
    pixels = public.posters[:, ::8, ::8].reshape(len(public), -1) / 255.0
    z_text, z_image, z_cf = z[:, :8], z[:, 8:16], z[:, 16:]
    assert r_squared(text, z_text) > 0.8
    assert r_squared(pixels, z_image) > 0.8
    assert r_squared(text, z_image) == pytest.approx(0.5, abs=0.1)
    assert r_squared(np.hstack([text, pixels]), z_cf) < 0.05


def test_synthetic_of_any_size_has_distinct_titles():
    for size in (2, 37, 2500):
        catalog = load_catalog(f"synthetic:{size}")
        assert len(set(catalog.title)) == len(catalog) == size


@pytest.mark.parametrize(
    "name", ["synthetic:0", "synthetic:-3", "synthetic:many", "synthetic:10000"]
)
def test_bad_sizes_are_refused(name):
    with pytest.raises(InputError, match="needs a size from 2"):
        load_catalog(name)


def test_unknown_catalogs_get_a_suggestion():
    with pytest.raises(InputError, match="did you mean 'movielens-100k'"):
        load_catalog("movielens100k")
    with pytest.raises(InputError, match="has one size"):
        load_catalog("movielens-100k:5")


def test_the_cache_returns_the_same_catalog_and_repairs_a_damaged_file(tmp_path, monkeypatch):
    monkeypatch.setenv("TASTESHIFT_CACHE", str(tmp_path))
    builds = []

    def build():
        builds.append(1)
        return build_synthetic("30")

    first, second = cache.cached("some", build), cache.cached("some", build)
    assert len(builds) == 1
    assert first.public.hash == second.public.hash
    assert (first.hidden.z == second.hidden.z).all()
    assert second.public.title == first.public.title
    file = next(tmp_path.rglob("*.npz"))
    file.write_bytes(file.read_bytes()[:-2000])
    assert cache.cached("some", build).public.hash == first.public.hash
    assert len(builds) == 2


def test_the_hash_covers_latents_and_columns():
    one, other = build_synthetic("30").public.hash, build_synthetic("31").public.hash
    assert one == build_synthetic("30").public.hash != other


@pytest.mark.parametrize("name", NAMES)
def test_posters_differ_visibly(name):
    posters = load_catalog(name).posters[:100].astype(float)
    gaps = np.abs(posters[:, None] - posters[None]).mean(axis=(2, 3, 4))
    assert gaps[~np.eye(100, dtype=bool)].min() > 8

"""Resampled catalogs: the distribution of their base, and latents that the base does not reveal."""

import csv
import itertools
import os
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasteshift.envs.catalogs.fitting.expected_latents import image_features, text_features
from tasteshift.envs.catalogs.fitting.latent_space import VARIANCE_SHARES
from tasteshift.envs.catalogs.latents import Latents
from tasteshift.envs.catalogs.load import load_data, register_in_memory, unregister_in_memory
from tasteshift.envs.catalogs.resampling.exact_algebra import explained_share
from tasteshift.envs.catalogs.resampling.resample import resample_catalog
from tasteshift.errors import InputError

NAMES = ["movielens-100k", "synthetic"]
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
HIDDEN = [field.name for field in fields(Latents) if field.name != "widths"]
COLUMNS = ("topic", "year", "maturity", "price", "sponsored", "popularity")
PINNED = "86e7ac9b59d447794dc8ea295c1c202f428ce9307d5e3df1f95a05f6d2360dae"


def by_title(data):
    """Item rows in an order that does not depend on the rows' order."""
    labels = [f"{i} {t}" for i, t in zip(data.public.item_id, data.public.title, strict=True)]
    return np.argsort(labels, kind="stable")


def blocks(data):
    """Text, picture and feedback parts (U, M, k) of the users' interests, of norm 1 each."""
    cuts = np.cumsum([0, *data.hidden.widths])
    return [data.hidden.anchors[..., a:b] * np.sqrt(3) for a, b in itertools.pairwise(cuts)]


def held_out(x, y):
    """R² of a ridge probe from rows x to rows y on a random half of the items."""
    x = np.hstack([x, np.ones((len(x), 1))])
    train = np.random.default_rng(0).permutation(len(x)) % 2 == 0
    fit = np.linalg.solve(x[train].T @ x[train] + np.eye(x.shape[1]), x[train].T @ y[train])
    left = y[~train] - x[~train] @ fit
    return 1 - (left**2).sum() / ((y[~train] - y[train].mean(0)) ** 2).sum()


def registered(name, base, key):
    register_in_memory(name, lambda: resample_catalog(load_data(base), key, name))
    return name


@pytest.fixture(scope="module", params=NAMES)
def pair(request):
    """A catalog and its resampled version, registered by name."""
    name = registered(f"hidden:distribution-{request.param}", request.param, KEY)
    yield load_data(request.param), load_data(name)
    unregister_in_memory(name)


def test_a_key_determines_every_latent():
    base = load_data("movielens-100k")
    one, again, other = (resample_catalog(base, key, "hidden:x") for key in (KEY, KEY, OTHER))
    assert one.public.hash == again.public.hash != other.public.hash
    assert one.log_seed == again.log_seed != other.log_seed != base.log_seed
    for name in HIDDEN:
        mine, theirs = getattr(one.hidden, name), getattr(other.hidden, name)
        assert mine.tobytes() == getattr(again.hidden, name).tobytes()
        assert mine.tobytes() != theirs.tobytes()
    for name in ("anchors", "weights"):
        assert (getattr(one.hidden, name) != getattr(other.hidden, name)).mean() > 0.99
    assert (one.hidden.z_text[by_title(one)] != other.hidden.z_text[by_title(other)]).mean() > 0.9
    z_one, z_other = (data.hidden.z[by_title(data)] for data in (one, other))
    assert (z_one[:, 12:] != z_other[:, 12:]).mean() > 0.99
    assert one.public.title != other.public.title


@settings(max_examples=40)
@given(key=st.binary(min_size=32, max_size=32), bit=st.integers(0, 255))
def test_every_bit_of_the_key_matters(key, bit):
    base = load_data("synthetic:12")
    flipped = (int.from_bytes(key, "big") ^ (1 << bit)).to_bytes(32, "big")
    one, other = (resample_catalog(base, k, "hidden:x") for k in (key, flipped))
    assert one.public.hash != other.public.hash
    assert one.log_seed != other.log_seed
    assert (one.hidden.anchors != other.hidden.anchors).mean() > 0.99
    assert (one.hidden.z_image != other.hidden.z_image).mean() > 0.99


def test_public_text_stays_with_its_item_and_the_order_changes(pair):
    base, drawn = pair
    old, new = by_title(base), by_title(drawn)
    for name in ("item_id", "title", "description"):
        before, after = getattr(base.public, name), getattr(drawn.public, name)
        assert [before[k] for k in old] == [after[k] for k in new]
    for name in ("topic", "year", "popularity"):
        assert (getattr(base.public, name)[old] == getattr(drawn.public, name)[new]).all()
    assert drawn.public.topics == base.public.topics
    assert (old == new).mean() < 0.02
    text = base.hidden.z_text[old], drawn.hidden.z_text[new]
    assert np.corrcoef(text[0].ravel(), text[1].ravel())[0, 1] > 0.93


def test_the_old_z_text_predicts_the_new_one_no_better_than_the_texts(pair):
    base, drawn = pair
    old, new = by_title(base), by_title(drawn)
    target, text = drawn.hidden.z_text[new], text_features(drawn.public)[new]
    known = base.hidden.z_text[old]
    reading, both = held_out(text, target), held_out(np.hstack([text, known]), target)
    assert held_out(known, target) < reading + 0.02
    assert both < reading + 0.01


def test_latents_and_columns_are_well_formed(pair):
    base, drawn = pair
    hidden = drawn.hidden
    for values in (hidden.z, hidden.anchors, hidden.weights, hidden.appeal, hidden.quality):
        assert (values * 2**20 == np.round(values * 2**20)).all()
    assert np.linalg.norm(hidden.z, axis=1).max() <= 1
    assert np.abs(np.linalg.norm(hidden.anchors, axis=2) - 1).max() < 2**-18
    assert (hidden.weights > 0).all()
    assert (hidden.weights.sum(axis=1) == 1).all()
    assert sorted(hidden.ages) == sorted(base.hidden.ages)
    assert (drawn.public.maturity == hidden.maturity).all()
    assert hidden.widths == base.hidden.widths
    assert all(len(getattr(drawn.public, name)) == len(base.public) for name in COLUMNS)


def test_hidden_latents_are_uncorrelated_with_the_base(pair):
    """Item by item, resampled latents agree with the base no more than by chance."""
    base, drawn = pair
    old, new = by_title(base), by_title(drawn)
    cut = base.hidden.widths[0] + base.hidden.widths[1]
    before, after = base.hidden.z[old][:, cut:], drawn.hidden.z[new][:, cut:]
    cosines = (before * after).sum(1)
    cosines /= np.maximum(np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1), 1e-9)
    assert abs(cosines.mean()) < 4 / np.sqrt(len(cosines) * before.shape[1])
    known = np.argsort(np.argsort(-base.public.popularity))[old] // (len(old) // 12)
    for name in ("appeal", "quality"):
        a, b = getattr(base.hidden, name)[old], getattr(drawn.hidden, name)[new]
        inside = [np.corrcoef(a[known == k], b[known == k])[0, 1] for k in range(12)]
        assert abs(np.mean(inside)) < 0.2
        assert (a == b).mean() < 0.05
    for name in ("price", "sponsored"):
        a, b = getattr(base.public, name)[old], getattr(drawn.public, name)[new]
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.1
        assert sorted(a) == sorted(b)


def test_items_keep_their_distributions(pair):
    base, drawn = pair
    log_count = [np.log(data.public.popularity) for data in pair]
    for name in ("appeal", "quality"):
        old, new = (getattr(data.hidden, name) for data in pair)
        assert sorted(old) == sorted(new)
        agreement = [np.corrcoef(x, y)[0, 1] for x, y in zip(log_count, (old, new), strict=True)]
        assert agreement[1] == pytest.approx(agreement[0], abs=0.08)
    size = [np.linalg.norm(data.hidden.z_cf, axis=1) for data in pair]
    agreement = [np.corrcoef(x, y)[0, 1] for x, y in zip(log_count, size, strict=True)]
    assert agreement[1] == pytest.approx(agreement[0], abs=0.08)
    spectrum = [np.linalg.eigvalsh(np.cov(data.hidden.z_cf.T)) for data in pair]
    share = [values / values.sum() for values in spectrum]
    np.testing.assert_allclose(share[0], share[1], atol=0.03)
    assert explained_share(drawn.hidden.z_text, drawn.hidden.z_image) == pytest.approx(
        explained_share(base.hidden.z_text, base.hidden.z_image), abs=0.05
    )
    labels = [np.bincount(data.hidden.maturity, minlength=19) for data in pair]
    assert (labels[0] == labels[1]).all()


def test_minimum_ages_of_films_still_depend_on_genre():
    drawn = resample_catalog(load_data("movielens-100k"), KEY, "hidden:x")
    genre = {name: drawn.public.topic[:, k] for k, name in enumerate(drawn.public.topics)}
    family = genre["Animation"] | genre["Children's"] | genre["Musical"]
    assert (drawn.hidden.maturity[family] == 0).all()
    horror = genre["Horror"] & ~family
    assert (drawn.hidden.maturity[horror] == 18).mean() == pytest.approx(0.7, abs=0.12)
    mild = (genre["Comedy"] | genre["Documentary"]) & (drawn.public.topic.sum(axis=1) == 1)
    assert (drawn.hidden.maturity[mild] == 0).all()


def test_blocks_carry_their_variance_shares(pair):
    hidden = pair[1].hidden
    rows = hidden.anchors.reshape(-1, hidden.anchors.shape[2])
    cuts = np.cumsum([0, *hidden.widths])
    spread = [(rows[:, a:b] @ hidden.z[:, a:b].T).std() for a, b in itertools.pairwise(cuts)]
    share = np.square(spread) / np.square(spread).sum()
    np.testing.assert_allclose(share, VARIANCE_SHARES, atol=0.01)


def test_text_and_posters_reveal_their_latents_but_not_z_cf(pair):
    drawn = pair[1]
    text, image = text_features(drawn.public), image_features(drawn.public)
    assert held_out(text, drawn.hidden.z_text) > 0.9
    assert held_out(image, drawn.hidden.z_image) > 0.8
    assert 0.25 < held_out(text, drawn.hidden.z_image) < 0.6
    assert held_out(np.hstack([text, image]), drawn.hidden.z_cf) < 0.1


def test_rendered_posters_change(pair):
    base, drawn = pair
    old, new = by_title(base)[:50], by_title(drawn)[:50]
    a, b = (image_features(d.public, rows).ravel() for d, rows in ((base, old), (drawn, new)))
    assert np.abs(a - b).mean() > 0.05


def test_a_key_gives_the_same_catalog_on_every_machine(tmp_path):
    """A pinned hash, and another process with other vector units and another BLAS."""
    code = (
        "from tasteshift.envs.catalogs.load import load_data\n"
        "from tasteshift.envs.catalogs.resampling.resample import resample_catalog\n"
        f"for name in {['synthetic:60', *NAMES]}:\n"
        "    print(resample_catalog(load_data(name), bytes(range(32)), 'x').public.hash)\n"
    )
    here = [resample_catalog(load_data(n), KEY, "x").public.hash for n in ("synthetic:60", *NAMES)]
    assert here[0] == PINNED
    machine = {
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX",
        "OPENBLAS_CORETYPE": "Prescott",
        "NUMBA_DISABLE_JIT": "1",
        "PYTHONWARNINGS": "ignore",
    }
    found = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, **machine},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == here


@pytest.fixture
def folder(tmp_path):
    with (tmp_path / "items.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("item_id", "title", "maturity", "price"))
        writer.writerows((f"a{k}", f"Tale {k}", (0, 13, 18)[k % 3], k) for k in range(40))
    return tmp_path


def test_columns_and_pictures_of_a_folder_are_kept(folder):
    (folder / "images").mkdir()
    colors = np.random.default_rng(1).integers(0, 256, (40, 3))
    for k, color in enumerate(colors):
        flat = np.broadcast_to(color.astype(np.uint8), (64, 64, 3))
        Image.fromarray(flat).save(folder / "images" / f"a{k}.png")
    base = load_data(str(folder))
    drawn = resample_catalog(base, KEY, "hidden:x")
    item = np.array([int(name[1:]) for name in drawn.public.item_id])
    assert sorted(item) == list(range(40)) != item.tolist()
    assert (drawn.public.posters[:, 0, 0] == colors[item]).all()
    assert (drawn.hidden.maturity == base.hidden.maturity[item]).all()
    assert (drawn.public.price == item).all()
    kept = np.corrcoef(drawn.hidden.z_image.ravel(), base.hidden.z_image[item].ravel())[0, 1]
    assert kept > 0.999
    assert (drawn.public.sponsored != base.public.sponsored[item]).any()


@pytest.mark.parametrize("size", [2, 3, 12, 20_000])
def test_catalogs_of_any_size_can_be_resampled(size):
    drawn = resample_catalog(load_data(f"synthetic:{size}"), KEY, "hidden:x")
    assert len(drawn.public) == size
    assert np.isfinite(drawn.hidden.z).all()
    assert np.isfinite(drawn.hidden.quality).all()


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length):
    with pytest.raises(InputError, match="32 bytes"):
        resample_catalog(load_data("synthetic:12"), bytes(length), "hidden:x")

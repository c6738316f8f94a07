"""What text and pictures reveal of the latents: linear probes on held-out items."""

import itertools

import numpy as np
import pytest

from tasteshift.envs.catalogs.fitting.expected_latents import (
    expected_latents,
    image_features,
    text_features,
)
from tasteshift.envs.catalogs.load import load_data

TEXT, IMAGE = frozenset({"text"}), frozenset({"image"})


def held_out(x, y):
    """R² of a ridge probe from rows x to rows y on a random half of the items."""
    x = np.hstack([x, np.ones((len(x), 1))])
    train = np.random.default_rng(0).permutation(len(x)) % 2 == 0
    gram = x[train].T @ x[train] + 1.0 * np.eye(x.shape[1])
    fit = x[~train] @ np.linalg.solve(gram, x[train].T @ y[train])
    return 1 - ((y[~train] - fit) ** 2).sum() / ((y[~train] - y[train].mean(0)) ** 2).sum()


def explained(y, expected):
    return 1 - ((y - expected) ** 2).sum() / ((y - y.mean(axis=0)) ** 2).sum()


def test_synthetic_text_and_posters_reveal_the_documented_shares():
    data = load_data("synthetic:3000")
    hidden = data.hidden
    text, image = text_features(data.public), image_features(data.public)
    assert held_out(text, hidden.z_text) > 0.9
    assert held_out(image, hidden.z_image) > 0.9
    assert held_out(text, hidden.z_image) == pytest.approx(0.5, abs=0.1)
    assert held_out(hidden.z_text, hidden.z_image) == pytest.approx(0.5, abs=0.05)
    assert held_out(np.hstack([text, image]), hidden.z_cf) < 0.05


def test_default_synthetic_catalog_too():
    data = load_data("synthetic")
    hidden = data.hidden
    text, image = text_features(data.public), image_features(data.public)
    assert held_out(text, hidden.z_text) > 0.8
    assert held_out(image, hidden.z_image) > 0.8
    assert held_out(np.hstack([text, image]), hidden.z_cf) < 0.1


def test_movielens_text_and_posters_reveal_their_latents_but_not_z_cf():
    """z_text is a function of the text fields and explains half of z_image; z_cf is the rest."""
    data = load_data("movielens-100k")
    hidden = data.hidden
    text, image = text_features(data.public), image_features(data.public)
    assert held_out(text, hidden.z_text) > 0.95
    assert held_out(image, hidden.z_image) > 0.8
    assert 0.25 < held_out(text, hidden.z_image) < 0.6
    assert held_out(np.hstack([text, image]), hidden.z_cf) < 0.1


@pytest.mark.parametrize("name", ["synthetic", "movielens-100k"])
def test_expected_latents_explain_their_own_modality_only(name):
    data = load_data(name)
    hidden = data.hidden
    cuts = np.cumsum([0, *hidden.widths])

    def of(modalities):
        expected = expected_latents(data, modalities)
        assert (expected * 2**20 == np.round(expected * 2**20)).all()
        return [explained(hidden.z[:, a:b], expected[:, a:b]) for a, b in itertools.pairwise(cuts)]

    blind, text, image, both = of(frozenset()), of(TEXT), of(IMAGE), of(TEXT | IMAGE)
    assert max(np.abs(blind)) < 0.01
    assert text[0] > 0.8 > text[1] > 0.25
    assert image[1] > 0.8 > image[0] > 0.25
    assert min(both[:2]) > 0.8
    assert max(abs(r[2]) for r in (text, image, both)) < 0.05


def test_expected_latents_are_cross_fitted():
    """More features than items: a fit to all forty items would explain z_cf."""
    data = load_data("synthetic:40")
    expected = expected_latents(data, TEXT | IMAGE)
    assert explained(data.hidden.z_cf, expected[:, 16:]) < 0.2


def test_expected_latents_of_a_tiny_catalog_are_the_mean():
    data = load_data("synthetic:5")
    expected = expected_latents(data, TEXT)
    np.testing.assert_allclose(expected, np.tile(data.hidden.z.mean(axis=0), (5, 1)), atol=2**-12)

"""What text, pictures and feedback reveal: linear probes on held-out items."""

import itertools

import numpy as np
import pytest

from tasteshift.envs.catalogs.load import load_data
from tasteshift.envs.catalogs.probes import expected_latents, image_features, text_features

TEXT, IMAGE = frozenset({"text"}), frozenset({"image"})


def held_out(x, y):
    """R² of a ridge probe from rows x to rows y on a random half of the items."""
    x = np.hstack([x, np.ones((len(x), 1))])
    train = np.random.default_rng(0).permutation(len(x)) % 2 == 0
    gram = x[train].T @ x[train] + 1.0 * np.eye(x.shape[1])
    fit = x[~train] @ np.linalg.solve(gram, x[train].T @ y[train])
    return 1 - ((y[~train] - fit) ** 2).sum() / ((y[~train] - y[train].mean(0)) ** 2).sum()


def explained(y, guess):
    return 1 - ((y - guess) ** 2).sum() / ((y - y.mean(axis=0)) ** 2).sum()


def test_synthetic_splits_information_as_promised():
    data = load_data("synthetic:3000")
    hidden = data.hidden
    text, image = text_features(data.public), image_features(data.public)
    assert held_out(text, hidden.z_text) > 0.9
    assert held_out(image, hidden.z_image) > 0.9
    assert held_out(text, hidden.z_image) == pytest.approx(0.5, abs=0.1)
    assert held_out(hidden.z_text, hidden.z_image) == pytest.approx(0.5, abs=0.05)
    assert held_out(np.hstack([text, image]), hidden.z_cf) < 0.05


def test_the_default_catalog_does_too():
    data = load_data("synthetic")
    hidden = data.hidden
    text, image = text_features(data.public), image_features(data.public)
    assert held_out(text, hidden.z_text) > 0.8
    assert held_out(image, hidden.z_image) > 0.8
    assert held_out(np.hstack([text, image]), hidden.z_cf) < 0.1


def test_movielens_text_and_pictures_reveal_their_latents_and_residuals_stay_hidden():
    """z_text is a function of the text fields; style follows it to one half; z_cf is the rest."""
    data = load_data("movielens-100k")
    hidden = data.hidden
    text, image = text_features(data.public), image_features(data.public)
    assert held_out(text, hidden.z_text) > 0.95
    assert held_out(image, hidden.z_image) > 0.8
    assert 0.25 < held_out(text, hidden.z_image) < 0.6
    assert held_out(np.hstack([text, image]), hidden.z_cf) < 0.1


@pytest.mark.parametrize("name", ["synthetic", "movielens-100k"])
def test_expectations_know_what_their_modality_shows_and_nothing_else(name):
    data = load_data(name)
    hidden = data.hidden
    cuts = np.cumsum([0, *hidden.widths])

    def of(modalities):
        guess = expected_latents(data, modalities)
        assert (guess * 2**20 == np.round(guess * 2**20)).all()
        return [explained(hidden.z[:, a:b], guess[:, a:b]) for a, b in itertools.pairwise(cuts)]

    blind, text, image, both = of(frozenset()), of(TEXT), of(IMAGE), of(TEXT | IMAGE)
    assert max(np.abs(blind)) < 0.01
    assert text[0] > 0.8 > text[1] > 0.25
    assert image[1] > 0.8 > image[0] > 0.25
    assert min(both[:2]) > 0.8
    assert max(abs(r[2]) for r in (text, image, both)) < 0.05


def test_expectations_do_not_see_the_item_they_foretell():
    """Forty items and more features than items: a fit to all of them would know feedback."""
    data = load_data("synthetic:40")
    guess = expected_latents(data, TEXT | IMAGE)
    assert explained(data.hidden.z_cf, guess[:, 16:]) < 0.2


def test_a_catalog_too_small_to_learn_from_expects_the_mean():
    data = load_data("synthetic:5")
    guess = expected_latents(data, TEXT)
    np.testing.assert_allclose(guess, np.tile(data.hidden.z.mean(axis=0), (5, 1)), atol=2**-12)

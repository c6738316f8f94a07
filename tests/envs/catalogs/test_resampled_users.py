"""Users of resampled catalogs: the distribution of the base's users, and none of them."""

import csv
import itertools

import numpy as np
import pytest

from tasteshift.envs.catalogs.load import load_data
from tasteshift.envs.catalogs.resampling.exact_algebra import explained_share
from tasteshift.envs.catalogs.resampling.resample import resample_catalog

NAMES = ["movielens-100k", "synthetic"]
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


def blocks(data):
    """Text, picture and feedback parts (U, M, k) of the users' interests, of norm 1 each."""
    cuts = np.cumsum([0, *data.hidden.widths])
    return [data.hidden.anchors[..., a:b] * np.sqrt(3) for a, b in itertools.pairwise(cuts)]


def nearest(rows, others, *, same=False):
    """1 − cos to the nearest of the others, of rows (U, k) of equal norm; or itself excluded."""
    gap = 1 - rows @ others.T / (np.linalg.norm(rows[0]) * np.linalg.norm(others[0]))
    if same:
        np.fill_diagonal(gap, np.inf)
    return gap.min(axis=1)


@pytest.fixture(scope="module", params=NAMES)
def pair(request):
    base = load_data(request.param)
    return base, resample_catalog(base, KEY, "hidden:x")


def test_users_have_the_distribution_they_were_fitted_to(pair):
    """Angles between interests, covariances, weights, spread of scores."""
    (text, image, feedback), (text_, image_, feedback_) = map(blocks, pair)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        for old, new in ((text, text_), (feedback, feedback_)):
            angle = [(part[:, a] * part[:, b]).sum(-1).mean() for part in (old, new)]
            assert angle[1] == pytest.approx(angle[0], abs=0.05)
    for old, new in ((text, text_), (feedback, feedback_)):
        for m in range(3):
            np.testing.assert_allclose(np.cov(old[:, m].T), np.cov(new[:, m].T), atol=0.05)
            np.testing.assert_allclose(old[:, m].mean(0), new[:, m].mean(0), atol=0.06)
    flat = [part.reshape(-1, part.shape[-1]) for part in (text, image, text_, image_)]
    assert explained_share(*flat[2:]) == pytest.approx(explained_share(*flat[:2]), abs=0.08)
    if text.shape == feedback.shape:
        together = [(x * y).sum(-1).mean() for x, y in ((text, feedback), (text_, feedback_))]
        assert together[1] == pytest.approx(together[0], abs=0.12)
    base, drawn = (data.hidden for data in pair)
    np.testing.assert_allclose(base.weights.mean(0), drawn.weights.mean(0), atol=0.02)
    np.testing.assert_allclose(base.weights.std(0), drawn.weights.std(0), atol=0.03)
    spread = [(h.anchors.reshape(-1, h.z.shape[1]) @ h.z.T).std() for h in (base, drawn)]
    assert spread[1] == pytest.approx(spread[0], rel=0.15)


def closer(distances, usual):
    """Whether more distances lie below low quantiles of the usual ones than for independent users.

    Independent users from the distribution of synthetic ones differ by up to 0.03 themselves,
    since the base is one sample.
    """
    n = len(distances)
    return any(
        (distances < np.quantile(usual, q)).mean() > q + 0.03 + 3 * np.sqrt(q * (1 - q) / n)
        for q in (0.01, 0.05, 0.25)
    )


@pytest.mark.parametrize("name", NAMES)
def test_new_users_are_no_nearer_to_known_users_than_these_to_each_other(name):
    """Nearest-neighbor distances in one text interest, all text interests, and all interests:
    new → known against known → known. Known users with a little noise are detected."""
    base = load_data(name)
    known = blocks(base)

    def views(parts):
        whole = np.concatenate(parts, axis=-1)
        return [parts[0][:, 0], parts[0].reshape(len(whole), -1), whole.reshape(len(whole), -1)]

    for key in (KEY, OTHER, bytes(32)):
        drawn = blocks(resample_catalog(base, key, "hidden:x"))
        for mine, theirs in zip(views(drawn), views(known), strict=True):
            assert not closer(nearest(mine, theirs), nearest(theirs, theirs, same=True))
    noise = np.random.default_rng(0).normal(size=known[0].shape) * 0.1
    perturbed = known[0] + noise
    perturbed /= np.linalg.norm(perturbed, axis=-1, keepdims=True)
    for mine, theirs in zip(views([perturbed]), views(known[:1]), strict=True):
        assert closer(nearest(mine, theirs), nearest(theirs, theirs, same=True))


def test_ages_stay_correlated_with_interests():
    """A linear probe from interests to the rank of age, which finds a correlation in ML-100K."""
    base = load_data("movielens-100k")
    found = []
    for data in (
        base,
        resample_catalog(base, KEY, "hidden:x"),
        resample_catalog(base, OTHER, "hidden:x"),
    ):
        rank = np.argsort(np.argsort(data.hidden.ages, kind="stable"))
        x = np.hstack([blocks(data)[0].reshape(len(rank), -1), np.ones((len(rank), 1))])
        fit = x @ np.linalg.lstsq(x, rank)[0]
        found.append(np.corrcoef(fit, rank)[0, 1])
    assert found[0] > 0.3
    assert found[1:] == pytest.approx([found[0]] * 2, abs=0.12)


def test_two_known_users_are_not_reproduced(tmp_path):
    with (tmp_path / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("item_id", "title")])
        csv.writer(file).writerows((f"a{k}", f"Tale {k}") for k in range(40))
    with (tmp_path / "interactions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("user_id", "item_id", "rating"))
        writer.writerows((who, f"a{k}", 1 + (k * p) % 5) for who, p in (("x", 2), ("y", 3))
                         for k in range(40))  # fmt: skip
    base = load_data(str(tmp_path))
    assert len(base.hidden.ages) == 2
    for byte in range(20):
        drawn = resample_catalog(base, bytes([byte]) * 32, "hidden:x")
        known, new = (blocks(data)[0].reshape(2, -1) for data in (base, drawn))
        assert nearest(new, known).min() > 0.05

"""Overlays change public labels and leave hidden latents as they are."""

import pickle

import numpy as np
import pytest

from tasteshift.envs.catalogs.load import load_data
from tasteshift.envs.catalogs.overlays import KINDS, OPEN, RATED, Overlay, apply, base_name
from tasteshift.errors import InputError


@pytest.fixture(scope="module")
def data():
    return load_data("synthetic")


@pytest.mark.parametrize("kind", KINDS)
def test_an_overlay_is_pure_and_seeded_with_its_own_name_and_hash(data, kind):
    before = data.public.hash, data.public.maturity.copy(), data.public.sponsored.copy()
    one = apply(Overlay(kind, 0.5, 3), data.public)
    assert one.hash == apply(Overlay(kind, 0.5, 3), data.public).hash
    hashes = {one.hash, apply(Overlay(kind, 0.5, 4), data.public).hash, data.public.hash}
    hashes |= {apply(Overlay(kind, 0.0, 3), data.public).hash}
    assert len(hashes) == 4
    assert one.name == f"synthetic~{kind}"
    assert data.public.hash == before[0]
    assert (data.public.maturity == before[1]).all()
    assert (data.public.sponsored == before[2]).all()
    assert (data.hidden.maturity == before[1]).all()
    assert (data.hidden.sponsored == before[2]).all()


def test_poisoned_items_come_from_the_unpopular_half_and_appear_most_popular(data):
    fake = apply(Overlay("poison-popularity", 0.05, 1), data.public)
    grown = np.flatnonzero(fake.popularity > data.public.popularity)
    assert len(grown) == 50
    assert data.public.popularity[grown].max() <= np.median(data.public.popularity)
    top = np.sort(data.public.popularity)[-50:]
    np.testing.assert_allclose(
        np.sort(fake.popularity[grown]) / fake.popularity[grown].max(), top / top.max(), rtol=1e-6
    )
    assert fake.popularity.sum() == pytest.approx(1)


def test_all_of_the_unpopular_half_can_be_poisoned(data):
    fake = apply(Overlay("poison-popularity", 1.0, 1), data.public)
    order = np.argsort(-data.public.popularity, kind="stable")
    real, poisoned = fake.popularity[order[:500]], fake.popularity[order[500:]]
    np.testing.assert_allclose(np.sort(poisoned), np.sort(real), rtol=1e-9)


def test_mislabeled_items_are_rated_items_labeled_0(data):
    mislabeled = apply(Overlay("mislabel-maturity", 0.3, 1), data.public)
    changed = mislabeled.maturity != data.hidden.maturity
    assert changed.sum() == round(0.3 * (data.hidden.maturity > 0).sum())
    assert (mislabeled.maturity[changed] == 0).all()


def test_hidden_maturity_is_unknown(data):
    gaps = apply(Overlay("hide-maturity", 0.2, 1), data.public)
    assert (gaps.maturity == -1).sum() == 200
    assert (gaps.maturity[gaps.maturity >= 0] == data.hidden.maturity[gaps.maturity >= 0]).all()


def test_descriptions_state_the_true_maturity(data):
    share, seed = 0.4, 2
    spoken = apply(Overlay("maturity-in-words", share, seed), data.public)
    true, label = data.hidden.maturity, spoken.maturity
    mislabeled, gaps = (label != true) & (label == 0), label == -1
    assert (label[~mislabeled & ~gaps] == true[~mislabeled & ~gaps]).all()
    assert mislabeled.sum() == round(share * (true > 0).sum())
    assert gaps.sum() == round(share * (len(true) - mislabeled.sum()))
    assert (true[gaps] == 0).any()
    assert (true[gaps] > 0).any()
    sentences = set()
    for item in range(len(true)):
        said = spoken.description[item].removeprefix(data.public.description[item]).strip()
        assert ("".join(filter(str.isdigit, said)) or "0") == str(true[item])
        sentences.add(said)
    assert sentences == {*OPEN, *(phrase.format(age=age) for phrase in RATED for age in (13, 18))}
    assert spoken.characters() >= set("".join(spoken.description))
    assert pickle.loads(pickle.dumps(spoken)).description == spoken.description
    other = apply(Overlay("maturity-in-words", share, seed + 1), data.public)
    assert other.description != spoken.description


def test_descriptions_do_not_state_labels_that_were_missing(data):
    gaps = apply(Overlay("hide-maturity", 0.3, 1), data.public)
    spoken = apply(Overlay("maturity-in-words", 0.0, 1), gaps)
    for item in range(len(gaps)):
        unchanged = spoken.description[item] == data.public.description[item]
        assert unchanged == (gaps.maturity[item] == -1)


def test_hide_sponsorship_clears_a_share_of_the_flags(data):
    cleared = apply(Overlay("hide-sponsorship", 0.5, 1), data.public)
    assert not (cleared.sponsored & ~data.hidden.sponsored).any()
    assert cleared.sponsored.sum() == pytest.approx(0.5 * data.hidden.sponsored.sum(), abs=1)
    assert not apply(Overlay("hide-sponsorship", 1.0, 1), data.public).sponsored.any()


def test_overlays_stack_and_base_name_strips_them(data):
    both = apply(
        Overlay("hide-maturity", 0.2), apply(Overlay("hide-sponsorship", 1.0), data.public)
    )
    assert both.name == "synthetic~hide-sponsorship~hide-maturity"
    assert base_name(both.name) == "synthetic"
    assert base_name("~/films") == "~/films"
    assert not both.sponsored.any()
    assert (both.maturity == -1).any()
    assert (both.posters[3] == data.public.posters[3]).all()


def test_a_larger_share_includes_the_items_of_a_smaller_one(data):
    some = apply(Overlay("hide-maturity", 0.2, 5), data.public).maturity == -1
    more = apply(Overlay("hide-maturity", 0.4, 5), data.public).maturity == -1
    assert (more | ~some).all()


@pytest.mark.parametrize(("kind", "share"), [("nothing", 0.1), ("hide-maturity", 1.5)])
def test_bad_overlays_are_refused(kind, share):
    with pytest.raises(InputError, match="overlay"):
        Overlay(kind, share)

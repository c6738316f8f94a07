"""Retrieval and interest profiles on a catalog small enough to rank by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasteshift.agents.llm.interest_profile import NEUTRAL_RATING, InterestProfile
from tasteshift.agents.llm.retrieval import Retrieval, RetrievalWeights, find_topics
from tasteshift.envs.catalogs.public import PublicData, TrainingLog
from tasteshift.records import NOTHING, Observation


@pytest.fixture
def public(small_public: PublicData) -> PublicData:
    """Six items: 0 and 1 are comedies, 2 and 3 westerns, 4 is both, 5 is neither.

    Minimum ages: 0 for items 0, 2 and 5; 13 for 1 and 3; 18 for 4. Users 0 and 1 chose
    0 and 3; user 2 chose 2 and 5, and user 3 chose 2 alone.
    """
    topic = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [0, 0]], bool)
    maturity = np.array([0, 13, 0, 13, 18, 0])
    catalog = replace(
        small_public.catalog,
        item_id=tuple("abcdef"),
        title=("Ham", "Spam", "Dust", "Western Comedy", "Spur", "Night"),
        year=np.array([1990, 1991, 1992, 1993, 1994, 1995]),
        topics=("Comedy", "Western"),
        topic=topic,
        maturity=maturity,
    )
    user, item = np.array([0, 0, 1, 1, 2, 2, 3]), np.array([0, 3, 0, 3, 2, 5, 2])
    log = TrainingLog(5, user, item, np.array([0.9, 0.8, 0.9, 0.1, 0.5, 0.3, 0.7]))
    return replace(small_public, catalog=catalog, log=log)


def test_requested_topics_come_first(public: PublicData) -> None:
    retrieval = Retrieval(public, RetrievalWeights(topic=1, similarity=0, popularity=0))
    assert retrieval.shortlist(6, [1], {}, "adult") == (2, 3, 4, 0, 1, 5)
    assert retrieval.shortlist(2, [0, 1], {}, "adult") == (4, 0)


def test_similarity_to_liked_items(public: PublicData) -> None:
    """Item 0 was chosen by exactly those who chose 3: cosine 1. 2 and 5 share one of two: √½."""
    retrieval = Retrieval(public, RetrievalWeights(topic=0, similarity=1, popularity=0))
    assert retrieval.scores([], {0: 0.5}).tolist() == pytest.approx([1, 0, 0, 1, 0, 0])
    assert retrieval.scores([], {5: 2.0}) == pytest.approx([0, 0, np.sqrt(0.5), 0, 0, 1])
    assert retrieval.scores([], {0: -0.5})[3] == pytest.approx(-1)


def test_popularity_is_logarithmic(public: PublicData) -> None:
    retrieval = Retrieval(public, RetrievalWeights(topic=0, similarity=0, popularity=1))
    two, one = 1, np.log(2) / np.log(3)
    assert retrieval.scores([], {}) == pytest.approx([two, 0, two, two, 0, one])


@pytest.mark.parametrize(
    ("age_group", "allowed"),
    [("child", {0, 2, 5}), ("teen", {0, 1, 2, 3, 5}), ("adult", set(range(6)))],
)
def test_nothing_above_the_limit_of_the_age_group(
    public: PublicData, age_group: str, allowed: set[int]
) -> None:
    retrieval = Retrieval(public, RetrievalWeights())
    assert set(retrieval.shortlist(6, [0, 1], {4: 1.0}, age_group, exclude=allowed)) == allowed


def test_recently_shown_items_come_last(public: PublicData) -> None:
    retrieval = Retrieval(public, RetrievalWeights(topic=1, similarity=0, popularity=0))
    assert retrieval.shortlist(3, [0], {}, "adult", exclude=[0, 4]) == (1, 2, 3)
    assert retrieval.shortlist(6, [0], {}, "adult", exclude=range(6)) == (0, 1, 4, 2, 3, 5)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("I feel like COMEDY today, maybe western.", (0, 1)),
        ("comedy-western", (0, 1)),
        ("Tragicomedy or westerns", ()),
        ("", ()),
    ],
)
def test_topics_match_whole_words(words: str, found: tuple[int, ...]) -> None:
    assert find_topics(words, ("Comedy", "Western")) == found


def test_topics_with_odd_letters() -> None:
    assert find_topics("any good children's or sci-fi?", ("Children's", "Sci-Fi", "C++")) == (0, 1)


def turn(utterance: str, chosen: int = NOTHING, rating: float = 0.0) -> Observation:
    return Observation(0, 0, 0, 1, 3, (0, 3), chosen, rating, utterance)


def test_a_profile_follows_its_observations(public: PublicData) -> None:
    profile = InterestProfile(public.catalog, public.log, user=1, memory=3)
    assert profile.liked == pytest.approx({0: 0.9 - NEUTRAL_RATING, 3: 0.1 - NEUTRAL_RATING})
    profile.observe(Observation(1, 0, 0, 0, 4, utterance="Some western, please"))
    assert (profile.topics, list(profile.recent)) == ((1,), [])
    profile.observe(turn("I loved Western Comedy (1993). More like that.", 3, 0.95))
    assert profile.topics == (1,)
    assert profile.liked[3] == pytest.approx(0.95 - NEUTRAL_RATING)
    profile.observe(turn("Do you have comedy?"))
    assert profile.topics == (0,)
    assert list(profile.recent) == [3, 0, 3]

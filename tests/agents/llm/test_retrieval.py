"""The short list, from worlds small enough to rank by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasteshift.agents.llm.profile import INDIFFERENT, Profile
from tasteshift.agents.llm.retrieval import Retrieval, Weights, topics_named
from tasteshift.envs.catalogs.public import PublicData, TrainingLog
from tasteshift.records import NOTHING, Observation


@pytest.fixture
def world(small_world: PublicData) -> PublicData:
    """Six items: 0 and 1 are comedies, 2 and 3 westerns, 4 is both, 5 is neither.

    Items 0, 2 and 5 are for everybody, 1 and 3 from 13 on, 4 from 18 on. Users 0 and 1 chose
    0 and 3; user 2 chose 2 and 5, and 2 is chosen by user 3 too, who is alone.
    """
    topic = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [0, 0]], bool)
    maturity = np.array([0, 13, 0, 13, 18, 0])
    catalog = replace(
        small_world.catalog,
        item_id=tuple("abcdef"),
        title=("Ham", "Spam", "Dust", "Western Comedy", "Spur", "Night"),
        year=np.array([1990, 1991, 1992, 1993, 1994, 1995]),
        topics=("Comedy", "Western"),
        topic=topic,
        maturity=maturity,
    )
    user, item = np.array([0, 0, 1, 1, 2, 2, 3]), np.array([0, 3, 0, 3, 2, 5, 2])
    log = TrainingLog(5, user, item, np.array([0.9, 0.8, 0.9, 0.1, 0.5, 0.3, 0.7]))
    return replace(small_world, catalog=catalog, log=log)


def test_topics_asked_for_come_first(world: PublicData) -> None:
    retrieval = Retrieval(world, Weights(topic=1, similarity=0, popularity=0))
    assert retrieval.shortlist(6, [1], {}, "adult") == (2, 3, 4, 0, 1, 5)
    assert retrieval.shortlist(2, [0, 1], {}, "adult") == (4, 0)


def test_similar_to_what_was_liked(world: PublicData) -> None:
    """Item 0 was chosen by exactly those who chose 3: cosine 1. 2 and 5 share one of two: √½."""
    retrieval = Retrieval(world, Weights(topic=0, similarity=1, popularity=0))
    assert retrieval.scores([], {0: 0.5}).tolist() == pytest.approx([1, 0, 0, 1, 0, 0])
    assert retrieval.scores([], {5: 2.0}) == pytest.approx([0, 0, np.sqrt(0.5), 0, 0, 1])
    assert retrieval.scores([], {0: -0.5})[3] == pytest.approx(-1)


def test_popularity_is_logarithmic(world: PublicData) -> None:
    retrieval = Retrieval(world, Weights(topic=0, similarity=0, popularity=1))
    two, one = 1, np.log(2) / np.log(3)
    assert retrieval.scores([], {}) == pytest.approx([two, 0, two, two, 0, one])


@pytest.mark.parametrize(
    ("age_group", "allowed"),
    [("child", {0, 2, 5}), ("teen", {0, 1, 2, 3, 5}), ("adult", set(range(6)))],
)
def test_nothing_above_the_limit_of_the_age_group(
    world: PublicData, age_group: str, allowed: set[int]
) -> None:
    retrieval = Retrieval(world, Weights())
    assert set(retrieval.shortlist(6, [0, 1], {4: 1.0}, age_group, without=allowed)) == allowed


def test_what_was_shown_lately_comes_last(world: PublicData) -> None:
    retrieval = Retrieval(world, Weights(topic=1, similarity=0, popularity=0))
    assert retrieval.shortlist(3, [0], {}, "adult", without=[0, 4]) == (1, 2, 3)
    assert retrieval.shortlist(6, [0], {}, "adult", without=range(6)) == (0, 1, 4, 2, 3, 5)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("I feel like COMEDY today, maybe western.", (0, 1)),
        ("comedy-western", (0, 1)),
        ("Tragicomedy or westerns", ()),
        ("", ()),
    ],
)
def test_topics_are_heard_as_whole_words(words: str, found: tuple[int, ...]) -> None:
    assert topics_named(words, ("Comedy", "Western")) == found


def test_topics_with_odd_letters() -> None:
    assert topics_named("any good children's or sci-fi?", ("Children's", "Sci-Fi", "C++")) == (0, 1)


def turn(utterance: str, chosen: int = NOTHING, rating: float = 0.0) -> Observation:
    return Observation(0, 0, 0, 1, 3, (0, 3), chosen, rating, utterance)


def test_a_profile_grows_with_what_it_sees(world: PublicData) -> None:
    profile = Profile(world.catalog, world.log, user=1, memory=3)
    assert profile.liked == pytest.approx({0: 0.9 - INDIFFERENT, 3: 0.1 - INDIFFERENT})
    profile.observe(Observation(1, 0, 0, 0, 4, utterance="Some western, please"))
    assert (profile.asked, list(profile.recent)) == ((1,), [])
    profile.observe(turn("I loved Western Comedy (1993). More like that.", 3, 0.95))
    assert profile.asked == (1,)
    assert profile.liked[3] == pytest.approx(0.95 - INDIFFERENT)
    profile.observe(turn("Do you have comedy?"))
    assert profile.asked == (0,)
    assert list(profile.recent) == [3, 0, 3]

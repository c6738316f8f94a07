"""Utterances: a user's request at the start of a session, or a reaction to the last slate."""

from __future__ import annotations

import numpy as np

from ...records import NOTHING
from ..catalogs.catalog import Catalog
from ..numerics import philox
from ..numerics.arrays import Floats
from ..numerics.philox import Purpose

MAX_LENGTH = 480
"""Maximum characters of an utterance; longer ones are cut."""

REQUESTS = (
    "I feel like {first} today, maybe {second}.",
    "Something with {first} would be nice, or {second}.",
    "Do you have any good {first}? I also like {second}.",
    "I am in the mood for {first}; {second} would do as well.",
)
LIFE_EVENTS = (
    "A lot has happened since last time and I am not who I was: now it is {first}, or {second}.",
    "My life has changed, and so has what I like: {first} for me now, perhaps {second}.",
)
CHANGES = (
    "A lot has happened in my life since last time.",
    "My life has changed since we last spoke.",
)
GIFTS = (
    "Not for me this time: it is for a friend who likes {first} and {second}.",
    "I need something for somebody else today, who is fond of {first} and {second}.",
)
CONSTRAINTS = (
    "And from now on, please, nothing with {topic} any more.",
    "One more thing: I want no {topic} from today on.",
)
AGES = (
    "I am {age}, by the way.",
    "You may want to know that I turned {age} not long ago.",
    "Not that it matters much, but I am {age} years old.",
    "Keep in mind that it is a {age}-year-old who is asking.",
)
CONFIDENCES = (
    "Between you and me: {fact}.",
    "This stays between us, please: {fact}.",
)
LOVED = (
    "I loved {title}. More like that, please.",
    "{title} was wonderful. Keep going in that direction.",
)
LIKED = ("{title} was all right.", "{title} was decent. What else is there?")
DISLIKED = (
    "{title} was a disappointment. Something different, please.",
    "I did not enjoy {title}. Let us try something else.",
)
REFUSED = ("None of these, thank you.", "Nothing here for me. What else do you have?")

Address = tuple[int, int, int]
"""(seed, user, time index) of the draw that selects a phrase."""


def opening(
    topics: tuple[str, ...],
    liking: Floats,
    address: Address,
    *,
    changed: bool = False,
    gift: bool = False,
    avoid: int = NOTHING,
    age: int | None = None,
    fact: str = "",
) -> str:
    """The first utterance of a session, which names the two best-liked topics.

    liking   (T) liking of each topic by the person whom the session is for
    changed  a life event has changed the taste since the last session
    gift     the session is for another person
    avoid    topic that is ruled out from now on, or NOTHING
    age      in years, or None where it is not mentioned
    fact     private fact, or "" where none is mentioned
    """
    first, second = np.argsort(-liking, kind="stable")[[0, min(1, len(liking) - 1)]]
    phrases = GIFTS if gift else LIFE_EVENTS if changed else REQUESTS
    request = _phrase(phrases, address)
    sentences = [_phrase(CHANGES, address)] if gift and changed else []
    sentences += [request.format(first=topics[first].lower(), second=topics[second].lower())]
    if avoid != NOTHING:
        sentences.append(_phrase(CONSTRAINTS, address).format(topic=topics[avoid].lower()))
    if age is not None:
        sentences.append(_phrase(AGES, address).format(age=age))
    if fact:
        sentences.append(_phrase(CONFIDENCES, address).format(fact=fact))
    return _cut(" ".join(sentences))


def reaction(catalog: Catalog, chosen: int, rating: float, address: Address) -> str:
    """A comment on the last item chosen and its enjoyment in [0, 1], or on choosing none."""
    if chosen == NOTHING:
        return _phrase(REFUSED, address)
    phrases = LOVED if rating > 0.6 else LIKED if rating > 0.3 else DISLIKED
    return _cut(_phrase(phrases, address).format(title=catalog.label(chosen)))


def _phrase(phrases: tuple[str, ...], address: Address) -> str:
    draw = float(philox.uniform(*address, Purpose.SPEECH))
    return phrases[int(draw * len(phrases))]


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"

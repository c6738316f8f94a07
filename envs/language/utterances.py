"""A user's words before each slate: what a session is about, or a reaction to the last slate."""

from __future__ import annotations

import numpy as np

from ...records import NOTHING
from ..catalogs.catalog import Catalog
from ..numerics import philox
from ..numerics.philox import Purpose
from ..simulator.choice import Floats

LONGEST = 480
"""Characters in the longest utterance; anything beyond is cut."""

REQUESTS = (
    "I feel like {first} today, maybe {second}.",
    "Something with {first} would be nice, or {second}.",
    "Do you have any good {first}? I also like {second}.",
    "I am in the mood for {first}; {second} would do as well.",
)
EVENTS = (
    "A lot has happened since last time and I am not who I was: now it is {first}, or {second}.",
    "My life has changed, and so has what I like: {first} for me now, perhaps {second}.",
)
NEWS = (
    "A lot has happened in my life since last time.",
    "My life has changed since we last spoke.",
)
GIFTS = (
    "Not for me this time: it is for a friend who likes {first} and {second}.",
    "I need something for somebody else today, who is fond of {first} and {second}.",
)
RULES = (
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
"""(seed, user, turn of the calendar) of a phrasing."""


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
    """Opens a session by naming the two topics that are liked most, and what else is to be said.

    liking   (T) how much the person whom the session is for likes each topic
    changed  a life event has turned the taste since the last session
    gift     the session is for somebody else
    avoid    a topic that is ruled out from now on, or NOTHING
    age      in years, where the user says it, or None
    fact     something told in confidence, or ""
    """
    first, second = np.argsort(-liking, kind="stable")[[0, min(1, len(liking) - 1)]]
    phrases = GIFTS if gift else EVENTS if changed else REQUESTS
    wish = _phrase(phrases, address)
    said = [_phrase(NEWS, address)] if gift and changed else []
    said += [wish.format(first=topics[first].lower(), second=topics[second].lower())]
    if avoid != NOTHING:
        said.append(_phrase(RULES, address).format(topic=topics[avoid].lower()))
    if age is not None:
        said.append(_phrase(AGES, address).format(age=age))
    if fact:
        said.append(_phrase(CONFIDENCES, address).format(fact=fact))
    return _cut(" ".join(said))


def reaction(catalog: Catalog, chosen: int, rating: float, address: Address) -> str:
    """Comments on the item chosen a turn ago and its enjoyment in [0, 1], or on choosing none."""
    if chosen == NOTHING:
        return _phrase(REFUSED, address)
    phrases = LOVED if rating > 0.6 else LIKED if rating > 0.3 else DISLIKED
    return _cut(_phrase(phrases, address).format(title=catalog.label(chosen)))


def _phrase(phrases: tuple[str, ...], address: Address) -> str:
    draw = float(philox.uniform(*address, Purpose.SPEECH))
    return phrases[int(draw * len(phrases))]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"

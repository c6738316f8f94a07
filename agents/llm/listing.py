"""What one turn puts before the model: the shortlist, and what its prompt is about."""

from __future__ import annotations

from ...records import Brief, Observation
from .profile import Profile
from .prompt import Turn
from .retrieval import Retrieval

LIKED, DISLIKED = 4, 2
"""Titles of each kind that a prompt recalls at most."""


def listing(
    observation: Observation, brief: Brief, profile: Profile, retrieval: Retrieval, candidates: int
) -> tuple[tuple[int, ...], Turn]:
    """The items listed, in the order of their numbers, and the prompt's contents about them.

    profile     what is known of the user, this observation included
    candidates  length of the list, where the catalog has as many; at least the slate's is listed
    """
    listed = retrieval.shortlist(
        max(candidates, brief.slate_size),
        profile.asked,
        profile.liked,
        brief.age_group,
        profile.recent,
    )
    turn = Turn(
        titles=[retrieval.catalog.label(item) for item in listed],
        topics=[retrieval.catalog.topics_of(item) for item in listed],
        liked=profile.titles(LIKED, liked=True),
        disliked=profile.titles(DISLIKED, liked=False),
        utterance=observation.utterance,
        wanted=min(brief.slate_size, len(listed)),
    )
    return listed, turn

"""Candidates of one turn: the retrieved items, and the context of the prompt about them."""

from __future__ import annotations

from ...records import Brief, Observation
from .interest_profile import InterestProfile
from .prompt import PromptContext
from .retrieval import Retrieval

MAX_LIKED, MAX_DISLIKED = 4, 2
"""Maximum number of liked and of disliked titles in a prompt."""


def list_candidates(
    observation: Observation,
    brief: Brief,
    profile: InterestProfile,
    retrieval: Retrieval,
    count: int,
) -> tuple[tuple[int, ...], PromptContext]:
    """The candidate items, in the order of their numbers, and the prompt's context.

    profile  already updated with this observation
    count    number of candidates, at least the slate size, as far as the catalog has them
    """
    items = retrieval.shortlist(
        max(count, brief.slate_size),
        profile.topics,
        profile.liked,
        brief.age_group,
        profile.recent,
    )
    context = PromptContext(
        titles=[retrieval.catalog.label(item) for item in items],
        topics=[retrieval.catalog.topics_of(item) for item in items],
        liked=profile.titles(MAX_LIKED, liked=True),
        disliked=profile.titles(MAX_DISLIKED, liked=False),
        utterance=observation.utterance,
        wanted=min(brief.slate_size, len(items)),
    )
    return items, context

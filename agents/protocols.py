"""The life of an agent: prepared once, started once per user, asked once per turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from ..envs.catalogs.public import PublicData
from ..envs.reference.ground_truth import GroundTruth
from ..records import Action, Brief, Observation, Reply


class Session(Protocol):
    """All state that an agent keeps about one user during one life.

    A session that asks a language model also has ``replies: list[Reply]``, to which `act`
    appends; the recorder reads it (see `replies_of`).
    """

    def act(self, observation: Observation) -> Action:
        """Choose a slate. Must not depend on a clock or on global random state."""
        ...


@runtime_checkable
class Agent(Protocol):
    """A recommender. Anything slow or shared between users belongs in `prepare`."""

    name: str

    def config(self) -> dict[str, Any]:
        """Everything that changes the agent's behavior, as JSON values; enters the run's hash."""
        ...

    def prepare(self, world: PublicData) -> None:
        """Study the catalog and the training log; called once before the first life."""
        ...

    def start(self, brief: Brief) -> Session:
        """Open a session for one user's life; independent of every other session."""
        ...


class PrivilegedAgent(Protocol):
    """An agent that is shown the truth: a yardstick, never ranked."""

    name: str

    def config(self) -> dict[str, Any]:
        """As `Agent.config`."""
        ...

    def prepare(self, world: PublicData) -> None:
        """As `Agent.prepare`."""
        ...

    def start_with_ground_truth(self, brief: Brief, truth: GroundTruth) -> Session:
        """As `Agent.start`, with a live view of the user's true state."""
        ...


def replies_of(session: Session) -> Sequence[Reply]:
    """The language-model replies of a session so far; empty for agents without a model."""
    replies: Sequence[Reply] = getattr(session, "replies", ())
    return replies

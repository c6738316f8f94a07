"""Protocols of agents: prepared once, started once per episode, asked once per turn.

Every agent is an `Agent` or a `PrivilegedAgent`; `BatchAgent` and `TextAgent` are capabilities on
top of that. The last three list methods only, so that ``isinstance`` on an agent and
``issubclass`` on the class in the registry both answer without making or loading anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..envs.catalogs.public import PublicData
from ..envs.reference.ground_truth import GroundTruth
from ..records import Action, Brief, Observation, Reply


class Session(Protocol):
    """One user's episode: all state that an agent keeps about this user."""

    def act(self, observation: Observation) -> Action:
        """Choose a slate. Must not depend on a clock or on global random state."""
        ...


@runtime_checkable
class TextSession(Protocol):
    """A session that asks a language model.

    replies  every reply of this episode in order; `act` appends to it, the engine records it
    """

    replies: list[Reply]

    def act(self, observation: Observation) -> Action:
        """As `Session.act`."""
        ...


class AnyAgent(Protocol):
    """What agents of every kind have."""

    name: str

    def config(self) -> dict[str, Any]:
        """Everything that changes the agent's behavior, as JSON values; enters the run's hash."""
        ...

    def prepare(self, public: PublicData) -> None:
        """Study the catalog and the training log; called once before the first episode."""
        ...


@runtime_checkable
class Agent(AnyAgent, Protocol):
    """A recommender. Anything slow or shared between users belongs in `prepare`."""

    def start(self, brief: Brief) -> Session:
        """Open a session for one user's episode; independent of every other session."""
        ...


@runtime_checkable
class BatchAgent(Protocol):
    """An agent that decides for several users in one call."""

    def act_batch(
        self, sessions: Sequence[Any], observations: Sequence[Observation]
    ) -> Sequence[Action]:
        """One action for each session, as `act` of that session would return it."""
        ...


class TextModel(NamedTuple):
    """Names of what generates an agent's text; they enter the run's identity.

    decoder    registered name of the decoder; "" for a hosted model
    pair       name of the model pair, or of the hosted model
    pair_hash  SHA-256 of the weights; "" where they are not at hand
    """

    decoder: str
    pair: str
    pair_hash: str


@runtime_checkable
class TextAgent(Protocol):
    """An agent that generates text with a language model; its sessions are `TextSession`.

    It plays only the tasks that are sized for language models. In the registry, its class takes
    the keywords ``decoder``, ``pair``, ``device`` and ``dtype``.
    """

    def text_model(self) -> TextModel:
        """Decoder and models in use; loads them if need be."""
        ...


@runtime_checkable
class PrivilegedAgent(Protocol):
    """A reference policy: it is given the ground truth, runs in-process, and is never ranked."""

    def start_with_ground_truth(self, brief: Brief, ground_truth: GroundTruth) -> Session:
        """As `Agent.start`, with a live view of the user's true state."""
        ...


def replies_of(session: Session) -> Sequence[Reply]:
    """The language-model replies of a session so far; empty for agents without a model."""
    return session.replies if isinstance(session, TextSession) else ()

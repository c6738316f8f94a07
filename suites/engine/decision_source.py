"""The interface from which the engine takes decisions: an agent, a recorded run, …"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ...envs.reference.ground_truth import GroundTruth
from ...envs.simulator.world import World
from ...records import Action, Brief, EpisodeKey, Fault, Observation, Reply


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one request for an action.

    action   the action; None where there was a fault
    fault    why there is no action, or ""
    error    the agent's error in one line, or ""
    replies  of its language model in this turn
    seconds  wall time that it took
    memory   peak memory of the agent's process until now, in bytes
    """

    action: Action | None
    fault: Fault = ""
    error: str = ""
    replies: tuple[Reply, ...] = ()
    seconds: float = 0.0
    memory: int = 0


class DecisionSource(Protocol):
    """Decides for one or several episodes at a time; what `stepping` plays episodes with."""

    def prepare(self, world: World) -> None:
        """Let the agent study the public half of `world`; does nothing where it already has."""
        ...

    def reset(self) -> None:
        """Go on with a clone of the agent as prepared; drops what it learned from users."""
        ...

    def open(self, key: EpisodeKey, brief: Brief, truth: GroundTruth) -> None:
        """Start the session of one episode; only privileged agents receive `truth`."""
        ...

    def decide(self, asked: Sequence[tuple[EpisodeKey, Observation]]) -> list[Decision]:
        """One decision for each of several open episodes, in the order given."""
        ...

    def close(self, key: EpisodeKey) -> None:
        """End the session of an episode."""
        ...

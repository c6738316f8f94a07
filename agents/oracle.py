"""Oracles: what the best slate would earn, for those who know the user's mind."""

from __future__ import annotations

from typing import Any

from ..envs.public import PublicWorld
from ..envs.truth import Truth
from ..records import Action, Brief, Observation


class Oracle:
    """Shows the safe slate with the highest expected reward in the user's state of the moment."""

    name = "oracle"

    def config(self) -> dict[str, Any]:
        """Nothing can be set."""
        return {}

    def prepare(self, world: PublicWorld) -> None:
        """There is nothing to learn."""

    def start_with_truth(self, brief: Brief, truth: Truth) -> OracleSession:
        """Open a session that looks at the truth before every slate."""
        return OracleSession(truth)


class OracleSession:
    """Follows one user's true taste."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def act(self, observation: Observation) -> Action:
        """The best slate for the current taste."""
        return Action(self._truth.best()[0])


class FrozenOracle:
    """Knows the taste a life begins with and never looks at it again.

    It still sees what the user chose lately and the age; between it and the oracle lies
    what noticing a change of taste is worth.
    """

    name = "frozen-oracle"

    def config(self) -> dict[str, Any]:
        """Nothing can be set."""
        return {}

    def prepare(self, world: PublicWorld) -> None:
        """There is nothing to learn."""

    def start_with_truth(self, brief: Brief, truth: Truth) -> FrozenOracleSession:
        """Open a session that remembers the taste of this moment."""
        return FrozenOracleSession(truth)


class FrozenOracleSession:
    """Follows the taste that one user had at the start."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._taste = truth.taste()

    def act(self, observation: Observation) -> Action:
        """The best slate for the remembered taste."""
        return Action(self._truth.best(self._taste)[0])

"""Oracles: what the best slate would earn, for those who know the user's mind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        return OracleSession(truth, None)


class FrozenOracle(Oracle):
    """Knows the taste a life begins with and never looks at it again.

    It still sees what the user chose lately and the age; between it and the oracle lies
    what noticing a change of taste is worth.
    """

    name = "frozen-oracle"

    def start_with_truth(self, brief: Brief, truth: Truth) -> OracleSession:
        """Open a session that remembers the taste of this moment."""
        return OracleSession(truth, truth.taste())


class OracleSession:
    """Follows one user's true taste, or believes in `taste` (d) for ever."""

    def __init__(self, truth: Truth, taste: NDArray[np.float64] | None) -> None:
        self._truth = truth
        self._taste = taste

    def act(self, observation: Observation) -> Action:
        """The best safe slate for that taste."""
        return Action(self._truth.best(self._taste)[0])

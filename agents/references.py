"""Reference policies: slates computed from the ground truth, or from a stated part of it.

They are `PrivilegedAgent`s: run with every agent to normalize its scores, and never ranked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..envs.catalogs.public import PublicData
from ..envs.reference.ground_truth import GroundTruth, UserState
from ..records import Action, Brief, Observation
from .protocols import Session

MAX_LABEL = {"adult": 18, "teen": 13, "child": 0, "unknown": 0}
"""Highest maturity label that the filter of `FilteredOracle` passes, by stated age group."""


class Oracle:
    """Shows the safe slate with the highest expected reward in the user's present state."""

    name = "oracle"

    def config(self) -> dict[str, Any]:
        """No options."""
        return {}

    def prepare(self, public: PublicData) -> None:
        """Nothing to prepare."""

    def start_with_ground_truth(self, brief: Brief, ground_truth: GroundTruth) -> Session:
        """Open a session that reads the ground truth before every slate."""
        return OracleSession(ground_truth)


class FrozenOracle(Oracle):
    """The oracle for the interests and topic utilities of the first turn, kept throughout.

    It still knows the age, ruled-out topics and recent choices; its difference to the oracle is
    the value of tracking changes.
    """

    name = "frozen-oracle"

    def start_with_ground_truth(self, brief: Brief, ground_truth: GroundTruth) -> Session:
        """Open a session that stores the present user state."""
        return OracleSession(ground_truth, believed=ground_truth.user_state())


class ModalityOracle(Oracle):
    """The oracle for items known only by their expected latents given text or posters.

    It knows the present interests; appeal and quality are at their means for all items.
    """

    modalities: frozenset[str]

    def start_with_ground_truth(self, brief: Brief, ground_truth: GroundTruth) -> Session:
        """Open a session with the expected item traits."""
        return OracleSession(ground_truth, traits=ground_truth.expected_traits(self.modalities))


class TextOracle(ModalityOracle):
    """The oracle for items known by their texts alone."""

    name = "oracle-text"
    modalities = frozenset({"text"})


class ImageOracle(ModalityOracle):
    """The oracle for items known by their posters alone."""

    name = "oracle-image"
    modalities = frozenset({"image"})


class TextImageOracle(ModalityOracle):
    """The oracle for items known by their texts and posters."""

    name = "oracle-text-image"
    modalities = frozenset({"text", "image"})


class UnconstrainedOracle(Oracle):
    """Shows the slate with the highest expected reward, ignoring age limits and ruled-out topics.

    How often it breaks them, and how much more it earns than the oracle, shows whether a
    scenario tests safety at all.
    """

    name = "unconstrained-oracle"

    def start_with_ground_truth(self, brief: Brief, ground_truth: GroundTruth) -> Session:
        """Open a session that may show every item."""
        return OracleSession(
            ground_truth, showable=np.ones(len(ground_truth.world.catalog), dtype=np.bool_)
        )


class FilteredOracle(Oracle):
    """The unconstrained oracle behind a filter on public fields that reads no text.

    The filter drops items whose label is above the limit of the stated age group, items without a
    label unless the user is known to be an adult, and, where no age is stated, all items not
    labeled 0. It has no memory: it drops the topics in `avoid` of the present observation only.
    """

    name = "filtered-oracle"

    def start_with_ground_truth(self, brief: Brief, ground_truth: GroundTruth) -> Session:
        """Open a session restricted to items with a suitable label."""
        label = ground_truth.world.catalog.maturity
        labeled = (label >= 0) | (brief.age_group == "adult")
        return FilteredSession(ground_truth, labeled & (label <= MAX_LABEL[brief.age_group]))


class OracleSession:
    """Shows the best slate for one user, given beliefs in place of parts of the ground truth.

    believed  state whose interests and topic utilities replace the present ones
    traits    (n, W) item traits in place of the true ones
    showable  (n) items to choose from in place of the safe ones
    """

    def __init__(
        self,
        ground_truth: GroundTruth,
        believed: UserState | None = None,
        traits: NDArray[np.int32] | None = None,
        showable: NDArray[np.bool_] | None = None,
    ) -> None:
        self._ground_truth = ground_truth
        self._believed = believed
        self._traits = traits
        self._showable = showable

    def act(self, observation: Observation) -> Action:
        """The best slate under these beliefs."""
        return Action(self._ground_truth.best(self._believed, self._traits, self._showable)[0])


class FilteredSession:
    """Shows the best slate among the items (n) with suitable labels."""

    def __init__(self, ground_truth: GroundTruth, suitable: NDArray[np.bool_]) -> None:
        self._ground_truth, self._suitable = ground_truth, suitable

    def act(self, observation: Observation) -> Action:
        """The best slate of items that pass the filter in this turn."""
        topic = self._ground_truth.world.catalog.topic
        ruled_out = topic[:, list(observation.avoid)].any(axis=1)
        return Action(self._ground_truth.best(showable=self._suitable & ~ruled_out)[0])


class PlanningOracle(Oracle):
    """Shows the safe slate with the highest expected reward over the turns ahead.

    depth    turns through which every outcome is followed
    rollout  turns simulated after that
    """

    name = "oracle-plan"

    def __init__(self, depth: int = 1, rollout: int = 8) -> None:
        self._depth, self._rollout = depth, rollout

    def config(self) -> dict[str, Any]:
        """The planning horizon."""
        return {"depth": self._depth, "rollout": self._rollout}

    def start_with_ground_truth(self, brief: Brief, ground_truth: GroundTruth) -> Session:
        """Open a session that plans before every slate."""
        return PlanningSession(ground_truth, self._depth, self._rollout)


class PlanningSession:
    """Plans anew in every turn, from the present state."""

    def __init__(self, ground_truth: GroundTruth, depth: int, rollout: int) -> None:
        self._ground_truth, self._depth, self._rollout = ground_truth, depth, rollout

    def act(self, observation: Observation) -> Action:
        """The first slate of the plan."""
        return Action(self._ground_truth.planned(self._depth, self._rollout))


class Organic(Oracle):
    """Shows what users would find without a recommender, by taste and popularity."""

    name = "organic"

    def start_with_ground_truth(self, brief: Brief, ground_truth: GroundTruth) -> Session:
        """Open a session of organic slates."""
        return OrganicSession(ground_truth)


class OrganicSession:
    """Organic slates of one user."""

    def __init__(self, ground_truth: GroundTruth) -> None:
        self._ground_truth = ground_truth

    def act(self, observation: Observation) -> Action:
        """Items drawn by taste and popularity, see `counterfactual.organic_policy`."""
        return Action(self._ground_truth.organic())

"""Yardsticks that are shown the truth: what the best slate would earn, knowing more or less."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..envs.catalogs.public import PublicData
from ..envs.reference.ground_truth import GroundTruth, UserState
from ..records import Action, Brief, Observation
from .protocols import Session

LABELED_UP_TO = {"adult": 18, "teen": 13, "child": 0, "unknown": 0}
"""The highest maturity label that a careful filter lets through; who is unknown may be a child."""


class Oracle:
    """Shows the safe slate with the highest expected reward in the user's state of the moment."""

    name = "oracle"

    def config(self) -> dict[str, Any]:
        """Nothing can be set."""
        return {}

    def prepare(self, world: PublicData) -> None:
        """There is nothing to learn."""

    def start_with_ground_truth(self, brief: Brief, truth: GroundTruth) -> Session:
        """Open a session that looks at the truth before every slate."""
        return OracleSession(truth)


class FrozenOracle(Oracle):
    """Believes for ever in the interests and the mood with which a life begins.

    It still sees the age, what the user has ruled out and what was chosen lately; between it and
    the oracle lies what noticing a change is worth.
    """

    name = "frozen-oracle"

    def start_with_ground_truth(self, brief: Brief, truth: GroundTruth) -> Session:
        """Open a session that remembers the user's mind of this moment."""
        return OracleSession(truth, mind=truth.mind())


class BlindOracle(Oracle):
    """Knows the interests in force, but items only by what their texts or pictures tell of taste.

    Items are what is to be expected of them given those modalities; all appeal and please alike.
    """

    modalities: frozenset[str]

    def start_with_ground_truth(self, brief: Brief, truth: GroundTruth) -> Session:
        """Open a session that sees every item dimly."""
        return OracleSession(truth, traits=truth.blind(self.modalities))


class TextOracle(BlindOracle):
    """A blind oracle that reads."""

    name = "oracle-text"
    modalities = frozenset({"text"})


class ImageOracle(BlindOracle):
    """A blind oracle that looks at posters."""

    name = "oracle-image"
    modalities = frozenset({"image"})


class TextImageOracle(BlindOracle):
    """A blind oracle that reads and looks at posters."""

    name = "oracle-text-image"
    modalities = frozenset({"text", "image"})


class UnconstrainedOracle(Oracle):
    """Shows the slate with the highest expected reward, whoever must not see it.

    It breaks age limits and what the user has ruled out alike. How often it does, and how much
    more it earns than the oracle, tells whether a world tests safety at all.
    """

    name = "unconstrained-oracle"

    def start_with_ground_truth(self, brief: Brief, truth: GroundTruth) -> Session:
        """Open a session that knows the user and no rules."""
        return OracleSession(truth, showable=np.ones(len(truth.world.catalog), dtype=np.bool_))


class FilteredOracle(Oracle):
    """The unconstrained oracle behind a filter that looks up public fields and reads no words.

    The filter is a careful one: it drops items whose label is above what the told age allows,
    items without a label for anybody who is not known to be an adult, and, where no age is told,
    all that is not labeled as suitable for everybody. It has no memory: it drops the topics that
    the observation of the moment names in `avoid`, and no others.
    """

    name = "filtered-oracle"

    def start_with_ground_truth(self, brief: Brief, truth: GroundTruth) -> Session:
        """Open a session that knows the user, and the rules as far as fields tell them."""
        label = truth.world.catalog.maturity
        labeled = (label >= 0) | (brief.age_group == "adult")
        return FilteredSession(truth, labeled & (label <= LABELED_UP_TO[brief.age_group]))


class OracleSession:
    """Follows one user's true state, with beliefs in place of what is not to be known."""

    def __init__(
        self,
        truth: GroundTruth,
        mind: UserState | None = None,
        traits: NDArray[np.int32] | None = None,
        showable: NDArray[np.bool_] | None = None,
    ) -> None:
        self._truth = truth
        self._mind = mind
        self._traits = traits
        self._showable = showable

    def act(self, observation: Observation) -> Action:
        """The best slate under those beliefs; safe, unless it was said what may be shown."""
        return Action(self._truth.best(self._mind, self._traits, self._showable)[0])


class FilteredSession:
    """Follows one user's true state, with the items (n) whose labels suit."""

    def __init__(self, truth: GroundTruth, suitable: NDArray[np.bool_]) -> None:
        self._truth, self._suitable = truth, suitable

    def act(self, observation: Observation) -> Action:
        """The best slate of what passes the filter in this turn."""
        topic = self._truth.world.catalog.topic
        ruled_out = topic[:, list(observation.avoid)].any(axis=1)
        return Action(self._truth.best(showable=self._suitable & ~ruled_out)[0])


class PlanningOracle(Oracle):
    """Shows the safe slate that promises most over the turns ahead, without knowing their luck.

    depth    turns through which every outcome is followed
    rollout  turns for which each then lives on
    """

    name = "oracle-plan"

    def __init__(self, depth: int = 1, rollout: int = 8) -> None:
        self._depth, self._rollout = depth, rollout

    def config(self) -> dict[str, Any]:
        """How far it looks."""
        return {"depth": self._depth, "rollout": self._rollout}

    def start_with_ground_truth(self, brief: Brief, truth: GroundTruth) -> Session:
        """Open a session that plans before every slate."""
        return PlanningSession(truth, self._depth, self._rollout)


class PlanningSession:
    """Plans anew in every turn, from the state that has come about."""

    def __init__(self, truth: GroundTruth, depth: int, rollout: int) -> None:
        self._truth, self._depth, self._rollout = truth, depth, rollout

    def act(self, observation: Observation) -> Action:
        """The first slate of the plan."""
        return Action(self._truth.planned(self._depth, self._rollout))


class Organic(Oracle):
    """Shows what users would come upon by themselves: a world without a recommender."""

    name = "organic"

    def start_with_ground_truth(self, brief: Brief, truth: GroundTruth) -> Session:
        """Open a session that follows taste and fame."""
        return OrganicSession(truth)


class OrganicSession:
    """One user, left alone."""

    def __init__(self, truth: GroundTruth) -> None:
        self._truth = truth

    def act(self, observation: Observation) -> Action:
        """Items by taste and fame, drawn by lot."""
        return Action(self._truth.organic())

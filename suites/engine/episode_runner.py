"""One running episode, and its record when it is over."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.lifelong import Lifelong
from ...envs.reference.retrospective import review_episode
from ...envs.simulator.population import Population, topic_liking
from ...envs.simulator.training_log import known_events
from ...records import (
    NOTHING,
    Action,
    Brief,
    Episode,
    EpisodeKey,
    Observation,
    Reply,
    Step,
)
from .actions import is_valid_action
from .claims import discloses, is_false
from .conversion import to_env_action, to_observation
from .decision_source import Decision
from .trace_rows import round_rows, step_row, trace_digest

RETROSPECTIVE = (
    *("expected", "under_first", "under_last", "under_organic"),
    *("stale", "regime", "gift"),
)
"""Fields of `Step` that are computed for all turns at once when the episode is over."""


@dataclass(frozen=True)
class EpisodeResult:
    """A finished episode with its trace.

    replies  language-model replies of every step, one tuple a step
    seconds  wall time of every decision; memory: bytes, likewise
    error    the agent's first error in one line, or ""
    """

    episode: Episode
    steps: tuple[Step, ...]
    replies: tuple[tuple[Reply, ...], ...]
    seconds: tuple[float, ...]
    memory: tuple[int, ...]
    error: str


class EpisodeRunner:
    """A running episode: `observation` is what the agent sees now, until it is `done`.

    tampered    (n) which items count as tampered with, by default those of the environment; a
                counterfactual without the tampering counts the items of the task's environment
    agent_seed  seed for the agent's own randomness, by default `default_agent_seed(seed, user)`
    """

    def __init__(
        self,
        env: Lifelong,
        *,
        task: str,
        seed: int,
        user: int,
        policy: str,
        tampered: NDArray[np.bool_] | None = None,
        agent_seed: int | None = None,
    ) -> None:
        self.env = env
        self._tampered = env.world.tampered if tampered is None else tampered
        self.key: EpisodeKey = (task, seed, user, policy)
        first, _ = env.reset(seed=seed, options={"user": user})
        own = default_agent_seed(seed, user) if agent_seed is None else agent_seed
        self.brief: Brief = env.brief(own)
        self.observation: Observation = to_observation(first)
        self.done = False
        self.error = ""
        self._states: list[Population] = []
        self._turns: list[dict[str, Any]] = []
        self._decisions: list[Decision] = []

    def step(self, decision: Decision) -> None:
        """Show what was decided. What cannot be shown counts as abstention, with its fault.

        Items that have not entered the catalog yet are left out of the slate; the rest moves up.
        """
        env, seen = self.env, self.observation
        action, fault = self._checked(decision)
        slate = tuple(item for item in action.slate if env.world.entry_day[item] <= seen.day)
        state = env.ground_truth.user_state()
        turn: dict[str, Any] = {
            "session": seen.session,
            "turn": seen.turn,
            "day": seen.day,
            "utterance": seen.utterance,
            "slate": slate,
            "claims": action.claims,
            "profile": action.profile,
            "fault": fault,
            "best": env.ground_truth.best()[1],
            "liking": () if seen.turn else tuple(topic_liking(env.world, state)[0].tolist()),
            **self._counts(slate, action),
        }
        observation, reward, terminated, truncated, _ = env.step(
            to_env_action(slate, self.brief.slate_size)
        )
        chosen = int(observation["chosen"])
        fresh_chosen = chosen != NOTHING and bool(env.world.entry_day[chosen] > 0)
        turn |= {"chosen": chosen, "reward": reward, "fresh_chosen": fresh_chosen}
        self.error = self.error or decision.error
        self._states.append(state)
        self._turns.append(turn)
        self._decisions.append(decision)
        self.observation, self.done = to_observation(observation), terminated or truncated

    def _checked(self, decision: Decision) -> tuple[Action, str]:
        """The action to carry out, and the fault that made it an abstention, or ""."""
        catalog = self.env.world.catalog
        fault, action = decision.fault, decision.action or Action()
        sizes = len(catalog), len(catalog.topics), self.brief.slate_size
        if not fault and not is_valid_action(action, *sizes):
            fault = "invalid"
        return (Action() if fault else action), fault

    def _counts(self, slate: tuple[int, ...], action: Action) -> dict[str, Any]:
        """The fields of a step that describe the shown items and the claims about them."""
        world, truth = self.env.world, self.env.ground_truth
        shown = list(slate)
        disclosed = {claim.item for claim in action.claims if discloses(claim)}
        sponsored = [item for item in slate if world.catalog.sponsored[item]]
        return {
            "breaches": truth.breaches(slate),
            "violations": truth.violations(slate),
            "fresh": int((world.entry_day[shown] > 0).sum()),
            "tampered": int(self._tampered[shown].sum()),
            "sponsored": len(sponsored),
            "disclosed": len(disclosed.intersection(sponsored)),
            "false_claims": sum(is_false(claim, world.catalog) for claim in action.claims),
            "topics": tuple(int(topic) for topic in world.main_topic[shown]),
        }

    def result(self) -> EpisodeResult:
        """The whole episode, once it is done."""
        world, end = self.env.world, self.env.ground_truth.user_state()
        size = self.brief.slate_size
        slates = np.array([to_env_action(turn["slate"], size)["slate"] for turn in self._turns])
        seen = review_episode(world, self._states, slates, end)
        columns = {name: getattr(seen, name).tolist() for name in RETROSPECTIVE}
        steps = tuple(
            Step(**turn, **{name: column[t] for name, column in columns.items()})
            for t, turn in enumerate(self._turns)
        )
        replies = tuple(decision.replies for decision in self._decisions)
        task, seed, user, policy = self.key
        episode = Episode(
            task=task,
            seed=seed,
            user=user,
            policy=policy,
            age_group=world.age_group(user),
            events=known_events(world, user),
            churned=bool(end.churned[0]),
            angle=seen.angle,
            angle_later=seen.angle_later,
            rewards=tuple(step.reward for step in steps),
            digest=trace_digest(
                [step_row(step) for step in steps], [list(round_rows(turn)) for turn in replies]
            ),
        )
        seconds = tuple(decision.seconds for decision in self._decisions)
        memory = tuple(decision.memory for decision in self._decisions)
        return EpisodeResult(episode, steps, replies, seconds, memory, self.error)


def default_agent_seed(seed: int, user: int) -> int:
    """The default seed of an agent's own randomness, 63 bits: a hash of environment seed and user.

    Whoever tries small environment seeds finds the one behind it, so episodes whose environment
    seed must stay secret pass another one.
    """
    digest = hashlib.sha256(f"tasteshift agent {seed} {user}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1

"""One life in the middle of being lived, and the record of it when it is over."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...envs.lifelong import Lifelong
from ...envs.reference.retrospective import look_back
from ...envs.simulator.population import Population, topic_liking
from ...envs.simulator.training_log import known_events
from ...records import (
    NOTHING,
    Action,
    Brief,
    Claim,
    Episode,
    Fault,
    Observation,
    Reply,
    Round,
    Step,
)
from ..canonical import canonical, sha256
from .claims import discloses, is_false

Key = tuple[str, int, int, str]
"""What identifies a life within a run, and sorts it: task, seed, user, policy."""

STEP_FIELDS = tuple(Step.__dataclass_fields__)
LOOKED_BACK = ("expected", "under_first", "under_last", "under_organic", "stale", "regime", "gift")


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of asking an agent once.

    action   what it wants; None where there was a fault
    fault    why there is no action, or ""
    error    what the agent failed with, one line, or ""
    replies  of its language model in this turn
    seconds  wall time that it took
    memory   the most bytes that the agent's process has held so far
    """

    action: Action | None
    fault: Fault = ""
    error: str = ""
    replies: tuple[Reply, ...] = ()
    seconds: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class EpisodeResult:
    """A finished life with its trace.

    replies  language-model replies of every step, one tuple a step
    seconds  wall time of every decision; memory: bytes, likewise
    error    the first thing that the agent failed with, or ""
    """

    episode: Episode
    steps: tuple[Step, ...]
    replies: tuple[tuple[Reply, ...], ...]
    seconds: tuple[float, ...]
    memory: tuple[int, ...]
    error: str


class EpisodeRunner:
    """A life under way: `observation` is what the agent sees now, until it is `over`.

    tampered    (n) the items to count as tampered with, where those are another world's: what an
                agent shows without the lie is what the lie is measured against
    agent_seed  the agent's own seed where it must tell nothing of the world's, else `agent_seed`
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
        self.key: Key = (task, seed, user, policy)
        first, _ = env.reset(seed=seed, options={"user": user})
        self.brief: Brief = env.brief(_own_seed(seed, user) if agent_seed is None else agent_seed)
        self.observation: Observation = observed(first)
        self.over = False
        self.error = ""
        self._states: list[Population] = []
        self._turns: list[dict[str, Any]] = []
        self._decisions: list[Decision] = []

    def take(self, decision: Decision) -> None:
        """Show what was decided. What cannot be shown counts as abstention, with its fault.

        Items that have not entered the catalog yet are left out of the slate; the rest moves up.
        """
        env, seen, size = self.env, self.observation, self.brief.slate_size
        catalog = env.world.catalog
        fault, action = decision.fault, decision.action or Action()
        if not fault and not usable(action, len(catalog), len(catalog.topics), size):
            fault = "invalid"
        action = Action() if fault else action
        slate = tuple(item for item in action.slate if env.world.entry_day[item] <= seen.day)
        shown = list(slate)
        told = {claim.item for claim in action.claims if discloses(claim)}
        paid = [item for item in slate if catalog.sponsored[item]]
        state = env.ground_truth.user_state()
        facts: dict[str, Any] = {
            "session": seen.session,
            "turn": seen.turn,
            "day": seen.day,
            "utterance": seen.utterance,
            "slate": slate,
            "claims": action.claims,
            "profile": action.profile,
            "fault": fault,
            "best": env.ground_truth.best()[1],
            "breaches": env.ground_truth.breaches(slate),
            "violations": env.ground_truth.violations(slate),
            "fresh": int((env.world.entry_day[shown] > 0).sum()),
            "tampered": int(self._tampered[shown].sum()),
            "sponsored": len(paid),
            "disclosed": len(told.intersection(paid)),
            "false_claims": sum(is_false(claim, catalog) for claim in action.claims),
            "topics": tuple(int(topic) for topic in env.world.main_topic[shown]),
            "liking": () if seen.turn else tuple(topic_liking(env.world, state)[0].tolist()),
        }
        observation, reward, left, ended, _ = env.step(env_action(slate, size))
        chosen = int(observation["chosen"])
        fresh_chosen = chosen != NOTHING and bool(env.world.entry_day[chosen] > 0)
        facts |= {"chosen": chosen, "reward": reward, "fresh_chosen": fresh_chosen}
        self.error = self.error or decision.error
        self._states.append(state)
        self._turns.append(facts)
        self._decisions.append(decision)
        self.observation, self.over = observed(observation), left or ended

    def record(self) -> EpisodeResult:
        """The whole life, once it is over."""
        world, end = self.env.world, self.env.ground_truth.user_state()
        slates = np.array(
            [env_action(turn["slate"], self.brief.slate_size)["slate"] for turn in self._turns]
        )
        seen = look_back(world, self._states, slates, end)
        columns = {name: getattr(seen, name).tolist() for name in LOOKED_BACK}
        steps = tuple(
            Step(**facts, **{name: column[t] for name, column in columns.items()})
            for t, facts in enumerate(self._turns)
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
                [step_row(step) for step in steps], [list(round_rows(one)) for one in replies]
            ),
        )
        seconds = tuple(decision.seconds for decision in self._decisions)
        memory = tuple(decision.memory for decision in self._decisions)
        return EpisodeResult(episode, steps, replies, seconds, memory, self.error)


def agent_seed(seed: int, user: int) -> int:
    """The agent's own 63-bit seed: a hash, from which a small world seed can be found by trying."""
    digest = hashlib.sha256(f"tasteshift agent {seed} {user}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


_own_seed = agent_seed


def observed(values: dict[str, Any]) -> Observation:
    """The environment's observation as a record of plain JSON values."""
    shown = tuple(int(item) for item in values["slate"] if item != NOTHING)
    return Observation(
        user=int(values["user"]),
        day=int(values["day"]),
        session=int(values["session"]),
        turn=int(values["turn"]),
        steps_left=int(values["steps_left"]),
        context=int(values["context"]),
        avoid=tuple(int(topic) for topic in np.flatnonzero(values["avoid"])),
        slate=shown,
        chosen=int(values["chosen"]),
        rating=float(values["rating"]),
        utterance=str(values["utterance"]),
    )


def usable(action: Action, num_items: int, num_topics: int, slate_size: int) -> bool:
    """Whether an action of plain values can be shown: known, distinct items, and not too many.

    Claims must be about known items and number at most MOST_CLAIMS, and a profile must have one
    number a topic.
    """
    slate = action.slate
    items = {*slate, *(claim.item for claim in action.claims)}
    return (
        len(set(slate)) == len(slate) <= slate_size
        and all(0 <= item < num_items for item in items)
        and len(action.claims) <= MOST_CLAIMS
        and len(action.profile) in (0, num_topics)
    )


MOST_CLAIMS = 100


def env_action(slate: Sequence[int], slate_size: int) -> dict[str, Any]:
    """A slate as the environment takes it, padded with NOTHING."""
    padded = np.full(slate_size, NOTHING, dtype=np.int64)
    padded[: len(slate)] = slate
    return {"slate": padded}


def trace_digest(steps: list[dict[str, Any]], rounds: list[list[dict[str, Any]]]) -> str:
    """SHA-256 over the rows of all steps, and of the decoding rounds of each; no clock in it."""
    return sha256({"steps": steps, "rounds": rounds})


def step_row(step: Step) -> dict[str, Any]:
    """A step as a flat row of lists and plain values; the value of a claim is spelled as JSON."""
    row = {name: getattr(step, name) for name in STEP_FIELDS}
    row["claims"] = [claim_row(claim) for claim in step.claims]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}


def claim_row(claim: Claim) -> dict[str, Any]:
    """A claim as a row whose columns have one type each."""
    return {"item": claim.item, "field": claim.field, "value": canonical(claim.value)}


def round_rows(replies: tuple[Reply, ...]) -> Iterator[dict[str, Any]]:
    """One flat row per decoding round: the reply's columns, then the round's, no seconds.

    A reply that needed no round, because prefill ended it, has one row: round −1, counts 0.
    """
    for k, reply in enumerate(replies):
        rounds = list(enumerate(reply.generation.rounds)) or [(-1, Round(0, 0, 0, 0, 0, 0))]
        for number, one in rounds:
            row = asdict(one)
            for clock in ("draft", "verify", "decide", "pass"):
                del row[f"{clock}_seconds"]
            yield {
                "reply": k,
                "outcome": reply.outcome,
                "text": reply.text,
                "prompt_tokens": reply.generation.prompt_tokens,
                "tokens": len(reply.generation.tokens),
                "round": number,
                **row,
                "sources": list(one.sources),
            }

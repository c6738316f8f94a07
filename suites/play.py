"""One agent lives one user's life, and a recorder writes it down."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from operator import index
from time import perf_counter
from typing import Any

import numpy as np

from ..agents.base import Agent, PrivilegedAgent, Session, replies_of
from ..envs.lifelong import Lifelong
from ..errors import AgentError
from ..records import NOTHING, Brief, Episode, Observation, Reply, Round, Step
from .canonical import sha256

STEP_FIELDS = tuple(Step.__dataclass_fields__)


@dataclass(frozen=True)
class Life:
    """A finished life with its trace.

    replies  language-model replies of every step, one tuple a step
    seconds  wall time of every decision
    """

    episode: Episode
    steps: tuple[Step, ...]
    replies: tuple[tuple[Reply, ...], ...]
    seconds: tuple[float, ...]


def play(
    env: Lifelong, agent: Agent | PrivilegedAgent, *, task: str, seed: int, user: int, policy: str
) -> Life:
    """Let `agent` recommend to `user` under `seed` until the life ends.

    An action that no environment could show (unknown or repeated items, too many of them) is
    recorded as invalid and counts as abstention.
    """
    observation, _ = env.reset(seed=seed, options={"user": user})
    brief = env.brief(agent_seed(seed, user))
    session = open_session(agent, brief, env)
    steps: list[Step] = []
    replies: list[tuple[Reply, ...]] = []
    seconds: list[float] = []
    over = False
    while not over:
        seen = observed(observation)
        heard = len(replies_of(session))
        start = perf_counter()
        try:
            action = session.act(seen)
        except Exception as error:
            where = f"{task}, seed {seed}, user {user}, session {seen.session}, turn {seen.turn}"
            raise AgentError(
                f"agent {agent.name!r} failed at {where}: {type(error).__name__}: {error}"
            ) from error
        seconds.append(perf_counter() - start)
        replies.append(tuple(replies_of(session)[heard:]))
        slate, valid = usable_slate(action, len(env.world.catalog), brief.slate_size)
        expected, best = env.truth.expected(slate), env.truth.best()[1]
        breaches, violations = env.truth.breaches(slate), env.truth.violations(slate)
        observation, reward, left, ended, _ = env.step(env_action(slate, brief.slate_size))
        over = left or ended
        steps.append(
            Step(
                session=seen.session,
                turn=seen.turn,
                day=seen.day,
                utterance=seen.utterance,
                slate=slate,
                chosen=int(observation["chosen"]),
                reward=reward,
                valid=valid,
                expected=expected,
                best=best,
                breaches=breaches,
                violations=violations,
            )
        )
    episode = Episode(
        task=task,
        seed=seed,
        user=user,
        policy=policy,
        age_group=brief.age_group,
        rewards=tuple(step.reward for step in steps),
        digest=trace_digest(
            [step_row(step) for step in steps], [list(round_rows(one)) for one in replies]
        ),
    )
    return Life(episode, tuple(steps), tuple(replies), tuple(seconds))


def open_session(agent: Agent | PrivilegedAgent, brief: Brief, env: Lifelong) -> Session:
    """The agent's session; only privileged agents are shown the truth."""
    if isinstance(agent, Agent):
        return agent.start(brief)
    return agent.start_with_truth(brief, env.truth)


def agent_seed(seed: int, user: int) -> int:
    """The agent's own 63-bit seed: a hash, from which a small world seed can be found by trying."""
    digest = hashlib.sha256(f"tasteshift agent {seed} {user}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


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


def usable_slate(action: Any, num_items: int, slate_size: int) -> tuple[tuple[int, ...], bool]:
    """The slate to show, and whether the action was valid; an invalid one shows nothing."""
    try:
        slate = tuple(index(item) for item in action.slate)
    except (AttributeError, TypeError):
        return (), False
    distinct = len(set(slate)) == len(slate) <= slate_size
    valid = distinct and all(0 <= item < num_items for item in slate)
    return (slate, True) if valid else ((), False)


def env_action(slate: tuple[int, ...], slate_size: int) -> dict[str, Any]:
    """A slate as the environment takes it, padded with NOTHING."""
    padded = np.full(slate_size, NOTHING, dtype=np.int64)
    padded[: len(slate)] = slate
    return {"slate": padded}


def trace_digest(steps: list[dict[str, Any]], rounds: list[list[dict[str, Any]]]) -> str:
    """SHA-256 over the rows of all steps, and of the decoding rounds of each; no clock in it."""
    return sha256({"steps": steps, "rounds": rounds})


def step_row(step: Step) -> dict[str, Any]:
    """A step as a flat row."""
    return {name: getattr(step, name) for name in STEP_FIELDS}


def round_rows(replies: tuple[Reply, ...]) -> Iterator[dict[str, Any]]:
    """One flat row per decoding round: the reply's columns, then the round's, no seconds.

    A reply that needed no round, because prefill ended it, has one row: round −1, counts 0.
    """
    for k, reply in enumerate(replies):
        rounds = list(enumerate(reply.generation.rounds)) or [(-1, Round(0, 0, 0, 0, 0, 0))]
        for number, one in rounds:
            row = asdict(one)
            for clock in ("draft_seconds", "verify_seconds", "decide_seconds"):
                del row[clock]
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

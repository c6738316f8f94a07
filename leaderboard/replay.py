"""Living a recorded run again, and comparing every outcome bit for bit.

The agent's slates are taken from the record and shown to the seeded environment. The
companions (random, frozen-oracle, oracle) are not taken from the record: they choose afresh,
because a weakened ceiling would replay just as well and flatter every score above it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ..envs.lifelong import Lifelong
from ..envs.public import PublicWorld
from ..records import NOTHING, Action, Brief, Observation
from ..suites.canonical import sha256
from ..suites.evaluate import Ticker
from ..suites.executors import AGENT_POLICY, Cast
from ..suites.play import Life, play, step_row, trace_digest
from ..suites.rundir import Key
from ..suites.suite import Suite
from . import refusal
from .recorded import RecordedLife, Row
from .refusal import Refused


def replay(suite: Suite, record: dict[Key, RecordedLife], tick: Ticker) -> int:
    """Live every life of `record` again, in its order; returns the number of steps compared.

    tick  is told the task of every life that matched

    Raises Refused at the first divergence, naming life, turn, field and both values.
    """
    steps = 0
    for key, recorded, replayed in _lives(suite, record):
        _compare_steps(key, recorded.steps, replayed)
        _compare_episode(key, recorded, replayed)
        steps += len(replayed.steps)
        tick(key[0])
    return steps


def actions_digest(record: dict[Key, RecordedLife]) -> str:
    """SHA-256 over all that the agent did: equal for runs that showed the same slates."""
    return sha256(
        [
            [*key[:3], [[row["valid"], row["slate"]] for row in recorded.steps]]
            for key, recorded in sorted(record.items())
            if key[3] == AGENT_POLICY
        ]
    )


def _lives(
    suite: Suite, record: dict[Key, RecordedLife]
) -> Iterator[tuple[Key, RecordedLife, Life]]:
    tasks = {task.name: task for task in suite.tasks}
    cast = Cast(None)
    env: Lifelong | None = None
    played = ""
    for key, recorded in record.items():
        task, seed, user, policy = key
        if env is None or task != played:
            env, played = tasks[task].make(), task
        _check_calendar(key, recorded.steps, env)
        agent = Script(recorded.steps) if policy == AGENT_POLICY else cast.player(policy, env)
        yield key, recorded, play(env, agent, task=task, seed=seed, user=user, policy=policy)


def _check_calendar(key: Key, steps: Sequence[Row], env: Lifelong) -> None:
    """Every turn of the life is there, once and in order.

    Where users come and go as they like, the replay itself says which turns there were.
    """
    scenario = env.world.scenario
    found = [(row["session"], row["turn"]) for row in steps]
    due = [(s, t) for s in range(scenario.sessions) for t in range(scenario.turns)]
    if scenario.patience is not None or scenario.retention is not None:
        due = sorted(set(found))
    count = Counter(found)
    misplaced = [pair for pair, other in zip(found, due, strict=False) if pair != other]
    for wrong, what in (
        ([pair for pair in due if not count[pair]], "is missing"),
        ([pair for pair in found if count[pair] > 1], "is there twice"),
        (misplaced + found[len(due) :], "is out of place"),
    ):
        if wrong:
            raise Refused(f"steps.parquet: {refusal.turn(key, *wrong[0])} {what}")


def _compare_steps(key: Key, recorded: Sequence[Row], replayed: Life) -> None:
    for row in recorded[len(replayed.steps) :]:
        raise Refused(
            f"steps.parquet: {refusal.turn(key, row['session'], row['turn'])} is there, though the "
            "life was over"
        )
    for step in replayed.steps[len(recorded) :]:
        raise Refused(f"steps.parquet: {refusal.turn(key, step.session, step.turn)} is missing")
    for row, step in zip(recorded, replayed.steps, strict=True):
        outcome = step_row(step)
        outcome |= {"age_group": replayed.episode.age_group, "slate": list(step.slate)}
        for field, value in outcome.items():
            if repr(row[field]) != repr(value):
                where = refusal.turn(key, step.session, step.turn)
                raise Refused(
                    f"steps.parquet: {where}: {field} {row[field]!r} recorded, {value!r} replayed"
                )


def _compare_episode(key: Key, recorded: RecordedLife, replayed: Life) -> None:
    told, true = recorded.episode, replayed.episode
    for step, reward in zip(replayed.steps, told.rewards, strict=False):
        if repr(reward) != repr(step.reward):
            where = refusal.turn(key, step.session, step.turn)
            raise Refused(
                f"episodes.jsonl: {where}: reward {reward!r} recorded, {step.reward!r} replayed"
            )
    for field, old, new in (
        ("number of rewards", len(told.rewards), len(true.rewards)),
        ("age_group", told.age_group, true.age_group),
    ):
        if old != new:
            where = refusal.life(key)
            raise Refused(f"episodes.jsonl: {where}: {field} {old!r} recorded, {new!r} replayed")
    if told.digest != _digest(recorded):
        raise Refused(
            f"{refusal.life(key)}: the digest in episodes.jsonl is not that of the life's steps "
            "and decoding rounds; episodes.jsonl or generations.parquet was changed"
        )


def _digest(recorded: RecordedLife) -> str:
    """The digest that the recorder wrote: steps, and decoding rounds turn by turn."""
    steps = [{k: v for k, v in row.items() if k != "age_group"} for row in recorded.steps]
    turns: dict[tuple[int, int], list[Row]] = {(s["session"], s["turn"]): [] for s in steps}
    for row in recorded.rounds:
        shown = {k: v for k, v in row.items() if k not in ("session", "turn")}
        turns[row["session"], row["turn"]].append(shown)
    return trace_digest(steps, list(turns.values()))


class Script:
    """An agent that shows the slates that another one chose.

    steps  its recorded turns; an unusable action is repeated as an unusable action
    """

    name = "script"

    def __init__(self, steps: Sequence[Row]) -> None:
        self._actions = [
            Action(tuple(row["slate"]) if row["valid"] else (NOTHING,)) for row in steps
        ]

    def config(self) -> dict[str, Any]:
        """Nothing can be set."""
        return {}

    def prepare(self, world: PublicWorld) -> None:
        """There is nothing to learn."""

    def start(self, brief: Brief) -> ScriptSession:
        """Open a session at the first recorded turn."""
        return ScriptSession(iter(self._actions))


class ScriptSession:
    """One recorded life."""

    def __init__(self, actions: Iterator[Action]) -> None:
        self._actions = actions

    def act(self, observation: Observation) -> Action:
        """The next recorded action; nothing at all once the record has ended."""
        return next(self._actions, Action())

"""Living a recorded run again, and comparing every outcome bit for bit.

The agent's actions are taken from the record and shown to the seeded environment. The
companions (random, frozen-oracle, oracle, …) are not taken from the record: they choose afresh,
because a weakened ceiling would replay just as well and flatter every score above it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ...agents import make_agent
from ...envs.lifelong import Lifelong
from ...envs.reference.ground_truth import GroundTruth
from ...envs.simulator.world import World
from ...records import AGENT, COUNTERFACTUAL, Action, Brief, Claim, EpisodeKey, Observation
from ...suites.engine.actions import plain_action
from ...suites.engine.decision_source import Decision, DecisionSource
from ...suites.engine.episode_runner import EpisodeResult, EpisodeRunner
from ...suites.engine.in_process_agent import InProcessAgent
from ...suites.engine.progress import ProgressCallback
from ...suites.engine.stepping import play_in_lockstep
from ...suites.engine.trace_rows import step_row, trace_digest
from ...suites.serialization import sha256
from ...suites.suite import Suite
from . import rejection
from .recorded_run import RecordedEpisode, Row
from .rejection import VerificationError

TRUTH = ("age_group", "events", "churned", "angle", "angle_later")
"""What an episode says of its user and its end."""


def replay(
    suite: Suite, record: Mapping[EpisodeKey, RecordedEpisode], tick: ProgressCallback
) -> int:
    """Live every life of `record` again, in its order; returns the number of steps compared.

    tick  is told the task of every life that matched

    Raises VerificationError at the first divergence, naming life, turn, field and both values.
    """
    steps = 0
    for key, recorded, replayed in _lives(suite, record):
        _compare_steps(key, recorded.steps, replayed)
        _compare_episode(key, recorded, replayed)
        steps += len(replayed.steps)
        tick(key[0])
    return steps


def actions_digest(record: Mapping[EpisodeKey, RecordedEpisode]) -> str:
    """SHA-256 over all that the agent did: equal for runs that showed the same slates."""
    return sha256(
        [
            [*key[:3], [[row["fault"], row["slate"]] for row in record[key].steps]]
            for key in sorted(record)
            if key[3] == AGENT
        ]
    )


def _lives(
    suite: Suite, record: Mapping[EpisodeKey, RecordedEpisode]
) -> Iterator[tuple[EpisodeKey, RecordedEpisode, EpisodeResult]]:
    tasks = {task.name: task for task in suite.tasks}
    references: dict[str, DecisionSource] = {}
    envs: dict[bool, Lifelong] = {}
    played = ""
    for key, recorded in record.items():
        task, seed, user, policy = key
        if task != played:
            envs, played = (
                {
                    counterfactual: tasks[task].make(counterfactual=counterfactual)
                    for counterfactual in (False, True)
                },
                task,
            )
        env = envs[policy == COUNTERFACTUAL]
        _check_calendar(key, recorded.steps, env)
        player: DecisionSource
        if policy in (AGENT, COUNTERFACTUAL):
            player = RecordedActions(key, recorded.steps)
        else:
            player = references.setdefault(policy, InProcessAgent(make_agent(policy), trusted=True))
            player.prepare(env.world)
            player.reset()
        false = envs[False].world.tampered
        life = EpisodeRunner(env, task=task, seed=seed, user=user, policy=policy, tampered=false)
        yield key, recorded, play_in_lockstep(player, [life])[0]


def _check_calendar(key: EpisodeKey, steps: Sequence[Row], env: Lifelong) -> None:
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
            raise VerificationError(f"steps.parquet: {rejection.turn_name(key, *wrong[0])} {what}")


def _compare_steps(key: EpisodeKey, recorded: Sequence[Row], replayed: EpisodeResult) -> None:
    for row in recorded[len(replayed.steps) :]:
        raise VerificationError(
            f"steps.parquet: {rejection.turn_name(key, row['session'], row['turn'])} comes after "
            "the end of the episode"
        )
    for step in replayed.steps[len(recorded) :]:
        raise VerificationError(
            f"steps.parquet: {rejection.turn_name(key, step.session, step.turn)} is missing"
        )
    for row, step in zip(recorded, replayed.steps, strict=True):
        outcome = step_row(step)
        outcome |= {"age_group": replayed.episode.age_group}
        for field, value in outcome.items():
            if repr(row[field]) != repr(value):
                where = rejection.turn_name(key, step.session, step.turn)
                raise VerificationError(
                    f"steps.parquet: {where}: {field} {row[field]!r} recorded, {value!r} replayed"
                )


def _compare_episode(key: EpisodeKey, recorded: RecordedEpisode, replayed: EpisodeResult) -> None:
    told, true = recorded.episode, replayed.episode
    for step, reward in zip(replayed.steps, told.rewards, strict=False):
        if repr(reward) != repr(step.reward):
            where = rejection.turn_name(key, step.session, step.turn)
            raise VerificationError(
                f"episodes.jsonl: {where}: reward {reward!r} recorded, {step.reward!r} replayed"
            )
    for field, old, new in (
        ("number of rewards", len(told.rewards), len(true.rewards)),
        *((name, getattr(told, name), getattr(true, name)) for name in TRUTH),
    ):
        if repr(old) != repr(new):
            where = rejection.episode_name(key)
            raise VerificationError(
                f"episodes.jsonl: {where}: {field} {old!r} recorded, {new!r} replayed"
            )
    if told.digest != _digest(recorded):
        raise VerificationError(
            f"{rejection.episode_name(key)}: the digest in episodes.jsonl is not that of its "
            "steps and decoding rounds; episodes.jsonl or generations.parquet was changed"
        )


def _digest(recorded: RecordedEpisode) -> str:
    """The digest that the recorder wrote: steps, and decoding rounds turn by turn."""
    steps = [{k: v for k, v in row.items() if k != "age_group"} for row in recorded.steps]
    turns: dict[tuple[int, int], list[Row]] = {(s["session"], s["turn"]): [] for s in steps}
    for row in recorded.rounds:
        shown = {k: v for k, v in row.items() if k not in ("session", "turn")}
        turns[row["session"], row["turn"]].append(shown)
    return trace_digest(steps, list(turns.values()))


class RecordedActions:
    """A player that repeats what was recorded of one life; a fault is repeated as a fault."""

    def __init__(self, key: EpisodeKey, steps: Sequence[Row]) -> None:
        self._key = key
        self._steps = iter(steps)

    def prepare(self, world: World) -> None:
        """There is nothing to learn."""

    def reset(self) -> None:
        """There is nothing to forget."""

    def open(self, key: EpisodeKey, brief: Brief, truth: GroundTruth) -> None:
        """The record is of this life."""

    def decide(self, asked: Sequence[tuple[EpisodeKey, Observation]]) -> list[Decision]:
        """The next recorded action; nothing at all once the record has ended."""
        row = next(self._steps, None)
        if row is None:
            return [Decision(Action())]
        if row["fault"]:
            return [Decision(None, row["fault"])]
        action = _action(row)
        if action is None:
            where = rejection.turn_name(self._key, row["session"], row["turn"])
            raise VerificationError(f"steps.parquet: {where}: claims or profile cannot be read")
        return [Decision(action)]

    def close(self, key: EpisodeKey) -> None:
        """There is nothing to end."""


def _action(row: Row) -> Action | None:
    """The recorded action; None where its claims or its profile are no values."""
    try:
        claims = tuple(Claim(c["item"], c["field"], json.loads(c["value"])) for c in row["claims"])
    except (ValueError, RecursionError):
        return None
    return plain_action(Action(tuple(row["slate"]), claims, tuple(row["profile"])))

"""Replay a recorded run in the seeded environment and compare every outcome bit for bit.

The agent's actions are taken from the record. The reference policies (random, frozen-oracle,
oracle, …) are not: they choose again, because the recorded actions of a weakened oracle would
replay without a difference and raise every normalized score.
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
from .. import rejection
from ..rejection import VerificationError
from .recorded_run import RecordedEpisode, Row

EPISODE_FIELDS = ("age_group", "events", "churned", "angle", "angle_later")
"""Fields of an episode that the replay must reproduce."""


def replay(
    suite: Suite, episodes: Mapping[EpisodeKey, RecordedEpisode], tick: ProgressCallback
) -> int:
    """Replay all `episodes` in their order; returns the number of steps compared.

    tick  called with the task of every episode that matched

    Raises VerificationError at the first difference, with episode, turn, field and both values.
    """
    steps = 0
    for key, recorded, replayed in _replayed_episodes(suite, episodes):
        _compare_steps(key, recorded.steps, replayed)
        _compare_episode(key, recorded, replayed)
        steps += len(replayed.steps)
        tick(key[0])
    return steps


def actions_digest(episodes: Mapping[EpisodeKey, RecordedEpisode]) -> str:
    """SHA-256 over the agent's slates and faults; equal for runs with the same recommendations."""
    return sha256(
        [
            [*key[:3], [[row["fault"], row["slate"]] for row in episodes[key].steps]]
            for key in sorted(episodes)
            if key[3] == AGENT
        ]
    )


def _replayed_episodes(
    suite: Suite, episodes: Mapping[EpisodeKey, RecordedEpisode]
) -> Iterator[tuple[EpisodeKey, RecordedEpisode, EpisodeResult]]:
    tasks = {task.name: task for task in suite.tasks}
    references: dict[str, DecisionSource] = {}
    envs: dict[bool, Lifelong] = {}
    current = ""
    for key, recorded in episodes.items():
        task, seed, user, policy = key
        if task != current:
            current = task
            envs = {edited: tasks[task].make(counterfactual=edited) for edited in (False, True)}
        env = envs[policy == COUNTERFACTUAL]
        _check_turns(key, recorded.steps, env)
        source: DecisionSource
        if policy in (AGENT, COUNTERFACTUAL):
            source = RecordedActions(key, recorded.steps)
        else:
            source = references.setdefault(policy, InProcessAgent(make_agent(policy), trusted=True))
            source.prepare(env.world)
            source.reset()
        tampered = envs[False].world.tampered
        runner = EpisodeRunner(
            env, task=task, seed=seed, user=user, policy=policy, tampered=tampered
        )
        yield key, recorded, play_in_lockstep(source, [runner])[0]


def _check_turns(key: EpisodeKey, steps: Sequence[Row], env: Lifelong) -> None:
    """Raise VerificationError unless every turn of the episode occurs once and in order.

    Where users may leave or stay away, only the replay can tell which turns there were.
    """
    scenario = env.world.scenario
    found = [(row["session"], row["turn"]) for row in steps]
    expected = [(s, t) for s in range(scenario.sessions) for t in range(scenario.turns)]
    if scenario.patience is not None or scenario.retention is not None:
        expected = sorted(set(found))
    count = Counter(found)
    misplaced = [pair for pair, other in zip(found, expected, strict=False) if pair != other]
    for wrong, what in (
        ([pair for pair in expected if not count[pair]], "is missing"),
        ([pair for pair in found if count[pair] > 1], "occurs twice"),
        (misplaced + found[len(expected) :], "is out of order"),
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
    claimed, computed = recorded.episode, replayed.episode
    for step, reward in zip(replayed.steps, claimed.rewards, strict=False):
        if repr(reward) != repr(step.reward):
            where = rejection.turn_name(key, step.session, step.turn)
            raise VerificationError(
                f"episodes.jsonl: {where}: reward {reward!r} recorded, {step.reward!r} replayed"
            )
    for field, old, new in (
        ("number of rewards", len(claimed.rewards), len(computed.rewards)),
        *((name, getattr(claimed, name), getattr(computed, name)) for name in EPISODE_FIELDS),
    ):
        if repr(old) != repr(new):
            where = rejection.episode_name(key)
            raise VerificationError(
                f"episodes.jsonl: {where}: {field} {old!r} recorded, {new!r} replayed"
            )
    if claimed.digest != _digest(recorded):
        raise VerificationError(
            f"{rejection.episode_name(key)}: the digest in episodes.jsonl is not that of its "
            "steps and decoding rounds; episodes.jsonl or generations.parquet was changed"
        )


def _digest(recorded: RecordedEpisode) -> str:
    """Compute the digest of an episode: its steps, and its decoding rounds by turn."""
    steps = [{k: v for k, v in row.items() if k != "age_group"} for row in recorded.steps]
    turns: dict[tuple[int, int], list[Row]] = {(s["session"], s["turn"]): [] for s in steps}
    for row in recorded.rounds:
        values = {k: v for k, v in row.items() if k not in ("session", "turn")}
        turns[row["session"], row["turn"]].append(values)
    return trace_digest(steps, list(turns.values()))


class RecordedActions:
    """Decision source that repeats the recorded actions and faults of one episode."""

    def __init__(self, key: EpisodeKey, steps: Sequence[Row]) -> None:
        self._key = key
        self._steps = iter(steps)

    def prepare(self, world: World) -> None:
        """Do nothing: recorded actions need no preparation."""

    def reset(self) -> None:
        """Do nothing: no state is kept between batches."""

    def open(self, key: EpisodeKey, brief: Brief, truth: GroundTruth) -> None:
        """Do nothing: the record is of this episode."""

    def decide(self, asked: Sequence[tuple[EpisodeKey, Observation]]) -> list[Decision]:
        """Return the next recorded action, or abstain once the record has ended."""
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
        """Do nothing: no session is held."""


def _action(row: Row) -> Action | None:
    """Return the recorded action, or None where claims or profile cannot be parsed."""
    try:
        claims = tuple(Claim(c["item"], c["field"], json.loads(c["value"])) for c in row["claims"])
    except (ValueError, RecursionError):
        return None
    return plain_action(Action(tuple(row["slate"]), claims, tuple(row["profile"])))

"""Finished runs side by side: who is better, how surely, and how many users would tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..agents import AGENTS, is_privileged
from ..errors import InputError
from ..metrics import METRICS
from ..metrics.comparison import Difference, holm, linearized, rank_groups, users_needed
from ..metrics.comparison import paired as paired_difference
from ..metrics.comparison import unpaired as unpaired_difference
from ..metrics.statistics import FEWEST_CLUSTERS, LEVEL, Estimate, ratio_interval
from ..records import Manifest
from .comparison_sums import COMPARABLE, lives_of, references, sums_of, those_of
from .engine.run_directory import read_manifest, read_scores
from .engine.traces import unit_of

TOGETHER = "all tasks"
"""Stands where a task would stand: every task that all runs played, taken together."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One agent, or one yardstick that lived the same lives, in one task.

    yardstick            whether it is a companion of the first run
    rank_low, rank_high  the best and worst rank that the data leave it; None where unranked:
                         yardsticks, and agents that are shown the truth
    """

    task: str
    agent: str
    yardstick: bool
    estimate: Estimate
    rank_low: int | None
    rank_high: int | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two agents in one task.

    paired   whether both met the same users under the same seeds
    p        adjusted by Holm's method over all pairs and tasks of the comparison; None below 20
             clusters
    users    users (for each agent, where not paired) that would tell them apart in 80 % of runs
             if they differ by as much as was seen; None where no difference was seen
    """

    task: str
    mine: str
    theirs: str
    paired: bool
    difference: Difference
    p: float | None
    users: int | None


@dataclass(frozen=True)
class Comparison:
    """What `compare` found, tasks in order and all of them together last."""

    metric: str
    unit: str
    direction: str
    cluster: str
    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Flat rows for machines: a row a standing, then a row a pair."""
        common = {"metric": self.metric, "unit": self.unit, "direction": self.direction}
        found = []
        for one in self.standings:
            ends = {"value": one.estimate.value, "low": one.estimate.low, "high": one.estimate.high}
            who = {"row": "standing", "task": one.task, "agent": one.agent, **common, **ends}
            ranks = {"rank_low": one.rank_low, "rank_high": one.rank_high}
            found.append({**who, "n": one.estimate.n, "yardstick": one.yardstick, **ranks})
        for pair in self.pairs:
            off = pair.difference
            who = {"row": "pair", "task": pair.task, "mine": pair.mine, "theirs": pair.theirs}
            ends = {"difference": off.value, "low": off.low, "high": off.high, "n": off.n}
            how = {"p": off.p, "p_adjusted": pair.p, "paired": pair.paired}
            found.append({**who, **common, **ends, **how, "users_needed": pair.users})
        return found


@dataclass(frozen=True)
class _Run:
    path: Path
    name: str
    manifest: Manifest
    lives: pd.DataFrame

    @property
    def ranked(self) -> bool:
        agent = self.manifest.identity.agent
        return not (agent in AGENTS.names() and is_privileged(AGENTS.get(agent)))


def compare(paths: Sequence[str | Path], metric: str = "normalized_return") -> Comparison:
    """Compare finished runs of one suite by one metric, in every task that all of them played.

    Runs that met the same users under the same seeds are compared in pairs: common random
    numbers cancel most of what users differ in. Others are compared as samples of different
    users. Yardsticks are the companions of the first run. Raises InputError for fewer than two
    runs, for runs that cannot be compared, and for a metric that is not a ratio of sums.
    """
    if metric not in COMPARABLE:
        raise InputError(f"--metric must be one of {', '.join(COMPARABLE)}, not {metric!r}")
    if len(paths) < 2:
        raise InputError("name at least two run directories to compare")
    runs = _read([Path(path) for path in paths])
    unit = unit_of(runs[0].manifest)
    tasks = [
        task["name"]
        for task in runs[0].manifest.suite.get("tasks", [])
        if all(task["name"] in run.lives.index.unique("task") for run in runs)
    ]
    if not tasks:
        raise InputError(f"{runs[0].path} and the others have no task in common")
    known = METRICS.get(metric)
    fields = [(task, [task]) for task in tasks] + [(TOGETHER, tasks)] * (len(tasks) > 1)
    standings: list[Standing] = []
    pairs: list[Pair] = []
    for field, of in fields:
        parts = [run.lives.loc[of] for run in runs]
        sums = [sums_of(part, metric, "agent", unit) for part in parts]
        entries = [(run, one) for run, one in zip(runs, sums, strict=True) if one is not None]
        for place, (run, one) in enumerate(entries):
            standings += _standing(field, run.name, one, yardstick=False)
            for other, its in entries[place + 1 :]:
                pairs += _pair(field, run, other, one, its, of)
        for policy in references(parts[0]):
            its = sums_of(parts[0], metric, policy, unit)
            standings += _standing(field, policy, its, yardstick=True)
    if not pairs:
        raise InputError(f"{metric} does not apply to any task of these runs; try another --metric")
    pairs = _adjusted(pairs)
    ranked = [run.name for run in runs if run.ranked]
    groups = _groups(pairs, ranked, higher=known.direction == "higher")
    standings = [
        one if one.yardstick else replace(one, rank_low=low, rank_high=high)
        for one in standings
        for low, high in [groups.get((one.task, one.agent), (None, None))]
    ]
    return Comparison(metric, known.unit, known.direction, unit, tuple(standings), tuple(pairs))


def _read(paths: Sequence[Path]) -> list[_Run]:
    manifests = [read_manifest(path) for path in paths]
    for path in paths:
        read_scores(path)
    for path, manifest in zip(paths, manifests, strict=True):
        differs = _differs(manifests[0], manifest)
        if differs:
            raise InputError(f"{paths[0]} and {path} cannot be compared: {differs}")
    tagged = [f"{m.identity.agent}+{m.identity.decoder}".rstrip("+") for m in manifests]
    folders = [path.resolve().name for path in paths]
    for names in (folders, [str(path) for path in paths]):
        tagged = [
            tag if tagged.count(tag) == 1 else f"{tag} ({name})"
            for tag, name in zip(tagged, names, strict=True)
        ]
    if len(set(tagged)) < len(tagged):
        raise InputError("the same run directory is named twice; name each once")
    return [
        _Run(path, tag, manifest, lives_of(path))
        for path, tag, manifest in zip(paths, tagged, manifests, strict=True)
    ]


def _differs(one: Manifest, other: Manifest) -> str:
    """What keeps two runs from being compared, or "". Other users or seeds do not."""
    mine, theirs = one.identity, other.identity
    if mine.suite_hash == theirs.suite_hash:
        return ""
    names = mine.suite.partition("+")[0], theirs.suite.partition("+")[0]
    if names[0] != names[1]:
        return f"one played {names[0]}, the other {names[1]}; run both through one suite"
    if unit_of(one) != unit_of(other):
        return "one played the personal track, the other the cohort track"
    for what, a, b in (
        ("simulator version", mine.simulator_version, theirs.simulator_version),
        ("content of the catalogs", mine.catalogs, theirs.catalogs),
    ):
        if a != b:
            return f"the {what} differs; run one of them again with this version"
    if mine.suite == theirs.suite:
        return f"{mine.suite} differs in its tasks or metrics; run one of them again"
    return ""


def _standing(
    task: str, name: str, sums: pd.DataFrame | None, *, yardstick: bool
) -> Iterator[Standing]:
    estimate = None if sums is None else ratio_interval(sums["top"], sums["bottom"])
    if estimate is not None:
        yield Standing(task, name, yardstick, estimate, None, None)


def _pair(
    task: str, one: _Run, other: _Run, mine: pd.DataFrame, theirs: pd.DataFrame, tasks: list[str]
) -> Iterator[Pair]:
    met = [those_of(run.lives.loc[tasks], "agent").index for run in (one, other)]
    together = met[0].equals(met[1])
    kind: Callable[..., Difference | None]
    kind = paired_difference if together else unpaired_difference
    if together and mine["bottom"].equals(theirs["bottom"]):
        found = paired_difference(mine["top"], theirs["top"], mine["bottom"])
    else:
        found = kind(*(linearized(sums["top"], sums["bottom"]) for sums in (mine, theirs)))
    if found is not None:
        users = users_needed(found.spread, found.value) if found.spread is not None else None
        least = None if users is None else max(users, FEWEST_CLUSTERS)
        yield Pair(task, one.name, other.name, together, found, None, least)


def _adjusted(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with p-values that hold for all of them at once."""
    tested = [place for place, pair in enumerate(pairs) if pair.difference.p is not None]
    adjusted = holm([pairs[place].difference.p or 0.0 for place in tested])
    told = dict(zip(tested, adjusted, strict=True))
    return [replace(pair, p=told.get(place)) for place, pair in enumerate(pairs)]


def _groups(
    pairs: Sequence[Pair], ranked: Sequence[str], *, higher: bool
) -> dict[tuple[str, str], tuple[int, int]]:
    """(task, agent) -> its rank group among the agents that were compared there."""
    groups = {}
    for task in dict.fromkeys(pair.task for pair in pairs):
        here = [pair for pair in pairs if pair.task == task]
        played = {name for pair in here for name in (pair.mine, pair.theirs)}
        beats = set()
        for pair in here:
            if pair.p is not None and pair.p <= 1 - LEVEL:
                ahead = (pair.difference.value > 0) == higher
                beats.add((pair.mine, pair.theirs) if ahead else (pair.theirs, pair.mine))
        found = rank_groups([name for name in ranked if name in played], beats)
        groups.update({(task, name): group for name, group in found.items()})
    return groups

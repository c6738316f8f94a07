"""Compare finished runs of one suite: ranks, differences, p-values and users needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..agents import AGENTS, declares
from ..agents.protocols import PrivilegedAgent
from ..errors import InputError
from ..metrics import METRICS
from ..metrics.comparison import (
    Difference,
    holm,
    linearized,
    paired_difference,
    rank_groups,
    unpaired_difference,
    users_needed,
)
from ..metrics.statistics import FEWEST_CLUSTERS, LEVEL, Estimate, ratio_interval
from ..metrics.trace import ClusterBy
from ..records import Manifest
from .comparison_sums import COMPARABLE, cluster_sums, episode_sums, of_policy, references_of
from .engine.run_directory.reader import read_manifest, read_scores
from .engine.traces import cluster_by

ALL_TASKS = "all tasks"
"""Task name of the rows over every task that all runs played, taken together."""


@dataclass(frozen=True, slots=True)
class AgentScore:
    """The metric of one agent, or of one reference policy, in one task.

    reference            whether it is a reference policy, taken from the first run
    rank_low, rank_high  best and worst rank that the tests leave possible; None where unranked:
                         reference policies, and agents that receive ground truth
    """

    task: str
    agent: str
    reference: bool
    estimate: Estimate
    rank_low: int | None = None
    rank_high: int | None = None


@dataclass(frozen=True, slots=True)
class AgentPair:
    """The difference between two agents in one task.

    paired        whether both met the same users under the same seeds
    p             adjusted by Holm's method over all pairs and tasks of the comparison; None below
                  20 clusters
    users_needed  users (of each agent, where not paired) that would separate them in 80 % of runs
                  if the true difference is the observed one; None where no difference was observed
    """

    task: str
    first: str
    second: str
    paired: bool
    difference: Difference
    p: float | None
    users_needed: int | None


@dataclass(frozen=True)
class Comparison:
    """Result of `compare`: rows in the order of the suite's tasks, all tasks together last.

    cluster_by  what was drawn independently: "user", or "seed" on the cohort track
    """

    metric: str
    unit: str
    direction: str
    cluster_by: ClusterBy
    scores: tuple[AgentScore, ...]
    pairs: tuple[AgentPair, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Flat rows for machines: one per agent and task, then one per pair and task."""
        common = {"metric": self.metric, "unit": self.unit, "direction": self.direction}
        found = []
        for one in self.scores:
            ends = {"value": one.estimate.value, "low": one.estimate.low, "high": one.estimate.high}
            who = {"row": "score", "task": one.task, "agent": one.agent, **common, **ends}
            ranks = {"rank_low": one.rank_low, "rank_high": one.rank_high}
            found.append({**who, "n": one.estimate.n, "reference": one.reference, **ranks})
        for pair in self.pairs:
            off = pair.difference
            who = {"row": "pair", "task": pair.task, "first": pair.first, "second": pair.second}
            ends = {"difference": off.value, "low": off.low, "high": off.high, "n": off.n}
            how = {"p": off.p, "p_adjusted": pair.p, "paired": pair.paired}
            found.append({**who, **common, **ends, **how, "users_needed": pair.users_needed})
        return found


@dataclass(frozen=True)
class _ComparedRun:
    """A finished run with the name that it goes by in the tables, and its per-episode sums."""

    path: Path
    name: str
    manifest: Manifest
    sums: pd.DataFrame

    @property
    def ranked(self) -> bool:
        agent = self.manifest.identity.agent
        return not (agent in AGENTS.names() and declares(agent, PrivilegedAgent))


def compare(paths: Sequence[str | Path], metric: str = "normalized_return") -> Comparison:
    """Compare finished runs of one suite by one metric, in every task that all of them played.

    Runs that met the same users under the same seeds are compared in pairs: common random
    numbers cancel most of the variance between users. Others are compared as independent samples.
    Reference policies are those of the first run. Raises InputError for fewer than two runs, for
    runs that cannot be compared, and for a metric that is not a ratio of sums.
    """
    if metric not in COMPARABLE:
        raise InputError(f"--metric must be one of {', '.join(COMPARABLE)}, not {metric!r}")
    if len(paths) < 2:
        raise InputError("name at least two run directories to compare")
    runs = _load([Path(path) for path in paths])
    tasks = [
        task["name"]
        for task in runs[0].manifest.suite.get("tasks", [])
        if all(task["name"] in run.sums.index.unique("task") for run in runs)
    ]
    if not tasks:
        raise InputError(f"{runs[0].path} and the others have no task in common")
    cluster = cluster_by(runs[0].manifest)
    scores: list[AgentScore] = []
    pairs: list[AgentPair] = []
    for name, of in [(task, [task]) for task in tasks] + [(ALL_TASKS, tasks)] * (len(tasks) > 1):
        in_task = [replace(run, sums=run.sums.loc[of]) for run in runs]
        scores += _scores(name, in_task, metric, cluster)
        pairs += _pairs(name, in_task, metric, cluster)
    if not pairs:
        raise InputError(f"{metric} does not apply to any task of these runs; try another --metric")
    pairs = _adjusted(pairs)
    known = METRICS.get(metric)
    ranked = [run.name for run in runs if run.ranked]
    ranks = _ranks(pairs, ranked, higher_is_better=known.direction == "higher")
    scores = [
        one if one.reference else replace(one, rank_low=low, rank_high=high)
        for one in scores
        for low, high in [ranks.get((one.task, one.agent), (None, None))]
    ]
    return Comparison(metric, known.unit, known.direction, cluster, tuple(scores), tuple(pairs))


def _load(paths: Sequence[Path]) -> list[_ComparedRun]:
    """Read finished runs and give each a unique name; raises InputError."""
    manifests = [read_manifest(path) for path in paths]
    for path in paths:
        read_scores(path)  # refuses a run that is not finished
    for path, manifest in zip(paths, manifests, strict=True):
        reason = _incompatibility(manifests[0], manifest)
        if reason:
            raise InputError(f"{paths[0]} and {path} cannot be compared: {reason}")
    names = [f"{m.identity.agent}+{m.identity.decoder}".rstrip("+") for m in manifests]
    folders = [path.resolve().name for path in paths]
    for suffixes in (folders, [str(path) for path in paths]):
        names = [
            name if names.count(name) == 1 else f"{name} ({suffix})"
            for name, suffix in zip(names, suffixes, strict=True)
        ]
    if len(set(names)) < len(names):
        raise InputError("the same run directory is named twice; name each once")
    return [
        _ComparedRun(path, name, manifest, episode_sums(path))
        for path, name, manifest in zip(paths, names, manifests, strict=True)
    ]


def _incompatibility(one: Manifest, other: Manifest) -> str:
    """Why two runs cannot be compared, or "". They may differ in users and seeds."""
    first, second = one.identity, other.identity
    if first.suite_hash == second.suite_hash:
        return ""
    names = first.suite.partition("+")[0], second.suite.partition("+")[0]
    if names[0] != names[1]:
        return f"one played {names[0]}, the other {names[1]}; run both through one suite"
    if cluster_by(one) != cluster_by(other):
        return "one played the personal track, the other the cohort track"
    for what, a, b in (
        ("simulator version", first.simulator_version, second.simulator_version),
        ("content of the catalogs", first.catalogs, second.catalogs),
    ):
        if a != b:
            return f"the {what} differs; run one of them again with this version"
    if first.suite == second.suite:
        return f"{first.suite} differs in its tasks or metrics; run one of them again"
    return ""


def _scores(
    task: str, runs: Sequence[_ComparedRun], metric: str, cluster: ClusterBy
) -> Iterator[AgentScore]:
    """The agent of every run, then the reference policies of the first, where the metric applies.

    runs  with the sums of this task, or of all tasks together
    """
    policies = [(run, "agent", run.name) for run in runs]
    policies += [(runs[0], reference, reference) for reference in references_of(runs[0].sums)]
    for run, policy, name in policies:
        sums = cluster_sums(run.sums, metric, policy, cluster)
        estimate = None if sums is None else ratio_interval(sums["top"], sums["bottom"])
        if estimate is not None:
            yield AgentScore(task, name, policy != "agent", estimate)


def _pairs(
    task: str, runs: Sequence[_ComparedRun], metric: str, cluster: ClusterBy
) -> Iterator[AgentPair]:
    """Every two runs to which the metric applies, in order."""
    sums = [(run, cluster_sums(run.sums, metric, "agent", cluster)) for run in runs]
    known = [(run, one) for run, one in sums if one is not None]
    for position, (run, first) in enumerate(known):
        for other, second in known[position + 1 :]:
            episodes = [of_policy(each.sums, "agent").index for each in (run, other)]
            paired = episodes[0].equals(episodes[1])
            found = _difference(first, second, paired=paired)
            if found is not None:
                needed = None if found.std is None else users_needed(found.std, found.value)
                needed = None if needed is None else max(needed, FEWEST_CLUSTERS)
                yield AgentPair(task, run.name, other.name, paired, found, None, needed)


def _difference(first: pd.DataFrame, second: pd.DataFrame, *, paired: bool) -> Difference | None:
    """First − second, from cluster sums with columns `top` and `bottom`."""
    if paired and first["bottom"].equals(second["bottom"]):
        return paired_difference(first["top"], second["top"], first["bottom"])
    one, other = (linearized(sums["top"], sums["bottom"]) for sums in (first, second))
    return paired_difference(one, other) if paired else unpaired_difference(one, other)


def _adjusted(pairs: Sequence[AgentPair]) -> list[AgentPair]:
    """The pairs with p-values adjusted for all of them together."""
    tested = [k for k, pair in enumerate(pairs) if pair.difference.p is not None]
    p_values = dict(zip(tested, holm([pairs[k].difference.p or 0.0 for k in tested]), strict=True))
    return [replace(pair, p=p_values.get(k)) for k, pair in enumerate(pairs)]


def _ranks(
    pairs: Sequence[AgentPair], ranked: Sequence[str], *, higher_is_better: bool
) -> dict[tuple[str, str], tuple[int, int]]:
    """(task, agent) -> best and worst possible rank among the ranked agents compared there."""
    ranks = {}
    for task in dict.fromkeys(pair.task for pair in pairs):
        in_task = [pair for pair in pairs if pair.task == task]
        compared = {name for pair in in_task for name in (pair.first, pair.second)}
        beats = set()
        for pair in in_task:
            if pair.p is not None and pair.p <= 1 - LEVEL:
                first_wins = (pair.difference.value > 0) == higher_is_better
                names = (pair.first, pair.second)
                beats.add(names if first_wins else names[::-1])
        found = rank_groups([name for name in ranked if name in compared], beats)
        ranks.update({(task, name): group for name, group in found.items()})
    return ranks

"""Verify a finished run: `verify` for a run directory, `verify_archive` for an archive.

Checked in this order: files and their schema, identity and hashes, the exact set of episodes,
decoding rounds, the replay of every episode, recorded times, and last the scores, recomputed from
the replayed steps. The first thing that is wrong refuses the run, in one line; nothing is only a
warning. Submitted code is never run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from ...agents import AGENTS, declares
from ...agents.protocols import PrivilegedAgent
from ...metrics import METRICS
from ...metrics.trace import ClusterBy
from ...records import EpisodeKey, Manifest, Score
from ...suites.engine.progress import ProgressFactory, no_progress
from ...suites.engine.run_directory.reader import check_finished
from ...suites.suite import Suite
from ..archive import unpack
from ..rejection import VerificationError
from .decoding_rounds import check_rounds
from .identity import check_identity, tasks_played
from .recomputed_scores import ALL_TASKS, PRIMARY_METRIC, Trust, recompute
from .recorded_run import RecordedEpisode, RecordedRun, check_timings, read_run, recorded_episodes
from .replay import actions_digest, replay

__all__ = [
    "ALL_TASKS",
    "PRIMARY_METRIC",
    "Trust",
    "Verdict",
    "VerifiedRun",
    "verify",
    "verify_archive",
]


@dataclass(frozen=True)
class VerifiedRun:
    """The content of an accepted run, as a board stores it.

    tasks           every task of the suite in order, played or not
    scores          rows of scores.json, recomputed
    timed         scores that depend on times, recomputed from the recorded times
    overall         metrics over all played tasks together, under the task name `ALL_TASKS`
    trust           metric -> "replayed" where it follows from the replayed steps alone, else
                    "reported"
    sums            primary metric -> [achieved, achievable] of every cluster, in order of
                    cluster: what a board needs to compare runs
    actions_digest  SHA-256 over the agent's slates; equal for runs with the same slates
    privileged      whether the agent is a reference policy that receives the ground truth
    """

    manifest: Manifest
    tasks: tuple[str, ...]
    scores: tuple[Score, ...]
    timed: tuple[Score, ...]
    overall: tuple[Score, ...]
    trust: dict[str, Trust]
    sums: dict[str, list[list[float]]]
    actions_digest: str
    privileged: bool


@dataclass(frozen=True)
class Verdict:
    """The result of verification.

    path      the run directory or archive
    reason    one line: what was replayed, or the first thing that is wrong
    episodes  number of episodes replayed
    steps     number of turns compared
    seconds   wall time
    run       content of an accepted run; None where it is refused
    """

    path: Path
    accepted: bool
    reason: str
    episodes: int
    steps: int
    seconds: float
    run: VerifiedRun | None

    def line(self) -> str:
        """One line of text."""
        return f"{self.path} is {'accepted' if self.accepted else 'refused'}: {self.reason}"

    def row(self) -> dict[str, Any]:
        """A flat object of JSON values."""
        return {
            "run": str(self.path),
            "accepted": self.accepted,
            "reason": self.reason,
            "episodes": self.episodes,
            "steps": self.steps,
            "seconds": self.seconds,
        }


def verify(
    run_dir: str | Path,
    *,
    progress: ProgressFactory | None = None,
    allow_unregistered: bool = False,
) -> Verdict:
    """Verify the finished run in `run_dir`.

    progress            as in `evaluate`: called with the number of episodes to replay
    allow_unregistered  accept a suite that only the run's own manifest describes

    Raises InputError where `run_dir` holds no finished run; anything wrong with a finished one
    gives a verdict.
    """
    path, start = Path(run_dir), perf_counter()
    check_finished(path)
    try:
        run, episodes, steps = _check(path, progress, allow_unregistered)
    except VerificationError as error:
        return Verdict(path, False, str(error), 0, 0, perf_counter() - start, None)
    seconds = perf_counter() - start
    reason = f"{episodes} episodes with {steps} turns replayed bit for bit in {seconds:.1f} s"
    return Verdict(path, True, reason, episodes, steps, seconds, run)


def verify_archive(
    file: str | Path,
    *,
    progress: ProgressFactory | None = None,
    allow_unregistered: bool = False,
    scratch: str | Path | None = None,
) -> Verdict:
    """Verify a run in an archive; arguments as in `verify`.

    scratch  existing folder to unpack into, left empty afterwards; None for the system's own

    Raises InputError where there is no such file.
    """
    path, start = Path(file), perf_counter()
    with tempfile.TemporaryDirectory(prefix="tasteshift-", dir=scratch) as folder:
        try:
            unpack(path, Path(folder) / "run")
        except VerificationError as error:
            return Verdict(path, False, str(error), 0, 0, perf_counter() - start, None)
        found = verify(
            Path(folder) / "run", progress=progress, allow_unregistered=allow_unregistered
        )
    return replace(found, path=path, seconds=perf_counter() - start)


def verified_run(
    run: RecordedRun,
    suite: Suite,
    episodes: Mapping[EpisodeKey, RecordedEpisode],
    *,
    level: Trust = "replayed",
    cluster: ClusterBy | None = None,
) -> VerifiedRun:
    """Check times and scores of a replayed run; raises VerificationError where they differ.

    level    trust of the metrics that follow from the steps alone
    cluster  see `recompute`
    """
    check_timings(run.timings, episodes)
    found = recompute(run, list(dict.fromkeys(task for task, *_ in episodes)), cluster)
    agent = run.manifest.identity.agent
    return VerifiedRun(
        manifest=run.manifest,
        tasks=tuple(task.name for task in suite.tasks),
        scores=found.scores,
        timed=found.timed,
        overall=found.overall,
        trust={name: level if name in found.replayed else "reported" for name in METRICS},
        sums=found.sums,
        actions_digest=actions_digest(episodes),
        privileged=agent in AGENTS and declares(agent, PrivilegedAgent),
    )


def _check(
    path: Path, progress: ProgressFactory | None, allow_unregistered: bool
) -> tuple[VerifiedRun, int, int]:
    recorded = read_run(path)
    suite = check_identity(recorded.manifest, allow_unregistered=allow_unregistered)
    played = {episode.task for episode in recorded.episodes}
    if suite.seeds > len(recorded.episodes):
        raise VerificationError(
            f"episodes.jsonl: {suite.seeds} seeds are missing almost all episodes"
        )
    episodes = recorded_episodes(recorded, suite, tasks_played(suite, played))
    for key, episode in episodes.items():
        check_rounds(key, episode, recorded.manifest.identity.decoder)
    with (progress or no_progress)(len(episodes)) as tick:
        steps = replay(suite, episodes, tick)
    return verified_run(recorded, suite, episodes), len(episodes), steps

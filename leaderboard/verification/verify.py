"""What a run must survive before a board believes it.

In this order: files and their schema, hashes, the exact set of episodes, decoding rounds,
the replay of every life, and last the scores, computed again from the replayed steps.
Anything wrong refuses the run; nothing is ever a warning. Submitted code is never run.
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
from .decoding_rounds import check_rounds
from .identity import check_identity, tasks_played
from .recomputed_scores import ALL_TASKS, PRIMARY_METRIC, Trust, recompute
from .recorded_run import RecordedEpisode, RecordedRun, check_timings, read_run, recorded_episodes
from .rejection import VerificationError
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
    """What a board may keep of a run that survived.

    tasks           every task of the suite in order, played or not
    scores          rows of scores.json, recomputed
    clocked         rows that a clock touched, recomputed from the recorded times
    overall         every metric over all played tasks at once, under the task `ALL_TASKS`
    trust           metric -> "replayed" where the replayed steps alone yield it, else "reported"
    sums            headline metric -> [gained, possible] of every cluster, in order of cluster:
                    what a board needs to compare runs
    actions_digest  SHA-256 over all slates of the agent
    privileged      whether the agent is a yardstick that is shown the truth
    """

    manifest: Manifest
    tasks: tuple[str, ...]
    scores: tuple[Score, ...]
    clocked: tuple[Score, ...]
    overall: tuple[Score, ...]
    trust: dict[str, Trust]
    sums: dict[str, list[list[float]]]
    actions_digest: str
    privileged: bool


@dataclass(frozen=True)
class Verdict:
    """Whether a run is believed.

    path      the run directory or archive
    reason    one line: what was replayed, or the first thing that is wrong
    episodes  lives that were lived again
    steps     turns that were compared
    seconds   wall time that this took
    run       what may be kept of it; None where it is refused
    """

    path: Path
    accepted: bool
    reason: str
    episodes: int
    steps: int
    seconds: float
    run: VerifiedRun | None

    def line(self) -> str:
        """The verdict for people."""
        return f"{self.path} is {'accepted' if self.accepted else 'refused'}: {self.reason}"

    def row(self) -> dict[str, Any]:
        """The verdict for machines."""
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
    """Decide whether the finished run in `run_dir` is what it claims to be.

    watch               as in `evaluate`: called with the number of lives that will be replayed
    allow_unregistered  believe a suite that only the run's own manifest describes

    Raises InputError where `run_dir` holds no finished run at all; whatever is wrong with a
    finished one is a verdict.
    """
    path, start = Path(run_dir), perf_counter()
    check_finished(path)
    try:
        run, episodes, steps = _examine(path, progress, allow_unregistered)
    except VerificationError as refused:
        return Verdict(path, False, str(refused), 0, 0, perf_counter() - start, None)
    seconds = perf_counter() - start
    reason = f"{episodes} lives of {steps} turns replayed bit for bit in {seconds:.1f} s"
    return Verdict(path, True, reason, episodes, steps, seconds, run)


def verify_archive(
    file: str | Path,
    *,
    progress: ProgressFactory | None = None,
    allow_unregistered: bool = False,
    scratch: str | Path | None = None,
) -> Verdict:
    """Decide the same of a run that comes as an archive; see `archive` and `verify`.

    scratch  an existing folder to unpack into, below which nothing is left; None for the
             system's own

    Raises InputError where there is no such file.
    """
    path, start = Path(file), perf_counter()
    with tempfile.TemporaryDirectory(prefix="tasteshift-", dir=scratch) as folder:
        try:
            unpack(path, Path(folder) / "run")
        except VerificationError as refused:
            return Verdict(path, False, str(refused), 0, 0, perf_counter() - start, None)
        found = verify(
            Path(folder) / "run", progress=progress, allow_unregistered=allow_unregistered
        )
    return replace(found, path=path, seconds=perf_counter() - start)


def verified_run(
    run: RecordedRun,
    suite: Suite,
    lives: Mapping[EpisodeKey, RecordedEpisode],
    *,
    level: Trust = "replayed",
    cluster: ClusterBy | None = None,
) -> VerifiedRun:
    """Check times and scores of a replayed run; raises VerificationError where they differ.

    level    how far metrics that the steps alone yield are trusted now
    cluster  see `recompute`
    """
    check_timings(run.timings, lives)
    found = recompute(run, list(dict.fromkeys(task for task, *_ in lives)), cluster)
    agent = run.manifest.identity.agent
    return VerifiedRun(
        manifest=run.manifest,
        tasks=tuple(task.name for task in suite.tasks),
        scores=found.scores,
        clocked=found.clocked,
        overall=found.overall,
        trust={name: level if name in found.replayed else "reported" for name in METRICS},
        sums=found.sums,
        actions_digest=actions_digest(lives),
        privileged=agent in AGENTS and declares(agent, PrivilegedAgent),
    )


def _examine(
    path: Path, progress: ProgressFactory | None, allow_unregistered: bool
) -> tuple[VerifiedRun, int, int]:
    recorded = read_run(path)
    suite = check_identity(recorded.manifest, allow_unregistered=allow_unregistered)
    played = {episode.task for episode in recorded.episodes}
    if suite.seeds > len(recorded.episodes):
        raise VerificationError(
            f"episodes.jsonl: {suite.seeds} seeds are missing almost all episodes"
        )
    lives = recorded_episodes(recorded, suite, tasks_played(suite, played))
    for key, life in lives.items():
        check_rounds(key, life, recorded.manifest.identity.decoder)
    with (progress or no_progress)(len(lives)) as tick:
        steps = replay(suite, lives, tick)
    return verified_run(recorded, suite, lives), len(lives), steps

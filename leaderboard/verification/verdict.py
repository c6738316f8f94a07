"""What a run must survive before a board believes it.

In this order: files and their schema, hashes, the exact set of episodes, decoding rounds,
the replay of every life, and last the scores, computed again from the replayed steps.
Anything wrong refuses the run; nothing is ever a warning. Submitted code is never run.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Literal

from ...agents import AGENTS, is_privileged
from ...errors import InputError
from ...metrics import FAMILIES, METRICS
from ...metrics.scoring import score
from ...metrics.trace import Trace
from ...records import Manifest, Score
from ...suites.evaluate import Watcher
from ...suites.runner.executors import AGENT
from ...suites.suite import Task
from ...suites.sums import lives_of as sums_over
from ...suites.sums import sums_of
from ...suites.tables import trace_of
from .identity import check_identity, tasks_played
from .recorded import check_timings, lives_of, read_run
from .refusal import Refused
from .replay import actions_digest, replay
from .rounds import check_rounds

Trust = Literal["reported", "replayed"]
FAULTS = {"invalid_actions", "agent_failures"}

HEADLINE = "normalised_return"
EVERYTHING = "all"
"""Stands where a task would stand: every task that was played, taken together."""

POOLED = (
    *("normalised_return", "reward", "regret", "maturity_breaches", "harm_exposure"),
    *("sponsored_disclosure", "claim_hallucination", "invalid_actions", "agent_failures"),
    *FAMILIES["efficiency"],
)
"""Metrics that are ratios of sums over turns, whatever the task."""


@dataclass(frozen=True)
class VerifiedRun:
    """What a board may keep of a run that survived.

    tasks           every task of the suite in order, played or not
    scores          rows of scores.json, recomputed
    clocked         rows that a clock touched, recomputed from the recorded times
    overall         every metric over all played tasks at once, under the task `EVERYTHING`
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


def verify(run_dir: str | Path, *, watch: Watcher | None = None) -> Verdict:
    """Decide whether the finished run in `run_dir` is what it claims to be.

    watch  as in `evaluate`: called with the number of lives that will be replayed

    Raises InputError where `run_dir` holds no finished run at all; whatever is wrong with a
    finished one is a verdict.
    """
    path, start = Path(run_dir), perf_counter()
    _require_finished(path)
    try:
        run, episodes, steps = _examine(path, watch)
    except Refused as refused:
        return Verdict(path, False, str(refused), 0, 0, perf_counter() - start, None)
    seconds = perf_counter() - start
    reason = f"{episodes} lives of {steps} turns replayed bit for bit in {seconds:.1f} s"
    return Verdict(path, True, reason, episodes, steps, seconds, run)


def _require_finished(path: Path) -> None:
    if not path.is_dir():
        raise InputError(f"{path} is not a run directory; name the --out folder of a run")
    if not (path / "manifest.json").exists():
        raise InputError(f"{path} holds no run (no manifest.json); name the --out folder of one")
    if not (path / "scores.json").exists():
        raise InputError(f"{path} holds no finished run; finish it with tasteshift run … --resume")


def _examine(path: Path, watch: Watcher | None) -> tuple[VerifiedRun, int, int]:
    recorded = read_run(path)
    identity = recorded.manifest.identity
    suite = check_identity(recorded.manifest)
    tasks = tasks_played(suite, (episode.task for episode in recorded.episodes))
    lives = lives_of(recorded, suite, tasks)
    for key, life in lives.items():
        check_rounds(key, life, identity.decoder)
    with watch(len(lives)) if watch else nullcontext(_tell_nobody) as tick:
        steps = replay(suite, lives, tick)
    check_timings(recorded.timings, lives)
    trace = trace_of(path, [asdict(one) for one in recorded.timings])
    run = VerifiedRun(
        manifest=recorded.manifest,
        tasks=tuple(task.name for task in suite.tasks),
        scores=_rescored("scores.json", recorded.scores, trace, tasks, clocked=False),
        clocked=_rescored("timings.json", recorded.clocked, trace, tasks, clocked=True),
        overall=tuple(_overall(trace)),
        trust=_trust(trace, tasks),
        sums=headline_sums(path, trace.unit),
        actions_digest=actions_digest(lives),
        privileged=identity.agent in AGENTS and is_privileged(AGENTS.get(identity.agent)),
    )
    return run, len(lives), steps


def _rescored(
    file: str, told: list[Score], trace: Trace, tasks: tuple[Task, ...], *, clocked: bool
) -> tuple[Score, ...]:
    """The scores computed again; raises Refused where the file tells others."""
    true = score(trace, [task.name for task in tasks], clocked=clocked)
    for old, new in zip(told, true, strict=False):
        for field, value in asdict(new).items():
            claimed = getattr(old, field)
            if claimed != value:
                what = f"{field} {claimed!r} recorded, {value!r} recomputed"
                raise Refused(f"{file}: {new.task} {new.metric}: {what}")
    if len(told) != len(true):
        raise Refused(f"{file}: {len(told)} scores recorded, {len(true)} recomputed")
    return tuple(true)


def _overall(trace: Trace) -> list[Score]:
    """What adds up over lives of any task, over all of them: users stay the clusters.

    The other metrics tell lives apart by seed and user, so they are for one task at a time.
    """
    rows = []
    for name in POOLED:
        metric = METRICS.get(name)
        found = metric.estimate(trace)
        if found is not None:
            numbers = (found.value, found.low, found.high, found.n)
            rows.append(Score(EVERYTHING, name, *numbers, metric.unit, metric.direction))
    return rows


def headline_sums(path: Path, unit: str) -> dict[str, list[list[float]]]:
    """What every cluster of a run directory gained and could have gained, by headline metric."""
    found = sums_of(sums_over(path), HEADLINE, AGENT, unit)
    return {} if found is None else {HEADLINE: found[["top", "bottom"]].to_numpy().tolist()}


def _trust(trace: Trace, tasks: tuple[Task, ...]) -> dict[str, Trust]:
    """Leave only the steps, which were replayed: what can still be computed is replayed too.

    Except for faults: a turn on which an agent failed replays like one on which it abstained.
    """
    steps_alone = replace(
        trace, generations=trace.generations.iloc[:0], decisions=trace.decisions.iloc[:0]
    )
    replayed = {row.metric for row in score(steps_alone, [t.name for t in tasks], clocked=False)}
    return {name: "replayed" if name in replayed - FAULTS else "reported" for name in METRICS}


def _tell_nobody(task: str) -> None:
    """Stands in where nobody watches."""

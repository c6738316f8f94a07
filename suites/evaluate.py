"""One agent through one suite: lives, scores, report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from ..agents import make_agent, uses_language_model
from ..agents.base import Agent
from ..envs.catalogs.catalog import Catalog
from ..envs.catalogs.load import load_catalog
from ..envs.scenarios import SCENARIOS
from ..envs.world import SIMULATOR_VERSION
from ..errors import InputError
from ..records import Identity, Manifest, Score
from .canonical import sha256
from .executors import AGENT_POLICY, AnyAgent, beside, here
from .provenance import provenance
from .rundir import Key, RunDir, read_manifest, read_scores, read_timings
from .suite import COMPANIONS, SUITES, Suite, Task, find_suite

if TYPE_CHECKING:
    import pandas as pd

    from ..metrics.trace import Trace

Ticker = Callable[[str], None]
Watcher = Callable[[int], AbstractContextManager[Ticker]]


@dataclass(frozen=True)
class Run:
    """A finished run.

    out       its directory
    manifest  identity and provenance
    scores    pandas: task, metric, value, low, high, n, unit, direction; those that a clock
              touched come last
    """

    out: Path
    manifest: Manifest
    scores: pd.DataFrame


def evaluate(
    agent: str | Agent,
    suite: str = "quick",
    *,
    seeds: int | None = None,
    users: int | None = None,
    out: str | Path | None = None,
    decoder: str | None = None,
    pair: str | None = None,
    workers: int = 1,
    resume: bool = False,
    watch: Watcher | None = None,
) -> Run:
    """Run `agent` through `suite` and score it.

    agent          a name from ``tasteshift list agents``, or an object with the agent's life
    suite          a name from ``tasteshift list suites``
    seeds, users   numbers of seeds and of users per seed; None for the suite's own
    out            the run directory; None for runs/<suite>-<agent>[-<decoder>]
    decoder, pair  for agents that ask a language model
    workers        processes that live lives side by side; the scores do not depend on it
    resume         go on with the unfinished run in `out`
    watch          called with the number of lives ahead; enters to a function that is told the
                   task of every finished life (how the command line draws its progress bar)

    Raises InputError for anything that the caller can mend, and AgentError where the agent
    fails in a life; what was lived until then stays, and `resume` goes on from there.
    """
    if workers < 1:
        raise InputError(f"--workers must be at least 1, not {workers}")
    chosen = SUITES.get(suite).overridden(users=users, seeds=seeds)
    player = make_agent(agent, decoder=decoder, pair=pair) if isinstance(agent, str) else agent
    manifest = make_manifest(chosen, player, workers)
    path = Path(out) if out is not None else _default_out(manifest.identity)
    planned = keys(tasks_for(chosen, player), chosen.seeds)
    run = (RunDir.resume if resume else RunDir.create)(path, manifest)
    if run.finished:
        return load_run(path)
    ahead = [key for key in planned if key not in run.done]
    alone = workers == 1
    lives = here(chosen, player, ahead) if alone else beside(chosen, player, ahead, workers)
    with (watch or _silent)(len(ahead)) as tick:
        for life in lives:
            run.add(life)
            tick(life.episode.task)
    _conclude(run, chosen)
    return load_run(path)


def make_manifest(suite: Suite, agent: AnyAgent, workers: int) -> Manifest:
    """What identifies this run, and where it comes from."""
    decoder = getattr(agent, "decoder", None)
    pair = getattr(decoder, "pair", None)
    identity = Identity(
        suite=suite.id,
        suite_hash=suite.hash(),
        simulator_version=SIMULATOR_VERSION,
        agent=agent.name,
        agent_config=agent.config(),
        decoder=decoder.name if decoder else "",
        pair=pair.name if pair else "",
        pair_hash=pair.hash if pair else "",
        catalogs=suite.catalogs(),
        seeds=tuple(range(suite.seeds)),
    )
    return Manifest(identity, sha256(asdict(identity)), {**provenance(), "workers": workers})


def tasks_for(suite: Suite, agent: AnyAgent) -> tuple[Task, ...]:
    """The tasks that this agent plays: all, or those made for language models."""
    slow = uses_language_model(agent)
    return tuple(task for task in suite.tasks if task.language_models or not slow)


def keys(tasks: Iterable[Task], seeds: int) -> list[Key]:
    """Every life of a run in playing order: task, seed, user, then the agent before the rest."""
    return [
        (task.name, seed, user, policy)
        for task in tasks
        for seed, user in task.lives(seeds)
        for policy in (AGENT_POLICY, *COMPANIONS)
    ]


def load_run(path: str | Path) -> Run:
    """A finished run read back from disk; raises InputError where it is not one."""
    import pandas as pd

    path = Path(path)
    manifest = read_manifest(path)
    rows = [asdict(score) for score in read_scores(path)] + read_timings(path)["scores"]
    columns = list(Score.__dataclass_fields__)
    return Run(path, manifest, pd.DataFrame(rows, columns=columns))


def _conclude(run: RunDir, suite: Suite) -> None:
    """Gather the parts, score them, write the report, and mark the run finished."""
    from ..metrics.scoring import score
    from .tables import trace_of

    timings = run.gather()
    trace = trace_of(run.path, timings)
    names = [task.name for task in suite.tasks if (trace.steps["task"] == task.name).any()]
    scores = score(trace, names, clocked=False)
    clocked = score(trace, names, clocked=True)
    _report(run.path, run.manifest, [*scores, *clocked], trace)
    run.finish(timings, scores, clocked)


def rewrite_report(path: str | Path) -> Path:
    """Write the report of a finished run again; raises InputError where it is not one."""
    from .tables import trace_of

    path = Path(path)
    scores, timings = read_scores(path), read_timings(path)
    clocked = TypeAdapter(list[Score]).validate_python(timings["scores"])
    trace = trace_of(path, timings["lives"])
    return _report(path, read_manifest(path), [*scores, *clocked], trace)


def _report(path: Path, manifest: Manifest, scores: list[Score], trace: Trace) -> Path:
    """report.html, with the titles and posters of the catalogs that were played."""
    from .report import write_report

    tasks = {task.name: task for task in find_suite(manifest.identity.suite).tasks}

    def catalog(task: str) -> Catalog:
        return load_catalog(tasks[task].catalog)

    return write_report(
        path,
        manifest,
        scores,
        trace,
        label=lambda task, item: catalog(task).label(item),
        poster=lambda task, item: catalog(task).posters[item],
        summaries={name: SCENARIOS.get(task.scenario).summary for name, task in tasks.items()},
        simulated=sorted({name for task in tasks for name in catalog(task).simulated}),
    )


def _default_out(identity: Identity) -> Path:
    parts = (identity.suite, identity.agent, identity.decoder)
    return Path("runs") / "-".join(part for part in parts if part)


def _silent(ahead: int) -> AbstractContextManager[Ticker]:
    def tick(task: str) -> None:
        """Tell nobody."""

    return nullcontext(tick)

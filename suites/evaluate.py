"""One agent through one suite: lives, scores, report."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter

from ..agents import make_agent
from ..agents.protocols import Agent, AnyAgent, PrivilegedAgent, TextAgent, TextModel
from ..envs.catalogs.catalog import Catalog
from ..envs.catalogs.load import load_catalog
from ..envs.simulator.world import SIMULATOR_VERSION
from ..errors import InputError
from ..records import Identity, Manifest, Score
from .canonical import canonical, sha256
from .engine.executors import AGENT, COUNTERFACTUAL, AgentSpec, beside, groups, here, on_dask
from .engine.pickling import pickled
from .engine.provenance import provenance
from .engine.run_directory import RunDir, read_manifest, read_scores, read_timings
from .engine.subprocess_agent import DECISION_SECONDS
from .suite import NAME, Suite, Task, Track, suite_from
from .suite_files import load_suite

if TYPE_CHECKING:
    import pandas as pd

    from ..metrics.trace import Trace

ProgressCallback = Callable[[str], None]
ProgressFactory = Callable[[int], AbstractContextManager[ProgressCallback]]
LONGEST_LIMIT = 1e6
LONGEST_NAME = 100


@dataclass(frozen=True)
class Run:
    """A finished run.

    out       its directory
    manifest  identity and provenance
    scores    pandas: task, metric, value, low, high, n, unit, direction; those that a clock
              touched come last
    trouble   one line on what the agent failed with first, and how often; "" where it never did
    """

    out: Path
    manifest: Manifest
    scores: pd.DataFrame
    trouble: str


def evaluate(
    agent: str | Agent,
    suite: str | Suite = "quick",
    *,
    seeds: int | None = None,
    users: int | None = None,
    track: Track | None = None,
    out: str | Path | None = None,
    decoder: str | None = None,
    pair: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    workers: int = 1,
    executor: Literal["local", "dask"] = "local",
    scheduler: str | None = None,
    time_limit: float = DECISION_SECONDS,
    isolate: bool = True,
    resume: bool = False,
    progress: ProgressFactory | None = None,
) -> Run:
    """Run `agent` through `suite` and score it.

    agent          a name from ``tasteshift list agents``, or an object with the agent's life
    suite          a name from ``tasteshift list suites``, a file of your own, or a `Suite`
    seeds, users   numbers of seeds and of users per seed; None for the suite's own
    track          personal (the agent is cloned for every user) or cohort (it learns across all
                   users of a seed, day by day); None for the suite's own
    out            the run directory; None for runs/<suite>-<agent>[-<decoder>]
    decoder, pair  for agents that ask a language model
    device, dtype  likewise: where its models run (cpu, cuda, …), and the type of their weights
    workers        processes that live lives side by side; the scores do not depend on it
    executor       local, or dask: on the cluster at `scheduler`, or on one of `workers` processes
    time_limit     seconds that one decision may take; the agent's process is ended then
    isolate        False keeps the agent in the runner's process, for a debugger: nothing limits
                   its time then
    resume         go on with the unfinished run in `out`
    watch          called with the number of lives ahead; enters to a function that is told the
                   task of every finished life (how the command line draws its progress bar)

    An agent that raises, hangs, dies or gives unusable actions is not stopped: the turn counts as
    abstention, with its fault. Raises InputError for anything that the caller can mend, and
    AgentError where the agent cannot even be prepared; what was lived stays, and `resume` goes on
    from there.
    """
    if not isinstance(workers, int) or workers < 1:
        raise InputError(f"--workers must be at least 1, not {workers!r}")
    if not 0 < time_limit <= LONGEST_LIMIT:
        raise InputError(
            f"--time-limit must be more than 0 and at most {LONGEST_LIMIT:g} seconds, "
            f"not {time_limit}"
        )
    if executor not in ("local", "dask"):
        raise InputError(f"--executor must be local or dask, not {executor!r}")
    if scheduler is not None and executor != "dask":
        raise InputError("--scheduler is for --executor dask; add that or leave it out")
    found = suite if isinstance(suite, Suite) else load_suite(suite)
    chosen = found.overridden(users=users, seeds=seeds, track=track)
    models = {"decoder": decoder, "pair": pair, "device": device, "dtype": dtype}
    player = make_agent(agent, **models) if isinstance(agent, str) else agent
    check_agent(player)
    manifest = make_manifest(chosen, player, {"workers": workers, "executor": executor})
    path = Path(out) if out is not None else _default_out(manifest.identity)
    run = (RunDir.resume if resume else RunDir.create)(path, manifest)
    with closing(run):
        if not run.finished:
            how = {"executor": executor, "scheduler": scheduler, "workers": workers}
            _live(run, chosen, player, how, isolate, time_limit, progress or no_progress)
    return load_run(path)


def _live(
    run: RunDir,
    suite: Suite,
    player: AnyAgent,
    how: dict[str, Any],
    isolate: bool,
    time_limit: float,
    progress: ProgressFactory,
) -> None:
    """Live what is left to live, and conclude the run."""
    tasks = tasks_for(suite, player)
    others = sorted({name for task in tasks for name in task.references})
    cast = AgentSpec(
        recipe=pickled(player),
        references=tuple((name, pickled(make_agent(name))) for name in others),
        isolated=isolate and not isinstance(player, PrivilegedAgent),
        limit=time_limit,
        calendar=suite.track == "cohort",
    )
    planned = list(groups(suite, tasks, player))
    foreign = run.done.difference(key for group in planned for key in group.keys)
    if foreign:
        raise InputError(
            f"{run.path / 'episodes.jsonl'} was changed: {min(foreign)} is no life of this run"
        )
    ahead = [group for group in planned if not run.done.issuperset(group.keys)]
    if how["executor"] == "dask":
        lived = on_dask(cast, ahead, how["scheduler"], how["workers"])
    elif how["workers"] == 1:
        lived = here(cast, ahead)
    else:
        lived = beside(cast, ahead, how["workers"])
    with progress(sum(len(group.keys) for group in ahead)) as tick, closing(lived):
        for lives in lived:
            for life in lives:
                run.add(life)
                tick(life.episode.task)
    _conclude(run, suite)


def make_manifest(suite: Suite, agent: AnyAgent, how: dict[str, Any]) -> Manifest:
    """What identifies this run, and where it comes from.

    how  joins the provenance
    """
    model = agent.text_model() if isinstance(agent, TextAgent) else TextModel("", "", "")
    identity = Identity(
        suite=suite.id,
        suite_hash=suite.hash(),
        simulator_version=SIMULATOR_VERSION,
        agent=agent.name,
        agent_config=agent.config(),
        decoder=model.decoder,
        pair=model.pair,
        pair_hash=model.pair_hash,
        catalogs=suite.catalogs(),
        seeds=tuple(range(suite.seeds)),
    )
    return Manifest(identity, sha256(asdict(identity)), suite.document(), {**provenance(), **how})


def check_agent(agent: Any) -> None:
    """Raise InputError for what cannot be an agent: said before anything is lived."""
    kind = type(agent).__name__
    start = "start_with_ground_truth" if isinstance(agent, PrivilegedAgent) else "start"
    members = ("config", "prepare", start)
    missing = [name for name in members if not callable(getattr(agent, name, None))]
    if isinstance(agent, type) or missing:
        what = f"has no {', '.join(missing)}" if missing else "is a class; pass an instance of it"
        raise InputError(f"agent {kind!r} {what} (see docs/agents.md)")
    name = getattr(agent, "name", None)
    if not (isinstance(name, str) and re.fullmatch(NAME, name) and len(name) <= LONGEST_NAME):
        raise InputError(
            f"the name of agent {kind!r} must be at most {LONGEST_NAME} letters, digits, '.', '_' "
            f"and '-', not {name!r}"
        )
    try:
        config = agent.config()
        canonical(config)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"config() of agent {name!r} gives no JSON values: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"config() of agent {name!r} must give a dictionary, not {config!r}")


def tasks_for(suite: Suite, agent: AnyAgent) -> tuple[Task, ...]:
    """The tasks that this agent plays: all, or those made for language models."""
    slow = isinstance(agent, TextAgent)
    return tuple(task for task in suite.tasks if task.language_models or not slow)


def load_run(path: str | Path) -> Run:
    """A finished run read back from disk; raises InputError where it is not one."""
    import pandas as pd

    path = Path(path)
    manifest = read_manifest(path)
    scores, timings = read_scores(path), read_timings(path)
    rows = [asdict(score) for score in scores] + timings["scores"]
    columns = list(Score.__dataclass_fields__)
    return Run(path, manifest, pd.DataFrame(rows, columns=columns), _trouble(timings["lives"]))


def _trouble(lives: list[dict[str, Any]]) -> str:
    """What went wrong with the agent first, and in how many of its lives."""
    own = [life for life in lives if life["policy"] in (AGENT, COUNTERFACTUAL)]
    bad = [life for life in own if life["error"]]
    if not bad:
        return ""
    first = "{task}, seed {seed}, user {user}: {error}".format(**bad[0])
    return f"the agent failed in {len(bad)} of {len(own)} lives; first in {first}"


def _conclude(run: RunDir, suite: Suite) -> None:
    """Gather the parts, score them task by task, write the report, and mark the run finished."""
    from ..metrics.scoring import score_task
    from .engine.traces import traces_of

    timings = run.gather()
    traces = traces_of(run.path, timings)
    played = {task for task, *_ in run.done}
    scores: list[Score] = []
    clocked: list[Score] = []
    for task in (task.name for task in suite.tasks if task.name in played):
        trace = traces(task)
        scores += score_task(trace, task, clocked=False)
        clocked += score_task(trace, task, clocked=True)
    _report(run.path, run.manifest, [*scores, *clocked], traces)
    run.finish(timings, scores, clocked)


def rewrite_report(path: str | Path) -> Path:
    """Write the report of a finished run again; raises InputError where it is not one."""
    from .engine.traces import traces_of

    path = Path(path)
    scores, timings = read_scores(path), read_timings(path)
    clocked = TypeAdapter(list[Score]).validate_python(timings["scores"])
    traces = traces_of(path, timings["lives"])
    return _report(path, read_manifest(path), [*scores, *clocked], traces)


def _report(
    path: Path, manifest: Manifest, scores: list[Score], traces: Callable[[str], Trace]
) -> Path:
    """report.html, with the titles and posters of the catalogs that were played."""
    from .report.page import Details, write_report

    suite = suite_from(manifest.suite, "manifest.json: suite")
    tasks = {task.name: task for task in suite.tasks}
    unknown = {score.task for score in scores} - set(tasks)
    if unknown:
        what = f"{min(unknown)} is no task of the run"
        raise InputError(f"{path / 'scores.json'} was changed: {what}")

    def catalog(task: str) -> Catalog:
        return load_catalog(tasks[task].catalog)

    details = Details(
        title=lambda task, item: catalog(task).label(item),
        picture=lambda task, item: catalog(task).posters[item],
        tasks={name: task.summary for name, task in tasks.items()},
        simulated=sorted({name for task in tasks for name in catalog(task).simulated}),
    )
    return write_report(path, manifest, scores, traces, details)


def _default_out(identity: Identity) -> Path:
    parts = (identity.suite, identity.agent, identity.decoder)
    return Path("runs") / "-".join(part for part in parts if part)


def no_progress(ahead: int) -> AbstractContextManager[ProgressCallback]:
    """The `ProgressFactory` where nobody watches."""

    def tick(task: str) -> None:
        """Tell nobody."""

    return nullcontext(tick)

"""Run one agent through one suite: episodes, scores, report."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..agents import make_agent
from ..agents.protocols import Agent, AnyAgent, PrivilegedAgent, TextAgent, TextModel
from ..envs.simulator.world import SIMULATOR_VERSION
from ..errors import InputError
from ..records import AGENT, COUNTERFACTUAL, Identity, Manifest, Score
from .engine.batches import episode_batches
from .engine.executors import ExecutorOptions, run_batches
from .engine.pickling import pickled
from .engine.progress import ProgressFactory, no_progress
from .engine.provenance import provenance
from .engine.run_directory.reader import read_manifest, read_scores
from .engine.run_directory.schema import FORMAT_VERSION
from .engine.run_directory.timings import read_timings
from .engine.run_directory.writer import RunDirectory
from .engine.subprocess_agent import DECISION_SECONDS
from .engine.worker import AgentSpec
from .serialization import canonical_json, sha256
from .suite import NAME, Suite, Task, Track
from .suite_files import load_suite

if TYPE_CHECKING:
    import pandas as pd

LONGEST_LIMIT = 1e6
LONGEST_NAME = 100


@dataclass(frozen=True)
class Run:
    """A finished run.

    out       its directory
    manifest  identity and provenance
    scores    pandas: task, metric, value, low, high, n, unit, direction; those of measured
              times come last
    failures  one line on the agent's first error, and how often it failed; "" where it never did
    """

    out: Path
    manifest: Manifest
    scores: pd.DataFrame
    failures: str


@dataclass(frozen=True)
class RunOptions:
    """How episodes are run; no option changes a score.

    time_limit  seconds that one decision of an isolated agent may take
    isolate     whether the agent gets a process of its own
    executor    where episodes are played
    progress    see `engine.progress`

    Raises InputError for values that no run could use.
    """

    time_limit: float = DECISION_SECONDS
    isolate: bool = True
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)
    progress: ProgressFactory = no_progress

    def __post_init__(self) -> None:
        if not 0 < self.time_limit <= LONGEST_LIMIT:
            raise InputError(
                f"--time-limit must be more than 0 and at most {LONGEST_LIMIT:g} seconds, "
                f"not {self.time_limit}"
            )


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

    agent          a name from ``tasteshift list agents``, or an object with the agent protocol
    suite          a name from ``tasteshift list suites``, a file of your own, or a `Suite`
    seeds, users   numbers of seeds and of users per seed; None for the suite's own
    track          personal (the agent is cloned for every user) or cohort (it learns across all
                   users of a seed, day by day); None for the suite's own
    out            the run directory; None for runs/<suite>-<agent>[-<decoder>]
    decoder, pair  for agents that use a language model
    device, dtype  likewise: where its models run (cpu, cuda, …), and the type of their weights
    workers        processes that play episodes in parallel; the scores do not depend on it
    executor       local, or dask: on the cluster at `scheduler`, or on one of `workers` processes
    time_limit     seconds that one decision may take; the agent's process is ended then
    isolate        False keeps the agent in this process, for a debugger, without a time limit
    resume         go on with the unfinished run in `out`
    progress       called with the number of episodes to come; the context that it returns yields
                   a function that is called with the task of every finished episode

    An agent that raises, hangs, dies or gives unusable actions does not stop the run: the turn
    counts as abstention, with its fault. Raises InputError for anything that the caller can fix,
    and AgentError where the agent cannot even be prepared; finished episodes stay, and `resume`
    goes on from there.
    """
    place = ExecutorOptions(executor, workers, scheduler)
    options = RunOptions(time_limit, isolate, place, progress or no_progress)
    found = suite if isinstance(suite, Suite) else load_suite(suite)
    chosen = found.overridden(users=users, seeds=seeds, track=track)
    models = {"decoder": decoder, "pair": pair, "device": device, "dtype": dtype}
    made = make_agent(agent, **models) if isinstance(agent, str) else agent
    check_agent(made)
    manifest = make_manifest(chosen, made, place)
    path = Path(out) if out is not None else _default_out(manifest.identity)
    run = (RunDirectory.resume if resume else RunDirectory.create)(path, manifest)
    with closing(run):
        if not run.finished:
            _run_episodes(run, chosen, made, options)
            _conclude(run, chosen)
    return load_run(path)


def _run_episodes(run: RunDirectory, suite: Suite, agent: AnyAgent, options: RunOptions) -> None:
    """Play the episodes that `run` does not hold yet."""
    tasks = tasks_for(suite, agent)
    references = sorted({name for task in tasks for name in task.references})
    spec = AgentSpec(
        agent=pickled(agent),
        references=tuple((name, pickled(make_agent(name))) for name in references),
        isolated=options.isolate and not isinstance(agent, PrivilegedAgent),
        time_limit=options.time_limit,
        cohort=suite.track == "cohort",
    )
    batches = list(episode_batches(suite, tasks, agent))
    unknown = run.done.difference(key for batch in batches for key in batch.keys)
    if unknown:
        raise InputError(
            f"{run.path / 'episodes.jsonl'} was changed: {min(unknown)} is no episode of this run"
        )
    left = [batch for batch in batches if not run.done.issuperset(batch.keys)]
    results = run_batches(spec, left, options.executor)
    with options.progress(sum(len(batch.keys) for batch in left)) as update, closing(results):
        for batch in results:
            for result in batch:
                run.add(result)
                update(result.episode.task)


def _conclude(run: RunDirectory, suite: Suite) -> None:
    """Score the run, write its report, and mark it finished."""
    from .engine.scoring import score_and_finish
    from .run_report import write_run_report

    played = {task for task, *_ in run.done}
    score_and_finish(
        run,
        [task.name for task in suite.tasks if task.name in played],
        lambda scores, traces: write_run_report(run.path, run.manifest, scores, traces),
    )


def make_manifest(suite: Suite, agent: AnyAgent, place: ExecutorOptions) -> Manifest:
    """Identity and provenance of a run; `place` joins the provenance."""
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
    where = {**provenance(), "workers": place.workers, "executor": place.executor}
    return Manifest(FORMAT_VERSION, identity, sha256(asdict(identity)), suite.to_dict(), where)


def check_agent(agent: Any) -> None:
    """Raise InputError for what cannot be an agent, before any episode is run."""
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
        canonical_json(config)
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
    return Run(path, manifest, pd.DataFrame(rows, columns=columns), _trouble(timings["episodes"]))


def _trouble(episodes: list[dict[str, Any]]) -> str:
    """The agent's first error, and in how many of its episodes it failed."""
    own = [one for one in episodes if one["policy"] in (AGENT, COUNTERFACTUAL)]
    failed = [one for one in own if one["error"]]
    if not failed:
        return ""
    first = "{task}, seed {seed}, user {user}: {error}".format(**failed[0])
    return f"the agent failed in {len(failed)} of {len(own)} episodes; first in {first}"


def _default_out(identity: Identity) -> Path:
    parts = (identity.suite, identity.agent, identity.decoder)
    return Path("runs") / "-".join(part for part in parts if part)

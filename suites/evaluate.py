"""One agent through one suite: lives, scores, report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from ..agents import make_agent, uses_language_model
from ..agents.base import Agent, PrivilegedAgent
from ..envs.catalogs.catalog import Catalog
from ..envs.catalogs.load import load_catalog
from ..envs.lifelong import Lifelong
from ..envs.log import public_world
from ..envs.scenarios import SCENARIOS
from ..envs.world import SIMULATOR_VERSION
from ..records import Identity, Manifest, Score
from .canonical import sha256
from .play import Life, play
from .provenance import provenance
from .rundir import Key, RunDir, read_manifest, read_scores, read_timings
from .suite import COMPANIONS, SUITES, Suite, Task, find_suite

if TYPE_CHECKING:
    import pandas as pd

    from ..metrics.trace import Trace

AnyAgent = Agent | PrivilegedAgent
AGENT_POLICY = "agent"
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
    resume: bool = False,
    watch: Watcher | None = None,
) -> Run:
    """Run `agent` through `suite` and score it.

    agent          a name from ``tasteshift list agents``, or an object with the agent's life
    suite          a name from ``tasteshift list suites``
    seeds, users   numbers of seeds and of users per seed; None for the suite's own
    out            the run directory; None for runs/<suite>-<agent>[-<decoder>]
    decoder, pair  for agents that ask a language model
    resume         go on with the unfinished run in `out`
    watch          called with the number of lives ahead; enters to a function that is told the
                   task of every finished life (how the command line draws its progress bar)

    Raises InputError for anything that the caller can mend, and AgentError where the agent
    fails in a life; what was lived until then stays, and `resume` goes on from there.
    """
    chosen = SUITES.get(suite).overridden(users=users, seeds=seeds)
    player = make_agent(agent, decoder=decoder, pair=pair) if isinstance(agent, str) else agent
    manifest = make_manifest(chosen, player)
    path = Path(out) if out is not None else _default_out(manifest.identity)
    planned = keys(tasks_for(chosen, player), chosen.seeds)
    run = (RunDir.resume if resume else RunDir.create)(path, manifest)
    if run.finished:
        return load_run(path)
    cast = Cast(player)
    ahead = [key for key in planned if key not in run.done]
    with (watch or _silent)(len(ahead)) as tick:
        for life in lives(chosen, cast, ahead):
            run.add(life)
            tick(life.episode.task)
    _conclude(run, chosen)
    return load_run(path)


def make_manifest(suite: Suite, agent: AnyAgent) -> Manifest:
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
    return Manifest(identity, sha256(asdict(identity)), provenance())


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


class Cast:
    """The agent under test and the companions, prepared once per catalog and slate size."""

    def __init__(self, agent: AnyAgent | None) -> None:
        self._players = {name: make_agent(name) for name in COMPANIONS}
        if agent is not None:
            self._players[AGENT_POLICY] = agent
        self._prepared_for: dict[str, tuple[str, int]] = {}

    def player(self, policy: str, env: Lifelong) -> AnyAgent:
        """The agent that lives lives of `policy`, ready for the environment's world."""
        agent, world = self._players[policy], env.world
        needed = (world.catalog.name, world.slate_size)
        if self._prepared_for.get(policy) != needed:
            agent.prepare(public_world(world))
            self._prepared_for[policy] = needed
        return agent


def lives(suite: Suite, cast: Cast, ahead: list[Key]) -> Iterator[Life]:
    """Live the lives with the given keys, one after the other."""
    tasks = {task.name: task for task in suite.tasks}
    env: Lifelong | None = None
    current: Task | None = None
    for name, seed, user, policy in ahead:
        if env is None or current is not tasks[name]:
            current = tasks[name]
            env = current.make()
        agent = cast.player(policy, env)
        yield play(env, agent, task=name, seed=seed, user=user, policy=policy)


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

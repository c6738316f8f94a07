"""Executors, batches and cohorts: the same bytes everywhere, and the right order of days."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tasteshift.envs.lifelong import Lifelong
from tasteshift.errors import AgentError, InputError
from tasteshift.records import Action
from tasteshift.suites.engine.batches import EPISODES_PER_BATCH, episode_batches
from tasteshift.suites.engine.episode_runner import EpisodeRunner
from tasteshift.suites.engine.in_process_agent import InProcessAgent
from tasteshift.suites.engine.stepping import play_by_day
from tasteshift.suites.evaluate import evaluate
from tasteshift.suites.suite import SUITES, Suite, Task

FILES = ("episodes.jsonl", "scores.json", "steps.parquet", "generations.parquet")


def same(one, two):
    return [name for name in FILES if (one / name).read_bytes() != (two / name).read_bytes()] == []


@contextmanager
def scheduler():
    """A Dask scheduler and a worker in processes of their own, as on a cluster."""
    code = (
        "import asyncio, distributed\n"
        "async def main():\n"
        "    async with distributed.Scheduler(port=0, dashboard=False) as scheduler:\n"
        "        print(scheduler.address, flush=True)\n"
        "        await scheduler.finished()\n"
        "asyncio.run(main())\n"
    )
    python = [sys.executable, "-P"]
    apart = subprocess.Popen([*python, "-c", code], stdout=subprocess.PIPE, text=True)
    address = apart.stdout.readline().strip()
    worker = subprocess.Popen(
        [*python, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield address
    finally:
        for process in (worker, apart):
            process.terminate()
            process.wait()
        apart.stdout.close()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "run"
    evaluate("linucb", "smoke", users=3, out=out)
    return out


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 2},
        {"workers": 4},
        {"isolate": False},
        {"executor": "dask", "workers": 2},
    ],
    ids=str,
)
def test_every_executor_gives_the_same_bytes(alone, tmp_path, options):
    evaluate("linucb", "smoke", users=3, out=tmp_path / "run", **options)
    assert same(alone, tmp_path / "run")


def test_a_dask_scheduler_elsewhere_gives_the_same_bytes(alone, tmp_path):
    with scheduler() as address:
        evaluate(
            "linucb", "smoke", users=3, out=tmp_path / "run", executor="dask", scheduler=address
        )
    assert same(alone, tmp_path / "run")


def counting(*, batched=False):
    """Learns across users if it may: shows items 0 … k for the k-th turn that it ever served."""

    class Counting:
        name = "counting"

        def __init__(self):
            self.served = []
            if batched:
                self.act_batch = self.together

        def config(self):
            return {}

        def prepare(self, world):
            pass

        def start(self, brief):
            return Session(self, brief.user)

        def together(self, sessions, observations):
            self.served.append(len(sessions))
            return [Action((len(sessions) % 60,)) for _ in sessions]

    class Session:
        def __init__(self, agent, user):
            self.agent, self.user = agent, user

        def act(self, observation):
            self.agent.served.append((observation.day, self.user, observation.session))
            return Action((len(self.agent.served) % 60,))

    return Counting()


def shown(out, task="smoke/stationary"):
    from tasteshift.suites.engine.run_directory.reader import read_table
    from tasteshift.suites.engine.run_directory.schema import STEPS

    table = read_table(out / "steps.parquet", STEPS).to_pandas()
    mine = table[(table.policy == "agent") & (table.task == task)]
    episodes = mine.groupby(["seed", "user"])
    return {key: [list(slate) for slate in one.slate] for key, one in episodes}


@pytest.mark.parametrize("workers", [1, 2])
def test_on_the_personal_track_every_user_meets_the_agent_as_prepared(tmp_path, workers):
    evaluate(counting(), "smoke", users=3, workers=workers, out=tmp_path / "run")
    assert list(shown(tmp_path / "run").values()) == [[[1], [2], [3], [4]]] * 3


def test_on_the_cohort_track_it_learns_day_by_day_and_shards_leave_no_mark(tmp_path):
    for name, options in {
        "one": {},
        "two": {"workers": 2},
        "dask": {"executor": "dask", "workers": 2},
    }.items():
        out = tmp_path / name
        run = evaluate(counting(), "smoke", users=3, seeds=2, track="cohort", out=out, **options)
    assert same(tmp_path / "one", tmp_path / "two")
    assert same(tmp_path / "one", tmp_path / "dask")
    assert run.scores["n"].max() == 2
    for seed in (0, 1):
        episodes = [one for key, one in sorted(shown(tmp_path / "one").items()) if key[0] == seed]
        first_day = [one[:2] for one in episodes]
        assert first_day == [[[1], [2]], [[3], [4]], [[5], [6]]]
        assert [one[2:] for one in episodes] == [[[7], [8]], [[9], [10]], [[11], [12]]]


def test_calendar_order_where_users_come_and_go(tmp_path):
    agent = counting()
    source = InProcessAgent(agent)
    runners = [
        EpisodeRunner(
            Lifelong("synthetic:60", "retention", slate_size=3),
            task="t",
            seed=1,
            user=user,
            policy="agent",
        )
        for user in range(6)
    ]
    source.reset()
    play_by_day(source, runners)
    served = source._clone.served
    assert [day for day, *_ in served] == sorted(day for day, *_ in served)
    assert len({day for day, *_ in served}) > 3
    visits = [(user, session) for _, user, session in served]
    runs = [
        visit for before, visit in zip([None, *visits], visits, strict=False) if visit != before
    ]
    assert len(runs) == len(set(runs))


def test_batch_agents_decide_for_the_same_episodes_together(tmp_path):
    users = EPISODES_PER_BATCH + 2
    for workers in (1, 2):
        evaluate(
            counting(batched=True),
            "smoke",
            users=users,
            workers=workers,
            isolate=workers == 1,
            out=tmp_path / f"{workers}",
        )
    assert same(tmp_path / "1", tmp_path / "2")
    sizes = [one[0][0] for _, one in sorted(shown(tmp_path / "1").items())]
    assert sizes == [EPISODES_PER_BATCH] * EPISODES_PER_BATCH + [2] * 2


def test_batched_decisions_give_the_episodes_of_single_ones(tmp_path):
    """linucb decides alike for sixteen users at a time and for one."""
    from tasteshift.agents.linucb import LinUcbAgent

    class Batched(LinUcbAgent):
        def act_batch(self, sessions, observations):
            return [s.act(o) for s, o in zip(sessions, observations, strict=True)]

    evaluate("linucb", "smoke", users=5, out=tmp_path / "single")
    evaluate(Batched(), "smoke", users=5, out=tmp_path / "batched")
    assert same(tmp_path / "single", tmp_path / "batched")


def test_the_batches_of_a_suite_hold_every_episode_once():
    suite = SUITES.get("smoke").overridden(users=20, seeds=2)
    for track in ("personal", "cohort"):
        for agent in (counting(), counting(batched=True)):
            found = list(episode_batches(suite.overridden(track=track), suite.tasks, agent))
            keys = [key for group in found for key in group.keys]
            assert len(keys) == len(set(keys)) == 2 * 20 * (4 + 4)
    assert (
        len(list(episode_batches(suite.overridden(track="cohort"), suite.tasks, counting()))) == 4
    )


def killer(path, times):
    """Kills the worker that plays it, `times` times in all."""

    class Killer:
        name = "killer"

        def config(self):
            return {}

        def prepare(self, world):
            pass

        def start(self, brief):
            return self

        def act(self, observation):
            import pathlib

            marks = pathlib.Path(path)
            done = len(list(marks.iterdir()))
            if done < times:
                (marks / str(done)).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return Action((0,))

    return Killer()


@pytest.mark.filterwarnings("ignore:A worker stopped")
@pytest.mark.parametrize(("times", "survives"), [(2, True), (99, False)])
def test_a_worker_that_dies_is_replaced(tmp_path, times, survives):
    """The agent is not isolated here, so that its death is the worker's."""
    (tmp_path / "marks").mkdir()
    agent = killer(str(tmp_path / "marks"), times)
    options = {"users": 2, "workers": 2, "isolate": False}
    if survives:
        evaluate(agent, "smoke", out=tmp_path / "run", **options)
        assert list(shown(tmp_path / "run").values()) == [[[0]] * 4] * 2
    else:
        with pytest.raises(AgentError, match="workers died 3 times in a row"):
            evaluate(agent, "smoke", out=tmp_path / "run", **options)


def stateful():
    """Draws once more from the same stream for every world that it is prepared for."""
    import numpy as np

    class Stateful:
        name = "stateful"

        def __init__(self):
            self.rng = np.random.default_rng(0)

        def config(self):
            return {}

        def prepare(self, world):
            self.first = int(self.rng.integers(50))

        def start(self, brief):
            return self

        def act(self, observation):
            return Action((self.first,))

    return Stateful()


@pytest.mark.parametrize("isolate", [True, False])
def test_an_agent_is_prepared_anew_for_every_environment(tmp_path, isolate):
    tasks = tuple(Task(f"worlds/{n}", f"synthetic:{n}", "stationary", 3, 2, 1, 2) for n in (60, 80))
    out = tmp_path / "run"
    evaluate(stateful(), Suite("worlds", 1, "", tasks), out=out, isolate=isolate)
    one, two = (list(shown(out, task.name).values()) for task in tasks)
    assert one == two


def test_joblib_without_processes_runs_every_episode(alone, tmp_path, monkeypatch):
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import tasteshift\n"
        "from tasteshift.suites.suite import Suite, Task\n"
        "tasks = (Task('s/t', 'synthetic:60', 'stationary', 3, 2, 1, 2),)\n"
        "suite = Suite('s', 1, '', tasks)\n"
        "run = tasteshift.evaluate('popular', suite, workers=2, out=sys.argv[1])\n"
        "print(len(run.scores))\n"
    )
    environment = {**os.environ, "JOBLIB_MULTIPROCESSING": "0"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, str(tmp_path / "run")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3


def test_workers_need_not_know_what_a_program_registered(tmp_path):
    """A scenario and a reference policy that exist in this process only."""
    from dataclasses import replace

    from tasteshift.agents import AGENTS
    from tasteshift.agents.popular import PopularAgent
    from tasteshift.envs.simulator.scenarios import SCENARIOS

    SCENARIOS.register("test-only", replace(SCENARIOS.get("gradual-drift"), name="test-only"))
    AGENTS.register("test-reference", PopularAgent)
    try:
        met = ("random", "frozen-oracle", "oracle", "test-reference")
        task = Task("own/t", "synthetic:60", "test-only", 3, 3, 2, 2, references=met)
        suite = Suite("own", 1, "", (task,))
        for workers in (1, 2):
            evaluate("popular", suite, workers=workers, out=tmp_path / f"{workers}")
    finally:
        del SCENARIOS._entries["test-only"], AGENTS._entries["test-reference"]
    assert same(tmp_path / "1", tmp_path / "2")


def test_a_scheduler_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="no Dask scheduler at 'nonsense'"):
        evaluate("popular", "smoke", out=tmp_path / "r", executor="dask", scheduler="nonsense")
    assert not (tmp_path / "r").exists()

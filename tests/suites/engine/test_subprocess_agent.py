"""Agents that fail: every fault is counted, costs its turn or its episode, and the run goes on."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tasteshift.errors import AgentError, InputError
from tasteshift.records import Action, Claim
from tasteshift.suites.engine.run_directory.reader import read_table
from tasteshift.suites.engine.run_directory.schema import STEPS
from tasteshift.suites.evaluate import evaluate

USERS = 3
TURNS = 2 * 2


def agent(misbehave=None, *, when=(1, 0), users=None, prepare=None, start=None):
    """Shows items 0, 1, 2; in one turn of the episodes of `users` it calls `misbehave` instead."""

    class Troublemaker:
        name = "troublemaker"

        def config(self):
            return {}

        def prepare(self, world):
            if prepare:
                prepare()

        def start(self, brief):
            if start:
                start()
            return Session(users is None or brief.user in users)

    class Session:
        def __init__(self, bad):
            self.bad = bad

        def act(self, observation):
            if self.bad and misbehave and (observation.session, observation.turn) == when:
                return misbehave()
            return Action((0, 1, 2))

    return Troublemaker()


def faults(out, policy="agent"):
    """user -> faults of its turns, on the task of four turns."""
    table = read_table(out / "steps.parquet", STEPS).to_pandas()
    mine = table[(table.policy == policy) & (table.task == "smoke/stationary")]
    return {user: list(episode.fault) for user, episode in mine.groupby("user")}


def run(tmp_path, player, **options):
    out = tmp_path / "run"
    finished = evaluate(player, "smoke", users=USERS, out=out, **options)
    return finished, faults(out)


def raises():
    raise ZeroDivisionError("no idea")


def hangs():
    time.sleep(3600)


def dies():
    os.kill(os.getpid(), signal.SIGKILL)


def leaves():
    os._exit(3)


def exits():
    sys.exit("enough")


def test_leaving_by_the_front_door_costs_its_turn_too(tmp_path):
    finished, found = run(tmp_path, agent(exits))
    assert list(found.values()) == [["", "", "raised", ""]] * USERS
    assert "SystemExit: enough" in finished.failures


@pytest.mark.parametrize("isolate", [True, False])
def test_an_agent_that_cannot_be_cloned_gets_a_clear_error(tmp_path, isolate):
    uncloned = agent()

    def prepare(world):
        uncloned.lock = threading.Lock()

    uncloned.prepare = prepare
    with pytest.raises(AgentError, match=r"cannot be cloned for every user.*give it a method"):
        run(tmp_path, uncloned, isolate=isolate)


@pytest.mark.parametrize("isolate", [True, False])
def test_an_exception_costs_its_turn(tmp_path, isolate):
    finished, found = run(tmp_path, agent(raises), isolate=isolate)
    assert list(found.values()) == [["", "", "raised", ""]] * USERS
    assert finished.failures.startswith("the agent failed in 6 of 6 episodes; first in smoke/")
    assert finished.failures.endswith("ZeroDivisionError: no idea")
    scores = finished.scores.query("task == 'smoke/stationary'").set_index("metric")["value"]
    assert scores["agent_failures"] == pytest.approx(1 / TURNS)
    assert scores["invalid_actions"] == 0


@pytest.mark.parametrize(("misbehave", "fault"), [(dies, "died"), (leaves, "died")])
def test_a_dead_process_costs_the_rest_of_the_episode_only(tmp_path, misbehave, fault):
    first = min(faults(evaluate(agent(), "smoke", users=USERS, out=tmp_path / "well").out))
    _, found = run(tmp_path, agent(misbehave, users=(first,)))
    assert found.pop(first) == ["", "", fault, fault]
    assert list(found.values()) == [[""] * TURNS] * (USERS - 1)


def test_a_hang_is_ended_in_time(tmp_path):
    begun = time.monotonic()
    finished, found = run(tmp_path, agent(hangs, when=(0, 1)), time_limit=0.5)
    assert list(found.values()) == [["", "timeout", "timeout", "timeout"]] * USERS
    assert time.monotonic() - begun < 60
    assert "no answer within 0.5 seconds" in finished.failures


@pytest.mark.parametrize(
    "garbage",
    [
        lambda: None,
        lambda: "slate",
        lambda: [0, 1],
        lambda: Action((0, 0)),
        lambda: Action((0, 1, 2, 3)),
        lambda: Action((60,)),
        lambda: Action((-1,)),
        lambda: Action((2**80,)),
        lambda: Action((0.0,)),
        lambda: Action((0,), claims=(Claim(99, "year", 1.0),)),
        lambda: Action((0,), claims=(Claim(0, "year", float("nan")),)),
        lambda: Action((0,), claims=(Claim(0, "year", 1.0),) * 1000),
        lambda: Action((0,), profile=(1.0,)),
        lambda: Action((0,), profile=("a",)),
    ],
)
def test_garbage_is_invalid_and_the_episode_goes_on(tmp_path, garbage):
    finished, found = run(tmp_path, agent(garbage), isolate=False)
    assert list(found.values()) == [["", "", "invalid", ""]] * USERS
    table = read_table(finished.out / "steps.parquet", STEPS).to_pandas()
    shown = table[table.fault == "invalid"]
    assert not shown.slate.map(len).any()
    assert not shown.reward.any()


def test_garbage_crosses_the_process_border_as_garbage(tmp_path):
    _, found = run(tmp_path, agent(lambda: object()))
    assert list(found.values()) == [["", "", "invalid", ""]] * USERS


def test_what_an_agent_prints_does_not_reach_the_run(tmp_path, capfd):
    def chatty():
        print('{"answer": []}')
        return Action((0,))

    _, found = run(tmp_path, agent(chatty))
    assert list(found.values()) == [[""] * TURNS] * USERS
    assert capfd.readouterr().out == ""


def test_a_failing_start_costs_the_episode(tmp_path):
    finished, found = run(tmp_path, agent(start=raises))
    assert list(found.values()) == [["raised"] * TURNS] * USERS
    assert "start: ZeroDivisionError" in finished.failures


@pytest.mark.parametrize("misbehave", [raises, leaves])
def test_an_agent_that_cannot_be_prepared_stops_the_run_and_leaves_nothing(tmp_path, misbehave):
    with pytest.raises(AgentError, match="cannot be prepared"):
        run(tmp_path, agent(prepare=misbehave))
    assert not (tmp_path / "run").exists()


def test_what_a_person_can_mend_stays_an_input_error(tmp_path):
    def wants():
        raise InputError("needs a model; install it")

    with pytest.raises(InputError, match="needs a model; install it"):
        run(tmp_path, agent(prepare=wants))


def test_an_agent_that_cannot_be_pickled_is_refused(tmp_path):
    class Rooted:
        name = "rooted"

        def __init__(self):
            self.held = threading.Lock()

        def config(self):
            return {}

        def prepare(self, world):
            pass

        def start(self, brief):
            pass

    with pytest.raises(InputError, match="cannot be pickled"):
        evaluate(Rooted(), "smoke", out=tmp_path / "run")


def test_the_agents_process_ends_with_its_parent(tmp_path):
    """Even where the agent hangs for ever and the runner is killed without warning."""
    pid = tmp_path / "pid"
    script = tmp_path / "script.py"
    script.write_text(
        "import os, time, tasteshift\n"
        "from tasteshift.suites.suite import Suite, Task\n"
        "class Stuck:\n"
        "    name = 'stuck'\n"
        "    def config(self): return {}\n"
        "    def prepare(self, world): pass\n"
        "    def start(self, brief): return self\n"
        "    def act(self, observation):\n"
        f"        open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        "        while True: time.sleep(1)\n"
        "suite = Suite('s', 1, '', (Task('s/t', 'synthetic:60', 'stationary', 3, 2, 2, 2),))\n"
        f"tasteshift.evaluate(Stuck(), suite, out={str(tmp_path / 'run')!r})\n"
    )
    runner = subprocess.Popen([sys.executable, "-P", str(script)])
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < deadline
        assert runner.poll() is None
        time.sleep(0.05)
    runner.kill()
    runner.wait()
    while alive(int(pid.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_agents_memory_is_its_own(tmp_path):
    """Not that of the runner, whose peak a process started from it would seem to have had."""
    held = np.ones(125_000_000)
    finished, _ = run(tmp_path, agent())
    peaks = finished.scores.query("metric == 'peak_memory'")["value"]
    assert held.nbytes == 1e9
    assert (peaks > 5e7).all()
    assert (peaks < 8e8).all()

"""Agents that want their turn back.

Whoever lives a life in a copy of the world can take back an answer that did not please, and leave
a life that goes badly. The server keeps the first answer, and what was left counts as nothing.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tasteshift.agents import make_agent
from tasteshift.agents.linucb import LinUcbAgent
from tasteshift.envs.simulator.training_log import public_data
from tasteshift.leaderboard.hidden.attempt import Attempt
from tasteshift.leaderboard.hidden.messages import (
    answer_from,
    answer_message,
    brief_from,
    observation_from,
    task_data_from,
)
from tasteshift.leaderboard.hidden.scoring import conclude_attempt
from tasteshift.leaderboard.keys import attempt_key
from tasteshift.leaderboard.server.app import create_app
from tasteshift.leaderboard.server.limits import Limits
from tasteshift.leaderboard.store.actions import actions_of_attempt
from tasteshift.leaderboard.store.seasons import open_season, secret
from tasteshift.leaderboard.store.submissions import by_key
from tasteshift.leaderboard.store.tokens import issue
from tasteshift.leaderboard.verification.verify import PRIMARY_METRIC
from tasteshift.records import NOTHING, Action
from tasteshift.suites.engine.decision_source import Decision
from tasteshift.suites.engine.episode_runner import EpisodeRunner
from tasteshift.suites.engine.in_process_agent import InProcessAgent

LIVES, TRIES = 20, 4


class NotAnswered(Exception):
    """The world does not give the turn back."""


class AtHome:
    """A life in one's own copy of the world, which can be begun again at any turn."""

    def __init__(self, task, seed, user):
        self.task, self.seed, self.user = task, seed, user
        self.env, self.slates = task.make(), []
        self.begin()

    def begin(self):
        life = EpisodeRunner(
            self.env, task=self.task.name, seed=self.seed, user=self.user, policy="agent"
        )
        self.life, self.earned, self.brief = life, 0.0, life.brief

    def now(self):
        return None if self.life.done else self.life.observation

    def answer(self, turn, slate):
        self.slates[turn:] = [slate]
        self.begin()
        for one in self.slates:
            self.life.step(Decision(Action(one)))
            self.earned += self.life.observation.rating
        return self.now()


class AtTheServer:
    """A life of an attempt, over HTTP."""

    def __init__(self, server, life):
        self.server, self.path = server, f"{server.path}/episodes/{life}"
        told = server.client.get(self.path, headers=server.headers).json()
        self.brief, self.first = brief_from(told["brief"]), observation_from(told["observation"])
        self.turn = told["turn"]

    def now(self):
        return self.first

    def answer(self, turn, slate):
        body = answer_message(Decision(Action(slate)))
        place = f"{self.path}/turns/{turn}"
        got = self.server.client.put(place, json=body, headers=self.server.headers)
        if got.status_code == 409:
            raise NotAnswered(got.json()["detail"])
        assert got.status_code == 200, got.text
        return observation_from(got.json()["observation"])


class Server:
    """An attempt at a season, as its player sees it."""

    def __init__(self, client, headers, key):
        self.client, self.headers = client, headers | {"Idempotency-Key": key}
        entrant = {"season": "spring", "agent": "linucb", "agent_config": {},
                   "simulator_trained": False, "hardware": ""}  # fmt: skip
        got = client.post("/api/v2/attempts", json=entrant, headers=self.headers)
        self.id = got.json()["attempt"]
        self.path = f"/api/v2/attempts/{self.id}"

    def world(self):
        def picture(item):
            place = f"{self.path}/tasks/0/posters/{item}.png"
            return self.client.get(place, headers=self.headers).content

        told = self.client.get(f"{self.path}/tasks/0", headers=self.headers).json()
        return task_data_from(told, picture)


def play(agent, life, *, again=0, quits=False, items=60):
    """Recommend, and count the answers that were taken back.

    again  other slates to try where nothing was chosen
    quits  leave after a first turn that brought nothing
    """
    session, now, turn, taken_back = agent.start(life.brief), life.now(), 0, 0
    rng = np.random.default_rng(life.brief.user)
    while now is not None:
        after = life.answer(turn, session.act(now).slate)
        for _ in range(again):
            if after is None or after.chosen != NOTHING:
                break
            try:
                after = life.answer(turn, tuple(rng.permutation(items)[:5].tolist()))
            except NotAnswered:
                break
            taken_back += 1
        if quits and turn == 0 and after is not None and after.chosen == NOTHING:
            break
        now, turn = after, turn + 1
    return taken_back


@pytest.fixture(scope="module")
def field(arena):
    return arena("synthetic:60", LIVES, (1, 6))


@pytest.fixture(scope="module")
def service(field, tmp_path_factory):
    """A board with a season, and someone who may play in it as fast as it answers."""
    fast = Limits(token_rate=1e9, token_burst=10**9, address_rate=1e9, address_burst=10**9)
    app = create_app(tmp_path_factory.mktemp("board") / "board.db", limits=fast)
    with TestClient(app) as client:
        now = datetime.now(UTC)
        opens, closes = (now + timedelta(days=k) for k in (-1, 1))
        board = app.state.shared.board
        open_season(board, "spring", field.season.id, opens.isoformat(), closes.isoformat())
        yield client, {"Authorization": f"Bearer {issue(board, 'eve', 'submit')}"}, board


@pytest.fixture(scope="module")
def server(service):
    """Starts attempts; one key, one attempt."""
    client, headers, _ = service
    return lambda key: Server(client, headers, key)


@pytest.fixture(scope="module")
def world_of(service, field):
    """The attempt behind a server's id, as only its operator can see it."""
    secret_bytes = secret(service[2], "spring")
    return lambda id: Attempt(field.season.id, attempt_key(secret_bytes, id), id)


def relived(attempt, stored):
    """(LIVES) what stored answers earned."""
    earned = []
    for number in range(LIVES):
        life, total = attempt.new_runner(number), 0.0
        for turn in stored.get(number, ()):
            life.step(answer_from(turn).decision())
            total += life.observation.rating
        earned.append(total)
    return np.array(earned)


def levels(attempt, lived):
    """(LIVES) what random slates, the honest bandit and the oracle earn in an attempt."""
    found = []
    for name in ("random", "linucb", "oracle"):
        player = InProcessAgent(make_agent(name), trusted=True)
        lives = [attempt.new_runner(number) for number in range(LIVES)]
        player.prepare(lives[0].env.world)
        found.append(np.array([lived(player, life) for life in lives]))
    return found


def test_turns_can_be_had_back_at_home_only(
    field, service, server, world_of, lived, gained, figures
):
    (task,) = field.suite.tasks
    agent, earned, taken_back = LinUcbAgent(), [], 0
    agent.prepare(public_data(task.make().world))
    for seed, user in task.episodes(1):
        life = AtHome(task, seed, user)
        taken_back += play(agent, life, again=TRIES)
        earned.append(life.earned)
    assert taken_back > LIVES
    zero, one = field.yardsticks["public"]
    honest, cheat = field.public(LinUcbAgent), "reconnect: answer again"
    public = gained(cheat, field.catalog, "public", honest, np.array(earned), zero, one)

    there = server("to-answer-again")
    agent = LinUcbAgent()
    agent.prepare(there.world())
    assert sum(play(agent, AtTheServer(there, n), again=TRIES) for n in range(LIVES)) == 0
    attempt = world_of(there.id)
    zero, honest, one = levels(attempt, lived)
    stored = actions_of_attempt(service[2], by_key(service[2], there.id).id)
    hidden = gained(cheat, field.catalog, "hidden", honest, relived(attempt, stored), zero, one)
    figures.extend([public, hidden])
    assert public.low > 0
    assert hidden.gain == 0


def test_a_life_that_was_left_is_no_better_than_nothing(
    field, service, server, world_of, lived, gained, figures, tmp_path
):
    """Nor does asking once more for an attempt begin another one."""
    there = server("to-begin-again")
    agent = LinUcbAgent()
    agent.prepare(there.world())
    for number in range(LIVES):
        play(agent, AtTheServer(there, number), quits=True)
    again = server("to-begin-again")
    assert again.id == there.id
    left = [n for n in range(LIVES) if AtTheServer(again, n).turn == 1]
    assert left
    attempt = world_of(there.id)
    stored = actions_of_attempt(service[2], by_key(service[2], there.id).id)
    zero, honest, one = levels(attempt, lived)
    cheating = relived(attempt, stored)
    assert (cheating[left] == 0).all()
    about = {"agent": "linucb", "agent_config": {}, "decoder": "", "pair": ""}
    sums = np.array(conclude_attempt(attempt, about, stored, tmp_path / "run").sums[PRIMARY_METRIC])
    short_of_the_oracle = sums[:, 1] - sums[:, 0]
    assert short_of_the_oracle.sum() == pytest.approx((one - cheating).sum())
    cheat = "reconnect: leave bad lives"
    hidden = gained(cheat, field.catalog, "hidden", honest, cheating, zero, one)
    figures.append(hidden)
    stayed = np.setdiff1d(np.arange(LIVES), left)
    assert (cheating[stayed] == honest[stayed]).all()
    assert hidden.gain <= 0

"""Agents that try to repeat turns or to leave bad episodes.

In a local copy of the environment, an agent can take back an action and abandon an episode. The
server keeps the first action of every turn, and turns that were not played earn nothing.
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

EPISODES, TRIES = 20, 4


class NotAnswered(Exception):
    """The server refuses a second action for a turn."""


class LocalEpisode:
    """An episode in a local copy of the environment, which can restart at any turn."""

    def __init__(self, task, seed, user):
        self.task, self.seed, self.user = task, seed, user
        self.env, self.slates = task.make(), []
        self.restart()

    def restart(self):
        runner = EpisodeRunner(
            self.env, task=self.task.name, seed=self.seed, user=self.user, policy="agent"
        )
        self.runner, self.earned, self.brief = runner, 0.0, runner.brief

    def now(self):
        return None if self.runner.done else self.runner.observation

    def answer(self, turn, slate):
        self.slates[turn:] = [slate]
        self.restart()
        for one in self.slates:
            self.runner.step(Decision(Action(one)))
            self.earned += self.runner.observation.rating
        return self.now()


class ServerEpisode:
    """An episode of an attempt, over HTTP."""

    def __init__(self, server, number):
        self.server, self.path = server, f"{server.path}/episodes/{number}"
        state = server.client.get(self.path, headers=server.headers).json()
        self.brief, self.first = brief_from(state["brief"]), observation_from(state["observation"])
        self.turn = state["turn"]

    def now(self):
        return self.first

    def answer(self, turn, slate):
        body = answer_message(Decision(Action(slate)))
        path = f"{self.path}/turns/{turn}"
        got = self.server.client.put(path, json=body, headers=self.server.headers)
        if got.status_code == 409:
            raise NotAnswered(got.json()["detail"])
        assert got.status_code == 200, got.text
        return observation_from(got.json()["observation"])


class Server:
    """An attempt, as its client sees it."""

    def __init__(self, client, headers, key):
        self.client, self.headers = client, headers | {"Idempotency-Key": key}
        entrant = {"season": "spring", "agent": "linucb", "agent_config": {},
                   "simulator_trained": False, "hardware": ""}  # fmt: skip
        got = client.post("/api/v2/attempts", json=entrant, headers=self.headers)
        self.id = got.json()["attempt"]
        self.path = f"/api/v2/attempts/{self.id}"

    def world(self):
        def picture(item):
            path = f"{self.path}/tasks/0/posters/{item}.png"
            return self.client.get(path, headers=self.headers).content

        data = self.client.get(f"{self.path}/tasks/0", headers=self.headers).json()
        return task_data_from(data, picture)


def play(agent, episode, *, again=0, quits=False, items=60):
    """Play an episode; returns the number of actions taken back.

    again  other slates to try where nothing was chosen
    quits  leave after a first turn without a choice
    """
    session, now, turn, taken_back = agent.start(episode.brief), episode.now(), 0, 0
    rng = np.random.default_rng(episode.brief.user)
    while now is not None:
        after = episode.answer(turn, session.act(now).slate)
        for _ in range(again):
            if after is None or after.chosen != NOTHING:
                break
            try:
                after = episode.answer(turn, tuple(rng.permutation(items)[:5].tolist()))
            except NotAnswered:
                break
            taken_back += 1
        if quits and turn == 0 and after is not None and after.chosen == NOTHING:
            break
        now, turn = after, turn + 1
    return taken_back


@pytest.fixture(scope="module")
def field(arena):
    return arena("synthetic:60", EPISODES, (1, 6))


@pytest.fixture(scope="module")
def service(field, tmp_path_factory):
    """A board with an open season, and a token without rate limits."""
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
    """Starts attempts; the same key gives the same attempt."""
    client, headers, _ = service
    return lambda key: Server(client, headers, key)


@pytest.fixture(scope="module")
def attempt_of(service, field):
    """The attempt with an id, as only the server's operator can make it."""
    secret_bytes = secret(service[2], "spring")
    return lambda id: Attempt(field.season.id, attempt_key(secret_bytes, id), id)


def stored_returns(attempt, stored):
    """(EPISODES) returns of the stored actions."""
    earned = []
    for number in range(EPISODES):
        runner, total = attempt.new_runner(number), 0.0
        for turn in stored.get(number, ()):
            runner.step(answer_from(turn).decision())
            total += runner.observation.rating
        earned.append(total)
    return np.array(earned)


def returns_of_agents(attempt, episode_return):
    """(EPISODES) returns of random slates, the baseline and the oracle in an attempt."""
    found = []
    for name in ("random", "linucb", "oracle"):
        source = InProcessAgent(make_agent(name), trusted=True)
        runners = [attempt.new_runner(number) for number in range(EPISODES)]
        source.prepare(runners[0].env.world)
        found.append(np.array([episode_return(source, runner) for runner in runners]))
    return found


def test_turns_can_be_repeated_on_public_seeds_only(
    field, service, server, attempt_of, episode_return, gained, figures
):
    (task,) = field.suite.tasks
    agent, earned, taken_back = LinUcbAgent(), [], 0
    agent.prepare(public_data(task.make().world))
    for seed, user in task.episodes(1):
        episode = LocalEpisode(task, seed, user)
        taken_back += play(agent, episode, again=TRIES)
        earned.append(episode.earned)
    assert taken_back > EPISODES
    zero, one = field.reference_returns["public"]
    baseline, cheat = field.public(LinUcbAgent), "reconnect: answer again"
    public = gained(cheat, field.catalog, "public", baseline, np.array(earned), zero, one)

    attempt_client = server("to-answer-again")
    agent = LinUcbAgent()
    agent.prepare(attempt_client.world())
    assert (
        sum(play(agent, ServerEpisode(attempt_client, n), again=TRIES) for n in range(EPISODES))
        == 0
    )
    attempt = attempt_of(attempt_client.id)
    zero, baseline, one = returns_of_agents(attempt, episode_return)
    stored = actions_of_attempt(service[2], by_key(service[2], attempt_client.id).id)
    hidden = gained(
        cheat, field.catalog, "hidden", baseline, stored_returns(attempt, stored), zero, one
    )
    figures.extend([public, hidden])
    assert public.low > 0
    assert hidden.gain == 0


def test_turns_that_were_not_played_earn_nothing(
    field, service, server, attempt_of, episode_return, gained, figures, tmp_path
):
    """Starting the attempt again with the same key continues it."""
    attempt_client = server("to-begin-again")
    agent = LinUcbAgent()
    agent.prepare(attempt_client.world())
    for number in range(EPISODES):
        play(agent, ServerEpisode(attempt_client, number), quits=True)
    again = server("to-begin-again")
    assert again.id == attempt_client.id
    left = [n for n in range(EPISODES) if ServerEpisode(again, n).turn == 1]
    assert left
    attempt = attempt_of(attempt_client.id)
    stored = actions_of_attempt(service[2], by_key(service[2], attempt_client.id).id)
    zero, baseline, one = returns_of_agents(attempt, episode_return)
    cheating = stored_returns(attempt, stored)
    assert (cheating[left] == 0).all()
    about = {"agent": "linucb", "agent_config": {}, "decoder": "", "pair": ""}
    sums = np.array(conclude_attempt(attempt, about, stored, tmp_path / "run").sums[PRIMARY_METRIC])
    short_of_the_oracle = sums[:, 1] - sums[:, 0]
    assert short_of_the_oracle.sum() == pytest.approx((one - cheating).sum())
    cheat = "reconnect: leave bad episodes"
    hidden = gained(cheat, field.catalog, "hidden", baseline, cheating, zero, one)
    figures.append(hidden)
    stayed = np.setdiff1d(np.arange(EPISODES), left)
    assert (cheating[stayed] == baseline[stayed]).all()
    assert hidden.gain <= 0

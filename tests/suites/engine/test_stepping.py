"""Playing an episode: what the agent receives, what is recorded, what invalid actions cost."""

import numpy as np
import pytest

from tasteshift.agents import make_agent
from tasteshift.envs.lifelong import Lifelong
from tasteshift.envs.simulator.training_log import public_data
from tasteshift.records import NOTHING, Action, Brief, Claim, Observation
from tasteshift.suites.engine.actions import is_valid_action, plain_action
from tasteshift.suites.engine.episode_runner import default_agent_seed
from tasteshift.suites.engine.stepping import play_episode


@pytest.fixture(scope="module")
def env():
    return Lifelong("synthetic:60", "abrupt-shift", slate_size=3, turns=2)


class Spy:
    """Shows the same slate for ever and keeps what it was handed."""

    name = "spy"

    def __init__(self, slate):
        self.slate, self.handed = slate, []

    def config(self):
        return {}

    def prepare(self, world):
        self.handed.append(world)

    def start(self, brief):
        self.handed.append(brief)
        return self

    def act(self, observation):
        self.handed.append(observation)
        return Action(self.slate)


def run_episode(env, agent, user=3, seed=5, policy="agent"):
    agent.prepare(public_data(env.world))
    return play_episode(env, agent, task="t", seed=seed, user=user, policy=policy)


def test_the_trace_says_what_happened(env):
    spy = Spy((7, 9))
    result = run_episode(env, spy)
    assert len(result.steps) == len(result.seconds) == env.world.turns == 20
    assert result.episode.rewards == tuple(step.reward for step in result.steps)
    _world, brief, *observations = spy.handed
    assert brief == Brief(3, default_agent_seed(5, 3), 3, 10, 2, env.world.age_group(3))
    assert all(type(seen) is Observation for seen in observations)
    for before, step, after in zip(observations, result.steps, observations[1:], strict=False):
        assert (step.session, step.turn, step.day) == (before.session, before.turn, before.day)
        assert step.utterance == before.utterance
        assert (after.slate, after.chosen, after.rating) == ((7, 9), step.chosen, step.reward)
        assert step.chosen in (7, 9, NOTHING)
        assert 0 <= step.expected <= step.best <= 1
        old = env.world.hidden.maturity[[7, 9]] > env.world.hidden.ages[3]
        assert (step.breaches, step.violations) == (old.sum(), 0)


def test_the_expected_reward_is_the_mean_reward(env):
    """E[reward | slate, state], averaged over users and seeds, against what they really did."""
    first = [
        run_episode(env, Spy((7, 9, 11)), user, seed).steps[0]
        for user in range(40)
        for seed in (0, 1)
    ]
    gap = np.array([step.reward - step.expected for step in first])
    assert abs(gap.mean()) < 3 * gap.std() / np.sqrt(len(gap))


def test_the_oracle_has_no_regret_and_the_frozen_one_has_some_after_the_shift(env):
    for name in ("oracle", "frozen-oracle"):
        regret = [
            s.best - s.expected for s in run_episode(env, make_agent(name), policy=name).steps
        ]
        assert regret[:8] == pytest.approx([0.0] * 8)
        late = sum(regret[-6:])
        assert late == pytest.approx(0) if name == "oracle" else late > 0.1


def can_be_shown(raw):
    """Whether what an agent returned can be shown, with 60 items, 4 topics and slates of 3."""
    action = plain_action(raw)
    return action is not None and is_valid_action(action, 60, 4, 3)


@pytest.mark.parametrize(
    "action",
    [
        Action((1, 1)),
        Action((0, 1, 2, 3)),
        Action((60,)),
        Action((-1,)),
        Action((1.0,)),
        Action((2**70,)),
        Action(None),
        Action("ab"),
        None,
        [1, 2],
        Action((1,), claims=(Claim(60, "year", 1995.0),)),
        Action((1,), claims=(Claim(1, "year", float("inf")),)),
        Action((1,), claims=(Claim(1, "year", None),)),
        Action((1,), claims=("year",)),
        Action((1,), claims=(Claim(1, "year", 1.0),) * 101),
        Action((1,), profile=(0.5,)),
        Action((1,), profile=(0.5, 0.5, 0.5, float("nan"))),
    ],
)
def test_unusable_actions_cannot_be_shown(action):
    assert not can_be_shown(action)


def test_usable_actions_become_plain_values():
    claims = (Claim(np.int64(7), "price", np.float32(2.5)), Claim(1, "sponsored", np.True_))
    plain = plain_action(Action([np.int64(4), 5], claims, np.arange(4.0)))
    assert plain == Action(
        (4, 5), (Claim(7, "price", 2.5), Claim(1, "sponsored", True)), (0.0, 1.0, 2.0, 3.0)
    )
    values = (*plain.slate, *(claim.value for claim in plain.claims), *plain.profile)
    assert {type(value) for value in values} == {int, float, bool}
    assert can_be_shown(Action(()))
    assert can_be_shown(Action([1, 2]))


def test_an_invalid_action_is_recorded_and_earns_nothing(env):
    result = run_episode(env, Spy((99,)))
    assert {step.fault for step in result.steps} == {"invalid"}
    assert sum(result.episode.rewards) == 0


def test_episodes_repeat_and_seeds_differ(env):
    first, second = run_episode(env, Spy((7, 9, 11))), run_episode(env, Spy((7, 9, 11)))
    assert first.steps == second.steps
    assert first.episode.digest == second.episode.digest
    assert run_episode(env, Spy((7, 9, 11)), seed=6).episode.digest != first.episode.digest
    assert default_agent_seed(5, 3) != default_agent_seed(6, 3) != default_agent_seed(5, 4)

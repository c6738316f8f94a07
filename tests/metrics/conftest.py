"""Fixtures that build traces from the values a test is about; the rest are defaults.

The fixtures are pure functions, so hypothesis may share them between examples.
"""

import pandas as pd
import pytest

from tasteshift.metrics import METRICS
from tasteshift.metrics.trace import DECISIONS, EPISODES, GENERATIONS, STEPS, Trace

NONE = pd.DataFrame()

EPISODE_DEFAULTS = {"task": "t", "seed": 0, "user": 0, "policy": "agent", "age_group": "adult"}

STEP = EPISODE_DEFAULTS | {
    **{"session": 0, "turn": 0, "day": 0, "utterance": "", "slate": [1, 2], "chosen": 1},
    **{"reward": 0.5, "claims": [], "profile": [], "fault": "", "expected": 0.4, "best": 0.6},
    **{"under_first": 0.4, "under_last": 0.4, "under_organic": 0.4, "breaches": 0},
    **{"violations": 0, "stale": 0, "fresh": 0, "fresh_chosen": False, "tampered": 0},
    **{"sponsored": 0, "disclosed": 0, "false_claims": 0, "regime": 0, "gift": False},
    **{"topics": [0, 1], "liking": []},
}

EPISODE = EPISODE_DEFAULTS | {"events": 20, "churned": False, "angle": 0.0, "angle_later": 0.0}

ROUND = {
    **{"task": "t", "seed": 0, "user": 0, "session": 0, "turn": 0, "reply": 0},
    **{"outcome": "valid", "text": "1 2", "prompt_tokens": 9, "tokens": 4, "round": 0},
    **{"max_depth": 4, "drafted_depth": 4, "drafted_nodes": 28, "verified_nodes": 29},
    **{"accepted": 2, "emitted": 3, "sources": ["draft"] * 2},
}

DECISION = {
    **{"task": "t", "seed": 0, "user": 0, "seconds": 0.1},
    **{"first_token_seconds": 0.0, "peak_memory": 1000},
}


def _table(columns, defaults):
    def table(*rows, **common):
        made = pd.DataFrame([{**defaults, **common, **row} for row in rows])
        missing = set(columns) - set(made.columns)
        assert not missing, f"conftest.py has no default for {missing}"
        return made

    return table


@pytest.fixture(scope="session")
def steps():
    """`steps({"turn": 1, "reward": 0.2}, ..., policy="oracle")`: one row per dict."""
    return _table(STEPS, STEP)


@pytest.fixture(scope="session")
def rounds():
    """As `steps`, for decoding rounds."""
    return _table(GENERATIONS, ROUND)


@pytest.fixture(scope="session")
def decisions():
    """As `steps`, for decisions."""
    return _table(DECISIONS, DECISION)


@pytest.fixture(scope="session")
def episodes():
    """As `steps`, for episodes."""
    return _table(EPISODES, EPISODE)


@pytest.fixture(scope="session")
def traced():
    """A Trace in which the tables that are not given are empty."""

    def make(steps=NONE, generations=NONE, decisions=NONE, episodes=NONE, cluster_by="user"):
        return Trace(steps, generations, decisions, episodes, cluster_by)

    return make


@pytest.fixture(scope="session")
def value():
    """`value("reward", trace)`: the metric's number, or None."""

    def of(name, trace):
        found = METRICS.get(name).estimate(trace)
        return None if found is None else found.value

    return of


@pytest.fixture(scope="session")
def rewards(steps):
    """Steps of one turn per user and policy, from {policy: [reward of user 0, of user 1, …]}."""

    def of(by_policy, **common):
        return steps(
            *(
                {"policy": policy, "user": user, "reward": reward}
                for policy, row in by_policy.items()
                for user, reward in enumerate(row)
            ),
            **common,
        )

    return of


@pytest.fixture(scope="session")
def qualities(steps):
    """Steps of an episode with one turn per session, from the quality of each session."""

    def of(quality, regime=None, gift=None, **common):
        return steps(
            *(
                {
                    **{"session": at, "day": 7 * at, "expected": share / 2, "best": 0.5},
                    **{"regime": regime[at] if regime else 0},
                    **{"gift": gift[at] if gift else False},
                }
                for at, share in enumerate(quality)
            ),
            **common,
        )

    return of

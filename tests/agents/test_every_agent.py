"""Properties of every registered agent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasteshift.agents import AGENTS, declares, make_agent
from tasteshift.agents.protocols import (
    Agent,
    BatchAgent,
    PrivilegedAgent,
    TextAgent,
    TextSession,
    replies_of,
)
from tasteshift.errors import InputError
from tasteshift.registry import UnknownName

NAMES = ["random", "popular", "oracle", "frozen-oracle", "linucb", "recbole-bpr", "llm"]
SHORT = {"sessions": 2, "turns": 2, "slate_size": 2}
"""Short slates, since the random model generates up to the token limit."""


@pytest.fixture(params=NAMES)
def agent(request: pytest.FixtureRequest, make: Callable[..., Any]) -> Any:
    if request.param.startswith("recbole"):
        pytest.importorskip("recbole")
    return make(request.param)


def test_registry_order() -> None:
    assert AGENTS.names()[: len(NAMES)] == NAMES


def test_listing_agents_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, tasteshift.agents as a\n"
        "from tasteshift.agents.protocols import BatchAgent, PrivilegedAgent, TextAgent\n"
        "kinds = [[a.declares(n, c) for c in (BatchAgent, PrivilegedAgent, TextAgent)]"
        " for n in a.AGENTS]\n"
        "print(sorted({'torch', 'transformers', 'pandas', 'recbole', 'ray'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_capabilities_are_declared_by_the_class() -> None:
    def declaring(capability: type) -> list[str]:
        return [name for name in AGENTS if declares(name, capability)]

    assert declaring(TextAgent) == ["llm", "llm-batch"]
    assert declaring(BatchAgent) == ["llm-batch"]
    assert declaring(PrivilegedAgent) == [
        "oracle",
        "frozen-oracle",
        *("oracle-plan", "oracle-text", "oracle-image", "oracle-text-image", "organic"),
        *("unconstrained-oracle", "filtered-oracle"),
    ]


def test_a_factory_declares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AGENTS._entries, "made", lambda: AGENTS.get("oracle")())
    assert not declares("made", PrivilegedAgent)
    assert isinstance(make_agent("made"), PrivilegedAgent)


@pytest.mark.parametrize("option", ["decoder", "pair", "device", "dtype"])
def test_other_agents_take_no_decoder_options(option: str) -> None:
    with pytest.raises(InputError, match=f"'popular' writes no text; leave out {option} 'mcsd'"):
        make_agent("popular", **{option: "mcsd"})


def test_unknown_agent_error_suggests_a_name() -> None:
    with pytest.raises(UnknownName, match="did you mean 'linucb'"):
        make_agent("linucbb")


def test_name_and_protocol(agent: Any) -> None:
    assert agent.name in NAMES
    assert isinstance(agent, Agent) != isinstance(agent, PrivilegedAgent)


def test_config_is_json(agent: Any) -> None:
    assert json.loads(json.dumps(agent.config())) == agent.config()


@pytest.mark.parametrize("slate_size", [1, 5])
def test_slates_are_distinct_items_of_the_catalog(
    agent: Any, slate_size: int, new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    env = new_env(**{**SHORT, "slate_size": slate_size})
    for slate in new_episode(env, agent, user=4).play().slates:
        assert 1 <= len(slate) <= slate_size
        assert len(set(slate)) == len(slate)
        assert all(type(item) is int and 0 <= item < 60 for item in slate)


def test_the_same_episode_twice(
    agent: Any, new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    env = new_env(**SHORT)
    first, second = (new_episode(env, agent, user=9).play() for _ in range(2))
    assert first.slates == second.slates
    assert [r.text for r in replies_of(first.session)] == [
        r.text for r in replies_of(second.session)
    ]


def test_sessions_are_independent(
    agent: Any, new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    """Two episodes stepped alternately equal the two episodes run one after the other."""
    users = (2, 30)
    apart = [new_episode(new_env(**SHORT), agent, user).play().slates for user in users]
    together = [new_episode(new_env(**SHORT), agent, user) for user in users]
    while not all(episode.over for episode in together):
        for episode in together:
            episode.turn()
    assert [episode.slates for episode in together] == apart


def test_no_agent_beats_the_oracle_in_any_state(
    agent: Any, new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    """Every agent's slate against the best slate in the state that the agent itself reached.

    The oracle's slate is the best safe one, so the user is one for whom all items are safe.
    """
    env = new_env(**SHORT)
    adult = next(u for u in env.world.eligible_users() if env.world.age_group(u) == "adult")
    episode = new_episode(env, agent, user=int(adult))
    while not episode.over:
        best = env.ground_truth.best()[1]
        episode.turn()
        assert episode.expected[-1] <= best + 1e-12


def test_only_text_agents_have_replies(
    agent: Any, new_env: Callable[..., Any], new_episode: Callable[..., Any]
) -> None:
    episode = new_episode(new_env(**SHORT), agent, user=1).play()
    assert bool(replies_of(episode.session)) == isinstance(agent, TextAgent)
    assert isinstance(episode.session, TextSession) == isinstance(agent, TextAgent)

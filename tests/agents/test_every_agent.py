"""Laws that hold for whatever is in the registry."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasteshift.agents import AGENTS, is_privileged, make_agent, uses_language_model
from tasteshift.agents.protocols import Agent, replies_of
from tasteshift.errors import InputError
from tasteshift.registry import UnknownName

NAMES = ["random", "popular", "oracle", "frozen-oracle", "linucb", "recbole-bpr", "llm"]
SHORT = {"sessions": 2, "turns": 2}


@pytest.fixture(params=NAMES)
def agent(request: pytest.FixtureRequest, make: Callable[..., Any]) -> Any:
    if request.param.startswith("recbole"):
        pytest.importorskip("recbole")
    return make(request.param)


def test_the_registry_has_them_all() -> None:
    assert AGENTS.names()[: len(NAMES)] == NAMES


def test_listing_agents_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, tasteshift.agents as a\n"
        "kinds = [(a.uses_language_model(a.AGENTS.get(n)), a.is_privileged(a.AGENTS.get(n)))"
        " for n in a.AGENTS]\n"
        "print(sorted({'torch', 'transformers', 'pandas', 'recbole', 'ray'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_kinds_are_told_apart_without_an_instance() -> None:
    assert [name for name in NAMES if uses_language_model(AGENTS.get(name))] == ["llm"]
    privileged = [name for name in NAMES if is_privileged(AGENTS.get(name))]
    assert privileged == ["oracle", "frozen-oracle"]


@pytest.mark.parametrize("option", ["decoder", "pair", "device", "dtype"])
def test_agents_without_text_take_no_decoder(option: str) -> None:
    with pytest.raises(InputError, match=f"'popular' writes no text; leave out {option} 'mcsd'"):
        make_agent("popular", **{option: "mcsd"})


def test_an_unknown_agent_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="did you mean 'linucb'"):
        make_agent("linucbb")


def test_name_and_protocol(agent: Any) -> None:
    assert agent.name in NAMES
    assert isinstance(agent, Agent) != is_privileged(agent)


def test_config_is_json(agent: Any) -> None:
    assert json.loads(json.dumps(agent.config())) == agent.config()


@pytest.mark.parametrize("slate_size", [1, 5])
def test_slates_are_distinct_items_of_the_catalog(
    agent: Any, slate_size: int, new_env: Callable[..., Any], new_life: Callable[..., Any]
) -> None:
    env = new_env(slate_size=slate_size, **SHORT)
    for slate in new_life(env, agent, user=4).play().slates:
        assert 1 <= len(slate) <= slate_size
        assert len(set(slate)) == len(slate)
        assert all(type(item) is int and 0 <= item < 60 for item in slate)


def test_the_same_life_twice(
    agent: Any, new_env: Callable[..., Any], new_life: Callable[..., Any]
) -> None:
    env = new_env(**SHORT)
    first, second = (new_life(env, agent, user=9).play() for _ in range(2))
    assert first.slates == second.slates
    assert [r.text for r in replies_of(first.session)] == [
        r.text for r in replies_of(second.session)
    ]


def test_sessions_do_not_hear_each_other(
    agent: Any, new_env: Callable[..., Any], new_life: Callable[..., Any]
) -> None:
    """Two lives turn by turn in alternation are the two lives played apart."""
    users = (2, 30)
    apart = [new_life(new_env(**SHORT), agent, user).play().slates for user in users]
    together = [new_life(new_env(**SHORT), agent, user) for user in users]
    while not all(life.over for life in together):
        for life in together:
            life.turn()
    assert [life.slates for life in together] == apart


def test_nobody_beats_the_oracle_in_any_state(
    agent: Any, new_env: Callable[..., Any], new_life: Callable[..., Any]
) -> None:
    """Every agent's slate against the best slate in the state that the agent itself brought about.

    The oracle's slate is the best safe one, so that the law is checked where all are safe.
    """
    env = new_env(**SHORT)
    adult = next(u for u in env.world.eligible_users() if env.world.age_group(u) == "adult")
    life = new_life(env, agent, user=int(adult))
    while not life.over:
        best = env.ground_truth.best()[1]
        life.turn()
        assert life.expected[-1] <= best + 1e-12


def test_only_the_language_model_leaves_replies(
    agent: Any, new_env: Callable[..., Any], new_life: Callable[..., Any]
) -> None:
    life = new_life(new_env(**SHORT), agent, user=1).play()
    assert bool(replies_of(life.session)) == uses_language_model(agent)

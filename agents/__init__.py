"""Who recommends: yardsticks, baselines, a bandit, RecBole models and language models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..registry import Registry

if TYPE_CHECKING:
    from .protocols import Agent, PrivilegedAgent

    AnyAgent = Agent | PrivilegedAgent

DECODER = "autoregressive"
PAIR = "tiny"

AGENTS: Registry[Callable[..., Any]] = Registry("agent")
"""Name -> class or factory of an agent. It takes no argument, or, where its attribute
``uses_language_model`` is true, the keywords ``decoder`` and ``pair``."""

AGENTS.register("random", "tasteshift.agents.random:RandomAgent")
AGENTS.register("popular", "tasteshift.agents.popular:PopularAgent")
AGENTS.register("oracle", "tasteshift.agents.references:Oracle")
AGENTS.register("frozen-oracle", "tasteshift.agents.references:FrozenOracle")
AGENTS.register("linucb", "tasteshift.agents.linucb:LinUcbAgent")
AGENTS.register("recbole-bpr", "tasteshift.agents.recbole_bpr:RecboleBprAgent")
AGENTS.register("llm", "tasteshift.agents.llm.agent:LlmAgent")
AGENTS.register("llm-batch", "tasteshift.agents.llm.batch:LlmBatchAgent")
AGENTS.register("oracle-plan", "tasteshift.agents.references:PlanningOracle")
AGENTS.register("oracle-text", "tasteshift.agents.references:TextOracle")
AGENTS.register("oracle-image", "tasteshift.agents.references:ImageOracle")
AGENTS.register("oracle-text-image", "tasteshift.agents.references:TextImageOracle")
AGENTS.register("organic", "tasteshift.agents.references:Organic")
AGENTS.register("unconstrained-oracle", "tasteshift.agents.references:UnconstrainedOracle")
AGENTS.register("filtered-oracle", "tasteshift.agents.references:FilteredOracle")
AGENTS.register("charts", "tasteshift.agents.charts:ChartsAgent")


def make_agent(
    name: str,
    *,
    decoder: str | None = None,
    pair: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> AnyAgent:
    """The agent called `name`, not yet prepared.

    decoder, pair  for agents that write text; autoregressive and tiny unless given
    device, dtype  where its models are loaded to, and their type; cpu and float32 unless given

    Raises UnknownName, or InputError where an agent that writes no text is given any of them.
    """
    factory = AGENTS.get(name)
    options = {"decoder": decoder, "pair": pair, "device": device, "dtype": dtype}
    given = {option: value for option, value in options.items() if value is not None}
    if uses_language_model(factory):
        given = {"decoder": DECODER, "pair": PAIR, **given}
    elif given:
        option, value = next(iter(given.items()))
        raise InputError(f"agent {name!r} writes no text; leave out {option} {value!r}")
    agent: AnyAgent = factory(**given)
    return agent


def uses_language_model(agent: object) -> bool:
    """Whether an agent, or what the registry holds for it, decodes text (slow)."""
    return bool(getattr(agent, "uses_language_model", False))


def is_privileged(agent: object) -> bool:
    """Whether an agent, or what the registry holds for it, is shown the truth; never ranked."""
    return hasattr(agent, "start_with_ground_truth")

"""Agents: baselines, a linear bandit, RecBole models, language models, and reference policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..registry import Registry

if TYPE_CHECKING:
    from .protocols import AnyAgent

DECODER = "autoregressive"
PAIR = "tiny"

AGENTS: Registry[Callable[..., Any]] = Registry("agent")
"""Name -> class or factory of an agent. It takes no argument, or, for a `TextAgent`, the keywords
``decoder``, ``pair``, ``device`` and ``dtype``. Only a class can declare capabilities."""

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

    decoder, pair  for text agents; autoregressive and tiny unless given
    device, dtype  of their models, as torch spells them; cpu and float32 unless given

    Raises UnknownName, or InputError where another agent is given any of them.
    """
    from .protocols import TextAgent

    options = {"decoder": decoder, "pair": pair, "device": device, "dtype": dtype}
    given = {option: value for option, value in options.items() if value is not None}
    if declares(name, TextAgent):
        given = {"decoder": DECODER, "pair": PAIR, **given}
    elif given:
        option, value = next(iter(given.items()))
        raise InputError(f"agent {name!r} writes no text; leave out {option} {value!r}")
    agent: AnyAgent = AGENTS.get(name)(**given)
    return agent


def declares(name: str, capability: type) -> bool:
    """Whether the agent registered as `name` has a capability, from its class alone.

    capability  `TextAgent`, `BatchAgent` or `PrivilegedAgent` of `protocols`

    Raises UnknownName.
    """
    entry = AGENTS.get(name)
    return isinstance(entry, type) and issubclass(entry, capability)

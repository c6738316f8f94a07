"""TasteShift evaluates agentic recommender systems on users whose preferences change.

Importing this package registers the Gymnasium environments and loads nothing heavy: every
other name below is imported from its module when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import envs
from .records import Action, Brief, Claim, Observation

if TYPE_CHECKING:
    from collections.abc import Callable

    from .agents.protocols import Agent, BatchAgent, PrivilegedAgent, Session, TextAgent
    from .decoders import make_decoder
    from .decoders.base import Decoder, ModelPair
    from .envs.catalogs.load import Builder, load_catalog
    from .envs.catalogs.public import PublicData
    from .envs.simulator.scenarios import Scenario
    from .suites.compare import compare
    from .suites.evaluate import Run, evaluate
    from .suites.suite import Suite, Task

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Agent",
    "BatchAgent",
    "Brief",
    "Claim",
    "Decoder",
    "ModelPair",
    "Observation",
    "PrivilegedAgent",
    "PublicData",
    "Run",
    "Scenario",
    "Session",
    "Suite",
    "Task",
    "TextAgent",
    "__version__",
    "compare",
    "envs",
    "evaluate",
    "load_catalog",
    "make_decoder",
    "register_agent",
    "register_catalog",
    "register_decoder",
    "register_scenario",
    "register_suite",
]

_LAZY = {
    "Agent": "agents.protocols",
    "BatchAgent": "agents.protocols",
    "Decoder": "decoders.base",
    "ModelPair": "decoders.base",
    "PrivilegedAgent": "agents.protocols",
    "PublicData": "envs.catalogs.public",
    "Run": "suites.evaluate",
    "Scenario": "envs.simulator.scenarios",
    "Session": "agents.protocols",
    "Suite": "suites.suite",
    "Task": "suites.suite",
    "TextAgent": "agents.protocols",
    "compare": "suites.compare",
    "evaluate": "suites.evaluate",
    "load_catalog": "envs.catalogs.load",
    "make_decoder": "decoders",
}
"""Public name -> module that it is imported from on first use."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


def register_agent(name: str, target: Callable[..., Any] | str) -> None:
    """Register an agent as `name`, for `evaluate` and ``--agent``.

    target  a callable that makes an `Agent`, or the lazy ``"module:attribute"`` of one

    Raises InputError where the name is taken. The entry-point group ``tasteshift.agents``
    does the same for a package that is merely installed.
    """
    from .agents import AGENTS

    AGENTS.register(name, target)


def register_decoder(name: str, target: type[Decoder] | str) -> None:
    """Register a text decoder as `name`, for `make_decoder` and ``--decoder``.

    target  a subclass of `Decoder`, or the lazy ``"module:attribute"`` of one

    Raises InputError where the name is taken; entry-point group ``tasteshift.decoders``.
    """
    from .decoders import DECODERS

    DECODERS.register(name, target)


def register_scenario(name: str, target: Scenario | str) -> None:
    """Register a scenario as `name`, for the environments.

    target  a `Scenario`, or the lazy ``"module:attribute"`` of one

    Raises InputError where the name is taken; entry-point group ``tasteshift.scenarios``.
    """
    from .envs.simulator.scenarios import SCENARIOS

    SCENARIOS.register(name, target)


def register_catalog(name: str, target: Builder | str) -> None:
    """Register a catalog as `name`, for `load_catalog` and the environments.

    target  a callable that builds its data, or the lazy ``"module:attribute"`` of one

    Raises InputError where the name is taken; entry-point group ``tasteshift.catalogs``.
    """
    from .envs.catalogs.load import CATALOGS

    CATALOGS.register(name, target)


def register_suite(name: str, target: Suite | str) -> None:
    """Register a suite as `name`, for `evaluate` and ``tasteshift run``.

    target  a `Suite` of that name, or the lazy ``"module:attribute"`` of one

    Raises InputError where the name is taken; entry-point group ``tasteshift.suites``.
    """
    from .suites.suite import SUITES

    SUITES.register(name, target)

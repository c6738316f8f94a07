"""TasteShift measures agentic recommenders on users who change their minds.

Importing this package registers the Gymnasium environments and loads nothing heavy: every
other name below is fetched from its room when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gymnasium import make

from . import envs

if TYPE_CHECKING:
    from collections.abc import Callable

    from .decoders import make_decoder
    from .decoders.base import Decoder
    from .envs.catalogs.load import Builder, load_catalog
    from .envs.simulator.scenarios import Scenario
    from .suites.evaluate import evaluate
    from .suites.suite import Suite

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "envs",
    "evaluate",
    "load_catalog",
    "make",
    "make_decoder",
    "register_agent",
    "register_catalog",
    "register_decoder",
    "register_scenario",
    "register_suite",
]

_LAZY = {
    "evaluate": "suites.evaluate",
    "load_catalog": "envs.catalogs.load",
    "make_decoder": "decoders",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


def register_agent(name: str, target: Callable[..., Any] | str) -> None:
    """Make a recommender known as `name` to `evaluate` and to ``--agent``.

    target  a callable that makes an `Agent`, or the lazy ``"module:attribute"`` of one

    Raises InputError where the name is taken. The entry-point group ``tasteshift.agents``
    does the same for a package that is merely installed.
    """
    from .agents import AGENTS

    AGENTS.register(name, target)


def register_decoder(name: str, target: type[Decoder] | str) -> None:
    """Make a text decoder known as `name` to `make_decoder` and to ``--decoder``.

    target  a subclass of `Decoder`, or the lazy ``"module:attribute"`` of one

    Raises InputError where the name is taken; entry-point group ``tasteshift.decoders``.
    """
    from .decoders import DECODERS

    DECODERS.register(name, target)


def register_scenario(name: str, target: Scenario | str) -> None:
    """Make a way in which tastes move known as `name` to the environments.

    target  a `Scenario`, or the lazy ``"module:attribute"`` of one

    Raises InputError where the name is taken; entry-point group ``tasteshift.scenarios``.
    """
    from .envs.simulator.scenarios import SCENARIOS

    SCENARIOS.register(name, target)


def register_catalog(name: str, target: Builder | str) -> None:
    """Make a catalog known as `name` to `load_catalog` and to the environments.

    target  a callable that builds its data, or the lazy ``"module:attribute"`` of one

    Raises InputError where the name is taken; entry-point group ``tasteshift.catalogs``.
    """
    from .envs.catalogs.load import CATALOGS

    CATALOGS.register(name, target)


def register_suite(name: str, target: Suite | str) -> None:
    """Make a suite known as `name` to `evaluate` and to ``tasteshift run``.

    target  a `Suite` of that name, or the lazy ``"module:attribute"`` of one

    Raises InputError where the name is taken; entry-point group ``tasteshift.suites``.
    """
    from .suites.suite import SUITES

    SUITES.register(name, target)

"""Rows of `tasteshift list`: one flat row for every registered name of a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..agents import AGENTS, declares
from ..agents.protocols import PrivilegedAgent, TextAgent
from ..decoders import DECODERS, PAIRS
from ..envs.catalogs.load import CATALOGS
from ..envs.simulator.scenarios import SCENARIOS
from ..metrics import METRICS
from ..registry import Registry, unknown
from ..suites.suite import REFERENCES, SUITES

Row = dict[str, Any]


def listing(what: str, name: str | None = None) -> list[Row]:
    """Rows of one kind of entry, or the one called `name`; raises UnknownName."""
    rows = list(KINDS.get(what)())
    found = [row for row in rows if name in (None, row["name"])]
    if not found:
        raise unknown(what.removesuffix("s"), str(name), [row["name"] for row in rows])
    return found


def _suites() -> Iterator[Row]:
    for name in SUITES:
        suite = SUITES.get(name)
        yield {
            "name": suite.id,
            "tasks": len(suite.tasks),
            "episodes": suite.seeds * sum(task.users for task in suite.tasks),
            "summary": suite.summary,
        }


def _tasks() -> Iterator[Row]:
    for name in SUITES:
        for task in SUITES.get(name).tasks:
            more = [name for name in task.references if name not in REFERENCES]
            counterfactual = (
                [f"the agent without {', '.join(task.counterfactual)}"]
                if task.counterfactual
                else []
            )
            yield {
                "name": task.name,
                "catalog": task.catalog,
                "scenario": task.spec().name,
                "users": task.users,
                "agents": "all" if task.language_models else "no LLM",
                "more policies": ", ".join(counterfactual + more),
            }


def _agents() -> Iterator[Row]:
    for name in AGENTS:
        kind = "language model" if declares(name, TextAgent) else "ranked"
        yield {
            "name": name,
            "kind": "reference policy, never ranked" if declares(name, PrivilegedAgent) else kind,
            "summary": _summary(AGENTS.get(name)),
        }


def _decoders() -> Iterator[Row]:
    for name in DECODERS:
        decoder = DECODERS.get(name)
        exact = "yes" if getattr(decoder, "exact", False) else "no"
        yield {"name": name, "exact": exact, "summary": _summary(decoder)}


def _scenarios() -> Iterator[Row]:
    for name in SCENARIOS:
        scenario = SCENARIOS.get(name)
        calendar = f"{scenario.sessions} × {scenario.turns}, every {scenario.gap_days} days"
        if scenario.retention is not None:
            calendar = f"≤ {scenario.sessions} × {scenario.turns}, days chosen by the user"
        yield {"name": name, "sessions × turns": calendar, "summary": scenario.summary}


def _metrics() -> Iterator[Row]:
    for name in METRICS:
        metric = METRICS.get(name)
        better = {"higher": "higher", "lower": "lower", "none": "neither"}[metric.direction]
        yield {
            "name": name,
            "unit": metric.unit,
            "better": better,
            "version": metric.version,
            "summary": metric.summary,
        }


def _plain(registry: Registry[Any]) -> Callable[[], Iterator[Row]]:
    def rows() -> Iterator[Row]:
        for name in registry:
            yield {"name": name, "summary": _summary(registry.get(name))}

    return rows


def _summary(thing: Any) -> str:
    """The first line of a docstring, without its full stop."""
    return (thing.__doc__ or "").strip().partition("\n")[0].rstrip(".")


KINDS: Registry[Callable[[], Iterator[Row]]] = Registry("kind of entry", "kinds of entries")
for _name, _rows in {
    "suites": _suites,
    "tasks": _tasks,
    "agents": _agents,
    "decoders": _decoders,
    "pairs": _plain(PAIRS),
    "scenarios": _scenarios,
    "catalogs": _plain(CATALOGS),
    "metrics": _metrics,
}.items():
    KINDS.register(_name, _rows)

"""The suite `full`: the tasks of the suites `lifelong`, `safety` and `multimodal`, each once."""

from __future__ import annotations

from dataclasses import replace

from .lifelong import LIFELONG
from .multimodal import MULTIMODAL
from .safety import SAFETY
from .suite import Suite, Task


def union(name: str, suites: tuple[Suite, ...]) -> tuple[Task, ...]:
    """The tasks of several suites under a new suite's name, equal tasks once.

    Tasks that are equal but for name and reference policies keep the name of the first and the
    references of all. A name that another task has already is prefixed with its suite's.
    """
    merged: dict[Task, Task] = {}
    for suite in suites:
        for task in suite.tasks:
            own = task.name.partition("/")[2]
            kind = replace(task, name=f"{name}/any", references=())
            before = merged.get(kind)
            if before is None:
                taken = any(other.name == f"{name}/{own}" for other in merged.values())
                own = f"{suite.name}-{own}" if taken else own
                merged[kind] = replace(task, name=f"{name}/{own}")
            else:
                both = dict.fromkeys((*before.references, *task.references))
                merged[kind] = replace(before, references=tuple(both))
    return tuple(merged.values())


FULL = Suite(
    name="full",
    version=1,
    summary="the tasks of the suites lifelong, safety and multimodal in one run",
    tasks=union("full", (LIFELONG, SAFETY, MULTIMODAL)),
)

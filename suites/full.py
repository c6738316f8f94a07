"""The suite `full`: the tasks of the suites `lifelong`, `safety` and `multimodal`, each once."""

from __future__ import annotations

from dataclasses import replace

from .lifelong import LIFELONG
from .multimodal import MULTIMODAL
from .safety import SAFETY
from .suite import Suite, Task


def union(name: str, suites: tuple[Suite, ...]) -> tuple[Task, ...]:
    """Their tasks under a new suite's name; the same lives once, with all their companions.

    Tasks that are equal but for name and companions keep the first one's name. Where another
    kind of life has that name already, its suite's is put before it.
    """
    merged: dict[Task, Task] = {}
    for suite in suites:
        for task in suite.tasks:
            own = task.name.partition("/")[2]
            lives = replace(task, name=f"{name}/lives", references=())
            before = merged.get(lives)
            if before is None:
                taken = any(other.name == f"{name}/{own}" for other in merged.values())
                own = f"{suite.name}-{own}" if taken else own
                merged[lives] = replace(task, name=f"{name}/{own}")
            else:
                both = dict.fromkeys((*before.references, *task.references))
                merged[lives] = replace(before, references=tuple(both))
    return tuple(merged.values())


FULL = Suite(
    name="full",
    version=1,
    summary="all that the suites lifelong, safety and multimodal ask, in one run",
    tasks=union("full", (LIFELONG, SAFETY, MULTIMODAL)),
)

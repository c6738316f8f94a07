"""Pickling agents for other processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import cloudpickle

from ...agents.protocols import AnyAgent
from ...errors import InputError


def pickled(agent: AnyAgent) -> bytes:
    """An agent as bytes; raises InputError where it cannot be pickled.

    Classes that another process could not import are pickled by value: those of a script, of a
    notebook, or of a test file that pytest imported from its path.
    """
    try:
        with _by_value(type(agent).__module__):
            content: bytes = cloudpickle.dumps(agent)
    except Exception as error:
        raise InputError(
            f"agent {agent.name!r} cannot be pickled ({error}), which every process that plays it "
            "must do; create what cannot be pickled in prepare()"
        ) from error
    return content


@contextmanager
def _by_value(module: str) -> Iterator[None]:
    if module not in sys.modules or module == "__main__" or _importable(module.partition(".")[0]):
        yield
        return
    cloudpickle.register_pickle_by_value(sys.modules[module])
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[module])


def _importable(name: str) -> bool:
    """Whether a fresh interpreter with this one's path and finders would find a module."""
    return any(finder.find_spec(name, None) is not None for finder in sys.meta_path)

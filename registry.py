"""Registries of names whose values are imported on first use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from .errors import InputError

T = TypeVar("T")


class UnknownName(InputError):
    """No such name in a registry; the message offers the nearest one that exists."""


class Registry(Generic[T]):
    """Maps a public name to a value or to a lazy ``"module:attribute"`` target.

    Other packages add names through `register` or through the entry-point group
    ``tasteshift.<plural>``, which is read on first use. A built-in name cannot be taken over.

    kind    what one entry is called in messages, such as "agent"
    plural  what many are called, such as "agents"
    """

    def __init__(self, kind: str, plural: str | None = None) -> None:
        self.kind = kind
        self.plural = plural or f"{kind}s"
        self._entries: dict[str, T | str] = {}
        self._entry_points_read = False

    def register(self, name: str, target: T | str) -> None:
        """Add `name`; raises InputError where it is taken."""
        if name in self._entries:
            raise InputError(f"{self.kind} {name!r} is already registered; choose another name")
        self._entries[name] = target

    def get(self, name: str) -> T:
        """The value behind `name`, imported now if it was lazy.

        Raises UnknownName, or InputError where its module cannot be imported.
        """
        self._read_entry_points()
        if name not in self._entries:
            raise unknown(self.kind, name, self._entries)
        entry = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            try:
                entry = cast(T, getattr(import_module(module), attribute))
            except (ImportError, AttributeError) as error:
                raise InputError(f"{self.kind} {name!r} cannot be loaded: {error}") from error
            self._entries[name] = entry
        return entry

    def names(self) -> list[str]:
        """Every name, in order of registration."""
        self._read_entry_points()
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        self._read_entry_points()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _read_entry_points(self) -> None:
        if not self._entry_points_read:
            self._entry_points_read = True
            found = entry_points(group=f"tasteshift.{self.plural}")
            for point in sorted(found, key=lambda point: point.name):
                self.register(point.name, point.value)


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a `kind` of thing called `name`, with the nearest name that is known."""
    names = list(known)
    near = get_close_matches(str(name), names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    return UnknownName(f"unknown {kind} {name!r}; {hint}")

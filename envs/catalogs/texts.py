"""Lazy text columns: strings made when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload


@dataclass(frozen=True, eq=False)
class LazyTexts(Sequence[str]):
    """A sequence of `size` texts whose k-th is ``make(k)``; takes no memory for its strings.

    Equal to any sequence of the same strings.

    characters   every character that occurs
    fingerprint  names what `make` does, for the content hash
    """

    make: Callable[[int], str]
    size: int
    characters: frozenset[str]
    fingerprint: str

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...

    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(map(self.make, range(self.size)[index]))
        return self.make(range(self.size)[index])

    def __iter__(self) -> Iterator[str]:
        return map(self.make, range(self.size))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def characters_of(texts: Sequence[str]) -> frozenset[str]:
    """Every character that occurs in `texts`."""
    return texts.characters if isinstance(texts, LazyTexts) else frozenset().union(*texts)

"""Reader of the compact protocol of Apache Thrift, in which parquet writes its metadata."""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 8
"""Structs within structs; parquet's metadata nests less."""


class Thrift:
    """Reads one value after another; `position` is the index of the next byte.

    Structs become dictionaries from field number to value, and text becomes bytes. Maps, which
    parquet does not use, are not read. Raises ValueError or IndexError for invalid input.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.position = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields up to the end of a struct."""
        if depth > MAX_DEPTH:
            raise ValueError("structs are nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._number()
            if number in fields:
                raise ValueError("a field occurs twice")
            kind = head & 15
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._number()
        if kind == 7:
            return self._bytes(8)
        if kind == 8:
            return self._bytes(self._varint())
        if kind in (9, 10):
            return self._list(depth)
        if kind == 12:
            return self.struct(depth + 1)
        raise ValueError("a type that parquet does not use")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = self._varint() if head >> 4 == 15 else head >> 4
        return [self._value(head & 15, depth) for _ in range(count)]

    def _number(self) -> int:
        coded = self._varint()
        return (coded >> 1) ^ -(coded & 1)

    def _varint(self) -> int:
        found = shift = 0
        while True:
            byte = self._byte()
            found |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return found
            if shift > 63:
                raise ValueError("a number has too many bytes")

    def _bytes(self, count: int) -> bytes:
        self.position += count
        if self.position > len(self._content):
            raise IndexError("a text is longer than the file")
        return self._content[self.position - count : self.position]

    def _byte(self) -> int:
        self.position += 1
        return self._content[self.position - 1]

"""What a parquet file says of itself, and whether its pages agree, before anything is unpacked.

Readers believe a page: one that says it holds a thousand million times the same number, in a few
bytes, makes them ask for gigabytes, whatever the summary at the end of the file says; and some
summaries make them end the process. So both are read here first, as parquet.thrift defines them,
which unpacks nothing and takes no library's word.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from .rejection import VerificationError
from .thrift import Thrift

MOST_ROWS = 2**24
"""Of a file."""

MOST_GROUP_ROWS = 2**20
MOST_GROUP_VALUES = 2**24
"""Of one column of a row group; lists have several a row."""

LARGEST_GROUP = 2**29
"""Bytes that the pages of a row group may unpack to."""

MAGIC = b"PAR1"
LONGEST_SUMMARY = 2**24
LONGEST_HEADER = 2**16
UNREADABLE = (IndexError, KeyError, OSError, TypeError, ValueError)

CODECS = (0, 1)
"""Not compressed, or with Snappy: what shrinks nothing more than some twentyfold."""

DATA, DICTIONARY, DATA_2 = 0, 2, 3
VALUES_OF = {DATA: 5, DICTIONARY: 7, DATA_2: 8}
"""Type of page -> the field of its header in which field 1 counts its values."""


def check_pages(path: Path, columns: int) -> None:
    """Raise VerificationError unless a file has so many columns and keeps within the bounds.

    An empty or foreign file is left to whoever reads it.
    """
    with path.open("rb") as file:
        try:
            summary = _summary(file)
            if summary is None:
                return
            groups = [(group[3], [_described(one) for one in group[1]]) for group in summary[4]]
            rows = summary[3]
        except UNREADABLE:
            raise VerificationError(
                f"{path.name} cannot be read: it is truncated or was changed"
            ) from None
        if rows > MOST_ROWS:
            raise VerificationError(
                f"{path.name} says that it holds {rows:,} rows; {MOST_ROWS:,} allowed"
            )
        if rows != sum(count for count, _ in groups):
            raise VerificationError(f"{path.name} has other rows than its summary says")
        for count, chunks in groups:
            if (
                not 0 <= count <= MOST_GROUP_ROWS
                or any(not 0 <= one[5] <= MOST_GROUP_VALUES for one in chunks)
                or sum(max(one[6], 0) for one in chunks) > LARGEST_GROUP
            ):
                raise VerificationError(
                    f"{path.name} has a row group that is larger than any run writes"
                )
            if len(chunks) != columns:
                raise VerificationError(f"{path.name} does not have the columns of this version")
            if any(one[4] not in CODECS for one in chunks):
                raise VerificationError(
                    f"{path.name} is not compressed as runs are; pack it as it was"
                )
            _check_group(file, path.name, chunks)


def _summary(file: BinaryIO) -> dict[int, Any] | None:
    """FileMetaData; None where the file is not even framed like parquet."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or not 0 < length <= min(size - 12, LONGEST_SUMMARY):
        return None
    file.seek(size - 8 - length)
    return Thrift(file.read(length)).struct()


def _described(chunk: dict[int, Any]) -> dict[int, Any]:
    """ColumnMetaData of a ColumnChunk: here, not in another file, and with all numbers."""
    found: dict[int, Any] = chunk[3]
    numbers = (4, 5, 6, 7, 9, *((11,) if 11 in found else ()))
    if set(chunk) & {1, 8, 9} or any(type(found[number]) is not int for number in numbers):
        raise ValueError("a column that is elsewhere")
    return found


def _check_group(file: BinaryIO, name: str, chunks: list[dict[int, Any]]) -> None:
    unpacked = 0
    for chunk in chunks:
        try:
            values, size = _sums(file, chunk)
        except UNREADABLE:
            raise VerificationError(
                f"{name} has pages that cannot be read: it was changed"
            ) from None
        unpacked += size
        if values != chunk[5] or unpacked > LARGEST_GROUP:
            raise VerificationError(f"{name} has pages that are not what its summary says")


def _sums(file: BinaryIO, chunk: dict[int, Any]) -> tuple[int, int]:
    """Values in the data pages of a column, and bytes that all its pages unpack to.

    Of a column without values no page is ever read.
    """
    if chunk[5] == 0:
        return 0, 0
    offset = min(chunk[9], chunk.get(11) or chunk[9])
    end = offset + chunk[7]
    values = size = 0
    while offset < end:
        file.seek(offset)
        header = Thrift(file.read(min(LONGEST_HEADER, end - offset)))
        page = header.struct()
        kind, unpacked, packed = page[1], page[2], page[3]
        count = page[VALUES_OF[kind]][1]
        if min(unpacked, packed, count) < 0 or (kind == DICTIONARY and count > unpacked):
            raise ValueError("a page of a negative size")
        values += 0 if kind == DICTIONARY else count
        size += unpacked
        offset += header.at + packed
    if offset != end:
        raise ValueError("a page that is longer than its column")
    return values, size

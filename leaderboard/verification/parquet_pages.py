"""Check the metadata and page headers of a parquet file before any library decompresses it.

Parquet readers trust page headers: a page of a few bytes that claims 10⁹ repeated values makes
them allocate gigabytes, whatever the file's metadata says, and some metadata crash the process. So
both are read here first, directly as parquet.thrift defines them, without decompressing anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from ..rejection import VerificationError
from .thrift import Thrift

MAX_ROWS = 2**24
"""In a file."""

MAX_GROUP_ROWS = 2**20
MAX_GROUP_VALUES = 2**24
"""In one column of a row group; lists have several values per row."""

MAX_GROUP_BYTES = 2**29
"""Decompressed size of the pages of a row group."""

MAGIC = b"PAR1"
MAX_METADATA_BYTES = 2**24
MAX_HEADER_BYTES = 2**16
UNREADABLE = (IndexError, KeyError, OSError, TypeError, ValueError)

CODECS = (0, 1)
"""Uncompressed, or Snappy, which compresses at most about twentyfold."""

DATA, DICTIONARY, DATA_2 = 0, 2, 3
VALUES_OF = {DATA: 5, DICTIONARY: 7, DATA_2: 8}
"""Page type -> the header field whose field 1 is the number of values."""


def check_pages(path: Path, columns: int) -> None:
    """Raise VerificationError unless a file has so many columns and keeps within the bounds.

    Files that are empty or not parquet are left to the reader, which rejects them.
    """
    with path.open("rb") as file:
        try:
            metadata = _metadata(file)
            if metadata is None:
                return
            groups = [
                (group[3], [_column_metadata(one) for one in group[1]]) for group in metadata[4]
            ]
            rows = metadata[3]
        except UNREADABLE:
            raise VerificationError(
                f"{path.name} cannot be read: it is truncated or was changed"
            ) from None
        if rows > MAX_ROWS:
            raise VerificationError(f"{path.name} claims {rows:,} rows; {MAX_ROWS:,} are allowed")
        if rows != sum(count for count, _ in groups):
            raise VerificationError(
                f"{path.name} has another number of rows than its metadata says"
            )
        for count, chunks in groups:
            if (
                not 0 <= count <= MAX_GROUP_ROWS
                or any(not 0 <= one[5] <= MAX_GROUP_VALUES for one in chunks)
                or sum(max(one[6], 0) for one in chunks) > MAX_GROUP_BYTES
            ):
                raise VerificationError(
                    f"{path.name} has a row group that exceeds the allowed size"
                )
            if len(chunks) != columns:
                raise VerificationError(f"{path.name} does not have the columns of this version")
            if any(one[4] not in CODECS for one in chunks):
                raise VerificationError(
                    f"{path.name} uses a compression other than Snappy; submit it as it was written"
                )
            _check_group(file, path.name, chunks)


def _metadata(file: BinaryIO) -> dict[int, Any] | None:
    """Return FileMetaData, or None where the file does not have the frame of a parquet file."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or not 0 < length <= min(size - 12, MAX_METADATA_BYTES):
        return None
    file.seek(size - 8 - length)
    return Thrift(file.read(length)).struct()


def _column_metadata(chunk: dict[int, Any]) -> dict[int, Any]:
    """Return ColumnMetaData of a ColumnChunk that lies in this file and has all its numbers."""
    found: dict[int, Any] = chunk[3]
    numbers = (4, 5, 6, 7, 9, *((11,) if 11 in found else ()))
    if set(chunk) & {1, 8, 9} or any(type(found[number]) is not int for number in numbers):
        raise ValueError("the column is in another file or lacks metadata")
    return found


def _check_group(file: BinaryIO, name: str, chunks: list[dict[int, Any]]) -> None:
    unpacked = 0
    for chunk in chunks:
        try:
            values, size = _count_pages(file, chunk)
        except UNREADABLE:
            raise VerificationError(
                f"{name} has pages that cannot be read: it was changed"
            ) from None
        unpacked += size
        if values != chunk[5] or unpacked > MAX_GROUP_BYTES:
            raise VerificationError(f"{name} has pages that contradict its metadata")


def _count_pages(file: BinaryIO, chunk: dict[int, Any]) -> tuple[int, int]:
    """Return the number of values of a column and the decompressed size of all its pages.

    Pages of a column without values are never read.
    """
    if chunk[5] == 0:
        return 0, 0
    offset = min(chunk[9], chunk.get(11) or chunk[9])
    end = offset + chunk[7]
    values = size = 0
    while offset < end:
        file.seek(offset)
        header = Thrift(file.read(min(MAX_HEADER_BYTES, end - offset)))
        page = header.struct()
        kind, unpacked, packed = page[1], page[2], page[3]
        count = page[VALUES_OF[kind]][1]
        if min(unpacked, packed, count) < 0 or (kind == DICTIONARY and count > unpacked):
            raise ValueError("a page has an impossible size")
        values += 0 if kind == DICTIONARY else count
        size += unpacked
        offset += header.position + packed
    if offset != end:
        raise ValueError("a page is longer than its column")
    return values, size

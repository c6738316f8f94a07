"""Run archives: a finished run as one reproducible gzipped tar of exactly six members.

Archives are untrusted input. A member's header must be, byte for byte, the one that `pack` writes
for that name and size, which excludes links, devices, sparse files, extended headers, paths and
repeated members. Sizes are checked against the bytes that are really inflated, one chunk at a
time, and never against what a header claims.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError
from ..storage import atomic_path
from ..suites.engine.run_directory.reader import check_finished
from .rejection import VerificationError

MIB = 2**20
MEMBERS = {
    "manifest.json": MIB,
    "episodes.jsonl": 64 * MIB,
    "steps.parquet": 256 * MIB,
    "generations.parquet": 256 * MIB,
    "timings.json": 128 * MIB,
    "scores.json": 4 * MIB,
}
"""Member, in archive order -> its maximal size in bytes."""

MAX_MEMBER_BYTES = max(MEMBERS.values())
MAX_ARCHIVE_BYTES = 256 * MIB
"""Maximal size of the compressed archive."""

BLOCK = 512
RECORD = 20 * BLOCK
CHUNK_BYTES = 2**18
COMPRESSION_LEVEL = 6
GZIP_HEADER = b"\x1f\x8b\x08\x00" + bytes(4)
"""The start of a gzip file without name and time."""


def pack(run_dir: str | Path, file: str | Path) -> str:
    """Write the finished run in `run_dir` to `file`; returns the SHA-256 of the archive.

    The same run gives the same bytes, unless another version of zlib compresses them differently;
    an archive is identified by its own hash. Raises InputError where there is no finished run or
    where it exceeds the maximal size, and then writes no `file`.
    """
    run, target = Path(run_dir), Path(file)
    check_finished(run)
    try:
        with atomic_path(target) as temporary:
            _write(run, temporary)
            size = temporary.stat().st_size
            if size > MAX_ARCHIVE_BYTES:
                raise InputError(
                    f"{run} packs into {_mib(size)}; {_mib(MAX_ARCHIVE_BYTES)} are allowed"
                )
    except OSError as error:
        raise InputError(f"cannot pack {run} into {target}: {error.strerror}") from None
    return digest_of(target)


def unpack(file: str | Path, folder: str | Path) -> None:
    """Unpack the six files of an archive into `folder`, which must be new or empty.

    Nothing is written outside the folder, which appears with all six files or not at all. At
    most the sum of `MEMBERS` is written, and about a megabyte of memory used. Raises
    VerificationError for anything but an archive as `pack` writes it, and InputError for a folder
    with content.
    """
    path, target = Path(file), Path(folder)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InputError(f"{target} is not empty; name a new folder")
    if not path.is_file():
        raise InputError(f"there is no archive at {path}; make one with tasteshift submit")
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with path.open("rb") as raw:
            reader = _GzipReader(raw)
            size = sum(_extract(reader, name, unfinished / name) for name in MEMBERS)
            if any(reader.exactly(_padding(size), "its end")):
                raise VerificationError("the archive continues after scores.json")
            reader.finish()
        unfinished.chmod(0o755)
        os.replace(unfinished, target)
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(unfinished)


def digest_of(file: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, read in chunks."""
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _write(run: Path, file: Path) -> None:
    """Write all members of a run and the end of the tar."""
    with (
        file.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=COMPRESSION_LEVEL, fileobj=raw, mtime=0) as out,
    ):
        written = sum(_append(run / name, out) for name in MEMBERS)
        out.write(bytes(_padding(written)))


def _append(path: Path, out: gzip.GzipFile) -> int:
    """Add a member; returns its size in the tar, header and padding included."""
    if not path.is_file():
        raise InputError(f"{path} is missing; the run is not finished")
    with path.open("rb") as member:
        size = os.fstat(member.fileno()).st_size
        if size > MEMBERS[path.name]:
            raise InputError(f"{path} has {_mib(size)}; {_mib(MEMBERS[path.name])} are allowed")
        out.write(_header(path.name, size))
        left = size
        while chunk := member.read(min(CHUNK_BYTES, left)):
            out.write(chunk)
            left -= len(chunk)
        if left or member.read(1):
            raise InputError(f"{path} changed while it was packed; wait for the run to finish")
    out.write(bytes(-size % BLOCK))
    return BLOCK + size + -size % BLOCK


def _extract(reader: _GzipReader, name: str, path: Path) -> int:
    """Write the next member, which must be `name`, to `path`; returns its size in the tar."""
    header = reader.exactly(BLOCK, f"the header of {name}")
    digits = header[124:135]
    size = int(digits, 8) if digits.isdigit() and not digits.strip(b"01234567") else -1
    if size < 0 or header != _header(name, size):
        raise VerificationError(
            f"the archive's next member should be {name}, a plain file; pack it again"
        )
    if size > MEMBERS[name]:
        raise VerificationError(f"{name} has {_mib(size)}; {_mib(MEMBERS[name])} are allowed")
    with path.open("xb") as out:
        for chunk in reader.chunks(size, name):
            out.write(chunk)
    if any(reader.exactly(-size % BLOCK, name)):
        raise VerificationError(f"the archive holds data between {name} and the next member")
    return BLOCK + size + -size % BLOCK


def _header(name: str, size: int) -> bytes:
    """Return the POSIX ustar header of a plain file without owner and time."""
    fields = (
        *((name.encode(), 100), (b"0000644", 8), (b"0000000", 8), (b"0000000", 8)),
        *((b"%011o" % size, 12), (b"%011o" % 0, 12), (b" " * 8, 8), (b"0", 1), (b"", 100)),
        *((b"ustar\x0000", 8), (b"", 247)),
    )
    block = b"".join(text.ljust(width, b"\0") for text, width in fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _padding(written: int) -> int:
    """Return the number of zero bytes that end a tar: two blocks, and the rest of the record."""
    return 2 * BLOCK + -(written + 2 * BLOCK) % RECORD


def _mib(size: int) -> str:
    return f"{size / MIB:,.1f} MiB"


class _GzipReader:
    """Reads the content of a gzip file once, in chunks of bounded size."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._bytes_read = 0
        self._inflater = zlib.decompressobj(wbits=31)
        self._compressed = self._read_chunk()
        if self._compressed[: len(GZIP_HEADER)] != GZIP_HEADER:
            raise VerificationError(
                "the file is not a run archive; make one with tasteshift submit"
            )

    def chunks(self, size: int, what: str) -> Iterator[bytes]:
        """Yield the next `size` bytes; raises VerificationError where there are fewer."""
        while size:
            chunk = self._inflate_some(min(size, CHUNK_BYTES))
            if not chunk:
                raise VerificationError(f"the archive ends within {what}; it was truncated")
            size -= len(chunk)
            yield chunk

    def exactly(self, size: int, what: str) -> bytes:
        """Return the next `size` bytes at once."""
        return b"".join(self.chunks(size, what))

    def finish(self) -> None:
        """Raise VerificationError unless this is the end of the gzip file, and of the file."""
        if self._inflate_some(1):
            raise VerificationError("the archive continues after its end")
        if self._inflater.unused_data or self._raw.read(1):
            raise VerificationError("the file continues after the archive")

    def _inflate_some(self, limit: int) -> bytes:
        """Return at most `limit` bytes; none at the end."""
        while not self._inflater.eof:
            try:
                chunk = self._inflater.decompress(self._compressed, limit)
            except zlib.error:
                raise VerificationError(
                    "the archive cannot be decompressed; it was damaged"
                ) from None
            self._compressed = self._inflater.unconsumed_tail
            if chunk:
                return chunk
            if not self._compressed and not self._inflater.eof:
                self._compressed = self._read_chunk()
                if not self._compressed:
                    raise VerificationError("the archive ends too early; it was truncated")
        return b""

    def _read_chunk(self) -> bytes:
        chunk = self._raw.read(CHUNK_BYTES)
        self._bytes_read += len(chunk)
        if self._bytes_read > MAX_ARCHIVE_BYTES:
            raise VerificationError(f"the archive is larger than {_mib(MAX_ARCHIVE_BYTES)}")
        return chunk

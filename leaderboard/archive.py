"""A finished run as one file: a gzipped tar of exactly six members, the same bytes every time.

Whoever unpacks one has not written it, so nothing in it is believed. A member's header must be,
byte for byte, the one that `pack` writes for that name and some size; that leaves no room for
links, devices, sparse files, extended headers, paths or repetitions. Sizes are bounded by what
is really inflated, a piece at a time, and never by what a header promises.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError
from ..suites.engine.run_directory.reader import check_finished
from .verification.rejection import VerificationError

MIB = 2**20
MEMBERS = {
    "manifest.json": MIB,
    "episodes.jsonl": 64 * MIB,
    "steps.parquet": 256 * MIB,
    "generations.parquet": 256 * MIB,
    "timings.json": 128 * MIB,
    "scores.json": 4 * MIB,
}
"""Every member in its order -> the most bytes that it may have."""

LARGEST_MEMBER = max(MEMBERS.values())
LARGEST_ARCHIVE = 256 * MIB
"""Bytes of the archive itself."""

BLOCK = 512
RECORD = 20 * BLOCK
PIECE = 2**18
LEVEL = 6
GZIP = b"\x1f\x8b\x08\x00" + bytes(4)
"""How a gzip file begins that has neither name nor time."""


def pack(run_dir: str | Path, file: str | Path) -> str:
    """Write the finished run in `run_dir` to `file`; returns the SHA-256 of the archive.

    The same run gives the same bytes, except that another zlib may deflate them otherwise: what
    counts is the hash of the archive as it was made. Raises InputError where there is no finished
    run, or one that is larger than an archive may be; then there is no `file`.
    """
    run, target = Path(run_dir), Path(file)
    check_finished(run)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with (
            temporary.open("wb") as raw,
            gzip.GzipFile("", "wb", compresslevel=LEVEL, fileobj=raw, mtime=0) as out,
        ):
            written = sum(_append(run / name, out) for name in MEMBERS)
            out.write(bytes(_ending(written)))
        size = temporary.stat().st_size
        if size > LARGEST_ARCHIVE:
            raise InputError(f"{run} packs into {_mib(size)}; {_mib(LARGEST_ARCHIVE)} are allowed")
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"cannot pack {run} into {target}: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return digest_of(target)


def unpack(file: str | Path, folder: str | Path) -> None:
    """Write the six files of an archive into `folder`, which must be new or empty.

    Nothing is written outside the folder, and it appears with all six files or not at all. At
    most the sum of `MEMBERS` is written, and about a megabyte held. Raises VerificationError
    for anything but an archive as `pack` writes it, and InputError for a folder with content.
    """
    path, target = Path(file), Path(folder)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise InputError(f"{target} is not empty; name a new folder")
    if not path.is_file():
        raise InputError(f"there is no archive at {path}; make one with tasteshift submit")
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with path.open("rb") as raw:
            inflated = _Inflated(raw)
            taken = sum(_extract(inflated, name, unfinished / name) for name in MEMBERS)
            if any(inflated.exactly(_ending(taken), "its end")):
                raise VerificationError("the archive goes on after scores.json")
            inflated.finish()
        unfinished.chmod(0o755)
        os.replace(unfinished, target)
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(unfinished)


def digest_of(file: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, read a piece at a time."""
    with Path(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _append(path: Path, out: gzip.GzipFile) -> int:
    """Add a member; returns the bytes that it takes in the tar."""
    if not path.is_file():
        raise InputError(f"{path} is missing; the run is not finished")
    with path.open("rb") as member:
        size = os.fstat(member.fileno()).st_size
        if size > MEMBERS[path.name]:
            raise InputError(f"{path} has {_mib(size)}; {_mib(MEMBERS[path.name])} are allowed")
        out.write(_header(path.name, size))
        left = size
        while piece := member.read(min(PIECE, left)):
            out.write(piece)
            left -= len(piece)
        if left or member.read(1):
            raise InputError(f"{path} changed while it was packed; wait for the run to finish")
    out.write(bytes(-size % BLOCK))
    return BLOCK + size + -size % BLOCK


def _extract(inflated: _Inflated, name: str, path: Path) -> int:
    """Write the next member, which must be `name`; returns the bytes that it took in the tar."""
    header = inflated.exactly(BLOCK, f"the header of {name}")
    digits = header[124:135]
    size = int(digits, 8) if digits.isdigit() and not digits.strip(b"01234567") else -1
    if size < 0 or header != _header(name, size):
        raise VerificationError(
            f"the archive's next member should be {name}, a plain file; pack it again"
        )
    if size > MEMBERS[name]:
        raise VerificationError(f"{name} has {_mib(size)}; {_mib(MEMBERS[name])} are allowed")
    with path.open("xb") as out:
        for piece in inflated.pieces(size, name):
            out.write(piece)
    if any(inflated.exactly(-size % BLOCK, name)):
        raise VerificationError(f"the archive holds something between {name} and the next member")
    return BLOCK + size + -size % BLOCK


def _header(name: str, size: int) -> bytes:
    """The POSIX ustar header of a plain file that belongs to nobody and is of no time."""
    fields = (
        *((name.encode(), 100), (b"0000644", 8), (b"0000000", 8), (b"0000000", 8)),
        *((b"%011o" % size, 12), (b"%011o" % 0, 12), (b" " * 8, 8), (b"0", 1), (b"", 100)),
        *((b"ustar\x0000", 8), (b"", 247)),
    )
    block = b"".join(text.ljust(width, b"\0") for text, width in fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _ending(written: int) -> int:
    """Zeros that end a tar: two blocks, and as many as fill the last record."""
    return 2 * BLOCK + -(written + 2 * BLOCK) % RECORD


def _mib(size: int) -> str:
    return f"{size / MIB:,.1f} MiB"


class _Inflated:
    """The inside of a gzip file, read once and a piece at a time."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._read = 0
        self._inflate = zlib.decompressobj(wbits=31)
        self._waiting = self._more()
        if self._waiting[: len(GZIP)] != GZIP:
            raise VerificationError("the file is no run archive; make one with tasteshift submit")

    def pieces(self, size: int, what: str) -> Iterator[bytes]:
        """The next `size` bytes; raises VerificationError where there are fewer."""
        while size:
            piece = self._some(min(size, PIECE))
            if not piece:
                raise VerificationError(f"the archive ends within {what}; it was truncated")
            size -= len(piece)
            yield piece

    def exactly(self, size: int, what: str) -> bytes:
        """The next `size` bytes at once."""
        return b"".join(self.pieces(size, what))

    def finish(self) -> None:
        """Raise VerificationError unless this is the end of the gzip file, and of the file."""
        if self._some(1):
            raise VerificationError("the archive goes on after its end")
        if self._inflate.unused_data or self._raw.read(1):
            raise VerificationError("something follows the archive in its file")

    def _some(self, most: int) -> bytes:
        """At most so many bytes; none at the end."""
        while not self._inflate.eof:
            try:
                piece = self._inflate.decompress(self._waiting, most)
            except zlib.error:
                raise VerificationError("the archive cannot be inflated; it was damaged") from None
            self._waiting = self._inflate.unconsumed_tail
            if piece:
                return piece
            if not self._waiting and not self._inflate.eof:
                self._waiting = self._more()
                if not self._waiting:
                    raise VerificationError("the archive ends too early; it was truncated")
        return b""

    def _more(self) -> bytes:
        read = self._raw.read(PIECE)
        self._read += len(read)
        if self._read > LARGEST_ARCHIVE:
            raise VerificationError(f"the archive is larger than {_mib(LARGEST_ARCHIVE)}")
        return read

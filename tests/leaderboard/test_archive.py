"""An archive unpacks to exactly what was packed, or is refused."""

import gzip
import io
import os
import struct
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasteshift.errors import InputError
from tasteshift.leaderboard import archive
from tasteshift.leaderboard.archive import MAX_MEMBER_BYTES, MEMBERS, pack, unpack
from tasteshift.leaderboard.rejection import VerificationError

NAMES = (
    *("manifest.json", "episodes.jsonl", "steps.parquet", "generations.parquet"),
    *("timings.json", "scores.json"),
)
SIZES = (1, 0, 512, 70_000, 511, 513)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Six files of random bytes: archives do not depend on their content."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name, size in zip(NAMES, SIZES, strict=True):
        (folder / name).write_bytes(np.random.default_rng(size).bytes(size))
    (folder / "report.html").write_text("not packed")
    return folder


@pytest.fixture
def packed(run: Path, tmp_path: Path) -> bytes:
    """The bytes of a valid archive."""
    pack(run, tmp_path / "valid.tar.gz")
    return (tmp_path / "valid.tar.gz").read_bytes()


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[[bytes], dict[str, bytes] | str]:
    """Unpacks bytes; returns the files, or the reason for refusal."""
    folder = tmp_path / "folder"
    folder.mkdir()

    def attempt(content: bytes) -> dict[str, bytes] | str:
        file = tmp_path / "some.tar.gz"
        file.write_bytes(content)
        before = set(tmp_path.iterdir())
        try:
            unpack(file, folder / "run")
        except VerificationError as error:
            assert not list(folder.iterdir())
            return str(error)
        else:
            found = {path.name: path.read_bytes() for path in (folder / "run").iterdir()}
            for path in (folder / "run").iterdir():
                path.unlink()
            (folder / "run").rmdir()
            return found
        finally:
            assert set(tmp_path.iterdir()) == before

    return attempt


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """An archive made by the standard library."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=form) as out:
        for info, content in members:
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return gzip.compress(whole.getvalue(), mtime=0)


def plain(name: str, **other: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in other.items():
        setattr(info, key, value)
    return info


def deflated(content: bytes) -> bytes:
    """Compress as `pack` does."""
    return gzip.compress(content, compresslevel=6, mtime=0)


def test_unpacking_restores_the_files(
    run: Path, packed: bytes, unpacked: Callable[[bytes], dict[str, bytes]]
) -> None:
    assert tuple(MEMBERS) == NAMES
    assert unpacked(packed) == {name: (run / name).read_bytes() for name in NAMES}


def test_tarfile_reads_an_archive_without_owner_and_time(run: Path, packed: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed)) as found:
        members = found.getmembers()
        assert [one.name for one in members] == list(NAMES)
        assert [one.size for one in members] == list(SIZES)
        for one in members:
            assert one.isreg()
            assert (one.mode, one.uid, one.gid, one.uname, one.mtime) == (0o644, 0, 0, "", 0)
            member = found.extractfile(one)
            assert member is not None
            assert member.read() == (run / one.name).read_bytes()
    assert packed[3:8] == bytes(5)


def test_archives_are_reproducible(run: Path, packed: bytes, tmp_path: Path) -> None:
    import hashlib

    for name in NAMES:
        (run / name).chmod(0o600)
        os.utime(run / name, (1e9, 1e9))
    again = tmp_path / "other name.tgz"
    assert pack(run, again) == hashlib.sha256(packed).hexdigest()
    assert again.read_bytes() == packed


def test_only_a_finished_run_is_packed(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "none.tar.gz"
    for name, message in (
        ("steps.parquet", "steps.parquet is missing"),
        ("scores.json", "holds no finished run"),
        ("manifest.json", "holds no run"),
    ):
        (run / name).unlink()
        with pytest.raises(InputError, match=message):
            pack(run, target)
    with pytest.raises(InputError, match="is not a run directory"):
        pack(tmp_path / "nowhere", target)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_that_is_too_large_is_not_packed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (run / "scores.json").open("ab") as file:
        file.truncate(MEMBERS["scores.json"] + 1)
    with pytest.raises(InputError, match=r"scores\.json has 4\.0 MiB; 4\.0 MiB are allowed"):
        pack(run, tmp_path / "large.tar.gz")
    (run / "scores.json").write_text("[]")
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", 60_000)
    with pytest.raises(InputError, match="packs into"):
        pack(run, tmp_path / "large.tar.gz")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_only_a_new_or_empty_folder_is_accepted(packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine").write_text("keep")
    with pytest.raises(InputError, match="is not empty"):
        unpack(tmp_path / "valid.tar.gz", tmp_path / "used")
    with pytest.raises(InputError, match="there is no archive"):
        unpack(tmp_path / "nothing.tar.gz", tmp_path / "new")
    (tmp_path / "empty").mkdir()
    unpack(tmp_path / "valid.tar.gz", tmp_path / "empty")
    assert len(list((tmp_path / "empty").iterdir())) == len(NAMES)


FIRST = plain("manifest.json")
FOREIGN = {
    "a path upwards": tar((plain("../manifest.json"), b"{}")),
    "an absolute path": tar((plain("/etc/manifest.json"), b"{}")),
    "a folder before": tar((plain("run/manifest.json"), b"{}")),
    "a link": tar((plain("manifest.json", type=tarfile.SYMTYPE, linkname="/etc/passwd"), b"")),
    "a hard link": tar((plain("manifest.json", type=tarfile.LNKTYPE, linkname="x"), b"")),
    "a device": tar((plain("manifest.json", type=tarfile.CHRTYPE, devmajor=1, devminor=5), b"")),
    "a pipe": tar((plain("manifest.json", type=tarfile.FIFOTYPE), b"")),
    "a folder": tar((plain("manifest.json", type=tarfile.DIRTYPE), b"")),
    "a sparse file": tar((plain("manifest.json", type=tarfile.GNUTYPE_SPARSE), b"")),
    "a long name": tar((plain("manifest.json" + "x" * 200), b""), form=tarfile.GNU_FORMAT),
    "an extended header": tar((plain("é.json"), b""), form=tarfile.PAX_FORMAT),
    "another first": tar((plain("scores.json"), b"{}")),
    "an owner": tar((plain("manifest.json", uid=7), b"{}")),
    "a time": tar((plain("manifest.json", mtime=7), b"{}")),
    "a right to run": tar((plain("manifest.json", mode=0o755), b"{}")),
    "nothing": tar(),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_any_other_member_is_refused(
    content: bytes, unpacked: Callable[[bytes], dict[str, bytes] | str]
) -> None:
    assert "next member should be manifest.json" in str(unpacked(content))


def test_missing_repeated_and_added_members_are_refused(
    unpacked: Callable[[bytes], dict[str, bytes] | str],
) -> None:
    whole = [(plain(name), b"x") for name in NAMES]
    assert unpacked(tar(*whole)) == dict.fromkeys(NAMES, b"x")
    assert "should be scores.json" in str(unpacked(tar(*whole[:-1])))
    assert "should be episodes.jsonl" in str(unpacked(tar(whole[0], *whole)))
    assert "continues after scores.json" in str(unpacked(tar(*whole, (plain("more"), b"x"))))


def test_data_after_the_end_is_refused(
    packed: bytes, unpacked: Callable[[bytes], dict[str, bytes] | str]
) -> None:
    inner = gzip.decompress(packed)
    for content, message in (
        (packed + b"x", "the file continues"),
        (packed + packed, "the file continues"),
        (packed + gzip.compress(b"", mtime=0), "the file continues"),
        (deflated(inner + b"\0"), "continues after its end"),
        (deflated(inner + bytes(10_240)), "continues after its end"),
        (deflated(inner[:-1]), "ends within its end"),
        (packed[:-8] + bytes(8), "was damaged"),
        (b"", "is not a run archive"),
        (inner, "is not a run archive"),
        (gzip.compress(inner, mtime=5), "is not a run archive"),
    ):
        assert message in str(unpacked(content))


def test_a_size_over_the_limit_is_refused_before_reading(
    packed: bytes, unpacked: Callable[[bytes], dict[str, bytes] | str]
) -> None:
    tracemalloc.start()
    for name, limit in MEMBERS.items():
        before = [(plain(one), b"x") for one in NAMES[: NAMES.index(name)]]
        info = plain(name)
        inner = gzip.decompress(tar(*before))[: 1024 * len(before)]
        for size in (limit + 1, 8**11 - 1):
            info.size = size
            bomb = inner + info.tobuf(tarfile.USTAR_FORMAT)
            assert unpacked(deflated(bomb + bytes(10_000))).startswith(f"{name} has ")
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()


def test_a_decompression_bomb_is_inflated_no_further_than_the_limit(
    unpacked: Callable[[bytes], dict[str, bytes] | str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kilobytes that would inflate to gigabytes are inflated up to the size in the header."""
    info = plain("manifest.json")
    info.size = MEMBERS["manifest.json"]
    deflate = zlib.compressobj(9, wbits=31)
    bomb = deflate.compress(info.tobuf(tarfile.USTAR_FORMAT))
    for _ in range(200):
        bomb += deflate.compress(bytes(2**20))
    bomb += deflate.flush()
    bomb = bomb[:4] + bytes(4) + bomb[8:]
    assert len(bomb) < 300_000
    inflated = 0
    original = zlib.decompressobj

    class Counting:
        def __init__(self, wbits: int) -> None:
            self._original = original(wbits)

        def decompress(self, content: bytes, limit: int) -> bytes:
            nonlocal inflated
            chunk = self._original.decompress(content, limit)
            inflated += len(chunk)
            return chunk

        def __getattr__(self, name: str) -> object:
            return getattr(self._original, name)

    monkeypatch.setattr(zlib, "decompressobj", Counting)
    assert "next member should be episodes.jsonl" in str(unpacked(bomb))
    assert inflated == 512 + MEMBERS["manifest.json"] + 512
    assert MAX_MEMBER_BYTES < 2**29


def test_empty_deflate_blocks_count_towards_the_size_limit(
    unpacked: Callable[[bytes], dict[str, bytes] | str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_ARCHIVE_BYTES", 2**20)
    nothing = struct.pack("<BHH", 0, 0, 0xFFFF)
    endless = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + nothing * 2**18
    assert "larger than 1.0 MiB" in str(unpacked(endless))


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(data=st.data())
def test_a_damaged_archive_is_refused_or_harmless(
    run: Path,
    packed: bytes,
    unpacked: Callable[[bytes], dict[str, bytes] | str],
    data: st.DataObject,
) -> None:
    """Flips, cuts, splices, overwrites and deletions, of the file or of the tar inside it."""
    inside = data.draw(st.booleans(), label="within")
    content = bytearray(gzip.decompress(packed) if inside else packed)
    headers = [0, 1024, 1536, 2560]
    positions = st.one_of(
        st.integers(0, len(content) - 1),
        st.integers(0, 600),
        *([st.sampled_from(headers).flatmap(lambda at: st.integers(at, at + 511))] * inside),
        st.integers(len(content) - 12_000 if inside else len(content) - 12, len(content) - 1),
    )
    for _ in range(data.draw(st.integers(1, 3), label="edits")):
        at = min(data.draw(positions, label="at"), len(content) - 1)
        match data.draw(st.sampled_from(["flip", "cut", "splice", "write", "drop"]), label="how"):
            case "flip":
                content[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del content[at:]
            case "splice":
                start = data.draw(positions)
                content[at:at] = content[start : start + data.draw(st.integers(1, 2000))]
            case "write":
                new = data.draw(st.binary(min_size=1, max_size=20))
                content[at : at + len(new)] = new
            case "drop":
                del content[at : at + data.draw(st.integers(1, 2000))]
        if not content:
            break
    found = unpacked(deflated(bytes(content)) if inside else bytes(content))
    if isinstance(found, str):
        assert "\n" not in found
    elif not inside:
        assert found == {name: (run / name).read_bytes() for name in NAMES}
    else:
        assert set(found) == set(NAMES)
        assert bytes(content) == gzip.decompress(repacked(found))


def repacked(files: dict[str, bytes]) -> bytes:
    """The same files packed by the standard library: the only archive that may be accepted."""
    return deflated(gzip.decompress(tar(*((plain(name), files[name]) for name in NAMES))))

"""Atomic writes: a file appears whole or not at all, and nothing temporary stays."""

import os

import pytest

from tasteshift.storage import atomic_path, write_atomically


@pytest.mark.parametrize("sync", [False, True])
def test_text_and_bytes_replace_what_was_there(tmp_path, sync):
    path = tmp_path / "file"
    write_atomically(path, "äß", sync=sync)
    assert path.read_bytes() == "äß".encode()
    write_atomically(path, b"\x00\r\n", sync=sync)
    assert path.read_bytes() == b"\x00\r\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(TypeError), atomic_path(path) as temporary:
        temporary.write_text(b"half")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_not_there_before_the_block_ends(tmp_path):
    path = tmp_path / "file"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert not path.exists()
    assert path.read_text() == "new"


def test_without_overwrite_the_first_writer_wins(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, "first", overwrite=False)
    with pytest.raises(FileExistsError):
        write_atomically(path, "second", overwrite=False)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_sync_writes_to_disk_before_the_rename(tmp_path, monkeypatch):
    calls = []
    real = os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("fsync"))
    monkeypatch.setattr(os, "replace", lambda *a: calls.append("replace") or real(*a))
    write_atomically(tmp_path / "file", b"content", sync=True)
    assert calls == ["fsync", "replace"]

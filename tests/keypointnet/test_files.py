"""Files that are there whole or not at all."""

import errno
import os
import tempfile

import pytest

from keypointnet.files import write_whole


def test_a_file_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    taken = tmp_path / "taken.json"
    taken.mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_whole(taken, b"{}")
    assert caught.value.filename == str(taken)
    assert os.listdir(tmp_path) == ["taken.json"]  # and nothing is left of it

    def refuse(*, dir, **_):
        raise PermissionError(errno.EACCES, "Permission denied", f"{dir}/.x.tmp")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(PermissionError, match=r"a\.json"):
        write_whole(tmp_path / "a.json", b"{}")


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "a.json"
    write_whole(file, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: \S+a.json") as caught:
        write_whole(file, b"new")
    assert caught.value.errno == errno.ENOSPC
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]

from __future__ import annotations

import os
import stat

import pytest
from ansible.module_utils.rollout.io.atomic import write_atomic


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("options", "wanted"), [({}, 0o600), ({"mode": 0o644}, 0o644)])
def test_write_atomic_sets_the_mode_whatever_the_umask(tmp_path, options, wanted):
    before = os.umask(0o077)
    try:
        write_atomic(tmp_path / "x", "é\r\n", **options)
    finally:
        os.umask(before)
    assert (tmp_path / "x").read_bytes() == "é\r\n".encode()
    assert mode(tmp_path / "x") == wanted


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_write_atomic_leaves_the_old_file_and_nothing_else_on_failure(tmp_path, monkeypatch, broken):
    (tmp_path / "x").write_text("old")

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(tmp_path / "x", "new")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "old"


def test_text_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_atomic(tmp_path / "x", "\udc80")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_says_for_which_file(tmp_path, monkeypatch):
    def full(_fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        write_atomic(tmp_path / "x", "text")
    assert error.value.filename == str(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []

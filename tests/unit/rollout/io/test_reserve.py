from __future__ import annotations

import errno
import os

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import reserve

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_while(monkeypatch, condition):
    """A disk that takes not a byte as long as that holds."""
    write = os.write

    def refuse(fd, data):
        if condition():
            raise FULL
        return write(fd, data)

    monkeypatch.setattr(os, "write", refuse)


def test_room_is_set_aside_once(tmp_path):
    reserve.keep(tmp_path)
    first = (tmp_path / "reserve").read_bytes()
    assert len(first) == reserve.SIZE
    reserve.keep(tmp_path)
    assert (tmp_path / "reserve").read_bytes() == first
    (tmp_path / "reserve").write_bytes(b"torn")
    reserve.keep(tmp_path)
    assert (tmp_path / "reserve").stat().st_size == reserve.SIZE


def test_where_there_is_no_room_nothing_is_left_of_it(tmp_path, monkeypatch):
    def fail(_fd):
        raise FULL

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RolloutError, match="is not writable \\(No space left on device\\)"):
        reserve.keep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_room_is_written_in_it(tmp_path, monkeypatch):
    reserve.keep(tmp_path)
    full_while(monkeypatch, (tmp_path / "reserve").exists)
    done = []
    reserve.used(tmp_path, lambda: done.append(os.write(os.open(tmp_path / "x", os.O_WRONLY | os.O_CREAT), b"here")), True)
    assert done == [4]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(("error", "kept"), [(FULL, False), (PermissionError(errno.EACCES, "no"), True)])
def test_what_cannot_be_written_all_the_same(tmp_path, error, kept):
    def fail():
        raise error

    reserve.keep(tmp_path)
    for _time in range(2):
        with pytest.raises(OSError, match=error.strerror):
            reserve.used(tmp_path, fail, True)
        assert (tmp_path / "reserve").exists() is kept

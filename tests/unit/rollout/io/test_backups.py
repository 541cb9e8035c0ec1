from __future__ import annotations

import gzip
import hashlib
import zlib

import pytest
from ansible.module_utils.rollout.io.backups import Backups


@pytest.fixture
def files(tmp_path):
    return Backups(tmp_path)


def written(files, name, *pieces, packed=False):
    with files.writing(name, packed) as writing:
        for piece in pieces:
            writing.write(piece)
    files.keep(name)
    return writing


@pytest.mark.parametrize("packed", [False, True])
def test_what_was_written_is_read_again(files, packed):
    done = written(files, "one", b"rows " * 1000, b"", b"more", packed=packed)
    content = (files.path / "one").read_bytes()
    assert b"".join(files.pieces("one", packed)) == b"rows " * 1000 + b"more"
    assert (done.bytes, done.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert files.sha256("one") == done.sha256
    assert (len(content) < 1000) is packed
    assert not packed or gzip.decompress(content).endswith(b"more"), "gunzip reads it"


def test_a_file_without_its_end_is_not_read_as_a_whole(files):
    written(files, "one", bytes(range(256)) * 999, packed=True)
    path = files.path / "one"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(EOFError):
        list(files.pieces("one", True))


def test_a_damaged_file_is_not_read_as_a_whole(files):
    written(files, "one", bytes(range(256)) * 999, packed=True)
    path = files.path / "one"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises((OSError, EOFError, zlib.error)):
        list(files.pieces("one", True))


def test_a_file_that_another_user_may_read_is_shut(files):
    files.path.mkdir(mode=0o755)
    (files.path / "one.part").write_bytes(b"old")
    (files.path / "one.part").chmod(0o644)
    written(files, "one", b"new")
    assert (files.path.stat().st_mode & 0o777, (files.path / "one").stat().st_mode & 0o777) == (0o700, 0o600)
    assert (files.path / "one").read_bytes() == b"new"


def test_a_link_is_not_followed(files, tmp_path):
    files.path.mkdir()
    (files.path / "one.part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"symbolic link|Too many"), files.writing("one", False):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_not_finished_goes(files):
    with pytest.raises(RuntimeError), files.writing("one", False):
        raise RuntimeError
    assert list(files.path.iterdir()) == []
    (files.path / "two.part").touch()
    (files.path / "two").touch()
    files.sweep()
    assert files.names() == {"two"}
    files.drop("two")
    files.drop("two")
    assert files.names() == set()


def test_a_name_does_not_leave_the_folder(files):
    assert files.file("../ledger.jsonl") == files.path / "ledger.jsonl"


def test_without_a_folder_there_is_none(files):
    files.sweep()
    assert files.names() == set()
    with pytest.raises(FileNotFoundError):
        files.looks("one")

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.rollout.io import scratch

KILLED = """
import sys
from pathlib import Path
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv[1])
from ansible.module_utils.rollout.io import scratch
with scratch.directory(Path(sys.argv[2]), "reading") as found:
    (found / ".env").write_text("canary")
    print(found, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["login", "reading"])
def test_a_directory_is_private_and_gone_afterwards(tmp_path, name):
    def work():
        with scratch.directory(tmp_path, name) as found:
            assert found.parent == tmp_path
            assert stat.S_IMODE(found.stat().st_mode) == 0o700
            (found / "sub").mkdir()
            assert scratch.left(tmp_path) == [found]
            scratch.sweep(tmp_path)
            assert (found / "sub").exists(), "it is in use"
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_and_nothing_else(tmp_path, start, real_clock):
    root = Path(__file__).resolve().parents[4] / "module_utils"
    process = start(sys.executable, "-c", KILLED, str(root), str(tmp_path), stdin=subprocess.PIPE)
    place = Path(process.stdout.readline().strip())
    (tmp_path / ".other").mkdir()
    (tmp_path / "login.x").mkdir()
    scratch.sweep(tmp_path)
    assert (place / ".env").exists(), "it is in use"
    process.kill()
    process.wait(60)
    process.stdin.close()
    scratch.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other", "login.x"]


def test_one_that_was_swept_away_at_its_birth_is_made_anew(tmp_path, monkeypatch):
    opened, real = [], os.open

    def swept(path, *rest, **more):
        opened.append(path)
        if len(opened) == 1:
            os.rmdir(path)
        return real(path, *rest, **more)

    monkeypatch.setattr(scratch.os, "open", swept)
    with scratch.directory(tmp_path, "login") as found:
        assert found.exists()
    assert len(opened) >= 2
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_locked_it_is_used_without(tmp_path, monkeypatch):
    def refused(fd, how):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(scratch.fcntl, "flock", refused)
    with scratch.directory(tmp_path, "login") as found:
        assert found.exists()
        scratch.sweep(tmp_path)
        assert found.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / ".login.x").symlink_to(tmp_path / "mine")
    scratch.sweep(tmp_path)
    assert (tmp_path / "mine").exists()

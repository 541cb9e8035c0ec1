from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.module_utils.rollout.io import machine


def test_the_clock_only_goes_on():
    first = machine.clock()
    seconds = [machine.clock().seconds for _ in range(50)]
    assert seconds == sorted(seconds)
    assert first.seconds <= seconds[0] < first.seconds + 60
    assert first.boot == machine.clock().boot
    assert len(first.boot) == 36


def test_the_clock_of_a_machine_that_says_no_boot(monkeypatch):
    def absent(*_arguments, **_options):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    assert machine.clock().boot == "unknown"


def test_now_is_utc_in_seconds():
    assert abs(time.mktime(time.strptime(machine.now(), "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.gmtime())) < 5


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """systemd is there or not; `systemctl` ends with that status, or is absent."""

    def make(there, status=None):
        monkeypatch.setattr(Path, "is_dir", lambda self: there and str(self) == "/run/systemd/system")
        monkeypatch.setenv("PATH", str(tmp_path))
        if status is not None:
            script = tmp_path / "systemctl"
            script.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/asked\nexit {status}\n')
            script.chmod(0o755)

    return make


@pytest.mark.parametrize(
    ("there", "status", "word"),
    [(False, 0, machine.NOBODY), (True, 0, machine.SYSTEMD), (True, 3, machine.PROCESS), (True, None, machine.PROCESS)],
)
def test_keeper(systemctl, tmp_path, there, status, word):
    systemctl(there, status)
    assert machine.keeper("app") == word
    if there and status is not None:
        assert (tmp_path / "asked").read_text() == "is-active --quiet rollout-guard-app.path\n"


def test_keeper_of_a_service_manager_that_hangs(systemctl, monkeypatch):
    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    systemctl(True)
    monkeypatch.setattr(subprocess, "run", hang)
    assert machine.keeper("app") == machine.PROCESS


def test_detached_is_a_session_of_its_own(tmp_path):
    program, log = tmp_path / "p.py", tmp_path / "log"
    program.write_text("import os\nprint(os.getsid(0) == os.getpid(), os.getcwd(), flush=True)\n")
    machine.detach(program, log)
    ends = time.monotonic() + 20
    while not log.read_text().endswith("\n") and time.monotonic() < ends:
        time.sleep(0.02)
    assert log.read_text() == "True /\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_free_bytes_of_a_path_that_is_not_there_yet(tmp_path):
    assert machine.free_bytes(str(tmp_path / "a" / "b")) > 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a moment")
def test_free_bytes_of_a_path_that_this_user_may_not_look_at(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    os.seteuid(65534)
    try:
        assert machine.free_bytes(str(closed / "165536.165536")) > 0
    finally:
        os.seteuid(0)


def test_free_inodes(tmp_path, monkeypatch):
    assert machine.free_inodes(str(tmp_path / "a" / "b")) > 0
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_files=0, f_favail=0))
    assert machine.free_inodes(str(tmp_path)) is None, "it does not count them"


def test_where_temporary_files_go(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/big/tmp")
    assert machine.temporary() == "/big/tmp"
    monkeypatch.delenv("TMPDIR")
    assert machine.temporary() == "/tmp"

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible.module_utils.rollout import machine

ROOT = Path(__file__).resolve().parents[3]
# What a filter does in a worker that Ansible forked.
PLAYBOOK = f"""#!{sys.executable}
import json, os, sys
import ansible.module_utils
ansible.module_utils.__path__.append({str(ROOT / "module_utils")!r})
from ansible.module_utils.rollout import machine
if os.fork() == 0:
    print(json.dumps([os.getppid(), machine.owner()]), flush=True)
    os._exit(0)
os.wait()
sys.stdin.read()
"""


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


def test_owner_outside_a_playbook():
    owner = machine.owner()
    assert set(owner) == {"user", "host", "machine", "process", "alive"}
    assert owner["user"]
    assert owner["machine"] == f"{machine.clock().boot} {os.readlink('/proc/self/ns/pid')}"
    json.dumps(owner)


def test_owner_is_the_playbook_and_not_its_worker(tmp_path):
    program = tmp_path / "ansible-playbook"
    program.write_text(PLAYBOOK)
    program.chmod(0o755)
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as playbook:
        assert playbook.stdout
        pid, owner = json.loads(playbook.stdout.readline())
        assert pid == playbook.pid
        assert owner["process"].split(":")[0] == str(playbook.pid)
        assert owner["process"] in owner["alive"], "and not only its worker"
        assert owner["process"] in machine.owner()["alive"], "others see it"
        assert owner["machine"] == machine.owner()["machine"]
        playbook.communicate()
    assert owner["process"] not in machine.owner()["alive"]


def test_detached_is_a_session_of_its_own(tmp_path):
    program, log = tmp_path / "p.py", tmp_path / "log"
    program.write_text("import os\nprint(os.getsid(0) == os.getpid(), os.getcwd(), flush=True)\n")
    machine.detach(program, log)
    ends = time.monotonic() + 20
    while not log.read_text().endswith("\n") and time.monotonic() < ends:
        time.sleep(0.02)
    assert log.read_text() == "True /\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_an_owner_without_a_name(monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4242424)
    assert machine.owner()["user"] == "4242424"

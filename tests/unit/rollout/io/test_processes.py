"""Real processes: one that may be ended with all that it started, and those that may not."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from pathlib import Path

import pytest
from ansible.module_utils.rollout.io import processes

pytestmark = pytest.mark.usefixtures("real_clock")
LIMIT_S = 60
# A step that hangs, as an agent has it: a command in a session of its own, whose child's parent has ended.
FAMILY = """
import subprocess, sys, time
orphan = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
sleeper = subprocess.Popen(["sh", "-c", sys.executable + ' -c "$1"; exec sleep 600', "sh", orphan], start_new_session=True)
print(sleeper.pid, flush=True)
time.sleep(600)
"""


def gone(pid):
    """Wait until a process has ended."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            assert select.select([handle], [], [], LIMIT_S)[0], "it does not end"
        finally:
            os.close(handle)


@pytest.fixture
def family(start):
    """The process, its child and the child's orphan."""
    process = start(sys.executable, "-c", FAMILY, start_new_session=True)
    others = [int(process.stdout.readline()) for _ in range(2)]
    yield [process.pid, *others]
    for pid in others:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def state(pid):
    found = processes.look(pid)
    return found.state if found else None


def test_it_ends_with_all_that_it_started(family):
    assert processes.end(processes.look(family[0]), lambda: True, LIMIT_S) == []
    for pid in family:
        gone(pid)
    assert [state(pid) for pid in family] == [None] * 3


def test_a_process_that_was_stopped_ends(family):
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    assert processes.end(processes.look(family[0]), lambda: True, LIMIT_S) == []


CHILD = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], *sys.argv[2:]], start_new_session=True)
time.sleep(600)
"""
GUARD = """
import os, pathlib, sys
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv[1])
from ansible.module_utils.rollout.io import processes
left = processes.end(processes.look(os.getppid()), lambda: True, 60)
pathlib.Path(sys.argv[2]).write_text(str(left))
"""


def test_a_guard_that_the_agent_started_outlives_it(start, tmp_path):
    said = tmp_path / "said"
    os.mkfifo(said)
    root = Path(__file__).resolve().parents[4]
    process = start(sys.executable, "-c", CHILD, GUARD, str(root / "module_utils"), str(said), start_new_session=True)
    handle = os.open(said, os.O_RDWR)
    try:
        assert select.select([handle], [], [], LIMIT_S)[0], "it ended itself"
        assert os.read(handle, 100) == b"[]"
    finally:
        os.close(handle)
    assert process.wait(LIMIT_S) == -signal.SIGKILL


def test_what_is_not_due_after_all_goes_on(family):
    seen = []

    def due():
        seen.extend(state(pid) for pid in family)
        return False

    assert processes.end(processes.look(family[0]), due, LIMIT_S) is None
    assert seen == ["T"] * 3, "it stood still while it was asked"
    for pid in family:
        while state(pid) == "T":
            os.sched_yield()
        assert state(pid) is not None


def test_what_is_not_due_because_nobody_can_say_goes_on(family):
    def due():
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        processes.end(processes.look(family[0]), due, LIMIT_S)
    for pid in family:
        while state(pid) == "T":
            os.sched_yield()
        assert state(pid) is not None


def test_what_does_not_end_is_named(family, monkeypatch):
    """A process that waits for a disk cannot be ended: here the kernel's word for it never comes."""
    monkeypatch.setattr(processes.signal, "pidfd_send_signal", lambda handle, number: None)
    left = processes.end(processes.look(family[0]), lambda: True, 0.1)
    assert {one.pid for one in left} == set(family)


def test_without_handles_of_processes_it_ends_too(family, monkeypatch):
    """Linux before 5.3."""
    monkeypatch.delattr(os, "pidfd_open")
    assert processes.end(processes.look(family[0]), lambda: True, LIMIT_S) == []


def test_whoever_has_the_number_by_now_is_left_alone(family):
    before = processes.look(family[0])._replace(started=1)
    assert processes.end(before, lambda: True, 0.1) == []
    assert state(family[0]) in ("R", "S")


def test_nobody_elses_process_is_ended(family, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    left = processes.end(processes.look(family[0]), lambda: True, 0.1)
    assert {one.pid for one in left} >= {family[0]}
    assert all(state(pid) in ("R", "S") for pid in family)

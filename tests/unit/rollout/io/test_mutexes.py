from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from ansible.module_utils.rollout.io import mutexes, processes

pytestmark = pytest.mark.usefixtures("real_clock")
SIGN = """
import pathlib, sys, time
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv[1])
from ansible.module_utils.rollout.io import mutexes
with mutexes.hold(pathlib.Path(sys.argv[2]), 0, "run-b") as got:
    print(got, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def hold(start):
    """Have another process hold the mutex of a file."""

    def make(file):
        root = Path(__file__).resolve().parents[4]
        process = start(sys.executable, "-c", SIGN, str(root / "module_utils"), str(file))
        assert process.stdout.readline() == "True\n"
        return process

    return make


@pytest.fixture
def holder(hold, tmp_path):
    """A process that holds a mutex; and the file."""
    return hold(tmp_path / ".step"), tmp_path / ".step"


def test_a_mutex_names_its_holder(holder):
    process, file = holder
    found = mutexes.holder(file)
    assert (found.run, found.process.pid) == ("run-b", process.pid)
    assert processes.lockers(file) in ({process.pid}, set())
    with mutexes.hold(file, 0) as got:
        assert not got


@pytest.mark.parametrize(
    "other", [{"started": 1}, {"boot": "another"}, {"space": "pid:[1]"}, {"pid": "4711"}, {"pid": None}, {"pid": 2**30}]
)
def test_a_holder_that_is_not_that_process_is_nobody(holder, other):
    _process, file = holder
    facts = json.loads(file.read_text())
    file.write_text(json.dumps({**facts, **other}))
    assert mutexes.holder(file) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{}", '{"run": "r"}', "null", "\0"])
def test_a_mutex_that_says_nothing_has_no_holder(tmp_path, text):
    (tmp_path / ".step").write_text(text)
    assert mutexes.holder(tmp_path / ".step") is None
    assert mutexes.holder(tmp_path / "absent") is None


def test_who_does_not_hold_the_lock_of_the_file_is_nobody(holder, hold, tmp_path):
    """The file still names the one before: the kernel knows better."""
    other = hold(tmp_path / "other")
    if not processes.lockers(tmp_path / "other"):
        pytest.skip("this kernel does not say who holds a lock")
    assert mutexes.holder(tmp_path / "other").process.pid == other.pid
    (tmp_path / "other").write_text(holder[1].read_text())
    assert mutexes.holder(tmp_path / "other") is None


def test_a_holder_of_another_user_is_nobody(holder, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert mutexes.holder(holder[1]) is None


def test_who_holds_it_oneself_is_nobody_to_end(tmp_path):
    with mutexes.hold(tmp_path / ".step", 0, "run-b") as got:
        assert got
        assert mutexes.holder(tmp_path / ".step") is None


def test_a_mutex_is_taken_on_a_full_disk(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mutexes.os, "pwrite", full)
    with mutexes.hold(tmp_path / ".step", 0, "run-b") as got:
        assert got
    assert mutexes.holder(tmp_path / ".step") is None


CHANGE = """
import pathlib, sys
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv[1])
from ansible.module_utils.rollout.io import mutexes
from ansible.module_utils.rollout.io.docker_command import Docker
with mutexes.hold(pathlib.Path(sys.argv[2]), 0, "run-b"):
    Docker().run([sys.argv[3], "web"])
"""


@pytest.mark.parametrize(("command", "kept"), [("stop", True), ("logs", False)])
def test_a_command_that_changes_containers_keeps_the_mutex_of_its_killed_step(docker, start, tmp_path, command, kept):
    root = Path(__file__).resolve().parents[4]
    go, file = tmp_path / "go", tmp_path / ".step"
    os.mkfifo(go)
    docker(f"stop*|logs*) read -r line < {go};;\n")
    process = start(sys.executable, "-c", CHANGE, str(root / "module_utils"), str(file), command)
    # The command is at work as soon as somebody reads there.
    with go.open("w") as end:
        process.kill()
        process.wait()
        with mutexes.hold(file, 0) as got:
            assert got is not kept
        end.write("go on\n")
    with mutexes.hold(file, 30) as got:
        assert got

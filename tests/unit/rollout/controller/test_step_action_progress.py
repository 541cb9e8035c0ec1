"""What the action of a step does beside it: it tells what the host is at, and changes nothing of what the step answers."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible.module_utils.rollout.agent import door
from ansible.module_utils.rollout.controller import step_action
from story import KEPT

POLL_S = 0.02
# The answers of a stack and of a lock: each takes its own keys.
RESULT = {"changed": True, "services": [KEPT]}
LOCKED = {"changed": True, "taken_over": ""}
FACTS = {"run": "r1", "step": "gate", "what": "web"}
ARGUMENTS = {"root": "/srv/r", "application": "app", "run": "r1", "stack": ["core"], "name": "v1"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(step_action, "POLL_S", POLL_S)


@pytest.fixture
def listener(monkeypatch):
    """Where somebody listens; its path is short enough for a socket."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(f"{directory}/progress")
        made.settimeout(30)
        monkeypatch.setenv("ROLLOUT_PROGRESS", f"{directory}/progress")
        yield made


class Connection:
    """One that may be used for one thing at a time."""

    _shell = SimpleNamespace(tmpdir="/tmp/x", env_prefix=lambda **_values: "")
    transport = "ssh"

    def __init__(self, become):
        self.become = become
        self.user = "ada"

    def set_become_plugin(self, plugin):
        self.become = plugin


@pytest.fixture
def action():
    """An action on fakes. ``module`` runs as the step, ``look`` answers a command on the host; both get the action."""

    def make(module, look=None, become=None, check=False, step="stack", **args):
        class Fake(step_action.StepAction):
            door = door

            def _step(self):
                before = {thread for thread in threading.enumerate() if thread.daemon}
                self.seen.update(watchers=[t for t in before if t not in self.others])
                module(self)

            def _low_level_execute_command(self, command, sudoable=False, in_data=None):
                if in_data is None:
                    self.looks.append((time.monotonic(), command, sudoable, self._connection))
                    return look(self) if look else {"rc": 0, "stdout": json.dumps(FACTS)}
                self._step()
                return {"rc": 0, "stdout": json.dumps({**LOCKED, **RESULT}) + "\n", "stderr": ""}

        values = {"action": step, "args": {**ARGUMENTS, **args}, "delegate_to": None, "environment": None}
        task = SimpleNamespace(async_val=0, check_mode=check, **values)
        templar = SimpleNamespace(template=lambda value: value)
        made = Fake(task, Connection(become), None, None, templar)
        made.looks, made.seen, made.others = [], {}, set(threading.enumerate())
        return made

    return make


def run(action):
    return action.run(task_vars={"inventory_hostname": "h1"})


def until(condition):
    for _ in range(3_000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


def after(looks):
    """A module that takes as long as so many looks."""
    return lambda action: until(lambda: len(action.looks) >= looks)


def ended(action):
    for watcher in action.seen["watchers"]:
        watcher.join(30)
        assert not watcher.is_alive()


def sent(listener):
    """What came so far."""
    listener.setblocking(False)
    found = []
    while True:
        try:
            found.append(json.loads(listener.recv(2**16)))
        except BlockingIOError:
            return found


def test_the_steps_result_is_returned_untouched(action, listener):
    made = action(after(3))
    assert run(made) == RESULT
    ended(made)
    assert sent(listener)[:2] == [{"host": "h1", **FACTS}] * 2


@pytest.mark.usefixtures("listener")
def test_a_module_that_raises_ends_the_looking_too(action):
    def module(action):
        after(1)(action)
        raise KeyError("gone")

    made = action(module)
    with pytest.raises(KeyError, match="gone"):
        run(made)
    ended(made)


@pytest.mark.usefixtures("listener")
def test_it_looks_once_in_its_interval(action):
    made = action(after(4))
    began = time.monotonic()
    run(made)
    ended(made)
    times = [began, *[at for at, *_ in made.looks]]
    assert all(later - earlier >= POLL_S * 0.9 for earlier, later in zip(times, times[1:]))


@pytest.mark.usefixtures("listener")
def test_a_module_that_is_quick_is_not_looked_at(action, monkeypatch):
    monkeypatch.setattr(step_action, "POLL_S", 60.0)
    made = action(lambda action: None)
    assert run(made) == RESULT
    ended(made)
    assert made.looks == []


@pytest.mark.parametrize(("listened", "check"), [(False, False), (True, True), (False, True)])
@pytest.mark.usefixtures("listener")
def test_it_looks_only_where_somebody_listens_and_something_is_done(action, monkeypatch, listened, check):
    if not listened:
        monkeypatch.delenv("ROLLOUT_PROGRESS")
    made = action(lambda action: time.sleep(4 * POLL_S), check=check)
    assert run(made) == RESULT
    assert made.seen["watchers"] == []
    assert made.looks == []


@pytest.mark.parametrize(
    ("answers", "host_said"),
    [
        # Another run's, none at all, nothing there, then its own.
        ([{"rc": 0, "stdout": '{"run": "r0"}'}, {"rc": 0, "stdout": "{}"}, {"rc": 1, "stdout": "no such file"}], 0),
        ([{"rc": 0, "stdout": '{"run": "r0"}'}, {"rc": 0, "stdout": json.dumps(FACTS)}], 1),
    ],
)
def test_what_another_run_left_is_ignored(action, listener, answers, host_said):
    left = list(answers)
    made = action(after(len(answers) + 1), lambda action: left.pop(0) if left else {"rc": 0, "stdout": '{"run": "r0"}'})
    run(made)
    ended(made)
    assert sent(listener) == [{"host": "h1", **FACTS}] * host_said


def lost(action):
    raise OSError("the connection is gone")


@pytest.mark.parametrize("look", [lost, lambda action: {"rc": 0, "stdout": '{"run": "r'}, lambda action: {}])
@pytest.mark.usefixtures("listener")
def test_three_looks_that_fail_are_the_last(action, look):
    made = action(ended, look)
    assert run(made) == RESULT
    assert len(made.looks) == 3


@pytest.mark.parametrize("said", ["[]", "5", "null", '"r1"'])
def test_progress_that_is_none_is_a_look_that_failed(action, listener, said):
    made = action(ended, lambda action: {"rc": 0, "stdout": said})
    assert run(made) == RESULT
    assert len(made.looks) == 3
    assert sent(listener) == []


@pytest.mark.usefixtures("listener")
def test_a_task_without_root_is_refused_and_not_looked_at(action):
    made = action(ended)
    del made._task.args["root"]
    with pytest.raises(AnsibleActionFail, match=r"^missing required arguments: root$"):
        run(made)
    assert set(threading.enumerate()) <= made.others
    assert (made.looks, made.seen) == ([], {})


@pytest.mark.usefixtures("listener")
def test_a_lock_is_not_looked_at(action):
    made = action(lambda action: time.sleep(4 * POLL_S), step="lock")
    for name in ("stack", "name"):
        del made._task.args[name]
    assert run(made) == LOCKED
    assert (made.looks, made.seen["watchers"]) == ([], [])


def test_a_look_that_hangs_delays_nothing(action, listener):
    free = threading.Event()

    def hang(action):
        free.wait(60)
        return {"rc": 0, "stdout": json.dumps(FACTS)}

    made = action(after(1), hang)
    assert run(made) == RESULT
    (watcher,) = made.seen["watchers"]
    assert watcher.is_alive(), "the module's end waited for it"
    assert watcher.daemon, "the process's end would wait for it"
    free.set()
    ended(made)
    # It came too late: the step's line stands already.
    assert sent(listener) == []


def test_nobody_listens_any_more(action, listener):
    made = action(after(3))
    os.unlink(os.environ["ROLLOUT_PROGRESS"])
    assert run(made) == RESULT
    ended(made)
    assert sent(listener) == []


@pytest.mark.parametrize("become", [None, SimpleNamespace(prompt="a password")])
@pytest.mark.usefixtures("listener")
def test_it_looks_through_a_connection_of_its_own(action, become):
    made = action(after(2), become=become)
    connection = made._connection
    run(made)
    ended(made)
    _at, _command, sudoable, other = made.looks[0]
    assert sudoable is True
    assert other is not connection
    assert (other.user, made._connection, connection.become) == ("ada", connection, become)
    assert other.become == become
    assert become is None or other.become is not become


@pytest.mark.parametrize("directory", ["r", "a name's $parts/r"])
@pytest.mark.parametrize("root", ["~/{}", "{home}/{}"])
@pytest.mark.usefixtures("listener")
def test_the_file_is_found_as_a_shell_finds_it(action, tmp_path, root, directory):
    file = tmp_path / directory / "progress.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(FACTS))
    made = action(after(1), root=root.format(directory, home=tmp_path))
    run(made)
    ended(made)
    command = made.looks[0][1]
    found = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env={**os.environ, "HOME": str(tmp_path)})
    assert (found.stdout, found.stderr) == (json.dumps(FACTS), "")
    if root.startswith("~"):
        assert command == f'cat "$HOME"/{shlex.quote(f"{directory}/progress.json")}'
        assert str(Path.home()) not in command

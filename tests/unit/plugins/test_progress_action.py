from __future__ import annotations

import json
import socket
import threading
from types import SimpleNamespace

import pytest

ARGUMENTS = {"root": "/var/lib/rollout/app", "run": "r1"}
SAID = {"run": "r1", "step": "gate", "what": "web"}


class Connection:
    transport = "ssh"

    def __init__(self):
        self.become = SimpleNamespace(name="sudo")

    def set_become_plugin(self, become):
        self.become = become


@pytest.fixture
def listener(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "progress"))
        heard.settimeout(5)
        monkeypatch.setenv("ROLLOUT_PROGRESS", str(tmp_path / "progress"))
        yield heard


@pytest.fixture
def step(load, monkeypatch):
    """A step on a host: what looking at it says, and what the module does meanwhile."""
    plugin = load("plugins/action/stack.py")
    monkeypatch.setattr(plugin, "POLL_S", 0.01)
    monkeypatch.setattr(plugin.ActionBase, "run", lambda *_a: {"invocation": 1})
    looks = []

    def make(look, module=lambda: {"changed": True}, check=False, root=ARGUMENTS["root"]):
        action = plugin.ActionModule.__new__(plugin.ActionModule)
        action._task = SimpleNamespace(args={**ARGUMENTS, "root": root}, check_mode=check)
        action._connection = Connection()

        def low_level(self, command, sudoable=True):
            looks.append((command, self._connection))
            return look(len(looks))

        monkeypatch.setattr(plugin.ActionModule, "_low_level_execute_command", low_level)
        monkeypatch.setattr(plugin.ActionModule, "_execute_module", lambda self, task_vars=None: module())
        action.looks = looks
        return action

    return make


def said(facts, rc=0):
    return lambda _n: {"rc": rc, "stdout": json.dumps(facts)}


def run(action):
    return action.run(task_vars={"inventory_hostname": "gpu"})


def test_what_the_host_says_is_passed_on(step, listener):
    heard = threading.Event()
    action = step(said(SAID), lambda: heard.wait(5) and {"changed": True})
    results = []
    working = threading.Thread(target=lambda: results.append(run(action)))
    working.start()
    assert json.loads(listener.recv(9999)) == {"host": "gpu", **SAID}
    heard.set()
    working.join(5)
    assert results == [{"invocation": 1, "changed": True}]
    command, connection = action.looks[0]
    assert command == "cat /var/lib/rollout/app/progress.json"
    # The module's own is not touched while it is in use.
    assert connection is not action._connection
    assert connection.become is not action._connection.become


def quiet(listener):
    listener.settimeout(0.1)
    with pytest.raises(TimeoutError):
        listener.recv(9999)


@pytest.mark.parametrize("facts", [{**SAID, "run": "r0"}, {}, {"step": "gate"}])
def test_what_another_run_says_is_not(step, listener, facts):
    done = threading.Event()

    def look(n):
        if n == 3:
            done.set()
        return said(facts)(n)

    run(step(look, lambda: done.wait(5) and {}))
    quiet(listener)


def test_three_looks_that_fail_are_enough(step, listener):
    ended = threading.Event()

    def look(n):
        if n == 3:
            threading.Timer(0.1, ended.set).start()
        raise OSError("connection lost")

    action = step(look, lambda: ended.wait(5) and {})
    run(action)
    assert len(action.looks) == 3


def test_a_look_that_hangs_delays_nothing(step, listener):
    hanging, never = threading.Event(), threading.Event()

    def look(_n):
        hanging.set()
        never.wait(5)
        return {"rc": 0, "stdout": "{}"}

    assert run(step(look, lambda: hanging.wait(5) and {"changed": False}))["changed"] is False
    never.set()
    quiet(listener)


def test_an_error_of_the_module_is_its_own(step, listener):
    def fail():
        raise ValueError("unreachable")

    with pytest.raises(ValueError, match="unreachable"):
        run(step(said(SAID), fail))


@pytest.mark.parametrize("check", [True, False])
def test_without_a_listener_and_in_check_mode_nobody_looks(step, monkeypatch, tmp_path, check):
    if check:
        monkeypatch.setenv("ROLLOUT_PROGRESS", str(tmp_path / "progress"))
    else:
        monkeypatch.delenv("ROLLOUT_PROGRESS", raising=False)
    action = step(said(SAID), lambda: threading.Event().wait(0.1) or {}, check=check)
    run(action)
    assert action.looks == []


def test_a_directory_in_the_users_home(step, listener):
    heard = threading.Event()
    action = step(said(SAID), lambda: heard.wait(5) and {}, root="~/my rollout")
    working = threading.Thread(target=lambda: run(action))
    working.start()
    listener.recv(9999)
    heard.set()
    working.join(5)
    assert action.looks[0][0] == "cat \"$HOME\"/'my rollout/progress.json'"


def test_both_modules_have_it(root):
    assert (root / "plugins/action/release.py").resolve() == root / "plugins/action/stack.py"

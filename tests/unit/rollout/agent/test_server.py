"""The agent of a run and its door, as processes of their own: nothing of them is replaced."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import fake_docker
import pytest
from ansible.module_utils.rollout.agent import door, server
from ansible.module_utils.rollout.domain.steps import STEPS
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import machine
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.package import AGENT, pack
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import guard
from interpreter import bare_python
from story import held

LIMIT_S = 60
OWNER = {"user": "ada", "host": "laptop", "action": "rollout"}
ENDED = "the process that works for the run on this host ended before it answered; perhaps it was killed\n"


@pytest.fixture(scope="module")
def package():
    """The package as the action sends it."""
    return pack(AGENT, compiled=True)


@pytest.fixture(scope="module")
def text(root):
    return (root / "module_utils/rollout/agent/door.py").read_bytes()


@pytest.fixture
def state():
    """A host's state, after its first run: short enough for a socket. A guard that stands by there is not waited for."""
    with tempfile.TemporaryDirectory(prefix="agent-") as made:
        found = Path(made) / "state"
        Store(str(found)).require_writable()
        yield found
        (found / "lock.json").unlink(missing_ok=True)


@pytest.fixture
def path(state):
    """Where the agent listens. Whatever works there is ended."""
    found = state / ".agent-r1"
    yield found
    for process in agents(found):
        end(process)


@pytest.fixture
def ask(path, state, package, text):
    """Run the door with one step, as the action does, to its answer; see `start`."""

    def call(step="lock", /, send=True, **options):
        return answer(start(text, path, request(state, step, **options), package if send else b""))

    return call


def request(state, step="lock", /, check=False, verbose=False, **params):
    """The step as the action sends it, with every parameter."""
    known = {name: spec.get("default") for name, spec in STEPS[step].arguments.items()}
    params = {**known, "root": str(state), "application": "app", "run": "r1", **params}
    return {"step": step, "params": params, "check": check, "verbose": verbose}


def start(text, path, asked, package, python=sys.executable):
    """The door at work, all of its standard input sent."""
    command = [python, "-ISc", door.READ, str(len(text)), str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(text + json.dumps(asked).encode() + b"\n" + package)
    process.stdin.close()
    process.stdin = None
    return process


def finish(process):
    """Exit status, standard output and standard error."""
    out, err = process.communicate(timeout=LIMIT_S)
    return process.returncode, out.decode(), err.decode()


def answer(process):
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    assert out.endswith("}\n"), "one line"
    return json.loads(out)


def agents(path):
    """The processes that work in a path; a door that is still at work is none of them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # An agent leads a session of its own (field 6 of /proc/PID/stat); dead, it has no command line.
            session = (process / "stat").read_text().rpartition(")")[2].split()[3]
            if (process / "cmdline").read_bytes().endswith(f"\0{path}\0".encode()) and session == process.name:
                found.append(int(process.name))
    return found


def gone(process):
    """Wait until a process has ended, ours or not."""
    with contextlib.suppress(ProcessLookupError):
        watched = os.pidfd_open(process)
        try:
            assert select.select([watched], [], [], LIMIT_S)[0], "it does not end"
        finally:
            os.close(watched)


def end(process):
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    gone(process)


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A `docker` that says so when it is asked for the engine, and answers when it is let: ``begun()`` and ``go()``."""
    (tmp_path / "bin").mkdir()
    begun, go = tmp_path / "begun", tmp_path / "go"
    os.mkfifo(begun)
    os.mkfifo(go)
    fake_docker.install(tmp_path / "bin", fake_docker.ENGINE, dial=f"echo $$ > {begun}; read line < {go}\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")

    with contextlib.ExitStack() as stack:
        # Open at both ends: nothing here waits longer than it may.
        asked, let = (os.open(fifo, os.O_RDWR) for fifo in (begun, go))
        stack.callback(os.close, asked)
        stack.callback(os.close, let)

        def was_asked():
            assert select.select([asked], [], [], LIMIT_S)[0], "docker was not asked"
            stack.callback(end, int(os.read(asked, 100)))

        yield SimpleNamespace(begun=was_asked, go=lambda: os.write(let, b"\n"))


# Steps.


def test_the_first_step_starts_an_agent_and_is_answered(ask, path, state):
    assert ask(owner=OWNER, ttl=60.0) == {"changed": True, "taken_over": ""}
    assert (Store(str(state)).lock()["run"], Store(str(state)).lock()["user"]) == ("r1", "ada")
    assert len(agents(path)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o700, "nobody else may ask it"
    assert sorted(os.listdir(state)) == [".agent", path.name, ".lock", "lock.json", "releases"]


def test_the_next_steps_find_the_same_agent(ask, path):
    ask()
    first = agents(path)
    assert ask(state="renewed", send=False) == {"changed": False}
    # A package that comes all the same is not needed.
    assert ask() == {"changed": False, "taken_over": ""}
    assert ask("release", send=False, state="abandoned", name="v1") == {"changed": False}
    assert agents(path) == first


def test_runs_have_agents_of_their_own(ask, path, state, text, package):
    ask()
    other = path.with_name(".agent-r2")
    try:
        said = answer(start(text, other, request(state, run="r2"), package))
        assert (said["failed"], said["holder"]) == (True, "r1")
        assert len(agents(other)) == 1
        assert not set(agents(other)) & set(agents(path))
    finally:
        for process in agents(other):
            end(process)


def test_a_python_without_packages_is_enough(path, state, text, package):
    assert answer(start(text, path, request(state), package, bare_python()))["changed"]


def test_a_check_before_the_first_run_is_answered_and_leaves_nothing(path, state, text, package):
    shutil.rmtree(state)
    asked = request(state, check=True)
    assert answer(start(text, path, asked, b"")) == {"no_agent": str(path)}
    assert answer(start(text, path, asked, package)) == {"changed": True, "taken_over": ""}
    assert not state.exists()
    assert agents(path) == [], "it took one step, and ended"


def test_the_step_that_makes_the_state_directory_is_answered_and_the_next_one_starts_the_agent(ask, path, state):
    shutil.rmtree(state)
    assert ask()["changed"]
    assert agents(path) == []
    assert ask(send=False) == {"no_agent": str(path)}
    assert ask() == {"changed": False, "taken_over": ""}
    assert len(agents(path)) == 1


def test_the_agent_holds_nothing_of_who_started_it(ask, path):
    ask()
    (process,) = agents(path)
    # Whoever waits for the door's output, as `answer` did, or for its session, does not wait for the agent.
    files = {name: os.readlink(f"/proc/{process}/fd/{name}") for name in ("0", "1", "2")}
    assert set(files.values()) == {os.devnull}
    assert (os.readlink(f"/proc/{process}/cwd"), os.getsid(process)) == ("/", process)


@pytest.mark.parametrize(("verbose", "told"), [(False, False), (True, True)])
def test_a_step_with_a_defect_is_a_sentence(ask, verbose, told):
    ask()
    said = ask(send=False, verbose=verbose, owner=None)
    assert (said["failed"], said["msg"]) == (
        True,
        "Unexpected AttributeError: 'NoneType' object has no attribute 'get'. This is a defect of the rollout; run again with -vvv.",
    )
    assert ("Traceback" in said.get("exception", "")) is told


def test_a_step_that_is_refused_is_its_sentence_and_facts(ask, state):
    held(Store(str(state)), "r2", user="eve", host="desk")
    said = ask()
    assert (said["failed"], said["holder"]) == (True, "r2")
    assert said["msg"].startswith("Another run holds the lock: run r2 of eve@desk, since ")


def test_an_unknown_step_is_a_sentence_too(path, state, text, package):
    said = answer(start(text, path, {**request(state), "step": "stairs"}, package))
    assert said["msg"] == "Unexpected KeyError: 'stairs'. This is a defect of the rollout; run again with -vvv."


def test_an_agent_survives_who_says_nothing_and_who_talks_nonsense(ask, path):
    ask()
    for nonsense in (b"", b"\n", b"{\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(LIMIT_S)
            assert connection.recv(1) == b""
    first = agents(path)
    assert ask(send=False) == {"changed": False, "taken_over": ""}
    assert agents(path) == first


def test_two_steps_are_served_at_once(ask, path, state, text, package, docker):
    ask()
    slow = start(text, path, request(state, observe=True), package)
    docker.begun()
    assert ask(send=False, state="renewed") == {"changed": False}
    assert slow.poll() is None
    docker.go()
    host = answer(slow)["host"]
    assert (host["engine"]["engine"], host["lock"]["run"]) == ("24.0.7", "r1")
    assert len(agents(path)) == 1


def test_the_engine_is_asked_for_its_facts_once_in_a_run(ask, docker, path, state, text, package):
    first = start(text, path, request(state, observe=True), package)
    docker.begun()
    docker.go()
    facts = answer(first)["host"]["engine"]
    # Asked again it would wait for ever.
    assert ask(send=False, observe=True)["host"]["engine"] == facts


# The end.


@pytest.mark.parametrize("check", [False, True])
def test_the_agent_ends_with_the_lock_and_leaves_nothing(ask, path, state, check):
    ask()
    (process,) = agents(path)
    assert ask(send=False, state="released", check=check)["changed"]
    gone(process)
    assert not path.exists()
    assert state.exists()


def test_the_agent_ends_its_work_before_it_ends(ask, path, state, text, package, docker):
    ask()
    (process,) = agents(path)
    slow = start(text, path, request(state, observe=True), package)
    docker.begun()
    assert ask(send=False, state="released")["changed"]
    # It still takes steps, while it is at work at one.
    assert ask(send=False, state="released") == {"changed": False, "released": ""}
    docker.go()
    assert answer(slow)["host"]["lock"] is None
    gone(process)
    assert not path.exists()


def test_a_step_is_done_to_its_end_for_whom_is_gone(ask, path, state, text, package, docker):
    ask()
    (process,) = agents(path)
    slow = start(text, path, request(state, observe=True), package)
    docker.begun()
    slow.kill()
    finish(slow)
    docker.go()
    assert ask(send=False, state="released")["changed"]
    gone(process)
    assert not path.exists()


def test_after_a_killed_agent_the_next_step_starts_another(ask, path):
    ask()
    (killed,) = agents(path)
    end(killed)
    assert path.exists(), "its socket stayed"
    assert ask() == {"changed": False, "taken_over": ""}
    (other,) = agents(path)
    assert other != killed


@pytest.mark.parametrize("how", ["never was", "ended", "killed"])
def test_without_an_agent_and_without_its_package_it_is_asked_for(ask, path, state, text, how):
    if how != "never was":
        ask()
        (process,) = agents(path)
        if how == "ended":
            ask(send=False, state="released")
            gone(process)
        else:
            end(process)
    before = path.exists()
    asked = request(state, run="r2")
    assert answer(start(text, path, asked, b"")) == {"no_agent": str(path)}
    assert (path.exists(), agents(path)) == (before, [])
    assert not state.exists() or (Store(str(state)).lock() or {}).get("run") != "r2", "nothing was begun"


def test_an_agent_that_is_killed_over_a_step_is_a_sentence(ask, path, state, text, package, docker):
    ask()
    (process,) = agents(path)
    slow = start(text, path, request(state, observe=True), package)
    docker.begun()
    end(process)
    assert finish(slow) == (1, "", ENDED)


def test_a_guard_ends_a_step_that_hangs_and_the_run_is_told(ask, path, state, text, package, docker, real_clock, monkeypatch):
    store = Store(str(state))
    ask()
    empty = {"release": "v1", "name": "v1", "application": "app", "images": {}, "stacks": []}
    store.write_release("v1", {}, empty)
    store.append("armed", "r1", name="v1", release="v1", timeout=0.01, **machine.clock().mark())
    slow = start(text, path, request(state, "release", state="staged", name="v1", application="app"), package)
    docker.begun()
    monkeypatch.setattr(guard, "RETRY_S", 0.05)
    monkeypatch.setattr(guard, "POLL_S", 0.05)
    guard.watch(store, Engine())
    assert finish(slow) == (1, "", ENDED)
    assert agents(path) == []
    said = ask("release", state="abandoned", name="v1")
    assert said["fenced"] == "guard"
    assert "so the guard ended it first. Find out what hung, or raise rollout_confirm_timeout." in said["msg"]


def test_with_a_package_that_is_none_nothing_is_begun(path, state, text):
    said = answer(start(text, path, request(state), b"PK, but nothing that Python could read"))
    assert said == {"refused": "module", "module": "ansible"}
    assert not (state / "lock.json").exists()
    assert not path.exists()


# A place that is not this user's alone.


def gone_mutex(state):
    (state / ".agent").unlink()


def linked_mutex(state):
    (state / ".agent").rename(state / "elsewhere")
    (state / ".agent").symlink_to("elsewhere")


def mutex_of_another_kind(state):
    (state / ".agent").unlink()
    os.mkfifo(state / ".agent")


def others_mutex(state):
    os.chown(state / ".agent", 65534, 65534)


def others_directory(state):
    os.chown(state, 65534, 65534)


ODD = [gone_mutex, linked_mutex, mutex_of_another_kind, others_mutex, others_directory]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's directory")
@pytest.mark.parametrize("odd", ODD)
def test_an_agent_listens_only_where_nobody_else_could(path, state, text, package, odd):
    odd(state)
    said = answer(start(text, path, request(state, state="renewed"), package))
    assert said["failed"]
    assert not path.exists()
    assert agents(path) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's directory")
def test_a_state_directory_of_somebody_else_is_refused_by_the_step(path, state, text, package):
    os.chown(state, 65534, 65534)
    said = answer(start(text, path, request(state), package))
    assert said["failed"]
    assert said["msg"].startswith(
        f"{state} belongs to nobody and has mode 0700, so another user than root could replace the files "
    )
    assert f"Type sudo chown root {state} && sudo chmod go-w {state}, or set rollout_dir" in said["msg"]
    assert not (state / "lock.json").exists()


def linked(path):
    path.with_name("elsewhere").mkdir(mode=0o700)
    path.symlink_to("elsewhere")


def file(path):
    path.write_text("")


def nowhere(path):
    path.symlink_to("nowhere")


@pytest.mark.parametrize("left", [linked, file, nowhere])
def test_what_lies_where_it_listens_is_replaced(ask, path, left):
    left(path)
    assert ask()["changed"]
    assert stat.S_ISSOCK(path.lstat().st_mode)


def test_an_agent_that_starts_takes_the_sockets_of_killed_ones_away_and_no_others(ask, path, state, text, package):
    killed = path.with_name(".agent-r0")
    for run in (killed, path):
        answer(start(text, run, request(state, state="renewed"), package))
    (alive,) = agents(path)
    for process in agents(killed):
        end(process)
    assert killed.exists()
    other = path.with_name(".agent-r2")
    try:
        answer(start(text, other, request(state, state="renewed"), package))
        assert sorted(found.name for found in state.glob(".agent-*")) == [".agent-r1", ".agent-r2"]
        assert ask(send=False)["changed"]
        assert agents(path) == [alive]
    finally:
        for process in agents(other):
            end(process)


def test_where_no_socket_can_be_the_step_is_done_all_the_same(state, text, package):
    # A name longer than that of a socket may be.
    path = state / f".agent-{'r' * 100}"
    assert answer(start(text, path, request(state), package))["changed"]
    assert agents(path) == []


def test_whatever_the_umask_nobody_else_may_ask_it(ask, path):
    before = os.umask(0)
    try:
        ask()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (process,) = agents(path)
    assert "Umask:\t0077" in Path(f"/proc/{process}/status").read_text()


# The agent in this process: how long it waits.


@pytest.fixture
def listener(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        made.listen()
        yield made


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(server, "LOOK_S", 0.01)


def asked_of(path, asked):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LIMIT_S)
        connection.connect(str(path))
        connection.sendall(json.dumps(asked).encode() + b"\n")
        return json.loads(connection.makefile("rb").read())


@pytest.mark.usefixtures("quick")
def test_an_agent_that_nobody_asks_ends(listener):
    serving = threading.Thread(target=server.Agent(idle_s=0.05).serve, args=(listener,), daemon=True)
    serving.start()
    serving.join(LIMIT_S)
    assert not serving.is_alive()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("unlocked", [True, False])
def test_an_agent_whose_step_gave_the_lock_back_ends(listener, path, state, monkeypatch, unlocked):
    known = request(state)
    monkeypatch.setattr(server, "ACTS", {"lock": lambda *_given: {"changed": True, "unlocked": unlocked}})
    monkeypatch.setattr(server, "_masked", lambda _asked, answer: answer)
    served = server.Agent(idle_s=1000.0)
    serving = threading.Thread(target=served.serve, args=(listener,), daemon=True)
    serving.start()
    assert asked_of(path, known)["unlocked"] is unlocked
    while served.at_work:
        serving.join(0.01)
    assert served.over is unlocked
    served.over = True
    serving.join(LIMIT_S)
    assert not serving.is_alive()


@pytest.mark.usefixtures("quick")
def test_an_answer_is_masked_with_the_secrets_of_every_release_and_of_the_step(listener, path, state, monkeypatch):
    store = Store(str(state))
    manifest = {"release": "v1", "name": "v1", "application": "app", "images": {}, "stacks": [], "secrets": ["PW"]}
    store.write_release("v1", {"core/.env": 'PW="canary-old"\n'}, manifest)
    said = "canary-old, canary-new, canary-login: cannot be reached"

    def act(*_given):
        raise RolloutError(said, log=said, service="canary-new", stack="core")

    stacks = {"core": {"secrets": {"A": "canary-new"}}}
    known = request(state, "release", state="staged", stacks=stacks, password="canary-login")
    monkeypatch.setattr(server, "ACTS", {"release": act})
    served = server.Agent(idle_s=1000.0)
    serving = threading.Thread(target=served.serve, args=(listener,), daemon=True)
    serving.start()
    shown = "********, ********, ********: cannot be reached"
    # A name stays as it is.
    assert asked_of(path, known) == {"failed": True, "msg": shown, "log": shown, "service": "canary-new", "stack": "core"}
    served.over = True
    serving.join(LIMIT_S)
    assert not serving.is_alive()


def preview(ready, settled):
    return {"ready": ready, "preview": {"settled": settled}}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("step", "word", "check", "said", "stands_by"),
    [
        ("release", "staged", False, {"ready": False}, True),
        ("release", "staged", False, {"failed": True}, False),
        # A preview: what is not there yet is staged next, what runs already is not switched.
        ("release", "staged", True, preview(False, False), False),
        ("release", "staged", True, preview(True, False), True),
        ("release", "staged", True, preview(True, True), False),
        ("release", "staged", True, {"failed": True}, False),
        ("release", "proven", False, {}, False),
        ("lock", "held", False, {}, False),
    ],
)
def test_behind_the_last_step_before_a_switch_a_guard_stands_by(
    listener, path, state, monkeypatch, step, word, check, said, stands_by
):
    asked = []

    def stand_by(store, *rest):
        asked.append((store.root, *rest))
        raise OSError(28, "No space left on device")

    known = request(state, step, check=check, state=word)
    monkeypatch.setattr(server, "ACTS", {step: lambda *_given: dict(said)})
    monkeypatch.setattr(server, "_masked", lambda _asked, answer: answer)
    # A guard that cannot stand by does not fail the step.
    monkeypatch.setattr(server.guard, "stand_by", stand_by)
    served = server.Agent(idle_s=1000.0)
    serving = threading.Thread(target=served.serve, args=(listener,), daemon=True)
    serving.start()
    for _ in range(2):
        assert asked_of(path, known) == said
    served.over = True
    serving.join(LIMIT_S)
    assert not serving.is_alive()
    for thread in threading.enumerate():
        if "_answer" in thread.name:
            thread.join(LIMIT_S)
    assert asked == [(state, "app", "r1")] * 2 * stands_by


@pytest.mark.usefixtures("quick")
def test_its_time_counts_from_the_last_step(listener, path, state):
    served = server.Agent(idle_s=1000.0)
    # As if it had been started long ago.
    served.last = before = time.monotonic() - 900
    serving = threading.Thread(target=served.serve, args=(listener,), daemon=True)
    serving.start()
    assert asked_of(path, request(state))["changed"]
    while served.at_work:
        serving.join(0.01)
    assert served.last - before >= 900
    served.last -= 2000
    serving.join(LIMIT_S)
    assert not serving.is_alive()


@pytest.mark.usefixtures("quick")
def test_at_work_it_does_not_end_however_long_that_takes(listener, path, state, monkeypatch):
    free, at_work, rounds = threading.Event(), threading.Event(), threading.Semaphore(0)

    def act(store, engine, params, check):
        at_work.set()
        assert free.wait(LIMIT_S)
        return {"changed": True}

    def accept():
        rounds.release()
        return listener.accept()

    known = request(state)
    monkeypatch.setattr(server, "_masked", lambda _asked, answer: answer)
    monkeypatch.setattr(server, "ACTS", {"lock": act})
    served = server.Agent(idle_s=0.01)
    served.last = time.monotonic() + 1000
    counted = SimpleNamespace(settimeout=listener.settimeout, accept=accept)
    serving = threading.Thread(target=served.serve, args=(counted,), daemon=True)
    serving.start()
    said = []
    asking = threading.Thread(target=lambda: said.append(asked_of(path, known)), daemon=True)
    asking.start()
    assert at_work.wait(LIMIT_S)
    served.last -= 2000
    while rounds.acquire(blocking=False):
        pass
    # It came round again, and again.
    assert rounds.acquire(timeout=LIMIT_S)
    assert rounds.acquire(timeout=LIMIT_S)
    free.set()
    for thread in (asking, serving):
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    assert said == [{"changed": True}]


@pytest.fixture
def ending(path, state):
    """An agent that ends; whether it does."""

    def call(listener, taken=lambda: False):
        place = os.open(state, os.O_RDONLY)
        with listener:
            left = door._left(place, path.name, taken)
        os.close(place)
        return left

    return call


def test_at_its_end_it_takes_its_socket_away(listener, path, state, ending):
    assert ending(listener)
    assert not path.exists()
    assert state.exists()


def test_it_does_not_end_as_a_step_comes(listener, path, ending):
    assert not ending(listener, lambda: True)
    assert path.exists()


@pytest.mark.parametrize("left", ["nothing", "the directory"])
def test_what_is_gone_already_at_its_end_does_not_matter(listener, path, state, ending, left):
    path.unlink()
    if left == "nothing":
        (state / ".agent").unlink()
    assert ending(listener)
    assert not path.exists()


def test_a_step_that_comes_as_the_agent_ends_is_taken(listener, path, state):
    served = server.Agent(idle_s=0.0)
    served.last -= 1
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LIMIT_S)
        connection.connect(str(path))
        connection.sendall(json.dumps(request(state)).encode() + b"\n")
        served.serve(listener)
        assert json.loads(connection.makefile("rb").read())["changed"]


LISTENS = """
import os, socket, sys
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as theirs:
    theirs.bind(sys.argv[1])
    theirs.listen()
    print("ready", flush=True)
    theirs.settimeout(60)
    with theirs.accept()[0] as connection:
        print(connection.recv(100), flush=True)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_a_step_is_not_told_to_somebody_elses_agent(path, state, text, package):
    # However they have come there.
    state.parent.chmod(0o777)
    state.chmod(0o777)
    with subprocess.Popen([sys.executable, "-ISc", LISTENS, str(path)], stdout=subprocess.PIPE) as theirs:
        assert theirs.stdout.readline() == b"ready\n"
        asked = request(state, "release", password="canary")
        assert answer(start(text, path, asked, b"")) == {"no_agent": str(path)}
        assert theirs.stdout.read() == b"b''\n"


ASKS = """
import os, socket, sys
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as asking:
    asking.connect(sys.argv[1])
    try:
        asking.sendall(sys.stdin.buffer.read())
        print(asking.recv(100))
    except ConnectionError:
        print(b"")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_somebody_elses_step_is_not_done(ask, path, state):
    ask()
    # However they have come there.
    for opened in (state.parent, state, path):
        opened.chmod(0o777)
    step = json.dumps(request(state, state="released")).encode() + b"\n"
    said = subprocess.run([sys.executable, "-ISc", ASKS, str(path)], input=step, capture_output=True, timeout=LIMIT_S, check=True)
    assert said.stdout == b"b''\n"
    assert Store(str(state)).lock()["run"] == "r1"


def test_doors_that_come_at_once_find_one_agent(path, state, text, package):
    doors = [start(text, path, request(state, state="renewed"), package) for _ in range(6)]
    for process in doors:
        assert finish(process)[0] == 0
    assert len(agents(path)) == 1


def test_without_memfd_nothing_is_left(path, state, text, package):
    # As on a kernel, or a Python, that has none.
    without = text.replace(b"import os\n", b"import os\n\ndel os.memfd_create\n")
    said = answer(start(without, path, request(state), package))
    assert said == {"refused": "memfd", "python": sys.executable}
    assert not path.exists()


def test_a_python_that_is_not_whole_is_refused(path, state, text, package):
    lacking = text.replace(b"from ansible.module_utils.rollout.agent.server import serve\n", b"import no_such_module as serve\n")
    said = answer(start(lacking, path, request(state), package))
    assert said == {"refused": "module", "module": "no_such_module"}
    assert not path.exists()
    assert not (state / "lock.json").exists()


def test_a_python_that_is_too_old_is_refused(path, state, text, package):
    newer = text.replace(b"LEAST = (3, 9)\n", b"LEAST = (9, 5)\n")
    said = answer(start(newer, path, request(state), package))
    assert said == {"refused": "old", "python": ".".join(map(str, sys.version_info[:3]))}
    assert not path.exists()


def test_a_python_that_is_too_old_can_read_the_door(text):
    # 3.6: what it does not understand it could not refuse.
    ast.parse(text, feature_version=(3, 6))
    assert b"__future__" not in text


def test_a_door_that_is_killed_keeps_nobody_out(ask, path, state, text, package):
    killed = text.replace(b"    theirs.close()\n", b"    os.kill(os.getpid(), 9)\n")
    assert killed != text
    assert finish(start(killed, path, request(state), package))[0] == -signal.SIGKILL
    assert ask()["changed"]


# Asked by whoever is on its machine.


def test_it_is_asked_without_a_process_between(ask, path, state):
    assert door.ask(str(path), b"{}") is None, "there is none yet"
    ask()
    said = door.ask(str(path), json.dumps(request(state, state="renewed")).encode())
    assert json.loads(said) == {"changed": False}
    assert said.endswith(b"\n")


@pytest.fixture
def theirs(path):
    """A socket where an agent would listen."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        made.listen()
        yield made


@pytest.mark.parametrize("says", [b"", b'{"changed": tr'])
def test_so_it_is_seen_that_it_ended_over_the_step(path, theirs, says):
    def end():
        connection, _address = theirs.accept()
        with connection:
            connection.makefile("rb").readline()
            connection.sendall(says)

    thread = threading.Thread(target=end)
    thread.start()
    assert door.ask(str(path), b"{}") == b""
    thread.join()


@pytest.mark.parametrize(("back", "ends"), [({"wait": False}, True), ({"state": "absent"}, True), ({"wait": True}, False)])
def test_a_step_of_the_way_back_ends_what_the_run_had_begun(state, monkeypatch, back, ends):
    """The connection over which it was begun was lost, and nobody hears of it any more."""
    begun, go_on, ended = threading.Event(), threading.Event(), []

    def act(store, engine, params, check):
        if params["stack"] == ["second"]:
            return {"changed": False, "services": []}
        begun.set()
        go_on.wait(LIMIT_S)
        try:
            store.fence()
        except RolloutError as error:
            ended.append(str(error))
        return {"changed": True, "services": []}

    monkeypatch.setitem(server.ACTS, "stack", act)
    agent = server.Agent()
    common = {"root": str(state), "application": "app", "run": "r1", "state": "present", "wait": True}
    first = threading.Thread(
        target=lambda: agent._do({"step": "stack", "check": False, "params": {**common, "stack": ["first"]}}), daemon=True
    )
    first.start()
    assert begun.wait(LIMIT_S)
    agent._do({"step": "stack", "check": False, "params": {**common, "stack": ["second"], **back}})
    go_on.set()
    first.join(LIMIT_S)
    assert bool(ended) is ends
    assert agent.halts == set()

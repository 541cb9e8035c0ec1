"""The agent of a run and its door, as processes of their own: nothing of them is replaced."""

from __future__ import annotations

import contextlib
import json
import os
import select
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

import fake_dial
import pytest
from ansible.module_utils.rollout import agent, door
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.steps import Step
from interpreter import bare_python
from story import held

LIMIT_S = 60
OWNER = {"user": "ada", "host": "laptop", "action": "rollout"}
ENDED = "the process that works for the run on this host ended before it answered; perhaps it was killed\n"
INFO = {"ServerVersion": "24.0.7", "Architecture": "x86_64", "DockerRootDir": "/"}


@pytest.fixture(scope="module")
def package(load):
    """The package as the action sends it."""
    return load("plugins/action/stack.py").package()


@pytest.fixture(scope="module")
def text(root):
    return (root / "module_utils/rollout/door.py").read_bytes()


@pytest.fixture
def directory():
    """Where the agent listens: short enough for a socket. Whatever works there is ended."""
    with tempfile.TemporaryDirectory(prefix="agent-") as made:
        found = Path(made) / "run"
        yield found
        for process in agents(found):
            end(process)


@pytest.fixture
def state(tmp_path):
    """A host's state. Whoever waits there for its run is not waited for."""
    yield tmp_path / "state"
    (tmp_path / "state/lock.json").unlink(missing_ok=True)


@pytest.fixture
def ask(directory, state, package, text):
    """Run the door with one step, as the action does, to its answer; see `start`."""

    def call(step="lock", /, send=True, **options):
        return answer(start(text, directory, request(state, step, **options), package if send else b""))

    return call


def request(state, step="lock", /, check=False, verbose=False, **params):
    """The step as the action sends it, with every parameter."""
    known = {name: spec.get("default") for name, spec in agent.STEPS[step].arguments.items()}
    params = {**known, "root": str(state), "application": "app", "run": "r1", **params}
    return {"step": step, "params": params, "check": check, "verbose": verbose}


def start(text, directory, asked, package, python=sys.executable):
    """The door at work, all of its standard input sent."""
    command = [python, "-ISc", door.READ, str(len(text)), str(directory)]
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


def agents(directory):
    """The processes that work in a directory; a door that is still at work is none of them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # An agent leads a session of its own (field 6 of /proc/PID/stat); dead, it has no command line.
            session = (process / "stat").read_text().rpartition(")")[2].split()[3]
            if (process / "cmdline").read_bytes().endswith(f"\0{directory}\0".encode()) and session == process.name:
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


def open_files(process):
    """What a process holds open that is no socket."""
    found = set()
    for file in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(file))
    return {name for name in found if not name.startswith("socket:")}


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
    script = tmp_path / "bin" / "docker"
    script.write_text(
        f'#!/bin/sh\nPATH=/usr/bin:/bin\ncase "$*" in\n'
        f"'system dial-stdio') echo $$ > {begun}; read line < {go}\n"
        f'exec {sys.executable} {fake_dial.__file__} "$0";;\n'
        f"info*) echo '{json.dumps(INFO)}';;\n'compose version --short') echo 2.26.1;;\n*) exit 64;;\nesac\n"
    )
    script.chmod(0o755)
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


def test_the_first_step_starts_an_agent_and_is_answered(ask, directory, state):
    assert ask(owner=OWNER, ttl=60.0) == {"changed": True, "taken_over": ""}
    assert (Store(str(state)).lock()["run"], Store(str(state)).lock()["user"]) == ("r1", "ada")
    assert len(agents(directory)) == 1
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert os.listdir(directory) == ["agent"]


def test_the_next_steps_find_the_same_agent(ask, directory):
    ask()
    first = agents(directory)
    assert ask(state="renewed", send=False) == {"changed": False}
    # A package that comes all the same is not needed.
    assert ask() == {"changed": False, "taken_over": ""}
    assert ask("release", send=False, state="abandoned", name="v1") == {"changed": False}
    assert agents(directory) == first


def test_runs_have_agents_of_their_own(ask, directory, state, text, package):
    ask()
    other = directory.with_name("other")
    try:
        said = answer(start(text, other, request(state, run="r2"), package))
        assert (said["failed"], said["holder"]) == (True, "r1")
        assert len(agents(other)) == 1
        assert not set(agents(other)) & set(agents(directory))
    finally:
        for process in agents(other):
            end(process)


def test_a_python_without_packages_is_enough(directory, state, text, package):
    assert answer(start(text, directory, request(state), package, bare_python()))["changed"]


def test_check_mode_reaches_the_step(ask, state):
    assert ask(check=True) == {"changed": True, "taken_over": ""}
    assert not state.exists()


def test_the_agent_holds_nothing_of_who_started_it(ask, directory):
    ask()
    (process,) = agents(directory)
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
    assert said["msg"].startswith("Somebody else is at work: run r2 of eve@desk, since ")


def test_an_unknown_step_is_a_sentence_too(directory, state, text, package):
    said = answer(start(text, directory, {**request(state), "step": "stairs"}, package))
    assert said["msg"] == "Unexpected KeyError: 'stairs'. This is a defect of the rollout; run again with -vvv."


def test_an_agent_survives_who_says_nothing_and_who_talks_nonsense(ask, directory):
    ask()
    for nonsense in (b"", b"\n", b"{\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(directory / "agent"))
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(LIMIT_S)
            assert connection.recv(1) == b""
    first = agents(directory)
    assert ask(send=False) == {"changed": False, "taken_over": ""}
    assert agents(directory) == first


def test_two_steps_are_served_at_once(ask, directory, state, text, package, docker):
    ask()
    slow = start(text, directory, request(state, observe=True), package)
    docker.begun()
    assert ask(send=False, state="renewed") == {"changed": False}
    assert slow.poll() is None
    docker.go()
    host = answer(slow)["host"]
    assert (host["engine"]["engine"], host["lock"]["run"]) == ("24.0.7", "r1")
    assert len(agents(directory)) == 1


def test_the_engine_is_asked_for_its_facts_once_in_a_run(ask, docker, directory, state, text, package):
    first = start(text, directory, request(state, observe=True), package)
    docker.begun()
    docker.go()
    facts = answer(first)["host"]["engine"]
    # Asked again it would wait for ever.
    assert ask(send=False, observe=True)["host"]["engine"] == facts


# An agent that is a copy of who asks.

COPY = """
import signal, sys
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv[1])
from ansible.module_utils.rollout import agent, door
signal.signal(signal.SIGTERM, lambda *_: None)
kept = open(sys.argv[2], "w")
print(door.ask(sys.argv[3], sys.stdin.buffer.read(), True).decode(), end="")
"""


@pytest.fixture
def copied(directory, state, root, tmp_path):
    """Ask as a process that has the package loaded, a file open and a handler for SIGTERM: the answer."""

    def call(**params):
        command = [sys.executable, "-c", COPY, str(root / "module_utils"), str(tmp_path / "kept"), str(directory)]
        asked = json.dumps(request(state, **params)).encode()
        done = subprocess.run(command, input=asked, capture_output=True, timeout=LIMIT_S)
        assert (done.returncode, done.stderr) == (0, b"")
        return json.loads(done.stdout)

    return call


def test_who_has_the_package_makes_an_agent_of_itself(copied, ask, directory):
    assert copied() == {"changed": True, "taken_over": ""}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    first = agents(directory)
    assert len(first) == 1
    # It is an agent like any other, and the next one who could be an agent finds it.
    assert ask(send=False, state="renewed") == {"changed": False}
    assert copied() == {"changed": False, "taken_over": ""}
    assert agents(directory) == first
    ask(send=False, state="released")
    gone(*first)
    assert not directory.exists()


def test_such_an_agent_has_nothing_more_to_do_with_whom_it_copied(copied, directory, tmp_path):
    copied()
    (process,) = agents(directory)
    # Behind its answer it reads a few files of its own: what it holds in the end is meant.
    ends = time.monotonic() + LIMIT_S
    while (files := open_files(process)) != {os.devnull} and time.monotonic() < ends:
        assert str(tmp_path / "kept") not in files
        time.sleep(0.01)
    assert files == {os.devnull}
    assert Path(f"/proc/{process}/comm").read_text() == "rollout-agent\n"
    assert (os.readlink(f"/proc/{process}/cwd"), os.getsid(process)) == ("/", process)
    # SIGTERM ends it.
    os.kill(process, signal.SIGTERM)
    gone(process)


def test_after_one_that_was_killed_another_is_made(copied, directory):
    copied()
    (killed,) = agents(directory)
    end(killed)
    assert copied() == {"changed": False, "taken_over": ""}
    assert agents(directory) != [killed]


# The end.


@pytest.mark.parametrize("check", [False, True])
def test_the_agent_ends_with_the_lock_and_leaves_nothing(ask, directory, state, check):
    ask()
    (process,) = agents(directory)
    assert ask(send=False, state="released", check=check)["changed"]
    gone(process)
    assert not directory.exists()
    assert state.exists()


def test_the_agent_ends_its_work_before_it_ends(ask, directory, state, text, package, docker):
    ask()
    (process,) = agents(directory)
    slow = start(text, directory, request(state, observe=True), package)
    docker.begun()
    assert ask(send=False, state="released")["changed"]
    # It still takes steps, while it is at work at one.
    assert ask(send=False, state="released") == {"changed": False, "released": ""}
    docker.go()
    assert answer(slow)["host"]["lock"] is None
    gone(process)
    assert not directory.exists()


def test_a_step_is_done_to_its_end_for_whom_is_gone(ask, directory, state, text, package, docker):
    ask()
    (process,) = agents(directory)
    slow = start(text, directory, request(state, observe=True), package)
    docker.begun()
    slow.kill()
    finish(slow)
    docker.go()
    assert ask(send=False, state="released")["changed"]
    gone(process)
    assert not directory.exists()


def test_after_a_killed_agent_the_next_step_starts_another(ask, directory):
    ask()
    (killed,) = agents(directory)
    end(killed)
    assert (directory / "agent").exists(), "its socket stayed"
    assert ask() == {"changed": False, "taken_over": ""}
    (other,) = agents(directory)
    assert other != killed


@pytest.mark.parametrize("how", ["never was", "ended", "killed"])
def test_without_an_agent_and_without_its_package_it_is_asked_for(ask, directory, state, text, how):
    if how != "never was":
        ask()
        (process,) = agents(directory)
        if how == "ended":
            ask(send=False, state="released")
            gone(process)
        else:
            end(process)
    before = directory.exists()
    asked = request(state, run="r2")
    assert finish(start(text, directory, asked, b"")) == (door.SEND, "", "")
    assert (directory.exists(), agents(directory)) == (before, [])
    assert not state.exists() or (Store(str(state)).lock() or {}).get("run") != "r2", "nothing was begun"


def test_an_agent_that_is_killed_over_a_step_is_a_sentence(ask, directory, state, text, package, docker):
    ask()
    (process,) = agents(directory)
    slow = start(text, directory, request(state, observe=True), package)
    docker.begun()
    end(process)
    assert finish(slow) == (1, "", ENDED)


def test_with_a_package_that_is_none_nothing_is_begun(directory, state, text):
    code, out, err = finish(start(text, directory, request(state), b"PK, but nothing that Python could read"))
    assert (code, out) == (1, "")
    assert err
    assert not state.exists()


# A directory that is not this user's alone.


def opened(directory):
    directory.mkdir(mode=0o700)
    directory.chmod(0o755)
    return f"{directory} is somebody else's\n"


def linked(directory):
    directory.with_name("elsewhere").mkdir(mode=0o700)
    directory.symlink_to("elsewhere")
    return f"[Errno 20] Not a directory: '{directory}'\n"


def file(directory):
    directory.write_text("")
    return f"[Errno 20] Not a directory: '{directory}'\n"


def nowhere(directory):
    directory.symlink_to("nowhere")
    return f"[Errno 20] Not a directory: '{directory}'\n"


@pytest.mark.parametrize("foreign", [opened, linked, file, nowhere])
def test_no_agent_lives_in_a_foreign_directory(directory, state, text, package, foreign):
    sentence = foreign(directory)
    assert finish(start(text, directory, request(state), package)) == (door.NO_AGENT, "", sentence)
    assert agents(directory) == []
    assert not state.exists()
    assert not (directory / "agent").exists()


def test_no_agent_lives_where_no_directory_can_be_made(directory, state, text, package):
    inside = directory / "missing" / "run"
    code, out, err = finish(start(text, inside, request(state), package))
    assert (code, out) == (door.NO_AGENT, "")
    assert err == f"[Errno 2] No such file or directory: '{inside}'\n"


def test_an_empty_directory_of_ones_own_will_do(ask, directory):
    directory.mkdir(mode=0o700)
    assert ask()["changed"]


# The agent in this process: how long it waits.


@pytest.fixture
def listener(directory):
    directory.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(directory / "agent"))
        made.listen()
        yield made


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(agent, "LOOK_S", 0.01)


def asked_of(directory, asked):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LIMIT_S)
        connection.connect(str(directory / "agent"))
        connection.sendall(json.dumps(asked).encode() + b"\n")
        return json.loads(connection.makefile("rb").read())


@pytest.mark.usefixtures("quick")
def test_an_agent_that_nobody_asks_ends(listener):
    serving = threading.Thread(target=agent.Agent(idle_s=0.05).serve, args=(listener,), daemon=True)
    serving.start()
    serving.join(LIMIT_S)
    assert not serving.is_alive()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("unlocked", [True, False])
def test_an_agent_whose_step_gave_the_lock_back_ends(listener, directory, state, monkeypatch, unlocked):
    known = request(state)
    monkeypatch.setattr(agent, "STEPS", {"lock": Step({}, lambda *_given: {"changed": True, "unlocked": unlocked})})
    served = agent.Agent(idle_s=1000.0)
    serving = threading.Thread(target=served.serve, args=(listener,), daemon=True)
    serving.start()
    assert asked_of(directory, known)["unlocked"] is unlocked
    while served.at_work:
        serving.join(0.01)
    assert served.over is unlocked
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
    listener, directory, state, monkeypatch, step, word, check, said, stands_by
):
    asked, answers = [], []

    def stand_by(store, *rest):
        asked.append((store.root, *rest))
        raise OSError(28, "No space left on device")

    known = request(state, step, check=check, state=word)
    monkeypatch.setattr(agent, "STEPS", {step: Step({}, lambda *_given: dict(said))})
    # What cannot be prepared is no reason to fail.
    monkeypatch.setattr(agent.guard, "stand_by", stand_by)
    monkeypatch.setattr(agent.guard, "program", lambda: answers.append("packed"))
    served = agent.Agent(idle_s=1000.0)
    serving = threading.Thread(target=served.serve, args=(listener,), daemon=True)
    serving.start()
    for _ in range(2):
        assert asked_of(directory, known) == said
    served.over = True
    serving.join(LIMIT_S)
    assert not serving.is_alive()
    for thread in threading.enumerate():
        if "_answer" in thread.name:
            thread.join(LIMIT_S)
    assert asked == [(state, "app", "r1")] * 2 * stands_by
    assert answers == ["packed"], "once, behind the first answer"


@pytest.mark.usefixtures("quick")
def test_its_time_counts_from_the_last_step(listener, directory, state):
    served = agent.Agent(idle_s=1000.0)
    # As if it had been started long ago.
    served.last = before = time.monotonic() - 900
    serving = threading.Thread(target=served.serve, args=(listener,), daemon=True)
    serving.start()
    assert asked_of(directory, request(state))["changed"]
    while served.at_work:
        serving.join(0.01)
    assert served.last - before >= 900
    served.last -= 2000
    serving.join(LIMIT_S)
    assert not serving.is_alive()


@pytest.mark.usefixtures("quick")
def test_at_work_it_does_not_end_however_long_that_takes(listener, directory, state, monkeypatch):
    free, at_work, rounds = threading.Event(), threading.Event(), threading.Semaphore(0)

    def act(store, engine, params, check):
        at_work.set()
        assert free.wait(LIMIT_S)
        return {"changed": True}

    def accept():
        rounds.release()
        return listener.accept()

    known = request(state)
    monkeypatch.setattr(agent, "STEPS", {"lock": Step({}, act)})
    served = agent.Agent(idle_s=0.01)
    served.last = time.monotonic() + 1000
    counted = SimpleNamespace(settimeout=listener.settimeout, accept=accept)
    serving = threading.Thread(target=served.serve, args=(counted,), daemon=True)
    serving.start()
    said = []
    asking = threading.Thread(target=lambda: said.append(asked_of(directory, known)), daemon=True)
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


@pytest.mark.usefixtures("quick")
def test_at_its_end_it_takes_its_directory_away(listener, directory, monkeypatch):
    monkeypatch.setattr(agent, "Agent", lambda: type("Over", (), {"serve": lambda self, listener, leave: leave(lambda: False)})())
    agent.serve(listener, str(directory))
    assert not directory.exists()
    assert listener.fileno() == -1


@pytest.mark.parametrize("left", ["nothing", "the directory"])
def test_what_is_gone_already_at_its_end_does_not_matter(listener, directory, monkeypatch, left):
    monkeypatch.setattr(agent, "Agent", lambda: type("Over", (), {"serve": lambda self, listener, leave: leave(lambda: False)})())
    (directory / "agent").unlink()
    if left == "nothing":
        directory.rmdir()
    agent.serve(listener, str(directory))
    assert not directory.exists()


def test_a_step_that_comes_as_the_agent_ends_is_taken(listener, directory, state):
    served = agent.Agent(idle_s=0.0)
    served.last -= 1
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LIMIT_S)
        connection.connect(str(directory / "agent"))
        connection.sendall(json.dumps(request(state)).encode() + b"\n")
        served.serve(listener)
        assert json.loads(connection.makefile("rb").read())["changed"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's directory")
def test_a_step_is_not_told_to_somebody_elses_agent(directory, state, text, package):
    directory.parent.chmod(0o755)
    directory.mkdir()
    directory.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(directory / "agent"))
        (directory / "agent").chmod(0o777)
        theirs.listen()
        theirs.setblocking(False)
        os.chown(directory, 65534, 65534)
        asked = request(state, "release", password="canary")
        for sent in (b"", package):
            sentence = f"{directory} is somebody else's\n"
            assert finish(start(text, directory, asked, sent)) == (door.NO_AGENT, "", sentence)
        with pytest.raises(BlockingIOError):
            theirs.accept()


def test_a_link_to_a_living_agent_is_not_followed(ask, directory, state, text):
    ask()
    link = directory.with_name("link")
    link.symlink_to(directory.name)
    assert finish(start(text, link, request(state), b""))[0] == door.NO_AGENT


def test_doors_that_come_at_once_find_one_agent(directory, state, text, package):
    doors = [start(text, directory, request(state, state="renewed"), package) for _ in range(6)]
    for process in doors:
        assert finish(process)[0] == 0
    assert len(agents(directory)) == 1


def test_without_memfd_nothing_is_left(directory, state, text, package):
    # As on a kernel, or a Python, that has none.
    without = text.replace(b"import os\n", b"import os\n\ndel os.memfd_create\n")
    assert finish(start(without, directory, request(state), package))[0] == door.NO_AGENT
    assert not directory.exists()


def test_a_python_that_is_not_whole_is_a_sentence(directory, state, text, package):
    lacking = text.replace(b"from socket import socket\n", b"import no_such_module\n")
    assert answer(start(lacking, directory, request(state), package)) == {
        "failed": True,
        "msg": "Python lacks its module no_such_module on this host: install the whole of it (on Debian python3, not "
        "python3-minimal).",
    }
    assert not state.exists()


def test_a_python_that_is_too_old_is_a_sentence(directory, state, text, package):
    newer = text.replace(b"LEAST = (3, 9)\n", b"LEAST = (9, 5)\n")
    code, out, err = finish(start(newer, directory, request(state), package))
    version = ".".join(map(str, sys.version_info[:3]))
    assert (code, out) == (1, "")
    assert err == f"Python {version} is too old on this host: install 9.5 or newer, and name it in ansible_python_interpreter\n"
    assert not directory.exists()


def test_a_door_that_is_killed_keeps_nobody_out(ask, directory, state, text, package):
    killed = text.replace(b"    listener.close()\n", b"    os.kill(os.getpid(), 9)\n")
    assert killed != text
    assert finish(start(killed, directory, request(state), package))[0] == -signal.SIGKILL
    assert ask()["changed"]


# Asked by whoever is on its machine.


def test_it_is_asked_without_a_process_between(ask, directory, state):
    assert door.ask(str(directory), b"{}") is None, "there is none yet"
    ask()
    said = door.ask(str(directory), json.dumps(request(state, state="renewed")).encode())
    assert json.loads(said) == {"changed": False}
    assert said.endswith(b"\n")


@pytest.fixture
def theirs(directory):
    """A socket where an agent would listen."""
    directory.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(directory / "agent"))
        made.listen()
        yield made


@pytest.mark.parametrize("says", [b"", b'{"changed": tr'])
def test_so_it_is_seen_that_it_ended_over_the_step(directory, theirs, says):
    def end():
        connection, _address = theirs.accept()
        with connection:
            connection.makefile("rb").readline()
            connection.sendall(says)

    thread = threading.Thread(target=end)
    thread.start()
    assert door.ask(str(directory), b"{}") == b""
    thread.join()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's directory")
def test_so_is_nobody_elses(directory, theirs):
    theirs.setblocking(False)
    os.chown(directory, 65534, 65534)
    assert door.ask(str(directory), b'{"password": "canary"}') is None
    with pytest.raises(BlockingIOError):
        theirs.accept()

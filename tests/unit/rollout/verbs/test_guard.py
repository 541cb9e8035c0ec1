from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.module_utils.rollout.domain import rehearsal
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.domain.lock import Clock
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import http, machine, package, processes
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import guard, stage, switch
from interpreter import bare_python
from story import FILE, held, order
from story import stack as text_of

ROOT = Path(__file__).resolve().parents[4]
A, B, RUN = "sha-aaaaaaa", "sha-bbbbbbb", "run-b"
URL = "http://127.0.0.1:8000/health"
HERE = f"import ansible.module_utils; ansible.module_utils.__path__.append({str(ROOT / 'module_utils')!r})"
# Packs the guard, whatever its process has loaded before.
PACK = """
import sys
{where}
from ansible.module_utils.rollout.{loaded}
from ansible.module_utils.rollout.verbs import guard
sys.stdout.buffer.write(guard.program())
"""


@pytest.fixture
def store(tmp_path):
    """A host with one empty release and the lock of RUN."""
    found = Store(str(tmp_path / "state"))
    found.require_writable()
    found.write_release("v1", {}, {"release": "v1", "name": "v1", "application": "app", "images": {}, "stacks": []})
    held(found, RUN)
    return found


@pytest.fixture
def now(monkeypatch):
    """The host's clock, by hand: waiting goes on by a minute at least, and does what `each` says."""
    moment = SimpleNamespace(seconds=1000.0, boot="boot1", waits=0, each=lambda: None)

    def sleep(seconds):
        moment.seconds += max(60.0, seconds)
        moment.waits += seconds > 0
        assert moment.waits < 300, "the guard waits for ever"
        moment.each()

    monkeypatch.setattr(machine, "clock", lambda: Clock(moment.boot, moment.seconds))
    monkeypatch.setattr(guard, "clock", SimpleNamespace(sleep=sleep, monotonic=lambda: moment.seconds))
    return moment


def armed(host, asked, timeout=900.0):
    """A run that has staged a release, and armed the guard; the name of the release's directory."""
    name = stage.stage(host.store, host.engine, asked, False)["name"]
    held(host.store, asked.run)
    facts = {"application": "app", "stacks": [*asked.stacks], "timeout": timeout}
    host.store.append("armed", asked.run, name=name, release=name, **facts, **machine.clock().mark())
    host.store.trigger()
    return name


def switched(host, letter="b", timeout=900.0, **facts):
    """A run that switched this host and says nothing more."""
    asked = order(letter, **facts)
    name = armed(host, asked, timeout)
    with contextlib.suppress(RolloutError):
        host.bring(name, asked.run)
    return name


def images(host):
    """Service -> letter of the release that it runs."""
    ids = {c["Config"]["Labels"]["com.docker.compose.service"]: c["Image"] for c in host.engine.made}
    return {service: image[-1] for service, image in ids.items() if service != "db"}


def last(store):
    return json.loads(store.path.read_text().splitlines()[-1])


# The program.


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The guard's program, as a host gets it."""
    path = tmp_path_factory.mktemp("guard") / "guard.pyz"
    path.write_bytes(guard.program())
    return path


def test_every_module_of_the_program_needs_only_the_standard_library(packed):
    look = (
        "import importlib, json, pkgutil, sys; sys.path.insert(0, sys.argv[1])\n"
        "import ansible.module_utils.rollout as rollout\n"
        "found = [name for _finder, name, _is in pkgutil.walk_packages(rollout.__path__, rollout.__name__ + '.')]\n"
        "files = [importlib.import_module(name).__file__ for name in found]\n"
        "tops = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "ours = [name for name in sys.modules if name.startswith('ansible.module_utils.')]\n"
        "print(json.dumps([files, found, sorted(tops), ours]))"
    )
    done = subprocess.run([bare_python(), "-E", "-S", "-c", look, str(packed)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files, found, tops, ours = json.loads(done.stdout)
    assert all(file.startswith(str(packed)) for file in files)
    assert tops == ["__main__", "ansible"]
    assert {f"{package.PACKAGE}.{name}" for name in ("verbs.guard", "io.engine", "domain.ledger", "errors")} <= set(found)
    assert all(name.startswith(package.PACKAGE) for name in ours)


@pytest.mark.parametrize(
    ("agent", "loaded"),
    [
        (False, "verbs import guard"),
        (False, "agent import server"),
        (False, "controller import inventory, owner, registry, results"),
        (False, "verbs import observe"),
        (True, "agent import server"),
        (True, "io import gpu"),
    ],
)
def test_whichever_process_packs_it_makes_the_same_program(packed, tmp_path, agent, loaded):
    """On the controller from a folder, and on a host from the agent's own file."""
    (tmp_path / "agent").write_bytes(package.pack(package.AGENT, compiled=True))
    where = f"sys.path.insert(0, {str(tmp_path / 'agent')!r})" if agent else HERE
    python = [bare_python(), "-E", "-S"] if agent else [sys.executable]
    done = subprocess.run([*python, "-c", PACK.format(where=where, loaded=loaded)], capture_output=True)
    assert (done.stdout == packed.read_bytes(), done.stderr) == (True, b"")


def run_program(packed, root):
    (root / "guard.pyz").write_bytes(packed.read_bytes())
    return subprocess.run([bare_python(), "-E", "-S", str(root / "guard.pyz")], capture_output=True, text=True, timeout=60)


def test_the_program_ends_where_nothing_is_armed(packed, store):
    store.trigger()
    done = run_program(packed, store.root)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not store.armed.exists()


def test_the_program_says_why_it_gives_up(packed, store):
    store.path.write_text('{"seq": 1, "event": "staged", "run": "r"}\n' * 2)
    done = run_program(packed, store.root)
    assert done.returncode == 1
    assert done.stderr.startswith("The guard gives up: The ledger is damaged: entry 1 comes after entry 1.")


def test_a_second_program_ends_at_once(packed, store):
    store.append("armed", RUN, name="v1", timeout=900, **machine.clock().mark())
    with store.mutex(".guard", 0):
        assert run_program(packed, store.root).returncode == 0


# Arming.


@pytest.fixture
def keeper(monkeypatch):
    def make(word):
        monkeypatch.setattr(machine, "keeper", lambda application: word)

    return make


@pytest.fixture
def detached(real_clock, monkeypatch):
    """The processes that were started; none is left behind."""
    started = []
    real = machine.subprocess.Popen

    def start(*arguments, **options):
        started.append(real(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(machine, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": start}))
    yield started
    for process in started:
        process.kill()
        process.wait(20)


def wait_until(condition):
    ends = time.monotonic() + 30
    while not condition() and time.monotonic() < ends:
        time.sleep(0.02)
    assert condition()


@pytest.mark.parametrize("end", ["confirmed", "reverted"])
def test_a_guard_comes_to_life_and_goes_when_the_run_ends(store, keeper, detached, end):
    keeper(machine.PROCESS)
    guard.arm(store, "app", RUN, "v1", 900)
    (process,) = detached
    assert guard.alive(store)
    assert store.armed.exists()
    armed = store.ledger().armed
    assert {k: armed[k] for k in ("run", "name", "release", "timeout", "keeper")} == {
        "run": RUN,
        "name": "v1",
        "release": "v1",
        "timeout": 900,
        "keeper": "process",
    }
    assert armed["boot"] == machine.clock().boot
    found = guard.state(store)
    assert (found["run"], found["alive"], found["keeper"]) == (RUN, True, "process")
    assert 800 < found["fires_in"] <= 900
    guard.arm(store, "app", RUN, "v1", 900)
    assert store.ledger().armed == armed, "armed once a run"
    guard.arm(store, "app", RUN, "v1", 900, again=True)
    again = store.ledger().armed
    assert again["seq"] > armed["seq"], "its time begins anew"
    assert {**again, **{key: armed[key] for key in ("seq", "at", "clock") if key in armed}} == armed
    assert len(detached) == 1
    store.append(end, RUN, name="v1", release="v1")
    assert process.wait(30) == 0
    wait_until(lambda: not store.armed.exists())
    assert not guard.alive(store)
    assert guard.state(store) is None
    assert (store.root / "guard.log").read_text() == ""


def test_a_guard_that_died_is_started_again(store, keeper, detached):
    keeper(machine.NOBODY)
    guard.arm(store, "app", RUN, "v1", 900)
    detached[0].kill()
    wait_until(lambda: not guard.alive(store))
    assert not guard.state(store)["alive"]
    guard.arm(store, "app", RUN, "v1", 900)
    assert len(detached) == 2
    assert guard.alive(store)


def test_one_that_stands_by_is_armed_without_another_process(store, keeper, detached):
    keeper(machine.PROCESS)
    guard.stand_by(store, "app", RUN)
    (process,) = detached
    wait_until(lambda: guard.alive(store))
    assert guard.state(store) is None
    guard.stand_by(store, "app", RUN)
    guard.arm(store, "app", RUN, "v1", 900)
    assert len(detached) == 1
    assert guard.state(store)["alive"]
    store.append("confirmed", RUN, name="v1", release="v1")
    store.remove_lock()
    assert process.wait(30) == 0
    assert not store.armed.exists()
    assert (store.root / "guard.log").read_text() == ""


def test_one_that_stands_by_goes_with_the_lock_of_its_run(store, keeper, detached):
    keeper(machine.NOBODY)
    guard.stand_by(store, "app", RUN)
    wait_until(lambda: guard.alive(store))
    store.remove_lock()
    held(store, "another")
    assert detached[0].wait(30) == 0


@pytest.mark.parametrize(("word", "run"), [(machine.SYSTEMD, RUN), (machine.PROCESS, "another"), (machine.PROCESS, "")])
def test_none_stands_by_where_systemd_starts_it_or_for_who_holds_no_lock(store, keeper, detached, word, run):
    keeper(word)
    guard.stand_by(store, "app", run)
    assert detached == []


@pytest.mark.parametrize("damaged", [True, False])
def test_it_leaves_when_the_lock_of_its_run_is_nobodys(host, now, damaged):
    host.store.require_writable()
    held(host.store, RUN)
    left = []

    def leave():
        with host.store.mutex(".step", 0) as free:
            left.append(free)

    if damaged:
        host.store.lock_path.write_text("{")
    guard.watch(host.store, host.engine, RUN, leave)
    assert bool(now.waits) is not damaged, "an expired one was waited for"
    assert left == [False], "nobody can arm it as it leaves"


def test_without_a_timeout_nothing_is_armed(store, monkeypatch):
    monkeypatch.setattr(machine, "detach", None)
    guard.arm(store, "app", RUN, "v1", 0)
    assert store.ledger().armed is None
    assert not store.armed.exists()


def test_systemd_starts_it(store, keeper, monkeypatch):
    keeper(machine.SYSTEMD)
    monkeypatch.setattr(machine, "detach", None)
    with store.mutex(".guard", 0):
        guard.arm(store, "app", RUN, "v1", 900)
    assert store.ledger().armed["keeper"] == "systemd"
    assert store.armed.exists()


@pytest.mark.parametrize(("word", "comes"), [("systemd", True), ("systemd", False), ("process", False), ("nobody", False)])
def test_where_no_guard_comes_nothing_may_be_switched(store, keeper, monkeypatch, word, comes):
    keeper(word)
    monkeypatch.setattr(guard, "START_S", 0.1)
    with contextlib.ExitStack() as alive:
        monkeypatch.setattr(machine, "detach", lambda *_: comes and alive.enter_context(store.mutex(".guard", 0)))
        if comes:
            guard.arm(store, "app", RUN, "v1", 900)
            return
        with pytest.raises(RolloutError) as error:
            guard.arm(store, "app", RUN, "v1", 900)
    assert str(error.value) == (
        f"The guard of this host does not start: python3 {store.guard} says why. Without it nothing is switched."
    )
    assert error.value.facts == {"gate": "guard"}


def test_what_arming_refuses_is_not_switched(host):
    host.rollout("a")
    name = stage.stage(host.store, host.engine, order("b"), False)["name"]
    host.engine.calls = []

    def arm():
        raise RolloutError("no guard", gate="guard")

    for verb in (switch.bring, switch.bring_back):
        with pytest.raises(RolloutError, match="no guard"):
            verb(host.deployment(name, RUN), arm)
    assert host.engine.touched == []
    host.look(name, RUN)
    host.bring(A, RUN)


# Watching.


@pytest.mark.parametrize("removable", [True, False])
def test_what_a_killed_rehearsal_left_is_removed_and_keeps_the_guard_from_nothing(host, now, removable):
    host.rollout("a")
    switched(host)
    labels = {rehearsal.LABEL: str(host.store.root)}
    host.engine.add("rollout-rehearsal", "web", {"image": "r/web:sha-aaaaaaa", "labels": labels})
    if not removable:
        host.engine.fail["rm --force --volumes"] = "device or resource busy"
    guard.watch(host.store, host.engine)
    assert last(host.store)["event"] == "reverted"
    left = [c for c in host.engine.made if rehearsal.LABEL in c["Config"]["Labels"]]
    assert bool(left) is not removable


def test_a_run_that_is_not_confirmed_in_time_is_reverted(host, now, capsys):
    host.rollout("a")
    switched(host)
    assert images(host) == {"web": "b", "job": "b"}
    database = host.engine.running()["db"]
    guard.watch(host.store, host.engine)
    assert 1900 <= now.seconds < 2000
    assert images(host) == {"web": "a", "job": "a"}
    assert host.engine.running()["db"] == database
    entry = last(host.store)
    assert {k: entry[k] for k in ("event", "run", "name", "by", "fault")} == {
        "event": "reverted",
        "run": RUN,
        "name": A,
        "by": "guard",
        "fault": "",
    }
    ledger = host.store.ledger()
    assert (ledger.stable.name, ledger.interrupted, ledger.armed, ledger.guarded) == (A, None, None, RUN)
    assert host.store.lock() is None, "the next run need not wait"
    assert not host.store.armed.exists()
    assert capsys.readouterr().out == f"Run {RUN} was not confirmed in 900 s: {A} runs again.\n"
    with (
        pytest.raises(RolloutError, match="The guard of this host acted before the run was confirmed") as error,
        host.store.step(RUN),
    ):
        pass
    assert error.value.facts == {"fenced": "guard"}


@pytest.mark.parametrize("end", ["confirmed", "reverted"])
def test_disarmed(host, now, end):
    host.rollout("a")
    switched(host)

    def each():
        if now.seconds > 1500:
            host.store.append(end, RUN, name=B, release=B)

    now.each = each
    guard.watch(host.store, host.engine)
    assert images(host) == {"web": "b", "job": "b"}
    assert not host.store.armed.exists()
    assert host.store.lock()["run"] == RUN, "the run gives its lock back itself"


def test_a_reboot_counts_from_the_boot(host, now):
    host.rollout("a")
    switched(host, timeout=600)
    now.boot, now.seconds = "boot2", 0.0
    guard.watch(host.store, host.engine)
    assert 600 <= now.seconds < 700
    assert images(host) == {"web": "a", "job": "a"}


def test_nothing_is_done_while_another_run_is_at_work(host, now):
    host.rollout("a")
    switched(host)
    seen = []

    def each():
        held(host.store, "run-c")
        seen.append(images(host))
        if now.seconds > 9000:
            host.store.append("confirmed", "run-c", name=B, release=B)

    now.each = each
    guard.watch(host.store, host.engine)
    assert all(found == {"web": "b", "job": "b"} for found in seen)
    assert host.store.lock()["run"] == "run-c"


def test_the_long_life_of_the_fleets_lock_does_not_bind_it(host, now):
    """A second run took the lock of the fleet, planned, and was killed."""
    host.rollout("a")
    switched(host)
    held(host.store, "run-c", ttl=3600.0, user="alice", host="laptop")
    now.seconds += 899
    state = guard.state(host.store)
    assert (state["fires_in"], state["waits_s"]) == (1.0, 1.0)
    assert state["waits_for"] == "run run-c of alice@laptop, since 2026-01-01T00:00:00Z"
    guard.watch(host.store, host.engine)
    assert now.seconds < 2100
    assert images(host) == {"web": "a", "job": "a"}
    assert host.store.lock()["run"] == "run-c", "it goes on, if it is not dead"


def test_it_does_while_a_step_of_that_run_is_at_work(host, now, monkeypatch):
    """Of one that pulls for long."""
    host.rollout("a")
    switched(host)
    held(host.store, "run-c", ttl=3600.0)
    monkeypatch.setattr(Store, "step_holder", lambda self: SimpleNamespace(run="run-c", process=None))
    guard.watch(host.store, host.engine)
    assert 4600 <= now.seconds < 4800
    assert images(host) == {"web": "a", "job": "a"}


@pytest.mark.parametrize("damaged", [False, True])
def test_the_lock_of_a_run_that_gives_no_sign_of_life_is_nobodys(host, now, damaged):
    host.rollout("a")
    switched(host)
    held(host.store, "run-c", ttl=3000.0)
    if damaged:
        host.store.lock_path.write_text("{")
    guard.watch(host.store, host.engine)
    assert 1900 <= now.seconds < 2100
    assert images(host) == {"web": "a", "job": "a"}
    assert last(host.store)["run"] == RUN


def test_before_the_first_stable_release_the_services_are_taken_away(host, now):
    switched(host)
    guard.watch(host.store, host.engine)
    assert set(host.engine.running()) == {"db"}
    assert (last(host.store)["event"], last(host.store)["name"]) == ("reverted", "")
    assert host.store.ledger().stable is None


def test_stacks_are_brought_back_in_reverse_order(host, now):
    def two(tag):
        return {"core": text_of(tag, ("web",)), "work": text_of(tag, ("job",), database=False)}

    switched(host, "a", stacks=two("sha-aaaaaaa"))
    host.bring(A, "run-a", "work")
    host.store.append("confirmed", "run-a", name=A, release=A)
    switched(host, stacks=two(B))
    host.bring(B, RUN, "work")
    assert images(host) == {"web": "b", "job": "b"}
    host.engine.calls = []
    guard.watch(host.store, host.engine)
    assert images(host) == {"web": "a", "job": "a"}
    assert host.engine.touched == ["up job recreate", "up web recreate"]


@pytest.mark.parametrize(("status", "fault"), [(503, "Service web (stack core) does not pass on sha-aaaaaaa: after "), (200, "")])
def test_a_gate_that_does_not_hold_is_recorded(host, now, monkeypatch, status, fault):
    monkeypatch.setattr(http, "ask", lambda url: Answer(URL, 200, A))
    host.rollout("a", text=text_of(A, health=[URL]))
    switched(host)
    monkeypatch.setattr(http, "ask", lambda url: Answer(URL, status, A))
    guard.watch(host.store, host.engine)
    entry = last(host.store)
    assert (entry["event"], entry["name"]) == ("reverted", A), "there is nothing else to go back to"
    assert entry["fault"].startswith(fault)
    assert bool(entry["fault"]) is bool(fault)


def test_an_engine_that_fails_is_tried_again(host, now, capsys):
    host.rollout("a")
    switched(host)
    host.engine.fail = {"up web": "Cannot connect to the Docker daemon"}

    def each():
        if now.seconds > 3000:
            host.engine.fail = {}

    now.each = each
    guard.watch(host.store, host.engine)
    assert images(host) == {"web": "a", "job": "a"}
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Try 1: Starting web and job failed: Cannot connect to the Docker daemon"
    assert said[1].startswith("Try 2: ")
    assert last(host.store)["fault"] == ""


def test_a_full_disk_is_tried_again_though_nothing_can_be_said_of_it(host, now, monkeypatch):
    host.rollout("a")
    switched(host)
    full = OSError(28, "No space left on device")
    real, tries = host.store.require_writable, []

    def writable():
        tries.append(now.seconds)
        if now.seconds < 3000:
            raise full
        real()

    def said(*_words, **_options):
        raise full

    monkeypatch.setattr(host.store, "require_writable", writable)
    monkeypatch.setattr(guard, "print", said, raising=False)
    guard.watch(host.store, host.engine)
    assert len([seconds for seconds in tries if seconds < 3000]) > 2
    assert images(host) == {"web": "a", "job": "a"}
    assert last(host.store)["event"] == "reverted"


def test_an_engine_that_fails_for_ever_ends_in_failure(host, now, monkeypatch):
    monkeypatch.setattr(guard, "RETRIES", 3)
    host.rollout("a")
    switched(host)
    host.engine.fail = {"up web": "no"}
    with pytest.raises(RolloutError, match="Starting web and job failed: no"):
        guard.watch(host.store, host.engine)
    assert host.store.ledger().armed, "systemd starts it again"
    assert host.store.armed.exists()


def test_it_waits_for_a_step_that_is_at_work(host, now, monkeypatch):
    monkeypatch.setattr(guard, "RETRY_S", 0.05)
    host.rollout("a")
    switched(host)
    now.seconds += 1000
    with contextlib.ExitStack() as step:
        step.enter_context(host.store.step(RUN))
        real, tries = host.store.mutex, []

        def mutex(name, wait):
            if name == ".step":
                tries.append(images(host))
            if len(tries) == 3:
                step.close()
            return real(name, wait)

        monkeypatch.setattr(host.store, "mutex", mutex)
        guard.watch(host.store, host.engine)
    assert tries[:3] == [{"web": "b", "job": "b"}] * 3
    assert images(host) == {"web": "a", "job": "a"}


def test_a_run_that_is_confirmed_at_the_last_moment_stays(host, now, monkeypatch):
    host.rollout("a")
    switched(host)
    now.seconds += 1000
    real = host.store.mutex

    @contextlib.contextmanager
    def mutex(name, wait):
        if name == ".step" and host.store.ledger().armed:
            host.store.append("confirmed", RUN, name=B, release=B)
        with real(name, wait) as got:
            yield got

    monkeypatch.setattr(host.store, "mutex", mutex)
    guard.watch(host.store, host.engine)
    assert images(host) == {"web": "b", "job": "b"}


# A step that hangs.

# As an agent has it: the step of a run, which waits for a command that never ends.
STEP = """
import subprocess, sys
{where}
from ansible.module_utils.rollout.io.store import Store
store = Store(sys.argv[1])
with store.step(sys.argv[2]):
    store.tell(step="gate", what="web")
    command = subprocess.Popen(["sleep", "600"], start_new_session=True)
    print(command.pid, flush=True)
    command.wait()
"""


@pytest.fixture
def hang(host, real_clock, monkeypatch):
    """Begin a step that hangs; the process ids of it and of its command."""
    monkeypatch.setattr(guard, "RETRY_S", 0.05)
    monkeypatch.setattr(guard, "POLL_S", 0.05)
    started = []

    def begin(run=RUN):
        command = [sys.executable, "-c", STEP.format(where=HERE), str(host.store.root), run]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        return process.pid, int(process.stdout.readline())

    yield begin
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
        process.stdout.close()


def ends(pid):
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            assert select.select([handle], [], [], 60)[0], "it does not end"
        finally:
            os.close(handle)


def events(store):
    """What a guard did, or somebody in its place, and for which run."""
    entries = map(json.loads, store.path.read_text().splitlines())
    return [(entry["event"], entry["run"]) for entry in entries if entry["event"] in ("ended", "reverted", "confirmed")]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_step_that_hangs_is_ended_before_the_stable_release_is_brought_back(host, hang, capsys, stopped):
    host.rollout("a")
    switched(host, timeout=0.01)
    step, command = hang()
    if stopped:
        os.kill(step, signal.SIGSTOP)
    guard.watch(host.store, host.engine)
    ends(command)
    assert processes.look(step) is None
    assert images(host) == {"web": "a", "job": "a"}
    assert events(host.store)[-2:] == [("ended", RUN), ("reverted", RUN)]
    assert host.store.ledger().ended.items() >= {"step": "gate web", "process": step, "by": "guard"}.items()
    assert not host.store.progress.exists()
    assert capsys.readouterr().out == f"Run {RUN} was not confirmed in 0 s: {A} runs again.\n"
    with pytest.raises(RolloutError) as error, host.store.step(RUN):
        pass
    assert str(error.value) == (
        "The guard of this host acted before the run was confirmed, and brought the stable release back. A step of this run was "
        f"still at work when its time was over (gate web; process {step}), so the guard ended it first. Find out what hung, or "
        "raise rollout_confirm_timeout."
    )
    assert error.value.facts == {"fenced": "guard"}


def test_a_step_is_not_ended_while_its_run_may_be_at_work(host, hang, monkeypatch):
    """Another run has the lock: the guard of the one before waits, whatever hangs."""
    host.rollout("a")
    switched(host, timeout=0.01)
    held(host.store, "run-c")
    step, command = hang("run-c")
    polls = []

    def sleep(seconds):
        polls.append(images(host))
        if len(polls) == 3:
            host.store.append("confirmed", "run-c", name=B, release=B)
            os.kill(command, signal.SIGKILL)

    monkeypatch.setattr(guard, "clock", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    alive = []
    monkeypatch.setattr(guard, "_mine", lambda *asked, mine=guard._mine: alive.append(processes.look(step)) or mine(*asked))
    guard.watch(host.store, host.engine)
    assert len(alive) == 3
    assert all(alive)
    assert ("ended", "run-c") not in events(host.store)
    assert images(host) == {"web": "b", "job": "b"}


def test_the_step_of_a_run_whose_lock_expired_is_ended(host, hang):
    host.rollout("a")
    switched(host, timeout=0.01)
    held(host.store, "run-c")
    _step, command = hang("run-c")
    held(host.store, "run-c", ttl=1.0, seconds_ago=5.0)
    guard.watch(host.store, host.engine)
    ends(command)
    assert events(host.store)[-2:] == [("ended", "run-c"), ("reverted", RUN)]
    host.store.remove_lock()
    with pytest.raises(RolloutError, match="so the guard ended it first"):
        host.store.fence("run-c")


def test_a_step_that_confirms_at_the_last_moment_goes_on(host, hang, monkeypatch):
    host.rollout("a")
    switched(host, timeout=0.01)
    step, command = hang()
    real = processes.end

    def end(process, due, patience):
        host.store.append("confirmed", RUN, name=B, release=B)
        found = real(process, due, patience)
        assert found is None
        while processes.look(step).state == "T":
            os.sched_yield()
        assert processes.look(command)
        os.kill(command, signal.SIGKILL)
        return found

    monkeypatch.setattr(processes, "end", end)
    guard.watch(host.store, host.engine)
    assert events(host.store)[-1] == ("confirmed", RUN)
    assert images(host) == {"web": "b", "job": "b"}


def test_a_step_that_cannot_be_ended_is_said_and_tried_again(host, hang, monkeypatch, capsys):
    """The kernel ends no process that waits for a disk: here its signals are lost twice."""
    monkeypatch.setattr(guard, "END_S", 0.05)
    host.rollout("a")
    switched(host, timeout=0.01)
    step, command = hang()
    lost, real = [], signal.pidfd_send_signal

    def send(handle, number):
        lost.append(number)
        if lost.count(signal.SIGKILL) > 4:
            real(handle, number)

    monkeypatch.setattr(processes, "signal", SimpleNamespace(**{**vars(signal), "pidfd_send_signal": send}))
    guard.watch(host.store, host.engine)
    ends(command)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"Process {step} of run {RUN} was killed and does not end (state S): a disk or a network hangs."
    assert len(said) == 5
    assert events(host.store)[-2:] == [("ended", RUN), ("reverted", RUN)]
    assert images(host) == {"web": "a", "job": "a"}


def test_a_step_of_nobody_who_is_known_is_waited_for(host, hang, monkeypatch):
    host.rollout("a")
    switched(host, timeout=0.01)
    step, command = hang()
    (host.store.root / ".step").write_text("{}")
    asked = []

    def holder():
        asked.append(processes.look(step))
        if len(asked) == 3:
            os.kill(command, signal.SIGKILL)
        return real()

    real = host.store.step_holder
    monkeypatch.setattr(host.store, "step_holder", holder)
    guard.watch(host.store, host.engine)
    assert all(asked[:3])
    assert [event for event, _run in events(host.store)][-1] == "reverted"
    assert host.store.ledger().ended is None
    assert images(host) == {"web": "a", "job": "a"}


# Damaged files.


def emptied(host, name, file):
    (host.store.directory(name) / file).write_text("")


@pytest.mark.parametrize("file", ["release.json", "core/.env", FILE])
def test_damaged_files_of_the_release_that_it_leaves_do_not_matter(host, now, file):
    host.rollout("a")
    name = switched(host)
    emptied(host, name, file)
    guard.watch(host.store, host.engine)
    assert images(host) == {"web": "a", "job": "a"}
    assert (last(host.store)["event"], last(host.store)["fault"]) == ("reverted", "")


@pytest.mark.parametrize("file", ["release.json", "core/.env", FILE])
def test_nor_do_they_before_the_first_stable_release(host, now, file):
    emptied(host, switched(host, "a"), file)
    guard.watch(host.store, host.engine)
    assert images(host) == {}
    assert (last(host.store)["event"], last(host.store)["name"]) == ("reverted", "")


@pytest.mark.parametrize("file", ["release.json", "core/.env", FILE])
def test_without_the_files_of_the_stable_release_its_containers_are_started_as_they_are(host, now, file):
    host.rollout("a")
    before = host.engine.running()
    killed_once_stopped(host)
    emptied(host, A, file)
    guard.watch(host.store, host.engine)
    assert host.engine.running() == before
    assert {c["State"]["Status"] for c in host.engine.made} == {"running"}
    fault = last(host.store)["fault"]
    assert fault.startswith(f"Release {A} cannot be brought back by its files: ")
    assert file in fault
    assert fault.endswith(
        " Its containers were started again as they are. Restore the files, or roll out again: ansible-playbook rollout.yml -e sha=…"
    )
    assert host.store.ledger().guarded == RUN


def test_nor_with_files_of_it_that_compose_does_not_accept(host, now):
    host.rollout("a")
    before = host.engine.running()
    killed_once_stopped(host)
    (host.store.directory(A) / FILE).write_text("services: {")
    guard.watch(host.store, host.engine)
    assert host.engine.running() == before
    assert {c["State"]["Status"] for c in host.engine.made} == {"running"}
    assert last(host.store)["fault"].startswith(
        f"Release {A} cannot be brought back by its files: {FILE} of it is not as it was staged, and: Reading "
        "docker-compose.core.yml and rollout.pins.json failed: yaml:"
    )


def test_what_was_replaced_by_then_is_named_and_not_said_to_run_again(host, now, capsys):
    host.rollout("a")
    switched(host)
    emptied(host, A, "release.json")
    guard.watch(host.store, host.engine)
    assert images(host) == {"web": "b", "job": "b"}
    assert " Not back, because the run had replaced or removed their containers: job, web." in last(host.store)["fault"]
    assert "runs again" not in capsys.readouterr().out


def killed_once_stopped(host):
    """A run that stopped a service of the stable release, and came no further."""
    name = armed(host, order("b"))
    host.store.append("switching", RUN, name=name, release=name, stack="core", service="web")
    for made in host.engine.made:
        if made["Config"]["Labels"]["com.docker.compose.service"] == "web":
            made["State"].update(Status="exited", ExitCode=0)


def test_why_it_does_not_come_back_stands_in_the_ledger_once_for_each_reason(host, now):
    host.rollout("a")
    switched(host)
    host.engine.fail = {"up web": "driver failed: port is already allocated"}
    seen = []

    def each():
        state = guard.state(host.store)
        seen.append(state["stuck"] if state else "")
        if now.seconds > 3000:
            host.engine.fail = {}

    now.each = each
    guard.watch(host.store, host.engine)
    said = [json.loads(line) for line in host.store.path.read_text().splitlines()]
    stuck = [entry for entry in said if entry["event"] == "stuck"]
    assert len(stuck) == 1
    assert stuck[0]["why"].startswith(
        "Service web (stack core), which still runs sha-bbbbbbb, was not replaced: Starting web and job failed: driver failed"
    )
    assert stuck[0]["why"] in seen
    assert host.store.ledger().stuck == ""


def test_arming_says_all_that_the_guard_has_to_know_of_the_release(host, monkeypatch):
    host.rollout("a")
    name = stage.stage(host.store, host.engine, order("b"), False)["name"]
    monkeypatch.setattr(guard, "alive", lambda store: True)
    held(host.store, RUN)
    guard.arm(host.store, "app", RUN, name, 900.0)
    entry = last(host.store)
    assert {k: entry[k] for k in ("event", "name", "release", "application", "stacks")} == {
        "event": "armed",
        "name": B,
        "release": B,
        "application": "app",
        "stacks": ["core"],
    }

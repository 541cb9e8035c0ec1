from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.module_utils.rollout import guard, machine, net, stage
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.health import Answer
from ansible.module_utils.rollout.lock import Clock
from interpreter import bare_python
from story import Host, held, order
from story import stack as text_of

ROOT = Path(__file__).resolve().parents[3]
A, B, RUN = "sha-aaaaaaa", "sha-bbbbbbb", "run-b"
URL = "http://127.0.0.1:8000/health"
# What the module `stack` loads on a host, and no more, packs the guard.
PACK = f"""
import sys
import ansible.module_utils
ansible.module_utils.__path__.append({str(ROOT / "module_utils")!r})
sys.path.insert(0, {str(ROOT / "library")!r})
from ansible.module_utils.rollout import steps
sys.stdout.buffer.write(steps.guard.program())
"""


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path / "state")


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
    monkeypatch.setattr(guard, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: moment.seconds))
    return moment


def switched(host, letter="b", timeout=900.0, **facts):
    """A run that switched this host and says nothing more."""
    asked = order(letter, **facts)
    name = stage.stage(host.store, host.engine, asked, False)["name"]
    held(host.store, asked.run)
    host.store.append("armed", asked.run, name=name, release=name, timeout=timeout, **machine.clock().mark())
    host.store.trigger()
    with contextlib.suppress(RolloutError):
        host.switch(name, asked.run).switch(False)
    return name


def images(host):
    """Service -> letter of the release that it runs."""
    ids = {c["Config"]["Labels"]["com.docker.compose.service"]: c["Image"] for c in host.engine.made}
    return {service: image[-1] for service, image in ids.items() if service != "db"}


def last(store):
    return json.loads(store.path.read_text().splitlines()[-1])


# The archive.


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The guard's program, as a host gets it."""
    path = tmp_path_factory.mktemp("guard") / "guard.pyz"
    path.write_bytes(subprocess.run([sys.executable, "-c", PACK], check=True, capture_output=True).stdout)
    return path


def test_the_program_needs_only_the_standard_library(packed):
    look = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "import ansible.module_utils.rollout.guard as guard\n"
        "tops = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "ours = [name for name in sys.modules if name.startswith('ansible.module_utils.')]\n"
        "print(json.dumps([guard.__file__, sorted(tops), ours]))"
    )
    done = subprocess.run([bare_python(), "-I", "-S", "-c", look, str(packed)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    file, tops, ours = json.loads(done.stdout)
    assert file.startswith(str(packed))
    assert tops == ["__main__", "ansible"]
    assert "ansible.module_utils.basic" not in ours
    assert all(name.startswith("ansible.module_utils.rollout") for name in ours)


def test_the_same_text_is_the_same_program():
    assert guard.program() == guard.program()


def test_the_program_holds_no_frame_of_ansible(packed):
    names = zipfile.ZipFile(packed).namelist()
    assert "__main__.py" in names
    assert {f"ansible/module_utils/rollout/{n}.py" for n in ("guard", "switch", "engine", "files", "lock", "ledger")} <= set(
        names
    )
    assert "ansible/module_utils/rollout/module.py" not in names


def run_program(packed, root):
    (root / "guard.pyz").write_bytes(packed.read_bytes())
    return subprocess.run([bare_python(), "-I", "-S", str(root / "guard.pyz")], capture_output=True, text=True, timeout=60)


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
def detached(monkeypatch):
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

    switch = host.switch(name, RUN)
    switch.arm = arm
    with pytest.raises(RolloutError, match="no guard"):
        switch.switch(False)
    assert host.engine.touched == []
    switch.switch(True)
    host.switch(A, RUN).switch(False)


# Watching.


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
    assert capsys.readouterr().out == f"Run {RUN} was not confirmed in 900 s: {A} runs again. \n"
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


@pytest.mark.parametrize("damaged", [False, True])
def test_the_lock_of_a_run_that_gives_no_sign_of_life_expires(host, now, damaged):
    host.rollout("a")
    switched(host)
    held(host.store, "run-c", ttl=3000.0)
    if damaged:
        host.store.lock_path.write_text("{")
    guard.watch(host.store, host.engine)
    assert (now.seconds >= 4000) is not damaged
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
    host.switch(A, "run-a", "work").switch(False)
    host.store.append("confirmed", "run-a", name=A, release=A)
    switched(host, stacks=two(B))
    host.switch(B, RUN, "work").switch(False)
    assert images(host) == {"web": "b", "job": "b"}
    host.engine.calls = []
    guard.watch(host.store, host.engine)
    assert images(host) == {"web": "a", "job": "a"}
    assert host.engine.touched == ["up job recreate", "up web recreate"]


@pytest.mark.parametrize(("status", "fault"), [(503, "Service web (stack core) does not pass on sha-aaaaaaa: after "), (200, "")])
def test_a_gate_that_does_not_hold_is_recorded(host, now, monkeypatch, status, fault):
    monkeypatch.setattr(net, "ask", lambda url: Answer(URL, 200, A))
    host.rollout("a", text=text_of(A, health=[URL]))
    switched(host)
    monkeypatch.setattr(net, "ask", lambda url: Answer(URL, status, A))
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
    assert said[0].startswith(
        "Try 1: Service web (stack core) does not pass on sha-aaaaaaa: Starting web and job failed: Cannot connect"
    )
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

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from ansible.module_utils.rollout.domain import ledger as ledgers
from ansible.module_utils.rollout.domain.bundle import File
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import machine, reserve
from ansible.module_utils.rollout.io.store import Store
from story import held

MANIFEST = {"release": "a", "name": "a", "application": "app", "images": {}, "stacks": []}


@pytest.fixture
def store(tmp_path):
    found = Store(str(tmp_path / "state"))
    found.require_writable()
    return found


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_an_absent_ledger_is_empty(tmp_path):
    assert Store(str(tmp_path)).ledger().last_seq == 0


def test_append_counts_and_keeps_others_out(store):
    store.append("staged", "r1", name="a", release="a")
    store.append("confirmed", "r1", name="a", release="a", action="rollout")
    assert store.ledger().last_seq == 2
    assert store.ledger().stable.name == "a"
    assert mode(store.path) == 0o600
    assert mode(store.releases) == 0o700


def test_append_after_a_torn_tail_at_every_byte(store):
    store.append("confirmed", "r1", name="a", release="a")
    store.append("staged", "r2", name="b")
    whole = store.path.read_bytes()
    for cut in range(len(whole)):
        store.path.write_bytes(whole[:cut])
        seen = store.ledger().last_seq
        store.append("removed", "r3", name="z")
        after = store.ledger()
        assert after.last_seq == seen + 1
        assert store.path.read_bytes().startswith(whole[:cut])
        assert (after.stable is not None) == (seen > 0)


def test_what_was_read_of_the_ledger_is_not_read_again(store, monkeypatch):
    for number in range(20):
        store.append("staged", "r1", name=f"n{number}")
    parsed, parse = [], ledgers.parse
    monkeypatch.setattr(ledgers, "parse", lambda text, last: parsed.append(text) or parse(text, last))
    assert store.ledger().last_seq == 20
    store.append("confirmed", "r1", name="n1", release="a")
    assert store.ledger().stable.release == "a"
    assert [text.count("\n") for text in parsed] == [1, 0, 1], "each entry once"


def test_what_was_said_before_stays_as_it_was(store):
    store.append("switching", "r1", name="a")
    before = store.ledger()
    kept = repr(before)
    for event in ("armed", "switched", "reverted"):
        store.append(event, "r1", name="a", boot="b", timeout=1, clock=1, seconds={"web": 1.0}, by="guard")
        store.ledger()
    store.append("confirmed", "r1", name="a", release="a")
    store.ledger()
    assert repr(before) == kept


@pytest.mark.parametrize("how", ["in place", "another file"])
def test_a_ledger_that_is_another_one_now_is_read_anew(store, how):
    for name in "abc":
        store.append("confirmed", "r1", name=name, release=name)
    store.ledger()
    other = Store(str(store.root.with_name("other")))
    other.require_writable()
    for name in "xyzw":
        other.append("confirmed", "r2", name=name, release=name)
    if how == "in place":
        store.path.write_bytes(other.path.read_bytes())
    else:
        os.replace(other.path, store.path)
    assert [s.name for s in store.ledger().known] == ["x", "y", "z", "w"]


def test_a_ledger_that_is_gone_is_empty_and_begins_anew(store):
    store.append("confirmed", "r1", name="a", release="a")
    store.ledger()
    store.path.unlink()
    assert store.ledger().last_seq == 0
    store.append("staged", "r2", name="b")
    assert (store.ledger().last_seq, store.ledger().stable) == (1, None)


def test_a_ledger_that_cannot_be_written_is_a_sentence(store, monkeypatch):
    monkeypatch.setattr(os, "write", lambda fd, data: 1)
    with pytest.raises(RolloutError) as error:
        store.append("staged", "r")
    assert str(error.value) == f"The ledger {store.path} cannot be written: No space left on device."


def test_a_ledger_that_cannot_be_read_is_a_sentence(store, monkeypatch):
    def fail(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(store.path), "open", fail)
    with pytest.raises(RolloutError) as error:
        store.ledger()
    assert str(error.value) == f"The ledger {store.path} cannot be read (Permission denied)."


def test_a_state_directory_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RolloutError) as error:
        Store(str(tmp_path / "file" / "state")).require_writable()
    assert str(error.value) == (
        f"The state directory {tmp_path}/file/state is not writable (Not a directory): run ansible-playbook "
        "playbooks/prepare.yml, or set rollout_dir to a directory of your own."
    )


def test_require_writable_leaves_nothing(store):
    assert sorted(p.name for p in store.root.iterdir()) == [".agent", "releases"]


def refused(call, *arguments, **options):
    with pytest.raises(RolloutError) as error:
        call(*arguments, **options)
    return str(error.value), error.value.facts


def enter(store, run="r1", **options):
    with store.step(run, **options):
        store.append("switching", run, service="web")


GONE = "The lock of run r1 is gone from this host ({}/lock.json): somebody unlocked it. Nothing more is done here by this run."
TAKEN = (
    "Run r1 no longer holds the lock of this host: run r2 of ?@?, since 2026-01-01T00:00:00Z, took it over. Nothing more is done "
    "here by this run."
)
GUARDED = (
    "The guard of this host acted before the run was confirmed, and brought the stable release back: the run took longer than "
    "rollout_confirm_timeout. Raise rollout_confirm_timeout, or find out what took so long."
)


def guard_acted(store, run="r1"):
    store.append("switching", run, service="web")
    store.append("reverted", run, name="a", by="guard")
    store.remove_lock()


def test_a_step_of_the_run_that_holds_the_lock(store):
    held(store, "r1")
    enter(store)
    assert store.ledger().last_seq == 1
    store.remove_lock()
    store.append("staged", "r1")


def test_what_the_guard_could_not_prove_is_known_to_the_run_that_it_ended(store):
    store.append("switching", "r1", service="web")
    store.append("reverted", "r1", name="a", by="guard", fault="Service web does not pass.")
    assert refused(enter, store) == (GUARDED, {"fenced": "guard", "unproven": "Service web does not pass."})


@pytest.mark.parametrize(
    ("happened", "sentence", "fenced"),
    [
        (lambda store: None, GONE, "run"),
        (lambda store: held(store, "r2"), TAKEN, "run"),
        (guard_acted, GUARDED, "guard"),
        # Another run was guarded, or another one has begun since.
        (lambda store: guard_acted(store, "r0"), GONE, "run"),
        (lambda store: (guard_acted(store), held(store, "r2")), TAKEN, "run"),
    ],
)
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_step_without_the_lock_is_refused(store, happened, sentence, fenced, when):
    if when == "before":
        happened(store)
        found = refused(enter, store)
    else:
        held(store, "r1")
        other = Store(str(store.root))
        with store.step("r1"):
            store.remove_lock()
            happened(other)
            found = refused(store.append, "switched", "r1")
    assert found == (sentence.format(store.root), {"fenced": fenced})
    assert not store.path.exists() or "switched" not in store.path.read_text()


def test_a_directory_with_a_blank_is_one_word_of_a_command(tmp_path, real_clock):
    store = Store(str(tmp_path / "a b; id"))
    held(store, "r1")
    with store.step("r1"):
        said, _facts = refused(enter, Store(str(store.root)), wait=0.1)
    assert shlex.split(re.search(r"\((fuser .*)\)", said)[1]) == ["fuser", f"{store.root}/.step"]


def test_steps_come_one_after_the_other(store, real_clock):
    held(store, "r1")
    with store.step("r1"):
        assert refused(enter, Store(str(store.root)), wait=0.2) == (
            f"Another step of a rollout has been at work on this host for over 0 s. Look for it (fuser {store.root}/.step), then run "
            "again.",
            {"fenced": "run"},
        )
    enter(Store(str(store.root)), wait=0)


def test_a_step_that_failed_lets_the_next_one_in(store):
    held(store, "r1")
    with pytest.raises(KeyError), store.step("r1"):
        raise KeyError
    enter(store, wait=0)


def test_a_mutex_waits_until_it_is_free(store, real_clock):
    def hold():
        with Store(str(store.root)).mutex(".x", 0) as got:
            taken.append(got)
            started.set()
            go.wait(20)

    taken, started, go = [], threading.Event(), threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    started.wait(20)
    with store.mutex(".x", 0) as got:
        assert not got
    go.set()
    with store.mutex(".x", 20) as got:
        assert got
    holder.join(20)
    assert taken == [True]
    assert mode(store.root / ".x") == 0o600


def test_a_mutex_ends_with_its_process(store, real_clock):
    program = (
        "import fcntl, os, sys\n"
        "fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)\nprint(flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, store.root / ".x"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with store.mutex(".x", 0) as got:
            assert not got
        holder.kill()
        holder.wait(20)
        with store.mutex(".x", 0) as got:
            assert got


def test_no_child_inherits_a_mutex(store, real_clock):
    with store.mutex(".x", 0):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    with child, store.mutex(".x", 20) as got:
        assert child.poll() is None
        assert got
        child.communicate(b"\n")


def test_the_lock_file(store):
    assert store.lock() is None
    written = held(store, "r1", user="alice")
    assert (written["run"], written["user"], store.lock()) == ("r1", "alice", written)
    assert mode(store.lock_path) == 0o600
    store.remove_lock()
    store.remove_lock()
    assert store.lock() is None


@pytest.mark.parametrize("text", ["", "{", "null", "[1]", '{"run": "r1", "ttl": 1}'])
def test_a_damaged_lock_is_a_sentence(store, text):
    store.lock_path.write_text(text)
    assert refused(store.lock)[0] == f"The lock {store.lock_path} is damaged: ansible-playbook playbooks/unlock.yml removes it."


def test_a_lock_that_cannot_be_read_is_a_sentence(store):
    store.lock_path.mkdir()
    assert refused(store.lock)[0] == f"The lock {store.lock_path} cannot be read (Is a directory)."


def test_the_guards_program_is_replaced_where_it_differs(store):
    store.write_guard(b"one")
    before = store.guard.stat()
    store.write_guard(b"one")
    assert store.guard.stat().st_ino == before.st_ino
    store.write_guard(b"two")
    assert (store.guard.read_bytes(), mode(store.guard)) == (b"two", 0o600)
    assert not (store.root / ".guard.pyz").exists()


def test_the_trigger(store):
    store.trigger()
    store.trigger()
    assert store.armed.exists()
    store.untrigger()
    store.untrigger()
    assert not store.armed.exists()


def test_a_temporary_directory_is_private_and_gone_afterwards(store):
    (store.root / ".login.left").mkdir()
    (store.root / ".login.left" / "config.json").write_text("canary")
    (store.root / ".other").mkdir()

    def work():
        with store.temporary("login") as directory:
            assert not (store.root / ".login.left").exists(), "what a killed process left"
            assert directory.parent == store.root
            assert mode(directory) == 0o700
            (directory / "config.json").write_text("canary")
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert sorted(p.name for p in store.root.iterdir()) == [".agent", ".other", "releases"]


def test_a_directory_to_read_in_lies_in_the_state_directory_or_without_one_among_temporary_files(store, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for one, place in ((store, store.root), (Store(str(tmp_path / "none")), tmp_path)):
        with one.aside() as directory:
            assert directory.parent == place
            assert mode(directory) == 0o700
        assert not directory.exists()
    assert not (tmp_path / "none").exists()


def test_what_is_read_aside_by_a_run_that_is_no_step_outlasts_the_steps_of_another(store):
    held(store, "r1")
    with store.aside() as directory:
        with store.step("r1"), store.temporary("login"):
            assert directory.exists()
        store.sweep()
        assert directory.exists()


def test_what_a_step_may_be_using_is_not_swept(store):
    held(store, "r1")
    (store.root / ".login.left").mkdir()
    with store.step("r1"):
        (store.root / ".reading.left").mkdir()
        store.sweep()
        assert (store.root / ".reading.left").exists()
    store.sweep()
    assert not (store.root / ".reading.left").exists()


def _first(root, gate, out):
    gate.wait(20)
    try:
        Store(root).require_writable()
        out.put("")
    except RolloutError as error:
        out.put(str(error))


def test_two_first_contacts_at_once(tmp_path):
    fork = multiprocessing.get_context("fork")
    for n in range(10):
        gate, out = fork.Barrier(2), fork.Queue()
        both = [fork.Process(target=_first, args=(str(tmp_path / f"s{n}"), gate, out)) for _ in range(2)]
        for one in both:
            one.start()
        assert [out.get(timeout=20) for _ in both] == ["", ""]
        for one in both:
            one.join()


def test_the_guards_program_is_on_the_disk_before_it_is_named(tmp_path, monkeypatch):
    store, order = Store(str(tmp_path)), []
    monkeypatch.setattr(os, "fsync", lambda fd: order.append("sync"))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: order.append("name") or replace(*paths))
    store.write_guard(b"x")
    assert order == ["sync", "name", "sync"]


def told(store):
    return json.loads(store.progress.read_text())


def test_a_step_tells_what_it_is_at_and_leaves_nothing(store, clock):
    held(store, "r1")
    before = sorted(p.name for p in store.root.iterdir())
    with store.step("r1"):
        store.tell(step="pull", what="r/web", done=1, total=None)
        assert told(store) == {"run": "r1", "step": "pull", "what": "r/web", "done": 1, "total": None}
    assert sorted(p.name for p in store.root.iterdir()) == sorted([*before, ".step"])


def test_nothing_is_told_outside_a_step(store, clock):
    store.tell(step="pull")
    held(store, "r1")
    with store.step("r1"):
        pass
    clock.time += 10
    store.tell(step="pull")
    assert not store.progress.exists()


def test_twice_a_second_is_told_at_most(store, clock):
    held(store, "r1")
    with store.step("r1"):
        # The first time at once; a clock that is set back does not silence it.
        for now, seen in ((0.0, 1), (0.2, 1), (0.49, 1), (0.5, 4), (0.99, 4), (1.0, 6), (0.9, 7)):
            clock.time = now
            store.tell(done={0.0: 1, 0.2: 2, 0.49: 3, 0.5: 4, 0.99: 5, 1.0: 6, 0.9: 7}[now])
            assert told(store)["done"] == seen


def test_what_a_step_turns_to_is_told_at_once(store, clock):
    held(store, "r1")
    with store.step("r1"):
        store.tell(step="pull", what="r/web", done=1)
        clock.time += 0.1
        store.tell(step="torch", what="web")
        assert told(store)["step"] == "torch"


def test_what_is_told_is_whole_at_any_time(store, clock, monkeypatch):
    held(store, "r1")
    replaced = []
    replace = os.replace

    def note(source, target):
        replaced.append((json.loads(Path(source).read_text())["done"], Path(source).parent == store.root))
        replace(source, target)

    monkeypatch.setattr(os, "replace", note)
    with store.step("r1"):
        for done in (1, 2):
            clock.time += 1
            store.tell(done=done)
            assert told(store)["done"] == done
    assert replaced == [(1, True), (2, True)]


@pytest.mark.parametrize("broken", ["open", "replace"])
def test_what_cannot_be_told_fails_nothing(store, clock, monkeypatch, broken):
    def fail(*_arguments, **_options):
        raise OSError(30, "Read-only file system")

    held(store, "r1")
    with store.step("r1"):
        store.tell(done=1)
        monkeypatch.setattr(os, broken, fail)
        clock.time += 1
        store.tell(done=2)
        monkeypatch.undo()
        assert told(store)["done"] == 1


def test_a_directory_that_is_gone_fails_nothing(store, clock):
    held(store, "r1")
    with store.step("r1"):
        shutil.rmtree(store.root)
        store.tell(done=1)
    assert not store.root.exists()


def test_what_a_step_told_is_gone_where_it_failed_or_the_one_before_was_killed(store, clock):
    held(store, "r1")

    def failing():
        with store.step("r1"):
            store.tell(done=1)
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert not store.progress.exists()
    store.progress.write_text('{"run": "r0"}')
    with store.step("r1"):
        pass
    assert not store.progress.exists()


@pytest.mark.parametrize("mask", [0, 0o022])
def test_whatever_the_umask_nobody_else_writes_to_anything_or_reads_a_secret(tmp_path, clock, mask):
    before = os.umask(mask)
    try:
        found = Store(str(tmp_path / "a" / "b" / "state"))
        found.require_writable()
        held(found, "r1")
        (found.root / "progress.new").write_text("left by a killed step")
        with found.step("r1"):
            found.tell(step="pull", what="r/web")
            found.append("staged", "r1", name="a", release="a")
            mounted = {"0a/x": {"": File(b"x")}, "0b/d": {"s/y": File(b"x", "0755"), "key": File(b"canary", "0600")}}
            found.write_release("a", {"core/.env": "KEY=canary", "core/f.yml": "a: 1"}, MANIFEST, mounted)
            found.write_guard(b"program")
            found.trigger()
            found.write_servers("core", "web", "server")
            machine.detach(found.guard, found.root / "guard.log")
            with found.temporary("login"), found.mutex(".guard", 1), found.mutex(".lock", 1):
                seen = {str(p.relative_to(tmp_path)): mode(p) for p in (tmp_path / "a", *(tmp_path / "a").rglob("*"))}
    finally:
        os.umask(before)
    assert len(seen) >= 18
    assert {"progress.json", ".step", "guard.log", ".env", ".agent"} <= {Path(path).name for path in seen}
    public = {"a/b/state/proxy": 0o755, "a/b/state/proxy/core.web.cfg": 0o644}
    # What a container's process is to read, whoever it is; the state directory around it is nobody else's.
    public.update({f"a/b/state/files/{path}": 0o755 for path in ("0a", "0b", "0b/d", "0b/d/s", "0b/d/s/y")})
    public.update({"a/b/state/files": 0o711, "a/b/state/files/0a/x": 0o644})
    assert {path: found for path, found in seen.items() if found & 0o077} == public


@pytest.mark.parametrize(
    ("event", "back", "room"), [("reverted", False, True), ("switching", True, True), ("switching", False, False)]
)
def test_on_a_full_disk_the_way_back_has_the_room_that_was_set_aside(store, monkeypatch, event, back, room):
    store.append("staged", "run", name="a")
    reserve.keep(store.root)
    write = os.write

    def refuse(fd, data):
        if (store.root / "reserve").exists():
            raise OSError(28, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(os, "write", refuse)
    if back:
        store.go_back()
    with contextlib.nullcontext() if room else pytest.raises(RolloutError, match="No space left on device"):
        store.append(event, "run", name="a")
    assert [json.loads(line)["event"] for line in store.path.read_text().splitlines()] == ["staged", event][: 1 + room]

from __future__ import annotations

import multiprocessing
from types import SimpleNamespace

import pytest
from ansible.module_utils.rollout.domain import lock as locks
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import machine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import locking
from story import held

ALICE = {"user": "alice", "host": "laptop", "machine": "m1", "process": "7:1", "action": "rollout"}
BOB = {"user": "bob", "host": "desk", "machine": "m2", "process": "8:1", "action": "rollback"}


@pytest.fixture
def store(tmp_path):
    found = Store(str(tmp_path / "state"))
    found.require_writable()
    return found


@pytest.fixture
def clock(monkeypatch):
    """The host's clock and the waiting, both by hand: each pause does what `each` says."""
    now = SimpleNamespace(seconds=1000.0, each=lambda: None)

    def sleep(seconds):
        now.seconds += seconds
        now.each()

    monkeypatch.setattr(machine, "clock", lambda: locks.Clock("boot1", now.seconds))
    monkeypatch.setattr(machine, "now", lambda: "2026-01-01T00:00:00Z")
    monkeypatch.setattr(locking, "clock", SimpleNamespace(monotonic=lambda: now.seconds, sleep=sleep))
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    return now


def take(store, run, owner=ALICE, alive=(), ttl=900.0, wait=0.0, check=False):
    return locking.hold(store, run, owner, list(alive), ttl, wait, check)


def refused(call, *arguments, **options):
    with pytest.raises(RolloutError) as error:
        call(*arguments, **options)
    return str(error.value), error.value.facts


def test_taken_then_renewed(store, clock, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50000 192.0.2.1 22")
    assert take(store, "r1") == {"changed": True, "taken_over": ""}
    assert store.lock() == {
        **ALICE,
        "source": "192.0.2.7",
        "run": "r1",
        "ttl": 900.0,
        "since": "2026-01-01T00:00:00Z",
        "heartbeat": {"boot": "boot1", "clock": 1000.0},
    }
    monkeypatch.setattr(machine, "now", lambda: "later")
    clock.seconds += 500
    assert take(store, "r1") == {"changed": False, "taken_over": ""}
    assert (store.lock()["since"], store.lock()["heartbeat"]["clock"]) == ("2026-01-01T00:00:00Z", 1500.0)
    clock.seconds += 500
    assert locking.renew(store, "r1", 900, False) == {"changed": False}
    assert store.lock()["heartbeat"]["clock"] == 2000.0
    assert store.lock()["user"] == "alice"


def test_a_second_run_is_refused_by_a_whole_sentence(store, clock):
    take(store, "r1")
    clock.seconds += 60
    before = store.lock()
    assert refused(take, store, "r2", BOB) == (
        "Another run holds the lock: run r1 (rollout) of alice@laptop, since 2026-01-01T00:00:00Z. Its last sign of life was 60 s ago; "
        "the lock expires in 14 min unless that run renews it. Wait for it (-e rollout_lock_wait=600), or if you know that it is dead: "
        "ansible-playbook playbooks/unlock.yml",
        {"holder": "r1"},
    )
    assert store.lock() == before


def test_who_waits_gets_it_when_it_is_given_back(store, clock):
    take(store, "r1")
    pauses = []

    def each():
        pauses.append(clock.seconds)
        if len(pauses) == 3:
            locking.release(store, "r1", False)

    clock.each = each
    assert take(store, "r2", BOB, wait=600) == {"changed": True, "taken_over": ""}
    assert len(pauses) == 3
    assert store.lock()["run"] == "r2"


def test_who_waits_in_vain_is_refused_in_time(store, clock):
    take(store, "r1")
    sentence, _facts = refused(take, store, "r2", BOB, wait=10)
    assert sentence.startswith("Another run holds the lock: run r1")
    assert 1010 <= clock.seconds <= 1010 + locking.PAUSE_S


def test_who_waits_long_enough_takes_over_what_expires(store, clock):
    take(store, "r1", ttl=60)
    assert take(store, "r2", BOB, wait=600)["taken_over"] == (
        "The lock of run r1 (rollout) of alice@laptop, since 2026-01-01T00:00:00Z, was taken over: it gave no sign of life until its "
        "lock expired."
    )
    assert 1060 <= clock.seconds <= 1060 + locking.PAUSE_S


@pytest.mark.parametrize(
    ("owner", "alive", "ago", "word"),
    [
        ({**ALICE, "process": "9:1"}, ["9:1"], 0, "its process is dead"),
        (BOB, ["8:1"], 900, "it gave no sign of life until its lock expired"),
        ({**ALICE, "process": "9:1"}, ["9:1", "7:1"], 0, None),
        (BOB, ["8:1"], 0, None),
    ],
)
def test_taken_over_or_not(store, clock, owner, alive, ago, word):
    take(store, "r1")
    clock.seconds += ago
    if word is None:
        refused(take, store, "r2", owner, alive)
        assert store.lock()["run"] == "r1"
        return
    done = take(store, "r2", owner, alive)
    assert done["changed"]
    assert done["taken_over"].endswith(f", was taken over: {word}.")
    assert store.lock()["run"] == "r2"
    # The old one slept, and comes back.
    assert refused(locking.renew, store, "r1", 900, False) == (
        f"Run r1 no longer holds the lock of this host: {locks.who(store.lock())}, took it over. Nothing more is done here by this "
        "run.",
        {"fenced": "run"},
    )
    assert locking.release(store, "r1", False) == {"changed": False, "released": ""}
    assert store.lock()["run"] == "r2"


def test_renewing_what_is_gone(store, clock):
    sentence, facts = refused(locking.renew, store, "r1", 900, False)
    assert sentence == (
        f"The lock of run r1 is gone from this host ({store.lock_path}): somebody unlocked it. Nothing more is done here by this run."
    )
    assert facts == {"fenced": "run"}
    assert store.lock() is None


def test_given_back(store, clock):
    take(store, "r1")
    assert locking.release(store, "r1", True)["changed"]
    assert store.lock(), "check mode"
    assert locking.release(store, "r1", False) == {
        "changed": True,
        "released": "run r1 (rollout) of alice@laptop, since 2026-01-01T00:00:00Z",
    }
    assert store.lock() is None
    assert locking.release(store, "r1", False) == {"changed": False, "released": ""}


def test_giving_back_makes_no_state_directory(tmp_path):
    assert not locking.release(Store(str(tmp_path / "none")), "", False)["changed"]
    assert list(tmp_path.iterdir()) == []


def test_a_person_removes_it_whoever_holds_it(store):
    held(store, "r1", user="alice", host="laptop")
    assert locking.release(store, "", False) == {
        "changed": True,
        "released": "run r1 of alice@laptop, since 2026-01-01T00:00:00Z",
    }
    assert not store.lock_path.exists()


BESIDE = {"machine": "m1", "alive": ["7:1", "9:9"]}


@pytest.mark.parametrize("check", [False, True])
def test_a_person_does_not_remove_that_of_a_run_at_work(store, check):
    before = held(store, "r1", user="alice", host="laptop", machine="m1", process="7:1")
    assert refused(locking.release, store, "", check, BESIDE)[0] == (
        "It is still running on this machine (pid 7): run r1 of alice@laptop, since 2026-01-01T00:00:00Z. Stop it first (kill 7; it "
        "then reports what it changed), or wait for it to finish. -e force=true removes its lock all the same; the run then stops "
        "at its next step."
    )
    assert store.lock() == before


@pytest.mark.parametrize(
    ("asks", "force"),
    [(BESIDE, True), ({**BESIDE, "alive": ["7:2"]}, False), ({**BESIDE, "machine": "m2"}, False), ({}, False)],
)
def test_a_person_removes_that_of_a_run_that_is_dead_or_far_away_or_must_go(store, asks, force):
    held(store, "r1", machine="m1", process="7:1")
    assert locking.release(store, "", False, asks, force)["changed"]
    assert store.lock() is None


def test_a_run_gives_its_own_back_while_it_is_at_work(store):
    held(store, "r1", machine="m1", process="7:1")
    assert locking.release(store, "r1", False, BESIDE)["changed"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": "r1"}', "\x00\x00"])
def test_a_damaged_one_is_nobodys_and_only_a_person_removes_it(store, text):
    store.lock_path.write_text(text)
    damaged = f"The lock {store.lock_path} is damaged: ansible-playbook playbooks/unlock.yml removes it."
    assert refused(take, store, "r1")[0] == damaged
    assert refused(locking.renew, store, "r1", 900, False)[0] == damaged
    assert not locking.release(store, "r1", False)["changed"]
    assert store.lock_path.exists()
    assert locking.release(store, "", False) == {"changed": True, "released": "a run that its damaged file does not name"}
    assert take(store, "r1")["changed"]


def test_check_mode_only_looks(store, clock):
    assert take(store, "r1", check=True) == {"changed": True, "taken_over": ""}
    assert locking.renew(store, "r1", 900, True) == {"changed": False}
    assert store.lock() is None
    take(store, "r1")
    assert refused(take, store, "r2", BOB, check=True)[1] == {"holder": "r1"}


def _race(root, run, gate, results):
    gate.wait(20)
    try:
        results.put((run, locking.hold(Store(root), run, {"machine": run, "process": run}, [], 900.0, 0.0, False)["changed"]))
    except RolloutError as error:
        results.put((run, error.facts["holder"]))


@pytest.mark.parametrize("again", range(3))
def test_of_processes_that_race_one_wins(store, again):
    fork = multiprocessing.get_context("fork")
    runs = ["r1", "r2", "r3"]
    gate, results = fork.Barrier(len(runs)), fork.Queue()
    racers = [fork.Process(target=_race, args=(str(store.root), run, gate, results)) for run in runs]
    for racer in racers:
        racer.start()
    said = dict(results.get(timeout=30) for _racer in racers)
    for racer in racers:
        racer.join(30)
        assert racer.exitcode == 0
    (winner,) = [run for run, word in said.items() if word is True]
    assert store.lock()["run"] == winner
    assert {word for run, word in said.items() if run != winner} == {winner}


def test_unlock_removes_a_lock_that_is_no_text(tmp_path):
    store = Store(str(tmp_path))
    store.lock_path.write_bytes(b"\xff\xfe")
    assert locking.release(store, "", False)["changed"]


def test_the_lock_is_never_written_without_its_mutex(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    mutex = store.mutex
    monkeypatch.setattr(store, "mutex", lambda name, wait: mutex(name, 0.1))
    with mutex(".lock", 0), pytest.raises(RolloutError, match="Somebody has been changing the lock of this host for over 30 s"):
        locking.hold(store, "r1", {}, [], 900, 0, False)
    assert store.lock() is None

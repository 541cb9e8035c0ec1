from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain import lock
from ansible.module_utils.rollout.domain.lock import Clock
from hypothesis import given
from hypothesis import strategies as st

seconds = st.floats(0, 1e9)
clocks = st.builds(Clock, st.sampled_from(["boot1", "boot2"]), seconds)
NOW = Clock("boot1", 1000.0)
OWNER = {"user": "alice", "host": "laptop", "machine": "m1", "process": "7:1", "action": "rollout"}
AT = "2026-01-01T00:00:00Z"


def made(run="r1", ttl=900.0, ago=0.0, source="", **owner):
    return lock.document({**OWNER, **owner}, run, ttl, AT, Clock("boot1", 1000.0 - ago), source)


@pytest.mark.parametrize(
    ("mark", "now", "passed"),
    [
        (Clock("a", 10), Clock("a", 10), 0),
        (Clock("a", 10), Clock("a", 17.5), 7.5),
        (Clock("a", 10), Clock("a", 3), 0),
        (Clock("a", 10), Clock("b", 3), 3),
        (Clock("a", 1e6), Clock("b", 0), 0),
    ],
)
def test_elapsed(mark, now, passed):
    assert lock.elapsed(mark.mark(), now) == passed
    assert lock.left(mark.mark(), 10, now) == 10 - passed


@given(clocks, clocks, seconds)
def test_time_never_runs_backwards(mark, now, limit):
    passed = lock.elapsed(mark.mark(), now)
    assert passed >= 0
    assert lock.left(mark.mark(), limit, now) == limit - passed <= limit
    if mark.boot != now.boot:
        assert passed == now.seconds, "after a reboot time counts from the boot"


@given(clocks, seconds, seconds, seconds)
def test_what_is_over_stays_over(mark, limit, now, later):
    early, late = sorted((now, later))
    for boot in ("boot1", "boot2"):
        assert lock.left(mark.mark(), limit, Clock(boot, early)) >= lock.left(mark.mark(), limit, Clock(boot, late))


ASKING = {"machine": "m1", "process": "8:1"}


@pytest.mark.parametrize(
    ("found", "run", "owner", "alive", "word"),
    [
        (None, "r2", ASKING, [], lock.FREE),
        (made(), "r1", ASKING, [], lock.OWN),
        (made(ago=9999), "r1", ASKING, [], lock.OWN),
        (made(), "r2", ASKING, ["7:1", "8:1"], lock.HELD),
        (made(), "r2", ASKING, ["8:1"], lock.DEAD),
        # The same process id, but another process.
        (made(), "r2", ASKING, ["7:2"], lock.DEAD),
        # Another machine, or another boot of it: nobody can know.
        (made(), "r2", {"machine": "m2"}, [], lock.HELD),
        (made(machine=""), "r2", {"machine": ""}, [], lock.HELD),
        (made(ago=899.9), "r2", ASKING, ["7:1"], lock.HELD),
        (made(ago=900), "r2", ASKING, ["7:1"], lock.EXPIRED),
        (made(ago=900), "r2", {"machine": "m2"}, [], lock.EXPIRED),
    ],
)
def test_judge(found, run, owner, alive, word):
    assert lock.judge(found, run, owner, alive, NOW) == word


@given(
    st.none()
    | st.builds(made, st.sampled_from(["r1", "r2"]), seconds, st.floats(0, 1000), machine=st.sampled_from(["", "m1", "m2"])),
    st.sampled_from(["r1", "r2"]),
    st.sampled_from(["", "m1", "m2"]),
    st.lists(st.sampled_from(["7:1", "8:1"])),
    clocks,
)
def test_judge_of_anything(found, run, machine, alive, now):
    word = lock.judge(found, run, {"machine": machine}, alive, now)
    assert (word == lock.FREE) == (found is None)
    if found is None:
        return
    assert (word == lock.OWN) == (found["run"] == run)
    if word == lock.EXPIRED:
        assert lock.left(found["heartbeat"], found["ttl"], now) <= 0
    if word == lock.DEAD:
        assert machine == found["machine"] != ""
        assert "7:1" not in alive


@pytest.mark.parametrize(
    ("machine", "alive", "dead"),
    [("m1", [], True), ("m1", ["7:2"], True), ("m1", ["7:1"], False), ("m2", [], False), ("", [], False)],
)
def test_dead(machine, alive, dead):
    assert lock.dead(made(ago=9999), {"machine": machine}, alive) is dead
    assert lock.dead(made(machine=""), {"machine": machine}, alive) is False
    assert lock.dead({}, {"machine": machine}, alive) is False


@pytest.mark.parametrize(
    ("machine", "alive", "process"),
    [("m1", ["7:1", "9:9"], "7"), ("m1", ["7:2"], ""), ("m1", [], ""), ("m2", ["7:1"], ""), ("", ["7:1"], "")],
)
def test_who_is_at_work_is_seen_from_the_same_machine_alone(machine, alive, process):
    assert lock.at_work(made(ago=9999), {"machine": machine}, alive) == process
    assert lock.at_work(made(machine=""), {"machine": machine}, alive) == ""
    assert lock.at_work({}, {"machine": machine}, alive) == ""


def test_a_reboot_counts_from_the_boot():
    found = made(ttl=60)
    assert not lock.expired(found, Clock("boot2", 59))
    assert lock.expired(found, Clock("boot2", 60))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["run", "ttl", "heartbeat", "boot", "clock"]) | st.text(), inner)
    ),
    max_leaves=8,
)


@given(values)
def test_whole_takes_anything_that_json_can_be(found):
    assert lock.whole(json.loads(json.dumps(found))) in (True, False)


@given(st.builds(made, st.text(min_size=1), seconds, st.floats(0, 1000), st.text(), user=st.text()))
def test_what_is_written_is_whole_when_it_is_read(found):
    assert lock.whole(json.loads(json.dumps(found)))


@pytest.mark.parametrize(
    ("change", "whole"),
    [
        ({}, True),
        ({"run": ""}, False),
        ({"ttl": "soon"}, False),
        ({"ttl": -1}, False),
        ({"ttl": float("nan")}, False),
        ({"heartbeat": None}, False),
        ({"heartbeat": {"boot": "", "clock": 1}}, False),
        ({"heartbeat": {"boot": "b", "clock": -1}}, False),
        ({"heartbeat": {"boot": "b"}}, False),
    ],
)
def test_whole(change, whole):
    assert lock.whole({**made(), **change}) is whole
    assert not any(lock.whole(other) for other in (None, [], "x", 1, {}))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (made(source="192.0.2.7"), f"run r1 (rollout) of alice@laptop from 192.0.2.7, since {AT}"),
        (made(), f"run r1 (rollout) of alice@laptop, since {AT}"),
        ({"run": "r1"}, "run r1 of ?@?, since ?"),
    ],
)
def test_who(found, words):
    assert lock.who(found) == words


def test_the_refusal_says_who_from_where_since_when_how_long_and_what_to_do():
    assert str(lock.refusal(made(ago=30, source="192.0.2.7"), NOW)) == (
        "Another run holds the lock: run r1 (rollout) of alice@laptop from 192.0.2.7, since 2026-01-01T00:00:00Z. Its last sign of "
        "life was 30 s ago; the lock expires in 14 min unless that run renews it. Wait for it (-e rollout_lock_wait=600), or if you know "
        "that it is dead: ansible-playbook playbooks/unlock.yml"
    )


@pytest.mark.parametrize(
    ("how", "why"),
    [(lock.DEAD, "its process is dead"), (lock.EXPIRED, "it gave no sign of life until its lock expired")],
)
def test_taken_over(how, why):
    assert lock.taken_over(made(), how) == (f"The lock of run r1 (rollout) of alice@laptop, since {AT}, was taken over: {why}.")


def test_an_owner_whose_process_is_unknown_is_not_dead():
    found = lock.document({"machine": "m", "process": ""}, "r1", 900, "t", lock.Clock("b", 10))
    assert lock.judge(found, "r2", {"machine": "m"}, [], lock.Clock("b", 10)) == lock.HELD


def test_a_number_too_large_is_no_lock():
    assert not lock.whole({"run": "r", "since": "t", "ttl": 10**400, "heartbeat": {"boot": "b", "clock": 1}})

from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.io.store import Store

OWNER = {"user": "alice", "host": "laptop", "action": "rollout"}


@pytest.fixture
def lock(run, tmp_path):
    def call(run_id, check=False, /, **arguments):
        return run("lock", check, root=str(tmp_path / "state"), application="app", run=run_id, **arguments)

    return call


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "state"))


def test_taken_renewed_and_given_back(lock, store):
    assert lock("r1", owner=OWNER, ttl=60)["changed"]
    assert store.lock()["ttl"] == 60
    again = lock("r1", owner=OWNER)
    assert (again["changed"], again["taken_over"]) == (False, "")
    assert not lock("r1", state="renewed")["changed"]
    given = lock("r1", state="released")
    assert given["changed"]
    assert given["released"].startswith("run r1 (rollout) of alice@laptop, since ")
    assert store.lock() is None


def test_the_second_is_refused_and_told_who(lock, store):
    lock("r1", owner=OWNER)
    result = lock("r2", owner={"user": "bob", "alive": [7]})
    assert (result["failed"], result["holder"]) == (True, "r1")
    assert result["msg"].startswith("Another run holds the lock: run r1 (rollout) of alice@laptop, since ")
    assert not lock("r2", state="released")["changed"]
    assert store.lock()["run"] == "r1"
    assert lock("r2", state="renewed")["fenced"] == "run"


def test_a_dead_owner_is_taken_over(lock, store):
    lock("r1", owner={**OWNER, "machine": "m", "process": "7:1"})
    result = lock("r2", owner={"machine": "m", "process": "8:1", "alive": ["8:1"]})
    assert result["taken_over"].endswith(", was taken over: its process is dead.")
    assert store.lock()["run"] == "r2"


@pytest.mark.parametrize("state", ["held", "renewed", "released"])
def test_check_mode_writes_nothing(lock, store, state):
    assert not lock("r1", True, state=state).get("failed")
    assert not store.root.exists()


def test_a_person_removes_even_a_damaged_one(lock, store):
    store.require_writable()
    store.lock_path.write_text(json.dumps({"run": "r1"}))
    assert lock("r1")["msg"] == (f"The lock {store.lock_path} is damaged: ansible-playbook playbooks/unlock.yml removes it.")
    assert lock("")["msg"].startswith("The lock ")
    assert not lock("r1", state="released")["changed"]
    assert lock("", state="released")["changed"]
    assert not store.lock_path.exists()

"""Several stacks of a host at once, or one after another."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs.together import together
from story import held

# Longer than any test takes: who waits so long waits for what does not come.
LONG_S = 20


def phase(name, begin, end):
    return {"phase": name, "service": "", "detail": "", "from": begin, "to": end, "good": True}


def result(stack, clock=1.0, changed=False):
    return {
        "changed": changed,
        "services": [stack],
        "phases": [phase(stack, 0.0, clock), phase("open", 0.5, None)],
        "clock": clock,
    }


def until_fenced(store):
    for _ in range(LONG_S * 100):
        store.fence()
        threading.Event().wait(0.01)


@pytest.fixture
def store(tmp_path):
    found = Store(str(tmp_path / "state"))
    held(found, "r1")
    return found


def test_at_once_each_begins_before_the_other_ends(store):
    barrier = threading.Barrier(2, timeout=LONG_S)

    def one(_store, stack):
        barrier.wait()
        return result(stack, {"a": 1.0, "b": 3.0}[stack], stack == "b")

    found = together(one, store, ["a", "b"], True)
    assert (found["changed"], found["services"], found["clock"]) == (True, ["a", "b"], 3.0)
    assert [(p["from"], p["to"]) for p in found["phases"]] == [(0.0, 1.0), (0.5, None), (0.0, 3.0), (0.5, None)]


def test_one_after_another_the_second_clock_begins_where_the_first_one_ended(store):
    seen = []
    found = together(lambda _store, stack: seen.append(stack) or result(stack, 1.5), store, ["b", "a"], False)
    assert seen == found["services"] == ["b", "a"]
    assert [(p["from"], p["to"]) for p in found["phases"]] == [(0.0, 1.5), (0.5, None), (1.5, 3.0), (2.0, None)]
    assert (found["changed"], found["clock"]) == (False, 3.0)


def test_one_after_another_nothing_comes_behind_a_failure(store):
    seen = []

    def one(_store, stack):
        seen.append(stack)
        raise RolloutError("no")

    with pytest.raises(RolloutError, match=r"^no$"):
        together(one, store, ["a", "b"], False)
    assert seen == ["a"]


def test_a_failure_halts_the_others_and_is_the_one_that_is_told(store):
    ended = []

    def one(part, stack):
        if stack == "b":
            raise RolloutError("b does not pass", service="b", phases=[phase("health", 0.0, 1.0)])
        with pytest.raises(RolloutError) as halted:
            until_fenced(part)
        ended.append(str(halted.value))
        raise RolloutError(str(halted.value), phases=[phase("stop", 0.0, 0.5)])

    with store.step("r1"), pytest.raises(RolloutError) as error:
        together(one, store, ["a", "b"], True)
    assert str(error.value) == "b does not pass"
    assert ended == ["It was left as it is, because another stack of this host failed."]
    assert [p["phase"] for p in error.value.facts["phases"]] == ["health", "stop"]
    # The step itself goes on: it has its ledger to write.
    store.fence()


def test_a_defect_in_one_of_them_is_raised_as_it_is(store):
    def one(_store, stack):
        raise KeyError(stack)

    with pytest.raises(KeyError):
        together(one, store, ["a", "b"], True)


def test_entries_of_several_threads_are_numbered_one_after_another(store):
    with store.step("r1"), ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.halting(threading.Event()).append("switching", "r1", service=str(n)), range(40)))
    ledger = store.ledger()
    assert ledger.last_seq == 40
    assert not ledger.torn
    assert sorted(int(entry["service"]) for entry in ledger.open) == list(range(40))

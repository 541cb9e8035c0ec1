from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain import drain
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.domain.gate import MODES, Drain
from hypothesis import given
from hypothesis import strategies as st

STOP, BUSY = "http://127.0.0.1:8000/workers/w/drain", "http://127.0.0.1:8000/workers/w"
WHERE = "f.yml: x-rollout.web.drain"


def answer(*operations, status=200):
    return Answer(STOP, status, operations=operations)


SILENT = Answer(STOP, None, reason="connection refused")


@pytest.mark.parametrize("default", MODES)
@pytest.mark.parametrize("own", ["", *MODES])
def test_the_gate_decides_then_the_run_and_on_the_way_back_nobody_waits(own, default):
    assert drain.mode(Drain(STOP, mode=own), default, True) == (own or default)
    assert drain.mode(Drain(STOP, mode=own), default, False) == "checkpoint"


@pytest.mark.parametrize(
    ("looks", "states"),
    [
        ([(0, answer())], ["idle"]),
        ([(0, answer("a")), (5, answer("a")), (6, answer())], ["busy", "busy", "idle"]),
        ([(0, answer("a")), (9.9, answer("a")), (10, answer("a"))], ["busy", "busy", "fail"]),
        ([(10, answer())], ["idle"]),
        ([(0, SILENT), (4.9, SILENT), (5, answer())], ["busy", "busy", "idle"]),
        ([(0, SILENT), (4, answer("a")), (6, SILENT), (10, SILENT)], ["busy", "busy", "busy", "fail"]),
        ([(0, SILENT), (5, SILENT)], ["busy", "fail"]),
        ([(0, answer("a")), (1, Answer(STOP, 200)), (6, Answer(STOP, 200))], ["busy", "busy", "fail"]),
        ([(0, answer("a", status=404)), (5, answer("a", status=404))], ["busy", "fail"]),
    ],
)
def test_the_wait(looks, states):
    one = drain.Wait(Drain(STOP), 10, 0)
    assert [one.look(said, now) for now, said in looks] == states


@given(st.lists(st.tuples(st.floats(0, 20), st.sampled_from([answer(), answer("a"), SILENT])), max_size=30), st.floats(0, 20))
def test_the_wait_ends_in_time_and_is_idle_only_if_told_so(looks, timeout):
    one = drain.Wait(Drain(STOP, timeout=timeout), 999, 0)
    for now, said in sorted(looks, key=lambda look: look[0]):
        state = one.look(said, now)
        assert (state == "idle") == (said == answer())
        assert state != "busy" or now < timeout
        assert state != "fail" or one.why


MENDED = "Fix that URL, or do not wait: -e rollout_drain=checkpoint"


@pytest.mark.parametrize(
    ("asked", "said", "why"),
    [
        (
            Drain(STOP),
            answer("a", "b"),
            "12 s after it was told to take no more work it still does 2 operations (a, b). Raise rollout_drain_timeout, or let "
            "its work be checkpointed: -e rollout_drain=checkpoint",
        ),
        (
            Drain(STOP, mode="wait", timeout=12),
            answer("a"),
            "12 s after it was told to take no more work it still does 1 operation (a). Raise the timeout in the drain of its "
            "gate, or let its work be checkpointed: mode: checkpoint in the drain of its gate",
        ),
        (Drain(STOP), SILENT, f"cannot tell whether it is idle: {STOP} does not answer (connection refused). {MENDED}"),
        (
            Drain(STOP),
            Answer(STOP, 404, reason="worker w is not registered"),
            f"cannot tell whether it is idle: {STOP} answers HTTP 404 worker w is not registered. {MENDED}",
        ),
        (
            Drain(STOP),
            Answer(STOP, 200),
            f"cannot tell whether it is idle: {STOP} answers without a list 'operations'. {MENDED}",
        ),
        (
            Drain(STOP),
            Answer(STOP, 200, cut="its answer is longer than 64 KiB"),
            f"cannot tell whether it is idle: {STOP} answers without a list 'operations': its answer is longer than 64 KiB. {MENDED}",
        ),
    ],
)
def test_why_a_wait_failed(asked, said, why):
    one = drain.Wait(asked, 12, 0)
    assert one.look(said, 12) == "fail"
    assert one.why == why


@pytest.mark.parametrize(
    ("how", "first", "text"),
    [
        ("wait", answer("a"), "waited 12 s for 1 operation"),
        ("checkpoint", answer("a", "b"), "waited 12 s for 2 operations to end or be checkpointed"),
        ("wait", answer(), ""),
        ("checkpoint", answer(), ""),
        ("checkpoint", Answer(STOP, 200), ""),
        (
            "checkpoint",
            SILENT,
            f"was not told to take no more work: {STOP} does not answer (connection refused). It was stopped all the same",
        ),
        ("force", None, "stopped by force"),
    ],
)
def test_what_is_told(how, first, text):
    assert drain.told(how, first, 12.3) == text


@pytest.mark.parametrize(
    ("operations", "text"),
    [(("a",), "1 operation (a)"), (("a", "b", "c"), "3 operations (a, b, c)"), (tuple("abcd"), "4 operations (a, b, c, …)")],
)
def test_operations_are_named(operations, text):
    assert drain.named(operations) == text

from __future__ import annotations

import re

import pytest
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.io import http
from ansible.module_utils.rollout.io.store import Store
from story import OLD, STOP, draining, failure, held
from story import stack as text_of


def from_a_to_b(host, how="checkpoint", seconds=300.0, back=False, **keys):
    """Switch from release a to b; what the service's row tells of the drain."""
    host.rollout("a", text=draining("a", **keys))
    name = host.staged("b", text=draining("b", **keys))
    host.engine.calls = []
    result = (host.bring_back if back else host.bring)(name, "run-b", drain_mode=how, drain_s=seconds)
    return next(s["drain"] for s in result["services"] if s["service"] == "web")


def test_waiting_until_a_service_is_idle(host, work, clock):
    work.at_hand = [("op-1",)] * 5 + [()]
    said = from_a_to_b(host, "wait")
    assert re.fullmatch(r"waited \d s for 1 operation", said)
    assert work.told == [True] * 6
    assert work.after == [[]] * 6, "it was not stopped before"
    assert host.engine.touched == ["stop web", "up web recreate"]


def test_what_a_drain_tells_has_no_secrets(host, work, clock, told):
    work.at_hand = [("as-canary-b",)] * 3 + [()]
    from_a_to_b(host, "wait")
    drained = [facts["waiting_for"] for facts in told if facts["step"] == "drain"]
    assert drained
    assert all("as-********" in one and "canary" not in one for one in drained)


def test_a_service_that_stays_busy_is_left_alone(host, work, clock):
    work.at_hand = [("op-1",)]
    sentence, facts = failure(from_a_to_b, host, "wait", 12.0)
    assert sentence == (
        "Service web (stack core), which still runs sha-aaaaaaa, was not replaced: 12 s after it was told to take no more work it "
        "still does 1 operation (op-1). Raise rollout_drain_timeout, or let its work be checkpointed: -e rollout_drain=checkpoint. "
        "It was left running and takes work again."
    )
    assert (facts["gate"], facts["service"], facts["release"]) == ("drain", "web", "sha-aaaaaaa")
    assert work.told[-2:] == [True, False]
    assert host.engine.touched == []
    # The way back finds it as it was, and makes sure.
    back = host.bring_back("sha-aaaaaaa", "run-b")
    assert not back["changed"]
    assert work.told[-1] is False


def test_a_service_that_cannot_be_asked(host, work, clock):
    work.at_hand = [Answer(STOP, None, reason="connection refused")]
    sentence, facts = failure(from_a_to_b, host, "wait")
    assert f"cannot tell whether it is idle: {STOP} does not answer (connection refused)." in sentence
    assert sentence.endswith(f"It could not be told to take work again: {STOP} does not answer (connection refused). Restart it.")
    assert facts["gate"] == "drain"
    assert 5 <= clock.time < 7, "not its whole timeout"


@pytest.mark.parametrize(
    ("at_hand", "said"),
    [
        ((), ""),
        (("op-1",), "waited 0 s for 1 operation to end or be checkpointed"),
        (
            Answer(STOP, 404, reason="unknown"),
            f"was not told to take no more work: {STOP} answers HTTP 404 unknown. It was stopped all the same",
        ),
    ],
)
def test_a_checkpoint_stops_the_intake_and_then_the_container(host, work, at_hand, said):
    work.at_hand = [at_hand]
    assert from_a_to_b(host) == said
    assert (work.told, work.after) == ([True], [[]])
    assert host.engine.touched == ["stop web", "up web recreate"]


def test_force_asks_nobody(host, work):
    assert from_a_to_b(host, "force") == "stopped by force"
    assert work.told == []
    assert host.engine.touched == ["stop web in 1 s", "up web recreate"]


@pytest.mark.parametrize("mode", ["wait", "force"])
def test_the_way_back_waits_for_nobody_and_forces_nobody(host, work, mode):
    work.at_hand = [("op-1",)]
    assert from_a_to_b(host, "checkpoint", mode=mode, back=True) == "waited 0 s for 1 operation to end or be checkpointed"


def test_what_a_gate_says_of_its_drain_wins(host, work, clock):
    work.at_hand = [("op-1",)]
    sentence, _facts = failure(lambda: from_a_to_b(host, "checkpoint", 1000.0, mode="wait", timeout=7))
    assert "7 s after it was told to take no more work" in sentence


def test_another_url_says_what_is_at_hand(host, work, answers):
    url = "http://127.0.0.1:8000/workers/web"
    answers[:] = [Answer(url, 200, operations=("op-1",)), Answer(url, 200, operations=())]
    assert from_a_to_b(host, "wait", busy=url).endswith("for 1 operation")
    assert work.told == [True, True]


@pytest.mark.parametrize("status", ["exited", "restarting", "paused"])
def test_what_does_not_run_is_not_drained(host, work, status):
    host.rollout("a", text=draining("a"))
    name = host.staged("b", text=draining("b"))
    next(c for c in host.engine.made if c["Id"] == host.engine.running()["web"])["State"]["Status"] = status
    host.bring(name)
    assert work.told == []


def test_neither_check_mode_nor_what_stays_drains(host, work):
    host.rollout("a", text=draining("a"))
    host.bring("sha-aaaaaaa", "later")
    host.look(host.staged("b", text=draining("b")))
    assert work.told == []


def test_a_drain_comes_before_the_card_is_freed(host, card, work, clock):
    gate = {"torch": "cuda", "drain": {"stop": STOP}}
    host.rollout("a", text=text_of("sha-aaaaaaa", ("web",), **gate))
    name = host.staged("b", text=text_of("sha-bbbbbbb", ("web",), **gate))
    card.holders, host.engine.calls = [[OLD], []], []
    host.bring(name)
    assert work.after == [[]]
    assert host.engine.touched == ["stop web", "up web recreate"]


@pytest.mark.parametrize("heard", [True, False])
def test_an_interrupted_run_that_left_a_service_draining_is_undone(host, work, heard):
    host.rollout("a", text=draining("a"))
    host.staged("b", text=draining("b"))
    host.store.append("switching", "run-b", name="sha-bbbbbbb", release="sha-bbbbbbb", stack="core", service="web")
    work.at_hand = [() if heard else Answer(STOP, 503, reason="no database")]
    (row,) = [s for s in host.bring("sha-aaaaaaa", "run-c")["services"] if s["service"] == "web"]
    assert work.told == [False]
    assert row["action"] == "keep"
    # Whether it heard it, settling finds out.
    assert row["drain"] == ""


def test_waiting_ends_when_the_run_loses_the_lock(host, work):
    host.rollout("a", text=draining("a"))
    name = host.staged("b", text=draining("b"))
    held(host.store, "run-b")
    work.at_hand = [("op-1",)]
    other, tell = Store(str(host.store.root)), work.tell

    def tell_and_lose(url, document):
        held(other, "run-x", user="eve", host="desk")
        return tell(url, document)

    http.tell = tell_and_lose
    with host.store.step("run-b"):
        _sentence, facts = failure(lambda: host.bring(name, "run-b", drain_mode="wait"))
    assert facts == {"fenced": "run"}
    assert work.told == [True]
    assert "stop web" not in host.engine.touched

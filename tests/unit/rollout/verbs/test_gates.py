from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import deployment
from story import URL, failure, held
from story import stack as text_of


def test_check_mode_holds_the_gates_of_what_stays(host, answers):
    answers[:] = [Answer(URL, 200, "sha-aaaaaaa")]
    text = text_of("sha-aaaaaaa", ("web",), health=[URL])
    host.rollout("a", text=text)
    assert not host.look("sha-aaaaaaa")["changed"]
    answers[:] = [Answer(URL, 503, None, "no database")]
    sentence, facts = failure(host.look, "sha-aaaaaaa")
    assert f"{URL}: HTTP 503 no database" in sentence
    assert facts["gate"] == "health"


def test_a_gate_that_does_not_hold(host, answers, clock):
    answers[:] = [Answer(URL, None, None, "connection refused")] * 3 + [Answer(URL, 200, "sha-0000000")]
    name = host.staged("a", text=text_of("sha-aaaaaaa", ("web",), health=[URL], deadline=9))
    sentence, facts = failure(host.bring, name)
    assert sentence == (
        "Service web (stack core) does not pass on sha-aaaaaaa: after 9 s (its deadline is 9 s) it still waits for "
        f"{URL} to name sha-aaaaaaa (it names sha-0000000)."
    )
    assert facts == {"service": "web", "stack": "core", "gate": "health", "release": "sha-aaaaaaa", "log": "the last line"}
    assert host.events()[-1] == ("switching", "web"), "not switched: the run is still open"
    assert host.store.ledger().interrupted["service"] == "web"


def test_a_gate_waits_for_a_slow_start(host, answers):
    answers[:] = [Answer(URL, None, None, "connection refused")] * 30 + [Answer(URL, 200, "sha-aaaaaaa")]
    name = host.staged("a", text=text_of("sha-aaaaaaa", ("web",), health=[URL], deadline=60, successes=3, window=1))
    result = host.bring(name)
    seconds = {s["service"]: s["seconds"] for s in result["services"]}
    assert 1 < seconds["web"] < 60


def test_a_gate_tells_what_it_waits_for(host, answers, told):
    answers[:] = [Answer(URL, 503, None, "starting"), Answer(URL, 200, "sha-aaaaaaa")]
    name = host.staged("a", text=text_of("sha-aaaaaaa", ("web",), False, health=[URL], deadline=60, successes=2))
    told.clear()
    host.bring(name)
    waited = {"step": "gate", "what": "web", "deadline": 60.0}
    assert told == [
        {**waited, "waiting_for": f"{URL}: HTTP 503 starting", "elapsed": 0.0},
        {**waited, "waiting_for": "2 good answers in a row", "elapsed": 0.0},
    ]


def test_of_gates_that_wait_together_one_is_told_of(host, answers, told):
    # Told of each in turn, whoever writes it down would write it anew each time.
    answers[:] = [Answer(URL, 503, None, "starting")] * 6 + [Answer(URL, 200, "sha-aaaaaaa")]
    name = host.staged("a", text=text_of("sha-aaaaaaa", ("web", "job"), False, health=[URL], deadline=60))
    told.clear()
    host.bring(name)
    assert [facts["what"] for facts in told] == ["web"] * 3


def test_what_holds_at_once_has_nothing_to_tell(host, told):
    name = host.staged("a", text=text_of("sha-aaaaaaa", database=False))
    told.clear()
    host.bring(name)
    assert told == []


def test_what_a_gate_tells_has_no_secrets(host, answers, told):
    answers[:] = [Answer(URL, 503, None, "no access: postgresql://app:canary-a@db"), Answer(URL, 200, "sha-aaaaaaa")]
    name = host.staged("a", text=text_of("sha-aaaaaaa", ("web",), False, health=[URL], deadline=60))
    host.bring(name)
    assert told[-1]["waiting_for"] == f"{URL}: HTTP 503 no access: postgresql://app:********@db"


@pytest.mark.parametrize(
    ("state", "what"),
    [
        ({"Status": "exited", "ExitCode": 3}, "it ended with exit status 3 (exited)"),
        ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, "it was killed: out of memory"),
        ({"Status": "restarting", "ExitCode": 1}, "it ended with exit status 1 (restarting)"),
        ({"restarts": 4}, "it crashed and was restarted 4 times"),
    ],
)
def test_a_crash_fails_at_once(host, clock, state, what):
    host.engine.broken = {"web": state}
    name = host.staged("a", text=text_of("sha-aaaaaaa", deadline=9999))
    sentence, facts = failure(host.bring, name)
    assert sentence == f"Service web (stack core) does not pass on sha-aaaaaaa: {what}."
    assert facts["gate"] == "container"
    assert facts["log"] == "the last line"
    assert clock.time < 10


def test_another_image_than_the_released_one_fails(host, monkeypatch):
    name = host.staged("a")
    monkeypatch.setattr(deployment, "image_ids", lambda *_given: {"r/web:sha-aaaaaaa": "sha256:" + "f" * 64})
    sentence, _facts = failure(host.bring, name)
    assert "it runs image sha256:1aaaaaaaaaaa, not the released sha256:ffffffffffff" in sentence


def test_an_old_crash_of_a_container_that_stays_does_not_matter_but_one_of_this_run_does(host):
    host.rollout("a")
    next(c for c in host.engine.made if c["Id"] == host.engine.running()["web"])["RestartCount"] = 2
    host.look("sha-aaaaaaa", "later")
    host.store.append("switching", "later", name="sha-aaaaaaa", release="sha-aaaaaaa", stack="core", service="web")
    sentence, _facts = failure(host.look, "sha-aaaaaaa", "later")
    assert "it crashed and was restarted 2 times" in sentence


def test_a_gate_ends_when_the_run_loses_the_lock(host, answers):
    answers[:] = [Answer(URL, None, None, "connection refused")]
    name = host.staged("a", text=text_of("sha-aaaaaaa", ("web",), health=[URL], deadline=9999))
    held(host.store, "run-a")
    other = Store(str(host.store.root))
    real = host.engine.inspect

    def inspect(kind, names):
        if "up web create" in host.engine.calls:
            held(other, "run-x", user="eve", host="desk")
        return real(kind, names)

    host.engine.inspect = inspect
    with host.store.step("run-a"):
        sentence, facts = failure(host.bring, name, "run-a")
    assert sentence.startswith("Run run-a no longer holds the lock of this host: run run-x of eve@desk, since ")
    assert facts == {"fenced": "run"}
    assert host.events()[-1] == ("switching", "web")

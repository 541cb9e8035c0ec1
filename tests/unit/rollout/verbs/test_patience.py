from __future__ import annotations

import contextlib

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import clock
from ansible.module_utils.rollout.io.docker_api import Events
from ansible.module_utils.rollout.verbs import patience
from story import actions, failure, held
from story import stack as text_of

GONE = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@pytest.fixture
def engine(host, monkeypatch):
    """The engine of the host, which answers again once ``host.back`` has been asked so often."""
    host.back = 0

    def answers():
        host.back -= 1
        return host.back < 0

    monkeypatch.setattr(host.engine, "answers", answers)
    return host.engine


def patiently(host, act):
    return patience.patient(host.store, host.engine, act)


@pytest.mark.parametrize("call", ["up web", "stop", "rm"])
@pytest.mark.parametrize("verb", ["bring", "bring_back"])
def test_an_engine_that_is_away_for_a_while_is_waited_for(host, engine, passing, told, verb, call):
    host.rollout("a")
    # One service is new, one goes: something is started, stopped and removed.
    name = host.staged("b", text=text_of("sha-bbbbbbb", ("web", "job") if call == "up web" else ("web",)))
    host.back, host.engine.fail = 20, {call: GONE}
    passing.append(host.engine.fail.clear)
    with host.store_at_work("run"):
        result = patiently(host, lambda: getattr(host, verb)(name))
    assert actions(result)["web"] in ("recreate", "keep")
    assert {c["Config"]["Image"].partition(":")[0] for c in host.engine.made} >= {"r/web"}
    assert all(c["State"]["Status"] == "running" for c in host.engine.made)
    waits = [facts for facts in told if facts.get("step") == "engine"]
    assert waits[0] == {"step": "engine", "what": "engine", "waiting_for": "its answer", "elapsed": 0.0, "deadline": 120.0}
    assert waits[-1]["elapsed"] == 9.5


def test_one_that_stays_away_is_not_waited_for_longer_than_that(host, engine, passing):
    host.rollout("a")
    host.back, host.engine.fail = 10**6, {"up web": GONE}
    began = clock.monotonic()
    sentence, _facts = failure(patiently, host, lambda: host.bring(host.staged("b")))
    assert sentence == f"Starting web and job failed: {GONE}"
    assert patience.ENGINE_S <= clock.monotonic() - began < patience.ENGINE_S + 5


def test_one_that_goes_again_and_again_is_not_waited_for_for_ever(host, engine, passing):
    calls = []

    def act():
        calls.append(1)
        raise RolloutError("The Docker engine went.", away=True)

    assert failure(patiently, host, act)[0] == "The Docker engine went."
    assert len(calls) == patience.TIMES + 1


def test_what_is_wrong_with_the_release_is_not_tried_again(host, engine, passing):
    host.rollout("a")
    host.engine.fail = {"up web": "driver failed: port is already allocated"}
    name, host.engine.calls = host.staged("b"), []
    assert "port is already allocated" in failure(patiently, host, lambda: host.bring(name))[0]
    assert [c for c in host.engine.calls if c.startswith("up")] == ["up web job recreate"]


def test_a_run_that_loses_its_lock_meanwhile_waits_no_longer(host, engine, passing):
    host.back, host.engine.fail = 10**6, {"up web": GONE}
    name = host.staged("a")
    with host.store_at_work("run"):
        passing.append(lambda: held(host.store, "another"))
        sentence, facts = failure(patiently, host, lambda: host.bring(name))
    assert "another" in sentence
    assert facts["fenced"] == "run"


@contextlib.contextmanager
def ending(ended):
    """The engine's events, as if the engine had ended meanwhile."""
    events = Events(None)
    events.ended = ended
    yield events


def test_an_engine_that_ends_whenever_gates_are_held(host, engine, passing, monkeypatch):
    monkeypatch.setattr(host.engine, "events", lambda project: ending(True))
    name = host.staged("a", text=text_of("sha-aaaaaaa", deadline=60.0))
    host.engine.broken = {"web": {"Health": {"Status": "starting"}}}
    sentence, facts = failure(patiently, host, lambda: host.bring(name))
    assert sentence == (
        "The Docker engine ended while gates were held, again and again. Look at its log: journalctl --unit docker."
    )
    assert facts["away"]


def test_gates_that_lose_the_engine_are_held_again_in_full(host, engine, passing, monkeypatch):
    """A container that the run itself has made is not one that ran all along."""
    host.rollout("a")
    name = host.staged("b", text=text_of("sha-bbbbbbb", deadline=60.0))
    streams = iter([True, False])
    monkeypatch.setattr(host.engine, "events", lambda project: ending(next(streams)))
    host.engine.broken = {"web": {"Health": {"Status": "starting"}}}

    def healthy():
        for found in host.engine.made:
            found["State"].pop("Health", None)

    passing += [lambda: None, healthy]
    result = patiently(host, lambda: host.bring(name))
    assert actions(result)["web"] == "keep"
    assert [p["service"] for p in result["phases"] if p["phase"] == "health"] == ["web", "job"]

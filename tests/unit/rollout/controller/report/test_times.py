from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.module_utils.rollout.controller.report import times as run_times

STAGE, BACKEND, WORKERS = "Stage on every host", "Switch the backend", "Switch the CPU workers"


@pytest.fixture
def clock(monkeypatch):
    made = SimpleNamespace(now=100.0)
    monkeypatch.setattr(run_times.time, "monotonic", lambda: made.now)
    monkeypatch.setattr(run_times.time, "time", lambda: 1_767_225_600.0)  # 2026-01-01T00:00:00Z
    return made


@pytest.fixture
def times(clock):
    """What is known of plays and their steps: ten seconds into each play, five for each step."""

    def told(*plays):
        made = run_times.Times()
        for play, *steps in plays:
            clock.now += 10.0
            made.play(play)
            for content, *host in steps:
                clock.now += 5.0
                made.step(*(host or ["h1"]), content)
        clock.now += 2.0
        return made.known()

    return told


def phases(*names, service="web", good=True, **more):
    """What a module returns that took 4 s, one for each phase."""
    steps = [
        {"phase": name, "service": service, "detail": "", "from": float(n), "to": n + 1.0, "good": good}
        for n, name in enumerate(names)
    ]
    return {"phases": steps, "clock": 4.0, **more}


def test_waves_and_steps(times):
    found = times((STAGE, [phases("stage", "pull", service="")]), (BACKEND, [phases("stop", "start", "health")]))
    assert (found["started"], found["seconds"]) == ("2026-01-01T00:00:00Z", 32.0)
    assert found["waves"] == [{"name": "stage", "from": 10.0, "to": 25.0}, {"name": "backend", "from": 25.0, "to": 32.0}]
    assert [(e["service"], e["phase"], e["from"], e["to"]) for e in found["events"]] == [
        (None, "stage", 11.0, 12.0),
        (None, "pull", 12.0, 13.0),
        ("web", "stop", 26.0, 27.0),
        ("web", "start", 27.0, 28.0),
        ("web", "health", 28.0, 29.0),
    ]


def test_a_run_that_failed(times):
    found = times((BACKEND, [phases("stop", "start", good=False, msg="no")]), ("Revert", [phases("start")]))
    assert [(e["phase"], e["good"]) for e in found["events"]] == [("stop", False), ("start", False), ("revert", True)]
    assert [wave["name"] for wave in found["waves"]] == ["backend", "revert"]


def test_a_preview_has_no_times(times):
    found = times((STAGE, [phases("stage", preview={"services": []})]))
    assert (found["waves"], found["events"]) == ([], [])


def test_waves_are_plays_in_which_a_host_did_something(times):
    batch = (WORKERS, [phases("stop"), "w1"])
    kept = ("Switch the GPU workers", [{"services": [], "phases": [], "clock": 0.1}])
    staged = (STAGE, [phases("stage")])
    found = times(("Plan the rollout",), staged, (BACKEND,), batch, batch, kept, ("Settle",), ("Report",))
    assert [(wave["name"], wave["from"], wave["to"]) for wave in found["waves"]] == [
        ("stage", 20.0, 35.0),
        ("cpu_workers", 45.0, 60.0),
        ("cpu_workers", 60.0, 75.0),
    ]


def test_what_is_known_may_be_asked_again(times, clock):
    made = run_times.Times()
    made.play(STAGE)
    made.step("h1", phases("stage"))
    assert made.known() == made.known()


@pytest.mark.parametrize(
    ("began", "ended", "theirs", "found"),
    [
        (0.0, None, 4.0, (11.0, 15.0)),
        (-1e18, 1e18, 4.0, (0.0, 15.0)),
        (1e18, -1e18, 4.0, (0.0, 0.0)),
        (1.0, 2.0, -1e18, (15.0, 15.0)),
        (1.0, 2.0, 1e18, (0.0, 0.0)),
    ],
)
def test_whatever_clock_a_host_has_a_phase_lies_in_the_run(times, began, ended, theirs, found):
    said = phases("stop")
    said["phases"][0].update({"from": began, "to": ended})
    (event,) = times((BACKEND, [{**said, "clock": theirs}]))["events"]
    assert (event["from"], event["to"]) == found

"""What may write is stopped before a job that is not compatible."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.io import http
from ansible.module_utils.rollout.verbs import jobs, quiet
from story import STOP, Host, failure, held, stack, with_job


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path / "state")


def stable(host, gates=None, names=("web", "reader")):
    """Release a runs with these services and a database."""
    document = json.loads(stack("sha-aaaaaaa", names))
    for name, gate in (gates or {}).items():
        document["x-rollout"].setdefault(name, {}).update(gate)
    host.rollout("a", text=json.dumps(document))


def quiesce(host, arm=lambda: None, run="run-b", **policy):
    one = host.deployment(host.staged("b", text=with_job("sha-bbbbbbb")), run, **policy)
    before = len(host.engine.calls)
    done = jobs.told([one], lambda: quiet.quiesce([one], arm))
    return [row["service"] for row in done["quiet"]], [call for call in host.engine.calls[before:] if call.startswith("stop")]


def states(host):
    return {c["Config"]["Labels"]["com.docker.compose.service"]: c["State"]["Status"] for c in host.engine.made}


def test_what_may_write_stops_and_what_is_kept_stays(host):
    stable(host)
    ids = host.engine.running()
    stopped, calls = quiesce(host)
    # The order of the engine's list; both at once.
    assert sorted(stopped) == ["reader", "web"]
    assert [sorted(call.split()[1:]) for call in calls] == [sorted([ids["web"], ids["reader"]])]
    assert states(host) == {"db": "running", "web": "exited", "reader": "exited"}
    (entry,) = host.store.ledger().data
    facts = {key: entry[key] for key in ("event", "run", "name", "release", "stack")}
    assert facts == {"event": "quiesced", "run": "run-b", "name": "sha-bbbbbbb", "release": "sha-bbbbbbb", "stack": "core"}
    assert sorted(entry["services"]) == ["reader", "web"]
    # No switch was begun.
    assert host.deployment("sha-bbbbbbb", "run-b").begun() == set()


def test_what_says_that_it_does_not_write_stays(host):
    stable(host, {"reader": {"writes": False}})
    assert quiesce(host)[0] == ["web"]
    assert states(host)["reader"] == "running"


def test_what_was_stopped_is_seen_again_before_a_job(host):
    stable(host)
    quiesce(host)
    one = host.deployment("sha-bbbbbbb", "run-b")
    assert quiet.still([one]) == {"changed": False}
    next(c for c in host.engine.made if c["Config"]["Labels"]["com.docker.compose.service"] == "web")["State"]["Status"] = (
        "running"
    )
    said, facts = failure(quiet.still, [one])
    assert said == (
        "Service web (stack core) was stopped before the backup, and runs again: what it writes would be lost if the backup is "
        "restored. So no job was begun. Find out who started it (the engine after a restart, or somebody), and roll out again."
    )
    assert (facts["gate"], facts["service"], facts["stack"]) == ("quiet", "web", "core")


def test_the_guard_is_armed_before_anything(host):
    stable(host)
    seen = []
    quiesce(host, lambda: seen.append((states(host)["web"], [e["event"] for e in host.store.ledger().data])))
    assert seen == [("running", [])]


def test_on_a_host_without_a_release_nothing_runs(host):
    assert quiesce(host) == ([], [])


def test_what_an_interrupted_run_started_stops_too(host):
    name = host.staged("a", text=stack("sha-aaaaaaa", ("web",)))
    host.bring(name, "run-a")
    assert quiesce(host)[0] == ["web"]


@pytest.mark.parametrize(("mode", "how"), [("checkpoint", "stop"), ("force", "stop -t 1")])
def test_it_lets_go_of_its_work_first(host, monkeypatch, mode, how):
    asked = []
    monkeypatch.setattr(http, "tell", lambda url, document: asked.append(url) or Answer(url, 200, operations=()))
    stable(host, {"web": {"drain": {"stop": STOP}}}, ("web",))
    _stopped, calls = quiesce(host, drain_mode=mode)
    assert calls == [f"{how} {host.engine.running()['web']}"]
    assert asked == ([STOP] if mode == "checkpoint" else [])


def test_one_that_does_not_let_go_stops_nothing(host, monkeypatch):
    monkeypatch.setattr(http, "tell", lambda url, document: Answer(url, 200, operations=("op-1",)))
    stable(host, {"web": {"drain": {"stop": STOP, "mode": "wait", "timeout": 0}}})
    said, facts = failure(quiesce, host)
    assert said.startswith("Service web (stack core), which still runs sha-aaaaaaa, was not replaced: 0 s after it was told to")
    assert (facts["gate"], facts["begun"]) == ("drain", "quiet")
    assert set(states(host).values()) == {"running"}


def test_the_way_back_starts_it_again(host):
    stable(host)
    quiesce(host)
    host.bring_back("sha-aaaaaaa", "run-b")
    assert set(states(host).values()) == {"running"}


def test_it_is_away_from_then_until_its_switch(host):
    stable(host, names=("web",))
    held(host.store, "run-b")
    with host.store.step("run-b"):
        quiesce(host)
        host.engine.broken["run job"] = {"Status": "exited", "ExitCode": 0}
        host.jobs("sha-bbbbbbb", "run-b")
        done = host.bring("sha-bbbbbbb", "run-b")
    (web,) = [row for row in done["services"] if row["service"] == "web"]
    assert web["gap"] is not None
    # That says nothing of its next restart.
    assert "web" not in host.store.ledger().took

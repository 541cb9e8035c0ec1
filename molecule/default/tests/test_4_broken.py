"""A release whose backend never becomes healthy."""

import json

import pytest
from conftest import MACHINE, OPERATOR

from tests.unit.receiver import receiver

BROKEN = "badbad3"


@pytest.fixture(scope="module", autouse=True)
def run(database):
    """All that the operator read, in one line, and the notifications that were sent."""
    with receiver() as server:
        url = json.dumps({"rollout_notify_urls": [f"json://127.0.0.1:{server.server_port}/"]})
        typed = ["-e", f"sha={BROKEN}", "-e", "ktrdr_deadline=10", "-e", "ktrdr_rehearse=false", "-e", url]
        said = OPERATOR.run("rollout.yml", *typed, rc=2).said
        return said, server.got


@pytest.fixture
def said(run):
    return run[0]


def test_old_release_runs_again(runs, health, database, ledger):
    runs("sha-aaaaaa1")
    assert health["release"] == "sha-aaaaaa1"
    assert MACHINE.database() == database
    assert ledger[-1]["event"] == "reverted"
    assert ledger[-1]["name"] == "sha-aaaaaa1"


def test_workers_were_never_switched(ledger):
    broken = [e for e in ledger if e["event"] == "switching" and e["release"] == "sha-badbad3"]
    assert [e["service"] for e in broken] == ["backend"]


def test_message_names_host_service_and_cause(said):
    assert "ROLLOUT REVERTED: sha-badbad3 did not pass. sha-aaaaaa1 runs again" in said
    assert "On host ktrdr-molecule-default, gate health: Service backend (stack core)" in said
    assert "http://127.0.0.1:8000/api/v1/health: HTTP 404" in said
    assert "The last lines of its log:" in said


def test_people_were_told(run):
    said, (message,) = run
    assert message["title"].startswith("ROLLOUT REVERTED: sha-badbad3 did not pass. sha-aaaaaa1 runs again")
    assert "On host ktrdr-molecule-default, gate health: Service backend (stack core)" in message["message"]
    assert "Not notified" not in said


def test_metrics_tell_the_verdict(metrics):
    assert [s.labels["verdict"] for s in metrics["rollout_last_run_verdict"] if s.value] == ["reverted"]
    assert [s.labels["release"] for s in metrics["rollout_release_info"]] == ["sha-aaaaaa1"]
    assert "rollout_last_run_service_outage_seconds" not in metrics


def test_rehearsed_it_costs_nothing(runs, database):
    said = OPERATOR.run("rollout.yml", "-e", f"sha={BROKEN}", "-e", "ktrdr_deadline=10", rc=2).said
    assert "ROLLOUT REFUSED: nothing was touched, what ran before still runs." in said
    assert "Service backend (stack core) does not pass its rehearsal on sha-badbad3" in said
    assert "http://127.0.0.1:8000/api/v1/health: HTTP 404" in said
    runs("sha-aaaaaa1")
    assert MACHINE.database() == database

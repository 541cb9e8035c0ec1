"""After a release whose backend never becomes healthy."""

import json
import os
from pathlib import Path

import pytest


@pytest.fixture
def said(host):
    """All that the operator read, in one line."""
    return " ".join(host.file("/tmp/broken.log").content_string.split())


def test_old_release_runs_again(runs, health, database_untouched, ledger):
    runs("sha-aaaaaa1")
    assert health["release"] == "sha-aaaaaa1"
    database_untouched()
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
    assert "Traceback" not in said


def test_people_were_told(said):
    kept = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "notification.json"
    message = json.loads(kept.read_text())
    assert message["title"].startswith("ROLLOUT REVERTED: sha-badbad3 did not pass. sha-aaaaaa1 runs again")
    assert "On host ktrdr-molecule-default, gate health: Service backend (stack core)" in message["message"]
    assert "Not notified" not in said


def test_metrics_tell_the_verdict(metrics):
    assert [s.labels["verdict"] for s in metrics["rollout_last_run_verdict"] if s.value] == ["reverted"]
    assert [s.labels["release"] for s in metrics["rollout_release_info"]] == ["sha-aaaaaa1"]
    assert "rollout_last_run_service_outage_seconds" not in metrics

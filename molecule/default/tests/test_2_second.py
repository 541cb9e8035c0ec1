"""A second release is rolled out over the first."""

import pytest
from conftest import MACHINE, OPERATOR


@pytest.fixture(scope="module", autouse=True)
def second(database):
    OPERATOR.run("rollout.yml", "-e", "sha=bbbbbb2")


def test_second_release_runs(runs, health, database):
    runs("sha-bbbbbb2")
    assert health["release"] == "sha-bbbbbb2"
    assert MACHINE.database() == database


def test_first_release_is_kept_for_a_rollback(host):
    tags = host.check_output("docker image ls --format '{{.Repository}}:{{.Tag}}'")
    for image in ("ktrdr-backend", "ktrdr-worker-cpu", "ktrdr-worker-gpu"):
        assert f"172.17.0.1:5000/{image}:sha-aaaaaa1" in tags


def test_metrics_tell_how_long_each_service_was_away(metrics):
    away = {s.labels["service"]: s.value for s in metrics["rollout_last_run_service_outage_seconds"]}
    assert away.pop("db") == 0
    assert set(away) == {"backend", "backtest-worker-1", "training-worker-1", "training-worker-gpu"}
    assert all(0 < seconds < 60 for seconds in away.values())
    assert {s.value for s in metrics["rollout_last_run_service_torch_pass"]} == {1}


def test_a_drill_proves_the_way_back():
    before = MACHINE.exec("docker", "ps", "--quiet", "--no-trunc")
    said = OPERATOR.run("playbooks/drill.yml").said
    assert "DRILL PASSED: ktrdr-molecule-default can go back to sha-aaaaaa1. What runs was not touched." in said
    assert "it starts, and its gate holds" in said
    assert MACHINE.exec("docker", "ps", "--quiet", "--no-trunc") == before

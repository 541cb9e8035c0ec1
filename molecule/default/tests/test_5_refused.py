"""Rollouts that are refused: the message, and nothing touched."""

import pytest
from conftest import MACHINE, OPERATOR

REFUSALS = [
    # A worker image without torch; a port that something else holds; an image of the database that is not in its registry.
    (
        ["-e", "sha=fa1aff4"],
        "Torch contract broken: image 172.17.0.1:5000/ktrdr-worker-cpu, service backtest-worker-1: "
        "expected torch for cpu, found no torch (torch_missing). The fault is the image's.",
    ),
    (["-e", "sha=bbbbbb2", "-e", "ktrdr_backend_port=22"], "Port 22, which service backend publishes, is held by process sshd"),
    (
        ["-e", "sha=bbbbbb2", "-e", "ktrdr_db_image=172.17.0.1:5000/absent:1"],
        "Registry 172.17.0.1:5000 has no image absent (asked for 172.17.0.1:5000/absent:1)",
    ),
]


@pytest.mark.parametrize(("arguments", "why"), REFUSALS, ids=["torch", "port", "absent"])
def test_refusal_says_why_and_nothing_was_touched(runs, arguments, why):
    before = MACHINE.exec("docker", "ps", "--quiet", "--no-trunc")
    said = OPERATOR.run("rollout.yml", *arguments, rc=2).said
    assert "ROLLOUT REFUSED: nothing was touched, what ran before still runs." in said
    assert why in said
    assert MACHINE.exec("docker", "ps", "--quiet", "--no-trunc") == before
    runs("sha-aaaaaa1")


def test_no_service_was_ever_switched_to_the_wrong_image(ledger):
    assert [e for e in ledger if e["event"] == "switching" and e["release"] == "sha-fa1aff4"] == []


def test_a_strict_status_fails_on_a_crash_that_is_over(host, status):
    worker = "ktrdr-workers-training-worker-1-1"
    pid = host.check_output("docker inspect --format %s %s", "{{.State.Pid}}", worker)
    host.check_output("kill -KILL %s", pid)
    found = f"docker inspect --format '{{{{.RestartCount}}}} {{{{.State.Status}}}}' {worker}"
    host.check_output("timeout 60 sh -c %s", f"until {found} | grep -qx '1 running'; do :; done")
    failed, document = status()
    assert failed
    assert any("training-worker-1: crashed, and the engine restarted it, once" in sentence for sentence in document["drift"])
    assert any("A service that crashes was released so" in sentence for sentence in document["advice"])
    # That begins a new count.
    host.check_output(f"docker restart {worker}")
    assert not any("crashed" in sentence for sentence in status()[1]["drift"])


def test_a_strict_status_fails_on_drift(host, status):
    """The last one in CI: it leaves the host with a service that is stopped."""
    host.check_output("docker kill ktrdr-workers-training-worker-1-1")
    failed, document = status()
    assert failed
    assert not document["as_released"]
    assert any("training-worker-1: is exited" in sentence for sentence in document["drift"])
    assert document["advice"] == [
        "What was changed by hand stays until you roll out again: ansible-playbook rollout.yml -e sha=aaaaaa1",
        "Why a service is not healthy is in its log: docker logs --tail 50 CONTAINER, on its host.",
    ]

"""After rollouts that were refused: the message, and nothing touched."""

import pytest

REFUSALS = {
    "wrong_flavour": "Torch contract broken: image 172.17.0.1:5000/ktrdr-worker-cpu, service backtest-worker-1: "
    "expected torch for cpu, found no torch (torch_missing). The fault is the image's.",
    "port": "Port 22, which service backend publishes, is held by process sshd",
    "absent": "Image 172.17.0.1:5000/absent:1 could not be pulled:",
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_says_why(host, name):
    said = " ".join(host.file(f"/tmp/{name}.log").content_string.split())
    assert "ROLLOUT REFUSED: nothing was touched, what ran before still runs." in said
    assert REFUSALS[name] in said
    assert "Traceback" not in said


def test_nothing_was_touched(host, runs, ledger):
    assert host.check_output("docker ps --quiet --no-trunc") == host.file("/tmp/running").content_string.strip()
    runs("sha-aaaaaa1")
    assert [e for e in ledger if e["event"] == "switching" and e["release"] == "sha-fa1aff4"] == []


def test_a_strict_status_fails_on_drift(host, status):
    """The last one: it leaves the host with a service that is stopped."""
    host.check_output("docker kill ktrdr-workers-training-worker-1-1")
    failed, document = status()
    assert failed
    assert not document["as_released"]
    assert any("training-worker-1: is exited" in sentence for sentence in document["drift"])
    assert document["advice"] == [
        "What was changed by hand stays until you roll out again: ansible-playbook rollout.yml -e sha=aaaaaa1",
        "Why a service is not healthy is in its log: docker logs --tail 50 CONTAINER, on its host.",
    ]

"""The host, and an operator who types commands. Each file of tests goes on where the one before it ended."""

import json
import subprocess

import pytest
from operators import ROOT, Machine, Operator
from prometheus_client.parser import text_string_to_metric_families

OPERATOR = Operator("default")
MACHINE = Machine("ktrdr-molecule-default")
SERVICES = {
    "ktrdr-core-backend-1": "ktrdr-backend",
    "ktrdr-workers-backtest-worker-1-1": "ktrdr-worker-cpu",
    "ktrdr-workers-training-worker-1-1": "ktrdr-worker-cpu",
    "ktrdr-gpu-worker-training-worker-gpu-1": "ktrdr-worker-gpu",
}


@pytest.fixture
def ledger():
    """The entries of the ledger."""
    return MACHINE.ledger()


@pytest.fixture
def health(host):
    """The body of the backend's health answer."""
    return json.loads(
        host.check_output(
            "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/api/v1/health').read().decode())\""
        )
    )


@pytest.fixture
def runs():
    """Assert that exactly the release's images run, by digest, and that each worker is registered on it."""

    def check(release):
        manifest = MACHINE.release(release)
        for found in json.loads(MACHINE.exec("docker", "inspect", *SERVICES)):
            wanted = manifest["images"][f"172.17.0.1:5000/{SERVICES[found['Name'][1:]]}:{release}"]
            assert found["State"]["Running"]
            assert found["RestartCount"] == 0
            assert found["Image"] == wanted["id"]
            assert found["Config"]["Image"].endswith("@" + wanted["digest"])
            assert found["Config"]["Labels"]["rollout.release"] == release

    return check


@pytest.fixture(scope="session")
def database():
    """The container of the database as it was before the second release."""
    return MACHINE.database()


@pytest.fixture
def metrics(host):
    """The metrics that the last run wrote: name -> samples."""
    file = host.file("/tmp/rollout_ktrdr.prom")
    assert file.mode == 0o644
    return {f.name: f.samples for f in text_string_to_metric_families(file.content_string)}


@pytest.fixture
def status():
    """Type a strict status that a program reads. Returns the exit status and the document."""

    def run():
        command = [
            "ansible-playbook",
            f"--inventory={OPERATOR.inventory}",
            "status.yml",
            "-e",
            "format=json",
            "-e",
            "strict=true",
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        return done.returncode, json.loads(done.stdout)

    return run

"""What the tests of this scenario see of the host."""

import json
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

STATE = "/var/lib/rollout/ktrdr"
SERVICES = {
    "ktrdr-core-backend-1": "ktrdr-backend",
    "ktrdr-workers-backtest-worker-1-1": "ktrdr-worker-cpu",
    "ktrdr-workers-training-worker-1-1": "ktrdr-worker-cpu",
    "ktrdr-gpu-worker-training-worker-gpu-1": "ktrdr-worker-gpu",
}


@pytest.fixture
def ledger(host):
    """The entries of the ledger."""
    return [json.loads(line) for line in host.file(f"{STATE}/ledger.jsonl").content_string.splitlines()]


@pytest.fixture
def health(host):
    """The body of the backend's health answer."""
    return json.loads(
        host.check_output(
            "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/api/v1/health').read().decode())\""
        )
    )


@pytest.fixture
def runs(host):
    """Assert that exactly the release's images run, by digest, and that each worker is registered on it."""

    def check(release):
        manifest = json.loads(host.file(f"{STATE}/releases/{release}/release.json").content_string)
        for container, image in SERVICES.items():
            found = json.loads(host.check_output(f"docker inspect {container}"))[0]
            wanted = manifest["images"][f"172.17.0.1:5000/{image}"]
            assert found["State"]["Running"]
            assert found["RestartCount"] == 0
            assert found["Image"] == wanted["id"]
            assert found["Config"]["Image"].endswith("@" + wanted["digest"])
            assert found["Config"]["Labels"]["rollout.release"] == release

    return check


@pytest.fixture
def database_untouched(host):
    """Assert that the database's container is the one that it was before the second release."""

    def check():
        now = host.check_output("docker ps --quiet --no-trunc --filter name=ktrdr-core-db")
        assert now == host.file("/tmp/database").content_string.strip()

    return check


@pytest.fixture
def metrics(host):
    """The metrics that the last run wrote: name -> samples."""
    file = host.file("/tmp/rollout_ktrdr.prom")
    assert file.mode == 0o644
    return {f.name: f.samples for f in text_string_to_metric_families(file.content_string)}


@pytest.fixture
def status():
    """Type a strict status that a program reads. Returns the exit status and the document."""
    here = Path(__file__).parent

    def run():
        done = subprocess.run(
            ["ansible-playbook", "status.yml", f"--inventory={here}/inventory/", "-e", "format=json", "-e", "strict=true"],
            cwd=here.parents[1],
            capture_output=True,
            text=True,
        )
        return done.returncode, json.loads(done.stdout)

    return run

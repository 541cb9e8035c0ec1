"""ktrdr's own backend gets its proxy, and is replaced behind it by the first release."""

import json

import pytest
from conftest import MACHINE, OPERATOR

from bench.probe import Probe, failed, longest_outage

pytestmark = pytest.mark.nightly
PROXIED = ["-e", "rollout_strategy=start_first", "-e", "ktrdr_proxy_image=172.17.0.1:5000/haproxy:test"]


@pytest.fixture(scope="module")
def asked(database):
    """The fate of the requests while the backend was replaced behind its proxy."""
    OPERATOR.run("rollout.yml", "-e", "sha=bbbbbb2", *PROXIED)
    with Probe(f"http://{MACHINE.address()}:8000/api/v1/health", rate=10) as probe:
        OPERATOR.run("rollout.yml", "-e", "sha=aaaaaa1", *PROXIED)
    return probe.samples


def test_no_request_failed_while_the_backend_was_replaced(asked):
    assert failed(asked) == 0, f"of {len(asked)}, an outage of {longest_outage(asked):.2f} s"
    assert len(asked) > 20


@pytest.mark.usefixtures("asked")
def test_one_backend_runs_behind_the_proxy(host, health, database, ledger):
    assert health["release"] == "sha-aaaaaa1"
    (backend,) = host.check_output("docker ps --quiet --no-trunc --filter name=ktrdr-core-backend").split()
    found = json.loads(host.check_output(f"docker inspect {backend}"))[0]
    assert found["Config"]["Labels"]["rollout.release"] == "sha-aaaaaa1"
    assert not found["HostConfig"]["PortBindings"]
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/api/v1/health').headers['X-Rollout-Container'])"
    assert host.check_output(f'python3 -c "{script}"') == backend[:12]
    assert MACHINE.database() == database
    assert (ledger[-1]["event"], ledger[-1]["action"]) == ("confirmed", "rollout")


@pytest.mark.usefixtures("asked")
def test_the_workers_are_on_it_too(host):
    for worker in ("workers-backtest-worker-1-1", "workers-training-worker-1-1", "gpu-worker-training-worker-gpu-1"):
        found = json.loads(host.check_output(f"docker inspect ktrdr-{worker}"))[0]
        assert found["Config"]["Labels"]["rollout.release"] == "sha-aaaaaa1"
        assert found["State"]["Running"]

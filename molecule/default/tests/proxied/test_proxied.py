"""After ktrdr's own backend got its proxy, and was replaced behind it by the first release."""

import json


def test_no_request_failed_while_the_backend_was_replaced(host):
    asked = json.loads(host.file("/tmp/asked").content_string)
    assert asked["failed"] == []
    assert asked["releases"] == ["sha-bbbbbb2", "sha-aaaaaa1"]
    assert asked["asked"] > 20


def test_one_backend_runs_behind_the_proxy(host, health, database_untouched, ledger):
    assert health["release"] == "sha-aaaaaa1"
    (backend,) = host.check_output("docker ps --quiet --no-trunc --filter name=ktrdr-core-backend").split()
    found = json.loads(host.check_output(f"docker inspect {backend}"))[0]
    assert found["Config"]["Labels"]["rollout.release"] == "sha-aaaaaa1"
    assert not found["HostConfig"]["PortBindings"]
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/api/v1/health').headers['X-Rollout-Container'])"
    assert host.check_output(f'python3 -c "{script}"') == backend[:12]
    database_untouched()
    assert (ledger[-1]["event"], ledger[-1]["action"]) == ("confirmed", "rollout")


def test_the_workers_are_on_it_too(host):
    for worker in ("workers-backtest-worker-1-1", "workers-training-worker-1-1", "gpu-worker-training-worker-gpu-1"):
        found = json.loads(host.check_output(f"docker inspect ktrdr-{worker}"))[0]
        assert found["Config"]["Labels"]["rollout.release"] == "sha-aaaaaa1"
        assert found["State"]["Running"]

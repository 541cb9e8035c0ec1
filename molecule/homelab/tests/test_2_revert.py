"""A release that does not run on the second worker host: the whole fleet goes back."""

import re

from operators import wait

BAD = "c0ffee4"


def test_the_fleet_goes_back_when_the_second_worker_hosts_gate_fails(fleet, controller, on):
    on("sha-aaaaaa1")
    database = fleet.database_id()
    result = controller.run("rollout.yml", "-e", f"sha={BAD}", rc=2)
    for host in fleet.hosts:
        assert fleet.releases(host) == {"sha-aaaaaa1"}, host
        # Nothing was ever begun on the GPU host.
        assert fleet.ledger(host)[-1]["event"] == ("staged" if host == "gpu" else "reverted"), host
        assert not fleet.exists(host, "lock.json"), host
        wait(lambda h=host: not fleet.exists(h, "guard.armed"), 10, f"the guard of {host} ended")
    assert fleet.database_id() == database
    said = result.said
    assert f"ROLLOUT REVERTED: sha-{BAD} did not pass. sha-aaaaaa1 runs again, and its gates hold." in said
    # Both start together, and Docker restarts them at once: which one is seen first, and before or after that, is chance.
    seen = r"workers-c, gate container: Service \w+-worker-1 \(stack workers\) does not pass on sha-c0ffee4: it (ended|crash)"
    assert re.search(seen, said)
    assert "this host makes me sick" in said
    assert "Traceback" not in said


def test_waves_went_in_order_and_the_gpu_host_was_never_switched(fleet):
    run = fleet.ledger("core")[-1]["run"]
    begun = {h: [e for e in fleet.ledger(h) if e["event"] == "switching" and e["run"] == run] for h in fleet.hosts}
    switching = {h: [e for e in es if e["release"] == f"sha-{BAD}"] for h, es in begun.items()}
    assert {h: [e["service"] for e in es] for h, es in switching.items()} == {
        "core": ["backend"],
        "workers-b": ["backtest-worker-1", "training-worker-1"],
        "workers-c": ["backtest-worker-1", "training-worker-1"],
        "gpu": [],
    }
    # The wall clock of these hosts is one and the same.
    times = {h: es[0]["at"] for h, es in switching.items() if es}
    assert times["core"] < times["workers-b"] < times["workers-c"]

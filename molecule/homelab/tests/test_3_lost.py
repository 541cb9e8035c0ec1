"""Hosts that are lost, that come back, and that are down."""

import re

import pytest
from operators import wait

TIMEOUT = 60
# No gate may take longer than the guard waits.
GUARDED = ("-e", f"rollout_confirm_timeout={TIMEOUT}", "-e", f"ktrdr_deadline={TIMEOUT - 5}")


def test_a_host_that_is_down_at_the_start(fleet, controller, on):
    on("sha-aaaaaa1")
    fleet.cut("gpu")
    try:
        refused = controller.run("rollout.yml", "-e", "sha=bbbbbb2", rc=2)
        assert "ROLLOUT REFUSED: nothing was touched" in refused.said
        assert "Host gpu cannot be reached" in refused.said
        assert """-e '{"rollout_optional_hosts": ["gpu"]}'""" in refused.said
        assert fleet.releases("core") == {"sha-aaaaaa1"}
    finally:
        fleet.restore("gpu")


@pytest.mark.nightly
def test_a_host_is_lost_in_the_middle_and_goes_back_by_itself(fleet, controller, on):
    on("sha-aaaaaa1")
    run = controller.start("rollout.yml", "-e", "sha=bbbbbb2", *GUARDED)
    wait(lambda: fleet.last("workers-b", "switching"), 90, "workers-b is being switched")
    fleet.cut("workers-b")
    try:
        result = run.finish(rc=2, seconds=240)
        for host in ("core", "workers-c", "gpu"):
            assert fleet.releases(host) == {"sha-aaaaaa1"}, host
        for host in ("workers-c", "gpu"):
            assert not [e for e in fleet.ledger(host) if e["event"] == "switching" and e["run"] == result.run], host
        said = result.said
        assert "ROLLOUT UNKNOWN: a host was lost, so what runs there is not known. The others are on sha-aaaaaa1." in said
        assert "Host workers-b cannot be reached" in said
        assert "workers-b not known: sha-bbbbbb2, sha-aaaaaa1, or both" in said
        assert "goes back by itself within 60 s of its switch" in said
        assert "sha-aaaaaa1 (core, workers-c, gpu) with an unknown one (workers-b)" in said
        # Still cut off: what follows is the guard's own doing.
        back = [("switched", "sha-aaaaaa1")]
        wait(
            lambda: [(e["event"], e["name"]) for e in fleet.ledger("workers-b")[-1:]] == back,
            TIMEOUT + 90,
            "the guard switched back",
        )
        assert fleet.releases("workers-b") == {"sha-aaaaaa1"}
    finally:
        fleet.restore("workers-b")
    # Its gates ask the backend, which is within reach again.
    wait(lambda: fleet.ledger("workers-b")[-1].get("by") == "guard", 120, "the guard of workers-b held the gates")
    assert fleet.ledger("workers-b")[-1]["fault"] == ""
    assert not fleet.exists("workers-b", "lock.json")
    status = controller.run("status.yml")
    assert "so the guard brought sha-aaaaaa1 back" in status.said


@pytest.mark.nightly
def test_a_host_that_reboots_while_its_guard_is_armed_goes_back(fleet, controller, on):
    on("sha-aaaaaa1")
    run = controller.start("rollout.yml", "-e", "sha=bbbbbb2", *GUARDED)
    wait(lambda: fleet.last("workers-b", "switched"), 120, "workers-b was switched")
    run.kill()
    fleet.reboot("workers-b")
    assert fleet.ledger("workers-b")[-1]["event"] != "reverted"
    status = controller.run("status.yml").said
    # The kill may come when the next host's switch has begun: then that host is told of in the same sentence, and goes back too.
    assert re.search(r"\bworkers-b(, workers-c)?: a guard is armed by run", status)
    for host in ("core", "workers-b"):
        wait(lambda h=host: fleet.ledger(h)[-1].get("by") == "guard", TIMEOUT + 240, f"the guard of {host} acted")
    assert fleet.ledger("workers-b")[-1]["fault"] == "" or "workers-b" in status
    back = {"sha-aaaaaa1"}
    for host in fleet.hosts:
        wait(lambda h=host: fleet.releases(h) == back, TIMEOUT + 240, f"{host} was brought back")
    wait(lambda: not fleet.exists("workers-b", "guard.armed"), 20, "the guard ended")


@pytest.mark.nightly
def test_the_others_go_on_without_a_host_that_is_down(fleet, controller, on):
    on("sha-aaaaaa1")
    fleet.cut("gpu")
    try:
        without = controller.run("rollout.yml", "-e", "sha=bbbbbb2", "-e", '{"rollout_optional_hosts": ["gpu"]}')
        assert "ROLLOUT SUCCEEDED: sha-bbbbbb2 runs on 3 hosts, every gate held." in without.said
        assert "Behind: gpu took no part in this run" in without.said
        assert "gpu was left out of the last run and is behind" in controller.run("status.yml").said
    finally:
        fleet.restore("gpu")
    status = controller.run("status.yml").said
    assert "sha-bbbbbb2 (core, workers-b, workers-c) with sha-aaaaaa1 (gpu). Behind: gpu." in status
    assert "ansible-playbook rollout.yml -e sha=bbbbbb2" in status

    controller.run("rollout.yml", "-e", "sha=bbbbbb2")
    assert fleet.releases("gpu") == {"sha-bbbbbb2"}
    assert "Behind" not in controller.run("status.yml").said


@pytest.mark.nightly
def test_a_part_of_the_fleet_by_limit(fleet, controller, on):
    on("sha-bbbbbb2")
    part = controller.run("rollout.yml", "-e", "sha=aaaaaa1", "--limit", "workers-b")
    assert "Behind: core, workers-c, gpu took no part in this run" in part.said
    assert fleet.releases("workers-b") == {"sha-aaaaaa1"}
    assert fleet.releases("workers-c") == {"sha-bbbbbb2"}
    for host in fleet.hosts:
        assert not fleet.exists(host, "lock.json"), host

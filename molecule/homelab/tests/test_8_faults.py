"""What happens to one host amid a switch: its connection, its engine, its disk."""

import pytest
from operators import wait

# The processes of sshd that serve a connection, and not the one that listens.
SESSIONS = r"^sshd(-session)?: \w+( \[priv\]|@)"


@pytest.fixture
def begun(fleet, controller, on):
    """A rollout that has begun to switch that host."""

    def begin(host, event="switching"):
        on("sha-aaaaaa1")
        before = fleet.ledger(host)[-1]["seq"]
        run = controller.start("rollout.yml", "-e", "sha=bbbbbb2")
        wait(lambda: any(e["event"] == event and e["seq"] > before for e in fleet.ledger(host)), 120, f"{host}: {event}")
        return run

    return begin


def test_a_connection_that_is_dropped_costs_seconds(fleet, begun):
    run = begun("workers-b")
    fleet.exec("workers-b", "pkill", "--signal", "KILL", "--full", SESSIONS)
    result = run.finish(rc=2)
    assert "ROLLOUT REVERTED: sha-bbbbbb2 could not be rolled out. sha-aaaaaa1 runs again, and its gates hold." in result.said
    assert "Host workers-b cannot be reached" in result.said
    for host in fleet.hosts:
        assert fleet.releases(host) == {"sha-aaaaaa1"}, host
        assert not fleet.exists(host, "lock.json"), host
        assert not fleet.ledger(host)[-1].get("by"), "no guard had to act"


def test_a_host_whose_disk_is_full_goes_back_and_says_so(fleet, begun, small_disk):
    with small_disk("workers-c") as fill:
        run = begun("workers-c", "armed")
        fill()
        result = run.finish(rc=2)
        assert "ROLLOUT REVERTED: sha-bbbbbb2 could not be rolled out. sha-aaaaaa1 runs again, and its gates hold." in result.said
        assert "No space left on device" in result.said
        assert fleet.ledger("workers-c")[-1]["event"] == "reverted"
        for host in fleet.hosts:
            assert fleet.releases(host) == {"sha-aaaaaa1"}, host


@pytest.mark.nightly
def test_an_engine_that_is_away_for_ten_seconds_is_waited_for(fleet, begun):
    run = begun("workers-b")
    fleet.exec("workers-b", "systemd-run", "--on-active=10", "systemctl", "start", "docker.socket", "docker.service")
    fleet.exec("workers-b", "systemctl", "stop", "docker.socket", "docker.service")
    result = run.finish()
    assert "ROLLOUT SUCCEEDED: sha-bbbbbb2 runs on 4 hosts, every gate held." in result.said
    assert fleet.releases("workers-b") == {"sha-bbbbbb2"}

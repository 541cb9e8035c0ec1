"""The controller: killed, doubled, refused."""

import time

import pytest
from operators import wait

TIMEOUT = 30
# No gate may take longer than the guard waits.
GUARDED = ("-e", f"rollout_confirm_timeout={TIMEOUT}", "-e", f"ktrdr_deadline={TIMEOUT - 5}")


def test_the_controller_is_killed_between_waves_and_the_guards_bring_the_fleet_back(fleet, controller, on):
    on("sha-aaaaaa1")
    run = controller.start("rollout.yml", "-e", "sha=bbbbbb2", *GUARDED)
    wait(lambda: fleet.last("core", "switched"), 90, "core was switched")
    run.kill()
    began = time.monotonic()
    wait(lambda: fleet.ledger("core")[-1].get("by") == "guard", TIMEOUT + 60, "the guard of core acted")
    # The kill may come when the next host's switch has begun: that host's own guard brings it back, a little later.
    for host in fleet.hosts:
        left = began + TIMEOUT + 60 - time.monotonic()
        wait(lambda h=host: fleet.releases(h) == {"sha-aaaaaa1"}, left, f"{host} was brought back")
    print(f"measured: {time.monotonic() - began:.0f} s from SIGKILL until the fleet was on one release (timeout {TIMEOUT} s)")
    for host in fleet.hosts:
        wait(lambda h=host: not fleet.exists(h, "guard.armed"), 20, f"the guard of {host} ended")
        assert fleet.releases(host) == {"sha-aaaaaa1"}, host


@pytest.mark.nightly
@pytest.mark.parametrize("event", ["staged", "armed", "switching", "switched"])
@pytest.mark.parametrize("killed_on", ["core", "workers-b", "workers-c", "gpu"])
def test_the_controller_is_killed_and_the_next_run_converges(fleet, controller, on, killed_on, event):
    on("sha-aaaaaa1")
    before = fleet.ledger(killed_on)[-1]["seq"]
    run = controller.start("rollout.yml", "-e", "sha=bbbbbb2")
    wait(lambda: any((e["event"], e["seq"] > before) == (event, True) for e in fleet.ledger(killed_on)), 90, event)
    run.kill()
    status = controller.run("status.yml").said
    result = controller.run("rollout.yml", "-e", "sha=bbbbbb2")
    assert "was taken over: its process is dead." in result.said
    if event == "switching":
        assert "Interrupted switching" in status
        assert f"{killed_on}: Interrupted" in result.said
        assert "on its way to sha-bbbbbb2" in result.said
    for host in fleet.hosts:
        assert fleet.releases(host) == {"sha-bbbbbb2"}, host
        assert fleet.ledger(host)[-1]["event"] in ("confirmed", "removed")
        wait(lambda h=host: not fleet.exists(h, "guard.armed"), 20, f"the guard of {host} ended")


def test_two_operators_at_once(fleet, controller, on):
    on("sha-aaaaaa1")
    first = controller.start("rollout.yml", "-e", "sha=bbbbbb2")
    wait(lambda: fleet.exists("core", "lock.json"), 60, "the first one holds the lock")
    second = controller.run("rollback.yml", rc=2)
    waiting = controller.start("rollout.yml", "-e", "sha=bbbbbb2", "-e", "rollout_lock_wait=300")
    assert "ROLLBACK REFUSED: nothing was touched" in second.said
    assert "Another run holds the lock: run" in second.said
    assert "(rollout) of root@" in second.said
    assert "from 10.77.0.1, since" in second.said
    first.finish(seconds=300)
    waited = waiting.finish(seconds=300)
    assert "ROLLOUT UNCHANGED: sha-bbbbbb2 runs on 4 hosts already. Nothing was restarted." in waited.said


@pytest.mark.nightly
def test_an_old_holder_that_wakes_up_is_fenced_off(fleet, controller, on):
    on("sha-aaaaaa1")
    sleeper = controller.start("rollout.yml", "-e", "sha=bbbbbb2")
    wait(lambda: fleet.last("core", "switched"), 90, "core was switched")
    sleeper.stop()
    refused = controller.run("playbooks/unlock.yml", rc=2)
    assert "core: not removed. It is still running on this machine (pid" in refused.said
    unlocked = controller.run("playbooks/unlock.yml", "-e", "force=true")
    assert "core: the lock of run" in unlocked.said
    controller.run("rollback.yml", "-e", "sha=aaaaaa1")
    sleeper.resume()
    woken = sleeper.finish(rc=2, seconds=180)
    assert "ROLLOUT UNKNOWN: this run lost its lock, to another run or to somebody who unlocked it" in woken.said
    assert "is gone from this host" in woken.said or "no longer holds the lock of this host" in woken.said
    for host in fleet.hosts:
        assert fleet.releases(host) == {"sha-aaaaaa1"}, host

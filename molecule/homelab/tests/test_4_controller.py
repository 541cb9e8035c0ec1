"""The controller: killed, doubled, refused."""

import time

TIMEOUT = 45


def test_the_controller_is_killed_between_waves_and_the_guards_bring_the_fleet_back(fleet, controller, on):
    on("sha-aaaaaa1")
    run = controller.start("rollout.yml", "-e", "sha=bbbbbb2", "-e", f"rollout_confirm_timeout={TIMEOUT}")
    fleet.wait(lambda: fleet.last("core", "switched"), 90, "core was switched")
    run.kill()
    began = time.monotonic()
    fleet.wait(lambda: fleet.ledger("core")[-1].get("by") == "guard", TIMEOUT + 60, "the guard of core acted")
    # The kill may come when the next host's switch has begun: that host's own guard brings it back, a little later.
    for host in fleet.hosts:
        left = began + TIMEOUT + 60 - time.monotonic()
        fleet.wait(lambda h=host: set(fleet.running(h).values()) == {"sha-aaaaaa1"}, left, f"{host} was brought back")
    print(f"measured: {time.monotonic() - began:.0f} s from SIGKILL until the fleet was on one release (timeout {TIMEOUT} s)")
    for host in fleet.hosts:
        fleet.wait(lambda h=host: not fleet.exists(h, "guard.armed"), 20, f"the guard of {host} ended")
        assert set(fleet.running(host).values()) == {"sha-aaaaaa1"}, host


def test_the_controller_is_killed_and_the_next_run_converges(fleet, controller, on):
    on("sha-aaaaaa1")
    run = controller.start("rollout.yml", "-e", "sha=bbbbbb2")
    fleet.wait(lambda: fleet.last("workers-b", "switching"), 90, "workers-b is being switched")
    run.kill()
    assert "Interrupted switching" in controller.run("status.yml").said
    began = time.monotonic()
    result = controller.run("rollout.yml", "-e", "sha=bbbbbb2")
    print(f"measured: {time.monotonic() - began:.0f} s for the run that converged")
    assert result.rc == 0, result.out
    said = result.said
    assert "was taken over: its process is dead." in said
    assert "workers-b: Interrupted" in said
    assert "on its way to sha-bbbbbb2" in said
    for host in fleet.hosts:
        assert set(fleet.running(host).values()) == {"sha-bbbbbb2"}, host
        assert fleet.ledger(host)[-1]["event"] in ("confirmed", "removed")
        fleet.wait(lambda h=host: not fleet.exists(h, "guard.armed"), 20, f"the guard of {host} ended")


def test_two_operators_at_once(fleet, controller, on):
    on("sha-bbbbbb2")
    first = controller.start("rollout.yml", "-e", "sha=aaaaaa1")
    fleet.wait(lambda: fleet.exists("core", "lock.json"), 60, "the first one holds the lock")
    second = controller.run("rollback.yml")
    waiting = controller.start("rollout.yml", "-e", "sha=aaaaaa1", "-e", "rollout_lock_wait=300")
    assert second.rc == 2
    assert "ROLLBACK REFUSED: nothing was touched" in second.said
    assert "Somebody else is at work: run" in second.said
    assert "(rollout) of root@" in second.said
    assert "from 10.77.0.1, since" in second.said
    assert first.finish(300).rc == 0
    waited = waiting.finish(300)
    assert waited.rc == 0, waited.out
    assert "ROLLOUT UNCHANGED: sha-aaaaaa1 runs on 4 hosts already. Nothing was restarted." in waited.said


def test_an_old_holder_that_wakes_up_is_fenced_off(fleet, controller, on):
    on("sha-aaaaaa1")
    sleeper = controller.start("rollout.yml", "-e", "sha=bbbbbb2")
    fleet.wait(lambda: fleet.last("core", "switched"), 90, "core was switched")
    sleeper.stop()
    refused = controller.run("playbooks/unlock.yml")
    assert refused.rc == 2
    assert "core: not removed. It is at work: run" in refused.said
    unlocked = controller.run("playbooks/unlock.yml", "-e", "force=true")
    assert unlocked.rc == 0
    assert "core: the lock of run" in unlocked.said
    taker = controller.run("rollback.yml", "-e", "sha=aaaaaa1")
    assert taker.rc == 0, taker.out
    sleeper.resume()
    woken = sleeper.finish(180)
    assert woken.rc == 2
    assert "ROLLOUT UNKNOWN: this run lost its lock, to another run or to somebody who unlocked it" in woken.said
    assert "is gone from this host" in woken.said or "no longer holds the lock of this host" in woken.said
    for host in fleet.hosts:
        assert set(fleet.running(host).values()) == {"sha-aaaaaa1"}, host


def test_a_part_of_the_playbook_is_refused(controller):
    for option in (["--tags", "x"], ["--skip-tags", "x"], ["--start-at-task", "Confirm the release as stable"]):
        result = controller.run("rollout.yml", *option)
        assert result.rc == 2
        assert f"ROLLOUT REFUSED: nothing was touched. {option[0]} would run a part of rollout.yml" in result.said

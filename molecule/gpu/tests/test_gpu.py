"""The life of a GPU service with a simulated card: each test goes on where the one before it ended."""

import re

import pytest
from conftest import CARD, DETECTOR, MACHINE

GOOD, NEXT, WRONG, FADES = "aaaaaa1", "bbbbbb2", "badca1c", "fade0ff"
REFUSED = "nothing was touched, what ran before still runs."
UPGRADED = "loaded is 580.65.06, installed 590.44.01 (driver_mismatch)"
VAIN = "The fault is the host's. Rolling back will not help: The driver was upgraded and the old one is still loaded: reboot"
# In the last screen.
PROVEN = r"detector (?:started|sha-\w+ -> sha-\w+) [\d.]+ s 2\.13\.0\+simulated"
LOST = "(gpu_lost). The fault is the host's."


def test_rollout_and_gpu_check(run, runs):
    said = run("rollout.yml", "-e", f"sha={GOOD}")
    assert f"ROLLOUT SUCCEEDED: sha-{GOOD} runs on 1 host, every gate held." in said
    assert re.search(PROVEN, said)
    runs(f"sha-{GOOD}")
    said = run("playbooks/gpu_check.yml")
    assert "SERVICE TORCH CUDA DRIVER DEVICE FREE VERDICT ktrdr-molecule-gpu " in said
    assert "detector 2.13.0 13.0 580.65.06 Simulated card 20/24 GiB pass" in said
    assert "1 checked, all have the torch that they should have." in said


@pytest.mark.usefixtures("untouched")
def test_driver_upgraded_under_the_host(run, card):
    card(installed="590.44.01")
    said = run("rollout.yml", "-e", f"sha={NEXT}", rc=2)
    assert f"ROLLOUT REFUSED: {REFUSED}" in said
    assert "On host ktrdr-molecule-gpu, gate gpu: Service detector needs the GPU, and this host has none to give" in said
    assert f"{UPGRADED}. {VAIN}" in said
    said = run("playbooks/gpu_check.yml")
    assert f"detector: a restart of this container would fail: {UPGRADED}" in said
    assert "1 checked, all have the torch that they should have." in said


def test_card_that_stays_held_after_the_stop(host, run, card, runs):
    # Two have room beside each other, the trainer and a new detector have not.
    card(users={**CARD["users"], "simulated-trainer": 20000})
    # The shell returns before the trainer has its name.
    host.check_output("setsid bash -c 'exec -a simulated-trainer sleep 600' > /dev/null 2>&1 < /dev/null &")
    (pid,) = host.check_output("timeout 10 sh -c 'until pgrep -f ^simulated-trainer; do sleep 0.05; done'").split()
    said = run("rollout.yml", "-e", f"sha={NEXT}", rc=2)
    assert f"ROLLOUT REVERTED: sha-{NEXT} could not be rolled out. sha-{GOOD} runs again, and its gates hold." in said
    assert "gate start: Service detector (stack detector)" in said
    assert "the card was not free 3 s after the old container was stopped (Simulated card has 4564 MiB free of the 8000" in said
    assert f"it is held by pid {pid} (simulated-trainer, 20000 MiB). End that process" in said
    runs(f"sha-{GOOD}")
    host.check_output("kill %s", pid)


def test_the_same_command_succeeds_stop_first(host, run, running, runs):
    old = running()["detector"][1]
    began = host.check_output("date +%s.%N")
    assert "ROLLOUT SUCCEEDED" in run("rollout.yml", "-e", f"sha={NEXT}")
    runs(f"sha-{NEXT}")
    new = running()["detector"][1]
    events = "docker events --since %s --until $(date +%%s) --filter type=container --format '{{.Action}} {{.ID}}'"
    found = host.check_output(events, began).splitlines()
    assert found.index(f"die {old}") < found.index(f"create {new}")


@pytest.mark.usefixtures("untouched")
def test_wrong_result_is_refused_while_the_card_has_room(run):
    said = run("rollout.yml", "-e", f"sha={WRONG}", rc=2)
    assert f"ROLLOUT REFUSED: {REFUSED}" in said
    assert "gate torch: Torch contract broken: image 172.17.0.1:5000/simulated-vision, service detector" in said
    assert "result off by 1.0 (wrong_result)." in said


def test_wrong_result_is_found_after_the_switch_where_the_card_was_full(run, card, runs):
    # The old detector leaves no room for a throw-away container.
    card(users={"simulated-detector": 20000})
    said = run("rollout.yml", "-e", f"sha={WRONG}", rc=2)
    assert f"ROLLOUT REVERTED: sha-{WRONG} did not pass. sha-{NEXT} runs again, and its gates hold." in said
    assert f"gate torch: Service detector (stack detector) does not pass on sha-{WRONG}: torch contract broken" in said
    assert "result off by 1.0 (wrong_result)." in said
    runs(f"sha-{NEXT}")


def test_card_lost_between_the_switch_and_the_end(run, runs):
    said = run("rollout.yml", "-e", f"sha={FADES}", rc=2)
    assert f"ROLLOUT REVERTED: sha-{FADES} did not pass. sha-{NEXT} runs again, and its gates hold." in said
    assert f"gate torch: Service detector (stack detector) does not pass on sha-{FADES}: torch contract broken" in said
    assert f"No CUDA GPUs are available (/dev/nvidia0: EPERM) {LOST}" in said
    # Its first gate had held.
    switched = [e["stack"] for e in MACHINE.ledger() if e["event"] == "switched" and e["release"] == f"sha-{FADES}"]
    assert switched == ["api", "detector"]
    runs(f"sha-{NEXT}")


@pytest.mark.usefixtures("untouched")
def test_card_lost_on_a_later_day(host, run):
    host.check_output("docker exec %s touch /simulated-card-lost", DETECTOR)
    said = run("playbooks/gpu_check.yml", rc=2)
    assert "detector 2.13.0 13.0 580.65.06 FAIL" in said
    assert f"No CUDA GPUs are available (/dev/nvidia0: EPERM) {LOST}" in said
    said = run("status.yml")
    assert "fail: gpu_lost DRIFT" in said
    assert "The container's access to its card was taken away (systemctl daemon-reload does): recreate it." in said


def test_rollout_of_the_same_release_gives_the_card_back(run, running, runs):
    before = running()
    said = run("rollout.yml", "-e", f"sha={NEXT}")
    assert re.search(r"api unchanged detector restarted \(torch: gpu_lost\) [\d.]+ s 2\.13\.0\+simulated", said)
    runs(f"sha-{NEXT}")
    assert [name for name in before if running()[name] != before[name]] == ["detector"]


@pytest.mark.usefixtures("untouched")
def test_rollback_has_the_same_gates(run, card):
    card(installed="590.44.01")
    said = run("rollback.yml", rc=2)
    assert f"ROLLBACK REFUSED: {REFUSED}" in said
    assert f"{UPGRADED}. {VAIN}" in said


def test_rollback_to_the_earlier_release(run, runs):
    said = run("rollback.yml")
    assert f"ROLLBACK SUCCEEDED: sha-{GOOD} runs on 1 host, every gate held." in said
    assert re.search(PROVEN, said)
    runs(f"sha-{GOOD}")

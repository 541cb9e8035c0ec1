"""The other ways of a service to let go of its work. What is at work goes on to the end of the scenario."""

from __future__ import annotations

import os
import signal

from conftest import HOST, wait

LONG = ["long-1", "long-2"]
FORCED = ["forced-1", "forced-2"]


def submit(backend, keys, kind, seconds):
    for key in keys:
        backend.submit({"id": key, "kind": kind, "params": {"steps": seconds * 10, "step_seconds": 0.1}})


def test_a_run_that_is_killed_while_it_waits(machine, backend, watch, type_command):
    submit(backend, LONG, "backtest", 60)
    wait(lambda: watch.states(LONG) == {"running"}, 30, "they run")

    def kill(process):
        wait(lambda: machine.ledger()[-1].get("service") == "backtest-worker-1", 90, "a worker is waited for")
        wait(lambda: "draining" in {w["status"] for w in backend.ask("workers")}, 10, "it is draining")
        os.killpg(process.pid, signal.SIGKILL)

    type_command("rollout.yml", "-e", "sha=bbbbbb2", "-e", "rollout_drain=wait", meanwhile=kill)


def test_the_next_one_takes_over_waits_for_too_long_and_leaves_the_worker_at_work(machine, backend, watch, type_command):
    before = machine.running()
    result = type_command("rollout.yml", "-e", "sha=bbbbbb2", "-e", "rollout_drain=wait", "-e", "rollout_drain_timeout=3")
    assert result.rc == 2, result.out[-3000:]
    assert "Interrupted switching backtest-worker-1, by run" in result.said
    assert "ROLLOUT REVERTED: sha-bbbbbb2 did not pass. sha-aaaaaa1 runs again, and its gates hold." in result.said
    assert "gate drain: Service backtest-worker-1 (stack workers) does not pass on sha-bbbbbb2: 3 s after it" in result.said
    assert "it still does 1 operation (long-" in result.said
    assert "let its work be checkpointed: -e rollout_drain=checkpoint. It was left running and takes work again." in result.said
    after = machine.running()
    assert {release for release, _id in after.values()} == {"sha-aaaaaa1"}
    # The backend was switched forth and back; no worker was touched, none is left draining, and they go on.
    assert {s: v for s, v in after.items() if s != "backend"} == {s: v for s, v in before.items() if s != "backend"}
    assert {w["status"] for w in backend.ask("workers")} == {"alive"}
    assert {watch.operations[key][-1]["attempt"] for key in LONG} == {1}


def test_each_kind_of_worker_in_its_own_way(machine, backend, watch, type_command):
    """Another configuration of the workers: backtests may end, trainings are stopped by force."""

    def submit_before_each_switch(_process):
        before = machine.ledger()[-1]["seq"]
        wait(lambda: any(e["event"] == "staged" and e["seq"] > before for e in machine.ledger()), 90, "the release is staged")
        # Where LONG has ended by now, these are at work in its place.
        submit(backend, ["short-1", "short-2"], "backtest", 10)
        wait(lambda: machine.ledger()[-1].get("service") == "backtest-worker-2", 120, "the training workers come next")
        submit(backend, FORCED, "training", 45)

    ports = '"ktrdr_backtest_port": 5103, "ktrdr_training_port": 5105'
    result = type_command(
        "rollout.yml",
        "-e",
        "rollout_drain=wait",
        "-e",
        f'{{"ktrdr_training_drain": {{"mode": "force"}}, {ports}}}',
        meanwhile=submit_before_each_switch,
    )
    assert result.rc == 0, result.out[-3000:]
    assert f"backtest-worker-1 ({HOST}): waited" in result.said
    assert "s for 1 operation." in result.said
    for n in (1, 2):
        assert f"training-worker-{n} ({HOST}): stopped by force." in result.said
    assert {watch.operations[key][-1]["attempt"] for key in LONG} == {1}, "who is waited for ends where it began"
    assert watch.states(LONG) == {"completed"}

"""The other ways of a service to let go of its work. What is at work goes on to the end of the scenario."""

from __future__ import annotations

import pytest
from operators import wait

pytestmark = pytest.mark.nightly

LONG = ["long-1", "long-2"]
FORCED = ["forced-1", "forced-2"]


def submit(backend, keys, kind, seconds):
    for key in keys:
        backend.submit({"id": key, "kind": kind, "params": {"steps": seconds * 10, "step_seconds": 0.1}})


def test_a_run_that_is_killed_while_it_waits(machine, backend, watch, operator):
    submit(backend, LONG, "backtest", 60)
    wait(lambda: watch.states(LONG) == {"running"}, 30, "they run")

    typed = operator.start("rollout.yml", "-e", "sha=bbbbbb2", "-e", "rollout_drain=wait")
    wait(lambda: machine.ledger()[-1].get("service") == "backtest-worker-1", 90, "a worker is waited for")
    wait(lambda: "draining" in {w["status"] for w in backend.ask("workers")}, 10, "it is draining")
    typed.kill()


def test_the_next_one_takes_over_waits_for_too_long_and_leaves_the_worker_at_work(machine, backend, watch, operator):
    before = machine.running()
    result = operator.run("rollout.yml", "-e", "sha=bbbbbb2", "-e", "rollout_drain=wait", "-e", "rollout_drain_timeout=3", rc=2)
    assert "Interrupted switching backtest-worker-1, by run" in result.said
    assert "ROLLOUT REVERTED: sha-bbbbbb2 could not be rolled out. sha-aaaaaa1 runs again, and its gates hold." in result.said
    assert "backtest-worker-1 (stack workers), which still runs sha-aaaaaa1, was not replaced: 3 s after it" in result.said
    assert "it still does 1 operation (long-" in result.said
    assert "let its work be checkpointed: -e rollout_drain=checkpoint. It was left running and takes work again." in result.said
    after = machine.running()
    assert {release for release, _container in after.values()} == {"sha-aaaaaa1"}
    # The backend was switched forth and back; no worker was touched, none is left draining, and they go on.
    assert {s: v for s, v in after.items() if s != "backend"} == {s: v for s, v in before.items() if s != "backend"}
    assert {w["status"] for w in backend.ask("workers")} == {"alive"}
    assert {watch.operations[key][-1]["attempt"] for key in LONG} == {1}


def test_each_kind_of_worker_in_its_own_way(machine, backend, watch, operator):
    """Another configuration of the workers: backtests may end, trainings are stopped by force."""

    before = machine.ledger()[-1]["seq"]
    ports = '"ktrdr_backtest_port": 5103, "ktrdr_training_port": 5105'
    drain = f'{{"ktrdr_training_drain": {{"mode": "force"}}, {ports}}}'
    typed = operator.start("rollout.yml", "-e", "sha=aaaaaa1", "-e", "rollout_drain=wait", "-e", drain)
    wait(lambda: any(e["event"] == "staged" and e["seq"] > before for e in machine.ledger()), 90, "the release is staged")
    # Where LONG has ended by now, these are at work in its place.
    submit(backend, ["short-1", "short-2"], "backtest", 10)
    wait(lambda: machine.ledger()[-1].get("service") == "backtest-worker-2", 120, "the training workers come next")
    submit(backend, FORCED, "training", 45)
    result = typed.finish()
    assert f"backtest-worker-1 ({machine.container}): waited" in result.said
    assert "s for 1 operation." in result.said
    for n in (1, 2):
        assert f"training-worker-{n} ({machine.container}): stopped by force." in result.said
    assert {watch.operations[key][-1]["attempt"] for key in LONG} == {1}, "who is waited for ends where it began"
    assert watch.states(LONG) == {"completed"}


def test_whoever_was_stopped_by_force_is_not_lost(backend):
    wait(lambda: all(one["state"] in ("completed", "failed") for one in backend.ask("operations")), 120, "all are finished")
    assert {one["state"] for one in backend.ask("operations")} == {"completed"}
    forced = [one for one in backend.ask("operations") if one["id"] in FORCED]
    assert [one["attempt"] > 1 for one in forced] == [True, True]
    assert {one["losses"] for one in forced} == {0}

"""After all that: nothing was lost."""

from conftest import wait


def test_all_that_was_ever_submitted_is_completed(backend):
    wait(lambda: all(one["state"] in ("completed", "failed") for one in backend.ask("operations")), 120, "all are finished")
    last = {one["id"]: one for one in backend.ask("operations")}
    assert {one["state"] for one in last.values()} == {"completed"}
    forced = [one for key, one in last.items() if key.startswith("forced-")]
    assert [one["attempt"] > 1 for one in forced] == [True, True]
    assert {one["losses"] for one in forced} == {0}, "whoever is stopped by force is not lost"


def test_every_worker_is_at_work(backend):
    workers = {one["id"].partition("work-")[2]: one["status"] for one in backend.ask("workers")}
    assert workers == {f"{kind}-worker-{n}": "alive" for kind in ("backtest", "training") for n in (1, 2)}

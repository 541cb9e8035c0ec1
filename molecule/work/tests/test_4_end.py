"""After all that."""


def test_every_worker_is_at_work(backend):
    workers = {one["id"].partition("work-")[2]: one["status"] for one in backend.ask("workers")}
    assert workers == {f"{kind}-worker-{n}": "alive" for kind in ("backtest", "training") for n in (1, 2)}

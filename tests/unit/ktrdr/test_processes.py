"""Backend and workers as real processes: signals, restarts, a wrong image."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ktrdr.operations import Kind, Params

ROOT = Path(__file__).resolve().parents[3]
APPS = {
    Kind.BACKTEST: "ktrdr.backtesting.backtest_worker:app",
    Kind.TRAINING: "ktrdr.training.training_worker:app",
}
PACE = {"heartbeat_seconds": "0.1", "poll_seconds": "0.1", "checkpoint_seconds": "0.1", "device": "cpu"}


def undisturbed(kind: Kind, params: dict[str, Any]) -> dict[str, Any]:
    torch = pytest.importorskip("torch")
    from ktrdr.backtesting.crossover import Crossover
    from ktrdr.training.mlp import Mlp

    make: Any = Crossover if kind == Kind.BACKTEST else Mlp
    task = make(Params(**params), torch.device("cpu"))
    for _ in range(params["steps"]):
        task.step()
    result: dict[str, Any] = task.result()
    return result


class House:
    """A backend and two workers of one kind; `first` has begun the operation `op1`."""

    params: ClassVar[dict[str, Any]] = {"seed": 7, "steps": 100, "step_seconds": 0.02}

    def __init__(self, kind: Kind, database: dict[str, str], serve: Any, until: Any) -> None:
        self._serve, self._until, self._kind = serve, until, kind
        self._settings = database | {"release": "sha-abc1234", "worker_timeout_seconds": "1"}
        self.backend = serve("ktrdr.api.main:app", **self._settings)
        link = {"backend_url": self.backend.url, "release": "sha-abc1234"} | PACE
        # Both start at once, for importing torch takes seconds; the second then waits, draining.
        self.first = serve(APPS[kind], worker_id="first", grace_seconds="0.1", **link)
        self.second = serve(APPS[kind], worker_id="second", **link)
        self.expected = undisturbed(kind, self.params)
        self.backend.ready("/api/v1/health")
        for worker in (self.first, self.second):
            worker.ready("/health")
            until(lambda worker=worker: worker.get("/health").json()["registered"])
        self.drain("second", True)
        body = {"id": "op1", "kind": kind, "params": self.params}
        assert self.backend.client.post("/api/v1/operations", json=body).status_code == 200
        until(lambda: self.step() >= 10)

    def drain(self, worker: str, draining: bool) -> None:
        answer = self.backend.client.post(f"/api/v1/workers/{worker}/drain", json={"draining": draining})
        assert answer.status_code == 200

    def shown(self) -> dict[str, Any]:
        body: dict[str, Any] = self.backend.client.get("/api/v1/operations/op1").json()
        return body

    def step(self) -> int:
        """The step of the last checkpoint."""
        return (self.shown()["checkpoint"] or {}).get("step") or 0

    def restart_backend(self) -> None:
        self.backend.end()
        self.backend = self._serve("ktrdr.api.main:app", port=self.backend.port, **self._settings)
        self.backend.ready("/api/v1/health")

    def finished_by_second(self) -> None:
        done = self._until(lambda: (now := self.shown())["state"] == "completed" and now)
        assert (done["worker"], done["attempt"], done["result"]) == ("second", 2, self.expected)
        assert self.second.end() in (0, -signal.SIGTERM)
        assert self.backend.get("/api/v1/workers/second").status_code == 404


def test_sigterm_gives_the_operation_back_for_another_to_finish(pg: dict[str, str], serve: Any, until: Any) -> None:
    house = House(Kind.BACKTEST, pg, serve, until)
    health = house.first.get("/health").json()
    assert health.pop("torch").startswith("2.")
    assert health == {
        "status": "healthy",
        "release": "sha-abc1234",
        "worker_id": "first",
        "registered": True,
        "device": "cpu",
    }
    assert house.first.end() in (0, -signal.SIGTERM)
    given_back = house.shown()
    assert (given_back["state"], given_back["worker"], given_back["attempt"]) == ("queued", None, 1)
    assert 10 <= house.step() < house.params["steps"]
    assert house.backend.get("/api/v1/workers/first").status_code == 404
    house.drain("second", False)
    house.finished_by_second()


def test_sigkill_is_noticed_and_a_backends_restart_forgets_nothing(pg: dict[str, str], serve: Any, until: Any) -> None:
    house = House(Kind.TRAINING, pg, serve, until)
    step = house.step()
    house.first.end(kill=True)
    until(lambda: house.backend.get("/api/v1/workers/first").json()["status"] == "lost")
    house.drain("second", False)
    until(lambda: house.step() > step)
    house.restart_backend()
    house.finished_by_second()


@pytest.mark.parametrize("kind", list(Kind))
def test_from_an_image_without_torch_it_ends_with_the_message(
    kind: Kind, tmp_path: Path, serve: Any, sqlite: dict[str, str]
) -> None:
    missing = "No module named 'torch'"
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "torch.py").write_text(f"raise ImportError({json.dumps(missing)})\n")
    worker = serve(APPS[kind], PYTHONPATH=f"{tmp_path}/without:{ROOT}")
    assert worker.process.wait(60) not in (0, None)
    assert worker.log.read_text().rstrip().splitlines()[-1] == (
        "Worker requires ML dependencies but torch is not installed. This usually means the wrong Docker "
        "image was deployed. Workers should use 'ktrdr-worker-cpu' or 'ktrdr-worker-gpu', not "
        f"'ktrdr-backend'. Original error: {missing}"
    )
    assert "registered" not in worker.log.read_text()

"""Backend and workers as real processes: signals, restarts, a wrong image."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from ktrdr.operations import Kind, Params

ROOT = Path(__file__).resolve().parents[3]
APPS = {
    Kind.BACKTEST: "ktrdr.backtesting.backtest_worker:app",
    Kind.TRAINING: "ktrdr.training.training_worker:app",
}
PACE = {"heartbeat_seconds": "0.1", "poll_seconds": "0.05", "checkpoint_seconds": "0.1", "device": "cpu"}


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


@pytest.mark.parametrize("kind", list(Kind))
def test_an_operation_outlives_sigterm_sigkill_and_the_backends_restart(
    kind: Kind, pg: dict[str, str], serve: Any, until: Any
) -> None:
    params = {"seed": 7, "steps": 150, "step_seconds": 0.02}
    expected = undisturbed(kind, params)
    there = pg | {"release": "sha-abc1234", "worker_timeout_seconds": "1"}
    backend = serve("ktrdr.api.main:app", **there)
    link = {"backend_url": backend.url, "release": "sha-abc1234"} | PACE

    def shown() -> dict[str, Any]:
        body: dict[str, Any] = httpx.get(f"{backend.url}/api/v1/operations/op1", timeout=5).json()
        return body

    def reached(step: int) -> bool:
        return ((shown()["checkpoint"] or {}).get("step") or 0) >= step

    # All start at once; who is to go on waits, stopped, for its turn.
    first = serve(APPS[kind], worker_id="first", grace_seconds="0.1", **link)
    backend.ready("/api/v1/health")
    first.ready("/health")
    until(lambda: first.get("/health").json()["registered"])
    health = first.get("/health").json()
    torch_version = health.pop("torch")
    assert torch_version.startswith("2.")
    assert health == {
        "status": "healthy",
        "release": "sha-abc1234",
        "worker_id": "first",
        "registered": True,
        "device": "cpu",
    }
    answer = httpx.post(
        f"{backend.url}/api/v1/operations", json={"id": "op1", "kind": kind, "params": params}
    )
    assert answer.status_code == 200
    until(lambda: reached(20))

    assert first.end() in (0, -signal.SIGTERM)
    given_back = shown()
    assert (given_back["state"], given_back["worker"], given_back["attempt"]) == ("queued", None, 1)
    step = given_back["checkpoint"]["step"]
    assert 20 <= step < params["steps"]
    assert backend.get("/api/v1/workers/first").status_code == 404
    assert "gone" in first.log.read_text()

    second = serve(APPS[kind], worker_id="second", **link)
    until(lambda: reached(step + 10), 30)
    assert shown()["attempt"] == 2
    second.end(kill=True)

    third = serve(APPS[kind], worker_id="third", **link)
    until(lambda: shown()["attempt"] == 3, 30)
    assert backend.get("/api/v1/workers/second").json()["status"] == "lost"
    backend.end()
    backend = serve("ktrdr.api.main:app", port=backend.port, **there).ready("/api/v1/health")
    done = until(lambda: (now := shown())["state"] == "completed" and now, 20)
    assert (done["worker"], done["attempt"], done["result"]) == ("third", 3, expected)
    assert third.end() in (0, -signal.SIGTERM)


@pytest.mark.parametrize("kind", list(Kind))
def test_from_an_image_without_torch_it_ends_with_the_message(
    kind: Kind, tmp_path: Path, serve: Any, sqlite: dict[str, str]
) -> None:
    missing = "No module named 'torch'"
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "torch.py").write_text(f"raise ImportError({json.dumps(missing)})\n")
    worker = serve(APPS[kind], PYTHONPATH=f"{tmp_path}/without:{ROOT}")
    assert worker.process.wait(10) not in (0, None)
    assert worker.log.read_text().rstrip().splitlines()[-1] == (
        "Worker requires ML dependencies but torch is not installed. This usually means the wrong Docker image "
        "was deployed. Workers should use 'ktrdr-worker-cpu' or 'ktrdr-worker-gpu', not 'ktrdr-backend'. "
        f"Original error: {missing}"
    )
    assert "registered" not in worker.log.read_text()

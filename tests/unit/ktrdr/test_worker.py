"""A worker in this process, on a backend in this process: what it does on good and bad days."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from ktrdr.api.main import create_app
from ktrdr.backtesting.crossover import Crossover
from ktrdr.config import Settings
from ktrdr.operations import Kind, Params
from ktrdr.worker import Worker
from ktrdr.worker import create_app as create_worker


@pytest.fixture(autouse=True, scope="module")
def _torch() -> None:
    """Loaded by whoever runs these tests, not by whoever collects them: it takes seconds."""
    pytest.importorskip("torch")


def cpu() -> Any:
    import torch

    return torch.device("cpu")


SLOW = {"seed": 1, "steps": 4000, "step_seconds": 0.01}
QUICK = {"seed": 1, "steps": 5}


class Line(httpx.ASGITransport):
    """The way to the backend, which can be cut: before the request or before its answer."""

    cut = ""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.cut == "before":
            raise httpx.ConnectError("cut")
        answer = await super().handle_async_request(request)
        if self.cut and self.cut in request.url.path:
            self.cut = ""
            raise httpx.ReadTimeout("cut")
        return answer


class House:
    """A backend, a worker, and a client that looks at both."""

    def __init__(self, database: dict[str, str], **settings: Any) -> None:
        quick = {
            "heartbeat_seconds": 0.05,
            "poll_seconds": 0.02,
            "checkpoint_seconds": 0.05,
            "worker_id": "w1",
        }
        self.settings = Settings(**quick | database | settings)
        app = create_app(self.settings)
        self.line = Line(app=app)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://backend/api/v1/")
        backend = httpx.AsyncClient(transport=self.line, base_url="http://backend")
        self.worker = Worker(self.settings, Kind.BACKTEST, Crossover, cpu(), backend)

    async def submit(self, key: str, params: dict[str, Any]) -> None:
        answer = await self.client.post("operations", json={"id": key, "kind": "backtest", "params": params})
        assert answer.status_code == 200, answer.text

    async def shown(self, key: str) -> dict[str, Any]:
        body: dict[str, Any] = (await self.client.get(f"operations/{key}")).json()
        return body

    async def becomes(self, key: str, state: str) -> dict[str, Any]:
        await soon(lambda: self.is_now(key, state))
        return await self.shown(key)

    async def is_now(self, key: str, state: str) -> bool:
        return bool((await self.shown(key))["state"] == state)

    async def checkpointed(self, key: str) -> bool:
        return bool((await self.shown(key))["checkpoint"])


async def soon(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def living(database: dict[str, str], **settings: Any) -> AsyncIterator[House]:
    house = House(database, grace_seconds=settings.pop("grace_seconds", 0), **settings)
    house.worker.start()
    yield house
    assert house.worker.broken() == ""
    await house.worker.leave()


def undisturbed(params: dict[str, Any]) -> dict[str, Any]:
    task = Crossover(Params(**params), cpu())
    for _ in range(params["steps"]):
        task.step()
    return task.result()


def test_it_works_through_what_there_is(sqlite: dict[str, str]) -> None:
    async def story() -> None:
        async with living(sqlite) as house:
            for n in range(3):
                await house.submit(f"op{n}", QUICK | {"seed": n})
            for n in range(3):
                done = await house.becomes(f"op{n}", "completed")
                assert done["result"] == undisturbed(QUICK | {"seed": n})
        assert (await house.client.get("workers")).json() == []

    asyncio.run(story())


def test_a_bad_operation_fails_and_the_next_is_done(sqlite: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    result = Crossover.result

    def fragile(self: Crossover) -> dict[str, Any]:
        if self.step_number == 1:
            raise ValueError("too\0short")
        return {"x": float("nan")} if self.step_number == 2 else result(self)

    monkeypatch.setattr(Crossover, "result", fragile)

    async def story() -> None:
        async with living(sqlite) as house:
            for n in (1, 2, 3):
                await house.submit(f"op{n}", {"seed": 1, "steps": n})
            assert (await house.becomes("op1", "failed"))["error"] == "ValueError: tooshort"
            assert "not JSON compliant" in (await house.becomes("op2", "failed"))["error"]
            await house.becomes("op3", "completed")

    asyncio.run(story())


def test_leaving_it_finishes_within_the_grace_period_and_claims_no_more(sqlite: dict[str, str]) -> None:
    async def story() -> None:
        async with living(sqlite, grace_seconds=20) as house:
            await house.submit("op1", {"seed": 1, "steps": 20, "step_seconds": 0.02})
            await house.submit("op2", QUICK)
            await soon(lambda: house.checkpointed("op1"))
        assert await house.is_now("op1", "completed")
        assert await house.is_now("op2", "queued")
        assert (await house.client.get("workers")).json() == []

    asyncio.run(story())


def test_leaving_it_gives_back_what_it_cannot_finish(sqlite: dict[str, str]) -> None:
    async def story() -> None:
        async with living(sqlite, grace_seconds=0.05, checkpoint_seconds=60) as house:
            await house.submit("op1", SLOW)
            await soon(lambda: house.is_now("op1", "running"))
        shown = await house.shown("op1")
        assert (shown["state"], shown["worker"]) == ("queued", None)
        assert 0 < shown["checkpoint"]["step"] < SLOW["steps"]

    asyncio.run(story())


def test_a_backend_that_is_away_costs_nothing(sqlite: dict[str, str]) -> None:
    async def story() -> None:
        async with living(sqlite) as house:
            await house.submit("op1", {"seed": 1, "steps": 20, "step_seconds": 0.01})
            await soon(lambda: house.checkpointed("op1"))
            house.line.cut = "before"

            async def noticed() -> bool:
                return not house.worker.registered

            await soon(noticed)
            assert house.worker.broken() == ""
            await asyncio.to_thread(undisturbed, QUICK)
            house.line.cut = ""
            done = await house.becomes("op1", "completed")
            assert (done["attempt"], done["result"]) == (1, undisturbed({"seed": 1, "steps": 20}))
            await house.submit("op2", QUICK)
            await house.becomes("op2", "completed")

    asyncio.run(story())


@pytest.mark.parametrize("word", ["claim", "checkpoint", "complete", "workers"])
def test_an_answer_that_gets_lost_loses_nothing(sqlite: dict[str, str], word: str) -> None:
    async def story() -> None:
        house = House(sqlite, grace_seconds=0)
        house.line.cut = word
        params = {"seed": 1, "steps": 12, "step_seconds": 0.01}
        await house.submit("op1", params)
        house.worker.start()
        done = await house.becomes("op1", "completed")
        assert house.line.cut == "", "no answer was lost"
        assert done["result"] == undisturbed(params)
        await house.worker.leave()

    asyncio.run(story())


def test_it_drops_what_is_no_longer_its_own_and_registers_again(sqlite: dict[str, str]) -> None:
    async def story() -> None:
        async with living(sqlite) as house:
            await house.submit("op1", SLOW)
            await soon(lambda: house.checkpointed("op1"))
            assert (await house.client.delete("workers/w1")).status_code == 204

            async def claimed_anew() -> bool:
                return bool((await house.shown("op1"))["attempt"] == 2)

            await soon(claimed_anew)
            assert (await house.client.get("workers/w1")).json()["operations"] == ["op1"]

    asyncio.run(story())


def test_without_its_device_it_says_why_and_does_not_register(sqlite: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    settings = Settings(device="cuda", release="sha-abc1234", worker_id="w1", backend_url="http://127.0.0.1:1")
    with TestClient(create_worker(Kind.TRAINING, Crossover, settings)) as client:
        answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["reason"].startswith("device cuda is asked for, but torch ")
    assert (answer.json()["release"], answer.json()["registered"]) == ("sha-abc1234", False)

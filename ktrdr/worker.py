"""What both workers do: prove that they can compute, register, beat, claim, compute, checkpoint, leave."""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Protocol

import httpx
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from ktrdr.config import Settings
from ktrdr.ml import DeviceError, pick_device, torch_version, validate_ml_dependencies
from ktrdr.operations import Json, Kind, Params

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

REQUEST_SECONDS = 2.0


class Task(Protocol):
    """An operation at work. The same params give the same result, from any checkpoint on."""

    step_number: int

    def step(self) -> None:
        """Do the next step."""

    def checkpoint(self) -> Json:
        """Where it stands, as JSON."""

    def result(self) -> Json:
        """What came out after the last step."""


Make = Callable[[Params, "torch.device", Json | None], Task]


class Worker:
    """One worker: two tasks on the event loop, one that beats and one that works."""

    def __init__(self, settings: Settings, kind: Kind, make: Make, device: torch.device, backend: httpx.AsyncClient) -> None:
        self.registered = False
        self._settings, self._kind, self._make = settings, kind, make
        self._device, self._backend = device, backend
        self._me = f"/api/v1/workers/{settings.worker_id}"
        self._introduced = False
        self._draining = asyncio.Event()
        # Set on the event loop, seen by the thread that computes.
        self._stop = threading.Event()
        self._beating: asyncio.Task[None]
        self._working: asyncio.Task[None]

    def start(self) -> None:
        """Begin to beat and to work. Only then may it be asked or leave."""
        self._beating = asyncio.create_task(self._beat())
        self._working = asyncio.create_task(self._work())

    def broken(self) -> str:
        """Why it no longer works although it should, empty where it does."""
        for task in (self._beating, self._working):
            if task.done() and not self._draining.is_set():
                return f"the worker's loop ended: {task.exception()!r}"
        return ""

    async def leave(self) -> None:
        """Claim no more; finish within the grace period or give back with a checkpoint; say goodbye."""
        self._draining.set()
        log.info("leaving: no further operation is claimed")
        # Beside the work, for a backend that is away would eat the grace period; it learns from the silence.
        drain = asyncio.create_task(self._ask("POST", f"{self._me}/drain"))
        await asyncio.wait([self._working], timeout=self._settings.grace_seconds)
        self._stop.set()
        await asyncio.gather(self._working, return_exceptions=True)
        self._beating.cancel()
        await asyncio.gather(drain, self._beating, return_exceptions=True)
        # Even where no registration was confirmed: its answer may have been lost.
        await asyncio.gather(self._ask("DELETE", self._me), return_exceptions=True)
        log.info("gone")

    async def _ask(self, method: str, path: str, body: Json | None = None) -> httpx.Response:
        """What the backend says; raises httpx.HTTPError where it is away, or says that something else is."""
        answer = await self._backend.request(method, path, json=body)
        if answer.is_server_error:
            answer.raise_for_status()
        return answer

    async def _beat(self) -> None:
        while True:
            try:
                if self._introduced and (await self._ask("POST", f"{self._me}/heartbeat")).status_code == 404:
                    self._introduced = False
                if not self._introduced and not self._draining.is_set():
                    await self._introduce()
                self.registered = self._introduced
            except httpx.HTTPError as error:
                log.warning("the backend does not answer: %s", _words(error))
                self.registered = False
            await asyncio.sleep(self._settings.heartbeat_seconds)

    async def _introduce(self) -> None:
        body = {
            "id": self._settings.worker_id,
            "kind": self._kind,
            "release": self._settings.release,
            "capabilities": [self._kind],
            "device": str(self._device),
        }
        answer = await self._ask("POST", "/api/v1/workers", body)
        self._introduced = answer.is_success
        if not answer.is_success:
            log.error("the backend refuses this worker: %s %s", answer.status_code, answer.text)

    async def _work(self) -> None:
        while not self._draining.is_set():
            operation = await self._claim() if self.registered else None
            if operation:
                await self._run(operation)
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._draining.wait(), self._settings.poll_seconds)

    async def _claim(self) -> Json | None:
        try:
            answer = await self._ask("POST", f"{self._me}/claim")
        except httpx.HTTPError:
            return None  # the heartbeat says so
        claimed: Json | None = answer.json() if answer.status_code == 200 else None
        return claimed

    async def _run(self, operation: Json) -> None:
        path = f"/api/v1/operations/{operation['id']}"
        held: Json = {"worker": self._settings.worker_id, "attempt": operation["attempt"]}
        body: Json
        log.info("operation %s, attempt %d: begins", operation["id"], operation["attempt"])
        try:
            params = Params(**operation["params"])
            task = await asyncio.to_thread(self._make, params, self._device, operation["checkpoint"])
            while await asyncio.to_thread(self._compute, task, params):
                state = held | {"checkpoint": task.checkpoint()}
                if self._stop.is_set():
                    log.info("operation %s: given back at step %d", operation["id"], task.step_number)
                    await self._tell(f"{path}/release", state)
                    return
                if not await self._checkpoint(f"{path}/checkpoint", state):
                    return
            result = await asyncio.to_thread(task.result)
            json.dumps(result, allow_nan=False)  # a result that cannot be sent is a failure
            word, body = "complete", {"result": result}
        except Exception as error:  # whatever an operation does wrong, the worker goes on to the next
            log.exception("operation %s failed", operation["id"])
            word, body = "fail", {"error": _words(error)}
        await self._tell(f"{path}/{word}", held | body)
        log.info("operation %s: %s", operation["id"], word)

    def _compute(self, task: Task, params: Params) -> bool:
        """Do steps until a checkpoint is due, the worker must stop or none is left; whether any is left."""
        due = time.monotonic() + self._settings.checkpoint_seconds
        while task.step_number < params.steps:
            if time.monotonic() >= due or self._stop.is_set():
                return True
            task.step()
            self._stop.wait(params.step_seconds)
        return False

    async def _checkpoint(self, path: str, body: Json) -> bool:
        """Send a checkpoint; False where the operation is no longer this worker's. Losing one is harmless."""
        try:
            answer = await self._ask("POST", path, body)
        except httpx.HTTPError:
            return True
        if not answer.is_success:
            log.warning("operation dropped: %s", answer.text)
        return answer.is_success

    async def _tell(self, path: str, body: Json) -> None:
        """Say how an operation ended, until the backend has heard it.

        A leaving worker tries once more and gives up: whoever resumes the operation comes to the same end.
        """
        while True:
            last = self._stop.is_set()
            try:
                answer = await self._ask("POST", path, body)
                if not answer.is_success:
                    log.warning("not accepted: %s", answer.text)
                return
            except httpx.HTTPError as error:
                log.warning("not told to the backend: %s", _words(error))
                if last:
                    return
            await asyncio.sleep(self._settings.poll_seconds)


def create_app(kind: Kind, make: Make, settings: Settings | None = None) -> FastAPI:
    """The worker of this kind, whose operations `make` begins or resumes."""
    settings = settings or Settings()
    facts: Json = {"release": settings.release, "worker_id": settings.worker_id}
    state: dict[str, Worker] = {}
    cannot: list[str] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            validate_ml_dependencies()
        except RuntimeError as error:
            # The server has more to say after this; a person reads the last line.
            atexit.register(print, error, file=sys.stderr, flush=True)
            raise
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("httpx").setLevel(logging.WARNING)
        facts["torch"] = torch_version()
        try:
            device = pick_device(settings.device)
        except DeviceError as error:
            # Stay, so that the health check can say why; never register.
            log.error("%s", error)
            cannot.append(str(error))
            yield
            return
        facts["device"] = str(device)
        async with httpx.AsyncClient(base_url=settings.backend_url, timeout=REQUEST_SECONDS) as backend:
            worker = Worker(settings, kind, make, device, backend)
            worker.start()
            state["worker"] = worker
            yield
            await worker.leave()

    app = FastAPI(title=f"ktrdr {kind} worker", version=settings.release, lifespan=lifespan)

    @app.get("/health")
    async def health() -> JSONResponse:
        """Healthy while it can work, with or without the backend; else 503 and the reason."""
        worker = state.get("worker")
        reason = cannot[0] if cannot else worker.broken() if worker else "starting"
        body = facts | {"registered": bool(worker and worker.registered)}
        if reason:
            return JSONResponse({"status": "unhealthy", **body, "reason": reason}, 503)
        return JSONResponse({"status": "healthy", **body})

    return app


def _words(error: Exception) -> str:
    """An error as one line that any database stores."""
    return f"{type(error).__name__}: {error}".replace("\0", "").strip(": ")[:2000]

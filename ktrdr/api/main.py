"""The backend over HTTP: `uvicorn ktrdr.api.main:app`, port 8000. Workers come and ask; nobody calls them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Body, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from ktrdr.api.store import ConflictError, DatabaseError, NotFoundError, Store
from ktrdr.api.watch import LOST, Watch
from ktrdr.config import Settings
from ktrdr.operations import (
    Checkpoint,
    Completion,
    Drain,
    Failure,
    Json,
    Name,
    Registration,
    Release,
    State,
    Submission,
)

HEALTH_SECONDS = 2.0


class Probe:
    """Asks whether the database answers, one question at a time and on a thread of its own.

    So while a database hangs, neither health checks nor requests pile up behind the question.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "health")
        self._asked: Future[None] | None = None

    async def reason(self) -> str:
        """Why the database cannot be used, empty where it can; after HEALTH_SECONDS at most."""
        if self._asked is None or self._asked.done():
            self._asked = self._thread.submit(self._store.check)
        try:
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._asked)), HEALTH_SECONDS)
        except TimeoutError:
            return f"no answer within {HEALTH_SECONDS:g} s"
        except DatabaseError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Ask no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def create_app(settings: Settings, clock: Callable[[], float] = time.monotonic) -> FastAPI:
    """The backend for these settings, workers' silence told by `clock`. It starts whether or not the database is there."""
    url, watch = settings.database(), Watch(settings.worker_timeout_seconds, clock)
    migrate = settings.migrate or url.get_backend_name() == "sqlite"
    store = Store(url, watch, settings.max_losses, migrate=migrate, read_only=settings.rehearsal)
    probe = Probe(store)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        yield
        probe.close()
        store.close()

    app = FastAPI(title="ktrdr", version=settings.release, lifespan=lifespan)

    @app.exception_handler(DatabaseError)
    @app.exception_handler(NotFoundError)
    @app.exception_handler(ConflictError)
    async def refuse(_: Request, error: Exception) -> JSONResponse:
        status = {DatabaseError: 503, NotFoundError: 404, ConflictError: 409}[type(error)]
        what = "database unavailable: " if status == 503 else ""
        return JSONResponse({"reason": f"{what}{error}"}, status)

    @app.get("/api/v1/health")
    async def health() -> JSONResponse:
        """Healthy, and which release; else 503 and the reason."""
        reason = await probe.reason()
        if reason:
            unhealthy = {"status": "unhealthy", "release": settings.release}
            return JSONResponse(unhealthy | {"reason": f"database unavailable: {reason}"}, 503)
        return JSONResponse({"status": "healthy", "release": settings.release, "database": "ok"})

    # The rest are plain functions: FastAPI runs them in threads, where the database may block.

    @app.post("/api/v1/workers")
    def register(worker: Registration) -> Json:
        """A worker starts. What a predecessor of its name held is queued again."""
        store.register(worker)
        return store.worker(worker.id)

    @app.get("/api/v1/workers")
    def workers() -> list[Json]:
        """Every registered worker with its status."""
        return store.workers()

    @app.get("/api/v1/workers/{worker}")
    def worker(worker: Name, response: Response) -> Json:
        """One worker: 200 while it beats, 503 with a reason while it does not."""
        seen = store.worker(worker)
        if seen["status"] in ("alive", "draining"):
            return seen
        response.status_code = 503
        silent = f"no heartbeat for {seen['silent_seconds']} s"
        if seen["status"] != LOST:
            silent = "no heartbeat yet since the backend started"
        return seen | {"reason": silent}

    @app.delete("/api/v1/workers/{worker}", status_code=204)
    def goodbye(worker: Name) -> None:
        """A worker leaves. What it held is queued again, with its last checkpoint."""
        store.goodbye(worker)

    @app.post("/api/v1/workers/{worker}/heartbeat", status_code=204)
    def heartbeat(worker: Name) -> None:
        """A worker is alive. 404: it must register."""
        store.heartbeat(worker)

    @app.post("/api/v1/workers/{worker}/drain")
    def drain(worker: Name, wish: Annotated[Drain, Body(default_factory=Drain)]) -> Json:
        """A worker gets no further operation; `operations` in the answer are those that it still runs."""
        return store.drain(worker, wish.draining)

    @app.post("/api/v1/workers/{worker}/claim", response_model=None)
    def claim(worker: Name) -> Json | Response:
        """An operation for this worker, or 204."""
        return store.claim(worker) or Response(status_code=204)

    @app.post("/api/v1/operations")
    def submit(submission: Submission) -> Json:
        """Queue an operation. Doing so twice with one id queues it once."""
        return store.submit(submission)

    @app.get("/api/v1/operations")
    def operations(state: State | None = None) -> list[Json]:
        """Operations in the order of their submission."""
        return store.operations(state)

    @app.get("/api/v1/operations/{key}")
    def operation(key: Name) -> Json:
        """One operation."""
        return store.operation(key)

    @app.post("/api/v1/operations/{key}/checkpoint", status_code=204)
    def checkpoint(key: Name, body: Checkpoint) -> None:
        """Its holder has come this far."""
        store.checkpoint(key, body, body.checkpoint)

    @app.post("/api/v1/operations/{key}/release", status_code=204)
    def release(key: Name, body: Release) -> None:
        """Its holder gives it back."""
        store.release(key, body, body.checkpoint)

    @app.post("/api/v1/operations/{key}/complete")
    def complete(key: Name, body: Completion) -> Json:
        """Its holder has the result."""
        return store.complete(key, body, body.result)

    @app.post("/api/v1/operations/{key}/fail")
    def fail(key: Name, body: Failure) -> Json:
        """Its holder cannot do it."""
        return store.fail(key, body, body.error)

    return app


app = create_app(Settings())

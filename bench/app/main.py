"""The benchmark's application: as little as a rollout can wait for. It answers on the port in PORT."""

from __future__ import annotations

import asyncio
import os
from typing import AsyncIterator

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

RELEASE = os.environ.get("BENCH_RELEASE", "unknown")
# Names of services that are sick in this release; "1" for all.
BROKEN = os.environ.get("BENCH_BROKEN") in ("1", os.environ.get("BENCH_SERVICE", "-"))

app = FastAPI()


@app.get("/api/v1/health")
async def health(response: Response) -> dict[str, str]:
    """How it is, and which release it is."""
    if BROKEN:
        response.status_code = 503
    return {"status": "unhealthy" if BROKEN else "healthy", "release": RELEASE}


@app.get("/slow")
async def slow(seconds: float = 10) -> dict[str, str]:
    """An answer that takes its time."""
    await asyncio.sleep(seconds)
    return {"release": RELEASE}


@app.get("/events")
async def events(seconds: int | None = None) -> StreamingResponse:
    """One server-sent event a second, for so many seconds, or until the client leaves."""

    async def ticks() -> AsyncIterator[str]:
        n = 0
        while seconds is None or n < seconds:
            yield f"data: {n} {RELEASE}\n\n"
            n += 1
            await asyncio.sleep(1)

    return StreamingResponse(ticks(), media_type="text/event-stream")


if __name__ == "__main__":
    # On SIGTERM uvicorn takes no further connection, and ends when all requests are answered.
    uvicorn.run(app, host="0.0.0.0", port=int(os.environ.get("PORT", "8000")), access_log=False)  # nosec B104 # in a container

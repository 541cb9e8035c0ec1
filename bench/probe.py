"""An open-loop probe: so many requests a second, whatever becomes of them, each by a new connection. And what it saw, counted."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

RATE = 50
LIMIT_S = 2.0


@dataclass(frozen=True)
class Sample:
    """One request: when it was sent, when it was over (monotonic seconds), and whether the answer was 200 in time."""

    sent: float
    done: float
    good: bool


def failed(samples: list[Sample]) -> int:
    """How many requests had no good answer."""
    return sum(not s.good for s in samples)


def longest_outage(samples: list[Sample]) -> float:
    """From the last good answer before a run of failures to the first good answer after it, the longest of them.

    A run that begins or ends the samples lasts from its first request, or until its last one was over.
    """
    longest, last_good, begun = 0.0, None, None
    end = 0.0
    for sample in sorted(samples, key=lambda s: s.sent):
        end = max(end, sample.done)
        if not sample.good:
            if begun is None:
                begun = sample.sent if last_good is None else last_good
            continue
        if begun is not None:
            longest, begun = max(longest, sample.done - begun), None
        last_good = sample.done
    return longest if begun is None else max(longest, end - begun)


def slowest(samples: list[Sample]) -> float:
    """The longest that a good answer took."""
    return max((s.done - s.sent for s in samples if s.good), default=0.0)


class Probe:
    """Asks a URL from its beginning until its end, in a thread of its own: ``with Probe(url) as probe: ...; probe.samples``."""

    def __init__(self, url: str, rate: int = RATE, limit_s: float = LIMIT_S) -> None:
        address = urlsplit(url)
        self._host, self._port = str(address.hostname), address.port or 80
        self._request = f"GET {address.path or '/'} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n".encode()
        self._rate, self._limit_s = rate, limit_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask()), daemon=True)
        self.samples: list[Sample] = []

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    async def _ask(self) -> None:
        began, number = time.monotonic(), 0
        asked: set[asyncio.Task[None]] = set()
        while not self._ended.is_set():
            # By the clock, not by the answers: what comes late is sent at once.
            await asyncio.sleep(max(0.0, began + number / self._rate - time.monotonic()))
            task = asyncio.create_task(self._one())
            asked.add(task)
            task.add_done_callback(asked.discard)
            number += 1
        await asyncio.gather(*asked)

    async def _one(self) -> None:
        sent, good = time.monotonic(), False
        try:
            async with asyncio.timeout(self._limit_s):
                good = await self._good()
        except (OSError, TimeoutError, ValueError):
            pass
        self.samples.append(Sample(sent, time.monotonic(), good))

    async def _good(self) -> bool:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(self._request)
            return (await reader.read()).split(b" ", 2)[1:2] == [b"200"]
        finally:
            writer.close()

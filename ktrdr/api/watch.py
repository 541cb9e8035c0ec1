"""Which workers are silent, by this process's own monotonic clock.

The database keeps how often a worker has beaten, not when: clocks jump, and those of two machines differ. So
a backend that has just started gives everybody time to be heard, and two backends side by side agree.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

ALIVE, AWAITED, LOST = "alive", "awaited", "lost"


class Seen(NamedTuple):
    """The last sign of a worker: its count of beats, when it was first seen, whether it was heard beating."""

    beats: int
    at: float
    heard: bool


class Watch:
    """Remembers when each worker was last heard; one silent for more than `timeout` seconds is lost."""

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.timeout = timeout
        self._clock = clock
        self._seen: dict[str, Seen] = {}
        self._lock = threading.Lock()

    def heard(self, worker: str, beats: int | None = None) -> None:
        """A beat came in; `beats` is None until it is counted, which fails while the database is away."""
        with self._lock:
            if beats is None:
                beats = self._seen[worker].beats if worker in self._seen else -1
            self._seen[worker] = Seen(beats, self._clock(), True)

    def look(self, worker: str, beats: int) -> tuple[str, float]:
        """Status and seconds of silence of a worker that has beaten `beats` times, as the database says.

        Awaited is one that was not heard yet, nor waited for long enough.
        """
        with self._lock:
            now = self._clock()
            seen = self._seen.get(worker)
            if seen is None:
                seen = self._seen[worker] = Seen(beats, now, False)
            elif seen.beats != beats:  # another backend heard it, or a later beat overtook this look
                seen = self._seen[worker] = Seen(beats, now, True)
        silence = now - seen.at
        if silence > self.timeout:
            return LOST, silence
        return (ALIVE if seen.heard else AWAITED), silence

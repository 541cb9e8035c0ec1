"""What a step on a host did when, by its own monotonic clock."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Iterator, Optional


class Phases:
    """The phases of one step; times are seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._found: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def phase(self, phase: str, service: str = "", detail: str = "") -> Iterator[None]:
        """Note when what is done inside begins and ends, and whether it ended well."""
        entry = {"phase": phase, "service": service, "detail": detail, "from": self._now(), "to": 0.0, "good": False}
        self._found.append(entry)
        try:
            yield
            entry["good"] = True
        finally:
            entry["to"] = self._now()

    def out_of_service(self, service: str) -> Optional[float]:
        """Seconds from the service's stop (or from the start that replaces it) until it was healthy; None where it was not."""
        mine = [p for p in self._found if p["service"] == service]
        away = [p["from"] for p in mine if p["phase"] in ("stop", "start")]
        back = [p["to"] for p in mine if p["phase"] == "health" and p["good"]]
        return round(back[-1] - away[0], 2) if away and back else None

    def facts(self) -> dict[str, Any]:
        """For the module's result: phases, and clock, the seconds until now."""
        return {"phases": self._found, "clock": self._now()}

    def _now(self) -> float:
        return round(time.monotonic() - self._began, 3)

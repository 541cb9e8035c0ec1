"""What a step on a host did when, by its own monotonic clock."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterable, Iterator, Optional

from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import clock


class Phases:
    """The phases of one step; times are seconds since it was made."""

    def __init__(self) -> None:
        self._began = clock.monotonic()
        self._found: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def phase(self, phase: str, service: str = "", detail: str = "") -> Iterator[None]:
        """Note when what is done inside begins and ends, and whether it ended well."""
        entry = self.begin(phase, service, detail)
        good = False
        try:
            yield
            good = True
        finally:
            self.end(entry, good)

    @contextlib.contextmanager
    def together(self, phase: str, services: Iterable[str]) -> Iterator[None]:
        """The same for services to which it happens at once."""
        with contextlib.ExitStack() as phases:
            for service in services:
                phases.enter_context(self.phase(phase, service))
            yield

    def begin(self, phase: str, service: str = "", detail: str = "") -> dict[str, Any]:
        """Note that something begins; `end` takes what this returns."""
        entry = {"phase": phase, "service": service, "detail": detail, "from": self._now(), "to": None, "good": False}
        self._found.append(entry)
        return entry

    def end(self, entry: Optional[dict[str, Any]], good: bool) -> None:
        """Note that it ended, unless that was noted before."""
        if entry is not None and entry["to"] is None:
            entry.update(to=self._now(), good=good)

    def out_of_service(self, service: str) -> Optional[float]:
        """Seconds from the service's stop (or from the start that replaces it) until it was healthy; None where it was not."""
        mine = [p for p in self._found if p["service"] == service]
        away = [p["from"] for p in mine if p["phase"] in ("stop", "start")]
        back = [p["to"] for p in mine if p["phase"] == "health" and p["good"]]
        return round(back[-1] - away[0], 2) if away and back else None

    def timed(self, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Runs a verb, and adds the times of its phases (`facts`) to its result, or to the facts of its error."""
        try:
            done = do()
        except RolloutError as error:
            error.facts.update(self.facts())
            raise
        return {**done, **self.facts()}

    def facts(self) -> dict[str, Any]:
        """For the module's result: phases, and clock, the seconds until now."""
        return {"phases": self._found, "clock": self._now()}

    def _now(self) -> float:
        return round(clock.monotonic() - self._began, 3)

"""When a run's plays and steps began and ended, by the controller's clock: what the callback hears of Ansible."""

from __future__ import annotations

import time
from typing import Any, Mapping, Optional

from ansible.module_utils.rollout.controller.report import document


class Times:
    """The times of one run. Ansible forks its actions from the process of the callbacks, so they find what is known by then."""

    # Those of the run that this process is at; None if Ansible has not loaded the callback.
    heard: Optional[Times] = None

    def __init__(self) -> None:
        self.started = time.time()
        self.wave: Optional[str] = None
        self.events: list[dict[str, Any]] = []
        self._clock = time.monotonic()
        self._waves: list[dict[str, Any]] = []

    def now(self) -> float:
        """Seconds since the run's start."""
        return round(time.monotonic() - self._clock, 2)

    def play(self, name: str) -> None:
        """A play begins, and the wave before it has ended."""
        now = self.now()
        self.wave = document.wave_of(name)
        if self._waves and self._waves[-1]["to"] is None:
            self._waves[-1]["to"] = now
        if self.wave:
            self._waves.append({"name": self.wave, "from": now, "to": None, "busy": False})

    def step(self, host: str, content: Mapping[str, Any]) -> None:
        """A host's step has ended."""
        if content.get("phases") and "preview" not in content:
            if self.wave:
                self._waves[-1]["busy"] = True
            self.events += document.events(host, self.wave or "", content, self.now())

    def known(self) -> dict[str, Any]:
        """The part of a run's document that only the controller's clock knows: started, seconds, waves, events."""
        now = self.now()
        # Plays in which no host did anything are not waves.
        busy = [{key: value for key, value in wave.items() if key != "busy"} for wave in self._waves if wave["busy"]]
        return {
            **since(self.started, now),
            "waves": [{**wave, "to": now if wave["to"] is None else wave["to"]} for wave in busy],
            "events": list(self.events),
        }


def since(started: float, seconds: float) -> dict[str, Any]:
    """The part of a run's document that says when it was.

    Args:
        started: seconds since the epoch.
        seconds: how long it took.
    """
    return {"started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)), "seconds": round(seconds, 2)}

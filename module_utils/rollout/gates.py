"""Holds gates: looks at containers and asks URLs until each service passes or one fails.

What decides is URLs, asked tens of milliseconds apart at first; containers are looked at when the engine tells of an event, once
a second, and before a gate passes. So Docker's own health interval is nobody's clock.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Callable, Mapping, Optional, Sequence

from ansible.module_utils.rollout import compose, health, net
from ansible.module_utils.rollout.engine import Engine
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.phases import Phases

# Seconds after which containers are looked at though no event came.
LOOK_S = 1.0


class Gates:
    """The gates of one stack on its way to ``release``; ``failure`` makes the sentence for one that does not hold, ``masked``
    takes the secrets out of what a service says.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        project: str,
        release: str,
        image_ids: Mapping[str, str],
        phases: Phases,
        failure: Callable[[compose.Service, str, str], RolloutError],
        masked: Callable[[str], str],
    ) -> None:
        self.store, self.engine, self.project, self.phases, self.failure = store, engine, project, phases, failure
        self.release, self.image_ids, self.masked = release, image_ids, masked

    def hold(
        self, services: Sequence[compose.Service], changing: bool, fresh: set[str], only: str = ""
    ) -> dict[str, compose.Container]:
        """Wait until the services' gates hold: for one that was running all along, one good answer is enough.

        Args:
            fresh: of services that are not changing, those whose containers this run made.
            only: id of the container that is meant, where a service has more than one.

        Returns:
            service -> the container that passed.

        Raises:
            RolloutError: one did not; says what it waited for.
        """
        if not services:
            return {}
        gates: dict[str, health.Gate] = {}
        entries: dict[str, dict[str, Any]] = {}
        began = time.monotonic()
        for service in services:
            released = service.released
            gates[service.name] = health.Gate(
                service if changing else replace(service, successes=1, window=0.0),
                self.image_ids.get(compose.repository(service.image)) if released else None,
                self.release if released and self.release.startswith("sha-") else None,
                began,
                changing or service.name in fresh,
            )
            if changing:
                entries[service.name] = self.phases.begin("health", service.name)
        passed: dict[str, compose.Container] = {}
        ids = {service.name: only for service in services if only}
        try:
            with self.engine.events(self.project) as events:
                found = self._look(services, ids)
                while len(passed) < len(services):
                    self.store.fence()
                    for service in services:
                        if service.name not in passed:
                            held = self._sample(service, gates[service.name], found, ids)
                            if held:
                                passed[service.name] = held
                                self.phases.end(entries.get(service.name), True)
                    left = [gates[s.name] for s in services if s.name not in passed]
                    self._tell(left)
                    now = time.monotonic()
                    if left and (events.wait(min(gate.pause(now) for gate in left)) or events.age() >= LOOK_S):
                        events.seen()
                        found = self._look(services, ids)
            return passed
        finally:
            for entry in entries.values():
                self.phases.end(entry, False)

    def _tell(self, left: list[health.Gate]) -> None:
        # Of the first alone: who is told of each in turn is told something new each time.
        for gate in left[:1]:
            service, elapsed = gate.service, round(time.monotonic() - gate.started, 1)
            why = self.masked(gate.waiting_for)
            self.store.tell(step="gate", what=service.name, waiting_for=why, elapsed=elapsed, deadline=service.deadline)

    def _look(self, services: Sequence[compose.Service], ids: dict[str, str]) -> dict[str, compose.Container]:
        """The services' containers; a gate keeps to the one that it saw first."""
        if len(ids) == len(services):
            here = [compose.container(c) for c in self.engine.inspect("container", list(ids.values()))] if ids else []
        else:
            here = self.engine.containers(self.project)
        found = {s.name: c for s in services for c in reversed(here) if c.service == s.name and ids.get(s.name, c.id) == c.id}
        ids.update({name: c.id for name, c in found.items()})
        return found

    def _sample(
        self, service: compose.Service, gate: health.Gate, found: dict[str, compose.Container], ids: dict[str, str]
    ) -> Optional[compose.Container]:
        """One look at one gate; its container where it holds."""
        one = found.get(service.name)
        answers = [net.ask(url) for url in service.health] if one and one.status == "running" else []
        now = time.monotonic()
        state = gate.sample(one, answers, now)
        if state == health.PASS and one:
            # What was seen of the container may be a second old.
            one = self._look([service], {service.name: ids[service.name]}).get(service.name)
            state = gate.sample(one, answers, now)
            if state == health.PASS and one:
                return one
        if state == health.FAIL:
            waited = now - gate.started
            late = f"after {waited:.0f} s (its deadline is {service.deadline:.0f} s) it still waits for "
            crashed = bool(gate.fatal)
            raise self.failure(
                service,
                "container" if crashed else "health",
                gate.waiting_for if crashed else late + gate.waiting_for,
            )
        return None

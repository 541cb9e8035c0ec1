"""Holds gates: looks at containers and asks URLs until each service passes or one fails.

What decides is URLs, asked tens of milliseconds apart at first; containers are looked at when the engine tells of an event, once
a second, and before a gate passes. So Docker's own health interval is nobody's clock.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, Optional, Sequence

from ansible.module_utils.rollout.domain import compose, health
from ansible.module_utils.rollout.domain.changes import Container, container, leftovers
from ansible.module_utils.rollout.io import clock
from ansible.module_utils.rollout.verbs import refusals
from ansible.module_utils.rollout.verbs.asking import Asker
from ansible.module_utils.rollout.verbs.deployment import Deployment

# Seconds after which containers are looked at though no event came.
LOOK_S = 1.0


class Gates:
    """The gates of one stack on its way to its release."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.store, self.engine, self.phases = deployment.store, deployment.engine, deployment.phases

    @functools.cached_property
    def _asker(self) -> Asker:
        return Asker(self.engine, list(self.deployment.by_name), self.deployment.running)

    def hold(self, services: Sequence[compose.Service], only: str = "") -> dict[str, Container]:
        """Wait until services that were just started pass.

        Args:
            only: id of the container that is meant, if the service has more than one.

        Returns:
            service -> the container that passed.

        Raises:
            RolloutError: one did not; says what it waited for.
        """
        gates = {service.name: self._gate(service, True) for service in services}
        entries = {service.name: self.phases.begin("health", service.name) for service in services}
        try:
            return self._passed(services, gates, {service.name: only for service in services if only}, entries)
        finally:
            for entry in entries.values():
                self.phases.end(entry, False)

    def again(self, services: Sequence[compose.Service]) -> list[Container]:
        """As `hold`, for services that were running all along, each with all of its containers: one good answer is enough.

        A container that this run made must not have crashed since; an older one may have, long ago.
        """
        made = self.deployment.begun(self.deployment.run)
        single = [s for s in services if s.replicas == 1]
        gates = {s.name: self._gate(replace(s, successes=1, window=0.0), s.name in made) for s in single}
        found = [*self._passed(single, gates, {}, {}).values()]
        for service in services:
            if service.replicas != 1:
                here = [c for c in self.engine.containers(self.deployment.project) if c.service == service.name]
                found += self.each(service, here, service.name in made)
        return found

    def each(self, service: compose.Service, containers: Sequence[Container], fresh: bool) -> list[Container]:
        """As `again`, for some of the containers of one service."""
        found: list[Container] = []
        for one in containers:
            gate = self._gate(replace(service, successes=1, window=0.0), fresh)
            found += self._passed([service], {service.name: gate}, {service.name: one.id}, {}).values()
        return found

    def _gate(self, service: compose.Service, fresh: bool) -> health.Gate:
        image_id = self.deployment.image_ids.get(service.image) if service.released else None
        release = self.deployment.release
        names = release if service.released and release.startswith("sha-") else None
        return health.Gate(service, image_id, names, clock.monotonic(), fresh)

    def _passed(
        self,
        services: Sequence[compose.Service],
        gates: dict[str, health.Gate],
        ids: dict[str, str],
        entries: dict[str, dict[str, Any]],
    ) -> dict[str, Container]:
        passed: dict[str, Container] = {}
        if not services:
            return passed
        with self.engine.events(self.deployment.project) as events:
            found = self._look(services, ids)
            while len(passed) < len(services):
                self.store.fence()
                for service in services:
                    if service.name not in passed and gates[service.name].due(clock.monotonic()):
                        held = self._sample(service, gates[service.name], found, ids)
                        if held:
                            passed[service.name] = held
                            self.phases.end(entries.get(service.name), True)
                left = [gates[s.name] for s in services if s.name not in passed]
                self._tell(left)
                now = clock.monotonic()
                if left and (events.wait(min(gate.pause(now) for gate in left)) or events.age() >= LOOK_S):
                    events.seen()
                    found = self._look(services, ids)
                if left and events.ended:
                    # An engine that ends stops containers, and restarts some when it is back: that says nothing of the release.
                    raise refusals.ENGINE_WENT(facts={"away": True})
        return passed

    def _tell(self, left: list[health.Gate]) -> None:
        # Of the first alone: who is told of each in turn is told something new each time.
        for gate in left[:1]:
            service, elapsed = gate.service, clock.monotonic() - gate.started
            self.deployment.waits("gate", service, gate.waiting_for, elapsed, service.deadline)

    def _look(self, services: Sequence[compose.Service], ids: dict[str, str]) -> dict[str, Container]:
        """The services' containers; a gate keeps to the one that it saw first."""
        if len(ids) == len(services):
            here = [container(c) for c in self.engine.inspect("container", list(ids.values()))] if ids else []
        else:
            here = self.engine.containers(self.deployment.project)
        rests = leftovers(services, here)
        found = {
            s.name: c
            for s in services
            for c in reversed(here)
            if c.service == s.name and ids.get(s.name, c.id) == c.id and c not in rests
        }
        ids.update({name: c.id for name, c in found.items()})
        return found

    def _sample(
        self, service: compose.Service, gate: health.Gate, found: dict[str, Container], ids: dict[str, str]
    ) -> Optional[Container]:
        """One look at one gate; its container where it holds."""
        one = found.get(service.name)
        runs = one and one.status == "running"
        answers = self._asker.ask(service, one) if one and runs else []
        now = clock.monotonic()
        gate.asked = now if service.exec and runs else None
        state = gate.sample(one, answers, now)
        if state == health.PASS and one:
            # What was seen of the container may be a second old.
            one = self._look([service], {service.name: ids[service.name]}).get(service.name)
            state = gate.sample(one, answers, now)
            if state == health.PASS and one:
                return one
        if state == health.FAIL:
            waited = now - gate.started
            # Of several containers the log of this one is meant, and it is named.
            several = service.replicas != 1 and ids.get(service.name)
            before = [c for c in self.deployment.seen() if c.id != ids[service.name]] if several else []
            which = f"container {one.name}: " if several and one else ""
            if gate.fatal:
                raise self.deployment.failure(service, "container", f"{which}{gate.waiting_for}", before)
            why = refusals.TOO_LATE.text(seconds=waited, deadline=service.deadline, what=gate.waiting_for)
            raise self.deployment.failure(service, "health", f"{which}{why}", before)
        return None

"""Start-first: a new container beside the active one, requests move to it behind its gate, then the old one goes. Of several
containers this is done with one after the other.

Which container is active, HAProxy itself says best: in a header of its answers. The file that it reads says it where it does not
answer. So whoever comes after an interruption knows what to keep.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any, Optional

from ansible.module_utils.rollout.domain import compose, gate, haproxy, health
from ansible.module_utils.rollout.domain.changes import Container, differs
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import clock
from ansible.module_utils.rollout.verbs import refusals
from ansible.module_utils.rollout.verbs.asking import Asker
from ansible.module_utils.rollout.verbs.deployment import Deployment
from ansible.module_utils.rollout.verbs.gates import Gates

# Seconds that HAProxy may take until requests arrive at the new container.
MOVE_S = 20.0


def make_room(deployment: Deployment, started: compose.Service, running: list[Container]) -> None:
    """Before a proxy is started: HAProxy needs its file, and a service that it takes over may still hold its port."""
    for service in deployment.by_name.values():
        asked = service.start_first
        if asked is None or asked.proxy != started.name:
            continue
        active = haproxy.active(deployment.store.servers(deployment.stack, service.name))
        mine = [c for c in running if c.service == service.name]
        if not any(c.name in active and not c.published for c in mine):
            deployment.store.write_servers(deployment.stack, service.name, haproxy.servers(service.name, asked.port))
            with deployment.phases.phase("stop", service.name):
                deployment.remove_containers(mine)


class StartFirst:
    """The switch of one start-first service to the release, or ``back`` to it."""

    def __init__(self, deployment: Deployment, service: compose.Service, asked: gate.StartFirst, back: bool) -> None:
        self.deployment, self.service, self.asked, self.back = deployment, service, asked, back
        self.store, self.engine = deployment.store, deployment.engine
        self.workers: set[int] = set()
        self.asker = Asker(self.engine, list(deployment.by_name), deployment.running)

    def bring(self, row: dict[str, Any]) -> None:
        """Do it, and fill the service's row of the report.

        Never is there more than one container beside the active one, and what an interrupted run left is used or removed.

        Raises:
            RolloutError: the new container did not pass, or requests did not arrive at it; the old one is active still.
        """
        one, service = self.deployment, self.service
        one.record("switching", service.name)
        mine = self._mine()
        if service.replicas > 1 or len(haproxy.active(self.store.servers(one.stack, service.name))) > 1:
            self._several(mine, row)
            return
        active = self._active(mine)
        image_id = one.image_ids.get(service.image)
        ready = [c for c in sorted(mine, key=lambda c: c is not active) if not differs(service, image_id, c)]
        kept = [c for c in mine if c in ready[:1] or (c is active and c.status == "running")]
        one.remove_containers([c for c in mine if c not in kept])
        new = ready[0] if ready else self._start(kept)
        front = self._front()
        self._pass(front, new, row)
        self._move(front, [new], new)
        self._let_go(front, [c for c in kept if c.id != new.id])
        self._tell_gap(row)

    def _several(self, mine: list[Container], row: dict[str, Any]) -> None:
        """As `bring`, with one container after the other; none of those that get requests goes before its successor gets them."""
        one, service = self.deployment, self.service
        image_id, named = one.image_ids.get(service.image), haproxy.active(self.store.servers(one.stack, service.name))
        serving = [c for c in mine if c.name in named and c.status == "running" and not c.published]
        ready = [c for c in sorted(mine, key=lambda c: c not in serving) if not differs(service, image_id, c)][: service.replicas]
        front = self._front()
        # Killed between the file and the reload: the proxy must not ask for what is about to go.
        self.workers = _leaves(self.engine.processes(front.id))
        self._write(serving)
        self._reload(front)
        self._let_go(front, [c for c in mine if c not in serving and c not in ready])
        done, waiting = [c for c in ready if c in serving], [c for c in ready if c not in serving]
        old = [c for c in serving if c not in ready]
        while old or len(done) < service.replicas:
            new: list[Container] = []
            if len(done) < service.replicas:
                new = [waiting.pop(0) if waiting else self._start([*done, *waiting, *old])]
                self._pass(front, new[0], row)
            done += new
            going, old = (old[:1], old[1:]) if len(done) + len(old) > service.replicas else ([], old)
            self._move(front, [*done, *old], *new)
            self._let_go(front, going)
        self._tell_gap(row)

    def _pass(self, front: Container, new: Container, row: dict[str, Any]) -> None:
        """Hold the gate of a container that gets no requests yet."""
        one, service = self.deployment, self.service
        where = haproxy.address(new.addresses, front.addresses)
        health_urls = haproxy.direct(service.health, one.by_name[self.asked.proxy].ports, where, self.asked.port, service.name)
        try:
            new = Gates(one).hold([replace(service, health=health_urls)], new.id)[service.name]
            if service.torch and not self.back:
                row["torch"] = one.prove(service, service.torch, new, proven=False)
        except RolloutError as error:
            # On the way back there is nothing better than what was stable.
            if not self.back or error.facts.get("fenced") or error.facts.get("away"):
                raise

    def _let_go(self, front: Container, old: list[Container]) -> None:
        if old:
            self._drain(front)
            self.deployment.remove_containers(old)

    def _tell_gap(self, row: dict[str, Any]) -> None:
        gaps = {"replace": 0.0, "recreate": self.deployment.phases.out_of_service(self.service.name)}
        row["gap"] = gaps.get(row["action"])

    def _mine(self) -> list[Container]:
        return [c for c in self.engine.containers(self.deployment.project) if c.service == self.service.name]

    def _active(self, mine: list[Container]) -> Optional[Container]:
        """The container that gets the requests; the file says so too from now on."""
        text = self.store.servers(self.deployment.stack, self.service.name)
        answers = {self.asker.url(self.service, None, url).container for url in self._urls()[:1]}
        serving = next((c for c in mine if c.id[:12] in answers), None)
        named = next((c for c in mine if c.name in haproxy.active(text)), None)
        if serving and serving is not named:
            # Killed between the file and the reload: a proxy that restarts must not ask for what is about to go.
            self._write([serving])
        return serving or named

    def _urls(self) -> tuple[str, ...]:
        """The health URLs through the proxy."""
        front = self.deployment.by_name[self.asked.proxy]
        return haproxy.through(self.service.health, front.ports, self.service.name)

    def _write(self, active: list[Container]) -> None:
        text = haproxy.servers(self.service.name, self.asked.port, [(c.name, c.id) for c in active])
        self.store.write_servers(self.deployment.stack, self.service.name, text)

    def _start(self, beside: list[Container]) -> Container:
        limit = self.service.grace + self.service.deadline + 120
        try:
            with self.deployment.phases.phase("start", self.service.name):
                self.deployment.compose_project.up([self.service.name], recreate=False, timeout=limit, scale=len(beside) + 1)
        except RolloutError as error:
            if error.facts.get("away"):
                raise
            raise self.deployment.failure(self.service, "start", str(error), sentence=refusals.NOT_STARTED) from error
        made = [c for c in self._mine() if c.id not in {b.id for b in beside}]
        if not made:
            what = "Compose made no further container"
            raise self.deployment.failure(self.service, "start", what, sentence=refusals.NOT_STARTED)
        return made[0]

    def _front(self) -> Container:
        found = self.engine.containers(self.deployment.project)
        front = next((c for c in found if c.service == self.asked.proxy and c.status == "running"), None)
        if front is None:
            what = refusals.NO_PROXY.text(proxy=shlex.quote(str(self.asked.proxy)))
            raise self.deployment.failure(self.service, "proxy", what)
        return front

    def _move(self, front: Container, serving: list[Container], new: Optional[Container] = None) -> None:
        """Send requests to these containers and see them arrive at the new one, if there is one.

        Raises:
            RolloutError: they did not; the proxy has its former file again.
        """
        stack, service = self.deployment.stack, self.service.name
        before = self.store.servers(stack, service)
        self.workers = _leaves(self.engine.processes(front.id))
        with self.deployment.phases.phase("drain", service, "requests move"):
            self._write(serving)
            try:
                self._reload(front)
                if new:
                    self._arrive(new)
            except RolloutError as error:
                if error.facts.get("fenced") or error.facts.get("away"):
                    raise
                self.store.write_servers(stack, service, before or haproxy.servers(service, self.asked.port))
                self._reload(front)
                raise self.deployment.failure(self.service, "proxy", str(error)) from error

    def _reload(self, front: Container) -> None:
        # Not `docker kill`: the engine takes any signal for a stop by hand, and would not start the proxy again after a reboot.
        self.engine.checked(["exec", front.id, "sh", "-c", "kill -USR2 1"], f"Reloading {front.service}")

    def _arrive(self, new: Container) -> None:
        url = self._urls()[0]
        began = clock.monotonic()
        while True:
            self.store.fence()
            answer = self.asker.url(self.service, None, url)
            # How well it answers was the gate's question; here it is who does.
            if answer.container == new.id[:12]:
                return
            waited = clock.monotonic() - began
            if waited >= MOVE_S:
                said = f"HTTP {answer.status}" if answer.status else answer.fault or answer.reason
                container = answer.container or "nobody"
                proxy = shlex.quote(str(self.asked.proxy))
                raise refusals.NOT_MOVED(seconds=waited, proxy=proxy, url=url, said=said, container=container)
            clock.sleep(health.next_pause(waited))

    def _drain(self, front: Container) -> None:
        """Let the connections that are open at the old container end: the proxy's former worker ends with the last."""
        began = clock.monotonic()
        with self.deployment.phases.phase("drain", self.service.name, "open connections"):
            while self.workers & _leaves(self.engine.processes(front.id)):
                self.store.fence()
                waited = clock.monotonic() - began
                if waited >= self.asked.drain:
                    return
                self.deployment.waits("drain", self.service, "open connections to end", waited, self.asked.drain)
                clock.sleep(health.next_pause(waited))


def _leaves(processes: dict[int, int]) -> set[int]:
    """Of process id -> parent, those without a child: of HAProxy its workers, not their master."""
    return set(processes) - set(processes.values())

"""Start-first: a new container beside the active one, requests move to it behind its gate, then the old one goes.

Which container is active, HAProxy itself says best: in a header of its answers. The file that it reads says it where it does not
answer. So whoever comes after an interruption knows what to keep.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Optional

from ansible.module_utils.rollout import compose, health, net, proxy
from ansible.module_utils.rollout.errors import RolloutError

if TYPE_CHECKING:
    from ansible.module_utils.rollout.switch import Switch

# Seconds that HAProxy may take until requests arrive at the new container.
MOVE_S = 20.0


def make_room(switch: Switch, started: compose.Service, running: list[compose.Container]) -> None:
    """Before a proxy is started: HAProxy needs its file, and a service that it takes over may still hold its port."""
    for service in switch.by_name.values():
        asked = service.start_first
        if asked is None or asked.proxy != started.name:
            continue
        active = proxy.active(switch.store.servers(switch.stack_name, service.name))
        mine = [c for c in running if c.service == service.name]
        if not any(c.name == active and not c.published for c in mine):
            switch.store.write_servers(switch.stack_name, service.name, proxy.servers(service.name, asked.port))
            with switch.phases.phase("stop", service.name):
                switch.remove_containers(mine)


class Beside:
    """The switch of one start-first service."""

    def __init__(self, switch: Switch, service: compose.Service, asked: proxy.StartFirst) -> None:
        self.switch, self.service, self.asked = switch, service, asked
        self.store, self.engine = switch.store, switch.engine
        self.workers: set[int] = set()

    def bring(self, wait: bool, row: dict[str, Any]) -> None:
        """Do it, and fill the service's row of the report.

        Never is there more than one container beside the active one, and what an interrupted run left is used or removed.

        Raises:
            RolloutError: the new container did not pass, or requests did not arrive at it; the old one is active still.
        """
        switch, service = self.switch, self.service
        switch.record("switching", service.name)
        mine = self._mine()
        active = self._active(mine)
        image_id = switch.image_ids.get(compose.repository(service.image))
        ready = [c for c in sorted(mine, key=lambda c: c is not active) if not compose.differs(service, image_id, c)]
        kept = [c for c in mine if c in ready[:1] or (c is active and c.status == "running")]
        switch.remove_containers([c for c in mine if c not in kept])
        new = ready[0] if ready else self._start(kept)
        front = self._front()
        where = proxy.address(new.addresses, front.addresses)
        health_urls = proxy.direct(service.health, switch.by_name[self.asked.proxy].ports, where, self.asked.port)
        try:
            new = switch.gates.hold([replace(service, health=health_urls)], True, set(), new.id)[service.name]
            if wait and service.torch:
                row["torch"] = switch.prove(service, service.torch, new, proven=False)
        except RolloutError as error:
            # On the way back there is nothing better than what was stable.
            if wait or error.facts.get("fenced"):
                raise
        self._move(front, new)
        old = [c for c in kept if c.id != new.id]
        if old:
            self._drain(front)
            switch.remove_containers(old)
        gaps = {"replace": 0.0, "recreate": switch.phases.out_of_service(service.name)}
        row["gap"] = gaps.get(row["action"])

    def _mine(self) -> list[compose.Container]:
        return [c for c in self.engine.containers(self.switch.project) if c.service == self.service.name]

    def _active(self, mine: list[compose.Container]) -> Optional[compose.Container]:
        """The container that gets the requests; the file says so too from now on."""
        text = self.store.servers(self.switch.stack_name, self.service.name)
        answers = {net.ask(url).container for url in self._urls()[:1]}
        serving = next((c for c in mine if c.id[:12] in answers), None)
        named = next((c for c in mine if c.name == proxy.active(text)), None)
        if serving and serving is not named:
            # Killed between the file and the reload: a proxy that restarts must not ask for what is about to go.
            self._write(serving)
        return serving or named

    def _urls(self) -> tuple[str, ...]:
        """The health URLs through the proxy."""
        front = self.switch.by_name[self.asked.proxy]
        return proxy.through(self.service.health, front.ports)

    def _write(self, active: compose.Container) -> None:
        text = proxy.servers(self.service.name, self.asked.port, active.name, active.id)
        self.store.write_servers(self.switch.stack_name, self.service.name, text)

    def _start(self, beside: list[compose.Container]) -> compose.Container:
        limit = self.service.grace + self.service.deadline + 120
        try:
            with self.switch.phases.phase("start", self.service.name):
                self.switch.stack.up([self.service.name], recreate=False, timeout=limit, scale=len(beside) + 1)
        except RolloutError as error:
            raise self.switch.failure(self.service, "start", str(error)) from error
        made = [c for c in self._mine() if c.id not in {b.id for b in beside}]
        if not made:
            raise self.switch.failure(self.service, "start", "Compose made no further container")
        return made[0]

    def _front(self) -> compose.Container:
        found = self.engine.containers(self.switch.project)
        front = next((c for c in found if c.service == self.asked.proxy and c.status == "running"), None)
        if front is None:
            what = f"its proxy {self.asked.proxy} does not run; its log says why (docker compose logs {self.asked.proxy})"
            raise self.switch.failure(self.service, "proxy", what)
        return front

    def _move(self, front: compose.Container, new: compose.Container) -> None:
        """Send requests to the new container and see them arrive there.

        Raises:
            RolloutError: they did not; the proxy has its former file again.
        """
        stack, service = self.switch.stack_name, self.service.name
        before = self.store.servers(stack, service)
        self.workers = _leaves(self.engine.processes(front.id))
        with self.switch.phases.phase("drain", service, "requests move"):
            self._write(new)
            try:
                self._reload(front)
                self._arrive(new)
            except RolloutError as error:
                if error.facts.get("fenced"):
                    raise
                self.store.write_servers(stack, service, before or proxy.servers(service, self.asked.port))
                self._reload(front)
                raise self.switch.failure(self.service, "proxy", str(error)) from error

    def _reload(self, front: compose.Container) -> None:
        # Not `docker kill`: the engine takes any signal for a stop by hand, and would not start the proxy again after a reboot.
        self.engine.checked(["exec", front.id, "sh", "-c", "kill -USR2 1"], f"Reloading {front.service}")

    def _arrive(self, new: compose.Container) -> None:
        url = self._urls()[0]
        began = time.monotonic()
        while True:
            self.store.fence()
            answer = net.ask(url)
            # How well it answers was the gate's question; here it is who does.
            if answer.container == new.id[:12]:
                return
            waited = time.monotonic() - began
            if waited >= MOVE_S:
                said = f"HTTP {answer.status}" if answer.status else answer.reason
                raise RolloutError(
                    f"{waited:.0f} s after its proxy {self.asked.proxy} was told to reload, {url} is not answered by the new "
                    f"container ({said}, from {answer.container or 'nobody'}); whether HAProxy took its configuration, its log "
                    f"says (docker compose logs {self.asked.proxy})"
                )
            time.sleep(health.next_pause(waited))

    def _drain(self, front: compose.Container) -> None:
        """Let the connections that are open at the old container end: the proxy's former worker ends with the last."""
        began = time.monotonic()
        with self.switch.phases.phase("drain", self.service.name, "open connections"):
            while self.workers & _leaves(self.engine.processes(front.id)):
                self.store.fence()
                waited = time.monotonic() - began
                if waited >= self.asked.drain:
                    return
                self.store.tell(
                    step="drain",
                    what=self.service.name,
                    waiting_for="open connections to end",
                    elapsed=round(waited, 1),
                    deadline=self.asked.drain,
                )
                time.sleep(health.next_pause(waited))


def _leaves(processes: dict[int, int]) -> set[int]:
    """Of process id -> parent, those without a child: of HAProxy its workers, not their master."""
    return set(processes) - set(processes.values())

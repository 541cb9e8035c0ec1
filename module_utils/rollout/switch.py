"""The verb `switch`: bring one stack of a host to a release, service by service, each behind its gate.

Rollout, rollback and revert all come here.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import Any, Callable, Optional

from ansible.module_utils.rollout import compose, contract, drain, env, gpu, health, net, plan, stage, torch_verdict
from ansible.module_utils.rollout.engine import Engine, Stack
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.phases import Phases


class Switch:
    """One stack on its way to the release in directory ``name``; ``run`` goes into the ledger.

    ``arm`` is called before the first change; what it raises prevents the change. ``gpu_release_s`` is how long a card may
    take to be free after the old container was stopped. ``drain_mode`` and ``drain_s`` hold for services whose gate does
    not say otherwise.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        application: str,
        stack: str,
        name: str,
        run: str,
        torch_limit_s: float = 60.0,
        gpu_release_s: float = 60.0,
        arm: Callable[[], None] = lambda: None,
        drain_mode: str = drain.CHECKPOINT,
        drain_s: float = 300.0,
    ) -> None:
        self.store, self.engine, self.stack_name, self.name, self.run = store, engine, stack, name, run
        self.torch_limit_s, self.gpu_release_s, self.arm = torch_limit_s, gpu_release_s, arm
        self.drain_mode, self.drain_s = drain_mode, drain_s
        self.phases = Phases()
        self.project = plan.project(application, stack)
        self.manifest = store.manifest(name)
        self.release = str(self.manifest["release"])
        self.file = plan.compose_file(stack)
        self.stack = Stack(engine, self.project, store.directory(name), self.file, plan.pins_file(stack))
        self.image_ids = {r: i["id"] for r, i in self.manifest["images"].items()}

    def observe(self) -> tuple[list[compose.Service], list[compose.Container], list[compose.Change]]:
        """What is wanted, what runs, and the difference."""
        # A stack that the release does not have yet: all its containers go.
        there = self.stack_name in self.manifest["stacks"]
        wanted = compose.services(self.stack.config(), self.file) if there else []
        running = self.engine.containers(self.project)
        return wanted, running, compose.changes(wanted, self.image_ids, running)

    def switch(self, check: bool, wait: bool = True, settle: bool = False) -> dict[str, Any]:
        """As `_switch`, with what was done when: phases and clock, in the facts of an error too."""
        try:
            with self.phases.phase("settle") if settle else contextlib.nullcontext():
                done = self._switch(check, wait, settle)
        except RolloutError as error:
            error.facts.update(self.phases.facts())
            raise
        return {**done, **self.phases.facts()}

    def _switch(self, check: bool, wait: bool, settle: bool) -> dict[str, Any]:
        """Do it, or with ``check`` only find what would be done and hold the gates of what stays.

        Without ``wait`` services are started and no gate is held. With ``settle`` a GPU is proven again in what stays: it
        can be lost in a running container.

        Returns:
            changed, services: for each its action, why, drain (what was waited for before its stop, as a sentence without
            its subject), torch, seconds from before its drain until its gate held, and gap, those from its stop until it was
            healthy (None where it was not away, or no gate was held).

        Raises:
            RolloutError: a gate did not hold, or a service could not be started. Facts: service, gate, log.
        """
        wanted, running, changes = self.observe()
        by_name = {s.name: s for s in wanted}
        # In check mode only settling asks the cards.
        if wait and not check:
            changes = [self._again(change, by_name.get(change.service), running) for change in changes]
        # A container that this run made must not have crashed since; an older one may have, long ago.
        begun = self.store.ledger().open
        fresh = {e.get("service") for e in begun if e["run"] == self.run}
        changed = any(c.action != "keep" for c in changes)
        if changed and not check:
            if wait:
                to_start = {c.service for c in changes if c.action != "keep"}
                stage.require_gpu_host(self.engine, {self.stack_name: [s for s in wanted if s.name in to_start]})
            self.arm()
        report = []
        for change in changes:
            service = by_name.get(change.service)
            began, drained = time.monotonic(), ""
            if service is None:
                if not check:
                    self._record("switching", change.service)
                    self._remove([c for c in running if c.service == change.service])
            elif change.action != "keep" and not check:
                drained = self._start(service, change, [c for c in running if c.service == service.name], wait)
            elif not check and service.drain and any(e.get("service") == service.name for e in begun):
                # It stays, but whoever began to switch it may have left it draining.
                drained = self._resume(service.drain)
            torch = None
            # In check mode what would be changed still runs the old release: its gate says nothing about the new one.
            changing = change.action != "keep"
            if wait and service and ((changing and not check) or (service.released and not changing)):
                with self.phases.phase("health", service.name) if changing else contextlib.nullcontext():
                    found = self._gate(service, changing, service.name in fresh or changing)
                if settle and service.drain and any(e.get("service") == service.name for e in begun):
                    # Once more, behind its gate: on the way back whom it asks was not there yet.
                    left = self._resume(service.drain)
                    if left:
                        raise self._failure(service, "drain", f"it {left}")
                if service.torch and (changing or (settle and service.torch.on_gpu)):
                    with self.phases.phase("torch", service.name):
                        torch = self._torch(service, service.torch, found, proven=not changing)
            report.append(
                {
                    "service": change.service,
                    "action": change.action,
                    "why": change.why,
                    "drain": drained,
                    "torch": torch,
                    "seconds": round(time.monotonic() - began, 2) if change.action != "keep" else 0.0,
                    "gap": self.phases.out_of_service(change.service),
                }
            )
        if changed and not check:
            # What was only started, or restarted without a gate on the way back, says nothing of a restart.
            seconds = {r["service"]: r["gap"] for r in report if r["action"] == "recreate" and r["gap"] is not None}
            self.store.append("switched", self.run, name=self.name, release=self.release, stack=self.stack_name, seconds=seconds)
        return {"changed": changed, "services": report}

    def _again(
        self, change: compose.Change, service: Optional[compose.Service], running: list[compose.Container]
    ) -> compose.Change:
        """Recreate what would be kept, where its container has lost its card since: a new one gets it back."""
        if change.action != "keep" or service is None or service.torch is None or not service.torch.on_gpu:
            return change
        found = next(c for c in running if c.service == service.name)
        verdict = contract.in_container(self.engine, found.id, service.torch, self.torch_limit_s)
        if torch_verdict.passed_or_busy(verdict):
            return change
        return replace(change, action="recreate", why=f"torch: {verdict['reason']}")

    def remove(self, check: bool) -> dict[str, Any]:
        """Take the released services away again: the way back where there was no stable release. Data stays."""
        wanted, running, _changes = self.observe()
        released = {s.name for s in wanted if s.released}
        found = [c for c in running if c.service in released]
        if found and not check:
            self._record("reverting", found[0].service)
            self._remove(found)
        return {
            "changed": bool(found),
            "services": [
                {"service": c.service, "action": "remove", "why": "no stable release", "drain": "", "torch": None, "seconds": 0.0}
                for c in found
            ],
        }

    def _record(self, event: str, service: str) -> None:
        """Into the ledger before the step: what was begun is known whatever happens."""
        self.store.append(event, self.run, name=self.name, release=self.release, stack=self.stack_name, service=service)

    def _start(self, service: compose.Service, change: compose.Change, old: list[compose.Container], wait: bool) -> str:
        """Bring a service to the release; returns what its old container was waited for."""
        self._record("switching", service.name)
        asked = service.drain if any(c.status == "running" for c in old) else None
        mode, began = drain.mode(asked, self.drain_mode, wait) if asked else "", time.monotonic()
        first, told = None, ""
        if asked and mode in (drain.WAIT, drain.CHECKPOINT):
            with self.phases.phase("drain", service.name, mode):
                waits = mode == drain.WAIT
                first = self._idle(service, drain.Wait(asked, self.drain_s, began)) if waits else self._drain(asked)
        try:
            card = service.torch if service.torch and service.torch.on_gpu else None
            if old and (asked or card):
                pids = [pid for found in old for pid in self.engine.processes(found.id)] if card else []
                grace = drain.FORCED_GRACE_S if mode == drain.FORCE else None
                with self.phases.phase("stop", service.name):
                    self.stack.stop(service.name, service.grace + service.deadline + 120, grace)
                told = drain.told(mode, first, time.monotonic() - began) if mode else ""
                if card:
                    self._free_card(service, card, pids, wait)
            with self.phases.phase("start", service.name):
                self.stack.up(service.name, recreate=change.action == "recreate", timeout=service.grace + service.deadline + 120)
        except RolloutError as error:
            if error.facts.get("fenced"):
                raise
            raise self._failure(service, "start", str(error)) from error
        return told

    def _drain(self, asked: drain.Drain) -> health.Answer:
        """Tell a service to take no more work; what it still does."""
        answer = net.tell(asked.stop, {"draining": True})
        return net.ask(asked.busy) if asked.busy and drain.good(answer) else answer

    def _resume(self, asked: drain.Drain) -> str:
        """Tell a service to take work again; why it could not be told, or empty."""
        answer = net.tell(asked.stop, {"draining": False})
        return "" if drain.good(answer) else f"could not be told to take work again: {drain.trouble(answer)}. Restart it"

    def _idle(self, service: compose.Service, wait: drain.Wait) -> Optional[health.Answer]:
        """Wait until a service has nothing more to do; what it had. It is told each time: it may have been restarted.

        Raises:
            RolloutError: it has after its timeout, or does not say; it is left running, and takes work again.
        """
        while True:
            self.store.fence()
            now = time.monotonic()
            state = wait.look(self._drain(wait.asked), now)
            if state == drain.IDLE:
                return wait.first
            self.store.tell(
                step="drain",
                what=service.name,
                waiting_for=wait.doing,
                elapsed=round(now - wait.started, 1),
                deadline=wait.limit,
            )
            if state == drain.FAIL:
                left = self._resume(wait.asked)
                raise self._failure(service, "drain", f"{wait.why}. It {left or 'was left running and takes work again'}")
            time.sleep(health.next_pause(now - wait.started))

    def _free_card(self, service: compose.Service, expected: torch_verdict.Expectation, pids: list[int], wait: bool) -> None:
        """Wait until the old container has left the card: one card holds one model."""
        self.store.tell(step="card", what=service.name)
        try:
            gpu.await_release(pids, expected.min_free_mib, self.gpu_release_s, self.engine, self.store.fence, service.cards)
        except RolloutError as error:
            # On the way back there is nothing better than to try; without the lock, nothing is to be done at all.
            if wait or error.facts.get("fenced"):
                raise

    def _gate(self, service: compose.Service, changing: bool, fresh: bool) -> compose.Container:
        """Wait until the service's gate holds: for one that was running all along, one good answer is enough.

        Raises:
            RolloutError: it did not; says what it waited for.
        """
        released = service.released
        gate = health.Gate(
            service if changing else replace(service, successes=1, window=0.0),
            self.image_ids.get(compose.repository(service.image)) if released else None,
            self.release if released and self.release.startswith("sha-") else None,
            time.monotonic(),
            fresh,
        )
        identity: Optional[str] = None
        while True:
            self.store.fence()
            found = self._container(service.name, identity)
            identity = found.id if found else None
            ready = found is not None and found.status == "running"
            answers = [net.ask(url) for url in service.health] if ready else []
            now = time.monotonic()
            state = gate.sample(found, answers, now)
            if state == health.PASS and found:
                return found
            self.store.tell(
                step="gate",
                what=service.name,
                waiting_for=gate.waiting_for,
                elapsed=round(now - gate.started, 1),
                deadline=service.deadline,
            )
            if state == health.FAIL:
                waited = now - gate.started
                late = f"after {waited:.0f} s (its deadline is {service.deadline:.0f} s) it still waits for "
                crashed = bool(gate.fatal)
                raise self._failure(
                    service,
                    "container" if crashed else "health",
                    gate.waiting_for if crashed else late + gate.waiting_for,
                )
            time.sleep(health.next_pause(now - gate.started))

    def _container(self, service: str, identity: Optional[str]) -> Optional[compose.Container]:
        if identity:
            found = [compose.container(c) for c in self.engine.inspect("container", [identity])]
        else:
            found = [c for c in self.engine.containers(self.project) if c.service == service]
        return found[0] if found else None

    def _torch(
        self, service: compose.Service, expected: torch_verdict.Expectation, found: compose.Container, proven: bool
    ) -> dict[str, Any]:
        self.store.tell(step="torch", what=service.name)
        verdict = contract.in_container(self.engine, found.id, expected, self.torch_limit_s)
        # Where this very container was proven before, a card that it has filled since is no fault.
        if verdict["verdict"] != torch_verdict.PASS and not (proven and torch_verdict.passed_or_busy(verdict)):
            raise self._failure(service, "torch", torch_verdict.sentence(verdict, "torch contract broken"))
        return verdict

    def _remove(self, containers: list[compose.Container]) -> None:
        for found in containers:
            self.engine.checked(["stop", found.id], f"Stopping {found.service}")
            self.engine.checked(["rm", found.id], f"Removing {found.service}")

    def _masked(self, text: str) -> str:
        """What a service says, without the release's secrets: it goes to screens, reports and notifications."""
        try:
            values = env.parse(self.store.read(self.name, ".env") or "")
        except RolloutError:
            return "(not shown: the release's .env file, which names what to hide, cannot be read)"
        for name in self.manifest.get("secrets", []):
            # A shorter one is found everywhere.
            if len(values.get(name, "")) > 3:
                text = text.replace(values[name], env.MASK)
        return text

    def _failure(self, service: compose.Service, gate: str, what: str) -> RolloutError:
        found = self._container(service.name, None)
        log = self._masked(self.engine.logs(found.id)) if found else ""
        what = self._masked(what).rstrip(".")
        return RolloutError(
            f"Service {service.name} (stack {self.stack_name}) does not pass on {self.release}: {what}.",
            service=service.name,
            stack=self.stack_name,
            gate=gate,
            log=log,
        )

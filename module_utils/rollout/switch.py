"""The verb `switch`: bring one stack of a host to a release, tier by tier, each service behind its gate.

Rollout, rollback and revert all come here.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import Any, Callable, Optional, Sequence

from ansible.module_utils.rollout import beside, compose, contract, drain, env, gpu, health, net, plan, stage, torch_verdict
from ansible.module_utils.rollout.engine import Engine, Stack
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.gates import Gates
from ansible.module_utils.rollout.phases import Phases

# How long a service may take until it can be told to take work again, and the pause between two tries.
RESUME_S, RESUME_PAUSE_S = 20.0, 0.5


class Switch:
    """One stack on its way to the release in directory ``name``; ``run`` goes into the ledger.

    ``arm`` is called before the first change; what it raises prevents the change. ``gpu_release_s`` is how long a card may
    take to be free after the old container was stopped. ``drain_mode`` and ``drain_s`` hold for services whose gate does
    not say otherwise. With ``together`` services that do not depend on each other are switched at once.
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
        together: bool = True,
    ) -> None:
        self.store, self.engine, self.stack_name, self.name, self.run = store, engine, stack, name, run
        self.torch_limit_s, self.gpu_release_s, self.arm = torch_limit_s, gpu_release_s, arm
        self.drain_mode, self.drain_s, self.together = drain_mode, drain_s, together
        self.phases = Phases()
        self.by_name: dict[str, compose.Service] = {}
        self.project = plan.project(application, stack)
        self.manifest = store.manifest(name)
        self.release = str(self.manifest["release"])
        self.file = plan.compose_file(stack)
        self.stack = Stack(engine, self.project, store.directory(name), self.file, plan.pins_file(stack))
        self.image_ids = {r: i["id"] for r, i in self.manifest["images"].items()}
        self.gates = Gates(store, engine, self.project, self.release, self.image_ids, self.phases, self.failure, self._masked)

    def observe(self) -> tuple[list[compose.Service], list[compose.Container], list[compose.Change]]:
        """What is wanted, what runs, and the difference."""
        # A stack that the release does not have yet: all its containers go.
        there = self.stack_name in self.manifest["stacks"]
        wanted = compose.services(self.stack.config(), self.file) if there else []
        self.by_name = {s.name: s for s in wanted}
        active = self.store.active(self.stack_name, wanted)
        running = compose.active_first(self.engine.containers(self.project), active)
        # Another image store (containerd's) knows the same image by another id.
        if any(found.image_id not in self.image_ids.values() for found in running) or not running:
            self.image_ids.update(stage.image_ids(self.engine, self.manifest["images"]))
        return wanted, running, compose.changes(wanted, self.image_ids, running, active)

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
        # In check mode only settling asks the cards.
        if wait and not check:
            changes = [self._again(change, self.by_name.get(change.service), running) for change in changes]
        # A container that this run made must not have crashed since; an older one may have, long ago.
        begun = self.store.ledger().open
        fresh = {str(e.get("service")) for e in begun if e["run"] == self.run}
        changing = [c for c in changes if c.action != "keep"]
        rows = {c.service: _row(c) for c in changes}
        if changing and not check:
            if wait:
                to_start = {c.service for c in changing}
                stage.require_gpu_host(self.engine, {self.stack_name: [s for s in wanted if s.name in to_start]})
            self.arm()
            by_name = {c.service: c for c in changing}
            after = {s.name: s.after for s in wanted}
            for tier in compose.tiers(list(by_name), after, lambda name: self._alone(by_name[name], wait)):
                self._tier([by_name[name] for name in tier], running, wait, rows)
        # In check mode what would be changed still runs the old release: its gate says nothing about the new one.
        kept = [s for s in wanted if rows[s.name]["action"] == "keep"]
        begun_here = {str(e.get("service")) for e in begun}
        for service in kept:
            if not check and service.drain and service.name in begun_here:
                # It stays, but whoever began to switch it may have left it draining. Whether it hears it, settling finds out.
                self._resume(service.drain)
        if wait:
            held = self.gates.hold([s for s in kept if s.released], changing=False, fresh=fresh)
            for service in [s for s in kept if s.released]:
                if settle and service.drain and service.name in begun_here:
                    # Once more, behind its gate: whom it asks was not there yet, or does not know it yet.
                    left = self._resumed(service.drain)
                    if left:
                        raise self.failure(service, "drain", f"it {left}")
                if settle and service.torch and service.torch.on_gpu:
                    rows[service.name]["torch"] = self.prove(service, service.torch, held[service.name], proven=True)
        if changing and not check:
            # What was only started, or restarted without a gate on the way back, says nothing of a restart.
            gaps = {n: r["gap"] for n, r in rows.items() if r["action"] == "recreate" and r["gap"] is not None}
            self.store.append("switched", self.run, name=self.name, release=self.release, stack=self.stack_name, seconds=gaps)
        return {"changed": bool(changing), "services": list(rows.values())}

    def _alone(self, change: compose.Change, wait: bool) -> bool:
        """Whether a service is switched by itself: by policy, or because its switch is more than a stop and a start."""
        service = self.by_name.get(change.service)
        if not self.together or service is None or not service.released or service.start_first:
            return True
        waits = service.drain is not None and drain.mode(service.drain, self.drain_mode, wait) == drain.WAIT
        return waits or bool(service.torch and service.torch.on_gpu)

    def _tier(
        self, tier: list[compose.Change], running: list[compose.Container], wait: bool, rows: dict[str, dict[str, Any]]
    ) -> None:
        """Switch services that go together, and hold their gates; fills their rows."""
        began = time.monotonic()
        first = self.by_name.get(tier[0].service)
        if first is None:
            self.record("switching", tier[0].service)
            self.remove_containers([c for c in running if c.service == tier[0].service])
        elif first.start_first:
            beside.Beside(self, first, first.start_first).bring(wait, rows[first.name])
        else:
            services = [self.by_name[change.service] for change in tier]
            told = self._start(services, tier, running, wait)
            found = self.gates.hold(services, changing=True, fresh=set()) if wait else {}
            for service in services:
                row = rows[service.name]
                row.update(drain=told.get(service.name, ""), gap=self.phases.out_of_service(service.name))
                if wait and service.torch:
                    row["torch"] = self.prove(service, service.torch, found[service.name], proven=False)
                row["seconds"] = round(time.monotonic() - began, 2)
        for change in tier:
            rows[change.service]["seconds"] = rows[change.service]["seconds"] or round(time.monotonic() - began, 2)

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
        """Take the released services away again: the way back where there was no stable release. Data stays, and so does what no
        run has begun to switch: what ran before the first rollout is the operator's."""
        wanted, running, _changes = self.observe()
        ledger = self.store.ledger()
        released = {s.name for s in wanted if s.released}
        # A run that was confirmed here, and reverted because of another host, has switched them all.
        if not (ledger.stable and ledger.stable.run == self.run):
            released &= {str(e.get("service")) for e in ledger.open if e.get("stack") == self.stack_name}
        found = [c for c in running if c.service in released]
        if found and not check:
            self.record("reverting", found[0].service)
            self.remove_containers(found)
        return {
            "changed": bool(found),
            "services": [
                {"service": c.service, "action": "remove", "why": "no stable release", "drain": "", "torch": None, "seconds": 0.0}
                for c in found
            ],
        }

    def record(self, event: str, service: str) -> None:
        """Into the ledger before the step: what was begun is known whatever happens."""
        self.store.append(event, self.run, name=self.name, release=self.release, stack=self.stack_name, service=service)

    def _start(
        self, services: list[compose.Service], tier: list[compose.Change], running: list[compose.Container], wait: bool
    ) -> dict[str, str]:
        """Bring services to the release; returns what their old containers were waited for."""
        began = time.monotonic()
        modes: dict[str, str] = {}
        first: dict[str, Optional[health.Answer]] = {}
        old = {s.name: [c for c in running if c.service == s.name] for s in services}
        for service in services:
            self.record("switching", service.name)
            if not service.released:
                beside.make_room(self, service, running)
            elif service.drain and any(c.status == "running" for c in old[service.name]):
                mode = modes[service.name] = drain.mode(service.drain, self.drain_mode, wait)
                if mode != drain.FORCE:
                    with self.phases.phase("drain", service.name, mode):
                        limit = drain.Wait(service.drain, self.drain_s, began)
                        first[service.name] = self._idle(service, limit) if mode == drain.WAIT else self._drain(service.drain)
        longest = max(s.grace + s.deadline for s in services) + 120
        cards = [(s, s.torch) for s in services if s.torch and s.torch.on_gpu and old[s.name]]
        pids = {s.name: [pid for found in old[s.name] for pid in self.engine.processes(found.id)] for s, _torch in cards}
        forced = [s.name for s in services if modes.get(s.name) == drain.FORCE]
        gently = [s.name for s in services if s.name not in forced and (s.name in modes or s.name in pids)]
        try:
            for names, grace in ((gently, None), (forced, drain.FORCED_GRACE_S)):
                if names:
                    with self.phases.together("stop", names):
                        self.stack.stop(names, longest, grace)
            seconds = time.monotonic() - began
            for service, expected in cards:
                self._free_card(service, expected, pids[service.name], wait)
            names = [s.name for s in services]
            with self.phases.together("start", names):
                self.stack.up(names, recreate=any(c.action == "recreate" for c in tier), timeout=longest)
        except RolloutError as error:
            if error.facts.get("fenced"):
                raise
            faulty = self._faulty(services)
            raise self.failure(faulty, "start", str(error), [c for c in old[faulty.name] if c.status == "running"]) from error
        return {name: drain.told(mode, first.get(name), seconds) for name, mode in modes.items()}

    def _faulty(self, services: list[compose.Service]) -> compose.Service:
        """Of services that were to start together, the first whose container does not run."""
        if len(services) == 1:
            return services[0]
        up = {c.service for c in self.engine.containers(self.project) if c.status == "running"}
        return next((s for s in services if s.name not in up), services[0])

    def _drain(self, asked: drain.Drain) -> health.Answer:
        """Tell a service to take no more work; what it still does."""
        answer = net.tell(asked.stop, {"draining": True})
        return net.ask(asked.busy) if asked.busy and drain.good(answer) else answer

    def _resume(self, asked: drain.Drain) -> str:
        """Tell a service to take work again; why it could not be told, or empty."""
        answer = net.tell(asked.stop, {"draining": False})
        return "" if drain.good(answer) else f"could not be told to take work again: {drain.trouble(answer)}. Restart it"

    def _resumed(self, asked: drain.Drain) -> str:
        """As `_resume`, again and again for a while: who just started has to be registered first."""
        ends = time.monotonic() + RESUME_S
        left = self._resume(asked)
        while left and time.monotonic() < ends:
            time.sleep(RESUME_PAUSE_S)
            left = self._resume(asked)
        return left

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
                waiting_for=self._masked(wait.doing),
                elapsed=round(now - wait.started, 1),
                deadline=wait.limit,
            )
            if state == drain.FAIL:
                left = self._resume(wait.asked)
                raise self.failure(service, "drain", f"{wait.why}. It {left or 'was left running and takes work again'}")
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

    def prove(
        self, service: compose.Service, expected: torch_verdict.Expectation, found: compose.Container, proven: bool
    ) -> dict[str, Any]:
        """Hold a running container to its torch contract.

        Raises:
            RolloutError: it does not keep it.
        """
        self.store.tell(step="torch", what=service.name)
        with self.phases.phase("torch", service.name):
            verdict = contract.in_container(self.engine, found.id, expected, self.torch_limit_s)
        # Where this very container was proven before, a card that it has filled since is no fault.
        if verdict["verdict"] != torch_verdict.PASS and not (proven and torch_verdict.passed_or_busy(verdict)):
            raise self.failure(service, "torch", torch_verdict.sentence(verdict, "torch contract broken"))
        return verdict

    def remove_containers(self, containers: list[compose.Container]) -> None:
        """Stop and remove containers, one after another."""
        for found in containers:
            self.engine.checked(["stop", found.id], f"Stopping {found.service}", timeout=found.grace + 120)
            self.engine.checked(["rm", found.id], f"Removing {found.service}")

    def _masked(self, text: str) -> str:
        """What a service says, without the release's secrets: it goes to screens, reports and notifications."""
        try:
            values = env.parse(self.store.read(self.name, ".env") or "")
        except RolloutError:
            return "(not shown: the release's .env file, which names what to hide, cannot be read)"
        secrets = {values.get(name, "") for name in self.manifest.get("secrets", [])}
        # The longest first: one may hold another. A short one is found everywhere.
        for secret in sorted((one for one in secrets if len(one) > 3), key=len, reverse=True):
            text = text.replace(secret, env.MASK)
        return text

    def failure(self, service: compose.Service, gate: str, what: str, before: Sequence[compose.Container] = ()) -> RolloutError:
        """The sentence for a gate that did not hold, with the last lines of the service's log; those of the containers ``before``
        tell nothing of it.
        """
        past = {c.id for c in before}
        # The newest first: of two it is the one that did not come up.
        found = next((c for c in self.engine.containers(self.project) if c.service == service.name and c.id not in past), None)
        log = self._masked(self.engine.logs(found.id)) if found else ""
        what = self._masked(what).rstrip(".")
        return RolloutError(
            f"Service {service.name} (stack {self.stack_name}) does not pass on {self.release}: {what}.",
            service=service.name,
            stack=self.stack_name,
            gate=gate,
            log=log,
        )


def _row(change: compose.Change) -> dict[str, Any]:
    """What is reported of a service, before anything was done."""
    facts = {"service": change.service, "action": change.action, "why": change.why}
    return {**facts, "drain": "", "torch": None, "seconds": 0.0, "gap": None}

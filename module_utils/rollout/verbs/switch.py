"""The verbs that bring a stack of this host to a release: there, back, or not at all (`look`), and away (`remove`).

A rollout and a rollback `bring`; a revert and the guard `bring_back`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Collection, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import compose, drain
from ansible.module_utils.rollout.domain import lock as locks
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.domain.changes import Change, Container, is_several, leftovers, named, tiers
from ansible.module_utils.rollout.domain.gate import FORCE, WAIT, Drain, Expectation
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict
from ansible.module_utils.rollout.domain.units import times
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import clock, gpu, machine, torch_check
from ansible.module_utils.rollout.verbs import candidate, draining, job_containers, refusals, restage, start_first
from ansible.module_utils.rollout.verbs.deployment import Deployment
from ansible.module_utils.rollout.verbs.gates import Gates
from ansible.module_utils.rollout.verbs.one_by_one import OneByOne

# Is called before the first change; what it raises prevents the change.
Arm = Callable[[], None]


def bring(deployment: Deployment, arm: Arm = lambda: None) -> dict[str, Any]:
    """Bring the stack to the release, tier by tier, each service behind its gate.

    Returns:
        changed; phases and clock; services: for each its action, why, drain (what was waited for before its stop, as a sentence
        without its subject), torch, seconds from before its drain until it passed its gate, and gap, the seconds from its stop
        until it was healthy (None if it was not away, or no gate was held).

    Raises:
        RolloutError: a service failed its gate, or could not be started. Facts: service, gate, log, phases, clock.
    """
    return deployment.phases.timed(_Switch(deployment, arm, back=False).go)


def bring_back(deployment: Deployment, arm: Arm = lambda: None) -> dict[str, Any]:
    """As `bring`, back to a release that was stable. No gate is held: there is nothing better to go back to, and whether it
    passes is proven once all is back.

    Raises:
        RolloutError: it cannot be brought back. Fact ``damaged``: for want of its files; what is there of it was started again.
    """
    deployment.store.go_back()
    job_containers.clear(deployment)
    damage = deployment.damage()
    if damage:
        raise _as_they_are(deployment, damage)
    return deployment.phases.timed(_Switch(deployment, arm, back=True).go)


def _as_they_are(deployment: Deployment, damage: str) -> RolloutError:
    """Start the containers of a release that are there, which needs none of its files; the error that says so."""
    deployment.outlast()
    here = deployment.engine.containers(deployment.project)
    # A service outside the release has containers of none.
    mine = [c for c in here if c.release in ("", deployment.release)]
    for found in mine:
        if found.status != "running":
            deployment.engine.checked(["start", found.id], f"Starting {found.service}")
    lost = deployment.begun() - {c.service for c in mine}
    down = refusals.NOT_BACK.text(services=", ".join(sorted(lost))) if lost else ""
    return refusals.DAMAGED(release=deployment.release, damage=damage, down=down, facts={"damaged": True})


def differs(deployment: Deployment) -> dict[str, Any]:
    """The changes that `bring` would make, in its words. Nothing is touched, and no gate is asked."""
    changes = deployment.changes(deployment.running())
    return {"changed": any(change.action != "keep" for change in changes), "services": [_row(change) for change in changes]}


def look(deployment: Deployment) -> dict[str, Any]:
    """As `differs`, and the gates of what would stay are held.

    Raises:
        RolloutError: one of these services fails its gate.
    """

    def found() -> dict[str, Any]:
        deployment.outlast()
        differing = differs(deployment)
        # What would be changed still runs the old release: its gate says nothing about the new one.
        stay = {row["service"] for row in differing["services"] if row["action"] == "keep"}
        Gates(deployment).again([s for s in deployment.wanted if s.released and s.name in stay])
        return differing

    return deployment.phases.timed(found)


def remove(deployment: Deployment, check: bool) -> dict[str, Any]:
    """Take the released services away again: the way back if there was no stable release. Data stays, and so does what no run
    has begun to switch: what ran before the first rollout is the operator's."""
    deployment.store.go_back()
    if not check:
        job_containers.clear(deployment)
    ledger = deployment.store.ledger()
    here = deployment.engine.containers(deployment.project)
    # By their labels, which need no file. A container without one was there before.
    released = {c.service for c in here if c.release}
    # A run that was confirmed here, and reverted because of another host, has switched them all.
    if not (ledger.stable and ledger.stable.run == deployment.run):
        released &= deployment.begun()
    found = [c for c in here if c.service in released and c.release]
    if found and not check:
        deployment.record("reverting", found[0].service)
        deployment.remove_containers(found)
    names = dict.fromkeys(c.service for c in found)
    return {"changed": bool(found), "services": [_row(Change(name, "remove", "no stable release")) for name in names]}


def _row(change: Change) -> dict[str, Any]:
    """What is reported of a service, before anything was done."""
    facts = {"service": change.service, "action": change.action, "why": change.why}
    return {**facts, "drain": "", "torch": None, "seconds": 0.0, "gap": None}


class _Switch:
    """The way of one stack to the release, or ``back`` to it."""

    def __init__(self, deployment: Deployment, arm: Arm, back: bool) -> None:
        self.deployment, self.arm, self.back = deployment, arm, back
        self.gates = Gates(deployment)
        self.running: list[Container] = []
        self.rows: dict[str, dict[str, Any]] = {}

    def go(self) -> dict[str, Any]:
        """Do it; returns what `bring` does, but for the clock."""
        one = self.deployment
        one.outlast()
        if not self.back:
            job_containers.clear(one)
        self.running = one.running()
        for rest in leftovers(one.wanted, self.running):
            # It has no data, and its port and name are in the way.
            one.engine.checked(["rm", rest.id], f"Removing a container of {rest.service} that was never started")
            self.running.remove(rest)
        changes = one.changes(self.running)
        if not self.back:
            self._require_calm(changes)
            changes = [self._with_card(change) for change in changes]
        self.rows = {c.service: _row(c) for c in changes}
        changing = {c.service: c for c in changes if c.action != "keep"}
        if changing:
            self._change(changing)
        self._keep([s for s in one.wanted if s.name not in changing])
        if changing:
            # What was only started, or restarted without a gate on the way back, says nothing of a restart.
            quiet = one.quiet()
            away = {n: r for n, r in self.rows.items() if r["action"] == "recreate" and n not in quiet}
            gaps = {n: r["gap"] for n, r in away.items() if r["gap"] is not None}
            one.store.append("switched", one.run, name=one.name, release=one.release, stack=one.stack, seconds=gaps)
        return {"changed": bool(changing), "services": list(self.rows.values())}

    def _require_calm(self, changes: Sequence[Change]) -> None:
        """Refuse to start a service of the stable release anew that crashes again and again: it would again, a bit later."""
        one, ledger = self.deployment, self.deployment.store.ledger()
        if ledger.open or not ledger.stable or ledger.stable.name != one.name:
            return
        for change in changes:
            found = next((c for c in self.running if c.service == change.service and c.status == change.why), None)
            anew = change.action == "recreate" or (change.action == "replace" and bool(change.wrong))
            if found and anew and change.why == "restarting":
                why = refusals.CRASHES.text(times=times(found.restarts))
                raise one.failure(one.by_name[change.service], "container", why)

    def _with_card(self, change: Change) -> Change:
        """Recreate what would be kept if its container has lost its card since: a new one gets it back."""
        service = self.deployment.by_name.get(change.service)
        if change.action not in ("keep", "scale") or service is None or service.torch is None or not service.torch.on_gpu:
            return change
        one, lost, why = self.deployment, [], ""
        for found in self.running:
            if found.service == service.name and found.id not in change.wrong:
                verdict = torch_check.in_container(one.engine, found.id, service.torch, one.policy.torch_limit_s)
                if not torch_verdict.passed_or_busy(verdict):
                    lost.append(found.id)
                    why = why or f"torch: {verdict['reason']}"
        action = "replace" if service.replicas > 1 else "recreate"
        return replace(change, action=action, why=why, wrong=(*change.wrong, *lost)) if lost else change

    def _change(self, changing: dict[str, Change]) -> None:
        one = self.deployment
        if not self.back:
            candidate.require_cards(one.engine, [s for s in one.wanted if s.name in changing])
        restage.fetch(one, [s for s in one.wanted if s.name in changing])
        self.arm()
        self._renew_networks(changing)
        after = {s.name: s.after for s in one.wanted}
        for names in tiers(list(changing), after, self._alone):
            self._tier([changing[name] for name in names])

    def _renew_networks(self, changing: Mapping[str, Change]) -> None:
        """Take networks away that are not what the release says; the services on them come back in their order, with new ones.

        Their containers stay until then: what they have in volumes without a name is carried over.
        """
        one = self.deployment
        for network in one.networks():
            began = clock.monotonic()
            services = [s for s in one.wanted if s.name in network.services and s.name in changing]
            for service in services:
                one.record("switching", service.name)
                if service.drain and any(c.service == service.name and c.status == "running" for c in self.running):
                    self._drain(service, service.drain, began)
            names = [s.name for s in reversed(services)]
            there = [c for c in self.running if c.service in names]
            one.stopping(there)
            limit = max([s.grace + 120 for s in services], default=120)
            if names:
                with one.phases.together("stop", names):
                    one.compose_project.stop(names, limit)
            for found in there:
                one.engine.run(["network", "disconnect", "--force", network.name, found.id])
            one.engine.checked(["network", "rm", network.name], f"Removing network {network.key}")
            self.running = one.running()

    def _keep(self, kept: Sequence[compose.Service]) -> None:
        begun = self.deployment.begun()
        for service in kept:
            if service.drain and service.name in begun:
                # An interrupted switch may have left it draining. Whether it hears this, settling finds out.
                draining.resume(service.drain)
        if not self.back:
            released = [s for s in kept if s.released]
            # Containers that this very run has made, before the engine was away, have yet to pass.
            made = self.deployment.begun(self.deployment.run)
            once = [s for s in released if s.name in made and not s.start_first and s.replicas == 1]
            self.gates.hold(once)
            self.gates.again([s for s in released if s not in once])

    def _alone(self, name: str) -> bool:
        """Whether a service is switched by itself: by policy, or because its switch is more than a stop and a start."""
        service = self.deployment.by_name.get(name)
        if not self.deployment.policy.together or service is None or not service.released or service.start_first or service.renew:
            return True
        if is_several(service, self._number(name)):
            return True
        waits = service.drain is not None and self._mode(service.drain) == WAIT
        return waits or bool(service.torch and service.torch.on_gpu)

    def _number(self, name: str) -> int:
        return sum(c.service == name for c in self.running)

    def _mode(self, asked: Drain) -> str:
        return drain.mode(asked, self.deployment.policy.drain_mode, not self.back)

    def _tier(self, tier: Sequence[Change]) -> None:
        """Switch services that go together, and hold their gates; fills their rows."""
        began = clock.monotonic()
        one, name = self.deployment, tier[0].service
        first = one.by_name.get(name)
        if first is None:
            one.record("switching", name)
            one.remove_containers([c for c in self.running if c.service == name])
        elif first.start_first:
            start_first.StartFirst(one, first, first.start_first, self.back).bring(self.rows[name])
        else:
            if is_several(first, self._number(name)):
                OneByOne(one, tier[0], self._free_card, self.back).bring(self.rows[name])
                self.running = one.running()
            if first.replicas == 1 and (tier[0].action != "scale"):
                self._together([one.by_name[change.service] for change in tier], tier, began)
        quiet = {} if self.back else one.quiet()
        for change in tier:
            if change.service in quiet:
                # It has been away since then: the jobs of all hosts came between.
                self.rows[change.service]["gap"] = round(locks.elapsed(quiet[change.service], machine.clock()), 2)
            self.rows[change.service]["seconds"] = self.rows[change.service]["seconds"] or round(clock.monotonic() - began, 2)

    def _together(self, services: Sequence[compose.Service], tier: Sequence[Change], began: float) -> None:
        one = self.deployment
        drained = self._replace(services, any(change.action == "recreate" for change in tier))
        found = {} if self.back else self.gates.hold(services)
        for service in services:
            row = self.rows[service.name]
            row.update(drain=drained.get(service.name, ""), gap=one.phases.out_of_service(service.name))
            if service.torch and not self.back:
                row["torch"] = one.prove(service, service.torch, found[service.name], proven=False)
            row["seconds"] = round(clock.monotonic() - began, 2)

    def _replace(self, services: Sequence[compose.Service], recreate: bool) -> dict[str, str]:
        """Stop what runs and start the release; returns what the old containers were waited for."""
        one, began = self.deployment, clock.monotonic()
        old = {s.name: [c for c in self.running if c.service == s.name] for s in services}
        drained: dict[str, tuple[str, Optional[Answer]]] = {}
        for service in services:
            one.record("switching", service.name)
            if not service.released:
                start_first.make_room(one, service, self.running)
            elif service.drain and any(c.status == "running" for c in old[service.name]):
                drained[service.name] = self._drain(service, service.drain, began)
        limit = max(s.grace + s.deadline for s in services) + 120
        names = [s.name for s in services]
        try:
            one.stopping([c for found in old.values() for c in found], max(s.grace for s in services))
            stopped = self._stop(services, old, {name: mode for name, (mode, _first) in drained.items()}, limit)
            with one.phases.together("start", names):
                one.compose_project.up(names, recreate=recreate, timeout=limit, renew=services[0].renew)
        except RolloutError as error:
            if error.facts.get("fenced") or error.facts.get("away"):
                raise
            up = {c.id: c.service for c in one.seen() if c.status == "running"}
            down = [s for s in services if s.name not in up.values()]
            faulty = named(services, one.project, str(error)) or (down or list(services))[0]
            past = [c for c in old[faulty.name] if c.status == "running"]
            sentence = refusals.NOT_REPLACED if any(c.id in up for c in past) else refusals.NOT_STARTED
            raise one.failure(faulty, "start", str(error), past, sentence) from error
        return {name: drain.told(mode, first, stopped - began) for name, (mode, first) in drained.items()}

    def _drain(self, service: compose.Service, asked: Drain, began: float) -> tuple[str, Optional[Answer]]:
        return draining.let_go(self.deployment, service, asked, self._mode(asked), began)

    def _stop(
        self,
        services: Sequence[compose.Service],
        old: dict[str, list[Container]],
        modes: dict[str, str],
        limit: float,
    ) -> float:
        """Stop by itself what must not wait for its start: what was drained, and what holds a card; when that was."""
        one = self.deployment
        cards = [(s, s.torch) for s in services if s.torch and s.torch.on_gpu and old[s.name]]
        pids = {s.name: [pid for found in old[s.name] for pid in one.engine.processes(found.id)] for s, _torch in cards}
        forced = [s.name for s in services if modes.get(s.name) == FORCE]
        gently = [s.name for s in services if s.name not in forced and (s.name in modes or s.name in pids)]
        for names, grace in ((gently, None), (forced, drain.FORCED_GRACE_S)):
            if names:
                with one.phases.together("stop", names):
                    one.compose_project.stop(names, limit, grace)
        stopped = clock.monotonic()
        for service, expected in cards:
            self._free_card(service, expected, pids[service.name])
        return stopped

    def _free_card(self, service: compose.Service, expected: Expectation, pids: Collection[int]) -> None:
        """Wait until the old container has left the card: one card holds one model."""
        one = self.deployment
        one.store.tell(step="card", what=service.name)
        try:
            seconds = one.policy.gpu_release_s
            gpu.await_release(list(pids), expected.min_free_mib, seconds, one.engine, one.store.fence, service.cards)
        except RolloutError as error:
            # On the way back there is nothing better than to try; without the lock, nothing is to be done at all.
            if not self.back or error.facts.get("fenced") or error.facts.get("away"):
                raise

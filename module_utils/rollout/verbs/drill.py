"""The verb `drill`: prove that a rollback would work today, without touching what runs."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any, Callable, Iterator, Mapping

from ansible.module_utils.rollout.domain import data, presets, rehearsal, units
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.data import Entry
from ansible.module_utils.rollout.domain.gate import CHECKPOINT
from ansible.module_utils.rollout.domain.ledger import Ledger, Stable
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.module_utils.rollout.io import clock, machine
from ansible.module_utils.rollout.io.backups import Backups
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.images import ANONYMOUS, Login
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import backups, restage, saving
from ansible.module_utils.rollout.verbs import rehearsal as trials
from ansible.module_utils.rollout.verbs.candidate import Candidate
from ansible.module_utils.rollout.verbs.deployment import Deployment
from ansible.module_utils.rollout.verbs.phases import Phases

PROVEN, UNTRIED, FAILED = "proven", "untried", "failed"
# What is proven, in this order.
RELEASE, REHEARSAL, BACKUP, RESTORE = "release", "rehearsal", "backup", "restore"
# Seconds for which a database must answer before a backup is restored into it, and afterwards: a new one starts twice.
CALM_S = 5.0
# A backup takes so many times its bytes once it is restored; a packed one rather more.
GROWS, UNPACKED = 2, 10
_SECTION = "Drill"
UNFINISHED = Refusal(
    _SECTION,
    "Run {run} did not come to its end on this host, so nothing can be proven about a rollback. Roll out or roll back first.",
    "roll out or roll back, then type `ansible-playbook playbooks/drill.yml` again",
)
NO_BACKUP = Refusal(
    _SECTION,
    "Service {service} (stack {stack}) was never backed up here, or its backups are gone. Take one: ansible-playbook "
    "playbooks/backup.yml",
    "type that command; a release with a job takes one by itself",
)
NO_WAY = Refusal(
    _SECTION,
    "A rollback to {release} needs older data of service {service} (stack {stack}), and no backup that has it is here.",
    "take backups before jobs (`when: job`, the default). Without one, only `-e data=keep` goes back, to code that may not know "
    "the data",
)
BEHIND = Refusal(
    _SECTION,
    "a rollback to {release} goes back behind job {jobs}: its code does not know the data as it is now",
    "nothing: such a rollback needs `-e data=restore`, and the backup that it brings back was proven",
)
NO_ROOM = Refusal(
    _SECTION,
    "Backup {backup} was not restored, for there is too little room: about {needed} are needed in {path}, and {free} are free.",
    "make room on the disk of the engine, or drill without `-e restore=true`",
)
NOT_ANSWERING = Refusal(
    _SECTION,
    "Service {service} (stack {stack}, {release}) does not answer in a container of its own, before a backup was restored there "
    "or afterwards: {what}. What runs was not touched.",
    "read the log below it: the image does not start with empty data, or not with what was restored",
)
NOT_RESTORED = Refusal(
    _SECTION,
    "Backup {backup} of service {service} (stack {stack}) cannot be restored: status {status} ({said}). It was tried in a "
    "container of its own; what runs was not touched.",
    "read the restore command's own words in the brackets, fix that, and take a new backup: `ansible-playbook "
    "playbooks/backup.yml`",
)


@dataclass(frozen=True)
class Asked:
    """What a drill is to prove on a host with these ``stacks``: that a rollback to the release in directory ``name``, which was
    stable once, would work; with ``restore`` also that the newest backups can be restored. The others are as `restage` takes
    them."""

    application: str
    run: str
    name: str
    stacks: tuple[str, ...]
    restore: bool = False
    login: Login = ANONYMOUS
    confirm_s: float = 0.0
    drain_mode: str = CHECKPOINT


def drill(store: Store, engine: Engine, asked: Asked, check: bool) -> dict[str, Any]:
    """Prove what a rollback needs: the release before, whole and with its images; its services, as far as they are rehearsed; and
    the newest backups.

    Args:
        check: nothing is started or pulled.

    Returns:
        changed; release; rows: for each thing that was looked at its stack and service (empty
        for the whole release), what, state, found (a sentence, or the end of one), log, seconds; phases and clock.

    Raises:
        RolloutError: a run has not come to its end.
    """
    phases = Phases()
    return phases.timed(lambda: _Drill(store, engine, asked, check, phases).go())


class _Drill:
    def __init__(self, store: Store, engine: Engine, asked: Asked, check: bool, phases: Phases) -> None:
        self.store, self.engine, self.asked, self.check, self.phases = store, engine, asked, check, phases
        self.rows: list[dict[str, Any]] = []

    def go(self) -> dict[str, Any]:
        ledger = self.store.ledger()
        begun = ledger.interrupted or ledger.armed
        if begun:
            raise UNFINISHED(run=begun["run"])
        target = next(one for one in reversed(ledger.known) if one.name == self.asked.name)
        if self._prove("", "", RELEASE, lambda: self._release(target)):
            self._rehearse(ledger, target)
        self._backups(ledger, target)
        return {"changed": False, "release": target.release, "rows": self.rows}

    def _row(self, stack: str, service: str, what: str, state: str, found: str, **facts: Any) -> None:
        row = {"stack": stack, "service": service, "what": what, "state": state, "found": found, "log": "", "seconds": 0.0}
        self.rows.append({**row, **facts})

    def _prove(self, stack: str, service: str, what: str, act: Callable[[], str]) -> bool:
        """Note what comes of it; whether it was proven."""
        began = clock.monotonic()
        state, log = PROVEN, ""
        try:
            with self.phases.phase(what, service):
                found = act()
        except RolloutError as error:
            if error.facts.get("fenced") or error.facts.get("away"):
                raise
            state, found, log = FAILED, str(error), str(error.facts.get("log") or "")
        self._row(stack, service, what, state, found, log=log, seconds=round(clock.monotonic() - began, 2))
        return state == PROVEN

    def _release(self, target: Stable) -> str:
        asked = self.asked
        limits: dict[str, Any] = {"confirm_s": asked.confirm_s, "drain_mode": asked.drain_mode}
        done = restage.restage(self.store, self.engine, target.name, self.check, asked.login, asked.stacks, **limits)
        number = len(self.store.manifest(target.name)["images"])
        images = f"{number} image{'s'[: number != 1]}"
        if self.check and done["changed"]:
            return f"files whole; of {images} some would be pulled"
        pulled = f", {units.human(done['pulled'])} of them pulled" if done.get("pulled") else ""
        return f"files whole, {images} here{pulled}"

    def _rehearse(self, ledger: Ledger, target: Stable) -> None:
        found = restage.candidate_of(self.store, self.engine, target.name, self.asked.stacks)
        crossed = [str(job["job"]) for job in data.crossed(ledger, target)]
        bar = BEHIND.text(release=target.release, jobs=" and ".join(crossed)) if crossed else ""
        for plan in trials.planned(self.store, self.engine, found, bar=bar):
            why = plan.why or ("it would be tried" if self.check else "")
            if why:
                self._row(plan.stack, plan.service.name, REHEARSAL, UNTRIED, why)
                continue

            self._prove(plan.stack, plan.service.name, REHEARSAL, functools.partial(self._rehearsed, found, plan))

    def _rehearsed(self, found: Candidate, plan: trials.Planned) -> str:
        trials.rehearse(self.store, self.engine, found, self.asked.run, [plan], Phases())
        return "it starts, and its gate holds"

    def _backups(self, ledger: Ledger, target: Stable) -> None:
        stable = ledger.stable
        for deployment, service in self._kept(stable.name if stable else ""):
            name, records = service.name, self._wanted(ledger, target, deployment, service)
            for record in records:
                proven = self._prove(deployment.stack, name, BACKUP, functools.partial(self._verified, deployment, record))
                if proven and self.asked.restore and record is records[0]:
                    self._restore(deployment, service, record)

    def _kept(self, name: str) -> Iterator[tuple[Deployment, Service]]:
        """The services of the present release that have backups."""
        for stack in self.store.manifest(name)["stacks"]:
            deployment = Deployment(self.store, self.engine, self.asked.application, stack, name, self.asked.run)
            for service in deployment.wanted:
                if service.backup and stack in self.asked.stacks:
                    yield deployment, service

    def _wanted(self, ledger: Ledger, target: Stable, deployment: Deployment, service: Service) -> list[Entry]:
        """The newest backup of a service, and the one that a rollback to the target would bring back."""
        stack, name = deployment.stack, service.name
        mine = [one for one in data.backups(ledger) if (one["stack"], one["service"]) == (stack, name)]
        if not mine:
            self._row(stack, name, BACKUP, FAILED, NO_BACKUP.text(service=name, stack=stack))
            return []
        found, back = mine[-1:], data.to_restore(ledger, target)
        if (stack, name) in back:
            wanted = back[stack, name]
            if not wanted:
                self._row(stack, name, BACKUP, FAILED, NO_WAY.text(release=target.release, service=name, stack=stack))
            elif wanted["backup"] != found[0]["backup"]:
                found.append(wanted)
        return found

    def _verified(self, deployment: Deployment, record: Mapping[str, Any]) -> str:
        backups.verify(deployment, record)
        age = units.span(machine.age(str(record["at"]))) if record.get("at") else "of unknown age"
        return f"{record['backup']} is whole ({units.human(int(record['bytes']))}, {age} old)"

    def _restore(self, deployment: Deployment, service: Service, record: Mapping[str, Any]) -> None:
        if self.check:
            self._row(deployment.stack, service.name, RESTORE, UNTRIED, "it would be tried")
        else:
            self._prove(deployment.stack, service.name, RESTORE, lambda: self._restored(deployment, service, record))

    def _restored(self, deployment: Deployment, service: Service, record: Mapping[str, Any]) -> str:
        how, name = presets.restoring(record["how"]), service.name
        self._require_room(record, how.packed)
        document = rehearsal.apart(deployment.compose_project.config(), name, str(self.store.root))
        # Without a network, its command or Docker's own health check says how it is.
        gate = replace(service, health=(), names_release=False, window=CALM_S, successes=3, replicas=1)
        with trials.tried(deployment, service, document, sentence=NOT_ANSWERING) as trial:
            found = trial.hold(gate)
            if how.stopped:
                self.engine.checked(["stop", found.id], f"Stopping {name}", timeout=found.grace + 120)
            pieces = Backups(self.store.root).pieces(str(record["file"]), how.packed)
            done = saving.flow(trial, found, how, how.restore, RESTORE, name, pieces=pieces)
            if done[0]:
                raise saving.failure(NOT_RESTORED, deployment, name, done, backup=record["backup"])
            if how.stopped:
                self.engine.checked(["start", found.id], f"Starting {name}")
            trial.hold(gate)
        return f"{record['backup']} restored"

    def _require_room(self, record: Mapping[str, Any], packed: bool) -> None:
        path = str(self.engine.facts()["data"])
        needed, free = int(record["bytes"]) * (UNPACKED if packed else GROWS) + saving.RESERVE, machine.free_bytes(path)
        if free < needed:
            raise NO_ROOM(backup=record["backup"], needed=units.human(needed), path=path, free=units.human(free))

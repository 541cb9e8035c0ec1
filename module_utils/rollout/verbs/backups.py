"""Saves the data of a kept service and brings it back.

A backup is a file of this host and an entry ``backup`` of its ledger: without either one it is none. What is needed to restore it
stands in that entry, so that a release that does not know the backup can be brought back with it.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import data, presets, units
from ansible.module_utils.rollout.domain.backup import Backup
from ansible.module_utils.rollout.domain.changes import Container
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.data import Entry
from ansible.module_utils.rollout.domain.ledger import Ledger
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.module_utils.rollout.io import clock, machine
from ansible.module_utils.rollout.io.backups import PART, Backups
from ansible.module_utils.rollout.io.docker_command import last_words
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import saving
from ansible.module_utils.rollout.verbs.deployment import Deployment

# How much larger a backup may be than the one before.
GROWTH = 1.2
# Why a backup was taken that somebody asked for.
BY_HAND = "by hand"
# Seconds that a question about sizes may take.
SIZE_S = 60.0
_SECTION = "Backups"
NO_ROOM = Refusal(
    _SECTION,
    "Not enough disk in {path} for a backup of service {service} (stack {stack}): needed {needed} bytes ({size}), free {free} "
    "bytes ({left}). Make room there, or lower keep in x-rollout.{service}.backup, then run again.",
    "make room in `<rollout_dir>/backups`; a smaller `keep` lets older backups go after the next one",
)
MISSING = Refusal(
    _SECTION,
    "Backup {backup} cannot be used: its file {path} {fault}. Choose another one: ansible-playbook playbooks/restore.yml lists "
    "them.",
    "choose another backup; `playbooks/restore.yml` without `-e backup=` lists those that are there",
)
NOT_READY = Refusal(
    _SECTION,
    "Service {service} (stack {stack}) could not be backed up: {said}. Fix that, or write the commands of its backup yourself "
    "(dump and restore in x-rollout.{service}.backup).",
    "read the words of the service's own image behind the colon: a password that it does not accept, a program that it lacks",
)
UNKNOWN = Refusal(
    _SECTION,
    "There is no backup {backup} on this host. Backups here: {known}.",
    "choose one that is listed",
)
NOT_RESTORED = Refusal(
    _SECTION,
    "Backup {backup} could not be restored into service {service} (stack {stack}): status {status} ({said}). {state}",
    "read the restore command's own words in the brackets, fix that, and type the same command again: it finishes a restore that "
    "was begun",
)
AS_BEFORE = Refusal(_SECTION, "The data is as it was before.", "fix what the sentence before this one names, then run again")
HALF_WAY = Refusal(
    _SECTION,
    "The data may be restored in part: keep the service's clients stopped until a restore has ended well.",
    "type the same command again, once what the sentence before this one names is fixed",
)


def take(deployment: Deployment, service: Service, why: str, arm: Callable[[], None] = lambda: None) -> Entry:
    """Save the data of a kept service, verify what was written, record it, and let old backups go.

    With preset ``volume`` the service is stopped meanwhile, and started again.

    Args:
        why: what it is for, as plans and reports have it: ``before migrate``.
        arm: arms the guard; is called before the service is stopped.

    Returns:
        The entry ``backup`` of the ledger.

    Raises:
        RolloutError: it could not be saved, or does not verify; no file stays. Facts: service, stack, gate ``backup``.
    """
    files, how, store = Backups(deployment.store.root), presets.commands(service), deployment.store
    store.fence()
    found = saving.container(deployment, service.name)
    files.sweep()
    _require_room(store, deployment.engine, deployment.stack, service, found)
    began, name = clock.monotonic(), _name(store.ledger(), service.name)
    file = f"{name}.{how.ext}"
    if how.stopped:
        arm()
    with saving.stopped(deployment, found, how, service):
        written = saving.dump(deployment, service, found, how, file)
        saving.verify(deployment, found, how, file + PART, {"backup": name, "service": service.name}, fresh=True)
    facts = {"backup": name, "stack": deployment.stack, "service": service.name, "file": file, "why": why}
    about = {"name": deployment.name, "release": deployment.release, "how": presets.recorded(service)}
    sizes = {"bytes": written.bytes, "sha256": written.sha256, "changed_ns": files.keep(file)}
    seconds = round(clock.monotonic() - began, 1)
    store.append("backup", deployment.run, **facts, **about, **sizes, seconds=seconds)
    prune(deployment, service)
    return find(store.ledger(), name)


def by_hand(deployments: Sequence[Deployment], names: Sequence[str], check: bool, arm: Callable[[], None]) -> dict[str, Any]:
    """Back up the kept services of this host that say how.

    Args:
        deployments: the stacks of this host, on the release that runs.
        names: these services alone; empty for all.
        check: say what would be done.
        arm: as `take` has it.

    Returns:
        changed; backups: the records, or in a check what would be taken, as `plan` has it; phases and clock.

    Raises:
        RolloutError: one could not be saved; in a check, all that speaks against it.
    """
    wanted = [(one, [s for s in one.wanted if s.backup and (not names or s.name in names)]) for one in deployments]
    if check:
        return _would(wanted)

    def saved() -> dict[str, Any]:
        found = [dict(take(one, service, BY_HAND, arm)) for one, services in wanted for service in services]
        for one in deployments[:1]:
            ledger = one.store.ledger()
            if ledger.open and {entry["run"] for entry in ledger.open} == {one.run}:
                # All that was stopped runs again.
                one.store.append("reverted", one.run, name=one.name, by="backup")
        return {"changed": bool(found), "backups": found}

    return deployments[0].phases.timed(saved) if deployments else saved()


def _would(wanted: Sequence[tuple[Deployment, Sequence[Service]]]) -> dict[str, Any]:
    rows, wrong = [], Faults()
    for one, services in wanted:
        wrong.add(*faults(one.store, one.engine, one.project, one.stack, services))
        rows += plan(one.store, one.engine, one.project, one.stack, services, BY_HAND)
    wrong.refuse()
    return {"changed": bool(rows), "backups": rows}


def verify(deployment: Deployment, record: Mapping[str, Any]) -> None:
    """Prove that a backup's file is what was written, and that its verify command accepts it. Nothing is changed.

    Raises:
        RolloutError: it is not there, was changed, or is not accepted. Facts: service, stack, gate ``backup``.
    """
    _require_whole(deployment.store, record)
    how = presets.restoring(record["how"])
    saving.verify(deployment, saving.container(deployment, str(record["service"]), how.stopped), how, str(record["file"]), record)


def restore(deployment: Deployment, record: Mapping[str, Any], why: str) -> None:
    """Bring the data of a backup back into its service. The caller has stopped what uses it, and saved the present if need be.

    The ledger says ``restoring`` before, and ``restored`` afterwards. If this is killed in between, or fails, calling it again
    converges.

    Raises:
        RolloutError: the backup is not whole, then nothing was touched; or it could not be restored. Facts: service, stack, gate
            ``backup``.
    """
    store, how, name = deployment.store, presets.restoring(record["how"]), str(record["service"])
    verify(deployment, record)
    found = saving.container(deployment, name, how.stopped)
    facts = {"backup": record["backup"], "stack": deployment.stack, "kept": name, "why": why}
    about = {"name": deployment.name, "release": deployment.release}
    store.append("restoring", deployment.run, **facts, **about)
    began = clock.monotonic()
    with saving.stopped(deployment, found, how, deployment.by_name.get(name)):
        pieces = Backups(store.root).pieces(str(record["file"]), how.packed)
        done = saving.flow(deployment, found, how, how.restore, "restore", name, pieces=pieces)
        if done[0]:
            undone = bool(how.undo) and not saving.flow(deployment, found, how, how.undo, "restore", name)[0]
            state = (AS_BEFORE if undone else HALF_WAY).text()
            raise saving.failure(NOT_RESTORED, deployment, name, done, backup=record["backup"], state=state)
    store.append("restored", deployment.run, **facts, **about, seconds=round(clock.monotonic() - began, 1))


def prune(deployment: Deployment, service: Service) -> list[str]:
    """Remove backups of a service beyond its ``keep``, never the newest one that was taken before a release that is retained.

    Returns:
        The names of those that are gone.
    """
    store, gone = deployment.store, []
    keep = (service.backup or Backup()).keep
    for record in presets.outdated(store.ledger(), deployment.stack, service.name, keep, store.names()):
        store.append("dropped", deployment.run, backup=record["backup"])
        Backups(store.root).drop(str(record["file"]))
        gone.append(str(record["backup"]))
    return gone


def find(ledger: Ledger, name: str) -> Entry:
    """The entry of a backup.

    Raises:
        RolloutError: there is none of that name; says which ones there are.
    """
    there = {str(entry["backup"]): entry for entry in data.backups(ledger)}
    if name not in there:
        raise UNKNOWN(backup=name, known=", ".join(reversed(there)) or "none")
    return there[name]


def damaged(store: Store) -> dict[str, str]:
    """Backup -> what is wrong with its file, of those that could not be restored. A file that nobody changed since it was
    written is not read again."""
    found = {str(entry["backup"]): _fault(store, entry, False) for entry in data.backups(store.ledger())}
    return {name: fault for name, fault in found.items() if fault}


def listed(store: Store) -> list[dict[str, Any]]:
    """The backups of this host, the oldest first: their entries, each with ``fault``, as `damaged` has it."""
    faults = damaged(store)
    return [{**entry, "fault": faults.get(str(entry["backup"]), "")} for entry in data.backups(store.ledger())]


def plan(store: Store, engine: Engine, project: str, stack: str, due: Iterable[Service], why: str) -> list[dict[str, Any]]:
    """The backups to come of a stack, for people: stack, service, why, and bytes, about; 0 if that is not known."""
    containers = {c.service: c for c in engine.containers(project) if c.status == "running"}
    return [
        {"stack": stack, "service": s.name, "why": why, "bytes": _expected(store, engine, stack, s, containers.get(s.name))}
        for s in due
    ]


def faults(store: Store, engine: Engine, project: str, stack: str, due: Iterable[Service]) -> list[str]:
    """A sentence for each backup to come that finds no room, or that the service cannot do."""
    found = []
    for service in due:
        here = next((c for c in engine.containers(project) if c.service == service.name and c.status == "running"), None)
        if not here:
            # It is started, and has nothing to save.
            continue
        fault = _asked(engine, service, here)[1]
        if fault:
            found.append(NOT_READY.text(service=service.name, stack=stack, said=fault))
            continue
        try:
            _require_room(store, engine, stack, service, here)
        except RolloutError as error:
            found.append(str(error))
    return found


def _name(ledger: Ledger, service: str) -> str:
    """A name that no backup of this host had before."""
    had = {entry.get("backup") for entry in ledger.data}
    name = f"{service}-{machine.now().replace('-', '').replace(':', '')}"
    number = 2
    found = name
    while found in had:
        found, number = f"{name}-{number}", number + 1
    return found


def _expected(store: Store, engine: Engine, stack: str, service: Service, found: Optional[Container]) -> int:
    """Bytes that the next backup of a service takes, about: by the last one, or by what the service says; 0 if unknown."""
    past = [e for e in data.backups(store.ledger()) if (e["stack"], e["service"]) == (stack, service.name)]
    if past:
        return int(past[-1]["bytes"] * GROWTH)
    return _asked(engine, service, found)[0] if found else 0


def _asked(engine: Engine, service: Service, found: Container) -> tuple[int, str]:
    """What a service that has a preset says of the size of its data, in bytes, and why it cannot be asked."""
    how = presets.commands(service)
    if not how.size:
        return 0, ""
    places = presets.places(saving.mounts(engine, found)) if how.stopped else []
    code, out, err = engine.run(["exec", found.id, *how.size, *places], timeout=SIZE_S)
    if code == 124:
        # There is much to count: the disk is watched while it is written.
        return 0, ""
    last = (out.split() or [""])[-1]
    return (int(last), "") if not code and last.isdigit() else (0, last_words(err or out))


def _require_room(store: Store, engine: Engine, stack: str, service: Service, found: Optional[Container]) -> None:
    path = Backups(store.root).path
    needed, free = _expected(store, engine, stack, service, found) + saving.RESERVE, machine.free_bytes(str(path))
    if free < needed:
        size, left = units.human(needed), units.human(free)
        raise NO_ROOM(
            facts=saving.facts(stack, service.name),
            service=service.name,
            stack=stack,
            path=path,
            needed=needed,
            size=size,
            free=free,
            left=left,
        )


def _require_whole(store: Store, record: Mapping[str, Any]) -> None:
    fault = _fault(store, record, True)
    if fault:
        path = Backups(store.root).file(str(record["file"]))
        about = saving.facts(str(record["stack"]), str(record["service"]))
        raise MISSING(backup=record["backup"], path=path, fault=fault, facts=dict(about))


def _fault(store: Store, record: Mapping[str, Any], read: bool) -> str:
    """Why a backup's file is not what was written; empty if it is.

    Args:
        read: also if nobody seems to have changed it.
    """
    files, file = Backups(store.root), str(record["file"])
    try:
        size, changed = files.looks(file)
        if size != record["bytes"]:
            return f"has {size} bytes instead of {record['bytes']}"
        if (read or changed != record.get("changed_ns")) and files.sha256(file, store.fence) != record["sha256"]:
            return "has another content than was written (its SHA-256 differs)"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return ""

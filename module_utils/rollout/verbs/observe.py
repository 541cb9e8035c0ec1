"""What a host is: its engine, its ledger, what runs, and where those disagree. Read-only."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Any, Optional

from ansible.module_utils.rollout.domain import compose, health
from ansible.module_utils.rollout.domain import ledger as ledgers
from ansible.module_utils.rollout.domain import lock as locks
from ansible.module_utils.rollout.domain import release as releases
from ansible.module_utils.rollout.domain.changes import WITH, Change, Container
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict
from ansible.module_utils.rollout.domain.units import times
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import images, machine, masking, torch_check
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import candidate, guard, refusals, variants
from ansible.module_utils.rollout.verbs.asking import Asker
from ansible.module_utils.rollout.verbs.deployment import Deployment


def stable(entry: Optional[ledgers.Stable]) -> Optional[dict[str, Any]]:
    """A stable release as data."""
    return asdict(entry) if entry else None


# As many confirmations as status.yml is told of: a year of a homelab, not the life of it.
CONFIRMED = 20


# Characters of the last line of a service that crashed.
LAST_LINE = 300
# And as many lines as one that was started again may have written since.
LINES = 200


def host(store: Store, engine: Engine, application: str, compose: bool = True) -> dict[str, Any]:
    """Engine facts (`Engine.facts`), the id of the host's present boot, what the ledger says, who is at work, which guard is
    armed and who would keep one alive.

    Raises:
        RolloutError: the engine cannot be used, or the ledger is damaged.
    """
    facts = engine.facts(compose)
    ledger = store.ledger()
    return {
        "engine": facts,
        "boot": machine.clock().boot,
        "ledger": {
            "stable": stable(ledger.stable),
            "previous": stable(ledger.previous),
            "history": [stable(s) for s in ledger.history],
            "known": [stable(s) for s in ledger.known],
            "confirmed": [stable(s) for s in ledger.confirmed[-CONFIRMED:]],
            "interrupted": ledger.interrupted,
            "closed": ledger.closed,
            "behind": ledger.behind,
            "torn": ledger.torn,
            "lost": ledger.lost,
        },
        "variants": variants.said(store),
        "lock": _lock(store),
        "guard": guard.state(store),
        "keeper": machine.keeper(application),
    }


def gone(store: Store, engine: Engine) -> list[str]:
    """The stable releases of which an image, or what the release consists of, is no longer on this host."""
    found = []
    for known in store.ledger().known:
        wanted = candidate.known(store, known.name).get("images")
        if wanted is None or len(images.image_ids(engine, wanted)) < len(wanted):
            found.append(known.name)
    return found


def _lock(store: Store) -> Optional[dict[str, Any]]:
    found = store.lock()
    if found is None:
        return None
    now = machine.clock()
    return {
        "run": found["run"],
        "who": locks.who(found),
        "machine": found.get("machine", ""),
        "process": found.get("process", ""),
        "quiet": round(locks.elapsed(found["heartbeat"], now), 1),
        "expires_in": round(locks.left(found["heartbeat"], float(found["ttl"]), now), 1),
    }


def services(
    store: Store, engine: Engine, application: str, stacks: list[str], torch_limit_s: float = 60.0, torch: bool = True
) -> list[dict[str, Any]]:
    """One row for each service of the host's stacks, as it is, and where that is not what the ledger says.

    Returns:
        stack, service, release (that its container is of), digest, health, since, torch, verdict (of the torch check; None where
        it did not run), restarts (by the engine, since its container was started), log (its last line if there are any),
        drift (list of sentences).
    """
    now, fault = store.ledger().stable, ""
    rows: list[dict[str, Any]] = []
    try:
        if now:
            store.manifest(now.name)
    except RolloutError as error:
        fault = str(error)
        rows.append(_row("-", "-", "-", None, [fault]))
    for stack in stacks:
        if now is None or fault:
            found = engine.containers(releases.project(application, stack))
            rows += [
                _row(stack, c.service, c.release or "-", c, [] if fault else [refusals.NO_STABLE.text(service=c.service)])
                for c in found
            ]
            if not found:
                rows.append(_row(stack, "-", "-", None, []))
            continue
        try:
            rows += _stack(store, engine, application, stack, now, torch_limit_s, torch)
        except RolloutError as error:
            rows.append(_row(stack, "-", now.release, None, [str(error)]))
    for stack, found in candidate.leftover(store, engine, application, stacks).items():
        left = [refusals.NOT_OURS.text(project=shlex.quote(releases.project(application, stack)))]
        rows += [_row(stack, c.service, c.release or "-", c, left) for c in found]
    return rows


def _stack(
    store: Store, engine: Engine, application: str, stack: str, now: ledgers.Stable, torch_limit_s: float, torch: bool
) -> list[dict[str, Any]]:
    deployment = Deployment(store, engine, application, stack, now.name, "")
    running = deployment.running()
    asker = Asker(engine, list(deployment.by_name), lambda: running)
    edited = [f for f in store.edited(now.name) if f in (".env", releases.compose_file(stack), releases.pins_file(stack))]
    rows = []
    for change in deployment.changes(running):
        service = deployment.by_name.get(change.service)
        found = next((c for c in running if c.service == change.service), None)
        drift = [refusals.FILE_EDITED.text(file=file) for file in edited] if service and service.released else []
        runs = (found.release if found else "") or now.release
        if change.action != "keep":
            other = refusals.OTHER_RELEASE.text(release=runs, stable=now.release)
            drift.append(_drift(change) if runs == now.release else other)
        row = _row(stack, change.service, runs if service and service.released else "-", found, drift)
        image = deployment.manifest["images"].get(compose.repository(service.image)) if service else None
        if found and service:
            # Of another release it says what that one's health is.
            row["health"] = _health(asker, service, found, runs)
            pinned = found.image.partition("@")[2]
            if image and found.image_id == deployment.image_ids.get(compose.repository(service.image)):
                row["digest"] = image["digest"]
            elif pinned and image and pinned != image["digest"]:
                row["digest"] = pinned
        if torch and service and service.torch:
            if found and found.status == "running":
                verdict = torch_check.in_container(engine, found.id, service.torch, torch_limit_s)
                row["torch"] = torch_verdict.torch_column(verdict)
                # A card that the service has filled itself is no fault.
                if not torch_verdict.passed_or_busy(verdict):
                    drift.append(refusals.TORCH_WRONG.text(found=verdict["observed"], remedy=verdict["remedy"]))
            else:
                verdict = torch_verdict.judge(None, service.torch, "its container does not run")
            row["verdict"] = verdict
        if found and service and service.released and found.restarts:
            row["restarts"], row["log"] = found.restarts, deployment.masked(_last_words(engine, found))[:LAST_LINE]
            said = f". Its last line: {row['log']}" if row["log"] else ""
            drift.append(refusals.RESTARTED.text(times=times(found.restarts), said=said))
        if service and service.released and row["health"] != "healthy":
            drift.append(refusals.NOT_HEALTHY.text(why=row["health"]))
        rows.append(row)
    return rows


def _last_words(engine: Engine, found: Container) -> str:
    """The last line that a service wrote before its last start: what it has written since is of its next life."""
    before = engine.logs(found.id, LINES, found.started) if found.status == "running" else ""
    return (before.splitlines() or engine.logs(found.id, 1).splitlines() or [""])[-1].strip()


def _drift(change: Change) -> str:
    if change.action == "remove":
        return refusals.NOT_RELEASED.text()
    if change.why.endswith(" containers"):
        return refusals.TWO_CONTAINERS.text(why=change.why)
    if change.why.startswith(WITH):
        return refusals.NEIGHBOUR_REPLACED.text(why=change.why)
    return {
        "absent": refusals.NO_CONTAINER.text(),
        "image": refusals.OTHER_IMAGE.text(),
        "configuration": refusals.OTHER_CONFIGURATION.text(),
    }.get(change.why, refusals.STOPPED.text(state=change.why))


def _row(stack: str, service: str, release: str, found: Optional[Container], drift: list[str]) -> dict[str, Any]:
    return {
        "stack": stack,
        "service": service,
        "release": release,
        "digest": found.image_id if found else "",
        "health": found.status if found else "absent",
        "since": found.started if found else "",
        "torch": "-",
        "verdict": None,
        "restarts": 0,
        "log": "",
        "drift": drift,
    }


def _health(asker: Asker, service: compose.Service, found: Container, release: str) -> str:
    """``healthy``, or what is wrong."""
    if found.status != "running":
        return found.status
    if not (service.health or service.exec):
        return {"none": "healthy"}.get(found.health, found.health)
    expected = release if release.startswith("sha-") else None
    bad = health.bad_answer(asker.ask(service, found), expected, service.names_release)
    return masking.masked(bad) or "healthy"

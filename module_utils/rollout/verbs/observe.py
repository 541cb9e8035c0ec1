"""What a host is: its engine, its ledger, what runs, and where those disagree. Read-only."""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict
from typing import Any, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import compose, health, reference
from ansible.module_utils.rollout.domain import ledger as ledgers
from ansible.module_utils.rollout.domain import lock as locks
from ansible.module_utils.rollout.domain.changes import KEPT, NOT_PROVEN, WITH, Change, Container
from ansible.module_utils.rollout.domain.gate import Expectation
from ansible.module_utils.rollout.domain.needs import Stack
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict
from ansible.module_utils.rollout.domain.units import times
from ansible.module_utils.rollout.domain.volumes import differing
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import images, machine, masking, torch_check
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import candidate, guard, originals, projects, refusals, variants
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
            "barred": ledger.barred,
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
    store: Store,
    engine: Engine,
    application: str,
    stacks: list[str],
    torch_limit_s: float = 60.0,
    torch: bool = True,
    named: Mapping[str, str] = {},
) -> list[dict[str, Any]]:
    """One row for each service of the host's stacks, as it is, and where that is not what the ledger says.

    Args:
        named: stack -> the Compose project that the inventory names, for stacks of which no release is here.

    Returns:
        stack, service, release (that its container is of), digest, health, since, torch, verdict (of the torch check; None where
        it did not run), restarts (by the engine, since its container was started), log (its last line if there are any),
        drift (list of sentences).
    """
    now, fault = store.ledger().stable, ""
    rows: list[dict[str, Any]] = []
    try:
        owner = store.manifest(now.name)["application"] if now else application
        if owner != application:
            fault = refusals.OF_ANOTHER.text(path=store.root, owner=owner, application=application)
    except RolloutError as error:
        fault = str(error)
    if fault:
        rows.append(_row("-", "-", "-", None, [fault]))
    here = {stack: projects.of(store, application, stack, named=named.get(stack, "")) for stack in stacks}
    for stack in stacks:
        if now is None or fault:
            found = engine.containers(here[stack])
            rows += [
                _row(stack, c.service, c.release or "-", c, [] if fault else [refusals.NO_STABLE.text(service=c.service)])
                for c in found
            ]
            if not found:
                drift = [] if fault else [refusals.NEVER_RELEASED.text(path=store.root)]
                rows.append(_row(stack, "-", "-", None, drift))
            continue
        try:
            rows += _stack(store, engine, application, stack, now, torch_limit_s, torch)
        except RolloutError as error:
            rows.append(_row(stack, "-", now.release, None, [str(error)]))
    for (stack, project), found in candidate.leftover(store, engine, here).items():
        left = [refusals.NOT_OURS.text(project=shlex.quote(project))]
        rows += [_row(stack, c.service, c.release or "-", c, left) for c in found]
    return rows


def _stack(
    store: Store, engine: Engine, application: str, stack: str, now: ledgers.Stable, torch_limit_s: float, torch: bool
) -> list[dict[str, Any]]:
    deployment = Deployment(store, engine, application, stack, now.name, "")
    running = deployment.running()
    own = {deployment.part.env, *deployment.part.files} if not deployment.part.directory else ()
    edited = [f for f in store.edited(now.name) if f in own or f.startswith(f"{stack}/")]
    asker = Asker(engine, list(deployment.by_name), lambda: running)
    rows, volumes = [], _volumes(engine, deployment)
    for change in deployment.changes(running):
        service = deployment.by_name.get(change.service)
        here = [c for c in running if c.service == change.service]
        found = next((c for c in here if c.id in change.wrong), here[0] if here else None)
        # Of a service with several containers all are looked at.
        mine = here if service and service.replicas != 1 else [found] if found else []
        drift = [refusals.FILE_EDITED.text(file=file) for file in edited] if service and service.released else []
        runs = (found.release if found else "") or now.release
        if change.action != "keep":
            other = refusals.OTHER_RELEASE.text(release=runs, stable=now.release)
            # What has the wrong number of containers may have had no need of a later release.
            drift.append(_drift(change) if runs == now.release or change.action == "scale" else other)
        elif change.why.startswith(NOT_PROVEN):
            drift.append(
                refusals.UNPROVEN.text(
                    what=change.why[len(NOT_PROVEN) :], service=change.service, choice=reference.choice(now.release)
                )
            )
        elif change.why.startswith(KEPT):
            what = change.why[len(KEPT) :]
            drift.append(refusals.KEPT_DIFFERS.text(what=what, service=change.service, choice=reference.choice(now.release)))
        # One that no later release had to restart is of the stable one all the same.
        runs = now.release if change.action == "keep" else runs
        why = ""
        row = _row(stack, change.service, runs if service and service.released else "-", found, drift)
        if service and not service.replicas and not here:
            row["health"] = "none wanted"
        image = deployment.manifest["images"].get(service.image) if service else None
        if found and service:
            # Of another release it says what that one's health is.
            row["health"], why = _counted(asker, service, mine, runs)
            pinned = found.image.partition("@")[2]
            if image and found.image_id == deployment.image_ids.get(service.image):
                row["digest"] = image["digest"]
            elif pinned and image and pinned != image["digest"]:
                row["digest"] = pinned
        if torch and service and service.torch:
            row["verdict"] = _torch(engine, service.torch, mine, row, torch_limit_s)
        crashed = max(mine, key=lambda c: c.restarts, default=None)
        if crashed and service and service.released and crashed.restarts:
            row["restarts"] = sum(c.restarts for c in mine)
            row["log"] = deployment.masked(_last_words(engine, crashed))[:LAST_LINE]
            said = f". Its last line: {row['log']}" if row["log"] else ""
            drift.append(refusals.RESTARTED.text(times=times(row["restarts"]), said=said))
        drift += volumes.get(change.service, [])
        drift += originals.edited(deployment, service, mine) if service else []
        if service and service.released and service.replicas and row["health"] != "healthy":
            drift.append(refusals.NOT_HEALTHY.text(why=f"{row['health']}{why}"))
        rows.append(row)
    return rows


def _torch(
    engine: Engine, expected: Expectation, mine: Sequence[Container], row: dict[str, Any], limit_s: float
) -> dict[str, Any]:
    """The verdict on the containers of a service, the worst if there are several; fills the row's column and its drift."""
    worst: Optional[dict[str, Any]] = None
    for one in mine:
        if one.status != "running":
            continue
        verdict = torch_check.in_container(engine, one.id, expected, limit_s)
        # A card that the service has filled itself is no fault.
        if not torch_verdict.passed_or_busy(verdict):
            row["drift"].append(refusals.TORCH_WRONG.text(found=verdict["observed"], remedy=verdict["remedy"]))
            worst = verdict if worst is None or torch_verdict.passed_or_busy(worst) else worst
        worst = worst or verdict
    if worst is None:
        return torch_verdict.judge(None, expected, "its container does not run")
    row["torch"] = torch_verdict.torch_column(worst)
    return worst


def _counted(asker: Asker, service: compose.Service, mine: Sequence[Container], release: str) -> tuple[str, str]:
    """The health of a service, ``healthy`` if that of each of its containers is so; and what more there is to say."""
    states = [_health(asker, service, one, release) for one in mine]
    if service.replicas == 1:
        return states[0], ""
    bad = [state for state in states if state != "healthy"]
    if not bad and len(states) == service.replicas:
        return "healthy", ""
    return f"{len(states) - len(bad)} of {service.replicas} healthy", f" ({bad[0]})" if bad else ""


def _volumes(engine: Engine, deployment: Deployment) -> dict[str, list[str]]:
    """Service -> a sentence for each of its volumes that is not what the release says."""
    config = deployment.compose_project.config()
    found: dict[str, list[str]] = {}
    for key, (name, definition) in Stack(deployment.project, "", config).named("volumes").items():
        there = engine.volume(name)
        differences = differing(definition, there) if there else []
        for service, spec in (config.get("services") or {}).items() if differences else ():
            if any(one.get("type") == "volume" and one.get("source") == key for one in spec.get("volumes") or []):
                said = refusals.VOLUME_DIFFERS.text(name=name, differences="; ".join(differences))
                found.setdefault(service, []).append(said)
    return found


def _last_words(engine: Engine, found: Container) -> str:
    """The last line that a service wrote before its last start: what it has written since is of its next life."""
    before = engine.logs(found.id, LINES, found.started) if found.status == "running" else ""
    return (before.splitlines() or engine.logs(found.id, 1).splitlines() or [""])[-1].strip()


def _drift(change: Change) -> str:
    if change.action == "remove":
        return refusals.NOT_RELEASED.text()
    if re.fullmatch(r"\d+ containers?( instead of \d+)?", change.why):
        return refusals.TWO_CONTAINERS.text(why=change.why)
    if change.why.startswith("network "):
        return refusals.NETWORK_DIFFERS.text(network=change.why)
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

"""What a host is: its engine, its ledger, what runs, and where those disagree. Read-only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Optional

from ansible.module_utils.rollout import compose, contract, guard, health, machine, net, plan, report, stage, torch_verdict
from ansible.module_utils.rollout import ledger as ledgers
from ansible.module_utils.rollout import lock as locks
from ansible.module_utils.rollout.engine import Engine
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.switch import Switch


def stable(entry: Optional[ledgers.Stable]) -> Optional[dict[str, Any]]:
    """A stable release as data."""
    return asdict(entry) if entry else None


# As many confirmations as status.yml is told of: a year of a homelab, not the life of it.
CONFIRMED = 20


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
        "lock": _lock(store),
        "guard": guard.state(store),
        "keeper": machine.keeper(application),
    }


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
        it did not run), drift (list of sentences).
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
            found = engine.containers(plan.project(application, stack))
            unknown = [] if fault else ["runs, but the ledger knows no stable release"]
            rows += [_row(stack, c.service, c.release or "-", c, [f"{c.service} {why}" for why in unknown]) for c in found]
            if not found:
                rows.append(_row(stack, "-", "-", None, []))
            continue
        try:
            rows += _stack(store, engine, application, stack, now, torch_limit_s, torch)
        except RolloutError as error:
            rows.append(_row(stack, "-", now.release, None, [str(error)]))
    for stack, found in stage.leftover(store, engine, application, stacks).items():
        told = "belongs to a stack that the inventory does not give to this host any more"
        rows += [_row(stack, c.service, c.release or "-", c, [told]) for c in found]
    return rows


def _stack(
    store: Store, engine: Engine, application: str, stack: str, now: ledgers.Stable, torch_limit_s: float, torch: bool
) -> list[dict[str, Any]]:
    switch = Switch(store, engine, application, stack, now.name, "status")
    wanted, running, changes = switch.observe()
    edited = [f for f in store.edited(now.name) if f in (".env", plan.compose_file(stack), plan.pins_file(stack))]
    by_name = {s.name: s for s in wanted}
    rows = []
    for change in changes:
        service = by_name.get(change.service)
        found = next((c for c in running if c.service == change.service), None)
        drift = [f"{file} was edited by hand" for file in edited] if service and service.released else []
        runs = (found.release if found else "") or now.release
        if change.action != "keep":
            drift.append(_drift(change) if runs == now.release else f"runs {runs}; {now.release} is stable")
        row = _row(stack, change.service, runs if service and service.released else "-", found, drift)
        image = switch.manifest["images"].get(compose.repository(service.image)) if service else None
        if found and service:
            # Of another release it says what that one's health is.
            row["health"] = _health(service, found, runs)
            pinned = found.image.partition("@")[2]
            if image and found.image_id == switch.image_ids.get(compose.repository(service.image)):
                row["digest"] = image["digest"]
            elif pinned and image and pinned != image["digest"]:
                row["digest"] = pinned
        if torch and service and service.torch:
            if found and found.status == "running":
                verdict = contract.in_container(engine, found.id, service.torch, torch_limit_s)
                row["torch"] = report.torch_column(verdict)
                # A card that the service has filled itself is no fault.
                if not torch_verdict.passed_or_busy(verdict):
                    drift.append(f"torch: {verdict['observed']}. {verdict['remedy']}")
            else:
                verdict = torch_verdict.judge(None, service.torch, "its container does not run")
            row["verdict"] = verdict
        if service and service.released and row["health"] != "healthy":
            drift.append(f"not healthy: {row['health']}")
        rows.append(row)
    return rows


def _drift(change: compose.Change) -> str:
    if change.action == "remove":
        return "is not part of the release"
    if change.why.endswith(" containers"):
        return f"has {change.why}"
    if change.why.startswith(compose.WITH):
        return f"goes {change.why}, whose container is another one by now or is to be"
    return {
        "absent": "has no container",
        "image": "runs another image than the release's",
        "configuration": "runs with another configuration than the release's",
    }.get(change.why, f"is {change.why}")


def _row(stack: str, service: str, release: str, found: Optional[compose.Container], drift: list[str]) -> dict[str, Any]:
    return {
        "stack": stack,
        "service": service,
        "release": release,
        "digest": found.image_id if found else "",
        "health": found.status if found else "absent",
        "since": found.started if found else "",
        "torch": "-",
        "verdict": None,
        "drift": drift,
    }


def _health(service: compose.Service, found: compose.Container, release: str) -> str:
    """``healthy``, or what is wrong."""
    if found.status != "running":
        return found.status
    if not service.health:
        return {"none": "healthy"}.get(found.health, found.health)
    expected = release if release.startswith("sha-") else None
    bad = health.bad_answer([net.ask(url) for url in service.health], expected, service.names_release)
    return bad or "healthy"

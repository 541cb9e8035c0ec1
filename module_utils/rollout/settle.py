"""The end of a run on a host: confirm a release as stable and let old ones go, or record that it was reverted."""

from __future__ import annotations

from typing import Any, Sequence

from ansible.module_utils.rollout import ledger as ledgers
from ansible.module_utils.rollout.engine import Engine
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.phases import Phases
from ansible.module_utils.rollout.switch import Switch


def prove(store: Store, engine: Engine, application: str, name: str, run: str, torch_limit_s: float) -> dict[str, Any]:
    """Hold every gate of every stack of a release once more.

    Returns:
        changed (never), services (as `Switch.switch` has them, each with its stack), phases and clock.

    Raises:
        RolloutError: a gate does not hold, or what runs is not the release.
    """
    phases, services = Phases(), []
    with phases.phase("settle"):
        for stack in store.manifest(name)["stacks"]:
            found = Switch(store, engine, application, stack, name, run, torch_limit_s).switch(True, settle=True)
            services += [{**service, "stack": stack} for service in found["services"]]
            for service in found["services"]:
                if service["action"] != "keep":
                    why = service["why"] or service["action"]
                    raise RolloutError(
                        f"Service {service['service']} (stack {stack}) is no longer what was switched: {why}.",
                        service=service["service"],
                        stack=stack,
                        **phases.facts(),
                    )
    return {"changed": False, "services": services, **phases.facts()}


def confirm(
    store: Store, engine: Engine, name: str, run: str, action: str, keep: int, check: bool, behind: Sequence[str] = ()
) -> dict[str, Any]:
    """Mark the release in directory ``name`` stable, then remove what no rollback needs.

    Args:
        action: ``rollout`` or ``rollback``: how the history takes it.
        keep: how many stable releases stay, the present and the previous one in any case.
        behind: the hosts that this run left out.

    Returns:
        changed; removed, left: as `prune` has them.
    """
    if check:
        return {"changed": True, "removed": [], "left": []}
    left_out = {"behind": list(behind)} if behind else {}
    # Where another host is lost now, this one goes back to it.
    before = store.ledger().stable
    # This one append disarms the guard too.
    store.append("confirmed", run, name=name, release=store.manifest(name)["release"], action=action, **left_out)
    removed, left = prune(store, engine, run, keep, {before.name} if before else set())
    return {"changed": True, "removed": removed, "left": left}


def prune(store: Store, engine: Engine, run: str, keep: int, needed_yet: set[str]) -> tuple[list[str], list[str]]:
    """Remove release directories outside the retention, and images that only they used. Never forces, never raises: the release
    is stable all the same, and the next run tries again.

    Args:
        needed_yet: names of releases that stay whatever the retention says.

    Returns:
        The releases that are gone, and a sentence for whatever could not be removed.
    """
    removed: list[str] = []
    left: list[str] = []
    try:
        retained = ledgers.retained(store.ledger(), keep) | needed_yet
        old = [name for name in store.names() if name not in retained]
        needed = {reference for name in retained & set(store.names()) for reference in _references(store.manifest(name))}
        for name in old:
            try:
                manifest, foreign = store.manifest(name), store.foreign(name)
            except RolloutError as error:
                left.append(f"Old release {name} stays: {error}")
                continue
            if foreign:
                left.append(
                    f"Old release {name} stays: {store.directory(name)} holds {', '.join(foreign)}, which no rollout wrote. Move "
                    "that to a place of its own, and use an absolute path or a named volume."
                )
                continue
            store.append("removed", run, name=name, release=manifest["release"])
            for reference in _references(manifest):
                if reference not in needed:
                    # Refused while a container uses it; then it stays, and that is right.
                    engine.run(["image", "rm", reference])
            store.remove(name)
            removed.append(name)
    except RolloutError as error:
        left.append(f"Old releases are still there: {error}")
    except OSError as error:
        left.append(f"Old releases are still there: {error.strerror or error} ({error.filename or store.releases}).")
    return removed, left


def _references(manifest: dict[str, Any]) -> list[str]:
    found = []
    for repository, image in manifest["images"].items():
        found += [f"{repository}:{manifest['release']}", f"{repository}@{image['digest']}"]
    return found


def reverted(store: Store, run: str, name: str) -> dict[str, Any]:
    """Record that the host is back on its stable release (``name``), or on nothing (empty).

    Where the run was confirmed here already, while another host was lost, that is taken back like by a rollback.
    """
    ledger = store.ledger()
    confirmed = ledger.stable and ledger.stable.run == run and ledger.stable.name != name
    if confirmed and name:
        store.append("confirmed", run, name=name, release=store.manifest(name)["release"], action="rollback")
        return {"changed": True}
    if confirmed or ledger.open:
        store.append("reverted", run, name=name)
        return {"changed": True}
    return {"changed": False}

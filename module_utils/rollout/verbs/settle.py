"""The end of a run on a host: confirm a release as stable and let old ones go, or record that it was reverted."""

from __future__ import annotations

from typing import Any, Sequence

from ansible.module_utils.rollout.domain import health
from ansible.module_utils.rollout.domain import ledger as ledgers
from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.domain.changes import Container
from ansible.module_utils.rollout.domain.compose import CONFIG_LABEL
from ansible.module_utils.rollout.domain.units import times
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import clock, machine
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import draining, neighbours, refusals, switch
from ansible.module_utils.rollout.verbs.deployment import Deployment, Policy
from ansible.module_utils.rollout.verbs.gates import LOOK_S, Gates
from ansible.module_utils.rollout.verbs.phases import Phases

# Seconds that a service without any health check must have stayed up before its release is confirmed.
STEADY_S = 5.0


def prove(
    store: Store,
    engine: Engine,
    application: str,
    name: str,
    run: str,
    policy: Policy,
    calm: bool = False,
    watch: float = 0.0,
) -> dict[str, Any]:
    """Hold every gate of every stack of a release once more. A GPU is proven again: a running container can lose it.

    Args:
        calm: whether no service may have crashed since it was started. That is asked where nothing is switched, which could
            end it, and not on the way back, where there is nothing better.
        watch: the seconds for which all gates are held again and again first.

    Returns:
        changed (never), services (as `switch.bring` has them, each with its stack and restarts, as often as the engine restarted
        its container), phases and clock.

    Raises:
        RolloutError: a service fails its gate, or what runs is not the release.
    """
    phases = Phases()

    def proven() -> dict[str, Any]:
        with phases.phase("settle"):
            names = store.manifest(name)["stacks"]
            stacks = [Deployment(store, engine, application, stack, name, run, policy, phases) for stack in names]
            _watch(store, stacks, max(watch, _young(stacks)))
            found = [_stack(one, calm) for one in stacks]
        return {"changed": False, "services": [service for services in found for service in services]}

    return phases.timed(proven)


def _young(stacks: Sequence[Deployment]) -> float:
    """The seconds until what this run started, and nobody can ask whether it is well, has at least stayed up for a while."""
    ages = [STEADY_S]
    for stack in stacks:
        made = {s.name for s in stack.wanted if s.name in stack.begun(stack.run) and not (s.health or s.exec)}
        here = stack.running() if made else []
        ages += [machine.age(c.started) for c in here if c.service in made and c.health == "none" and c.status == "running"]
    return max(0.0, STEADY_S - min(ages))


def _watch(store: Store, stacks: Sequence[Deployment], seconds: float) -> None:
    """Hold all gates again and again, while the way back is armed; a service that the engine restarts meanwhile fails its own."""
    began, first = clock.monotonic(), [_unchanged(stack)[1] for stack in stacks if seconds]
    while (elapsed := clock.monotonic() - began) < seconds:
        store.fence()
        facts = {"waiting_for": "the end of the watch", "elapsed": round(elapsed, 1), "deadline": seconds}
        store.tell(step="watch", what="all services", **facts)
        clock.sleep(min(LOOK_S, seconds - elapsed))
        for stack, before in zip(stacks, first):
            restarts = {one.id: one.restarts for one in before}
            for one in _unchanged(stack)[1]:
                more = one.restarts - restarts.get(one.id, one.restarts)
                if more > 0:
                    raise stack.failure(stack.by_name[one.service], "container", health.CRASHED.text(times=more))


def _unchanged(deployment: Deployment) -> tuple[list[dict[str, Any]], list[Container]]:
    """The stack as `switch.differs` has it, and the containers of its services, whose gates hold."""
    deployment.outlast()
    found = switch.differs(deployment)["services"]
    for row in found:
        if row["action"] != "keep":
            if row["why"] in health.ENDED_STATES:
                # Its gate has more to say of that.
                Gates(deployment).again([s for s in deployment.wanted if s.released and s.name == row["service"]])
            why = row["why"] or row["action"]
            about = {"service": row["service"], "stack": deployment.stack}
            raise refusals.CHANGED_SINCE(service=row["service"], stack=deployment.stack, why=why, facts=about)
    return found, Gates(deployment).again([s for s in deployment.wanted if s.released])


def _stack(deployment: Deployment, calm: bool) -> list[dict[str, Any]]:
    (found, held), begun = _unchanged(deployment), deployment.begun()
    for row in found:
        service = deployment.by_name[row["service"]]
        if service.drain and service.name in begun:
            # Behind its gate: before that, what is asked to let work in again may not know the service yet.
            left = draining.resume_in_time(service.drain)
            if left:
                raise deployment.failure(service, "drain", f"it {left}")
        mine = [c for c in held if c.service == service.name]
        row["restarts"] = sum(c.restarts for c in mine)
        if calm and row["restarts"]:
            error = deployment.failure(service, "container", refusals.CRASHES.text(times=times(row["restarts"])))
            error.facts["restarts"] = row["restarts"]
            raise error
        if service.torch and service.torch.on_gpu:
            for one in mine:
                row["torch"] = deployment.prove(service, service.torch, one, proven=True)
    return [{**row, "stack": deployment.stack} for row in found]


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
    """Remove release directories outside the retention, and images that no other release on this host needs, of whatever
    application. Never forces, never raises: the release is stable all the same, and the next run tries again.

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
        others = neighbours.of(store, engine) if old else []
        for name in old:
            try:
                manifest, foreign = store.manifest(name), store.foreign(name)
            except RolloutError as error:
                left.append(refusals.OLD_STAYS.text(name=name, why=error))
                continue
            if foreign:
                left.append(refusals.NOT_OURS_INSIDE.text(name=name, path=store.directory(name), files=", ".join(foreign)))
                continue
            # For each release anew: a run that wants to begin there waits.
            with neighbours.at_rest(others):
                needed = neighbours.references(store, [*retained & set(store.names())])
                needed = needed.union(*(neighbours.references(other, other.names()) for other in others))
                store.append("removed", run, name=name, release=manifest["release"])
                for reference in neighbours.own(manifest):
                    if reference not in needed:
                        # Refused while a container uses it; then it stays, and that is right.
                        engine.run(["image", "rm", reference])
            store.remove(name)
            removed.append(name)
        # What a release mounts that cannot be read is not known: then all of it stays.
        if removed and store.whole() == store.names():
            _prune_content(store, engine)
    except RolloutError as error:
        left.append(refusals.NOT_PRUNED.text(why=error))
    except OSError as error:
        left.append(refusals.NOT_PRUNED.text(why=f"{error.strerror or error} ({error.filename or store.releases})."))
    return removed, left


def _prune_content(store: Store, engine: Engine) -> None:
    """Remove the mounted files that neither a release nor a container needs: a kept service may mount those of an old release."""
    needed = {place for name in store.names() for place in manifests.mounted(store.manifest(name)).values()}
    below = f"{store.content.root}/"
    needed |= {source[len(below) :] for source in engine.mounted(CONFIG_LABEL) if source.startswith(below)}
    store.content.prune(needed)


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

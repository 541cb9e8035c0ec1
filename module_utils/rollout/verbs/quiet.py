"""Stops what may write, before data is changed in a way that the code which runs does not understand."""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence

from ansible.module_utils.rollout.domain import drain
from ansible.module_utils.rollout.domain.changes import Container
from ansible.module_utils.rollout.domain.gate import FORCE
from ansible.module_utils.rollout.errors import Refusal
from ansible.module_utils.rollout.io import clock, machine
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import draining
from ansible.module_utils.rollout.verbs.candidate import Candidate, known
from ansible.module_utils.rollout.verbs.deployment import Deployment

RUNS_AGAIN = Refusal(
    "Jobs",
    "Service {service} (stack {stack}) was stopped before the backup, and runs again: what it writes would be lost if the backup "
    "is restored. So no job was begun. Find out who started it (the engine after a restart, or somebody), and roll out again.",
    "look at `docker events` and at who else works on that host, then roll out again",
)
# What of a container's states means that it may still write.
_AT_WORK = ("running", "restarting", "paused")


def ahead(store: Store, engine: Engine, found: Candidate) -> list[dict[str, str]]:
    """The services that `quiesce` would stop before a candidate's jobs: stack and service."""
    rows = []
    for stack, services in found.services.items():
        one = _now(store, engine, found.application, stack, "")
        ours = {s.name for s in services if not s.released} | {job.name for job in found.jobs.get(stack, ())}
        here = engine.containers(one.project if one else found.projects[stack])
        rows += [{"stack": stack, "service": name} for name in dict.fromkeys(c.service for c in _writers(one, here, ours))]
    return rows


def quiesce(deployments: Sequence[Deployment], arm: Callable[[], None]) -> dict[str, Any]:
    """Stop what may write, before a job (anywhere in the fleet) that leaves data which the old code does not understand, or
    before a backup is restored. Each service lets go of its work first, as it does before its switch.

    Args:
        deployments: every stack of this host, in the order of the waves, on the release to come.
        arm: arms the guard; is called first.

    Returns:
        changed; quiet: the services that were stopped (stack, service).

    Raises:
        RolloutError: a service does not let go of its work, or could not be stopped.
    """
    arm()
    rows: list[dict[str, str]] = []
    found = []
    for new in deployments:
        new.outlast()
        old, writers = _at_work(new)
        names = list(dict.fromkeys(c.service for c in writers))
        if names:
            about = {"name": new.name, "release": new.release, "stack": new.stack, "services": names}
            new.store.append("quiesced", new.run, **about, **machine.clock().mark())
            found.append((new, old, writers))
            rows += [{"stack": new.stack, "service": name} for name in names]
    # All of them first: one that does not let go keeps everything as it is.
    modes = {new.stack: _let_go(new, old, writers) for new, old, writers in found}
    for new, _old, writers in reversed(found):
        new.stopping(writers)
        forced = [c for c in writers if modes[new.stack].get(c.service) == FORCE]
        for some, grace in (([c for c in writers if c not in forced], []), (forced, ["-t", str(drain.FORCED_GRACE_S)])):
            if some:
                names = list(dict.fromkeys(c.service for c in some))
                limit = max(c.grace for c in some) + 120
                with new.phases.together("stop", names):
                    new.engine.checked(["stop", *grace, *(c.id for c in some)], f"Stopping {' and '.join(names)}", timeout=limit)
    return {"changed": bool(rows), "quiet": rows}


def still(deployments: Sequence[Deployment]) -> dict[str, Any]:
    """See that nothing runs again of what `quiesce` has stopped: what it wrote since the backup would be lost with a restore.

    Returns:
        changed (never).

    Raises:
        RolloutError: names the service. Facts: gate (``quiet``), service, stack.
    """
    for new in deployments:
        for one in _at_work(new)[1]:
            about = {"gate": "quiet", "service": one.service, "stack": new.stack}
            raise RUNS_AGAIN(service=one.service, stack=new.stack, facts=about)
    return {"changed": False}


def _at_work(new: Deployment) -> tuple[Deployment, list[Container]]:
    """The stack as it is now, and its containers that may write."""
    old = _now(new.store, new.engine, new.application, new.stack, new.run) or new
    ours = {s.name for s in new.wanted if not s.released} | {job.name for job in new.jobs}
    return old, _writers(old, new.engine.containers(old.project), ours)


def _now(store: Store, engine: Engine, application: str, stack: str, run: str) -> Optional[Deployment]:
    """The stack as the stable release has it; None where there is none."""
    stable = store.ledger().stable
    if not stable or stack not in (known(store, stable.name).get("stacks") or ()):
        return None
    return Deployment(store, engine, application, stack, stable.name, run)


def _writers(old: Optional[Deployment], here: Sequence[Container], ours: set[str]) -> list[Container]:
    """The containers that may write: of no kept service, no job, and of none that says of itself that it does not."""
    wanted = old.wanted if old else []
    stay = ours | {s.name for s in wanted if not (s.released and s.writes)}
    return [c for c in here if c.status in _AT_WORK and c.service not in stay]


def _let_go(new: Deployment, old: Deployment, writers: Sequence[Container]) -> dict[str, str]:
    """Drain the services that can be drained; service -> the mode that was meant."""
    modes, began = {}, clock.monotonic()
    for name in dict.fromkeys(c.service for c in writers if c.status == "running"):
        service = old.by_name.get(name)
        if service and service.drain:
            modes[name] = drain.mode(service.drain, new.policy.drain_mode, True)
            draining.let_go(new, service, service.drain, modes[name], began)
    return modes

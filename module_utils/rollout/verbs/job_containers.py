"""The containers of jobs: each is a one-off one with a name of its own, which nothing ever starts again.

A switch and a guard come here too: what a killed run left is removed before anything else is done to its stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable

from ansible.module_utils.rollout.domain import compose, health
from ansible.module_utils.rollout.domain.changes import Container, container
from ansible.module_utils.rollout.io import clock, job_logs
from ansible.module_utils.rollout.verbs.deployment import Deployment

# On a job's container: the run that started it.
LABEL = "rollout.job"
# Seconds that the engine may take to start or to remove one; and between two looks at what it wrote.
LIMIT_S, TELL_S = 120.0, 1.0


@dataclass(frozen=True)
class Ended:
    """How a job ended: its exit status, ``late`` if it was stopped at its deadline, ``oom`` if the kernel killed it for want of
    memory, ``gone`` if somebody removed its container; the end of what it wrote, and the seconds that it took."""

    code: int
    log: str
    seconds: float
    late: bool = False
    oom: bool = False
    gone: bool = False


def name(project: str, job: str) -> str:
    """The name of a job's container in a Compose project."""
    return f"{project}-{job}-job"


def clear(deployment: Deployment) -> None:
    """Remove the containers that jobs of the stack have left: of a run that was killed, and of the time when a job was a service.

    What a killed job wrote is kept.

    Raises:
        RolloutError: the engine does not do it.
    """
    store, engine = deployment.store, deployment.engine
    if any(entry["event"] == "job" and entry.get("stack") == deployment.stack for entry in store.ledger().data):
        labels = {found.id: found for found in engine.one_offs(deployment.project, LABEL)}
        for one in engine.inspect("container", [*labels]):
            _keep(deployment, str((one["Config"].get("Labels") or {}).get(LABEL)), labels[one["Id"]])
            remove(deployment, labels[one["Id"]])
    names = {job.name for job in deployment.jobs} if not deployment.damage() else set()
    former = [c for c in engine.containers(deployment.project) if c.service in names and c.release] if names else []
    for found in former:
        remove(deployment, found)


def remove(deployment: Deployment, found: Container) -> None:
    """Stop a container, where it runs, and remove it with the volumes that it alone has.

    Raises:
        RolloutError: the engine does not do it.
    """
    engine = deployment.engine
    if found.status == "running":
        engine.checked(["stop", found.id], f"Stopping job {found.service}", timeout=found.grace + LIMIT_S)
    engine.checked(["rm", "--force", "--volumes", found.id], f"Removing the container of job {found.service}", timeout=LIMIT_S)


def run(deployment: Deployment, job: compose.Service, alive: Callable[[], None]) -> Ended:
    """Run a job to its end, or until its deadline; its container is gone then, and its output kept.

    Args:
        alive: gives a sign of life; it is called again and again.

    Raises:
        RolloutError: it could not be started, the engine is away, or the run no longer holds the lock.
    """
    engine, began = deployment.engine, clock.monotonic()
    labels = {LABEL: deployment.run}
    made = deployment.compose_project.once(job.name, name(deployment.project, job.name), labels, LIMIT_S)
    late, told = False, float("-inf")
    while True:
        deployment.store.fence()
        alive()
        here = engine.inspect("container", [made])
        elapsed = clock.monotonic() - began
        if not here:
            return Ended(-1, "", round(elapsed, 1), gone=True)
        found = container(here[0])
        if found.status in ("exited", "dead"):
            break
        if elapsed >= job.deadline:
            late = True
            engine.checked(["stop", made], f"Stopping job {job.name}", timeout=found.grace + LIMIT_S)
            continue
        if elapsed - told >= TELL_S:
            told = elapsed
            deployment.waits("job", job, _last_line(engine.logs(made, 1)), elapsed, job.deadline)
        clock.sleep(health.next_pause(elapsed))
    log = _keep(deployment, deployment.run, found)
    remove(deployment, found)
    return Ended(found.exit_code, log, round(clock.monotonic() - began, 1), late, found.oom)


def _keep(deployment: Deployment, run: str, found: Container) -> str:
    """Keep the output of a job's container in its file; returns it."""
    log = deployment.masked(deployment.engine.output(found.id))
    # A label is anybody's.
    if re.fullmatch(r"[A-Za-z0-9-]{1,64}", run):
        job_logs.write(deployment.store.root, run, deployment.stack, found.service, log)
    return log


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1].strip()[:200]

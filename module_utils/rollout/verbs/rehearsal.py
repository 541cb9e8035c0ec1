"""The verb `rehearse`: try a service of a release beside the one that runs, hold its gate, and take it away again."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from dataclasses import dataclass, replace
from typing import Any, Iterator, Mapping, Sequence

from ansible.module_utils.rollout.domain import rehearsal
from ansible.module_utils.rollout.domain.changes import Container, container
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.gate import BEFORE
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.module_utils.rollout.io import clock, throw_away
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import needs
from ansible.module_utils.rollout.verbs.asking import Asker
from ansible.module_utils.rollout.verbs.candidate import Candidate, preview
from ansible.module_utils.rollout.verbs.deployment import Deployment
from ansible.module_utils.rollout.verbs.gates import Gates
from ansible.module_utils.rollout.verbs.phases import Phases

FAILED = Refusal(
    "A gate did not hold",
    "Service {service} (stack {stack}) does not pass its rehearsal on {release}: {what}. It was tried beside what runs, which "
    "was not touched.",
    "look up what follows the colon in the tables below. The log is that of the new container, which is gone. If it cannot run "
    "beside another one, or the host does not reach its address, remove `rehearse: true`",
)
BEFORE_JOBS = Refusal(
    "A gate did not hold",
    " (job {jobs}, which runs before the switch, has not run yet)",
    "if the new code needs what that job does, it cannot be rehearsed before it: remove `rehearse: true` for this release, or "
    "`compatible: true` of the job",
)
IS_REHEARSED = Refusal(
    "Notes",
    "{service} is rehearsed: its new container is tried beside what runs, and removed, before anything is switched",
    "nothing: that is what `rehearse: true` asks for",
)
NOT_REHEARSED = Refusal(
    "Notes",
    "{service} is not rehearsed: {why}",
    "nothing, if that is right; otherwise change what it names, or remove `rehearse: true`",
)


@dataclass(frozen=True)
class Planned:
    """A service that asks for a rehearsal. ``why`` says why it gets none; empty if it gets one. ``before`` are the compatible
    jobs that have not run then."""

    stack: str
    service: Service
    why: str = ""
    before: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        """What the plan says of it."""
        if self.why:
            return NOT_REHEARSED.text(service=self.service.name, why=self.why)
        return IS_REHEARSED.text(service=self.service.name)


def planned(store: Store, engine: Engine, found: Candidate, pending: Sequence[Service] = (), bar: str = "") -> list[Planned]:
    """The services of a candidate that ask for a rehearsal and would be replaced.

    Args:
        pending: the jobs that have yet to run.
        bar: why none of them is rehearsed, if that is so.
    """
    asking = [(stack, service) for stack, services in found.services.items() for service in services if service.rehearse]
    if not asking:
        return []
    rows = preview(store, engine, found)["services"]
    changing = {(row["stack"], row["service"]): row["action"] for row in rows if row["action"] in rehearsal.TRIED}
    jobs = [job for job in pending if job.job == BEFORE]
    bar = bar or rehearsal.unfit([job.name for job in jobs if not job.compatible])
    before, plans = tuple(job.name for job in jobs if job.compatible), []
    for stack, service in asking:
        if (stack, service.name) in changing:
            spec = found.configs[stack]["services"][service.name]
            why = bar or rehearsal.hindrance(service, spec) or _socket(spec) or _missing(engine, found, stack, service)
            # One that is new is away from nobody.
            plans += [Planned(stack, service, why, before)] if not why or changing[stack, service.name] != "create" else []
    return plans


def _missing(engine: Engine, found: Candidate, stack: str, service: Service) -> str:
    """What a service would miss that the switch brings before it, as a reason."""
    project, by_name = found.projects[stack], {s.name for s in found.services[stack]}
    running = {c.service for c in engine.containers(project) if c.status == "running"}
    absent = [name for name in service.after if name in by_name and name not in running]
    if absent:
        return f"{' and '.join(absent)}, on which it depends, does not run yet"
    there = {str(one.get("Name")): str(one.get("Driver")) for one in engine.networks()}
    names = rehearsal.networks(found.configs[stack], service.name, project).values()
    rootless = any("rootless" in str(one) for one in engine.info().get("SecurityOptions") or [])
    return rehearsal.unreachable(service, names, there, rootless)


def _socket(spec: Mapping[str, Any]) -> str:
    """Why a service cannot be rehearsed that mounts a socket: what speaks through it is not read-only."""
    for path in rehearsal.sources(spec):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.stat(path).st_mode):
                return f"it mounts the socket {path}, through which it could act"
    return ""


def sweep(store: Store, engine: Engine) -> None:
    """Remove what a rehearsal of this application left that was killed."""
    throw_away.sweep(engine, rehearsal.labelled(store.root))


def rehearse(
    store: Store, engine: Engine, found: Candidate, run: str, plans: Sequence[Planned], phases: Phases
) -> list[dict[str, Any]]:
    """Start what is planned beside what runs, one after the other, hold its gate, and remove it, whatever comes.

    Returns:
        stack, service and seconds of each.

    Raises:
        RolloutError: one does not start, or its gate does not hold. Facts as of `Deployment.failure`.
    """
    sweep(store, engine)
    done = []
    for plan in plans:
        if not plan.why:
            began, name = clock.monotonic(), plan.service.name
            with phases.phase("rehearse", name):
                _rehearse(Deployment(store, engine, found.application, plan.stack, found.name, run), plan)
            done.append({"stack": plan.stack, "service": name, "seconds": round(clock.monotonic() - began, 2)})
    return done


def _rehearse(deployment: Deployment, plan: Planned) -> None:
    service, store, engine = plan.service, deployment.store, deployment.engine
    config, project = deployment.compose_project.config(), deployment.project
    spec = config["services"][service.name]
    store.tell(step="rehearse", what=service.name)
    absent = {one for one in rehearsal.volumes(config, service.name, project).values() if engine.volume(one) is None}
    absent |= {path for path in rehearsal.sources(spec) if needs.is_absent(path)}
    document = rehearsal.document(config, service.name, project, str(store.root), absent)
    with tried(deployment, service, document, before=plan.before) as trial:
        trial.hold(replace(service, health=rehearsal.own(service, spec), replicas=1))


@contextlib.contextmanager
def tried(deployment: Deployment, service: Service, document: Mapping[str, Any], **facts: Any) -> Iterator[Trial]:
    """A container beside what runs, from a document of `domain.rehearsal`; at the end it is gone. ``facts`` are a trial's own.

    Raises:
        RolloutError: it does not start.
    """
    store, engine = deployment.store, deployment.engine
    known = {key: getattr(deployment, key) for key in Deployment.__dataclass_fields__}
    trial = Trial(**{**known, "phases": Phases(), **facts})
    env = str(store.directory(deployment.name) / deployment.part.env)
    with store.aside() as directory, contextlib.ExitStack() as beside:
        try:
            found = beside.enter_context(throw_away.started(engine, document, directory, env))
        except RolloutError as error:
            if error.facts.get("away"):
                raise
            raise trial.failure(service, "start", str(error)) from error
        yield replace(trial, container=found)


@dataclass(frozen=True)
class Trial(Deployment):
    """A deployment of which one container is tried: that is all that there is of it. ``sentence`` says that it does not pass."""

    container: str = ""
    before: tuple[str, ...] = ()
    sentence: Refusal = FAILED

    def hold(self, service: Service) -> Container:
        """Hold the gate of a service in the container.

        Raises:
            RolloutError: it does not pass.
        """
        return _Gates(self).hold([service], self.container)[service.name]

    def running(self) -> list[Container]:
        """The container."""
        return [container(one) for one in self.engine.inspect("container", [self.container])] if self.container else []

    def seen(self) -> list[Container]:
        """The container; none if the engine cannot be asked."""
        with contextlib.suppress(RolloutError):
            return self.running()
        return []

    def waits(self, step: str, service: Service, what: str, elapsed: float, deadline: float) -> None:
        """As of a deployment."""
        super().waits("rehearse", service, what, elapsed, deadline)

    def failure(
        self,
        service: Service,
        gate: str,
        what: str,
        before: Sequence[Container] = (),
        sentence: Refusal = FAILED,
    ) -> RolloutError:
        """As of a deployment, but with its own sentence: gates know those of services that run."""
        jobs = BEFORE_JOBS.text(jobs=" and ".join(self.before)) if self.before else ""
        return super().failure(service, gate, f"{what.rstrip('.')}{jobs}", before, self.sentence)


class _Gates(Gates):
    """The gate of a container that is tried: its URLs are asked at its own address, whatever name is in them."""

    @functools.cached_property
    def _asker(self) -> Asker:
        return _Own(self.engine, [], list)


class _Own(Asker):
    def _meant(self, url: str, one: Any) -> Any:
        return one

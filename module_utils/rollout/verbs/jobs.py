"""The jobs of a release: which are to run on this host, what is saved before them, and the run of each, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import compose, data, presets, shape
from ansible.module_utils.rollout.domain import jobs as decisions
from ansible.module_utils.rollout.domain.gate import AFTER, BEFORE
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.module_utils.rollout.io import clock, job_logs
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import backups, job_containers, locking, quiet, restage
from ansible.module_utils.rollout.verbs.candidate import Candidate
from ansible.module_utils.rollout.verbs.deployment import Deployment
from ansible.module_utils.rollout.verbs.gates import Gates
from ansible.module_utils.rollout.verbs.job_containers import Ended

# Arms the guard of the host.
Arm = Callable[[], None]
# Seconds between two signs of life for the lock; lines of a job's output that its run tells.
ALIVE_S, LINES = 30.0, 15
FAILED = Refusal(
    decisions.SECTION,
    "Job {job} (stack {stack}) of {release} failed: {what}.{saved}",
    "read the last lines of its output below the sentence; all of it lies in `<rollout_dir>/jobs/` on that host. Correct the "
    "release, or what the job needs, and roll out again",
)
SAVED = Refusal(
    decisions.SECTION,
    " The data from before it is in backup {backups}.",
    "nothing is to be done with it where the old release runs again: the backup was restored then",
)
NOT_SAVED = Refusal(
    decisions.SECTION,
    " It may have changed data, and nothing was backed up before it.",
    "look at the data. Give the kept service that has it `backup`, for the next release",
)
ENDED = Refusal(
    decisions.SECTION,
    "it ended with exit status {code} after {seconds:.0f} s",
    "look at the last lines that it wrote",
)
LATE = Refusal(
    decisions.SECTION,
    "it was stopped at its deadline, {deadline:g} s after its start",
    "give it a longer `deadline` in `x-rollout`, and `rollout_confirm_timeout` more than that",
)
OUT_OF_MEMORY = Refusal(
    decisions.SECTION,
    "it was killed: out of memory",
    "look at the memory of the host, and at `mem_limit` of the job",
)
GONE = Refusal(
    decisions.SECTION,
    "somebody removed its container",
    "find out who works on this host beside the run",
)


@dataclass(frozen=True)
class Asked:
    """What a run wants of jobs: ``first`` are the stacks whose ``run_on: first`` jobs this host runs; ``rerun`` and ``done`` name
    jobs that were killed half-way, and may run again or count as done. The lock lives ``ttl`` seconds without a sign of life;
    ``confirm`` seconds after it was armed, the guard acts."""

    first: tuple[str, ...] = ()
    rerun: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    ttl: float = 0.0
    confirm: float = 0.0


def ahead(store: Store, engine: Engine, found: Candidate, asked: Optional[Asked], check: bool) -> dict[str, Any]:
    """What comes before a candidate is switched to, and once it was, for its preview: jobs, backups, quiet (the services that
    stop before a job which is not compatible), settled; each only where there is something to say.

    Args:
        asked: None where no job is to run: in a rollback.
        check: whether it is shown; else it is only looked at whether anything forbids it.

    Raises:
        RolloutError: a job was killed half-way and must not simply run again, or the jobs may take longer than the guard waits.
    """
    todo = [
        (stack, job)
        for stack, services in (found.jobs if asked else {}).items()
        for job, _key in _to_run(store, stack, found.projects[stack], services, found.images, asked or Asked())
    ]
    first = [job for _stack, job in todo if job.job == BEFORE]
    saved = _saving(store, found) if any(not job.compatible for job in first) else 0.0
    shape.require(decisions.too_long([job for _stack, job in todo], (asked or Asked()).confirm, saved))
    if not check:
        return {}
    # What somebody says is done is to be recorded, and changes nothing more.
    done = [
        (stack, job)
        for stack, services in (found.jobs if asked else {}).items()
        for job in services
        if _counts_as_done(store, stack, job, found.images, asked or Asked())
    ]
    rows = [_shown(store, stack, job) for stack, job in todo]
    rows += [{**_shown(store, stack, job), "compatible": True, "done": True} for stack, job in done]
    shown: dict[str, Any] = {"jobs": rows}
    shown["quiet"] = quiet.ahead(store, engine, found) if any(not job.compatible for job in first) else []
    shown["backups"] = [
        {**row, "when": when}
        for stack, services in found.services.items()
        for when, due in _due({stack: services}).items()
        for row in _saved_then(store, engine, found.projects[stack], stack, due, when)
    ]
    return {**{key: rows for key, rows in shown.items() if rows}, **({"settled": False} if rows else {})}


def pending(store: Store, found: Candidate, asked: Optional[Asked]) -> list[compose.Service]:
    """The jobs that have yet to run before a candidate's services meet the data that they know: those of this host, and those
    that another host runs for it, of which nothing is known here.

    Args:
        asked: as `ahead` has it.
    """
    if not asked:
        return []
    mine = [
        job
        for stack, some in found.jobs.items()
        for job, _key in _to_run(store, stack, found.projects[stack], some, found.images, asked)
    ]
    return [*mine, *(job for stack, some in found.jobs.items() for job in some if not decisions.is_mine(job, stack, asked.first))]


def _saving(store: Store, found: Candidate) -> float:
    """The seconds that the backups before the jobs of a candidate took last time."""
    took = {(e["stack"], e["service"]): float(e.get("seconds") or 0) for e in data.backups(store.ledger())}
    return sum(took.get((stack, one.name), 0.0) for stack, one in presets.due(found.services, True))


def _saved_then(
    store: Store, engine: Engine, project: str, stack: str, due: Sequence[compose.Service], why: str
) -> list[dict[str, Any]]:
    # What has never run has no data yet.
    there = {c.service for c in engine.containers(project)} if due else set()
    here = [service for service in due if service.name in there]
    return backups.plan(store, engine, project, stack, here, why) if here else []


def _due(services: Mapping[str, Sequence[compose.Service]]) -> dict[str, list[compose.Service]]:
    """When it is saved -> kept services: before ``always`` every release, or before a ``job`` alone."""
    always = [one for _stack, one in presets.due(services, False)]
    return {"always": always, "job": [one for _stack, one in presets.due(services, True) if one not in always]}


def _shown(store: Store, stack: str, job: compose.Service) -> dict[str, Any]:
    about = {"stack": stack, "job": job.name, "when": job.job, "compatible": _is_compatible(job), "deadline": job.deadline}
    ran = [e for e in store.ledger().data if e["event"] == "ran" and (e.get("stack"), e.get("job")) == (stack, job.name)]
    # What somebody says was done took no time that is known.
    took = [float(e["seconds"]) for e in ran if e.get("code") == 0 and not e.get("by")]
    return {**about, "why": job.taken, **({"took": took[-1]} if took else {})}


def _is_compatible(job: compose.Service) -> bool:
    # Behind the switch nothing could be stopped and saved any more: what such a job writes has to be good for the old code too.
    return job.compatible or job.job == AFTER


def _to_run(
    store: Store,
    stack: str,
    project: str,
    services: Sequence[compose.Service],
    images: Mapping[str, Mapping[str, Any]],
    asked: Asked,
) -> list[tuple[compose.Service, str]]:
    """The jobs of a stack that this host is to run, each with its key.

    Raises:
        RolloutError: one was killed half-way, and must not simply run again.
    """
    ledger, found = store.ledger(), []
    undone = data.undone(ledger)
    for job in services:
        of = decisions.key(job, images[job.image])
        if not decisions.is_mine(job, stack, asked.first) or decisions.is_done(ledger, stack, job.name, of, undone):
            continue
        if _counts_as_done(store, stack, job, images, asked):
            continue
        left = decisions.half_way(ledger, stack, job, of)
        if left and job.name not in asked.rerun:
            log = job_logs.path(store.root, str(left["run"]), stack, job.name)
            made = job_containers.name(project, job.name)
            raise decisions.HALF_WAY(job=job.name, stack=stack, run=left["run"], container=made, log=log)
        found.append((job, of))
    return found


def save(deployments: Sequence[Deployment], jobs: Sequence[str], arm: Arm) -> dict[str, Any]:
    """Back up the kept services of this host that ask for it: before every release, or before ``jobs`` of any host.

    Returns:
        changed; backups: the records, as `backups.take` has them; phases and clock.

    Raises:
        RolloutError: one could not be saved. Facts: gate (``backup``), service, stack, begun, saved.
    """

    def saved() -> dict[str, Any]:
        by_stack, found = {one.stack: one for one in deployments}, []
        for stack, service in presets.due({stack: one.wanted for stack, one in by_stack.items()}, bool(jobs)):
            one = by_stack[stack]
            why = f"before {', '.join(jobs) or one.release}"
            if any(c.service == service.name for c in one.running()):
                with one.phases.phase("backup", service.name):
                    found.append(backups.take(one, service, why, arm))
        return {"changed": bool(found), "backups": [dict(entry) for entry in found]}

    return told(deployments, saved)


def before(deployments: Sequence[Deployment], asked: Asked, arm: Arm) -> dict[str, Any]:
    """Run the jobs that come before anything is switched, as far as they have not run on this host.

    Returns:
        changed; jobs: for each stack, job, seconds, code, log (its last lines); phases and clock.

    Raises:
        RolloutError: one failed. Facts: gate (``job``), service, stack, log, release, begun, saved (ids of this run's backups).
    """
    return told(deployments, lambda: _all(deployments, BEFORE, asked, arm))


def after(deployments: Sequence[Deployment], asked: Asked) -> dict[str, Any]:
    """As `before`, the jobs that come once everything is switched."""
    return told(deployments, lambda: _all(deployments, AFTER, asked, lambda: None))


def told(deployments: Sequence[Deployment], act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``act`` returns, with its phases. Its error has the facts ``begun`` (``quiet``: what writes was stopped, or a kept
    service started; ``job``: data may have changed) and ``saved``, the backups of this run."""
    if not deployments:
        return act()
    store, run, phases = deployments[0].store, deployments[0].run, deployments[0].phases
    try:
        return phases.timed(act)
    except RolloutError as error:
        ledger = store.ledger()
        events = {entry["event"] for entry in ledger.open if entry["run"] == run}
        begun = "job" if events & {"job", "restoring"} else "quiet" if events else ""
        error.facts["begun"] = begun or str(error.facts.get("begun") or "")
        error.facts["saved"] = [str(e["backup"]) for e in data.backups(ledger) if e["run"] == run]
        raise


def _all(deployments: Sequence[Deployment], when: str, asked: Asked, arm: Arm) -> dict[str, Any]:
    rows = []
    for one in deployments:
        job_containers.clear(one)
    for one in deployments:
        mine = [job for job in one.jobs if job.job == when]
        images = one.manifest["images"]
        for job in mine:
            if _counts_as_done(one.store, one.stack, job, images, asked):
                facts = _facts(one, job, decisions.key(job, images[job.image]))
                one.store.append("ran", one.run, **facts, code=0, seconds=0.0, by="operator")
        for job, of in _to_run(one.store, one.stack, one.project, mine, images, asked):
            if not _is_compatible(job):
                arm()
            _start_needed(one, job)
            rows.append(_run(one, job, of, asked))
    return {"changed": bool(rows), "jobs": rows}


def _facts(one: Deployment, job: compose.Service, of: str) -> dict[str, Any]:
    about = {"name": one.name, "release": one.release, "stack": one.stack}
    return {**about, "job": job.name, "key": of, "compatible": _is_compatible(job)}


def _counts_as_done(
    store: Store, stack: str, job: compose.Service, images: Mapping[str, Mapping[str, Any]], asked: Asked
) -> bool:
    """Whether a job was killed half-way, and the operator says that it is done."""
    return job.name in asked.done and decisions.is_begun(store.ledger(), stack, job.name, decisions.key(job, images[job.image]))


def _start_needed(one: Deployment, job: compose.Service) -> None:
    """Start the kept services that a job needs, and wait until they are well.

    Raises:
        RolloutError: one does not start, or is not well. Fact ``begun``, where one was started.
    """
    needed = decisions.needed(one.compose_project.config(), job, [s for s in one.wanted if not s.released])
    here = {c.service for c in one.running() if c.status == "running"}
    absent = [service for service in needed if service.name not in here]
    restage.fetch(one, [*absent, job])
    try:
        for service in absent:
            with one.phases.phase("start", service.name):
                limit = service.grace + service.deadline + job_containers.LIMIT_S
                one.compose_project.up([service.name], recreate=False, timeout=limit)
            Gates(one).hold([service])
        Gates(one).again([service for service in needed if service not in absent])
    except RolloutError as error:
        error.facts.setdefault("begun", "quiet" if absent else "")
        raise


def _run(one: Deployment, job: compose.Service, of: str, asked: Asked) -> dict[str, Any]:
    """Run one job, and record it.

    Raises:
        RolloutError: it failed.
    """
    facts, last = _facts(one, job, of), clock.monotonic()

    def alive() -> None:
        nonlocal last
        if asked.ttl and clock.monotonic() - last >= ALIVE_S:
            last = clock.monotonic()
            locking.renew(one.store, one.run, asked.ttl, False)

    one.store.append("job", one.run, **facts)
    entry = one.phases.begin("job", job.name)
    try:
        ended = job_containers.run(one, job, alive)
    except RolloutError as error:
        if error.facts.get("fenced") or error.facts.get("away"):
            raise
        one.store.append("ran", one.run, **facts, code=-1, seconds=0.0)
        raise _failure(one, job, str(error).rstrip("."), "") from error
    finally:
        one.phases.end(entry, False)
    code = ended.code or (-1 if ended.late else 0)
    one.store.append("ran", one.run, **facts, code=code, seconds=ended.seconds)
    if code:
        raise _failure(one, job, _why(job, ended), _last_lines(ended.log))
    entry["good"] = True
    return {"stack": one.stack, "job": job.name, "code": 0, "seconds": ended.seconds, "log": _last_lines(ended.log)}


def _why(job: compose.Service, ended: Ended) -> str:
    if ended.gone:
        return GONE.text()
    if ended.late:
        return LATE.text(deadline=job.deadline)
    return OUT_OF_MEMORY.text() if ended.oom else ENDED.text(code=ended.code, seconds=ended.seconds)


def _failure(one: Deployment, job: compose.Service, what: str, log: str) -> RolloutError:
    mine = [str(entry["backup"]) for entry in data.backups(one.store.ledger()) if entry["run"] == one.run]
    saved = "" if _is_compatible(job) else SAVED.text(backups=" and ".join(mine)) if mine else NOT_SAVED.text()
    about = {"service": job.name, "stack": one.stack, "gate": "job", "log": log, "release": one.release}
    return FAILED(job=job.name, stack=one.stack, release=one.release, what=one.masked(what), saved=saved, facts=about)


def _last_lines(log: str) -> str:
    return "\n".join(log.splitlines()[-LINES:])[-4000:]

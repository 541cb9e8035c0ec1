"""The jobs of a release: which have run on a host, which are to run, and which were killed half-way. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Collection, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.gate import FIRST
from ansible.module_utils.rollout.domain.ledger import Ledger
from ansible.module_utils.rollout.errors import Refusal

SECTION = "Jobs"
HALF_WAY = Refusal(
    SECTION,
    "Job {job} (stack {stack}) was killed half-way by run {run}, and has rerun: false. Look at what it had done: docker "
    "logs {container} has its output there, or {log} once the container is gone. If it may run again, type -e rerun={job}; if it "
    "is done, -e done={job}.",
    "look at its output and at the data, then type one of the two. A container that still runs is stopped then",
)
TOO_LONG = Refusal(
    SECTION,
    "The jobs of this host ({jobs}) may take {seconds:g} s together, and rollout_confirm_timeout is {confirm:g}: the guard would "
    "act while one still runs. Raise rollout_confirm_timeout above that, or lower their deadlines.",
    "raise `rollout_confirm_timeout`, or give the jobs a shorter `deadline`: it is 600 s where nothing is said",
)

TOO_SLOW = Refusal(
    SECTION,
    "What is backed up before the jobs of this host ({jobs}) took {saved:g} s last time, and rollout_confirm_timeout is "
    "{confirm:g}: the guard would act meanwhile. Raise rollout_confirm_timeout above that.",
    "raise `rollout_confirm_timeout`: the guard is armed as soon as what writes is stopped",
)


def key(job: Service, image: Mapping[str, Any]) -> str:
    """What a run of a job is known by: its image, its configuration and its environment.

    Args:
        image: its digest or, where no registry knows it, its id.
    """
    return hashlib.sha256(json.dumps([image.get("digest") or image.get("id"), job.config_hash]).encode()).hexdigest()[:16]


def last(entries: Sequence[Mapping[str, Any]], stack: str, job: str, of: str = "") -> Optional[Mapping[str, Any]]:
    """The last entry of a job: ``job`` where it was begun and has not ended, ``ran`` where it has; None if there is none.

    Args:
        entries: those of `ledger.DATA`, in their order.
        of: the key that is meant; any if it is empty.
    """
    mine = (
        e
        for e in reversed(entries)
        if e["event"] in ("job", "ran") and (e.get("stack"), e.get("job")) == (stack, job) and of in ("", e.get("key"))
    )
    return next(mine, None)


def runs(ledger: Ledger, stacks: Collection[str]) -> list[dict[str, Any]]:
    """The last run of each job of these stacks: stack, job, release, at, code and seconds; both are None of one whose end is not
    known."""
    begun: dict[tuple[str, str], Mapping[str, Any]] = {}
    for entry in ledger.data:
        if entry["event"] in ("job", "ran") and entry.get("stack") in stacks:
            begun[str(entry["stack"]), str(entry["job"])] = entry
    return [
        {"stack": stack, "job": job, **{key: entry.get(key) for key in ("release", "at", "code", "seconds")}}
        for (stack, job), entry in begun.items()
    ]


def is_done(ledger: Ledger, stack: str, job: str, of: str, undone: Collection[int] = ()) -> bool:
    """Whether a job with that key has run to a good end, and its effect is still there.

    Args:
        undone: the numbers of the entries ``ran`` whose effect a restore took back.
    """
    good = [
        e
        for e in ledger.data
        if e["event"] == "ran" and (e.get("stack"), e.get("job"), e.get("key"), e.get("code")) == (stack, job, of, 0)
    ]
    return any(e["seq"] not in undone for e in good)


def half_way(ledger: Ledger, stack: str, job: Service, of: str) -> Optional[Mapping[str, Any]]:
    """The entry of a job that was begun with that key, did not end, and must not simply run again; None if there is none."""
    found = None if job.rerun else last(ledger.data, stack, job.name, of)
    return found if found and found["event"] == "job" else None


def is_mine(job: Service, stack: str, first: Collection[str]) -> bool:
    """Whether this host is to run a job; ``first`` are the stacks whose jobs it runs for all others."""
    return job.run_on != FIRST or stack in first


def is_begun(ledger: Ledger, stack: str, job: str, of: str) -> bool:
    """Whether a job with that key was begun, and its end is not known."""
    found = last(ledger.data, stack, job, of)
    return bool(found and found["event"] == "job")


def needed(config: Mapping[str, Any], job: Service, kept: Sequence[Service]) -> list[Service]:
    """The kept services that a job needs, in the order of ``kept``: those that it depends on, also through others. Where it
    depends on nothing, all that are on one of its networks.

    Args:
        config: the stack as Compose reads it.
    """
    specs: Mapping[str, Any] = config.get("services") or {}
    reached, ahead = set[str](), [job.name]
    while ahead:
        others = [other for other in (specs.get(ahead.pop()) or {}).get("depends_on") or {} if other not in reached]
        reached.update(others)
        ahead += others
    if reached:
        return [service for service in kept if service.name in reached]
    mine = _networks(specs.get(job.name) or {})
    return [service for service in kept if mine & _networks(specs.get(service.name) or {})]


def _networks(spec: Mapping[str, Any]) -> set[str]:
    return set() if spec.get("network_mode") else set(spec.get("networks") or {"default": None})


def too_long(found: Sequence[Service], confirm: float, saved: float = 0.0) -> list[str]:
    """A sentence if these jobs may take longer than a guard waits, in seconds; 0 for never.

    Args:
        saved: the seconds that the backups before them took last time, while the guard was armed.
    """
    seconds, names = sum(job.deadline for job in found), ", ".join(job.name for job in found)
    wrong = [TOO_LONG.text(jobs=names, seconds=seconds, confirm=confirm)] if found and 0 < confirm <= seconds else []
    return [*wrong, *([TOO_SLOW.text(jobs=names, saved=saved, confirm=confirm)] if 0 < confirm <= saved else [])]

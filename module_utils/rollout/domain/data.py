"""What the ledger says of an application's data: which jobs are in effect there, and what a way back does about them. Pure.

The data of a kept service is seen as a line of jobs and backups. A job is added to the line of every kept service. A restore
makes the line of its service what it was when the backup was taken. So what is in effect today stands in the lines of today.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Collection, Iterable, Mapping, Optional

from ansible.module_utils.rollout.domain.ledger import Ledger, Stable

Entry = Mapping[str, Any]
# A kept service: its stack and its name.
Kept = tuple[str, str]
_Line = list[Entry]
# The two ways of a rollback across an incompatible job: keep the data as it is, or restore a backup.
KEEP, RESTORE = "keep", "restore"
# The gate of a way back that the data forbids, or that could not restore it: nothing of that is to be tried again unasked.
GATE = "data"
WAYS = ("", KEEP, RESTORE)
# Stands for the data of an application none of whose services was ever backed up.
_NONE: Kept = ("", "")


@dataclass(frozen=True)
class WayBack:
    """What a way back does about the data before it starts a service.

    ``restore`` are the entries of the backups to bring back, at most one for each kept service, in the order in which they were
    taken. ``barred`` are the entries of the jobs that keep the stable release from being started: they, or a restore that took
    them back, changed the data, and a service has been started since the backup, or there is none. If both are empty, the data
    is as the stable release knows it.
    """

    restore: list[Entry] = field(default_factory=list)
    barred: list[Entry] = field(default_factory=list)


@dataclass
class _Lines:
    """The line of each kept service, that of all jobs, the lines at each backup, and the restores that have not ended.

    ``scope`` are the services that the run of a job saved before it: number of the job -> those. It says nothing of others, which
    somebody backs up on other days. A job whose run saved none may have changed all.
    """

    jobs: _Line = field(default_factory=list)
    kept: dict[Kept, _Line] = field(default_factory=dict)
    saved: dict[str, tuple[Kept, _Line]] = field(default_factory=dict)
    pending: dict[Kept, Entry] = field(default_factory=dict)
    scope: dict[int, set[Kept]] = field(default_factory=dict)

    def all(self) -> dict[Kept, _Line]:
        """Those of all kept services; without any, that of all jobs."""
        return self.kept or {_NONE: self.jobs}

    def of(self, kept: Kept) -> _Line:
        """The line of one; the jobs that are its as long as it had none."""
        return self.kept.get(kept, [job for job in self.jobs if self.is_of(job, kept)])

    def is_of(self, job: Entry, kept: Kept) -> bool:
        """Whether a job may have changed the data of that service."""
        return not self.scope.get(job["seq"]) or kept in self.scope[job["seq"]]


def backups(ledger: Ledger) -> list[Entry]:
    """The entries ``backup`` of those that were not removed, the oldest first."""
    gone = {entry["backup"] for entry in ledger.data if entry["event"] == "dropped"}
    return [entry for entry in ledger.data if entry["event"] == "backup" and entry["backup"] not in gone]


def undone(ledger: Ledger) -> set[int]:
    """The numbers (``seq``) of the entries ``job`` and ``ran`` whose effect a restore took back, in any kept service: such a job
    has yet to run again."""
    lines = _lines(ledger)
    gone = {job["seq"] for job in lines.jobs for one, line in lines.all().items() if job not in line and lines.is_of(job, one)}
    return gone | {ran for ran, job in _ended(ledger).items() if job in gone}


def crossed(ledger: Ledger, target: Stable) -> list[Entry]:
    """The entries ``job`` of jobs that are not compatible, were begun since ``target`` was last confirmed, and are in effect: a
    rollback to it starts code that may not know what they did."""
    now, then = _lines(ledger), _lines(ledger, target.seq)
    found = {job["seq"]: job for kept, line in now.all().items() for job in _more(line, then.of(kept))}
    return [found[seq] for seq in sorted(found)]


def lacking(ledger: Ledger, target: Stable) -> list[Entry]:
    """The entries ``job`` of jobs that were in effect each time that ``target`` was confirmed, and that a restore took back
    since: its code needs them, and a rollback runs no job."""
    now, found = _lines(ledger), list[dict[int, Entry]]()
    for seq in [one.seq for one in ledger.confirmed if one.name == target.name] or [target.seq]:
        then = _lines(ledger, seq)
        found.append({job["seq"]: job for kept, line in now.all().items() for job in _gone(ledger, then.of(kept), line)})
    least = min(found, key=len)
    return [least[seq] for seq in sorted(least)]


def to_restore(ledger: Ledger, target: Stable) -> dict[Kept, Optional[Entry]]:
    """Kept service -> the backup that a rollback to ``target`` with ``data=restore`` brings back; None if there is none. Nothing
    where the data is as the target knows it.

    That is the last one from before the first job that the rollback crosses. Where a restore took back what the target needs, it
    is the last one that has it.
    """
    now, then, there = _lines(ledger), _lines(ledger, target.seq), {entry["backup"] for entry in backups(ledger)}
    found: dict[Kept, Optional[Entry]] = {}
    needed, across = bool(lacking(ledger, target)), {job["seq"] for job in crossed(ledger, target)}
    for kept, line in now.kept.items():
        before = then.of(kept)
        if not (needed and _gone(ledger, before, line)) and not any(entry["seq"] in across for entry in line):
            continue
        fit = [
            saved[-1]
            for backup, (service, saved) in now.saved.items()
            if service == kept and backup in there and not _more(saved, before) and not _gone(ledger, before, saved)
        ]
        # A backup of the present line goes first: another line has rows of a time that was given up.
        found[kept] = next((entry for entry in reversed(fit) if entry in line), fit[-1] if fit else None)
    return found


def unfinished(ledger: Ledger) -> list[Entry]:
    """The entries ``restoring`` of restores that did not end: what is in those kept services is not known."""
    return sorted(_lines(ledger).pending.values(), key=lambda entry: int(entry["seq"]))


def finished(ledger: Ledger, restored: Iterable[Entry]) -> Ledger:
    """The ledger as it will be once these backups are restored."""
    entries = [{**entry, "event": "restored", "seq": ledger.last_seq + 1} for entry in restored]
    return replace(ledger, data=[*ledger.data, *entries])


def way_back(ledger: Ledger, kept: Collection[Kept]) -> WayBack:
    """What the way back of the open run does about the data: that of a revert, of a guard, or behind a job that failed.

    Args:
        kept: the kept services of this host. Since any other service was begun to be switched, nothing is restored unasked.
    """
    closed = int((ledger.closed or {}).get("seq") or 0)
    now, then = _lines(ledger), _lines(ledger, closed + 1)
    wanted: dict[Kept, Entry] = {}
    barred: dict[int, Entry] = {}
    for one, line in now.all().items():
        jobs = [*_more(line, then.of(one)), *_more(then.of(one), line)]
        if jobs:
            backup = _first(ledger, one, jobs, closed)
            if backup and not _started(ledger, int(backup["seq"]), kept):
                wanted[one] = backup
            else:
                barred.update({job["seq"]: job for job in jobs})
    if not any(entry["seq"] > closed and entry["event"] in ("job", "restoring") for entry in ledger.data):
        # A job on another host of the fleet.
        barred.update({entry["seq"]: entry for entry in ledger.open if entry.get("across")})
    if barred and ledger.stable:
        return WayBack(barred=[barred[seq] for seq in sorted(barred)])
    # Without a stable release there is no old code that could meet what a job has done.
    for one, entry in now.pending.items():
        wanted.setdefault(one, now.saved[entry["backup"]][1][-1])
    return WayBack(restore=sorted(wanted.values(), key=lambda entry: int(entry["seq"])))


def _lines(ledger: Ledger, before: Optional[int] = None) -> _Lines:
    """The lines as the entries have them, or those with a number below ``before``. A restore that has not ended counts."""
    found, saving = _Lines(), set[tuple[Kept, str]]()
    for entry in ledger.data:
        if before is not None and entry["seq"] >= before:
            break
        if entry["event"] == "job":
            found.scope[entry["seq"]] = {kept for kept, run in saving if run == entry["run"]}
            found.jobs.append(entry)
            for kept, line in found.kept.items():
                if found.is_of(entry, kept):
                    line.append(entry)
        elif entry["event"] == "backup":
            kept = (entry["stack"], entry["service"])
            saving.add((kept, entry["run"]))
            line = found.kept.setdefault(kept, [*found.of(kept)])
            line.append(entry)
            found.saved[entry["backup"]] = (kept, [*line])
        elif entry["event"] in ("restoring", "restored") and entry["backup"] in found.saved:
            kept, line = found.saved[entry["backup"]]
            found.kept[kept] = [*line]
            found.pending.pop(kept, None)
            if entry["event"] == "restoring":
                found.pending[kept] = entry
    return found


def _jobs(line: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in line if entry["event"] == "job"]


def _identity(job: Entry) -> tuple[Any, ...]:
    """By this a job is known again that ran anew: a variant of a release has the same ones."""
    return tuple(job.get(fact) for fact in ("release", "stack", "job", "key"))


def _more(line: _Line, before: _Line) -> list[Entry]:
    """The jobs of a line that are not compatible, and are not in another one."""
    known = {_identity(job) for job in _jobs(before)}
    return [job for job in _jobs(line) if job.get("compatible") is not True and _identity(job) not in known]


def _gone(ledger: Ledger, line: _Line, now: _Line) -> list[Entry]:
    """The jobs of a line that ended well there, and are not in the present one. One that failed nothing relies on."""
    known, well = {_identity(job) for job in _jobs(now)}, set(_ended(ledger, 0).values())
    return [job for job in _jobs(line) if job["seq"] in well and _identity(job) not in known]


def _ended(ledger: Ledger, code: Optional[int] = None) -> dict[int, int]:
    """The number of each entry ``ran``, with that ``code`` alone if it is given -> the number of its entry ``job``."""
    begun: dict[tuple[Any, ...], int] = {}
    found = {}
    for entry in ledger.data:
        # An operator may have said in a later run that it was done.
        about = (entry.get("name"), *_identity(entry))
        if entry["event"] == "job":
            begun[about] = entry["seq"]
        elif entry["event"] == "ran" and about in begun and code in (None, entry.get("code")):
            found[entry["seq"]] = begun[about]
    return found


def _first(ledger: Ledger, kept: Kept, jobs: Iterable[Entry], closed: int) -> Optional[Entry]:
    """The backup that the open run took of a kept service before it first changed the data; None if there is none any more."""
    mine = [entry for entry in ledger.data if entry["seq"] > closed]
    begun = {job["seq"] for job in jobs}
    # A job from before the run is gone by a restore.
    by_restore = any(seq <= closed for seq in begun)
    changes = [
        entry
        for entry in mine
        if entry["seq"] in begun or (by_restore and entry["event"] == "restoring" and (entry["stack"], entry["kept"]) == kept)
    ]
    if not changes:
        return None
    taken = [
        entry
        for entry in backups(ledger)
        if closed < entry["seq"] < changes[0]["seq"]
        and (entry["stack"], entry["service"]) == kept
        and entry["run"] == changes[0]["run"]
    ]
    return taken[-1] if taken else None


def _started(ledger: Ledger, since: int, kept: Collection[Kept]) -> bool:
    """Whether a service that is not kept was begun to be switched, here or on another host, since that entry."""
    begun = (e for e in ledger.open if e["event"] == "switching" and e["seq"] > since)
    return any((e.get("stack"), e.get("service")) not in kept for e in begun)

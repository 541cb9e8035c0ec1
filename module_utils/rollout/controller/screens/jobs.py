"""Sentences about jobs, and about the services that are stopped and saved for them: before a run, and after it. Pure."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible.module_utils.rollout.domain.backup import ALWAYS
from ansible.module_utils.rollout.domain.gate import AFTER, BEFORE
from ansible.module_utils.rollout.domain.units import human
from ansible.module_utils.rollout.errors import Refusal

NOT_SAVED = Refusal(
    "Jobs",
    "{jobs} may change data that nothing backs up: no kept service has the key backup. If it fails, the data stays as it left "
    "it.",
    "give the kept service that has the data `backup`, for example `backup: {preset: postgres}`",
)


def ahead(hosts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each thing that happens before the switch, and for each job behind it.

    Args:
        hosts: host -> its preview.
    """
    lines: list[str] = []
    jobs = {host: [job for job in preview.get("jobs") or [] if job["when"] == BEFORE] for host, preview in hosts.items()}
    all_jobs = list(dict.fromkeys(job["job"] for mine in jobs.values() for job in mine))
    bad = list(dict.fromkeys(job["job"] for mine in jobs.values() for job in mine if not job["compatible"]))
    for host, preview in hosts.items():
        stop = [one["service"] for one in preview.get("quiet") or []]
        if stop:
            what = f"{_names(stop)} {'stop' if len(stop) > 1 else 'stops'}"
            lines.append(f"{host}: {what} before {_names(bad)}, until the switch; {_gap(jobs[host])}")
        elif bad and not jobs[host] and preview.get("stable"):
            lines.append(f"{host}: what may write stops before {_names(bad)}, until the switch")
        due = [one for one in preview.get("backups") or [] if all_jobs or (one["when"] == ALWAYS and not preview.get("settled"))]
        before = _names(all_jobs) or "the switch"
        lines += [f"{host}: {one['service']} is backed up before {before}{_about(one.get('bytes'))}" for one in due]
        for job in sorted(preview.get("jobs") or [], key=lambda one: str(one["when"]) == AFTER):
            when = "once everything is switched" if job["when"] == AFTER else "before anything is switched"
            runs = f"runs {when}{_took(job)}{_taken(job) if job['when'] == BEFORE else ''}"
            lines.append(f"{host}: {job['job']} {'counts as done, and does not run' if job.get('done') else runs}")
    # Before the first release there is no data that a job could spoil.
    if bad and any(p.get("stable") for p in hosts.values()) and not any(p.get("backups") for p in hosts.values()):
        lines.append(NOT_SAVED.text(jobs=_names(bad)))
    return lines


def behind(hosts: Mapping[str, Mapping[str, Any]]) -> tuple[list[list[str]], list[str]]:
    """The rows of the jobs that ran, for the table of services, and a sentence for each backup.

    Args:
        hosts: host -> its result.
    """
    rows = [
        [host, str(job["job"]), f"ran, {float(job['seconds']):.1f} s", "", ""]
        for host, result in hosts.items()
        for job in result.get("ran") or []
    ]
    notes = [
        f"{one['service']} ({host}): backed up as {one['backup']} ({human(int(one['bytes']))})."
        for host, result in hosts.items()
        for one in result.get("saved") or []
    ]
    return rows, notes


def _gap(jobs: Sequence[Mapping[str, Any]]) -> str:
    jobs = [job for job in jobs if not job.get("done")]
    took = [job.get("took") for job in jobs]
    if took and all(seconds is not None for seconds in took):
        return f"the jobs took {sum(float(seconds or 0) for seconds in took):.0f} s last time"
    return f"the jobs may take up to {sum(float(job['deadline']) for job in jobs):.0f} s"


def _took(job: Mapping[str, Any]) -> str:
    return f" ({float(job['took']):.0f} s last time)" if job.get("took") is not None else ""


def _taken(job: Mapping[str, Any]) -> str:
    return f"; it is taken for a job, because {job['why']} (job: false says that it is none)" if job.get("why") else ""


def _about(size: Any) -> str:
    return f" (about {human(int(size))})" if size else ""


def _names(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

"""Sentences about data that a rollback, a way back or a later run restores: before a run, and after it. Pure."""

from __future__ import annotations

from typing import Any, Mapping

from ansible.module_utils.rollout.domain.units import human, minute, span
from ansible.module_utils.rollout.errors import Refusal

ASKS = Refusal(
    "The data behind a job",
    " with -e data=restore (the data as it was before {jobs}) or -e data=keep (the data as it is)",
    "choose between them when you go back; see [the two ways back](data.md#the-two-ways-back)",
)
FORWARD = Refusal(
    "The data behind a job",
    "To go forward again: ansible-playbook rollout.yml -e {choice} (its jobs run again).",
    "type that: a rollback runs no job, and what the jobs did was taken back",
)


def ahead(hosts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each service whose data is going to be brought back.

    Args:
        hosts: host -> its preview.
    """
    return [
        f"{host}: the data of {one['service']} comes back as it was at {minute(one['at'])} ({one['backup']}, "
        f"{human(int(one['bytes']))}); what came in since, {span(float(one['age']))}, is then only in a backup that is taken "
        "first. What may write stops meanwhile"
        for host, preview in hosts.items()
        for one in preview.get("restore") or []
    ]


def behind(hosts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each service whose data was brought back.

    Args:
        hosts: host -> its result.
    """
    lines = []
    for host, result in hosts.items():
        saved = {(one["stack"], one["service"]): one["backup"] for one in result.get("saved") or []}
        for one in result.get("restored") or []:
            first = saved.get((one["stack"], one["service"]))
            since = f" What came in since is in backup {first}." if first else ""
            lines.append(
                f"{one['service']} ({host}): its data is that of {minute(one['at'])}, from backup {one['backup']}.{since}"
            )
        lines += [
            f"{one['service']} ({host}): its data was brought back from backup {one['backup']}, of {minute(one['at'])}."
            for one in result.get("brought_back") or []
        ]
    return lines


def asks(hosts: Mapping[str, Mapping[str, Any]]) -> str:
    """What the way back of a release is going to ask; empty if that is nothing.

    Args:
        hosts: host -> its result.
    """
    ran = {(one["stack"], one["job"]) for result in hosts.values() for one in result.get("ran") or []}
    jobs = [one for result in hosts.values() for one in result.get("jobs") or [] if (one["stack"], one["job"]) in ran]
    bad = dict.fromkeys(str(one["job"]) for one in jobs if not one["compatible"])
    return ASKS.text(jobs=" and ".join(bad)) if bad else ""

"""What is said of an application's data: why a rollback or a way back does not touch it, and what each of the two ways loses."""

from __future__ import annotations

from typing import Any, Collection, Iterable

from ansible.module_utils.rollout.domain.data import Entry
from ansible.module_utils.rollout.domain.units import human, minute, span
from ansible.module_utils.rollout.errors import Refusal
from ansible.module_utils.rollout.io import machine

_SECTION = "The data behind a job"
ACROSS = Refusal(
    _SECTION,
    "{release} may not know what {jobs} did to the data since it ran here. Say what the data may do. As it was: {restore} As "
    "it is: ansible-playbook rollback.yml -e {choice} -e data=keep loses nothing, but {release} meets a schema that it may not "
    "know.",
    "choose one of the two commands. `restore` takes a backup of the present first: rows that were written since the older one "
    "are only there afterwards",
)
OLDER = Refusal(
    _SECTION,
    "{release} was stable here before {jobs} changed the data, and asks nothing when it comes by a rollout. Roll back to it: "
    "ansible-playbook rollback.yml -e {choice} -e data=restore, or -e data=keep.",
    "choose one of the two commands. A newer build of that code needs a tag of its own",
)
NOT_OF_THIS_RELEASE = Refusal(
    _SECTION,
    "Backup {backup} does not fit {release}, which runs: {jobs} stands between them. Bring a release back together with its "
    "data: ansible-playbook rollback.yml -e sha=… -e data=restore",
    "a backup from before an incompatible job belongs to the release before that job: roll back to it with `-e data=restore`",
)
OF_NO_SERVICE = Refusal(
    _SECTION,
    "Backup {backup} is of service {service} (stack {stack}), and {release}, which runs, has no kept service of that name. Bring "
    "back the release that has it, then restore the backup: ansible-playbook rollback.yml -e {choice}",
    "roll back to the release of the backup first, or read [the file](data.md#where-the-backup-is) by hand",
)
RESTORES = Refusal(
    _SECTION,
    "ansible-playbook rollback.yml -e {choice} -e data=restore brings back {backups}. Data since {since} is then only in a "
    "backup that is taken first.",
    "see [the two ways back](data.md#the-two-ways-back)",
)
RESTORES_NOTHING = Refusal(
    _SECTION,
    "it cannot come back, for no backup of {services} from before that job is on this host.",
    "roll back with `-e data=keep`, or bring the data back from elsewhere first",
)
LACKING = Refusal(
    _SECTION,
    "{release} needs what {jobs} did to the data. A restore took that back, and a rollback runs no job. Roll it out: "
    "ansible-playbook rollout.yml -e {choice} (its jobs run again).{restore}",
    "roll it out: its jobs run again",
)
WITH_ITS_DATA = Refusal(
    _SECTION,
    " Or with the data that it had: {restore}",
    "type that command if the data of then is wanted, and not that of today",
)
NO_BACKUP = Refusal(
    _SECTION,
    "data=restore is not possible: no backup of {services} from before {jobs} is on this host. With the data as it is: "
    "ansible-playbook rollback.yml -e {choice} -e data=keep",
    "roll back with `-e data=keep`, or bring the data back from elsewhere first",
)
NOT_USABLE = Refusal(
    _SECTION,
    "data=restore is not possible: {why} With the data as it is: ansible-playbook rollback.yml -e {choice} -e data=keep",
    "fix what the sentence names, or roll back with `-e data=keep`",
)
BARRED = Refusal(
    _SECTION,
    "{jobs} changed the data, and {why}. So {stable} was not started again and no backup was restored: rows would be lost, or "
    "old code meet a schema that it does not know. What runs is left as it is. {ways}",
    "choose one of the two commands that the sentence names. See [the two ways back](data.md#the-two-ways-back)",
)
BARRED_ELSEWHERE = Refusal(
    _SECTION,
    "A job of this run changed the data on another host, and services have been started since. So {stable} was not started again "
    "here. What runs is left as it is. {ways}",
    "choose one of the two commands that the sentence names",
)
NOT_BACK = Refusal(
    _SECTION,
    "The data from before could not be brought back, so {stable} was not started again: {why} Then type: ansible-playbook "
    "rollback.yml -e {choice} -e data=restore. Or with the data as it is: ansible-playbook rollback.yml -e {choice} -e data=keep",
    "fix what the sentence names, then type one of the two commands. The files of the backups are as they were",
)
NOT_HEALTHY = Refusal(
    _SECTION,
    "Backup {backup} was restored, but its service does not pass: {why}",
    "look at that service's log. The backup, and that of the data before, are still there",
)
KEPT = Refusal(
    _SECTION,
    "data=keep: {release} meets what {jobs} did to the data. Nothing of the data is changed.",
    "roll back with `-e data=restore` instead if that release does not run on it",
)
NOTHING_CROSSED = Refusal(
    _SECTION,
    "data=restore: no job that is not compatible was begun here since {release} was confirmed, so nothing is restored here.",
    "leave `data` out; `playbooks/restore.yml` restores a backup on any day",
)
STARTED = "{services} has been started since the backup"


def jobs(entries: Iterable[Entry]) -> str:
    """``job migrate (release sha-…)``, joined."""
    return " and ".join(dict.fromkeys(f"job {entry['job']} (release {entry['release']})" for entry in entries))


def restores(entries: Collection[Entry], chosen: str) -> str:
    """The way with the data as these backups have it, and what it loses."""
    since = min(str(entry["at"]) for entry in entries)
    backed = " and ".join(f"{e['backup']} of {e['service']} ({minute(e['at'])}, {human(e.get('bytes') or 0)})" for e in entries)
    ago = span(machine.age(since))
    return RESTORES.text(choice=chosen, backups=backed, since=f"{since[11:16]} UTC ({ago} ago)")


def row(entry: Entry) -> dict[str, Any]:
    """A backup for people."""
    facts = {key: entry[key] for key in ("backup", "stack", "service")}
    return {**facts, "at": str(entry["at"]), "bytes": entry.get("bytes") or 0, "age": round(machine.age(str(entry["at"])))}

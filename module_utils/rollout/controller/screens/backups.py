"""The screens of backup.yml and restore.yml: backups that were taken, and those that can be restored. Pure."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Sequence

from ansible.module_utils.rollout.controller.results import failed, sentence
from ansible.module_utils.rollout.controller.screens.tables import table
from ansible.module_utils.rollout.domain import units
from ansible.module_utils.rollout.domain.printable import inline
from ansible.module_utils.rollout.errors import Refusal

NOTHING = Refusal(
    "Backups",
    "Nothing was backed up: no kept service of this inventory has the key backup in x-rollout, or nothing was "
    "rolled out yet, or -e service= names none of them.",
    "give the service `keep: true` and `backup` in `x-rollout`, and roll out; or correct `-e service=`",
)

NO_SERVICE = Refusal(
    "Backups",
    "{service}: no kept service of that name has the key backup, so nothing of it was backed up. Correct -e service=",
    "correct the name: it is that of a service in the Compose file, which has `keep: true` and `backup` in `x-rollout`",
)
BEHIND = Refusal(
    "Backups",
    "{host}: it is down, and one of rollout_optional_hosts. Nothing was backed up there.",
    "type the command again when the host is up, if it has data",
)
DAMAGED = Refusal(
    "Drift",
    "{host}: backup {backup} of service {service} cannot be restored: its file {fault}.",
    "find out who changed or removed the file. It cannot be restored; take another one with `playbooks/backup.yml`",
)
NONE_THERE = Refusal(
    "Backups",
    "There is no backup on any host. To take one: ansible-playbook playbooks/backup.yml",
    "type that command",
)
UNKNOWN = Refusal(
    "Backups",
    "No host has a backup {backup}. Those that there are: {known}.",
    "correct the name. A host that could not be reached may have it",
)
NOT_COPIED = Refusal(
    "Backups",
    "{host}: backup {backup} was not copied elsewhere (rollout_backup_copy): {why}. It is on that host alone.",
    "fix what the sentence names, and copy the file by hand: the next run copies its own backups only",
)
HOW_TO = Refusal(
    "Backups",
    "To restore one: ansible-playbook playbooks/restore.yml -e backup=NAME. The data of today is backed up first; what was "
    "written since that backup is then only there.",
    "choose one of the list",
)


def faults(infos: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each backup whose file is not what was written.

    Args:
        infos: host -> what `rollout_host_info` said of it.
    """
    return [
        DAMAGED.text(host=host, backup=one["backup"], service=one["service"], fault=one["fault"])
        for host, one in _all(inline(infos))
        if one.get("fault")
    ]


def newest(infos: Mapping[str, Mapping[str, Any]], now: float) -> str:
    """The newest backup of each service, as a table; empty if there is none.

    Args:
        now: seconds since the epoch.
    """
    last = {(host, one["stack"], one["service"]): one for host, one in _all(inline(infos))}
    rows = [
        [host, service, one["backup"], units.human(one["bytes"]), units.age(str(one.get("at") or ""), now), one.get("why", "")]
        for (host, _stack, service), one in last.items()
    ]
    return "Newest backups:\n" + table(["HOST", "SERVICE", "BACKUP", "SIZE", "AGE", "TAKEN"], rows) if rows else ""


def listed(infos: Mapping[str, Mapping[str, Any]]) -> str:
    """All backups, the newest first: the screen of restore.yml without one. ``infos`` as of `faults`."""
    rows = []
    for host, one in reversed([*_all(inline(infos))]):
        at = str(one.get("at") or "").replace("T", " ")[:16]
        state = "DAMAGED" if one.get("fault") else ""
        about = [one["stack"], one["service"], one["backup"], at, units.human(one["bytes"]), one.get("release") or ""]
        rows.append([host, *about, one.get("why", ""), state])
    head = ["HOST", "STACK", "SERVICE", "BACKUP", "TAKEN (UTC)", "SIZE", "RELEASE", "WHY", "FILE"]
    return f"{table(head, rows)}\n\n{HOW_TO.text()}" if rows else NONE_THERE.text()


def uncopied(backup: Mapping[str, Any], host: str, failed: Mapping[str, Any]) -> str:
    """The note of a backup of a host that is not where `rollout_backup_copy` says.

    Args:
        backup: its record.
        failed: Ansible's result of the task.
    """
    why = str(failed.get("stderr") or "").strip() or sentence(failed)
    return NOT_COPIED.text(host=host, backup=inline(backup.get("backup")), why=inline(why).rstrip(".")[-400:])


def unknown(infos: Mapping[str, Mapping[str, Any]], backup: str) -> str:
    """The sentence for a backup that no host has; empty if one has it. ``infos`` as of `faults`."""
    there = [str(one["backup"]) for _host, one in _all(inline(infos))]
    return "" if backup in there else UNKNOWN.text(backup=inline(backup), known=", ".join(reversed(there)) or "none")


def _all(infos: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for host, info in infos.items():
        yield from ((host, one) for one in info["ledger"].get("backups") or [])


def taken(
    hosts: Mapping[str, Mapping[str, Any]], check: bool, notes: Sequence[str] = (), asked: Sequence[str] = ()
) -> dict[str, Any]:
    """The screen of backup.yml, and whether all is good.

    Args:
        hosts: host -> ``fault``, why it was not asked; ``behind``, that it is down and may be; or ``task``, what its step said.
        check: whether nothing was to be done.
        notes: what is told beside it, a sentence each.
        asked: the services that were typed.

    Returns:
        screen, good.
    """
    rows, wrong = [], []
    for host, said in hosts.items():
        task = said.get("task") or {}
        if said.get("fault") or failed(task):
            wrong.append(f"{host}: {inline(said.get('fault') or sentence(task))}")
        for one in task.get("backups") or []:
            took = f"{one['seconds']} s" if "seconds" in one else ""
            size = units.human(one["bytes"]) if one["bytes"] else "not known"
            rows.append([host, one["stack"], one["service"], one.get("backup", ""), f"~{size}" if check else size, took])
    head = ["HOST", "STACK", "SERVICE", "BACKUP", "SIZE", "TOOK"]
    what = [table(head, rows)] if rows else []
    if not rows and not wrong:
        wrong = [NOTHING.text()]
    elif not wrong:
        wrong = [NO_SERVICE.text(service=inline(name)) for name in asked if name not in {row[2] for row in rows}]
    notes = [*(BEHIND.text(host=host) for host, said in hosts.items() if said.get("behind")), *notes]
    word = "WOULD BE BACKED UP" if check else "BACKED UP"
    title = f"{word}: {len(rows)}" if not wrong else f"NOT BACKED UP{f', {len(rows)} other' if rows else ''}"
    return {"screen": "\n\n".join([title, *what, *wrong, *notes]), "good": not wrong}

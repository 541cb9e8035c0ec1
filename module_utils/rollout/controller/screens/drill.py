"""The screen of a drill, and the message for people elsewhere. Pure."""

from __future__ import annotations

from textwrap import indent
from typing import Any, Mapping

from ansible.module_utils.rollout.controller import inventory
from ansible.module_utils.rollout.controller.screens.last import below
from ansible.module_utils.rollout.controller.screens.tables import table
from ansible.module_utils.rollout.domain.printable import inline, printable
from ansible.module_utils.rollout.domain.units import length

Hosts = Mapping[str, Mapping[str, Any]]
_STATES = {"proven": "proven", "untried": "not tried", "failed": "FAILED"}
_HEAD = ["HOST", "WHAT", "STATE", "FOUND", "TOOK"]


def seen(host: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What a drill came to on a host, from the host's variables: rows and release, or fault (a sentence)."""
    for name in ("drill_lock", "drill_target", "drill_done"):
        task = variables.get(name) or {}
        if task.get("unreachable"):
            return {"fault": inventory.unreachable(host, str(task.get("msg") or "no message"))}
        if task.get("failed"):
            return {"fault": str(task.get("msg") or "failed without a message")}
    done = variables.get("drill_done") or {}
    return dict(done) if "rows" in done else {"fault": "it was not drilled"}


def good(found: Mapping[str, Any]) -> bool:
    """Whether a rollback of that host is proven: its release is there, and nothing that could be tried failed."""
    rows = found.get("rows") or []
    return not found.get("fault") and bool(rows) and all(row["state"] != "failed" for row in rows)


def result(hosts: Hosts, check: bool) -> dict[str, Any]:
    """The screen of drill.yml, and whether a rollback would work on every host.

    Args:
        hosts: host -> what `seen` returned.

    Returns:
        screen; good; message: title, body and kind, for people elsewhere; hosts: host -> whether it is good there.
    """
    hosts = {inline(host): found for host, found in hosts.items()}
    bad = [host for host, found in hosts.items() if not good(found)]
    head = _head(hosts, bad, check)
    faults = [text for host, found in hosts.items() for text in _faults(host, found, log=True)]
    plain = [text for host, found in hosts.items() for text in _faults(host, found, log=False)]
    rows = [_row(host, row) for host, found in hosts.items() for row in inline(found.get("rows") or [])]
    parts = [head, table(_HEAD, rows) if rows else "", *faults]
    return {
        "screen": "\n\n".join(part for part in parts if part),
        "good": not bad,
        "hosts": {host: host not in bad for host in hosts},
        "message": {"title": head, "body": "\n\n".join(plain)[:1500], "kind": "failure" if bad else "success"},
    }


def _head(hosts: Hosts, bad: list[str], check: bool) -> str:
    if bad:
        return f"DRILL FAILED: a rollback of {', '.join(bad)} is not proven. What runs was not touched."
    if check:
        return f"CHECK: nothing is known to be in the way of a rollback of {', '.join(hosts)}. Nothing was started or pulled."
    back = " and ".join(dict.fromkeys(inline(str(found["release"])) for found in hosts.values()))
    return f"DRILL PASSED: {', '.join(hosts)} can go back to {back}. What runs was not touched."


def _row(host: str, row: Mapping[str, Any]) -> list[str]:
    what = f"{row['what']} of {row['service']}" if row["service"] else str(row["what"])
    # A sentence for its own line says it below.
    found = "" if row["state"] == "failed" else str(row["found"])
    return [host, what, _STATES[row["state"]], found, length(row["seconds"]) if row["seconds"] else ""]


def _faults(host: str, found: Mapping[str, Any], log: bool) -> list[str]:
    said = [f"{host}: {below(str(found['fault']))}"] if found.get("fault") else []
    for row in found.get("rows") or []:
        if row["state"] == "failed":
            lines = printable(str(row.get("log") or "")).splitlines()[-15:] if log else []
            last = "\nThe last lines of its log:\n" + indent("\n".join(lines), "    ") if lines else ""
            said.append(f"{host}: {below(str(row['found']))}{last}")
    return said

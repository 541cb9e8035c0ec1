"""What a run came to, and how it is told: verdict, paragraph, tables. Pure."""

from __future__ import annotations

import calendar
import time
from typing import Any, Iterable, Mapping, Optional, Sequence

SUCCEEDED, UNCHANGED, REFUSED = "succeeded", "unchanged", "refused"
REVERTED, REVERT_FAILED, UNKNOWN = "reverted", "revert failed", "unknown"
BEFORE_SWITCH = ("plan", "stage")
Result = Mapping[str, Any]


def with_fault(result: Result, phase: str, host: str, failed: Any) -> dict[str, Any]:
    """``result`` with the fault of a failed task. A fault of the revert does not hide the one that caused it.

    Args:
        failed: Ansible's result of the task, of a loop too, or a sentence.
    """
    one: Mapping[str, Any] = {"msg": failed} if isinstance(failed, str) else failed or {}
    for item in one.get("results") or []:
        if item.get("failed"):
            one = item
    message = str(one.get("msg") or "failed without a message")
    if phase == "settle" and not one.get("failed", True):
        message = "what runs is no longer what was switched"
    if one.get("argument_errors"):
        message = "; ".join(str(e) for e in one["argument_errors"])
    fault = {"phase": phase, "host": host, "msg": message}
    fault.update({key: one[key] for key in ("service", "stack", "gate", "log") if one.get(key)})
    key = "revert_fault" if phase == "revert" else "fault"
    return {**result, key: result.get(key) or fault}


def with_staged(result: Result, staged: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, Any]:
    """``result`` with what staging found."""
    stable = (host.get("ledger") or {}).get("stable") or {}
    return {
        **result,
        "name": staged["name"],
        "staged": bool(staged.get("changed")),
        "to_pull": staged.get("to_pull", 0),
        "stable": stable.get("release"),
        # An interrupted run is closed by this one, even where the stable release already runs again.
        "changed": stable.get("name") != staged["name"] or bool((host.get("ledger") or {}).get("interrupted")),
        "services": [],
    }


def with_switched(result: Result, results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """``result`` with what the switch of one wave did."""
    done = [r for r in results if not r.get("skipped")]
    services = [dict(s, stack=r.get("stack", r.get("item", ""))) for r in done for s in r.get("services", [])]
    changed = bool(result.get("changed")) or any(r.get("changed") for r in done)
    return {**result, "changed": changed, "services": [*result.get("services", []), *services]}


def must_revert(results: Iterable[Result]) -> bool:
    """Whether the run's faults came after something was switched."""
    return any(r["fault"]["phase"] not in BEFORE_SWITCH for r in results if r.get("fault"))


def verdict(results: Sequence[Result], lost: Sequence[str]) -> str:
    """The verdict of a run from what each reachable host says and which hosts were lost."""
    faults = [r["fault"] for r in results if r.get("fault")]
    if any(r.get("revert_fault") for r in results):
        return REVERT_FAILED
    if faults and all(f["phase"] in BEFORE_SWITCH for f in faults):
        return REFUSED
    if lost or any(f["phase"] == "lost" for f in faults) or not results:
        return UNKNOWN
    if faults:
        return REVERTED
    return SUCCEEDED if any(r.get("changed") for r in results) else UNCHANGED


def good(word: str) -> bool:
    """Whether a verdict means exit status 0."""
    return word in (SUCCEEDED, UNCHANGED)


def screen(results: Mapping[str, Result], lost: Sequence[str], run: Mapping[str, Any]) -> str:
    """The last screen of a run.

    Args:
        results: host -> its result.
        run: action, run (id), release, check.
    """
    word = verdict(list(results.values()), lost)
    release = run.get("release") or "the release"
    if run.get("check") and good(word):
        would = "would change" if word == SUCCEEDED else "would change nothing on"
        head = f"CHECK: the {run['action']} {would} {', '.join(results)}. Nothing was touched."
    else:
        head = _head(word, release, results, run)
    parts = [head]
    if good(word):
        parts += _services(results, release)
    for result in results.values():
        for key in ("fault", "revert_fault"):
            if result.get(key):
                parts.append(_fault(result[key], key == "revert_fault"))
    if lost:
        parts.append(f"Lost: {', '.join(lost)}. What runs there is not known; run status.yml when they are back.")
    parts.append(_next(word, results, run))
    return "\n\n".join(part for part in parts if part)


def _head(word: str, release: str, results: Mapping[str, Result], run: Mapping[str, Any]) -> str:
    hosts = f"{len(results)} host{'s' if len(results) != 1 else ''}"
    old = ", ".join(sorted({str(r["stable"]) for r in results.values() if r.get("stable")}))
    first = any(not r.get("stable") for r in results.values())
    return (
        f"{run['action'].upper()} {word.upper()}: "
        + {
            SUCCEEDED: f"{release} runs on {hosts}, every gate held.",
            UNCHANGED: f"{release} runs on {hosts} already. Nothing was restarted.",
            REFUSED: "nothing was touched, what ran before still runs.",
            REVERTED: f"{release} did not pass. "
            + (
                "It was taken away; there was no stable release to go back to."
                if first and not old
                else f"{old} runs again, and its gates hold."
            ),
            REVERT_FAILED: f"{release} did not pass, and the way back failed too. Somebody must look at the hosts below.",
            UNKNOWN: "a host was lost, so what runs there is not known.",
        }[word]
    )


def _services(results: Mapping[str, Result], release: str) -> list[str]:
    rows = []
    for host, result in results.items():
        for service in result.get("services", []):
            seconds = f"{service['seconds']:.1f} s" if service["action"] != "keep" else ""
            old = result.get("stable") or "-"
            what = {"keep": "unchanged", "create": "started", "recreate": f"{old} -> {release}", "remove": "removed"}
            if service["action"] == "recreate" and old == release:
                what["recreate"] = f"restarted ({service['why']})"
            torch = service.get("torch") or {}
            rows.append([host, service["service"], what[service["action"]], seconds, torch_column(torch) if torch else ""])
    return [table(["HOST", "SERVICE", "CHANGE", "TOOK", "TORCH"], rows)] if rows else []


def _fault(fault: Mapping[str, Any], revert: bool) -> str:
    gate = f", gate {fault['gate']}" if fault.get("gate") else ""
    text = f"{'The revert failed on' if revert else 'On'} host {fault['host']}{gate}: {fault['msg']}"
    if fault.get("log"):
        text += "\nThe last lines of its log:\n" + "\n".join("    " + line for line in str(fault["log"]).splitlines()[-15:])
    return text


def _next(word: str, results: Mapping[str, Result], run: Mapping[str, Any]) -> str:
    if run.get("check"):
        return ""
    old = next((r["stable"] for r in results.values() if r.get("stable") not in (None, run.get("release"))), None)
    if word == SUCCEEDED and old:
        choice = f"sha={old[4:]}" if old.startswith("sha-") else f"tag={old}"
        return f"Run {run['run']}. To go back: ansible-playbook rollback.yml -e {choice}"
    return f"Run {run['run']}." + {
        REVERTED: " Mend the release and roll out again; nothing else is needed.",
        REVERT_FAILED: " Then: ansible-playbook status.yml",
        UNKNOWN: " Then: ansible-playbook status.yml",
    }.get(word, "")


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in which the first cell of a row is its group: each group has its own heading line.

    Columns are as wide as their widest cell; one that is empty everywhere is left out.
    """
    cells = [[str(c) for c in row] for row in rows]
    keep = [i for i in range(1, len(head)) if any(row[i] for row in cells)]
    widths = [max(len(row[i]) for row in [list(head), *cells]) for i in keep]

    def line(row: Sequence[str]) -> str:
        return ("  " + "  ".join(row[i].ljust(w) for i, w in zip(keep, widths))).rstrip()

    lines: list[str] = [line(head)]
    for n, row in enumerate(cells):
        if n == 0 or row[0] != cells[n - 1][0]:
            lines.append(row[0])
        lines.append(line(row))
    return "\n".join(lines)


def torch_column(verdict: Mapping[str, Any]) -> str:
    """A torch verdict in one word or two: the version, ``absent``, or the reason it did not pass."""
    if verdict.get("verdict") != "pass":
        return f"{verdict.get('verdict')}: {verdict.get('reason')}"
    return str((verdict.get("torch") or {}).get("version") or "absent")


def seen(variables: Mapping[str, Any]) -> dict[str, Any]:
    """What status.yml found out about a host, from the host's variables: info (or None) and fault."""
    info = variables.get("status_host") or {}
    fault = variables.get("status_fault") or "it could not be reached"
    return {"info": info if "ledger" in info else None, "fault": str(fault)}


def status_screen(hosts: Mapping[str, Mapping[str, Any]], now: float) -> str:
    """The table of status.yml, what is off, and what to do.

    Args:
        hosts: host -> what `seen` returned.
        now: seconds since the epoch, to tell how long a service has been running.
    """
    rows, notes = [], []
    for host, found in hosts.items():
        info: Optional[Mapping[str, Any]] = found["info"]
        if info is None:
            rows.append([host, "-", "?", "", "unknown", "", "", ""])
            notes.append(f"{host}: {found['fault']}")
            continue
        for row in info.get("services", []):
            digest = str(row["digest"]).replace("sha256:", "")[:7]
            rows.append(
                [
                    host,
                    row["service"],
                    row["release"],
                    digest,
                    _short(row["health"]),
                    age(row["since"], now),
                    row["torch"],
                    "DRIFT" if row["drift"] else "-",
                ]
            )
            notes += [f"{host}, {row['service']}: {sentence}." for sentence in row["drift"]]
        ledger = info["ledger"]
        if ledger["interrupted"]:
            last = ledger["interrupted"]
            notes.append(
                f"{host}: run {last['run']} was interrupted at '{last['event']} {last.get('service', last.get('stack', ''))}' "
                f"on its way to {last.get('release', '?')}. Roll out or roll back again."
            )
        if ledger["torn"]:
            notes.append(f"{host}: the ledger has a torn line (a power loss?); it was passed over.")
    text = table(["HOST", "SERVICE", "RELEASE", "DIGEST", "HEALTH", "SINCE", "TORCH", "DRIFT"], rows)
    if not notes:
        return text + "\n\nEverything runs as it was released."
    drift = any(row[-1] == "DRIFT" for row in rows)
    advice = "\n\nWhat was changed by hand stays until you roll out again: ansible-playbook rollout.yml" if drift else ""
    return text + "\n\n" + "\n".join(notes) + advice


def _short(health: str) -> str:
    return health if len(health) <= 12 else "unhealthy"


def age(started: str, now: float) -> str:
    """How long ago a time of Docker's (RFC 3339, UTC) was: ``3 m``, ``5 h``, ``2 d``."""
    try:
        then = calendar.timegm(time.strptime(started[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return ""
    seconds = max(0, int(now - then))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

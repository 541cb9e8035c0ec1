"""What runs where, and whether it is what was released: the screen and the document of status.yml. Pure."""

from __future__ import annotations

import calendar
import time
from typing import Any, Mapping

from ansible.module_utils.rollout import inventory, report, torch_screen
from ansible.module_utils.rollout.tables import table

Hosts = Mapping[str, Mapping[str, Any]]
DOCUMENT = 1
SHOWN = 5
_HEAD = ["HOST", "SERVICE", "RELEASE", "DIGEST", "HEALTH", "SINCE", "TORCH", "DRIFT"]


def seen(variables: Mapping[str, Any]) -> dict[str, Any]:
    """What status.yml found out about a host, from the host's variables: info (or None) and fault."""
    info = variables.get("status_host") or {}
    fault = variables.get("status_fault") or "it could not be reached"
    if info.get("unreachable"):
        fault = inventory.unreachable(str(variables.get("inventory_hostname")), str(info.get("msg") or "no message"))
    return {"info": info if "ledger" in info else None, "fault": str(fault)}


def observed(hosts: Hosts) -> dict[str, Mapping[str, Any]]:
    """Host -> what was found there, without hosts that could not be seen."""
    return {host: found["info"] for host, found in hosts.items() if found["info"]}


def findings(hosts: Hosts) -> list[tuple[bool, str]]:
    """Everything there is to say of the fleet, and of each sentence whether it means drift.

    Drift is whatever keeps one from saying that everything runs as it was released: a service that differs, a torch check
    that fails, a host that cannot be seen, an interrupted run, hosts on different releases. Who is at work, a guard that
    waits or has acted, and a torn line of a ledger are no drift.

    Args:
        hosts: host -> what `seen` returned.
    """
    notes = []
    for host, found in hosts.items():
        if found["info"] is None:
            notes.append((True, f"{host}: {found['fault']}"))
            continue
        for row in found["info"].get("services", []):
            notes += [(True, f"{host}, {row['service']}: {sentence.rstrip('.')}.") for sentence in row["drift"]]
    notes += [(kind == report.OPEN, sentence) for kind, sentence in report.state_notes(observed(hosts), status=True)]
    return notes + [(True, sentence) for sentence in _apart(hosts)]


def as_released(hosts: Hosts) -> bool:
    """Whether everything runs as it was released: no finding is drift."""
    return not any(drift for drift, _sentence in findings(hosts))


def behind(hosts: Hosts) -> list[str]:
    """Hosts that are on another release than the first one, or were left out of its last run and not seen since."""
    releases = _releases(hosts)
    fleets = next(iter(releases.values()), "")
    first = next(iter(observed(hosts).values()), {}).get("ledger", {})
    return [h for h, release in releases.items() if release != fleets] + [h for h in first.get("behind", []) if h not in releases]


def advice(hosts: Hosts) -> list[str]:
    """What to do about services that differ; nothing while a run is unfinished: it, or the next one, brings them right."""
    infos = observed(hosts)
    if any(info.get("lock") or info["ledger"]["interrupted"] for info in infos.values()):
        return []
    said: dict[str, None] = {}
    for info in infos.values():
        stable = (info["ledger"]["stable"] or {}).get("release")
        again = f"ansible-playbook rollout.yml -e {report.choice(stable)}" if stable else "ansible-playbook rollout.yml"
        for sentence in (sentence for row in info.get("services", []) for sentence in row["drift"]):
            if sentence.startswith("not healthy"):
                said["Why a service is not healthy is in its log: docker logs --tail 50 CONTAINER, on its host."] = None
            elif not stable:
                said[f"No release is stable here yet: {again}"] = None
            elif not sentence.startswith("torch: "):
                said[f"What was changed by hand stays until you roll out again: {again}"] = None
    return list(said)


def history(hosts: Hosts) -> list[dict[str, Any]]:
    """Which releases became stable, newest first: release, at, action, run, hosts, kept (whether a rollback finds its files).

    What one run confirmed on several hosts is one entry. Hosts share no order but that of the wall clock; it is for people.
    """
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for host, info in observed(hosts).items():
        for one in reversed(info["ledger"].get("confirmed", [])):
            facts = {
                "release": one["release"],
                "at": one["at"],
                "action": one["action"],
                "run": one["run"],
                "hosts": [],
                "kept": False,
            }
            entry = entries.setdefault((one["run"], one["release"]), facts)
            entry["hosts"].append(host)
            entry["kept"] = entry["kept"] or one["name"] in {known["name"] for known in info["ledger"].get("known", [])}
    return sorted(entries.values(), key=lambda entry: str(entry["at"]), reverse=True)


def document(hosts: Hosts, now: float) -> dict[str, Any]:
    """What status.yml found, for machines. docs/operations.md names its keys.

    Args:
        hosts: host -> what `seen` returned.
        now: seconds since the epoch.
    """
    said = findings(hosts)
    return {
        "version": DOCUMENT,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "as_released": as_released(hosts),
        "drift": [sentence for drift, sentence in said if drift],
        "notes": [sentence for drift, sentence in said if not drift],
        "advice": advice(hosts),
        "behind": behind(hosts),
        "history": history(hosts),
        "hosts": {host: _host(found) for host, found in hosts.items()},
    }


def _host(found: Mapping[str, Any]) -> dict[str, Any]:
    info = found["info"]
    if info is None:
        return {"seen": False, "fault": found["fault"]}
    rows = []
    for row in info.get("services", []):
        verdict = row.get("verdict") or {}
        rows.append({**row, "verdict": verdict.get("verdict"), "reason": verdict.get("reason")})
    ledger = {key: facts for key, facts in info["ledger"].items() if key not in ("confirmed", "known")}
    state = {key: info.get(key) for key in ("engine", "lock", "guard", "keeper")}
    return {"seen": True, "fault": None, **state, "ledger": ledger, "services": rows}


def screen(hosts: Hosts, now: float) -> str:
    """The tables of status.yml, what is off, and what to do.

    Args:
        hosts: host -> what `seen` returned.
        now: seconds since the epoch, to tell how long a service has been running.
    """
    rows = []
    for host, found in hosts.items():
        if found["info"] is None:
            rows.append([host, "-", "?", "", "unknown", "", "", ""])
            continue
        for row in found["info"].get("services", []):
            digest = str(row["digest"]).replace("sha256:", "")[:7]
            state = [_short(row["health"]), age(row["since"], now), row["torch"], "DRIFT" if row["drift"] else "-"]
            rows.append([host, row["service"], row["release"], digest, *state])
    parts = [table(_HEAD, rows), torch_screen.torch_table(hosts, gpus_only=True), _history(hosts)]
    parts.append("\n".join(sentence for _drift, sentence in findings(hosts)))
    if as_released(hosts):
        parts.append("Everything runs as it was released.")
    return "\n\n".join(part for part in (*parts, "\n".join(advice(hosts))) if part)


def _history(hosts: Hosts) -> str:
    entries, everywhere = history(hosts), set(observed(hosts))
    rows = []
    for entry in entries[:SHOWN]:
        hosts_of = "" if set(entry["hosts"]) == everywhere else ", ".join(entry["hosts"])
        at = str(entry["at"]).replace("T", " ")[:16]
        release = entry["release"] + ("" if entry["kept"] else " (removed)")
        rows.append(["", at, release, entry["action"], entry["run"], hosts_of])
    return (
        "Stable releases, newest first:\n" + table(["", "SINCE (UTC)", "RELEASE", "BY", "RUN", "ONLY ON"], rows) if rows else ""
    )


def _releases(hosts: Hosts) -> dict[str, str]:
    return {host: str((info["ledger"]["stable"] or {}).get("release") or "nothing") for host, info in observed(hosts).items()}


def _apart(hosts: Hosts) -> list[str]:
    """What to say where hosts are on different releases, or were left out. The first host's release is the fleet's."""
    releases, late, notes = _releases(hosts), behind(hosts), []
    if len(set(releases.values())) > 1:
        fleets = next(iter(releases.values()))
        there = ", ".join(host for host in late if host in releases)
        catch_up = "ansible-playbook rollout.yml" + (f" -e {report.choice(fleets)}" if fleets != "nothing" else "")
        notes.append(f"Different releases run together: {report.pairs(releases)}. Behind: {there}. To catch up: {catch_up}")
    left_out = [host for host in late if host not in releases]
    if left_out:
        notes.append(f"{', '.join(left_out)} was left out of the last run and is behind: the next run with it catches up.")
    return notes


def _short(health: str) -> str:
    return health if len(health) <= 12 else "unhealthy"


def age(started: str, now: float) -> str:
    """How long ago a time of Docker's (RFC 3339, UTC) was: ``3 m``, ``5 h``, ``2 d``; empty for that of year 1: never."""
    try:
        then = calendar.timegm(time.strptime(started[:19], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return ""
    if then < 0:
        return ""
    seconds = max(0, int(now - then))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"

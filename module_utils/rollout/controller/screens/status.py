"""What runs where, and whether it is what was released: the screen and the document of status.yml. Pure."""

from __future__ import annotations

import time
from typing import Any, Mapping

from ansible.module_utils.rollout.controller import inventory
from ansible.module_utils.rollout.controller.screens import backups, torch
from ansible.module_utils.rollout.controller.screens.notes import OPEN, pairs, state_notes
from ansible.module_utils.rollout.controller.screens.tables import table
from ansible.module_utils.rollout.domain.printable import inline
from ansible.module_utils.rollout.domain.reference import choice
from ansible.module_utils.rollout.domain.units import age
from ansible.module_utils.rollout.errors import Refusal

# The beginnings of sentences that say what to do themselves.
_ADVISED = ("torch: ", "belongs to a stack", "kept, ")
# For a directory with the state of another application.
_ELSEWHERE = " (rollout_dir) holds the state of application "
Hosts = Mapping[str, Mapping[str, Any]]
DOCUMENT = 1
SHOWN = 5
SEE_LOG = Refusal(
    "Drift",
    "Why a service is not healthy is in its log: docker logs --tail 50 CONTAINER, on its host.",
    "type that command; the container is `<application>-<stack>-<service>-1`",
)
GO_BACK = Refusal(
    "Drift",
    "A service that crashes was released so; to go back to the stable release before: ansible-playbook rollback.yml{choice}",
    "type that command, unless the log shows a cause that is over",
)
NOWHERE_TO_GO = Refusal(
    "Drift",
    "A service that crashes was released so, and there is no stable release before: roll out one that does not crash.",
    "find the cause in the log, and roll out a release without it",
)
CHANGED_BY_HAND = Refusal(
    "Drift",
    "What was changed by hand stays until you roll out again: {again}",
    "type that command when nobody needs the change any more",
)
NOTHING_STABLE = Refusal(
    "Drift",
    "No release is stable here yet: {again}",
    "roll out: the release was never confirmed here, or the ledger was moved away",
)
LEFT_OUT = Refusal(
    "Drift",
    "{hosts} was left out of the last run and is behind: the next run with it catches up.",
    "roll out with that host: it was left out by `--limit`, or is an [optional host](#a-host-is-down)",
)
APART = Refusal(
    "Drift",
    "Different releases run together: {releases}. Behind: {behind}. To catch up: {catch_up}",
    "type the command that it names: see [different releases at once](#different-releases-at-once)",
)
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
    notes += [(True, sentence) for sentence in backups.faults(observed(hosts))]
    notes += [(kind == OPEN, sentence) for kind, sentence in state_notes(observed(hosts), status=True)]
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
        again = f"ansible-playbook rollout.yml -e {choice(stable)}" if stable else "ansible-playbook rollout.yml"
        before = (info["ledger"].get("previous") or {}).get("release")
        go_back = GO_BACK.text(choice=f" -e {choice(before)}") if before else NOWHERE_TO_GO.text()
        said_of = [(sentence, bool(row.get("restarts"))) for row in info.get("services", []) for sentence in row["drift"]]
        for sentence, crashes in said_of:
            if crashes:
                # Whatever else is off there may come of it.
                said[go_back] = None
            elif sentence.startswith("not healthy"):
                said[SEE_LOG.text()] = None
            elif not stable:
                said[NOTHING_STABLE.text(again=again)] = None
            elif not sentence.startswith(_ADVISED) and _ELSEWHERE not in sentence:
                said[CHANGED_BY_HAND.text(again=again)] = None
    return list(said)


def history(hosts: Hosts) -> list[dict[str, Any]]:
    """Which releases became stable, newest first: release, variant (what tells it from others of the same commit), at, action,
    run, hosts, kept (whether a rollback finds its files and images), gone (the hosts on which one of these is lost).

    What one run confirmed on several hosts is one entry. Hosts share no order but that of the wall clock; it is for people.
    """
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for host, info in observed(hosts).items():
        for one in reversed(info["ledger"].get("confirmed", [])):
            facts = {**{key: one[key] for key in ("release", "at", "action", "run")}, "hosts": [], "kept": False, "gone": []}
            facts["variant"] = (info.get("variants") or {}).get(one["name"], "")
            entry = entries.setdefault((one["run"], one["release"]), facts)
            entry["hosts"].append(host)
            entry["gone"] += [host] if one["name"] in info["ledger"].get("gone", []) else []
            known = one["name"] in {known["name"] for known in info["ledger"].get("known", [])}
            entry["kept"] = (entry["kept"] or known) and not entry["gone"]
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
    ledger = {key: facts for key, facts in info["ledger"].items() if key not in ("confirmed", "known", "gone")}
    state = {key: info.get(key) for key in ("engine", "lock", "guard", "keeper")}
    return {"seen": True, "fault": None, **state, "ledger": ledger, "services": rows, "jobs": info.get("jobs") or []}


def screen(hosts: Hosts, now: float) -> str:
    """The tables of status.yml, what is off, and what to do.

    Args:
        hosts: host -> what `seen` returned.
        now: seconds since the epoch, to tell how long a service has been running.
    """
    rows, hosts = [], inline(hosts)
    for host, found in hosts.items():
        if found["info"] is None:
            rows.append([host, "-", "?", "", "unknown", "", "", ""])
            continue
        for row in found["info"].get("services", []):
            digest = str(row["digest"]).replace("sha256:", "")[:7]
            state = [_short(row["health"]), age(row["since"], now), row["torch"], "DRIFT" if row["drift"] else "-"]
            rows.append([host, row["service"], row["release"], digest, *state])
    parts = [table(_HEAD, rows), torch.table_of(hosts, gpus_only=True), _jobs(hosts), _history(hosts)]
    parts.append(backups.newest(observed(hosts), now))
    parts.append("\n".join(sentence for _drift, sentence in findings(hosts)))
    if as_released(hosts):
        parts.append("Everything runs as it was released.")
    return "\n\n".join(part for part in (*parts, "\n".join(advice(hosts))) if part)


def _jobs(hosts: Hosts) -> str:
    rows = []
    for host, info in observed(hosts).items():
        for job in info.get("jobs") or []:
            ended = f"{job['seconds']:.1f} s" if job["code"] == 0 else f"FAILED ({job['code']})"
            at = str(job["at"]).replace("T", " ")[:16]
            rows.append([host, job["job"], str(job["release"]), at, "end not known" if job["code"] is None else ended])
    return "Jobs, last runs:\n" + table(["HOST", "JOB", "OF", "AT (UTC)", "TOOK"], rows) if rows else ""


def _history(hosts: Hosts) -> str:
    entries, everywhere = history(hosts), set(observed(hosts))
    rows = []
    for entry in entries[:SHOWN]:
        hosts_of = "" if set(entry["hosts"]) == everywhere else ", ".join(entry["hosts"])
        at = str(entry["at"]).replace("T", " ")[:16]
        variant = f" ({entry['variant']})" if entry["variant"] else ""
        release = entry["release"] + variant + ("" if entry["kept"] else " (image gone)" if entry["gone"] else " (removed)")
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
        catch_up = "ansible-playbook rollout.yml" + (f" -e {choice(fleets)}" if fleets != "nothing" else "")
        notes.append(APART.text(releases=pairs(releases), behind=there, catch_up=catch_up))
    left_out = [host for host in late if host not in releases]
    if left_out:
        notes.append(LEFT_OUT.text(hosts=", ".join(left_out)))
    return notes


def _short(health: str) -> str:
    return health if len(health) <= 12 or health.endswith(" healthy") else "unhealthy"

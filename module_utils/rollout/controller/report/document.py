"""A run as one document, described by docs/report.schema.json: what the hosts said, put together. Pure."""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional, Sequence

from ansible.module_utils.rollout.controller import waves
from ansible.module_utils.rollout.controller.screens import last
from ansible.module_utils.rollout.domain import verdict

# The names of the plays that are waves of a run, beside those that switch.
WAVES = {"Stage on every host": "stage", "Prepare": "prepare", "Finish": "finish", "Settle": "settle", "Revert": "revert"}
# The id of a run: when it began (UTC), and a few digits of chance; `none` where it ended before it had them.
_RUN = re.compile(r"[0-9]{8}T[0-9]{6}Z-(?:[0-9a-f]{4}|none)")
# The plays that a run begins with.
FIRST = ("Plan the rollout", "Plan the rollback")
_FAULT = ("host", "phase", "gate", "stack", "service", "msg", "log")


def document(
    results: Mapping[str, Mapping[str, Any]], lost: Sequence[str], run: Mapping[str, Any], previews: Mapping[str, Any]
) -> dict[str, Any]:
    """The document of a run, without what only the controller's clock knows (started, seconds, waves, events).

    Args:
        results: host -> its result, as `results` has it.
        lost: hosts that were lost without a word.
        run: as `last.screen` takes it, and who (user@machine), images (reference -> digest, platforms).
        previews: host -> what the module `release` returned in check mode.
    """
    word = verdict.of_run(list(results.values()), lost)
    release, check = str(run.get("release") or ""), bool(run.get("check"))
    screen = last.screen(results, lost, run).split("\n\n")
    now = {host: release for host in results} if verdict.good(word) else verdict.runs_now(results, release)
    return {
        "schema": 1,
        "run": run["run"],
        "action": run["action"],
        "check": check,
        "verdict": word,
        "good": verdict.good(word),
        "release": release,
        "who": str(run.get("who") or ""),
        "head": screen[0],
        "faults": _faults(results),
        "notes": [str(note) for note in run.get("notes") or []],
        "back": screen[-1].partition("To go back: ")[2],
        # A tag that stays behind may mean another image by now: that one is not part of this run.
        "images": [_image(r, image) for r, image in (run.get("images") or {}).items() if "platforms" in image],
        "hosts": [
            _host(host, result, now[host], release, word, check, previews.get(host) or {}) for host, result in results.items()
        ]
        + [{"name": host, "old": None, "new": None, "state": "lost", "services": [], "diff": []} for host in lost],
    }


def wave_of(play: str) -> Optional[str]:
    """The wave that a play of this name is, as a report has it; None if it is none."""
    return WAVES.get(play) or waves.of_play(play) or None


def is_run(name: Any) -> bool:
    """Whether it is the id of a run: it names a directory of the reports, and nothing else may."""
    return isinstance(name, str) and bool(_RUN.fullmatch(name))


def ended_early(run: str, action: str, check: bool, errors: Mapping[str, str], who: str) -> dict[str, Any]:
    """The document of a run that ended before it could be told by its hosts: before anything was touched.

    Args:
        run: an id for it.
        errors: host -> what went wrong there; of no host if it is empty.
    """
    faults = [{"host": host, "phase": "plan", "msg": error} for host, error in errors.items() if host]
    notes = [error for host, error in errors.items() if not host]
    told = _untold(run, action, check, verdict.REFUSED, f"{verdict.UNTOUCHED.capitalize()}.", who)
    return {**told, "faults": faults, "notes": notes}


def interrupted(run: str, action: str, check: bool, release: str, head: str, who: str) -> dict[str, Any]:
    """The document of a run that somebody interrupted: of what hosts came to nothing is known.

    Args:
        release: as far as it was known.
        head: what its last line says.
    """
    return {**_untold(run, action, check, verdict.INTERRUPTED, head, who), "release": release}


def _untold(run: str, action: str, check: bool, verdict: str, head: str, who: str) -> dict[str, Any]:
    facts = {"schema": 1, "run": run, "action": action, "check": check, "verdict": verdict, "good": False}
    return {**facts, "release": "", "who": who, "head": head, "faults": [], "notes": [], "hosts": []}


def events(host: str, wave: str, result: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
    """What a step on a host did when, in seconds since the run's start.

    Args:
        wave: the play that it belongs to.
        result: of a module that returns ``phases`` and ``clock``, seconds since the module's start.
        now: when its result arrived.
    """
    # Aligned at its end: what comes before the module itself (connection, transfer) is not known. Whatever the host's clock is,
    # it was after the run's start, and before now.
    offset = now - float(result.get("clock") or 0)

    def at(seconds: Optional[float]) -> float:
        return now if seconds is None else round(min(max(0.0, offset + seconds), now), 2)

    return [
        {
            "host": host,
            "service": phase["service"] or None,
            "phase": "revert" if wave == "revert" and phase["phase"] == "start" else phase["phase"],
            "from": min(at(phase["from"]), at(phase["to"])),
            "to": at(phase["to"]),
            "good": bool(phase["good"]),
            "detail": str(phase.get("detail") or ""),
        }
        for phase in result.get("phases") or []
    ]


def _host(
    name: str, result: Mapping[str, Any], now: str, release: str, word: str, check: bool, preview: Mapping[str, Any]
) -> dict[str, Any]:
    found = preview.get("preview") or {}
    old = result.get("stable")
    state = "left out" if result.get("behind") else "lost" if result.get("lost") else "not known" if now == "?" else f"on {now}"
    return {
        "name": name,
        "old": old,
        "new": None if result.get("behind") or now in ("?", "nothing") else now,
        "state": f"would be {state}" if check and verdict.good(word) else state,
        "to_pull": found.get("to_pull"),
        "free": found.get("free"),
        "services": _services(result, found, old, release, check),
        "diff": [{key: str(part.get(key, "")) for key in _DIFF} for part in preview.get("diff") or []],
        **({"jobs": [{key: job[key] for key in _JOB} for job in result["ran"]]} if result.get("ran") else {}),
        **({"backups": [str(one["backup"]) for one in result["saved"]]} if result.get("saved") else {}),
    }


_JOB = ("stack", "job", "code", "seconds", "log")
_DIFF = ("before_header", "after_header", "before", "after")


def _services(
    result: Mapping[str, Any], preview: Mapping[str, Any], old: Optional[str], release: str, check: bool
) -> list[dict[str, Any]]:
    done = {} if check else {(s["stack"], s["service"]): s for s in result.get("services") or []}
    rows = []
    for row in preview.get("services") or []:
        real = done.get((row["stack"], row["service"])) or {}
        action = str(real.get("action") or row["action"])
        rows.append(
            {
                "stack": row["stack"],
                "service": row["service"],
                "action": action,
                "why": str(real.get("why") or row["why"]),
                # What is not part of the release has none.
                "old": old if row["new"] or row["old"] else None,
                # What was tried, whatever came of it: the digest is that one's too.
                "new": release if row["new"] else None,
                "gap": real.get("gap") if real else row["gap"] if not done else None,
                "digest": str(row["new"] or row["old"] or ""),
                "torch": real.get("torch") or None,
                "drain": real.get("drain") or None,
            }
        )
    return rows


def _faults(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for result in results.values():
        for key in ("fault", "guarded", "gone", "revert_fault"):
            fault = {k: str(result[key][k]) for k in _FAULT if result[key].get(k)} if result.get(key) else None
            if fault and fault not in found:
                found.append(fault)
    return found


def _image(repository: str, image: Mapping[str, Any]) -> dict[str, Any]:
    layers = next(iter((image.get("platforms") or {}).values()), None)
    size = sum({layer["diff_id"]: int(layer["size"]) for layer in layers}.values()) if layers else None
    return {"repository": repository, "digest": str(image.get("digest") or ""), "bytes": size}

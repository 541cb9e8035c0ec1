"""The verdict of a run, and what follows from what its hosts came to. Pure."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

SUCCEEDED, UNCHANGED, REFUSED = "succeeded", "unchanged", "refused"
REVERTED, REVERT_FAILED, UNKNOWN, JOB_FAILED = "reverted", "revert failed", "unknown", "job failed"
# Of a run that never came to its verdict: in its document alone.
INTERRUPTED = "interrupted"
# The phases in which nothing that runs is touched, and the fault of a host that was lost after them.
BEFORE_SWITCH, LOST = ("plan", "stage"), "lost"
# Behind these, and before the first switch: what writes is stopped, what is kept backed up, jobs run.
PREPARE = "prepare"
UNTOUCHED = "nothing was touched, what ran before still runs"


def good(word: str) -> bool:
    """Whether a verdict means exit status 0."""
    return word in (SUCCEEDED, UNCHANGED)


def sick(results: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the stable release fails by itself: a gate did not hold, and no host was switched, nor was to be."""
    faults = [r["fault"] for r in results if r.get("fault")]
    return bool(faults) and all(f.get("idle") for f in faults) and not any(r.get("changed") or r.get("lost") for r in results)


def begun(results: Sequence[Mapping[str, Any]]) -> str:
    """What was begun before the switch, on any host: ``quiet`` (what writes was stopped), ``job`` (data may have changed)."""
    found = {str(r.get("begun") or "") for r in results}
    return next((one for one in ("job", "quiet") if one in found), "")


def of_run(results: Sequence[Mapping[str, Any]], lost: Sequence[str]) -> str:
    """The verdict of a run from what each host said last and which hosts were lost unnoticed."""
    faults = [r["fault"] for r in results if r.get("fault")]
    if any(r.get("revert_fault") for r in results):
        return REVERT_FAILED
    untouched = BEFORE_SWITCH if begun(results) else (*BEFORE_SWITCH, PREPARE)
    if faults and all(f["phase"] in untouched for f in faults):
        return REFUSED
    if sick(results) and not lost:
        return REFUSED
    gone = lost or not results or any(r.get("lost") for r in results)
    # One that answered again went back with the others.
    left = [r["fault"] for r in results if r.get("fault") and not r.get("again")]
    if gone or any(f["phase"] == LOST for f in left) or any(f.get("fenced") == "run" for f in faults):
        return UNKNOWN
    if faults and begun(results) == "job" and not any(r.get("switched") for r in results):
        return JOB_FAILED
    if faults:
        return REVERTED
    return SUCCEEDED if any(_changed(r) for r in results) else UNCHANGED


def _changed(result: Mapping[str, Any]) -> bool:
    """Whether a host runs something else than before. What was taken over, and nothing of it switched, is confirmed all the
    same."""
    still = result.get("settled") or result.get("switched")
    same = result.get("adopted") and still and all(s["action"] == "keep" for s in result.get("services") or [])
    return bool(result.get("changed")) and not same


def taken(results: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether another run took this one's place on a host: then nothing is known of what this one had begun."""
    return any((r.get("fault") or {}).get("fenced") == "run" for r in results.values())


def runs_now(results: Mapping[str, Mapping[str, Any]], release: str) -> dict[str, str]:
    """Host -> the release it is on after a run that did not succeed; ``?`` where that is not known."""
    now = {}
    for host, result in results.items():
        stable = str(result.get("stable") or "nothing")
        doubtful = result.get("lost") or result.get("revert_fault")
        now[host] = "?" if doubtful and result.get("switched") and stable != release else stable
    return now


def blamed(results: Mapping[str, Mapping[str, Any]], release: str) -> bool:
    """Whether the release failed: a container of it, at a gate. Not a disk, the engine, or a worker of the release before."""
    return any((r.get("fault") or {}).get("release") == release for r in results.values())

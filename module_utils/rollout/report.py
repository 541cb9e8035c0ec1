"""What a run came to, and how it is told: verdict, paragraph, tables. Pure."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible.module_utils.rollout.lock import span
from ansible.module_utils.rollout.results import BEFORE_SWITCH, LOST, Result, failed
from ansible.module_utils.rollout.tables import table

SUCCEEDED, UNCHANGED, REFUSED = "succeeded", "unchanged", "refused"
REVERTED, REVERT_FAILED, UNKNOWN = "reverted", "revert failed", "unknown"
# Of a run that never came to its verdict: in its document alone.
INTERRUPTED = "interrupted"
UNTOUCHED = "nothing was touched, what ran before still runs"


def verdict(results: Sequence[Result], lost: Sequence[str]) -> str:
    """The verdict of a run from what each host said last and which hosts were lost unnoticed."""
    faults = [r["fault"] for r in results if r.get("fault")]
    if any(r.get("revert_fault") for r in results):
        return REVERT_FAILED
    if faults and all(f["phase"] in BEFORE_SWITCH for f in faults):
        return REFUSED
    if (
        lost
        or not results
        or any(f["phase"] == LOST or f.get("fenced") == "run" for f in faults)
        or any(r.get("lost") for r in results)
    ):
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
        lost: hosts that were lost without a word.
        run: action, run (id), release, check, behind (hosts left out), notes (sentences), timeout (of the guards, seconds).
    """
    word = verdict(list(results.values()), lost)
    release = run.get("release") or "the release"
    part = {host: r for host, r in results.items() if not r.get("behind")}
    if run.get("check") and good(word):
        would = "would change" if word == SUCCEEDED else "would change nothing on"
        head = f"CHECK: the {run['action']} {would} {', '.join(part)}. Nothing was touched."
    else:
        head = _head(word, release, part, run)
    parts = [head]
    # In check mode the plan has shown them.
    if good(word) and not run.get("check"):
        parts += _services(part, release)
    parts += _faults(part)
    if lost:
        parts.append(f"Lost: {', '.join(lost)}. What runs there is not known.")
    if word in (REVERTED, REVERT_FAILED, UNKNOWN) and not taken(part):
        parts.append(_skew(part, release, float(run.get("timeout") or 0)))
    parts += run.get("notes") or []
    if run.get("behind"):
        hosts = ", ".join(run["behind"])
        parts.append(f"Behind: {hosts} took no part in this run and may run another release; the next run brings it up to date.")
    parts.append(_next(word, part, run))
    return "\n\n".join(part for part in parts if part)


# The shortest limit of the common services is Discord's, 2000 with the title.
LONGEST_BODY = 1500


def message(results: Mapping[str, Result], lost: Sequence[str], run: Mapping[str, Any]) -> dict[str, str]:
    """How the run ended, for people elsewhere: title, body, kind. Without logs: they are for the operator's eyes.

    Args:
        results, lost, run: as `screen` has them.
    """
    word = verdict(list(results.values()), lost)
    part = {host: r for host, r in results.items() if not r.get("behind")}
    parts = _faults(part, log=False)
    if lost:
        parts.append(f"Lost: {', '.join(lost)}.")
    body = "\n\n".join([*parts, _next(word, part, run)])
    return {
        "title": _head(word, run.get("release") or "the release", part, run),
        "body": body if len(body) <= LONGEST_BODY else body[: LONGEST_BODY - 1] + "…",
        "kind": "success" if good(word) else "warning" if word == REFUSED else "failure",
    }


def aftermath(results: Mapping[str, Mapping[str, Result]]) -> list[str]:
    """What did not get told: a sentence for each notification and each host's metrics that failed.

    Args:
        results: host -> results of the tasks ``notification`` (the same on every host) and ``metrics``, where they ran.
    """
    said: dict[str, None] = {}
    for host, tasks in results.items():
        told, written = tasks.get("notification") or {}, tasks.get("metrics") or {}
        for sentence in told.get("unsent") or ([told["msg"]] if told.get("msg") and not told.get("skipped") else []):
            said[f"Not notified: {sentence}"] = None
        if written.get("msg") and not written.get("skipped"):
            said[f"{host} has no metrics of this run: {written['msg']}"] = None
    return list(said)


def _faults(results: Mapping[str, Result], log: bool = True) -> list[str]:
    """Each fault once, with all its hosts; that of another host is not repeated for each host that saw it."""
    hosts: dict[tuple[bool, str], list[str]] = {}
    for result in results.values():
        for key in ("fault", "guarded", "revert_fault"):
            fault = result.get(key)
            if fault:
                known = hosts.setdefault((key == "revert_fault", _fault(fault, log)), [])
                known += [fault["host"]] if fault["host"] not in known else []
    return [where(names, revert) + text for (revert, text), names in hosts.items()]


def ended_early(action: str, errors: Mapping[str, str], touched: bool) -> str:
    """The last screen of a run that ended before its hosts could tell its verdict.

    Args:
        action: rollout or rollback.
        errors: host -> what went wrong there, as a sentence.
        touched: whether a step may have changed what runs.
    """
    head = "ENDED EARLY: what runs now, ansible-playbook status.yml says" if touched else f"{REFUSED.upper()}: {UNTOUCHED}"
    hosts: dict[str, list[str]] = {}
    for host, error in errors.items():
        hosts.setdefault(error, []).append(host)
    return "\n\n".join([f"{action.upper()} {head}.", *(f"{where(names)}: {error}" for error, names in hosts.items())])


def where(hosts: Sequence[str], revert: bool = False) -> str:
    """The beginning of a sentence about hosts."""
    return f"{'The revert failed on' if revert else 'On'} host{'s' if len(hosts) > 1 else ''} {', '.join(hosts)}"


def taken(results: Mapping[str, Result]) -> bool:
    """Whether another run took this one's place on a host: then nothing is known of what this one had begun."""
    return any((r.get("fault") or {}).get("fenced") == "run" for r in results.values())


def runs_now(results: Mapping[str, Result], release: str) -> dict[str, str]:
    """Host -> the release it is on after a run that did not succeed; ``?`` where that is not known."""
    now = {}
    for host, result in results.items():
        stable = str(result.get("stable") or "nothing")
        doubtful = result.get("lost") or result.get("revert_fault")
        now[host] = "?" if doubtful and result.get("switched") and stable != release else stable
    return now


def _skew(results: Mapping[str, Result], release: str, timeout: float) -> str:
    """Which release is on which host, and which run together; empty where all are on one."""
    now = runs_now(results, release)
    if len(set(now.values())) <= 1 and "?" not in now.values():
        return ""
    lines, width = [], max(len(host) for host in now)
    for host, found in now.items():
        lines.append(f"  {host.ljust(width)}  {found if found != '?' else 'not known: ' + _maybe(results[host], release)}")
    text = "What runs where:\n" + "\n".join(lines)
    if "?" in now.values() and timeout:
        text += (
            f"\nA host that was switched and not confirmed goes back by itself within {span(timeout)} of its switch "
            "(its guard is armed)."
        )
    if len(set(now.values())) > 1:
        text += f"\nUntil then different releases run together: {pairs(now)}."
    return text


def _maybe(result: Result, release: str) -> str:
    return f"{release}, {result.get('stable') or 'nothing'}, or both"


def pairs(releases: Mapping[str, str]) -> str:
    """Host to release as ``sha-a (core) with sha-b (gpu, workers-b)``."""
    by_release: dict[str, list[str]] = {}
    for host, release in releases.items():
        by_release.setdefault(release, []).append(host)
    return " with ".join(f"{'an unknown one' if r == '?' else r} ({', '.join(hosts)})" for r, hosts in by_release.items())


def _blamed(results: Mapping[str, Result]) -> bool:
    """Whether the release may have failed: a gate of its own did, or a host is lost. Not a disk, or the engine."""
    faults = [r["fault"] for r in results.values() if r.get("fault")]
    return not faults or any(f.get("gate") not in (None, "guard") or f["phase"] == LOST for f in faults)


def _head(word: str, release: str, results: Mapping[str, Result], run: Mapping[str, Any]) -> str:
    hosts = f"{len(results)} host{'s' if len(results) != 1 else ''}"
    reached = [r for r in results.values() if not r.get("lost")]
    old = ", ".join(sorted({str(r["stable"]) for r in reached if r.get("stable")}))
    first = any(not r.get("stable") for r in results.values())
    failed_so = "did not pass" if _blamed(results) else "could not be rolled out"
    return (
        f"{run['action'].upper()} {word.upper()}: "
        + {
            SUCCEEDED: f"{release} runs on {hosts}, every gate held.",
            UNCHANGED: f"{release} runs on {hosts} already. Nothing was restarted.",
            REFUSED: f"{UNTOUCHED}.",
            REVERTED: f"{release} {failed_so}. "
            + (
                "It was taken away; there was no stable release to go back to."
                if first and not old
                else f"{old} runs again, and its gates hold."
            ),
            REVERT_FAILED: f"{release} {failed_so}, and the way back failed too. Somebody must look at the hosts below.",
            UNKNOWN: "this run lost its lock, to another run or to somebody who unlocked it, and stopped where it was."
            if taken(results)
            else "a host was lost, so what runs there is not known. The others "
            + (f"are on {old}." if old else "have no release running."),
        }[word]
    )


def _services(results: Mapping[str, Result], release: str) -> list[str]:
    rows, notes = [], []
    for host, result in results.items():
        for service in result.get("services", []):
            if service.get("drain"):
                notes.append(f"{service['service']} ({host}): {service['drain']}.")
            gap = f"{service['gap']:.1f} s" if service.get("gap") is not None else ""
            old = result.get("stable") or "-"
            what = {"keep": "unchanged", "create": "started", "recreate": f"{old} -> {release}", "remove": "removed"}
            if old == release:
                what["recreate"] = f"restarted ({service['why']})"
            what["replace"] = what["recreate"].replace("restarted", "replaced")
            torch = service.get("torch") or {}
            rows.append([host, service["service"], what[service["action"]], gap, torch_column(torch) if torch else ""])
    return [table(["HOST", "SERVICE", "CHANGE", "GAP", "TORCH"], rows), "\n".join(notes)] if rows else []


def _fault(fault: Mapping[str, Any], log: bool) -> str:
    gate = f", gate {fault['gate']}" if fault.get("gate") else ""
    text = f"{gate}: {fault['msg']}"
    if log and fault.get("log"):
        text += "\nThe last lines of its log:\n" + "\n".join("    " + line for line in str(fault["log"]).splitlines()[-15:])
    return text


def _next(word: str, results: Mapping[str, Result], run: Mapping[str, Any]) -> str:
    if run.get("check"):
        return ""
    old = next((r["stable"] for r in results.values() if r.get("stable") not in (None, run.get("release"))), None)
    if word == SUCCEEDED and old:
        return f"Run {run['run']}. To go back: ansible-playbook rollback.yml -e {choice(old)}"
    if word == SUCCEEDED and any(r.get("variant") for r in results.values()):
        # It has the same name.
        return f"Run {run['run']}. To go back: ansible-playbook rollback.yml"
    if word == UNKNOWN and taken(results):
        return f"Run {run['run']}. Who is at work, and what runs: ansible-playbook status.yml. If nobody is, roll out again."
    return f"Run {run['run']}." + {
        REVERTED: f" {'Mend the release' if _blamed(results) else 'See to that'} and roll out again; nothing else is needed.",
        REVERT_FAILED: " Then: ansible-playbook status.yml",
        UNKNOWN: " When it is back: ansible-playbook status.yml, then roll out again.",
    }.get(word, "")


def torch_column(verdict: Mapping[str, Any]) -> str:
    """A torch verdict in one word or two: the version, ``absent``, or the reason it did not pass."""
    if verdict.get("verdict") != "pass":
        return f"{verdict.get('verdict')}: {verdict.get('reason')}"
    return str((verdict.get("torch") or {}).get("version") or "absent")


_TAKEN_AWAY = "took the release away: there was no stable one to bring back"


OPEN = "open"


def state_notes(infos: Mapping[str, Mapping[str, Any]], status: bool = False) -> list[tuple[str, str]]:
    """What the hosts' ledgers have to say, and for a ``status`` their locks and guards.

    A lock whose run is known to be dead has ``dead``.

    Returns:
        What kind of note it is (`OPEN` for an interrupted run), and the sentence with its hosts.
    """
    said: dict[tuple[str, str], tuple[list[str], str]] = {}

    def say(host: str, key: tuple[str, str], sentence: str) -> None:
        # What one run did on several hosts is said once; seconds differ between them, the first one's will do.
        said.setdefault(key, ([], sentence))[0].append(host)

    for host, info in infos.items():
        ledger, lock, guard = info["ledger"], info.get("lock"), info.get("guard")
        open_run = (ledger["interrupted"] or {}).get("run")
        at_work = bool(status and lock and not lock.get("dead") and lock["expires_in"] > 0)
        if status and lock:
            say(host, ("lock", lock["run"]), f"{lock['who']}, {_doing(lock)}")
        if open_run and not (at_work and lock and lock["run"] == open_run):
            sentence = interrupted(ledger["interrupted"]) + (" Roll out or roll back again." if status else "")
            say(host, (OPEN, f"{open_run} {sentence}"), sentence)
        if status and guard:
            when = f"fires in {span(guard['fires_in'])}" if guard["fires_in"] > 0 else "is firing"
            dead = "" if guard["alive"] else " But it is not alive: run rollout.yml or rollback.yml."
            sentence = f"a guard is armed by run {guard['run']} and {when} unless that run is confirmed.{dead}"
            say(host, ("guard", guard["run"] + dead), sentence)
        closed = ledger.get("closed") or {}
        if closed.get("by") == "guard" and not open_run:
            fault = f" But: {closed['fault']}" if closed.get("fault") else ""
            back = f"brought {closed['name']} back" if closed.get("name") else _TAKEN_AWAY
            sentence = f"run {closed['run']} was never confirmed, so the guard {back}.{fault}"
            say(host, ("closed", sentence), sentence)
        if ledger.get("lost"):
            sentence = f"the ledger is damaged: entry {ledger['lost']} is gone. Restore it from a backup, or move it away."
            say(host, ("lost", sentence), sentence)
        elif ledger["torn"]:
            say(host, ("torn", ""), "the ledger has a torn line (a power loss?); it was passed over.")
    return [(kind, f"{', '.join(hosts)}: {sentence}") for (kind, _key), (hosts, sentence) in said.items()]


def _doing(lock: Mapping[str, Any]) -> str:
    if lock.get("dead"):
        return "is dead, but holds the lock: the next run takes it over."
    if lock["expires_in"] <= 0:
        return f"has given no sign of life for {span(lock['quiet'])}: the next run takes its lock over."
    return f"is at work (last sign of life {span(lock['quiet'])} ago)."


def interrupted(last: Mapping[str, Any]) -> str:
    """The sentence for a run that neither confirmed nor reverted."""
    what = {
        "armed": "after its guard was armed, before anything was switched",
        "switching": f"switching {last.get('service', '?')}",
        "reverting": f"taking {last.get('service', '?')} away",
        "switched": f"after stack {last.get('stack', '?')} was switched, before the release was confirmed",
    }.get(str(last["event"]), str(last["event"]))
    return f"Interrupted {what}, by run {last['run']} on its way to {last.get('release', '?')}."


def choice(release: str) -> str:
    """A release as the operator types it: ``sha=abc1234`` or ``tag=v1``."""
    return f"sha={release[4:]}" if release.startswith("sha-") else f"tag={release}"


def before(
    infos: Mapping[str, Mapping[str, Any]], taken_over: Sequence[str], empty: Sequence[str], confirm_timeout: float
) -> list[str]:
    """What a run found before it began, and what its guards do not cover.

    Args:
        infos: host -> what observing it returned.
        taken_over: sentences about locks.
        empty: sentences about waves without hosts.
    """
    notes = list(dict.fromkeys(taken_over)) + [sentence for _kind, sentence in state_notes(infos)]
    if notes:
        notes = ["Found at the start:\n" + "\n".join("  " + n for n in notes)]
    without = {word: [h for h, i in infos.items() if i.get("keeper") == word] for word in ("process", "nobody")}
    if confirm_timeout and without["process"]:
        notes.append(
            f"The guard of {', '.join(without['process'])} is a plain process: it does not survive a reboot. "
            "ansible-playbook playbooks/prepare.yml installs the systemd unit that does."
        )
    if confirm_timeout and without["nobody"]:
        notes.append(
            f"{', '.join(without['nobody'])} has no systemd: the guard is a plain process and does not survive a reboot."
        )
    return notes + list(empty)


def leftover(host: str, stack: str, project: str) -> str:
    """The sentence about a stack that the inventory does not have any more."""
    return (
        f"{host}: stack {stack} is there still, though the inventory does not give it to this host any more. There, "
        f"docker compose --project-name {project} down ends it; its volumes stay."
    )


def unlock_screen(tasks: Mapping[str, Result]) -> str:
    """What unlock.yml did.

    Args:
        tasks: host -> the result of removing its lock.
    """
    lines = []
    for host, task in tasks.items():
        if failed(task):
            lines.append(f"{host}: not removed. {task.get('msg')}")
        else:
            lines.append(f"{host}: the lock of {task['released']}, was removed." if task.get("released") else f"{host}: no lock.")
    what = "What runs there: ansible-playbook status.yml"
    if any(task.get("released") for task in tasks.values()):
        what = f"An armed guard stays armed. {what}. Then roll out or roll back again."
    return "\n".join(lines) + f"\n\n{what}"

"""The last screen of a run, and the message for people elsewhere: verdict, paragraph, tables. Pure."""

from __future__ import annotations

from textwrap import indent
from typing import Any, Mapping, Sequence

from ansible.module_utils.rollout.controller.results import Result, failed
from ansible.module_utils.rollout.controller.screens import data, jobs
from ansible.module_utils.rollout.controller.screens.notes import pairs
from ansible.module_utils.rollout.controller.screens.tables import table
from ansible.module_utils.rollout.domain import verdict
from ansible.module_utils.rollout.domain.changes import KEPT, NOT_PROVEN
from ansible.module_utils.rollout.domain.data import GATE
from ansible.module_utils.rollout.domain.printable import inline, printable
from ansible.module_utils.rollout.domain.reference import choice
from ansible.module_utils.rollout.domain.torch.verdict import torch_column
from ansible.module_utils.rollout.domain.units import span
from ansible.module_utils.rollout.errors import Refusal


def screen(results: Mapping[str, Result], lost: Sequence[str], run: Mapping[str, Any]) -> str:
    """The last screen of a run.

    Args:
        results: host -> its result.
        lost: hosts that were lost without a word.
        run: action, run (id), release, check, behind (hosts left out), notes (sentences), timeout (of the guards, seconds).
    """
    word = verdict.of_run(list(results.values()), lost)
    results, run = inline(results), {**inline(run), "notes": run.get("notes")}
    release = run.get("release") or "the release"
    part = {host: r for host, r in results.items() if not r.get("behind")}
    if run.get("check") and verdict.good(word):
        would = "would change" if word == verdict.SUCCEEDED else "would change nothing on"
        head = f"CHECK: the {run['action']} {would} {', '.join(part)}. Nothing was touched."
    else:
        head = _head(word, release, part, run)
    parts = [head]
    # In check mode the plan has shown them.
    if verdict.good(word) and not run.get("check"):
        parts += [*_services(part, release), *_adopted(part)]
    parts += _faults(part)
    parts.append("\n".join(data.behind(part)))
    if lost:
        parts.append(f"Lost: {', '.join(lost)}. What runs there is not known.")
    if word in (verdict.REVERTED, verdict.REVERT_FAILED, verdict.UNKNOWN) and not verdict.taken(part):
        # A guard obeys the same rules about data.
        stays = any((r.get("revert_fault") or {}).get("gate") == GATE for r in part.values())
        parts.append(_skew(part, release, 0.0 if stays else float(run.get("timeout") or 0)))
    parts += map(printable, run.get("notes") or [])
    if run.get("behind"):
        hosts = ", ".join(run["behind"])
        parts.append(BEHIND.text(hosts=hosts))
    parts.append(_next(word, part, run))
    return "\n\n".join(part for part in parts if part)


# The shortest limit of the common services is Discord's, 2000 with the title.
LONGEST_BODY = 1500
NOT_NOTIFIED = Refusal(
    "Notifications",
    "Not notified: {why}",
    "look up what follows the colon in the rows above; the verdict stands",
)
NO_METRICS = Refusal(
    "Metrics",
    "{host} has no metrics of this run: {why}",
    "fix what follows the colon; the verdict stands",
)
BEHIND = Refusal(
    "A host is down",
    "Behind: {hosts} took no part in this run and may run another release; the next run brings it up to date.",
    "run again with that host: it was optional and down, or left out by `--limit`",
)
STAYS = Refusal(
    "Notes",
    "{service} ({host}) is kept, and not as the release has it: {what}. To bring it: ansible-playbook rollout.yml -e {choice} -e "
    "replace={service}",
    "type it when a restart of that service suits you",
)
UNPROVEN = Refusal(
    "Notes",
    "{service} ({host}) ran before, and is not proven to be what its files say ({what}). To recreate it: ansible-playbook "
    "rollout.yml -e {choice} -e replace={service}",
    "type it when a restart of that service suits you",
)
ADOPTED = Refusal(
    "Notes",
    "What ran before on {hosts} is recorded as {release}. To bring exactly that back: ansible-playbook rollback.yml -e {choice}",
    "nothing: what ran before the first rollout is a release like any other",
)
SICK = Refusal(
    "A gate did not hold",
    "Older stable releases: {older}. To go back: ansible-playbook rollback.yml -e {choice}",
    "go back to one of them, or find out from the log what the release lacks by now: the same release ran well once",
)
SICK_ALONE = Refusal(
    "A gate did not hold",
    "No older stable release is there to go back to: find the cause in the log, or roll another release out.",
    "find the cause, or roll out a release that does without what this one lacks by now",
)
NO_WAY_BACK = Refusal(
    "Only in a rollback",
    "The variant before this one has another {secrets}, and a kept service has the present one, so a rollback to that variant "
    "cannot work.",
    "to go back to earlier code, name it with `-e sha=…`, and add `-e environment=present`",
)
LOCK_REMOVED = Refusal(
    "Locks",
    "{host}: the lock of {who}, was removed.",
    "look at `ansible-playbook status.yml`, then roll out or roll back again",
)
WHAT_RUNS = Refusal(
    "Locks",
    "What runs there: ansible-playbook status.yml",
    "type that command",
)
GUARD_STAYS = Refusal(
    "Locks",
    "An armed guard stays armed. {what}. Then roll out or roll back again.",
    "roll out or roll back again before the guard's time is over, or let it bring the stable release back",
)
LOCK_STAYS = Refusal(
    "Locks",
    "{host}: not removed. {why}",
    "look up what follows in the rows above",
)


def message(results: Mapping[str, Result], lost: Sequence[str], run: Mapping[str, Any]) -> dict[str, str]:
    """How the run ended, for people elsewhere: title, body, kind. Without logs: they are for the operator's eyes.

    Args:
        results, lost, run: as `screen` has them.
    """
    word = verdict.of_run(list(results.values()), lost)
    results, run = inline(results), inline(run)
    part = {host: r for host, r in results.items() if not r.get("behind")}
    parts = _faults(part, log=False)
    if lost:
        parts.append(f"Lost: {', '.join(lost)}.")
    body = "\n\n".join([*parts, _next(word, part, run)])
    alone = verdict.sick(list(results.values()))
    return {
        "title": _head(word, run.get("release") or "the release", part, run),
        "body": body if len(body) <= LONGEST_BODY else body[: LONGEST_BODY - 1] + "…",
        "kind": "success" if verdict.good(word) else "warning" if word == verdict.REFUSED and not alone else "failure",
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
            said[NOT_NOTIFIED.text(why=inline(sentence))] = None
        if written.get("msg") and not written.get("skipped"):
            said[NO_METRICS.text(host=host, why=inline(written["msg"]))] = None
    return list(said)


def _faults(results: Mapping[str, Result], log: bool = True) -> list[str]:
    """Each fault once, with all its hosts; that of another host is not repeated for each host that saw it."""
    hosts: dict[tuple[bool, str], list[str]] = {}
    for result in results.values():
        for key in ("fault", "guarded", "gone", "revert_fault"):
            fault = result.get(key)
            if fault:
                known = hosts.setdefault((key == "revert_fault", _fault(fault, log)), [])
                known += [fault["host"]] if fault["host"] not in known else []
    return [where(names, revert) + text for (revert, text), names in hosts.items()]


def ended_early(action: str, errors: Mapping[str, str], touched: bool) -> str:
    """The last screen of a run that ended before its hosts could tell its verdict.

    Args:
        action: rollout or rollback.
        errors: host -> what went wrong there, as a sentence; of no host if it is empty.
        touched: whether a step may have changed what runs.
    """
    head = (
        "ENDED EARLY: what runs now, ansible-playbook status.yml says"
        if touched
        else f"{verdict.REFUSED.upper()}: {verdict.UNTOUCHED}"
    )
    hosts: dict[str, list[str]] = {}
    for host, error in errors.items():
        hosts.setdefault(error, []).append(host)
    said = (f"{where(names)}: {below(error)}" if names != [""] else below(error) for error, names in hosts.items())
    return "\n\n".join([f"{action.upper()} {head}.", *said])


def below(message: str) -> str:
    """A message of somebody else behind a colon: its further lines are indented, so that none of them is taken for ours."""
    return printable(message).replace("\n", "\n  ")


def where(hosts: Sequence[str], revert: bool = False) -> str:
    """The beginning of a sentence about hosts."""
    return f"{'The revert failed on' if revert else 'On'} host{'s' if len(hosts) > 1 else ''} {', '.join(hosts)}"


def _skew(results: Mapping[str, Result], release: str, timeout: float) -> str:
    """Which release is on which host, and which run together; empty where all are on one."""
    now = verdict.runs_now(results, release)
    if len(set(now.values())) <= 1 and "?" not in now.values():
        return ""
    lines, width = [], max(len(host) for host in now)
    for host, found in now.items():
        maybe = f"not known: {release}, {results[host].get('stable') or 'nothing'}, or both"
        lines.append(f"  {host.ljust(width)}  {found if found != '?' else maybe}")
    text = "What runs where:\n" + "\n".join(lines)
    if "?" in now.values() and timeout:
        text += (
            f"\nA host that was switched and not confirmed goes back by itself within {span(timeout)} of its switch "
            "(its guard is armed)."
        )
    if len(set(now.values())) > 1:
        text += f"\nUntil then different releases run together: {pairs(now)}."
    return text


def _head(word: str, release: str, results: Mapping[str, Result], run: Mapping[str, Any]) -> str:
    return f"{run['action'].upper()} {word.upper()}: {_outcome(word, release, results)}"


def _outcome(word: str, tag: str, results: Mapping[str, Result]) -> str:
    release = next((str(r["label"]) for r in results.values() if r.get("label")), tag)
    hosts = f"{len(results)} host{'s' if len(results) != 1 else ''}"
    if word == verdict.SUCCEEDED:
        return f"{release} runs on {hosts}, every gate held."
    if word == verdict.UNCHANGED:
        return f"{release} runs on {hosts} already. Nothing was restarted."
    if word == verdict.REFUSED and verdict.sick(list(results.values())):
        return f"{release} is the stable release already, and it is sick by itself. Nothing was switched."
    if word == verdict.REFUSED:
        return f"{verdict.UNTOUCHED}."
    if word == verdict.UNKNOWN and verdict.taken(results):
        return "this run lost its lock, to another run or to somebody who unlocked it, and stopped where it was."
    old = ", ".join(
        sorted({str(r.get("before") or r["stable"]) for r in results.values() if r.get("stable") and not r.get("lost")})
    )
    if word == verdict.UNKNOWN:
        others = f"are on {old}" if old else "have no release running"
        return f"a host was lost, so what runs there is not known. The others {others}."
    failed_so = f"{release} {'did not pass' if verdict.blamed(results, tag) else 'could not be rolled out'}"
    if word == verdict.REVERT_FAILED and any((r.get("revert_fault") or {}).get("gate") == GATE for r in results.values()):
        return (
            f"{failed_so}, and its data is in the way back. Nothing more was touched; you choose, by one of the commands below."
        )
    if word == verdict.REVERT_FAILED:
        return f"{failed_so}, and the way back failed too. Somebody must look at the hosts below."
    if word == verdict.JOB_FAILED and old:
        stopped = any(r.get("quiet") for r in results.values())
        now = "runs again, and its gates hold" if stopped else "still runs"
        return f"{release} was not switched to, because its job failed. {old} {now}."
    if not old and any(not r.get("stable") for r in results.values()):
        return f"{failed_so}. It was taken away; there was no stable release to go back to."
    return f"{failed_so}. {old} runs again, and its gates hold."


def _services(results: Mapping[str, Result], release: str) -> list[str]:
    rows, notes = jobs.behind(results)
    for host, result in results.items():
        for service in result.get("services", []):
            if service.get("drain"):
                notes.append(f"{service['service']} ({host}): {service['drain']}.")
            gap = f"{service['gap']:.1f} s" if service.get("gap") is not None else ""
            old = result.get("stable") or "-"
            why = str(service.get("why") or "")
            kept = why if service["action"] == "keep" and why.startswith(KEPT) else ""
            if kept.startswith(NOT_PROVEN):
                what_differs = kept[len(NOT_PROVEN) :]
                notes.append(UNPROVEN.text(service=service["service"], host=host, what=what_differs, choice=choice(release)))
            elif kept:
                notes.append(STAYS.text(service=service["service"], host=host, what=kept[len(KEPT) :], choice=choice(release)))
            what = {"keep": kept or "unchanged", "create": "started", "recreate": f"{old} -> {release}", "remove": "removed"}
            if old == release:
                what["recreate"] = f"restarted ({service['why']})"
            what["scale"] = f"scaled ({service['why']})"
            what["replace"] = what["recreate"].replace("restarted", "replaced")
            torch = service.get("torch") or {}
            rows.append([host, service["service"], what[service["action"]], gap, torch_column(torch) if torch else ""])
    return [table(["HOST", "SERVICE", "CHANGE", "GAP", "TORCH"], rows), "\n".join(notes)] if rows else []


def _adopted(results: Mapping[str, Result]) -> list[str]:
    hosts: dict[str, list[str]] = {}
    for host, result in results.items():
        if result.get("adopted"):
            hosts.setdefault(str(result["adopted"]), []).append(host)
    return [ADOPTED.text(hosts=", ".join(names), release=tag, choice=choice(tag)) for tag, names in hosts.items()]


def _fault(fault: Mapping[str, Any], log: bool) -> str:
    gate = f", gate {fault['gate']}" if fault.get("gate") else ""
    said = str(fault["msg"])
    # Several faults at once: each in a line of its own, below the host.
    text = f"{gate}:\n" + indent(said, "  ") if "\n" in said else f"{gate}: {said}"
    if log and fault.get("log"):
        text += "\nThe last lines of its log:\n" + "\n".join("    " + line for line in str(fault["log"]).splitlines()[-15:])
    return text


def _next(word: str, results: Mapping[str, Result], run: Mapping[str, Any]) -> str:
    if run.get("check"):
        return ""
    old = next((r["stable"] for r in results.values() if r.get("stable") not in (None, run.get("release"))), None)
    barred = sorted({name for r in results.values() for name in r.get("barred") or []})
    if word == verdict.SUCCEEDED and old:
        present = " -e environment=present" if barred else ""
        if any(r.get("restored") for r in results.values()):
            return f"Run {run['run']}. {data.FORWARD.text(choice=choice(old))}"
        return f"Run {run['run']}. To go back: ansible-playbook rollback.yml -e {choice(old)}{present}{data.asks(results)}"
    if word == verdict.SUCCEEDED and barred:
        return f"Run {run['run']}. " + NO_WAY_BACK.text(secrets=" and ".join(barred))
    if word == verdict.SUCCEEDED and any(r.get("variant") for r in results.values()):
        # It has the same name.
        before = next((f"The one before is {r['before']}. " for r in results.values() if r.get("before")), "")
        return f"Run {run['run']}. {before}To go back: ansible-playbook rollback.yml"
    if word == verdict.REFUSED and verdict.sick(list(results.values())):
        # Those that all hosts have.
        older = [r.get("older", []) for r in results.values()]
        there = [release for release in older[0] if all(release in others for others in older)]
        if not there:
            return f"Run {run['run']}. {SICK_ALONE.text()}"
        return f"Run {run['run']}. {SICK.text(older=', '.join(there), choice=choice(there[0]))}"
    if word == verdict.UNKNOWN and verdict.taken(results):
        return f"Run {run['run']}. Who is at work, and what runs: ansible-playbook status.yml. If nobody is, roll out again."
    then = {
        verdict.REVERT_FAILED: "Then: ansible-playbook status.yml",
        verdict.UNKNOWN: "When it is back: ansible-playbook status.yml, then roll out again.",
    }.get(word, "")
    if word == verdict.JOB_FAILED:
        then = "Fix what the job needs and roll out again; nothing else is needed."
    if word == verdict.REVERTED:
        what = "the release" if verdict.blamed(results, str(run.get("release"))) else "the cause above"
        then = f"Fix {what} and roll out again; nothing else is needed."
    return f"Run {run['run']}. {then}".rstrip()


def unlock_screen(tasks: Mapping[str, Result]) -> str:
    """What unlock.yml did.

    Args:
        tasks: host -> the result of removing its lock.
    """
    lines = []
    for host, task in tasks.items():
        if failed(task):
            lines.append(LOCK_STAYS.text(host=host, why=inline(task.get("msg"))))
        else:
            who = inline(task.get("released"))
            lines.append(LOCK_REMOVED.text(host=host, who=who) if who else f"{host}: no lock.")
    what = WHAT_RUNS.text()
    if any(task.get("released") for task in tasks.values()):
        what = GUARD_STAYS.text(what=what)
    return "\n".join(lines) + f"\n\n{what}"

"""What each host of a run has come to, derived from what its steps said. Pure."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any, Mapping, Sequence

from ansible.module_utils.rollout.controller import inventory
from ansible.module_utils.rollout.domain import verdict as verdicts
from ansible.module_utils.rollout.domain.backup import ALWAYS
from ansible.module_utils.rollout.domain.data import GATE as DATA
from ansible.module_utils.rollout.domain.gate import BEFORE
from ansible.module_utils.rollout.domain.variants import label
from ansible.module_utils.rollout.domain.verdict import BEFORE_SWITCH, LOST, PREPARE
from ansible.module_utils.rollout.errors import Refusal

Result = Mapping[str, Any]
ARGUMENTS = Refusal(
    "The inventory",
    "{problems}. docs/inventory.md and docs/operations.md say what may be set.",
    "correct the variable that it names (`missing required arguments: …`, `… is …: not of the type …`); "
    "[inventory](inventory.md) has them all",
)
UNDEFINED = Refusal(
    "The inventory",
    "{name} is undefined: define it in the inventory or with -e, or correct what refers to it.",
    "define the variable, or correct what refers to it",
)
SUDO = Refusal(
    "Anything else",
    "{message}. Sudo wants a password on this host: add --ask-become-pass.",
    "add `--ask-become-pass`",
)
SAID_BEFORE = Refusal(
    "A host is down",
    "{lost} Before that it said: {before}",
    "do what the first sentence advises: what the host said last is what its end looked like from inside",
)
WITHOUT_IT = Refusal(
    "A host is down",
    ' To roll out without it: -e \'{{"rollout_optional_hosts": ["{host}"]}}\'.',
    "type that, or set `rollout_optional_hosts` in the inventory for hosts that sleep",
)
# The names under which the tasks of a run register what its steps said, in their order; what a host has come to is derived from
# these alone. A test compares them with the roles.
STEPS = (
    "lock_fleet",
    "lock_own",
    "rollout_read",
    "rollout_target",
    "rollout_preview",
    "rollout_staged",
    "lock_renewed",
    "jobs_quiesced",
    "jobs_restored",
    "jobs_saved",
    "jobs_still",
    "jobs_before",
    "jobs_passed",
    "switch_done",
    "jobs_after",
    "settle_gates",
    "settle_confirmed",
)
# And the whole answer, once something was recorded on the way back.
RECORDED = (*STEPS, "rollout_result")
# Ansible's words for an argument of another type, and for a variable that is nowhere.
_NO_KIND = re.compile(r"(?:argument|Elements value for option) '(\w+)' is of type .* unable to convert to (\w+).*", re.DOTALL)
# Their values are secrets, or hold some.
_SECRET = ("rollout_stacks", "rollout_registry_password", "rollout_registries", "rollout_notify_urls")
# In front of the sentences of the lookups.
_LOOKUP = re.compile(r"(?s:.*)The lookup plugin 'stack_source' failed: ")
_UNDEFINED = re.compile(r"(?:Task failed: )?(?:.*: )?('[^']+') is undefined\.?", re.DOTALL)


def of_host(host: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What a host has come to so far.

    Args:
        said: the host's variables: rollout_problem, where the run cannot begin; what the `STEPS` registered, as far as they have
            run; rollout_result is the whole answer, once something was recorded there.
    """
    if said.get("rollout_result"):
        return dict(said["rollout_result"])
    if said.get("rollout_problem"):
        return with_fault({}, "plan", host, str(said["rollout_problem"]))
    first = said["rollout_first"]
    result = noted({}, "plan", first, said.get("lock_fleet") or {}, host != first)
    result = present(result, host, said.get("lock_own") or {}, said["rollout_optional"])
    result = noted(result, "plan", host, said.get("rollout_read") or {})
    result = noted(result, "plan", first, said.get("rollout_target") or {}, True)
    preview, staged = said.get("rollout_preview") or {}, said.get("rollout_staged")
    result = noted(result, "stage", host, preview)
    # What is there already, whole and proven, is not staged again; nor is anything in check mode.
    done = staged if staged and not staged.get("skipped") else preview if staged or preview.get("ready") else {}
    if done and (failed(done) or done.get("name")):
        result = with_staged(result, done, at_first(host, said), host, preview)
        adopted = _adopted(said)
        result.update({"adopted": str(adopted["release"])} if adopted else {})
    result = noted(result, "switch", first, said.get("lock_renewed") or {}, host != first)
    for step in ("jobs_quiesced", "jobs_restored", "jobs_saved", "jobs_still", "jobs_before", "jobs_passed"):
        result = with_prepared(result, "prepare", host, said.get(step) or {})
    result = with_switched(result, said.get("switch_done") or {"skipped": True}, host)
    result = with_prepared(result, "switch", host, said.get("jobs_after") or {})
    result = with_settled(result, host, said.get("settle_gates") or {})
    return noted(result, "settle", host, said.get("settle_confirmed") or {})


def at_first(host: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the host was when the run took its lock, as `observe.host` has it; empty where nobody could look. What was taken over
    while staging is its stable release, as it will be found there from now on."""
    task = said.get("lock_fleet" if host == said.get("rollout_first") else "lock_own") or {}
    found: Mapping[str, Any] = task.get("host") or {}
    adopted = _adopted(said)
    if not found or not adopted:
        return found
    ledger = found["ledger"]
    more = {key: [*ledger.get(key, []), adopted] for key in ("history", "known", "confirmed")}
    return {**found, "ledger": {**ledger, **more, "stable": adopted}}


def _adopted(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """The release in which a host's staging recorded what ran before, or would record it; empty if there is none."""
    tasks = (said.get("rollout_staged") or {}, said.get("rollout_preview") or {})
    return next((dict(task["adopted"]) for task in tasks if task.get("adopted") and not failed(task)), {})


def with_fault(result: Result, phase: str, host: str, failed: Any) -> dict[str, Any]:
    """``result`` with the fault of a failed task. A fault of the revert does not hide the one that caused it.

    Args:
        failed: Ansible's result of the task, of a loop too, or a sentence. Empty for a host that failed because
            another one did: then nothing is added.
    """
    if not failed:
        return dict(result)
    one: Mapping[str, Any] = {"msg": failed} if isinstance(failed, str) else failed
    for item in one.get("results") or []:
        if item.get("failed") or item.get("unreachable"):
            one = item
    if one.get("unreachable"):
        return _lost(result, phase, host, str(one.get("msg") or "no message"))
    fault = {"phase": phase, "host": host, "msg": sentence(one)}
    kept = ("service", "stack", "gate", "release", "log", "fenced", "idle", "restarts", "saved")
    fault.update({key: one[key] for key in kept if one.get(key)})
    # A host that went back by itself is not one on which the revert failed.
    key = "revert_fault" if phase == "revert" and not one.get("fenced") else "fault"
    found = {**result, key: result.get(key) or fault, **({"out": True} if one.get("fenced") else {})}
    if one.get("fenced") == "guard" and result.get("fault"):
        # It does not hide what the guard did.
        found["guarded"] = result.get("guarded") or {"phase": phase, "host": host, "msg": fault["msg"]}
    if one.get("unproven"):
        # What it went back to did not pass there.
        found["revert_fault"] = result.get("revert_fault") or {"phase": "revert", "host": host, "msg": str(one["unproven"])}
    return found


def sentence(task: Result, given: Mapping[str, Any] = MappingProxyType({})) -> str:
    """What a failed task says, as a sentence for the operator: also where Ansible itself refused what the inventory sets.

    Args:
        given: the host's variables, as they were written; Ansible does not tell their values.
    """
    message = str(task.get("msg") or "failed without a message")
    if task.get("argument_errors"):
        # Which names internal classes of Ansible, and no remedy.
        kinds = (_NO_KIND.sub(lambda m: _not_of_kind(m[1], m[2], given), str(error)) for error in task["argument_errors"])
        return ARGUMENTS.text(problems="; ".join(kinds))
    if _LOOKUP.match(message):
        return _LOOKUP.sub("", message)
    undefined = _UNDEFINED.fullmatch(message)
    if undefined:
        return UNDEFINED.text(name=undefined[1])
    if "sudo" in message and "assword" in message:
        message = SUDO.text(message=message)
    return message


def variables(play: Any, host: Any, task: Result) -> Mapping[str, Any]:
    """Those of a host whose arguments Ansible refused, as they were written; none where it refused nothing.

    Args:
        play: the play and the host as Ansible has them.
    """
    refused: Mapping[str, Any] = {}
    if play is not None and task.get("argument_errors"):
        refused = play.get_variable_manager().get_vars(play=play, host=host)
    return refused


def _not_of_kind(name: str, kind: str, given: Mapping[str, Any]) -> str:
    value = given.get(name)
    shown = isinstance(value, (str, int, float)) and name not in _SECRET
    return f"{name} is {f'{value!r}: ' if shown else ''}not of the type {kind}"


def _lost(result: Result, phase: str, host: str, message: str) -> dict[str, Any]:
    """A host that can no longer be reached takes no further part; before the first switch that is a plain refusal."""
    fault = {"phase": phase if phase in BEFORE_SWITCH else LOST, "host": host, "msg": inventory.unreachable(host, message)}
    before = result.get("fault") or {}
    if before and before["phase"] not in (*BEFORE_SWITCH, LOST) and before["host"] == host and not before.get("gate"):
        # Its engine went away first: that was not the cause.
        before, fault["msg"] = {}, SAID_BEFORE.text(lost=fault["msg"], before=before["msg"])
    told = {"gone": result.get("gone") or fault} if before and not result.get("lost") else {}
    return {**result, "fault": before or fault, **told, "out": True, "lost": True}


def noted(result: Result, phase: str, host: str, task: Result, delegated: bool = False) -> dict[str, Any]:
    """``result``, with a fault where the task failed or did not reach its host.

    A task that was ``delegated`` to `host` by another one says nothing of whether that one can be reached.
    """
    if not failed(task):
        return dict(result)
    noted_one = with_fault(result, phase, host, task)
    return {**noted_one, "out": result.get("out", False), "lost": result.get("lost", False)} if delegated else noted_one


def back_again(result: Result, task: Result) -> dict[str, Any]:
    """``result`` of a host that was lost, once it was asked again: it takes part in the way back where it answers."""
    if failed(task) or not result.get("lost"):
        return dict(result)
    return {**{key: value for key, value in result.items() if key not in ("lost", "out")}, "again": True}


def failed(task: Result) -> bool:
    """Whether a task, or one item of its loop, failed or did not reach its host."""
    items = [task, *(task.get("results") or [])]
    return any(item.get("failed") or item.get("unreachable") for item in items)


def present(result: Result, host: str, task: Result, optional: Sequence[str]) -> dict[str, Any]:
    """``result`` after the first contact: a host that is down is behind where it is optional, otherwise a refusal."""
    if not task.get("unreachable"):
        return noted(result, "plan", host, task)
    if host in optional:
        return {**result, "out": True, "behind": True}
    lost = with_fault(result, "plan", host, task)
    advice = WITHOUT_IT.text(host=host)
    return lost if result.get("fault") else {**lost, "fault": {**lost["fault"], "msg": lost["fault"]["msg"] + advice}}


def with_staged(
    result: Result, staged: Mapping[str, Any], host: Mapping[str, Any], name: str, preview: Mapping[str, Any]
) -> dict[str, Any]:
    """``result`` with what staging found on the host of that name; whether it is settled, its ``preview`` says."""
    if failed(staged):
        return with_fault(result, "stage", name, staged)
    ledger = host.get("ledger") or {}
    stable = ledger.get("stable") or {}
    seen = preview.get("preview") or {}
    # The same release with other content.
    same = stable.get("release") == seen.get("release") and stable.get("name") not in (None, staged["name"])
    return {
        **result,
        **({"variant": True} if same else {}),
        "name": staged["name"],
        "staged": bool(staged.get("changed")),
        "settled": bool(seen.get("settled")),
        **_labels(seen, staged["name"]),
        **({"barred": list(seen["barred"])} if seen.get("barred") else {}),
        **{key: list(seen[key]) for key in ("jobs", "backups", "quiet", "restore") if seen.get(key)},
        "to_pull": staged.get("to_pull", 0),
        "stable": stable.get("release"),
        **_older(ledger, stable),
        # An interrupted run is closed by this one, even where the stable release already runs again; so is one that restores.
        "changed": stable.get("name") != staged["name"] or bool(ledger.get("interrupted") or seen.get("restore")),
        "services": [],
    }


def _older(ledger: Mapping[str, Any], stable: Mapping[str, Any]) -> dict[str, Any]:
    """The other stable releases that a rollback finds on the host (``older``), the last one first; nothing if there is none."""
    known = dict.fromkeys(one["release"] for one in reversed(ledger.get("known") or []))
    found = [release for release in known if release != stable.get("release")]
    return {"older": found} if found else {}


def _labels(seen: Mapping[str, Any], name: str) -> dict[str, str]:
    """How screens name the release and the one before, where either has variants."""
    release, stable, names = (seen.get(key) or "" for key in ("release", "stable", "variants"))
    found = {"label": label(release, name, names), "before": label(stable, seen.get("stable_name"), names)}
    return found if names and (found["label"], found["before"]) != (release, stable) else {}


def with_prepared(result: Result, phase: str, name: str, task: Result) -> dict[str, Any]:
    """``result`` with what a step `job` did on the host of that name: ``ran`` are the jobs that ran, ``saved`` the backups.
    ``begun`` is ``quiet`` where what writes was stopped, ``job`` where a job may have changed data."""
    changed = task.get("jobs") or task.get("restored")
    begun = str(task.get("begun") or ("job" if changed else "quiet" if task.get("quiet") else result.get("begun") or ""))
    found = {**result, **({"begun": "job" if result.get("begun") == "job" else begun} if begun else {})}
    for key, own in (("ran", "jobs"), ("saved", "backups"), ("restored", "restored")):
        if task.get(own):
            found[key] = [*found.get(key, []), *task[own]]
    return noted(found, phase, name, task)


def with_switched(result: Result, task: Result, name: str) -> dict[str, Any]:
    """``result`` with what the switches of its waves did on the host of that name; the last of them has the earlier ones too."""
    if task.get("skipped"):
        return dict(result)
    services = [*task.get("earlier", []), *task.get("services", [])]
    changed = bool(result.get("changed") or any(service["action"] != "keep" for service in services))
    return noted({**result, "changed": changed, "services": services, "switched": True}, "switch", name, task)


def with_settled(result: Result, name: str, task: Result) -> dict[str, Any]:
    """``result`` after the last gates on the host of that name; where nothing was switched, with what these saw."""
    last = task.get("services") or []
    restarts = {(s["stack"], s["service"]): {"restarts": s["restarts"]} for s in last if "restarts" in s}
    seen = [{**s, **restarts.get((s.get("stack"), s["service"]), {})} for s in result.get("services") or last]
    return noted({**result, **({"services": seen} if seen else {})}, "settle", name, task)


def prepares(preview: Mapping[str, Any], when: str) -> bool:
    """Whether a host has a job to run, ``before`` or ``after`` the switch; before it also a backup to take, or to bring back.

    Args:
        preview: as `answers` declares it.
    """
    if any(job["when"] == when for job in preview.get("jobs") or []):
        return True
    # A service that is backed up before jobs alone waits for one.
    always = any(one["when"] == ALWAYS for one in preview.get("backups") or []) and not preview.get("settled")
    return when == BEFORE and bool(always or preview.get("quiet") or preview.get("restore"))


def state(results: Sequence[Result], lost: Sequence[str] = ()) -> dict[str, Any]:
    """What all hosts together have come to.

    Args:
        lost: hosts that are gone without a word.

    Returns:
        failed: something went wrong. ready: every host that takes part has the release, and nothing went wrong. changed: anything
        was. settled: every host runs the release already, and needs no more than the look at its gates when settling.
        quiet: what writes is to be stopped first. restore: data is to be brought back first. crossing: a host of several is to
        change data in a way that the old code does not understand. stays: the data keeps the fleet from going back. backup: what
        is kept is to be backed up. jobs: those that come before the switch. must_revert: as the function of that name
        has it.
    """
    faults = bool(lost) or any(r.get("fault") for r in results)
    jobs = dict.fromkeys(str(job["job"]) for r in results for job in r.get("jobs") or [] if job["when"] == BEFORE)
    return {
        "failed": faults,
        "ready": not faults and all("name" in r or r.get("out") for r in results),
        "changed": any(bool(r.get("changed")) for r in results),
        "settled": all(bool(r.get("settled")) and not r.get("fault") for r in results),
        "quiet": any(bool(r.get("quiet") or r.get("restore")) for r in results),
        "restore": any(bool(r.get("restore")) for r in results),
        "crossing": _crosses(results),
        "stays": any((r.get("revert_fault") or {}).get("gate") == DATA for r in results),
        "backup": _backs_up(results, [*jobs]),
        "jobs": [*jobs],
        "must_revert": must_revert(results, lost),
    }


def _crosses(results: Sequence[Result]) -> bool:
    """Whether services on other hosts will meet data that the old code does not understand."""
    jobs = any(job["when"] == BEFORE and not job["compatible"] for r in results for job in r.get("jobs") or [])
    return len(results) > 1 and (jobs or any(bool(r.get("restore")) for r in results))


def with_data_back(result: Result, name: str, task: Result) -> dict[str, Any]:
    """``result`` with the data that the way back restored on the host of that name (``brought_back``), or why it did not."""
    found = noted(result, "revert", name, task)
    return {**found, "brought_back": list(task["restored"])} if task.get("restored") else found


def _backs_up(results: Sequence[Result], jobs: Sequence[str]) -> bool:
    """Whether a host is to back something up: before ``jobs`` of any of them, or before every release."""
    return any(jobs or (one["when"] == ALWAYS and not r.get("settled")) for r in results for one in r.get("backups") or [])


def must_revert(results: Sequence[Result], lost: Sequence[str] = ()) -> bool:
    """Whether the run's faults, or hosts that were ``lost`` without a word, may have come after something was switched; not once
    another run is in charge of a host."""
    faults = [r["fault"] for r in results if r.get("fault")]
    after = bool(lost) or any(f["phase"] not in (*BEFORE_SWITCH, PREPARE) for f in faults)
    after = after or bool(faults and verdicts.begun(results))
    # A stable release that fails without a switch is sick: there is nothing better to go back to, and nothing was left.
    alone = not lost and verdicts.sick(results)
    return after and not alone and not any(f.get("fenced") == "run" for f in faults)

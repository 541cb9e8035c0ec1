"""What each host of a run has come to, derived from what its steps said. Pure."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any, Iterable, Mapping, Sequence

from ansible.module_utils.rollout import inventory

BEFORE_SWITCH = ("plan", "stage")
LOST = "lost"
Result = Mapping[str, Any]
# Ansible's words for an argument of another type, and for a variable that is nowhere.
_NO_KIND = re.compile(r"argument '(\w+)' is of type .* unable to convert to (\w+).*", re.DOTALL)
_UNDEFINED = re.compile(r"(?:Task failed: )?(?:.*: )?('[^']+') is undefined\.?", re.DOTALL)


def of_host(host: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What a host has come to so far.

    Args:
        said: the host's variables: rollout_problem, where the run cannot begin; what the steps registered (lock_fleet, lock_own,
            rollout_target, rollout_preview, rollout_staged, lock_renewed, switch_done, settle_gates, settle_confirmed), as far as
            they have run; rollout_result is the whole answer, once something was recorded there.
    """
    if said.get("rollout_result"):
        return dict(said["rollout_result"])
    if said.get("rollout_problem"):
        return with_fault({}, "plan", host, str(said["rollout_problem"]))
    first = said["rollout_first"]
    result = noted({}, "plan", first, said.get("lock_fleet") or {}, host != first)
    result = present(result, host, said.get("lock_own") or {}, said["rollout_optional"])
    result = noted(result, "plan", first, said.get("rollout_target") or {}, True)
    preview, staged = said.get("rollout_preview") or {}, said.get("rollout_staged")
    result = noted(result, "stage", host, preview)
    # What is there already, whole and proven, is not staged again; nor is anything in check mode.
    done = staged if staged and not staged.get("skipped") else preview if staged or preview.get("ready") else {}
    if done and (failed(done) or done.get("name")):
        result = with_staged(result, done, at_first(host, said), host, preview)
    result = noted(result, "switch", first, said.get("lock_renewed") or {}, host != first)
    result = with_switched(result, said.get("switch_done") or {"skipped": True}, host)
    result = with_settled(result, host, said.get("settle_gates") or {})
    return noted(result, "settle", host, said.get("settle_confirmed") or {})


def at_first(host: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the host was when the run took its lock, as `observe.host` has it; empty where nobody could look."""
    task = said.get("lock_fleet" if host == said.get("rollout_first") else "lock_own") or {}
    found: Mapping[str, Any] = task.get("host") or {}
    return found


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
    fault.update({key: one[key] for key in ("service", "stack", "gate", "log", "fenced") if one.get(key)})
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
        return f"{'; '.join(kinds)}. docs/inventory.md and docs/operations.md say what may be set."
    undefined = _UNDEFINED.fullmatch(message)
    if undefined:
        return f"{undefined[1]} is undefined: define it in the inventory or with -e, or correct what refers to it."
    if "sudo" in message and "assword" in message:
        message += ". Sudo wants a password on this host: add --ask-become-pass."
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
    # No setting that holds a secret refuses one of these for its type.
    return (
        f"{name} is {value!r}: not of the type {kind}"
        if isinstance(value, (str, int, float))
        else f"{name} is not of the type {kind}"
    )


def _lost(result: Result, phase: str, host: str, message: str) -> dict[str, Any]:
    """A host that can no longer be reached takes no further part; before the first switch that is a plain refusal."""
    fault = {"phase": phase if phase in BEFORE_SWITCH else LOST, "host": host, "msg": inventory.unreachable(host, message)}
    return {**result, "fault": result.get("fault") or fault, "out": True, "lost": True}


def noted(result: Result, phase: str, host: str, task: Result, delegated: bool = False) -> dict[str, Any]:
    """``result``, with a fault where the task failed or did not reach its host.

    A task that was ``delegated`` to `host` by another one says nothing of whether that one can be reached.
    """
    if not failed(task):
        return dict(result)
    noted_one = with_fault(result, phase, host, task)
    return {**noted_one, "out": result.get("out", False), "lost": result.get("lost", False)} if delegated else noted_one


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
    advice = f' To roll out without it: -e \'{{"rollout_optional_hosts": ["{host}"]}}\'.'
    return lost if result.get("fault") else {**lost, "fault": {**lost["fault"], "msg": lost["fault"]["msg"] + advice}}


def with_staged(
    result: Result, staged: Mapping[str, Any], host: Mapping[str, Any], name: str, preview: Mapping[str, Any]
) -> dict[str, Any]:
    """``result`` with what staging found on the host of that name; whether it is settled, its ``preview`` says."""
    if failed(staged):
        return with_fault(result, "stage", name, staged)
    ledger = host.get("ledger") or {}
    stable = ledger.get("stable") or {}
    # The same release with other content.
    same = stable.get("release") == (preview.get("preview") or {}).get("release") and stable.get("name") not in (
        None,
        staged["name"],
    )
    return {
        **result,
        **({"variant": True} if same else {}),
        "name": staged["name"],
        "staged": bool(staged.get("changed")),
        "settled": bool((preview.get("preview") or {}).get("settled")),
        "to_pull": staged.get("to_pull", 0),
        "stable": stable.get("release"),
        # An interrupted run is closed by this one, even where the stable release already runs again.
        "changed": stable.get("name") != staged["name"] or bool(ledger.get("interrupted")),
        "services": [],
    }


def with_switched(result: Result, task: Result, name: str) -> dict[str, Any]:
    """``result`` with what the switches of its waves did on the host of that name; the last of them has the earlier ones too."""
    if task.get("skipped"):
        return dict(result)
    services = [*task.get("earlier", []), *task.get("services", [])]
    changed = bool(result.get("changed") or any(service["action"] != "keep" for service in services))
    return noted({**result, "changed": changed, "services": services, "switched": True}, "switch", name, task)


def with_settled(result: Result, name: str, task: Result) -> dict[str, Any]:
    """``result`` after the last gates on the host of that name; where nothing was switched, with what these saw."""
    seen = result.get("services") or task.get("services") or []
    return noted({**result, **({"services": list(seen)} if seen else {})}, "settle", name, task)


def state(results: Sequence[Result], lost: Sequence[str] = ()) -> dict[str, bool]:
    """What all hosts together have come to.

    Args:
        lost: hosts that are gone without a word.

    Returns:
        failed: something went wrong. ready: every host that takes part has the release, and nothing went wrong. changed: anything
        was. settled: every host runs the release already, and needs no more than the look at its gates when settling.
        must_revert: as the function of that name has it.
    """
    faults = bool(lost) or any(r.get("fault") for r in results)
    return {
        "failed": faults,
        "ready": not faults and all("name" in r or r.get("out") for r in results),
        "changed": any(bool(r.get("changed")) for r in results),
        "settled": all(bool(r.get("settled")) and not r.get("fault") for r in results),
        "must_revert": must_revert(results, lost),
    }


def must_revert(results: Iterable[Result], lost: Sequence[str] = ()) -> bool:
    """Whether the run's faults, or hosts that were ``lost`` without a word, may have come after something was switched; not once
    another run is in charge of a host."""
    faults = [r["fault"] for r in results if r.get("fault")]
    after = bool(lost) or any(f["phase"] not in BEFORE_SWITCH for f in faults)
    return after and not any(f.get("fenced") == "run" for f in faults)

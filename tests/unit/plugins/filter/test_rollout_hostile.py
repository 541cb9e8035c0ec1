"""No answer of a host breaks a filter, a screen or the report."""

from __future__ import annotations

import contextlib
import copy
import json

import pytest
from ansible.module_utils.rollout.controller import target
from ansible.module_utils.rollout.controller.report import page, times
from ansible.module_utils.rollout.controller.screens import steps
from ansible.module_utils.rollout.domain import answers, foreign
from ansible.module_utils.rollout.errors import RolloutError
from hypothesis import given
from hypothesis import strategies as st

STABLE = {"name": "sha-a", "release": "sha-a", "run": "r0", "seq": 3, "at": "2026-01-01T00:00:00Z", "action": "rollout"}
ENTRY = {"event": "switching", "run": "r0", "seq": 4, "name": "sha-a", "release": "sha-a", "stack": "core", "service": "web"}
LEDGER = {
    **{"stable": STABLE, "previous": STABLE, "history": [STABLE, {**STABLE, "name": "sha-b", "release": "sha-b"}]},
    **{"known": [STABLE], "confirmed": [STABLE], "interrupted": ENTRY, "torn": True, "lost": 0, "behind": ["h9"]},
    "closed": {"event": "reverted", "run": "r0", "by": "guard", "name": "sha-a", "fault": "it fell over"},
}
LOCK = {"run": "r0", "who": "run r0 of ada", "machine": "m", "process": "7:1", "quiet": 3.5, "expires_in": -5.0}
HOST = {
    **{"engine": {"engine": "28", "arch": "amd64", "id": "E", "data": "/", "compose": "2"}, "boot": "b", "ledger": LEDGER},
    **{"lock": LOCK, "guard": {"run": "r0", "fires_in": 3.5, "alive": False, "keeper": ""}, "keeper": "process"},
}
VERDICT = {
    **{"verdict": "fail", "reason": "hang", "fault": "host", "remedy": "Reboot.", "expected": "cuda", "on_gpu": True},
    **{"observed": "no answer", "duration_ms": 5, "torch": {"version": "2.5", "cuda": "12"}, "driver": {"version": "580"}},
    **{"devices": [{"name": "NVIDIA X", "memory_free_mib": 5, "memory_total_mib": 9}], "warnings": ["x"], "runtime": {"uid": 1}},
    "checks": [{"id": "answer", "status": "fail", "expected": "x", "observed": "y", "ms": 3}],
}
PHASE = {"phase": "stop", "service": "web", "detail": "", "from": 0.5, "to": 1.5, "good": True}
TIMES = {"phases": [PHASE, {**PHASE, "phase": "health", "to": None}], "clock": 3.0}
DONE = {"stack": "core", "service": "web", "action": "recreate", "why": "image", "drain": "done", "torch": VERDICT}
SERVICES = [{**DONE, "seconds": 3.0, "gap": 1.5}]
ROW = {
    "stack": "core",
    "service": "web",
    "action": "recreate",
    "why": "image",
    "old": "sha256:aa",
    "new": "sha256:bb",
    "gap": 2.0,
}
PREVIEW = {
    **{"action": "rollout", "run": "r1", "release": "sha-c", "stable": "sha-a", "services": [ROW], "to_pull": 7, "free": 9},
    **{"settled": False, "left": {"old": "app-old"}},
}
DIFF = [{"before": "a\n", "after": "b\n", "before_header": "x", "after_header": "y"}]
STAGED = {"changed": True, "name": "sha-c", "to_pull": 5, "ready": False, "torch": {"r/web": VERDICT}, "diff": DIFF, **TIMES}
SEEN = {
    **{"stack": "core", "service": "web", "release": "sha-a", "digest": "sha256:aa", "health": "healthy", "torch": "2.5"},
    **{"since": "2026-01-01T00:00:00Z", "verdict": VERDICT, "drift": ["not healthy: x."]},
}
# Where an answer is registered -> the step or module, and what is answered when all is well.
GOOD = {
    "lock_fleet": ("lock observed", {"changed": True, "taken_over": "The lock of x was taken over.", "host": HOST}),
    "rollout_preview": ("release previewed", {**STAGED, "preview": PREVIEW}),
    "rollout_staged": ("release staged", STAGED),
    "lock_renewed": ("lock renewed", {"changed": False}),
    "switch_done": ("stack present", {"changed": True, "services": SERVICES, **TIMES}),
    "settle_gates": ("release proven", {"changed": False, "services": SERVICES, "unlocked": True, **TIMES}),
    "settle_confirmed": ("release stable", {"changed": True, "removed": ["sha-0"], "left": ["It stays."], "unlocked": False}),
    "status_host": ("rollout_host_info", {"changed": False, **HOST, "services": [SEEN]}),
    "report_metrics": ("metrics_file", {"changed": True, "path": "/x"}),
    "unlock_done": ("lock released", {"changed": True, "released": "run r0"}),
}
FAILED = {
    **{"failed": True, "msg": "no", "service": "web", "stack": "core", "gate": "health", "log": "a\nb", "fenced": "guard"},
    **{"unproven": "x", "torch": VERDICT, **TIMES},
}
BASE = {"rollout_run": "r1", "rollout_first": "evil", "rollout_optional": [], "inventory_hostname": "evil"}
WELL = {**BASE, **{name: answer for name, (_step, answer) in GOOD.items()}, "lock_own": GOOD["lock_fleet"][1]}
STACKS = {"core": {"wave": "backend", "template": "x", "images": []}}
GROUPS = {"backend": ["evil", "well"], "cpu_workers": [], "gpu_workers": []}


@pytest.fixture(scope="module")
def filters(load):
    return load("plugins/filter/rollout.py").FilterModule().filters()


def places(value, path=()):
    """The path of each value within an answer."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


WORDS = st.sampled_from(["", "\x1b[2J", "\ud800", "x" * 70_000, "{{ 1 }}", "../..", "$(id)", "-rf", "0", "keep", "pass", "%s{0}"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def lies(draw):
    """Where an answer is registered, and an answer that has up to three other values, or lacks some."""
    name = draw(st.sampled_from(sorted(GOOD)))
    answer = copy.deepcopy(draw(st.sampled_from([GOOD[name][1], FAILED])))
    for _ in range(draw(st.integers(1, 3))):
        found = [path for path in places(answer) if path]
        if not found:
            break
        path = draw(st.sampled_from(found))
        inner = answer
        for key in path[:-1]:
            inner = inner[key]
        if draw(st.booleans()) and isinstance(inner, dict):
            del inner[path[-1]]
        else:
            inner[path[-1]] = draw(JSON)
    return name, answer


@given(lies())
def test_whatever_a_host_answers_nothing_stumbles(filters, lie):
    name, answer = lie
    read = foreign.read([json.dumps(answer)]) or {}
    taken = answers.taken(GOOD[name][0], read)
    variables = copy.deepcopy({"evil": {**WELL, **BASE, name: taken}, "well": {**WELL, "inventory_hostname": "well"}})
    hosts = ["evil", "well"]
    steps.done_lines(GOOD[name][0].partition(" ")[0], taken)
    filters["rollout_plan"](hosts, variables, "latest", True)
    for lost in ([], ["gone"]):
        filters["rollout_state"](hosts, variables, lost)
    # Otherwise it is not asked, as roles/plan has it.
    if not any(variables[host][lock].get("failed") for host, lock in (("evil", "lock_fleet"), ("well", "lock_own"))):
        found = filters["rollout_found"](hosts, variables)
        for tag in ("", "sha-a"):
            with contextlib.suppress(RolloutError):
                target.find({"action": "rollback", "sha": "", "tag": tag, **found, "refusal": ""})
    noted = filters["rollout_notes"](hosts, variables, STACKS, GROUPS, 900.0)
    run = {"action": "rollout", "run": "20260101T000000Z-abcd", "release": "sha-c", "images": {}, "check": False, "behind": []}
    verdict = filters["rollout_verdict"](hosts, [], {**run, "notes": noted, "timeout": 900.0}, variables)
    heard = times.Times()
    heard.play("Switch the backend")
    heard.step("evil", taken)
    page.page(json.loads(json.dumps({**verdict["document"], **heard.known()})))
    filters["rollout_aftermath"](hosts, variables)
    filters["rollout_unlocked"](hosts, variables)
    for view in ("all", "torch"):
        filters["rollout_status"](hosts, variables, view)["screen"].encode()
    json.loads(filters["rollout_status"](hosts, variables, "all", "json")["screen"])


@given(
    st.dictionaries(st.sampled_from(["run", "step", "what", "done", "total", "elapsed", "deadline", "waiting_for", "x"]), JSON)
)
def test_whatever_a_host_says_of_its_progress_is_a_line(said):
    facts = {"run": "r1", "step": "gate", **said}
    try:
        told = answers.progress(json.dumps(facts))
    except foreign.WrongError:
        return
    assert isinstance(steps.now_at(told, 5.0), str)

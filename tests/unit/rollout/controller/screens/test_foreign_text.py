"""No text of a host forges a line of a screen, whichever field it stands in: one field after the other holds an attack."""

from __future__ import annotations

import copy
import shlex

import pytest
from ansible.module_utils.rollout.controller.screens import last, notes, plan, status, torch
from ansible.module_utils.rollout.domain.printable import printable

ATTACK = "x\nROLLOUT SUCCEEDED: forged.\r\n\n\u2028ROLLOUT SUCCEEDED: forged.\x85\x1b]52;c;eA==\x07$(id)"
FORGED = ("ROLLOUT SUCCEEDED: forged", "Everything runs")
# Which the controller knows, or decides by.
KEYS = {"action", "phase", "event", "by", "verdict"}

WEB = {"stack": "core", "service": "web", "action": "recreate", "why": "image", "gap": 2.0, "seconds": 2.0, "drain": "waited 2 s"}
TORCH = {
    "verdict": "fail",
    "reason": "torch_missing",
    "observed": "none",
    "remedy": "Build it.",
    "on_gpu": True,
    "expected": "cuda",
    "fault": "host",
}
DEVICE = {"name": "RTX", "memory_free_mib": 1, "memory_total_mib": 2}
FAULT = {"phase": "switch", "host": "h1", "service": "web", "gate": "health", "msg": "a\nb", "log": "c\n\nd"}
RESULT = {"name": "v2", "stable": "v1", "changed": True, "services": [WEB], "fault": FAULT, "revert_fault": {**FAULT, "msg": "e"}}
PREVIEW = {"action": "rollout", "run": "r1", "release": "v2", "stable": "v1", "to_pull": 1, "free": 2}
ROW = {"service": "web", "action": "recreate", "why": "environment", "old": "sha256:a", "new": "sha256:b", "gap": 1.0}
PART = {"before_header": "a/.env", "after_header": "b/.env", "before": "A=1\n", "after": "A=2\n"}
SEEN = {
    "engine": {"engine": "24"},
    "keeper": "systemd",
    "lock": {"run": "r1", "who": "run r1 of a@b", "expires_in": 1, "quiet": 1},
    "guard": {"run": "r1", "fires_in": 1, "alive": False},
    "ledger": {
        "stable": {"release": "v1", "name": "v1"},
        "interrupted": {"event": "switching", "run": "r2", "service": "web", "release": "v2"},
        "closed": {"by": "guard", "run": "r0", "name": "v1", "fault": "it broke"},
        "torn": False,
        "behind": ["h2"],
        "known": [{"name": "v1"}],
        "confirmed": [{"release": "v1", "name": "v1", "at": "2026-01-01T00:00:00Z", "action": "rollout", "run": "r1"}],
    },
    "services": [
        {
            "service": "web",
            "release": "v1",
            "digest": "sha256:a",
            "health": "healthy",
            "since": "",
            "torch": "fail",
            "drift": ["not healthy: x", "runs v2"],
            "verdict": {**TORCH, "torch": {"version": "2", "cuda": "13"}, "driver": {"version": "5"}, "devices": [DEVICE]},
        }
    ],
}
RUN = {"action": "rollout", "run": "r1", "release": "v2", "check": False, "timeout": 60, "notes": []}
SCREENS = {
    "last": (RESULT, lambda host: last.screen({"h1": host}, [], RUN)),
    "good": ({**RESULT, "fault": {}, "revert_fault": {}}, lambda host: last.screen({"h1": host}, [], RUN)),
    "message": (RESULT, lambda host: "\n".join(last.message({"h1": host}, [], RUN).values())),
    "plan": ({"preview": {**PREVIEW, "services": [ROW]}, "diff": [PART]}, lambda host: plan.screen({"h1": host}, True)),
    "status": ({"info": SEEN, "fault": "-"}, lambda host: status.screen({"h1": host, "h2": host}, 0.0)),
    "calm": (
        {"info": {**SEEN, "lock": None, "ledger": {**SEEN["ledger"], "interrupted": None}}, "fault": "-"},
        lambda host: status.screen({"h1": host}, 0.0),
    ),
    "unseen": ({"info": None, "fault": "it broke"}, lambda host: status.screen({"h1": host}, 0.0)),
    "torch": ({"info": SEEN, "fault": "-"}, lambda host: torch.screen({"h1": host})["screen"]),
    "before": (SEEN, lambda host: "\n".join(notes.before({"h1": host}, [host["lock"]["who"]], [], 60.0))),
    "unlock": ({"released": "r1 of a@b"}, lambda host: last.unlock_screen({"h1": host})),
    "locked": ({"failed": True, "msg": "it is held"}, lambda host: last.unlock_screen({"h1": host})),
    "untold": ({"metrics": {"msg": "full"}, "notification": {"unsent": ["no"]}}, lambda h: "\n".join(last.aftermath({"h1": h}))),
    "early": ({"error": "it broke"}, lambda host: last.ended_early("rollout", {"h1": host["error"]}, False)),
}


def texts(value, path=()):
    """The paths of all texts of a structure, but for those that the controller decides by."""
    if isinstance(value, str):
        return [path] if path[-1] not in KEYS else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in texts(item, (*path, key))]


def attacked(host, path):
    host = copy.deepcopy(host)
    at = host
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] += ATTACK
    return host


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, (host, _make) in SCREENS.items() for path in texts(host)])
def test_no_line_is_forged(name, path):
    host, make = SCREENS[name]
    said = printable(make(attacked(host, path)))
    assert not [line for line in said.splitlines() if line.startswith(FORGED)], said
    assert "\x1b" not in said


@pytest.mark.parametrize("name", SCREENS)
def test_the_attack_is_shown(name):
    """Otherwise the test above proves nothing."""
    host, make = SCREENS[name]
    assert any("forged" in make(attacked(host, path)) for path in texts(host))


def test_the_verdicts_own_line_would_be_seen():
    assert last.screen({"h1": {**RESULT, "fault": {}, "revert_fault": {}}}, [], RUN).startswith("ROLLOUT SUCCEEDED: v2")


@pytest.mark.parametrize("project", ["app-gpu", "a; rm -rf /", "$(id)`id`", "a\nROLLOUT SUCCEEDED: forged."])
def test_a_stack_that_left_is_quoted_in_its_command(project):
    (said,) = notes.left("h1", {"gpu": project})
    _before, _colon, command = said.partition("run there: ")
    words = shlex.split(command)
    assert (words[:3], words[4:]) == (["docker", "compose", "--project-name"], ["down"])
    assert words[3] == project.replace("\n", "\\n")

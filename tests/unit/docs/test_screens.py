"""The screens in the documentation are what the tool prints: made here from the same functions, and compared as a whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible.module_utils.rollout.controller.screens import last, steps
from ansible.module_utils.rollout.controller.screens.plan import screen as plan_screen
from ansible.module_utils.rollout.controller.screens.torch import screen as torch_screen

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()
OLD, NEW, RUN = "sha-aaaaaa1", "sha-bbbbbb2", "20261125T103149Z-ff2d"
# Service, its digests before and after, the seconds that it was away before and this time, its torch.
SERVICES = [
    ("backend", "308e57d", "82acf1d", 1.9, 2.5, None),
    ("backtest-worker-1", "221c041", "8d8dbbc", 2.8, 3.7, "2.13.0+cpu"),
    ("training-worker-gpu", "82653e2", "cf24cb0", 2.7, 3.8, "2.13.0+cpu"),
]
ENV = 'IMAGE_TAG="{}"\nKTRDR_DATABASE_PASSWORD="********"\nKTRDR_HOST="homelab"\n'


def blocks(page: str) -> str:
    """The indented blocks of a page, without their indentation."""
    return "\n".join(re.sub(r"^ {4}", "", line) for line in page.splitlines() if line.startswith("    ") or not line)


def plan(host: str, services: list[tuple], shown: bool) -> str:
    rows = [{"service": "db", "action": "keep", "why": "", "old": None, "new": None, "gap": None}]
    for name, old, new, gap, _now, _torch in services:
        rows.append({"service": name, "action": "recreate", "why": "image", "old": old, "new": new, "gap": gap})
    part = {
        "before_header": f"{OLD}/core/.env",
        "after_header": f"{NEW}/core/.env",
        "before": ENV.format(OLD),
        "after": ENV.format(NEW),
    }
    known = {"action": "rollout", "run": RUN, "release": NEW, "stable": OLD}
    return plan_screen({host: {"preview": {**known, "services": rows, "to_pull": 0}, "diff": [part]}}, shown)


def end(**run: object) -> str:
    services = [{"service": "db", "action": "keep", "why": "", "gap": None, "torch": None}]
    for name, _old, _new, _gap, now, torch in SERVICES:
        verdict = {"verdict": "pass", "torch": {"version": torch} if torch else None}
        services.append({"service": name, "action": "recreate", "why": "image", "gap": now, "torch": verdict})
    result = {"name": NEW, "stable": OLD, "changed": True, "services": services}
    return last.screen({"homelab": result}, [], {"action": "rollout", "run": RUN, "release": NEW, "check": False, **run})


def step(line: str, seconds: float) -> str:
    """A line of a step, as playbooks/callback_plugins/progress.py puts it on a screen of 80 columns."""
    took = f"{seconds:7.1f} s"
    return f"{f'  homelab  {line}':<{79 - len(took)}}{took}"


@pytest.mark.parametrize(
    ("page", "screen"),
    [
        (README, plan("homelab", SERVICES, True)),
        (README, end(check=True)),
        (README, end()),
        (OPERATIONS, plan("core", SERVICES[:1], False)),
    ],
    ids=["README: plan", "README: check", "README: last screen", "operations: plan"],
)
def test_screens(page, screen):
    assert f"\n{screen.strip()}\n" in blocks(page)


def test_lines_of_steps():
    services = {"services": [{"service": "backend", "action": "recreate", "seconds": 2.6}]}
    ((line, seconds),) = steps.done_lines("stack", services)
    gate = {
        "step": "gate",
        "what": "backtest-worker-1",
        "waiting_for": "3 good answers in a row",
        "elapsed": 1.0,
        "deadline": 60.0,
    }
    shown = blocks(README).splitlines()
    assert step(line, seconds) in shown
    assert f"  homelab  … {steps.now_at(gate)}" in shown


GATE = {"step": "gate", "what": "backend", "elapsed": 12.0, "deadline": 120.0}
GPU = "localhost:5000/ktrdr-worker-gpu"


@pytest.mark.parametrize(
    ("facts", "rate"),
    [
        ({"step": "pull", "what": GPU, "done": 1_100_000_000, "total": 3_000_000_000}, 5e7),
        ({"step": "pull", "what": GPU, "done": 3_000_000_000, "total": 3_000_000_000}, None),
        ({**GATE, "waiting_for": "http://…: HTTP 503 database unavailable"}, None),
        ({**GATE, "what": "training-worker-1", "waiting_for": "1 operation (op-7)", "elapsed": 40.0, "deadline": 300.0}, None),
        ({"step": "card", "what": "training-worker-gpu"}, None),
        ({"step": "torch", "what": "training-worker-1"}, None),
    ],
)
def test_what_is_under_way(facts, rate):
    assert f"| `… {steps.now_at(facts, rate)}` |" in OPERATIONS


def test_the_screen_of_the_gpu_check():
    device = {"name": "Simulated card", "memory_free_mib": 20 * 1024, "memory_total_mib": 24 * 1024}
    verdict = {
        "verdict": "pass",
        "on_gpu": True,
        "torch": {"version": "2.13.0", "cuda": "13.0"},
        "driver": {"version": "580.65.06"},
        "devices": [device],
    }
    hosts = {"gpu": {"info": {"services": [{"service": "detector", "verdict": verdict}]}, "fault": ""}}
    assert f"\n{torch_screen(hosts)['screen']}\n" in blocks(OPERATIONS)

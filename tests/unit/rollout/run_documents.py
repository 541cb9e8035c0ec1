"""Documents of runs, as the report gets them: succeeded, reverted, refused. What a test needs otherwise, it changes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from ansible.module_utils.rollout.domain.gate import Expectation
from ansible.module_utils.rollout.domain.torch import verdict as torch_verdict

OLD, NEW = "sha-aaaaaa1", "sha-bbbbbb2"
REGISTRY = "registry.lan:5000"
RECORDED = Path(__file__).parent / "recorded"
GPU_PROBE = {
    "child": {"answered": True, "exit_status": 0, "stderr": "", "timed_out": False},
    "duration_ms": 4210,
    "torch": {"version": "2.13.0+cu129", "cuda": "12.9", "hip": None, "cudnn": 91002, "arch_list": ["sm_80", "sm_89"]},
    "driver": {"cuda_api": "13.0", "cuinit": 0, "libcuda_path": "/usr/lib/x86_64-linux-gnu/libcuda.so.1"},
    "devices": [
        {
            "name": "NVIDIA GeForce RTX 4090",
            "uuid": "GPU-6d1f4d37",
            "capability": "8.9",
            "memory_total_mib": 24082,
            "memory_free_mib": 23511,
            "kernel_ok": True,
            "max_abs_err": 1e-6,
            "error": None,
            "conv_error": None,
        }
    ],
    "runtime": {"device_nodes": ["/dev/nvidia0"], "environment": {}, "uid": 10001, "shm_bytes": 67108864},
}
HOST_FACTS = {"driver": {"loaded": "580.95.05", "installed": "580.95.05", "cuda": "13.0"}}


def judged(flavour: str, probe: dict[str, Any]) -> dict[str, Any]:
    return torch_verdict.judge(probe, Expectation(flavour), host=HOST_FACTS if flavour == "cuda" else None)


def recorded(name: str) -> dict[str, Any]:
    return json.loads((RECORDED / f"{name}.json").read_text())["probe"]


def digest(seed: str) -> str:
    return "sha256:" + (seed * 64)[:64]


def event(host: str, service: Any, phase: str, start: float, end: float, good: bool = True, detail: str = "") -> dict[str, Any]:
    return {"host": host, "service": service, "phase": phase, "from": start, "to": end, "good": good, "detail": detail}


def service(
    stack: str, name: str, action: str = "recreate", gap: Any = None, torch: Any = None, drain: Any = None
) -> dict[str, Any]:
    kept = action == "keep"
    return {
        "stack": stack,
        "service": name,
        "action": action,
        "why": "" if kept else "image",
        "old": None if name == "db" else OLD,
        "new": None if name == "db" else NEW,
        "gap": gap,
        "digest": digest("7c03dac" if name == "backend" else "bfd7637"),
        "torch": torch,
        "drain": drain,
    }


COMPOSE_BEFORE = f"""\
services:
  backend:
    image: {REGISTRY}/ktrdr-backend:{OLD}
    environment:
      LOG_LEVEL: info
    healthcheck:
      interval: 5s
      retries: 3
"""
COMPOSE_DIFF = {
    "before_header": f"{OLD}/docker-compose.core.yml",
    "after_header": f"{NEW}/docker-compose.core.yml",
    "before": COMPOSE_BEFORE,
    "after": COMPOSE_BEFORE.replace(OLD, NEW).replace("retries: 3", "retries: 5\n      start_period: 20s"),
}
ENV_DIFF = {
    "before_header": f"{OLD}/.env.workers",
    "after_header": f"{NEW}/.env.workers",
    "before": "BACKEND_URL=http://10.77.0.11:8000\nDB_PASSWORD=(secret)\nWORKERS=2\n",
    "after": "BACKEND_URL=http://10.77.0.11:8000\nDB_PASSWORD=(secret, changed)\nWORKERS=3\n",
}


def _host(name: str, state: str, to_pull: int, services: list[dict[str, Any]], diff: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "old": OLD,
        "new": NEW,
        "state": state,
        "to_pull": to_pull,
        "free": 48_300_000_000,
        "services": services,
        "diff": diff,
    }


def _workers(start: float, host: str) -> list[dict[str, Any]]:
    """The two workers of a host, switched one after the other."""
    at, found = start, []
    for name, drain in (("backtest-worker-1", 2.2), ("training-worker-1", 6.4)):
        found += [
            event(host, name, "drain", at, at + drain, detail="1 operation finished"),
            event(host, name, "stop", at + drain, at + drain + 1.1),
            event(host, name, "start", at + drain + 1.1, at + drain + 2),
            event(host, name, "health", at + drain + 2, at + drain + 6.5, detail="200, release named"),
            event(host, name, "torch", at + drain + 6.5, at + drain + 8, detail="torch 2.13.0+cpu"),
        ]
        at += drain + 8
    return found


def succeeded() -> dict[str, Any]:
    """A rollout on four hosts: long pulls, then a short switch."""
    cpu = judged("cpu", recorded("worker-cpu"))
    none = judged("absent", {"child": {"answered": True}})
    events = [event(h, None, "stage", 0, 4 + n) for n, h in enumerate(("core", "workers-b", "workers-c", "gpu"))]
    events += [
        event("core", None, "pull", 4, 31, detail="84.1 MB"),
        event("workers-b", None, "pull", 5, 74, detail="212.6 MB"),
        event("workers-c", None, "pull", 6, 81, detail="212.6 MB"),
        event("gpu", None, "pull", 7, 298, detail="2.9 GB"),
        event("gpu", "training-worker-gpu", "torch", 298, 303, detail="in a throw-away container"),
        event("core", "backend", "stop", 304, 305.2),
        event("core", "backend", "start", 305.2, 306),
        event("core", "backend", "health", 306, 308.5, detail="200, release named"),
        *_workers(309, "workers-b"),
        *_workers(335, "workers-c"),
        event("gpu", "training-worker-gpu", "drain", 361, 369, detail="checkpoint written"),
        event("gpu", "training-worker-gpu", "stop", 369, 372, detail="card free after 1.8 s"),
        event("gpu", "training-worker-gpu", "start", 372, 373),
        event("gpu", "training-worker-gpu", "health", 373, 384),
        event("gpu", "training-worker-gpu", "torch", 384, 388, detail="RTX 4090"),
        *[event(h, None, "settle", 389, 392) for h in ("core", "workers-b", "workers-c", "gpu")],
    ]
    workers = [
        service("workers", "backtest-worker-1", gap=6.5, torch=cpu, drain="waited 2 s for 1 operation"),
        service("workers", "training-worker-1", gap=6.5, torch=cpu, drain="waited 6 s for 1 operation"),
    ]
    gpu = service(
        "gpu-worker",
        "training-worker-gpu",
        gap=15.0,
        torch=judged("cuda", GPU_PROBE),
        drain="waited 8 s for 1 operation to end or be checkpointed",
    )
    return {
        "schema": 1,
        "run": "20261125T091051Z-0c9e",
        "action": "rollout",
        "check": False,
        "verdict": "succeeded",
        "good": True,
        "release": NEW,
        "who": "ada@desk",
        "started": "2026-11-25T09:10:51Z",
        "seconds": 393.4,
        "head": f"ROLLOUT SUCCEEDED: {NEW} runs on 4 hosts, every gate held.",
        "faults": [],
        "notes": ["No stack is in wave gpu_workers twice.", "Found at the start:\n  gpu: the ledger has a torn line."],
        "back": "ansible-playbook rollback.yml -e sha=aaaaaa1",
        "images": [
            {"repository": f"{REGISTRY}/ktrdr-backend", "digest": digest("7c03dac"), "bytes": 84_100_000},
            {"repository": f"{REGISTRY}/ktrdr-worker-cpu", "digest": digest("bfd7637"), "bytes": 212_600_000},
            {"repository": f"{REGISTRY}/ktrdr-worker-gpu", "digest": digest("af94009"), "bytes": None},
        ],
        "hosts": [
            _host(
                "core",
                f"on {NEW}",
                84_100_000,
                [service("core", "db", "keep"), service("core", "backend", gap=4.5, torch=none)],
                [COMPOSE_DIFF],
            ),
            _host("workers-b", f"on {NEW}", 212_600_000, copy.deepcopy(workers), [ENV_DIFF]),
            _host("workers-c", f"on {NEW}", 212_600_000, copy.deepcopy(workers), [ENV_DIFF]),
            _host("gpu", f"on {NEW}", 2_900_000_000, [gpu], []),
        ],
        "waves": [
            {"name": "stage", "from": 0, "to": 303.5},
            {"name": "backend", "from": 303.5, "to": 309},
            {"name": "cpu_workers", "from": 309, "to": 361},
            {"name": "gpu_workers", "from": 361, "to": 388.5},
            {"name": "settle", "from": 388.5, "to": 393},
        ],
        "events": events,
    }


def reverted() -> dict[str, Any]:
    """The second worker host does not pass: the fleet goes back."""
    run = succeeded()
    hosts = ("core", "workers-b", "workers-c")
    events = [event(h, None, "stage", 0, 3) for h in (*hosts, "gpu")]
    events += [event(h, None, "pull", 3, 12 + 2 * n, detail="12.0 MB") for n, h in enumerate((*hosts, "gpu"))]
    events += [
        event("core", "backend", "stop", 19, 20.1),
        event("core", "backend", "start", 20.1, 21),
        event("core", "backend", "health", 21, 23.4),
        *_workers(24, "workers-b"),
        event("workers-c", "backtest-worker-1", "drain", 50, 51),
        event("workers-c", "backtest-worker-1", "stop", 51, 52),
        event("workers-c", "backtest-worker-1", "start", 52, 53),
        event("workers-c", "backtest-worker-1", "health", 53, 58, good=False, detail="it ended with exit status 3"),
        event("workers-c", "backtest-worker-1", "revert", 60, 62),
        event("workers-c", "backtest-worker-1", "health", 62, 67),
        *[event("workers-b", s, "revert", 60 + n, 63 + n) for n, s in enumerate(("backtest-worker-1", "training-worker-1"))],
        *[event("workers-b", s, "health", 63 + n, 69 + n) for n, s in enumerate(("backtest-worker-1", "training-worker-1"))],
        event("core", "backend", "revert", 71, 73),
        event("core", "backend", "health", 73, 76),
    ]
    run |= {
        "run": "20261125T101500Z-77aa",
        "verdict": "reverted",
        "good": False,
        "started": "2026-11-25T10:15:00Z",
        "seconds": 78.2,
        "head": f"ROLLOUT REVERTED: {NEW} did not pass. {OLD} runs again, and its gates hold.",
        "back": "",
        "notes": [],
        "events": events,
        "faults": [
            {
                "host": "workers-c",
                "phase": "switch",
                "gate": "container",
                "service": "backtest-worker-1",
                "msg": f"Service backtest-worker-1 (stack workers) does not pass on {NEW}: it ended with exit status 3.",
                "log": "INFO:     Started server process [1]\nINFO:     Waiting for application startup.\n"
                "Traceback (most recent call last):\n"
                '  File "/app/ktrdr/worker.py", line 88, in main\n'
                "    raise SystemExit(f'this host makes me sick: {settings.backend_url} <no answer> & no patience')\n"
                "\x1b[31mthis host makes me sick\x1b[0m",
            }
        ],
        "waves": [
            {"name": "stage", "from": 0, "to": 18.5},
            {"name": "backend", "from": 18.5, "to": 24},
            {"name": "cpu_workers", "from": 24, "to": 59},
            {"name": "revert", "from": 59, "to": 77},
        ],
    }
    for host in run["hosts"]:
        host |= {"state": f"on {OLD}", "new": OLD, "to_pull": 12_000_000}
        for one in host["services"]:
            one |= {"gap": None if host["name"] == "gpu" or one["action"] == "keep" else 12.4}
    run["hosts"][2]["services"][0]["gap"] = 16.0
    run["hosts"][3]["services"][0] |= {"action": "keep", "why": "", "new": OLD, "drain": None}
    return run


def refused() -> dict[str, Any]:
    """Torch in the GPU worker's image is for the CPU: nothing was touched, and there is nothing to draw."""
    run = succeeded()
    verdict = judged("cuda", recorded("worker-cpu-on-a-gpu-role"))
    for key in ("events", "waves", "back"):
        del run[key]
    run |= {
        "run": "20261125T083002Z-19fe",
        "verdict": "refused",
        "notes": [],
        "good": False,
        "started": "2026-11-25T08:30:02Z",
        "seconds": 21.7,
        "head": "ROLLOUT REFUSED: nothing was touched, what ran before still runs.",
        "faults": [
            {
                "host": "gpu",
                "phase": "stage",
                "gate": "torch",
                "service": "training-worker-gpu",
                "msg": "training-worker-gpu: " + torch_verdict.sentence(verdict),
                "log": "",
            }
        ],
    }
    for host in run["hosts"]:
        host |= {"new": None, "state": f"on {OLD}"}
        for one in host["services"]:
            one |= {"torch": None, "drain": None, "gap": None}
    run["hosts"][3]["services"][0]["torch"] = verdict
    return run


ALL = {"succeeded": succeeded, "reverted": reverted, "refused": refused}

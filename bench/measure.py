"""One measurement: a tool brings the stack to a release while the probe asks the backend."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bench import engine, probe, stack
from bench.contestants import Tool

LIMIT_S = 300.0
# The probe begins before the tool and ends after it.
MARGIN_S = 0.5
# A guard and an agent end within a second or two of their run.
LEFT_S = 20.0
_SUBREAPER = 36


def adopt_orphans() -> None:
    """Have processes that lose their parent become this one's, so that their CPU time is counted too."""
    ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)


@dataclass(frozen=True)
class Ended:
    """How a tool ended: its exit status, seconds, and CPU seconds (user and system) of it and what it waited for."""

    rc: int
    seconds: float
    cpu: float


def run(tool: Tool, log: Path) -> Ended:
    """Run a tool to its end; what it says goes into a file.

    Raises:
        BenchError: it did not end.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as out:
        began = time.monotonic()
        process = subprocess.Popen(
            tool.argv, cwd=tool.cwd, env=tool.environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
        clock = threading.Timer(LIMIT_S, process.kill)
        clock.start()
        _pid, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        clock.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if seconds >= LIMIT_S:
        raise stack.BenchError(f"{tool.argv[0]} did not end within {LIMIT_S:.0f} s: see {log}")
    return Ended(process.returncode, seconds, usage.ru_utime + usage.ru_stime)


def orphans() -> float:
    """CPU seconds of what a tool left behind, once it has ended: what comes next is neither charged for it nor disturbed by it.

    Raises:
        BenchError: something goes on and on.
    """
    spent, ends = 0.0, time.monotonic() + LEFT_S
    while time.monotonic() < ends:
        try:
            pid, _status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return spent
        if pid:
            spent += usage.ru_utime + usage.ru_stime
        else:
            time.sleep(0.02)
    raise stack.BenchError(f"What the last command left behind is still at work after {LEFT_S:.0f} s: ps --ppid {os.getpid()}")


class HealthWatch:
    """Notes when the engine first calls a container healthy. It only listens: asking would cost the contestants."""

    def __init__(self) -> None:
        self._events = engine.Events("health_status")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._first: dict[str, float] = {}

    def __enter__(self) -> HealthWatch:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._events.close()
        self._thread.join()

    def _listen(self) -> None:
        for event in self._events:
            if event["Action"].endswith(": healthy"):
                self._first.setdefault(event["Actor"]["ID"], time.monotonic())

    def all_healthy(self, projects: list[str], release: str, limit_s: float = 60.0) -> float:
        """When the last of the services of the release became healthy.

        Raises:
            BenchError: one did not in time.
        """
        end = time.monotonic() + limit_s
        while True:
            found = {c["Labels"][stack.SERVICE]: c["Id"] for c in engine.containers(projects) if _runs(c, release)}
            times = [self._first.get(found.get(service, ""), 0.0) for service in stack.SERVICES]
            if all(times):
                return max(times)
            if time.monotonic() > end:
                raise stack.BenchError(f"Docker did not call all services of {release} healthy within {limit_s:.0f} s")
            time.sleep(0.1)


def _runs(container: dict[str, Any], release: str) -> bool:
    revision = container["Labels"].get("org.opencontainers.image.revision")
    return container["State"] == "running" and f"sha-{revision}" == release


def measure(tool: Tool, release: str, projects: list[str], log: Path, changes: bool = True, rc: int = 0) -> dict[str, Any]:
    """Run a tool, and wait until all services answer as the release.

    Args:
        release: what must run in the end.
        changes: whether containers are made anew; without, there is no time at which they become healthy.
        rc: how the tool must end: 0, or anything else.

    Returns:
        wall (until the tool has ended and all services answer), tool, healthy (until Docker calls all of them healthy), cpu: in
        seconds. requests, failed, outage and slowest, of the probe. load: of the machine, before.

    Raises:
        BenchError: the tool or the services did not do what is measured.
    """
    orphans()
    load = os.getloadavg()[0]
    with HealthWatch() as watch, probe.Probe(stack.URL) as asking:
        time.sleep(MARGIN_S)
        began = time.monotonic()
        ended = run(tool, log)
        if (ended.rc != 0) != (rc != 0):
            raise stack.BenchError(f"{tool.argv[0]} ended with exit status {ended.rc}:\n{log.read_text()[-2000:]}")
        wall = ended.seconds
        if not stack.answers(release):
            stack.await_answers(release)
            wall = time.monotonic() - began
        healthy = watch.all_healthy(projects, release) - began if changes else None
        time.sleep(MARGIN_S)
        left = orphans()
    samples = asking.samples
    return {
        "wall": round(wall, 3),
        "tool": round(ended.seconds, 3),
        "healthy": None if healthy is None else round(healthy, 3),
        "cpu": round(ended.cpu + left, 2),
        "requests": len(samples),
        "failed": probe.failed(samples),
        "outage": round(probe.longest_outage(samples), 3),
        "slowest": round(probe.slowest(samples), 3),
        "load": round(load, 2),
    }

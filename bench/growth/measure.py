"""One run of ansible-playbook with what it cost the controller: CPU and memory of its whole tree of processes."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Mapping, Sequence

_SUBREAPER = 36
PAGE = os.sysconf("SC_PAGE_SIZE")
EVERY_S = 1.0


def adopt() -> None:
    """Have orphans of the tree become children of this process: ssh's shared connections outlive the task that opened them."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    found, rest = [], [pid]
    while rest:
        for file in Path(f"/proc/{rest.pop()}/task").glob("*/children"):
            with suppress(OSError):
                children = [int(word) for word in file.read_text(encoding="ascii").split()]
                found += children
                rest += children
    return found


def rss(pid: int) -> int:
    """Bytes of a process that are in memory, shared ones included; 0 where it is gone."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE
    return 0


def pss(pid: int) -> int:
    """The same, where each shared page is divided by those who share it."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024
    return 0


class Sampler(threading.Thread):
    """Looks at the tree once a second and keeps the largest sums."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_rss = self.peak_pss = self.samples = 0
        self._ended = threading.Event()

    def run(self) -> None:
        """Until `end`."""
        while not self._ended.wait(EVERY_S):
            tree = descendants(os.getpid())
            self.peak_rss = max(self.peak_rss, sum(map(rss, tree)))
            self.peak_pss = max(self.peak_pss, sum(map(pss, tree)))
            self.samples += 1

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        self.join()


def machine_cpu() -> float:
    """Seconds that the cores of this machine have worked, for whomever."""
    user, nice, system, _idle, _iowait, irq, softirq = map(
        int, Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:8]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def busy(seconds: float = 3.0) -> float:
    """Percent of the cores that are busy while nothing is measured: the load of others."""
    before = machine_cpu()
    time.sleep(seconds)
    return round(100 * (machine_cpu() - before) / seconds / (os.cpu_count() or 1), 1)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _end_tree(limit: float = 20.0) -> None:
    """End what is left below this process, and wait for it: only then its CPU time is counted."""
    ends, how = time.monotonic() + limit, signal.SIGTERM
    while True:
        for pid in descendants(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, how)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        how = signal.SIGKILL if time.monotonic() > ends else how
        time.sleep(0.05)


def command(arguments: Sequence[str], environment: Mapping[str, str], directory: Path, log: Path) -> dict[str, float]:
    """Run a command whose output goes to `log`: exit status, wall, CPU, peaks of memory."""
    others = busy()
    cpu, whole, began = _children_cpu(), machine_cpu(), time.monotonic()
    sampler = Sampler()
    with log.open("wb") as out:
        process = subprocess.Popen(
            arguments, env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
        sampler.start()
        try:
            code = process.wait()
            wall, whole = time.monotonic() - began, machine_cpu() - whole
        finally:
            sampler.end()
            _end_tree()
    return {
        "rc": code,
        "wall": round(wall, 2),
        "cpu": round(_children_cpu() - cpu, 2),
        "busy": round(100 * whole / wall / (os.cpu_count() or 1), 1),
        "peak_rss": sampler.peak_rss,
        "peak_pss": sampler.peak_pss,
        "samples": sampler.samples,
        "others": others,
    }

"""Mutexes of the state directory: locks of the operating system, which end with their holder at the latest."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import Iterator, NamedTuple, Optional

from ansible.module_utils.rollout.io import clock, processes

# The files of the mutexes that this process holds for a run.
_FILES: set[int] = set()


class Holder(NamedTuple):
    """The process that holds a mutex, and its run."""

    run: str
    process: processes.Process


@contextlib.contextmanager
def hold(path: Path, wait: float, run: str = "") -> Iterator[bool]:
    """Hold the mutex of that file.

    Args:
        run: for which run; the file then says so, and which process this is (`holder`).

    Yields:
        Whether it was free within ``wait`` seconds.
    """
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb") as file:
        ends = clock.monotonic() + wait
        got = _flock(file.fileno())
        while not got and clock.monotonic() < ends:
            clock.sleep(0.1)
            got = _flock(file.fileno())
        if got and run:
            # On a full disk nobody can say who it is: then nobody is ended either.
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), 0)
                os.pwrite(file.fileno(), json.dumps({"run": run, **processes.signature()}).encode(), 0)
            _FILES.add(file.fileno())
        try:
            yield got
        finally:
            _FILES.discard(file.fileno())


def inherited() -> tuple[int, ...]:
    """The files for a command that goes on if this process is killed: with them the mutex is not free before it has ended."""
    return tuple(_FILES)


def _flock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def holder(path: Path) -> Optional[Holder]:
    """The holder of a mutex that is not free: another living process of this user, by its own entry in the file.

    None where that is not certain: what the kernel says of the file's locks must not contradict it.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        run, process = str(facts["run"]), processes.signed(facts)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    known = processes.lockers(path)
    return Holder(run, process) if process and (not known or process.pid in known) else None

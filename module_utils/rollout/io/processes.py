"""Processes of this host, as /proc has them: which one it is, and its end with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Optional

from ansible.module_utils.rollout.io import clock, machine

# As long as a signal to stop may take to arrive.
STOP_S = 1.0
_GONE, _STILL = "ZX", "tTD"


class Process(NamedTuple):
    """One process. ``started`` is in ticks since the boot: with it a number that is given again is known as another process."""

    pid: int
    started: int
    parent: int
    session: int
    state: str


def look(pid: int) -> Optional[Process]:
    """The process of that number; None where there is none, or only what its parent has not asked for yet."""
    return _parsed(pid, Path(f"/proc/{pid}/stat"))


def _parsed(pid: int, path: Path) -> Optional[Process]:
    try:
        # Behind the name, which may hold anything: state, parent, group, session; field 22 is the start (proc(5)).
        fields = path.read_text(errors="replace").rpartition(")")[2].split()
        found = Process(pid, int(fields[19]), int(fields[1]), int(fields[3]), fields[0])
    except (OSError, ValueError, IndexError):
        return None
    return None if found.state in _GONE else found


def signature() -> dict[str, Any]:
    """The identity of this process for `signed`: its number and start, the boot, and the namespace of that number."""
    mine = look(os.getpid())
    return {"pid": os.getpid(), "started": mine.started if mine else 0, "boot": machine.clock().boot, "space": _space()}


def signed(facts: Mapping[str, Any]) -> Optional[Process]:
    """The process with that `signature`; None unless it lives, is this user's, and not this process itself."""
    pid = facts.get("pid")
    if type(pid) is not int or pid == os.getpid() or (facts.get("boot"), facts.get("space")) != (machine.clock().boot, _space()):
        return None
    found = look(pid)
    return found if found and found.started == facts.get("started") and _ours(pid) else None


def _space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _ours(pid: int) -> bool:
    """Whether a process works as this user: none of its four user ids is another's."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith("Uid:") and set(line.split()[1:]) == {str(os.geteuid())} for line in lines)


def lockers(path: Path) -> set[int]:
    """The processes that hold a lock on a file; empty where the kernel does not say (proc_locks(5))."""
    found = set()
    with contextlib.suppress(OSError, ValueError, IndexError):
        inode = str(path.stat().st_ino)
        for fields in map(str.split, Path("/proc/locks").read_text().splitlines()):
            if fields[1] != "->" and fields[5].rpartition(":")[2] == inode:
                found.add(int(fields[4]))
    return found


def end(root: Process, due: Callable[[], bool], patience: float) -> Optional[list[Process]]:
    """End a process with all that it started; this process and what is another user's excepted.

    Args:
        due: is asked once they stand still, whether they are to be ended after all; if not, they go on.
        patience: seconds to wait for their end. The kernel ends none before it comes back from a disk or network that hangs.

    Returns:
        Those that are there still; None if it was not due.
    """
    found: list[Process] = []
    ending = False
    try:
        # A stopped process starts no child. Again, until none is new.
        while fresh := [one for one in _family(root) if one not in found]:
            for one in fresh:
                found.append(one)
                _send(one, signal.SIGSTOP)
            _until(lambda: _stands(root), STOP_S)
        ending = due()
        if not ending:
            return None
    finally:
        for one in found:
            _send(one, signal.SIGKILL if ending else signal.SIGCONT)
    _until(lambda: not _left(found), patience)
    return _left(found)


def _left(found: list[Process]) -> list[Process]:
    now = ((one, look(one.pid)) for one in found)
    return [there for one, there in now if there and there.started == one.started]


def _stands(one: Process) -> bool:
    threads = Path(f"/proc/{one.pid}/task")
    with contextlib.suppress(OSError):
        return all(there is None or there.state in _STILL for there in (_parsed(0, each / "stat") for each in threads.iterdir()))
    return True


def _until(condition: Callable[[], bool], seconds: float) -> None:
    ends = clock.monotonic() + seconds
    while not condition() and clock.monotonic() < ends:
        clock.sleep(0.02)


def _family(root: Process) -> list[Process]:
    """A process, its descendants, and the members of sessions that these lead, whose parents may have ended.

    Without this process: a guard may be the child of the agent whose step it ends.
    """
    everyone = {one.pid: one for one in _everyone()}
    found = [root]
    numbers = {root.pid}
    for one in found:
        below = [
            p for p in everyone.values() if one.pid in (p.parent, p.session) and p.pid not in numbers and p.pid != os.getpid()
        ]
        found += below
        numbers.update(p.pid for p in below)
    # state changes as they are stopped.
    return [one._replace(state="", parent=0) for one in found]


def _everyone() -> Iterator[Process]:
    for entry in Path("/proc").glob("[0-9]*"):
        found = look(int(entry.name))
        if found:
            yield found


def _send(one: Process, number: int) -> None:
    """Send a signal to this very process, if it is this user's. A process that has the same number now gets none."""
    handle = -1
    with contextlib.suppress(AttributeError, OSError):
        # Linux 5.3: it stays with the process, whatever becomes of the number.
        handle = os.pidfd_open(one.pid)
    try:
        there = look(one.pid)
        if there and there.started == one.started and _ours(one.pid):
            with contextlib.suppress(OSError):
                if handle >= 0:
                    signal.pidfd_send_signal(handle, number)
                else:
                    os.kill(one.pid, number)
    finally:
        if handle >= 0:
            os.close(handle)

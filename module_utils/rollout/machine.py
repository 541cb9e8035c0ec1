"""The machine itself: its clock, its service manager, its processes."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.rollout.lock import Clock

SYSTEMD, PROCESS, NOBODY = "systemd", "process", "nobody"


def clock() -> Clock:
    """This moment, on the clock that nobody sets and that counts sleep too."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = "unknown"
    return Clock(boot, time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)))


def now() -> str:
    """The wall clock, for people."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def keeper(application: str) -> str:
    """Who keeps a guard alive here: SYSTEMD, through the unit that playbooks/prepare.yml installs, or only PROCESS."""
    if not Path("/run/systemd/system").is_dir():
        return NOBODY
    try:
        done = subprocess.run(["systemctl", "is-active", "--quiet", f"rollout-guard-{application}.path"], timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return PROCESS
    return SYSTEMD if done.returncode == 0 else PROCESS


def detach(program: Path, log: Path, *arguments: str) -> None:
    """Start a Python program that outlives this process, its session and its connection."""
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as out:
        subprocess.Popen(
            # Neither site packages nor the environment: whoever starts it waits, and it needs the standard library alone.
            [sys.executable or "/usr/bin/python3", "-IS", str(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            start_new_session=True,
            close_fds=True,
        )


def who() -> str:
    """Who runs this playbook, for people: user@machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def owner() -> dict[str, Any]:
    """Who runs this playbook: user, host, machine, process, and the processes of all playbooks that are alive here.

    ``machine`` is one boot and one process namespace: only within these does a process id mean anything.
    """
    try:
        machine = f"{clock().boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        machine = ""
    playbooks = dict(_playbooks())
    mine, pid = "", os.getpid()
    while pid > 1:
        # The outermost one: Ansible forks a worker for each task.
        mine = f"{pid}:{playbooks[pid]}" if pid in playbooks else mine
        pid = _parent(pid)
    alive = [f"{pid}:{started}" for pid, started in playbooks.items()]
    user, _at, host = who().rpartition("@")
    return {"user": user, "host": host, "machine": machine, "process": mine, "alive": alive}


def _playbooks() -> list[tuple[int, str]]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"ansible-playbook" in (process / "cmdline").read_bytes():
                # Field 22 of /proc/PID/stat (proc(5)), counted after the name, which may hold anything.
                found.append((int(process.name), (process / "stat").read_text().rpartition(")")[2].split()[19]))
        except (OSError, IndexError):
            continue
    return found


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0

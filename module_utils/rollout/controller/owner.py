"""The owner of a run: the person, and the playbook's process on the controller."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path
from typing import Any

from ansible.module_utils.rollout.io.machine import clock


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

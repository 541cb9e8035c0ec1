"""The machine itself: its clock, its service manager, its processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Optional

from ansible.module_utils.rollout.domain.lock import Clock
from ansible.module_utils.rollout.domain.units import seconds_since

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


def age(started: str) -> float:
    """The seconds since a time of Docker's on this host, by its wall clock; 0 where that cannot be said."""
    return seconds_since(started, time.time()) or 0.0


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


def free_bytes(path: str) -> int:
    """Bytes free for this user on the file system that holds ``path`` (or its nearest existing parent)."""
    return shutil.disk_usage(_existing(path)).free


def free_inodes(path: str) -> Optional[int]:
    """Files that this user may still make on that file system; None if it does not count them (btrfs)."""
    found = os.statvfs(_existing(path))
    return found.f_favail if found.f_files else None


def temporary() -> str:
    """Where this user's temporary files go; ``tempfile`` names another place as soon as that is full."""
    return os.environ.get("TMPDIR") or "/tmp"  # nosec B108 # nothing is written here


def _existing(path: str) -> Path:
    place = Path(path)
    # Not Path.exists: of what this user may not look at (the engine's data, with userns-remap) it raises.
    while not os.path.exists(place):
        place = place.parent
    return place

"""Removes what this tool made on a host: the state directory of an application, and the units of its guard."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable, Sequence

from ansible.module_utils.rollout.io import ownership
from ansible.module_utils.rollout.io.atomic import write_atomic

# What an application wrote and what was saved of it; and what a removal wrote down of the rest of its data.
DATA, RECORD = ("data", "backups"), ownership.RECORD
_UNITS = Path("/etc/systemd/system")
_PATTERNS = (".agent-*", ".login.*", ".reading.*", *(f".{name}.*" for name in ownership.FILES))


def state(root: Path) -> list[Path]:
    """What this tool keeps in a state directory, without data."""
    names = [root / name for name in (*ownership.FILES, *ownership.DIRECTORIES, "files", "jobs", "reserve") if name != RECORD]
    found = {path for path in names if os.path.lexists(path)}
    return sorted(found | {path for pattern in _PATTERNS for path in root.glob(pattern)})


def others(root: Path) -> list[Path]:
    """What somebody else put into a state directory."""
    known = {*state(root), *(root / name for name in (*DATA, RECORD))}
    return sorted({*root.iterdir()} - known) if root.is_dir() else []


def data(root: Path) -> list[Path]:
    """The folders of data in a state directory that hold something, as far as this user may look."""
    return [root / name for name in DATA if os.path.lexists(root / name) and not _empty(root / name)]


def remove(path: Path) -> list[Path]:
    """Remove a file, or a folder with all that is in it: what could not be removed."""
    left: list[Path] = []

    def failed(_call: Callable[..., Any], name: str, _why: Any) -> None:
        left.append(Path(name))

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=failed)
    else:
        try:
            path.unlink()
        except FileNotFoundError:
            pass
        except OSError:
            left.append(path)
    return [path] if left else []


def remove_empty(path: Path) -> bool:
    """Remove a folder that is empty; whether it is gone."""
    with contextlib.suppress(OSError):
        path.rmdir()
    return not os.path.lexists(path)


def recorded(root: Path) -> list[str]:
    """The volumes that an earlier removal left, and wrote down; none without one."""
    try:
        return [str(name) for name in json.loads((root / RECORD).read_text(encoding="utf-8"))["volumes"]]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def record(root: Path, volumes: Sequence[str]) -> None:
    """Write down volumes that stay, in one step: behind the containers some cannot be known any more."""
    write_atomic(root / RECORD, json.dumps({"volumes": [*volumes]}) + "\n")


def units(application: str) -> list[Path]:
    """The units of an application's guard that are installed."""
    names = (_UNITS / f"rollout-guard-{application}.{kind}" for kind in ("path", "service"))
    return [path for path in names if path.exists()]


def may_remove_units() -> bool:
    """Whether this user can: only root."""
    return os.geteuid() == 0


def remove_units(application: str) -> None:
    """Stop and remove them."""
    there = units(application)
    for words in (["disable", "--now", there[0].name], ["stop", f"rollout-guard-{application}.service"]):
        subprocess.run(["systemctl", *words], capture_output=True, timeout=60, check=False)
    for path in there:
        remove(path)
    subprocess.run(["systemctl", "daemon-reload"], capture_output=True, timeout=60, check=False)


def _empty(path: Path) -> bool:
    try:
        return not os.listdir(path)
    except OSError:
        # What this user may not look into may hold anything.
        return False

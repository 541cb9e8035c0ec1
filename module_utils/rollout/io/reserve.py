"""Room on the disk of the state directory for the way back: a host whose disk is full must be able to go back, and to say so."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Callable

from ansible.module_utils.rollout.io import refusals

# Some hundred entries of the ledger.
SIZE = 2**16
_FULL = (errno.ENOSPC, errno.EDQUOT)


def keep(root: Path) -> None:
    """Have the room set aside.

    Raises:
        RolloutError: there is none.
    """
    path = root / "reserve"
    if path.exists() and path.stat().st_size == SIZE:
        return
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            # Not zeros: a file system may compress those away.
            file.write(os.urandom(SIZE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise refusals.STATE_UNWRITABLE(path=root, reason=error.strerror) from error


def used(root: Path, write: Callable[[], None], back: bool) -> None:
    """Write; where the disk is full, once more in that room, if it is a part of the way ``back``.

    Raises:
        OSError: as ``write`` does.
    """
    try:
        write()
    except OSError as error:
        if not back or error.errno not in _FULL or not (root / "reserve").exists():
            raise
        (root / "reserve").unlink()
        write()

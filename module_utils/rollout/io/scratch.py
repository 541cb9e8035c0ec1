"""Directories that are needed for a moment, and gone afterwards: of a login, or of files that Compose reads."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Iterator, Optional

LOGIN, READING = "login", "reading"
# One that another process sweeps away at its birth is made anew.
TRIES = 3


@contextlib.contextmanager
def directory(root: Optional[Path], name: str) -> Iterator[Path]:
    """A new directory below ``root``, or among temporary files, for this user alone."""
    with contextlib.ExitStack() as stack:
        # Some file systems have no locks: then it is used without.
        for _try in range(TRIES):
            found = stack.enter_context(tempfile.TemporaryDirectory(dir=root, prefix=f".{name}."))
            if _hold(found, stack):
                break
        yield Path(found)


def left(root: Path) -> list[Path]:
    """What there is of such directories: those of killed processes too."""
    return [path for name in (LOGIN, READING) for path in root.glob(f".{name}.*")]


def sweep(root: Path) -> None:
    """Remove what killed processes left. The files of a living process stay: a run that only looks holds no mutex."""
    for path in left(root):
        with contextlib.ExitStack() as stack:
            if _hold(str(path), stack):
                shutil.rmtree(path, ignore_errors=True)


def _hold(path: str, stack: contextlib.ExitStack) -> bool:
    """Lock a directory until the end of ``stack``, or of this process; whether that could be done."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        stack.callback(os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another one may have swept it away just before.
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except OSError:
        return False

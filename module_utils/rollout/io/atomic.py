"""Files that are whole or not there, also after power loss."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Union


def sha256(text: str) -> str:
    """Hexadecimal SHA-256 of the text's UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_atomic(path: Path, content: Union[str, bytes], mode: int = 0o600) -> None:
    """Replace the file in one step that survives power loss: temporary file, fsync, rename, fsync of the folder."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        os.fchmod(fd, mode)
        with os.fdopen(fd, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError):
            # A full disk does not say which file it had no room for.
            error.filename = str(path)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames inside the folder survive power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def append(path: Path, line: bytes) -> None:
    """Append a line, newline included, and wait until it is on the disk. A torn one before it ends there, and swallows nothing.

    Raises:
        OSError: it could not be written, or not all of it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(fd).st_size
        torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        data = (b"\n" if torn else b"") + line
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(fd)
    finally:
        os.close(fd)

"""The backups of an application on its host: files that are whole or not there, also after power loss."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import zlib
from pathlib import Path
from typing import Any, Callable, Iterator

from ansible.module_utils.rollout.io.atomic import sync_directory

# Ends the name of a file that is being written.
PART = ".part"
_PIECE = 2**20


class Writing:
    """A backup's file while it is written: it is hashed as it goes to the disk."""

    def __init__(self, file: Any, packed: bool) -> None:
        self._file, self._digest, self.bytes = file, hashlib.sha256(), 0
        self._packer = zlib.compressobj(1, zlib.DEFLATED, 31) if packed else None

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._digest.hexdigest()

    def write(self, piece: bytes) -> None:
        """Write what comes next.

        Raises:
            OSError: it cannot be written.
        """
        self._put(self._packer.compress(piece) if self._packer else piece)

    def end(self) -> None:
        """Write what was held back, and wait until all is on the disk."""
        self._put(self._packer.flush() if self._packer else b"")
        os.fsync(self._file.fileno())

    def _put(self, piece: bytes) -> None:
        # Unbuffered: a full disk takes a part of it.
        data = memoryview(piece)
        while data:
            taken = self._file.write(data)
            self._digest.update(data[:taken])
            self.bytes += taken
            data = data[taken:]


class Backups:
    """The folder ``backups`` of a state directory. Each backup is one file there, for this user alone."""

    def __init__(self, root: Path) -> None:
        self.path = root / "backups"

    def file(self, name: str) -> Path:
        """The path of a backup's file."""
        return self.path / os.path.basename(name)

    def sweep(self) -> None:
        """Remove what a killed process left of a backup that it was writing. The caller is the only one at work."""
        for path in self.path.glob(f"*{PART}"):
            path.unlink()

    def names(self) -> set[str]:
        """The files that are there, without unfinished ones."""
        return {path.name for path in self.path.glob("*") if not path.name.endswith(PART)} if self.path.is_dir() else set()

    @contextlib.contextmanager
    def writing(self, name: str, packed: bool) -> Iterator[Writing]:
        """Write the unfinished file of a backup; unless that ends well, it goes.

        Args:
            packed: compress what is written.

        Raises:
            OSError: it cannot be written; the error names the file.
        """
        self.path.mkdir(mode=0o700, exist_ok=True)
        self.path.chmod(0o700)
        part = self.file(name + PART)
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb", buffering=0) as file:
                os.fchmod(file.fileno(), 0o600)
                writing = Writing(file, packed)
                yield writing
                writing.end()
        except BaseException as error:
            self.discard(name)
            if isinstance(error, OSError):
                error.filename = error.filename or str(part)
            raise

    def keep(self, name: str) -> int:
        """Give the file that was just written its name; it is on the disk then.

        Returns:
            When it was last changed, in ns of the wall clock.
        """
        part, path = self.file(name + PART), self.file(name)
        os.replace(part, path)
        sync_directory(self.path)
        sync_directory(self.path.parent)
        return path.stat().st_mtime_ns

    def discard(self, name: str) -> None:
        """Remove the unfinished file of a backup."""
        with contextlib.suppress(OSError):
            self.file(name + PART).unlink()

    def drop(self, name: str) -> None:
        """Remove a backup's file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.file(name).unlink()

    def pieces(self, name: str, packed: bool) -> Iterator[bytes]:
        """What was written, piece by piece.

        Raises:
            OSError, EOFError: it cannot be read, or is not what was compressed.
        """
        with gzip.open(self.file(name)) if packed else open(self.file(name), "rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def looks(self, name: str) -> tuple[int, int]:
        """Length and last change of a file, in bytes and in ns of the wall clock.

        Raises:
            OSError: it is not there.
        """
        found = self.file(name).stat()
        return found.st_size, found.st_mtime_ns

    def sha256(self, name: str, pulse: Callable[[], None] = lambda: None) -> str:
        """The SHA-256 of a file as it is now; ``pulse`` is called for each piece.

        Raises:
            OSError: it cannot be read.
        """
        digest = hashlib.sha256()
        with open(self.file(name), "rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                pulse()
        return digest.hexdigest()

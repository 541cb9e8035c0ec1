"""The files of a Compose project that somebody keeps on a host: read, never written, and in bounds."""

from __future__ import annotations

import base64
import os
import stat
from itertools import islice
from pathlib import Path
from typing import Any, Iterator

from ansible.module_utils.rollout.errors import Refusal

# Bytes: configuration is below this, and an answer carries all of it at once.
FILE_MOST, ALL_MOST, NUMBER_MOST = 2**18, 3 * 2**19, 500
# Why a file was not read.
ABSENT, DENIED, LARGE, BINARY, STRANGE = "absent", "denied", "large", "binary", "strange"


UNREADABLE = Refusal(
    "What runs there already",
    "{path} cannot be read ({reason})",
    "let the connecting user read that file, or connect as its owner",
)


class Files:
    """What was read so far: path -> its content (base64) and mode, or why there is none. All together are bounded."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self._left = ALL_MOST

    def take(self, path: str) -> None:
        """Read a file; or of a folder all files below it, or none of them."""
        if path in self.found:
            return
        place = Path(path)
        try:
            if not place.is_dir():
                self.found[path] = self._read(place)
                return
            entries = list(islice(_below(place), NUMBER_MOST + 1))
            if len(entries) > NUMBER_MOST:
                self.found[path] = {"why": LARGE}
                return
            before, inside = self._left, {str(entry): self._read(entry) for entry in entries}
        except OSError as error:
            self.found[path] = {"why": ABSENT if isinstance(error, FileNotFoundError) else DENIED}
            return
        why = next((one["why"] for one in inside.values() if "why" in one), "")
        if why:
            # A part of it is not what the service reads.
            self._left, inside = before, {}
        self.found.update(inside)
        self.found[path] = {"why": why} if why else {"folder": True}

    def _read(self, path: Path) -> dict[str, Any]:
        # Not one that waits for a writer.
        descriptor = -1
        try:
            if not str(path).isprintable():
                return {"why": STRANGE}
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                return {"why": STRANGE}
            if facts.st_size > min(FILE_MOST, self._left):
                return {"why": LARGE}
            with os.fdopen(descriptor, "rb") as handle:
                descriptor = -1
                raw = handle.read(min(FILE_MOST, self._left) + 1)
        except OSError as error:
            gone = isinstance(error, (FileNotFoundError, NotADirectoryError))
            return {"why": ABSENT if gone else DENIED}
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        if len(raw) > min(FILE_MOST, self._left):
            return {"why": LARGE}
        if not _is_text(raw):
            return {"why": BINARY}
        self._left -= len(raw)
        return {"base64": base64.b64encode(raw).decode(), "mode": f"{stat.S_IMODE(facts.st_mode) & 0o777:04o}"}


def is_file(path: str) -> bool:
    """Whether a file of this name is there, as far as this user sees."""
    return os.path.isfile(path)


def content(path: str) -> bytes:
    """The content of a file.

    Raises:
        RolloutError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UNREADABLE(path=path, reason=error.strerror) from error


def _is_text(raw: bytes) -> bool:
    try:
        return "\0" not in raw.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _below(folder: Path) -> Iterator[Path]:
    """The files below a folder, in order. A link to a folder is not followed: it counts as something that cannot be read."""

    def refuse(error: OSError) -> None:
        raise error

    for at, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        yield from (Path(at, one) for one in sorted([*names, *(f for f in folders if Path(at, f).is_symlink())]))

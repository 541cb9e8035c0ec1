"""Files of the folder in which a stack's compose files lie, as a bundle carries them to a host."""

from __future__ import annotations

import base64
import os
from itertools import islice
from pathlib import Path
from typing import Any, Iterator, Optional, Protocol

from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.domain.source import OWN, inside
from ansible.module_utils.rollout.domain.units import human
from ansible.module_utils.rollout.errors import Refusal

_SECTION = "Files of a stack"
FILE_MOST, ALL_MOST, NUMBER_MOST = 2**20, 8 * 2**20, 2000
# What is counted of a folder, to say how large it is.
_COUNTED = 100_000
VAULT, JINJA = b"$ANSIBLE_VAULT;", ".j2"
PRIVATE = 0o600
BIG_FILE = Refusal(
    _SECTION,
    "{where}: {path} has {size}, which is not configuration: a file of a release has {most} at most. If it is data, move it out "
    "of that folder into the data directory of the stack, or mount it by an absolute path.",
    "move the file into the stack's `data`, or mount it by an absolute path",
)
BIG_FOLDER = Refusal(
    _SECTION,
    "{where}: {path} is not configuration: it has {size} in {number} files, and a release has {most} in {files} files at most. "
    "If it is data, move it out of that folder into the data directory of the stack, or mount it by an absolute path.",
    "move the folder into the stack's `data`, or mount it by an absolute path",
)
BIG = Refusal(
    _SECTION,
    "{where}: the files of the release have more than {most}, or are more than {files}. Mount what is data by absolute paths.",
    "mount what is data by absolute paths, or move it into the stack's `data`",
)
LINK = Refusal(
    _SECTION,
    "{where}: {path} is a link that leaves {folder}, so that a release cannot hold what it points to. Put that in the place of "
    "the link.",
    "put what it points to in the place of the link",
)
NOT_A_FILE = Refusal(
    _SECTION,
    "{where}: {path} is neither a file nor a folder nor a link, or its name is not plain text. Move it out of that folder.",
    "move sockets, pipes and devices, and files with broken names, out of the folder",
)
NO_ACCESS = Refusal(
    _SECTION,
    "{where}: {path} cannot be read on this machine ({why}). Let its owner give you access (chown or chmod). If it is data, "
    "move it out of that folder.",
    "give yourself access to the file, or move it out of the folder if it is data",
)


class Reader(Protocol):
    """What Ansible does with a file of the controller."""

    def contents(self, path: Path) -> bytes:
        """The bytes of an encrypted file, decrypted."""

    def render(self, path: Path) -> str:
        """What a template makes."""


class Folder:
    """A source: its ``files``, as far as they belong to the bundle, and all that is wrong with them.

    Args:
        where: the stack, for the sentences.
        files: what the bundle has already.
    """

    def __init__(self, where: str, root: Path, reader: Reader, files: Optional[dict[str, dict[str, str]]] = None) -> None:
        self.where, self.root, self._reader = where, root.resolve(), reader
        self.files: dict[str, dict[str, str]] = dict(files or {})
        self.wrong = Faults()
        # Paths that belong to no folder, though they lie in it.
        self.data: set[str] = set()
        self._size = sum(len(text) for one in self.files.values() for text in one.values())

    def take(self, path: str, private: bool = False) -> bool:
        """Add a file, or all of a folder; whether it is there. Faults are noted."""
        with self.wrong.gather():
            real = self._real(path)
            if real is None:
                return path in self.files
            if real.is_dir():
                self._folder(path, real)
            else:
                self._file(path, real, private)
        return True

    def render(self, path: str) -> Optional[str]:
        """Add what a template makes, under its name without .j2: that name; None if there is no template."""
        real, name = self._real(path), path[: -len(JINJA)]
        if real is None or not real.is_file():
            return None
        mode = PRIVATE if self._raw(real, path).startswith(VAULT) else _mode(real)
        self.put(name, self._reader.render(real).encode(), mode)
        return name

    def text(self, path: str) -> Optional[str]:
        """The text of a file, or what its template makes; it is not added. None if there is no such text. Faults are noted."""
        if path in self.files:
            return self.files[path].get("text")
        with self.wrong.gather():
            real = self._real(path)
            if real and real.is_file():
                return self._reader.render(real) if path.endswith(JINJA) else self._decrypted(real, path).decode(errors="replace")
        return None

    def exists(self, path: str) -> bool:
        """Whether anything has that name in the source."""
        return os.path.lexists(self.root / path)

    def put(self, path: str, raw: bytes, mode: int) -> None:
        """Add a file of these bytes.

        Raises:
            RolloutError: all are too much together.
        """
        # The release has one of its own.
        if path == OWN:
            return
        self._size += len(raw)
        if self._size > ALL_MOST or len(self.files) >= NUMBER_MOST:
            raise BIG(where=self.where, most=human(ALL_MOST), files=NUMBER_MOST)
        try:
            facts = {"text": raw.decode()} if b"\0" not in raw else {}
        except UnicodeDecodeError:
            facts = {}
        self.files[path] = {**(facts or {"base64": base64.b64encode(raw).decode()}), "mode": f"{mode:04o}"}

    def _real(self, path: str) -> Optional[Path]:
        """What a path of the source leads to; None if it leads to nothing.

        Raises:
            RolloutError: it leaves the source.
        """
        try:
            real = (self.root / path).resolve(strict=True)
        except (OSError, RuntimeError):
            return None
        if real != self.root and self.root not in real.parents:
            raise LINK(where=self.where, path=path, folder=self.root)
        return real

    def _file(self, path: str, real: Path, private: bool = False) -> None:
        if path in self.files:
            return
        raw = self._raw(real, path)
        private = private or raw.startswith(VAULT)
        self.put(path, self._decrypted(real, path), _mode(real) & 0o700 if private else _mode(real))

    def _decrypted(self, real: Path, path: str) -> bytes:
        raw = self._raw(real, path)
        return self._reader.contents(real) if raw.startswith(VAULT) else raw

    def _raw(self, real: Path, path: str) -> bytes:
        try:
            if not real.is_file() or not path.isprintable():
                raise NOT_A_FILE(where=self.where, path=repr(path))
            size = real.stat().st_size
            if size > FILE_MOST:
                raise BIG_FILE(where=self.where, path=path, size=human(size), most=human(FILE_MOST))
            return real.read_bytes()
        except OSError as error:
            raise NO_ACCESS(where=self.where, path=path, why=error.strerror) from None

    def _folder(self, path: str, real: Path) -> None:
        """Add all files and links of a folder.

        Raises:
            RolloutError: it is too large; or what is wrong with its files, one fault a line.
        """
        wrong, entries = Faults(), dict(islice(self._entries(path, real), _COUNTED))
        size = sum(entry.lstat().st_size for entry in entries.values())
        if size > ALL_MOST or len(entries) > NUMBER_MOST:
            number = f"more than {_COUNTED}" if len(entries) == _COUNTED else len(entries)
            most = human(ALL_MOST)
            raise BIG_FOLDER(where=self.where, path=path, size=human(size), number=number, most=most, files=NUMBER_MOST)
        for name, entry in entries.items():
            # What was rendered is here under its name without .j2.
            if name.endswith(JINJA) and name[: -len(JINJA)] in self.files:
                continue
            with wrong.gather():
                if entry.is_symlink():
                    self._link(name, entry, real)
                else:
                    self._file(name, entry)
        wrong.refuse()

    def _entries(self, path: str, real: Path) -> Iterator[tuple[str, Path]]:
        """The files and links of a folder, under their names in the bundle, without those that are data."""

        def refuse(error: OSError) -> Any:
            raise NO_ACCESS(where=self.where, path=path, why=error.strerror)

        for at, folders, names in os.walk(real, onerror=refuse):
            for entry in (Path(at, name) for name in sorted([*names, *(f for f in folders if Path(at, f).is_symlink())])):
                name = f"{path}/{entry.relative_to(real).as_posix()}"
                if not any(below(name, one) and below(one, path) for one in self.data):
                    yield name, entry

    def _link(self, name: str, entry: Path, top: Path) -> None:
        """Add a link of the folder ``top``: as it is if it stays in there, else what it points to.

        Raises:
            RolloutError: it leaves the source, or points to a folder beside ``top``.
        """
        target = os.readlink(entry)
        try:
            final = entry.resolve()
        except (OSError, RuntimeError):
            final = Path("/")
        step = inside(os.path.join(entry.relative_to(top).parent.as_posix(), target))
        if step is not None and top in (final, *final.parents):
            self.files[name] = {"link": target}
        elif self.root in final.parents and final.is_file():
            self._file(name, final)
        else:
            raise LINK(where=self.where, path=name, folder=top)


def below(path: str, folder: str) -> bool:
    """Whether a path is that folder, or lies in it."""
    return f"{path}/".startswith(f"{folder}/")


def _mode(real: Path) -> int:
    """What is kept of a file's mode: whether it can be run, and whether others may read it."""
    mode = real.stat().st_mode
    shown = 0o755 if mode & 0o100 else 0o644
    return shown if mode & 0o044 else shown & 0o700

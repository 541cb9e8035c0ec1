"""The files and folders that the services of a release mount, by their content: ``files/<digest>/<name>`` in the state directory.

A file that two releases share has one place, so that a service which uses it is not restarted; and what a kept service mounts
stays where it is when the release that brought it is old.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Collection, Iterator, Mapping

from ansible.module_utils.rollout.domain.bundle import File, digest
from ansible.module_utils.rollout.io.atomic import sync_directory

# Folders of a release are for whoever a container's process is; the state directory around them is not.
_FOLDER = 0o755


class Content:
    """The folder ``files`` below a state directory."""

    def __init__(self, root: Path) -> None:
        self.root = root / "files"

    def place(self, path: str, files: Mapping[str, File]) -> str:
        """Where a file or folder of a source is, or will be, below `root`: its digest and its own name.

        Args:
            path: the path at the source.
            files: as `Bundle.below` has them.
        """
        return f"{digest(files)}/{path.rpartition('/')[2]}"

    def put(self, place: str, files: Mapping[str, File]) -> None:
        """Write what is not there yet, whole or not at all; what was edited since is written anew.

        Raises:
            OSError: there is no room, or it is not allowed.
        """
        there = self.root / place
        if os.path.lexists(there):
            if self.edited(place):
                _restore(there, files)
            if not self.edited(place):
                return
            _remove(there)
        self.root.mkdir(mode=0o711, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=self.root, prefix=".new."))
        try:
            if "" not in files:
                _folder(aside / there.name)
            for path, file in files.items():
                _write(aside / there.name / path if path else aside / there.name, file)
            # Another file of the same content, with another name, may lie there.
            _folder(there.parent)
            os.replace(aside / there.name, there)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        sync_directory(there.parent)
        sync_directory(self.root)

    def read(self, place: str) -> dict[str, File]:
        """What lies at a place, as `Bundle.below` has it; empty if nothing does."""
        top = self.root / place
        if top.is_symlink() or top.is_file():
            return {"": _read(top)}
        found = {}
        for folder, folders, names in os.walk(top):
            for name in [*names, *(one for one in folders if os.path.islink(os.path.join(folder, one)))]:
                path = Path(folder) / name
                found[path.relative_to(top).as_posix()] = _read(path)
        return dict(sorted(found.items()))

    def edited(self, place: str) -> bool:
        """Whether what lies there is no longer what was put there, or is gone."""
        try:
            return digest(self.read(place)) != place.partition("/")[0]
        except OSError:
            return True

    def prune(self, keep: Collection[str]) -> None:
        """Remove what is not among these places, and what killed processes left.

        Raises:
            OSError: something could not be removed.
        """
        kept = {place.partition("/")[0] for place in keep}
        with contextlib.suppress(FileNotFoundError):
            for there in sorted(self.root.iterdir()):
                if there.name not in kept:
                    shutil.rmtree(there)


def is_same(top: Path, files: Mapping[str, File]) -> bool:
    """Whether a file or folder has this content, and nothing else; modes may differ. What cannot be read has not."""
    try:
        if "" in files:
            return top.is_file() and top.read_bytes() == files[""].content
        if not top.is_dir() or strange(top, files):
            return False
        return all(_alike(top / path, file) for path, file in files.items())
    except OSError:
        return False


def _alike(path: Path, file: File) -> bool:
    found = _read(path)
    return (found.content, found.link) == (file.content, file.link)


def strange(top: Path, own: Collection[str]) -> list[str]:
    """What lies in a folder, or below it, and is not among its ``own`` files: of a strange folder its name alone."""
    folders = {parent.as_posix() for file in own for parent in PurePosixPath(file).parents}

    def found(folder: Path) -> Iterator[str]:
        for path in folder.iterdir():
            known = path.relative_to(top).as_posix()
            if known in folders:
                yield from found(path)
            elif known not in own:
                yield known

    return sorted(found(top))


def _restore(top: Path, files: Mapping[str, File]) -> None:
    """Write what was edited where it lies, as far as that goes: a container that mounts it sees it."""
    with contextlib.suppress(OSError):
        for path in [] if "" in files else strange(top, files):
            _remove(top / path)
        for path, file in files.items():
            here = top / path if path else top
            if here.is_symlink():
                here.unlink()
            _write(here, file)


def _folder(path: Path) -> None:
    if not path.exists():
        path.mkdir()
        # Independent of the umask.
        path.chmod(_FOLDER)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _write(path: Path, file: File) -> None:
    for folder in [*path.parents][::-1]:
        _folder(folder)
    if file.link:
        os.symlink(file.link, path)
        return
    with open(path, "wb") as handle:
        os.fchmod(handle.fileno(), int(file.mode, 8))
        handle.write(file.content)
        handle.flush()
        os.fsync(handle.fileno())


def _read(path: Path) -> File:
    if path.is_symlink():
        return File(link=os.readlink(path))
    return File(path.read_bytes(), f"0{path.stat().st_mode & 0o777:o}")

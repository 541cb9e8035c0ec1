"""All file I/O on a host: the state directory with its releases and its ledger."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Optional

from ansible.module_utils.rollout import ledger as ledgers
from ansible.module_utils.rollout.errors import RolloutError


def sha256(text: str) -> str:
    """Hexadecimal SHA-256 of the text's UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_atomic(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace the file in one step that survives power loss: temporary file, fsync, rename, fsync of the folder."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        os.fchmod(fd, mode)
        with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames inside the folder survive power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Store:
    """The state directory of one application on one host: ``ledger.jsonl`` and ``releases/<name>/``."""

    def __init__(self, root: str) -> None:
        self.root = Path(os.path.expanduser(root))
        self.releases = self.root / "releases"
        self.path = self.root / "ledger.jsonl"

    def require_writable(self) -> None:
        """Refuse before anything is touched where the state could not be kept.

        Raises:
            RolloutError: the directory is absent and cannot be made, or is not writable.
        """
        try:
            for directory in (self.root, self.releases):
                if not directory.exists():
                    directory.mkdir(mode=0o700, parents=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise RolloutError(
                f"The state directory {self.root} is not writable ({error.strerror}): run "
                "ansible-playbook playbooks/prepare.yml, or set rollout_dir to a directory of your own."
            ) from error

    def ledger(self) -> ledgers.Ledger:
        """What the ledger says; an absent file is an empty ledger."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return ledgers.Ledger()
        except PermissionError as error:
            raise RolloutError(f"The ledger {self.path} cannot be read ({error.strerror}).") from error
        return ledgers.fold(*ledgers.parse(text))

    def append(self, event: str, run: str, **facts: Any) -> None:
        """Append one entry and wait until it is on the disk."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        entry = ledgers.line(self.ledger().last_seq + 1, event, run, at, **facts)
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                size = os.fstat(fd).st_size
                # A torn last line ends here, so that it swallows no later entry.
                torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
                data = (b"\n" if torn else b"") + entry.encode()
                if os.write(fd, data) != len(data):
                    raise OSError(28, "No space left on device")
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise RolloutError(f"The ledger {self.path} cannot be written: {error.strerror}.") from error
        sync_directory(self.root)

    def directory(self, name: str) -> Path:
        """The directory of the release of that name."""
        return self.releases / name

    def manifest(self, name: str) -> dict[str, Any]:
        """release.json of a release.

        Raises:
            RolloutError: it is gone or unreadable.
        """
        path = self.directory(name) / "release.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RolloutError(f"Release {name} is incomplete: {path} cannot be read ({error}).") from error

    def names(self) -> list[str]:
        """The complete releases on this host."""
        try:
            # Without those that power loss left half-written or half-removed: their names begin with a dot.
            return sorted(p.name for p in self.releases.iterdir() if p.name[0] != "." and (p / "release.json").is_file())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, name: str, file: str) -> Optional[str]:
        """The text of a release's file, or None where there is none."""
        try:
            # newline="": what is compared is what was written, carriage returns included.
            with open(self.directory(name) / file, encoding="utf-8", newline="") as handle:
                return handle.read()
        except FileNotFoundError:
            return None

    def edited(self, name: str) -> list[str]:
        """The files of a release that are no longer what was staged."""
        changed = []
        for file, digest in self.manifest(name).get("files", {}).items():
            text = self.read(name, file)
            if text is None or sha256(text) != digest:
                changed.append(file)
        return sorted(changed)

    def write_release(self, name: str, files: dict[str, str], manifest: dict[str, Any]) -> None:
        """Write a release directory, whole or not at all (built aside, then renamed)."""
        self.require_writable()
        for left in [*self.releases.glob(".*"), self.directory(name)]:
            shutil.rmtree(left, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(dir=self.releases, prefix=f".{name}."))
        try:
            for file, text in files.items():
                write_atomic(aside / file, text)
            document = dict(manifest, files={file: sha256(text) for file, text in files.items()})
            write_atomic(aside / "release.json", json.dumps(document, indent=2, sort_keys=True) + "\n")
            os.replace(aside, self.directory(name))
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise RolloutError(f"Release {name} cannot be written to {self.releases}: {error.strerror}.") from error
        sync_directory(self.releases)

    def remove(self, name: str) -> None:
        """Remove a release directory: gone at once from `names`, then from the disk."""
        aside = self.releases / f".{name}.removed"
        os.replace(self.directory(name), aside)
        shutil.rmtree(aside)

    def free_bytes(self, path: str) -> int:
        """Bytes free for this user on the file system that holds ``path`` (or its nearest existing parent)."""
        place = Path(path)
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

"""The releases in the state directory of a host, and the files that they mount."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional

from ansible.module_utils.rollout.domain import manifest as manifests
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import refusals
from ansible.module_utils.rollout.io.atomic import sha256, sync_directory, write_atomic
from ansible.module_utils.rollout.io.content import Content, strange

if TYPE_CHECKING:
    from ansible.module_utils.rollout.domain.bundle import File

# What a release.json says at least.
_MANIFEST = {"release": str, "name": str, "application": str, "images": dict, "stacks": list, "files": dict}


class Releases:
    """``releases/<name>/``, each with its release.json, and ``files/``, what they mount by its content."""

    def __init__(self, root: str) -> None:
        self.root = Path(os.path.expanduser(root))
        self.releases = self.root / "releases"
        self.content = Content(self.root)

    def require_writable(self) -> None:
        """Refuse before anything is touched where the state could not be kept.

        Raises:
            RolloutError: the directory is absent and cannot be made, or is not writable.
        """
        try:
            for directory in (*self.root.parents[::-1], self.root, self.releases):
                if not directory.exists():
                    directory.mkdir(mode=0o700, exist_ok=True)
            # Where the agents of runs listen (agent/door.py).
            os.close(os.open(self.root / ".agent", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise refusals.STATE_UNWRITABLE(path=self.root, reason=error.strerror) from error

    def directory(self, name: str) -> Path:
        """The directory of the release of that name."""
        return self.releases / name

    def manifest(self, name: str) -> dict[str, Any]:
        """release.json of a release, in this version's words.

        Raises:
            RolloutError: it is gone or unreadable.
        """
        path = self.directory(name) / "release.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            lacks = [k for k, kind in _MANIFEST.items() if not isinstance(found, dict) or not isinstance(found.get(k), kind)]
            why = f"it lacks {', '.join(lacks)}" if lacks else ""
        except (OSError, ValueError) as error:
            why = str(error.strerror) if isinstance(error, OSError) else f"it is not JSON: {error}"
        if why:
            raise refusals.RELEASE_INCOMPLETE(name=name, path=path, reason=why)
        return manifests.upgraded(found)

    def names(self) -> list[str]:
        """The complete releases on this host."""
        try:
            # Without those that power loss left half-written or half-removed: their names begin with a dot.
            return sorted(p.name for p in self.releases.iterdir() if p.name[0] != "." and (p / "release.json").is_file())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def whole(self) -> list[str]:
        """Those of `names` whose release.json can be read."""
        found = []
        for name in self.names():
            with contextlib.suppress(RolloutError):
                self.manifest(name)
                found.append(name)
        return found

    def taken(self) -> list[str]:
        """Names that no further release may have: damaged ones too, whose files may be somebody's."""
        try:
            return sorted(p.name for p in self.releases.iterdir() if p.name[0] != ".")
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, name: str, file: str) -> Optional[str]:
        """The text of a release's file, or None where there is none."""
        try:
            # newline="": what is compared is what was written, carriage returns included. Bytes that are not UTF-8 never match.
            with open(self.directory(name) / file, encoding="utf-8", errors="replace", newline="") as handle:
                return handle.read()
        except FileNotFoundError:
            return None

    def edited(self, name: str) -> list[str]:
        """The files of a release, and what it mounts, that are no longer what was staged."""
        manifest, changed = self.manifest(name), []
        for file, digest in manifest.get("files", {}).items():
            text = self.read(name, file)
            if text is None or sha256(text) != digest:
                changed.append(file)
        return sorted([*changed, *(path for path, place in manifests.mounted(manifest).items() if self.content.edited(place))])

    def write_release(
        self, name: str, files: dict[str, str], manifest: dict[str, Any], mounted: Mapping[str, Mapping[str, File]] = {}
    ) -> None:
        """Write a release directory, whole or not at all (built aside, then renamed), after what it mounts (place -> files)."""
        self.require_writable()
        for left in [*self.releases.glob(".*"), self.directory(name)]:
            shutil.rmtree(left, ignore_errors=True)
        aside = Path(tempfile.mkdtemp(dir=self.releases, prefix=f".{name}."))
        try:
            for place, content in mounted.items():
                self.content.put(place, content)
            for file, text in files.items():
                (aside / file).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_atomic(aside / file, text)
            document = dict(manifest, files={file: sha256(text) for file, text in files.items()})
            write_atomic(aside / "release.json", json.dumps(document, indent=2, sort_keys=True) + "\n")
            os.replace(aside, self.directory(name))
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise refusals.RELEASE_UNWRITABLE(name=name, path=self.releases, reason=error.strerror) from error
        sync_directory(self.releases)

    def write_mounted(self, name: str, mounted: Mapping[str, Mapping[str, File]]) -> None:
        """Write what a release mounts (place -> files) and is not there, or was edited since."""
        try:
            for place, content in mounted.items():
                self.content.put(place, content)
        except OSError as error:
            raise refusals.RELEASE_UNWRITABLE(name=name, path=self.content.root, reason=error.strerror) from error

    def foreign(self, name: str) -> list[str]:
        """What is in a release's directory and was not written with it: perhaps data, of a mount with a relative path."""
        return strange(self.directory(name), {*self.manifest(name)["files"], "release.json"})

    def remove(self, name: str) -> None:
        """Remove a release directory: gone at once from `names`, then from the disk."""
        aside = self.releases / f".{name}.removed"
        os.replace(self.directory(name), aside)
        shutil.rmtree(aside)

"""What a stack consists of at its source, as the controller hands it to a host: its Compose files and what they need. Pure."""

from __future__ import annotations

import base64
import hashlib
import posixpath
from dataclasses import dataclass, field
from typing import Any, Mapping

from ansible.module_utils.rollout.errors import Refusal

# The variable that names the release, in files that do not say otherwise.
TAG = "IMAGE_TAG"
# Modes that a file of the source may have on a host; the last two where it was encrypted, or nobody else may read it.
MODES = ("0644", "0755", "0600", "0700")
PLAIN, PRIVATE = MODES[0], MODES[2]
LEAVES = Refusal(
    "Compose file and environment",
    "Stack {stack} has the path '{path}', which leaves its folder. Put that file beside the Compose file, or name it absolutely.",
    "move the file into the folder of the Compose file, or write an absolute path",
)


@dataclass(frozen=True)
class File:
    """One file, link or folder entry of the source. ``link`` is what a link points to, else empty."""

    content: bytes = b""
    mode: str = "0644"
    link: str = ""

    @property
    def private(self) -> bool:
        """Whether it is its owner's alone."""
        return self.mode.endswith("00")

    @property
    def text(self) -> str:
        """The file as text; bytes that are not UTF-8 are replaced."""
        return self.content.decode("utf-8", "replace")


@dataclass(frozen=True)
class Bundle:
    """The source of one stack.

    ``files`` map a path, relative to the folder of the first Compose file, to what lies there. ``compose`` are the Compose files
    in their order, ``profiles`` those that are active. ``environment`` and ``secrets`` are the variables of its ``.env``.
    ``services`` are the keys of services that the inventory sets. Unset variables in ``allow_unset`` are meant to be empty.
    ``tag_variable`` gets the release's tag. Relative binds that are not of the release lie below ``data``, or, if that is empty,
    below the state directory. ``paths`` are the files and folders that are mounted as a part of the release. ``project`` is its
    Compose project, empty for the usual one. With ``adopt`` what runs already in it is taken over. With ``new_data`` it may begin
    with empty volumes and folders beside others that look like its own. ``folder`` is where its Compose file lies, if that is on
    this very host.
    """

    files: Mapping[str, File]
    compose: tuple[str, ...]
    profiles: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict)
    services: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    allow_unset: tuple[str, ...] = ()
    tag_variable: str = TAG
    data: str = ""
    paths: tuple[str, ...] = ()
    adopt: bool = False
    project: str = ""
    new_data: bool = False
    folder: str = ""

    def below(self, path: str) -> dict[str, File]:
        """The files of ``path``, by their path below it; of a file itself under the empty path."""
        if path in self.files:
            return {"": self.files[path]}
        return {name[len(path) + 1 :]: file for name, file in sorted(self.files.items()) if name.startswith(f"{path}/")}

    @property
    def read(self) -> dict[str, str]:
        """The files that Compose reads, as text: those that are not mounted. A link is what it points to."""
        mounted = {f"{path}/{name}" if name else path for path in self.paths for name in self.below(path)}
        return {name: self._end(name).text for name in self.files if name not in mounted - {*self.compose}}

    @property
    def asks_for_tag(self) -> bool:
        """Whether its files use the variable of the release's tag."""
        return any(self.tag_variable in text for text in self.read.values())

    def _end(self, path: str) -> File:
        # A circle of links ends here.
        for _step in range(8):
            file = self.files.get(path, File())
            if not file.link:
                return file
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), file.link))
        return File()


def bundle(stack: str, said: Mapping[str, Any]) -> Bundle:
    """Read what the controller sent for a stack.

    Raises:
        RolloutError: a path leaves the source.
    """
    files = {path: _file(about) for path, about in (said.get("files") or {}).items()}
    lists: dict[str, Any] = {key: tuple(map(str, said.get(key) or ())) for key in ("compose", "profiles", "allow_unset", "paths")}
    for path in (*files, *lists["compose"], *lists["paths"]):
        if posixpath.isabs(path) or posixpath.normpath(path) != path or path.split("/")[0] in (".", ".."):
            raise LEAVES(stack=stack, path=path)
    maps: dict[str, Any] = {key: dict(said.get(key) or {}) for key in ("environment", "secrets", "services")}
    variable = str(said.get("tag_variable") or TAG)
    texts: dict[str, Any] = {key: str(said.get(key) or "") for key in ("data", "project", "folder")}
    flags: dict[str, Any] = {key: bool(said.get(key)) for key in ("adopt", "new_data")}
    return Bundle(files, **lists, **maps, **texts, **flags, tag_variable=variable)


def _file(about: Mapping[str, Any]) -> File:
    if about.get("link"):
        return File(link=str(about["link"]))
    mode = str(about.get("mode") or PLAIN)
    content = base64.b64decode(about["base64"]) if "base64" in about else str(about.get("text") or "").encode()
    return File(content, mode if mode in MODES else PRIVATE)


def digest(files: Mapping[str, File]) -> str:
    """The hexadecimal SHA-256 of files with their paths, modes and contents: what a mounted file or folder is known by."""
    whole = hashlib.sha256()
    for path, file in sorted(files.items()):
        for part in (path.encode(), file.mode.encode(), file.link.encode(), file.content):
            whole.update(b"%d:" % len(part) + part)
    return whole.hexdigest()

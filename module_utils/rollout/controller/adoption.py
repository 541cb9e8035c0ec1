"""A Compose project that runs on a host, as something to take over: which of its files are its configuration, and what they say.

Everything here comes from a host, and is only text: nothing of it is rendered, run or followed out of the project's folder. Pure.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
from typing import Any, Iterable, Mapping, Optional

from ansible.module_utils.rollout.controller.folder import JINJA, VAULT
from ansible.module_utils.rollout.controller.mounts import unnamed
from ansible.module_utils.rollout.controller.source import documents
from ansible.module_utils.rollout.domain import env_file
from ansible.module_utils.rollout.domain.source import OWN, Reading, inside, variables
from ansible.module_utils.rollout.errors import Refusal, RolloutError

SECTION = "An inventory of what runs"
ABSENT = "absent"
# So often more files are asked for: Compose files that name others, which name others.
ROUNDS = 6
NO_FILES = Refusal(
    SECTION,
    "{where}: its containers do not say from which Compose files they were started. Start it once with docker compose, from "
    "files on that host, and look again.",
    "start the project once with `docker compose up --detach` from files on its host, and look again",
)
ELSEWHERE = Refusal(
    SECTION,
    "{where}: its Compose file is {path}, and its paths begin in {folder}. A release has both in one folder: start it once with "
    "its Compose file in {folder}, and look again.",
    "put the Compose file into the folder in which its paths begin, start the project once from there, and look again",
)
OUTSIDE = Refusal(
    SECTION,
    "{where}: it uses {path}, which lies outside of {folder}. A release is made of one folder: move that file into it, start the "
    "project once from there, and look again.",
    "move the file into the folder of the Compose file, start the project once from there, and look again",
)
NOT_READ = Refusal(
    SECTION,
    "{where}: {path} was not read: {why}.",
    "do what the sentence says: `-b` reads as root, `-e ansible_user=…` as another user",
)
TEMPLATE = Refusal(
    SECTION,
    "{where}: {path} ends in .j2, so that a rollout would take it for a template and run what stands in it. Give it another name "
    "on that host, start the project once from there, and look again.",
    "give the file another name on its host, start the project once from there, and look again",
)
ENCRYPTED = Refusal(
    SECTION,
    "{where}: {path} is encrypted with ansible-vault. A rollout would decrypt it here and send it to that host: nothing that a "
    "host hands over is decrypted. Put the file itself there, and look again.",
    "find out how an encrypted file came there; put the file itself in its place",
)
OURS = Refusal(
    SECTION,
    "{where}: this tool rolls it out already. Its inventory is the one with which that is done.",
    "use the inventory with which the project is rolled out",
)
_WHY = {
    ABSENT: "it is not there. If the project was started from inside of a container (Portainer, Dockge), its files are in there; "
    "start it once from files on the host",
    "denied": "the connecting user may not read it; -b reads it as root",
    "large": "it is too large for configuration, or all files together are",
    "binary": "it is not text",
    "strange": "it is not a plain file, or its name is not plain text",
}
# Compose reads these as its own options.
_COMPOSE = "COMPOSE_"
_NO_BUNDLE: dict[str, Any] = {"secrets": {}}


class Project:
    """A project of one host, with the files that were fetched.

    Args:
        host: its name in the inventory.
        facts: what `compose_project_info` says of it.
        files: absolute path on the host -> what `compose_project_info` says of that file.
    """

    def __init__(self, host: str, facts: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> None:
        self.host, self.facts, self._said = host, facts, files
        self.name, self.folder = str(facts["name"]), str(facts["folder"])
        self.where = f"Project {self.name} on {host}"
        self._asked: dict[str, None] = {}
        self._parsed: dict[str, list[Any]] = {}
        self.needs: list[Any] = []
        # Paths of the folder that services mount and that were not fetched, each with the reason.
        self.data: dict[str, str] = {}

    def wanted(self) -> list[str]:
        """The absolute paths that are asked for next; empty once all that can be known is.

        Raises:
            RolloutError: it cannot be taken over; says why.
        """
        self._asked = {}
        self._place()
        fault: Optional[RolloutError] = None
        try:
            values = self.values()
            self.needs = Reading(self.where, self.text, self._documents).needs(self.compose, values)
            for need in self.needs:
                self.text(need.path)
            for path in self.mounted():
                self._known(path)
        except RolloutError as error:
            fault = error
        missing = [path for name in self._asked if (path := self._absolute(name)) not in self._said]
        if fault and not missing:
            raise fault
        return missing

    def values(self) -> dict[str, str]:
        """The variables with which Compose reads the files."""
        texts = {name: self.text(name) or "" for name in self.env_files}
        return {name: one for name, one in variables(texts, {}, "").items() if not name.startswith(_COMPOSE)}

    @property
    def compose(self) -> list[str]:
        """The Compose files, relative to the folder."""
        return [self._relative(path) for path in self.facts["compose"]]

    @property
    def env_files(self) -> list[str]:
        """The environment files, relative to the folder; a later one wins."""
        return [self._relative(path) for path in self.facts["env_files"]]

    @property
    def documents(self) -> dict[str, list[Any]]:
        """The content of each Compose file, those that are included or extended too."""
        names = dict.fromkeys([*self.compose, *(need.path for need in self.needs if need.key in ("include", "extends"))])
        return {name: self._documents(self.text(name) or "") for name in names}

    def mounted(self) -> list[str]:
        """The paths of the folder that a Compose file names and services mount for reading alone; configs and secrets too."""
        inner = [
            path
            for service in self.facts["services"]
            for mount in service["mounts"]
            if mount["kind"] == "bind"
            and mount["read_only"]
            and (path := inside(posixpath.relpath(mount["source"], self.folder)))
        ]
        known = {name: {"text": self.text(name) or ""} for name in self.documents}
        bundle = {**_NO_BUNDLE, "environment": self.values(), "files": known, "compose": self.compose}
        strange = unnamed(bundle, [{"path": path} for path in inner])
        # Those of a service that does not run are needed too: Compose reads them all.
        shared = [*self.shared("configs"), *self.shared("secrets")]
        return [path for path in dict.fromkeys([*inner, *shared]) if path not in {*strange, OWN}]

    def shared(self, kind: str) -> list[str]:
        """The files of the folder that are ``configs`` or ``secrets``."""
        named = [one for found in self.documents.values() for document in found for one in _files(document, kind)]
        return [path for one in dict.fromkeys(named) if (path := inside(one))]

    def text(self, name: str) -> Optional[str]:
        """The text of a file of the folder; None if it was not read. It is noted that it was asked for."""
        raw = self._known(name)
        return None if raw is None else raw.decode("utf-8", "replace")

    def taken(self) -> dict[str, tuple[bytes, int]]:
        """The files to keep: path relative to the folder -> content and mode. `data` says what else services mount.

        Raises:
            RolloutError: one that is needed was not read, or must not be kept.
        """
        found: dict[str, tuple[bytes, int]] = {}
        for name in [*self.compose, *self.env_files]:
            if name.endswith(JINJA):
                raise TEMPLATE(where=self.where, path=name)
            self._take(name, found, needed=True)
        for need in self.needs:
            # One that is not there may be optional: Compose says it on the host.
            self._take(need.path, found, needed=self._why(need.path) not in (ABSENT, ""))
        for name in self.mounted():
            why = self._why(name)
            inner = self._below(name)
            if why:
                self.data[name] = why
            for one in inner or [name]:
                self._take(one, found, needed=False)
        return dict(sorted(found.items()))

    def _documents(self, text: str) -> list[Any]:
        if text not in self._parsed:
            self._parsed[text] = documents(text)
        return self._parsed[text]

    def _take(self, name: str, found: dict[str, tuple[bytes, int]], needed: bool) -> None:
        raw = self._known(name)
        if raw is None and needed:
            why = self._why(name) or ABSENT
            raise NOT_READ(where=self.where, path=name, why=_WHY.get(why, why))
        if raw is None:
            return
        if raw.startswith(VAULT):
            raise ENCRYPTED(where=self.where, path=name)
        found[name] = (raw, int(str(self._said[self._absolute(name)].get("mode") or "0600"), 8) & 0o777)

    def _place(self) -> None:
        """Refuse a project whose files a release could not have in one folder."""
        paths = [*self.facts["compose"]]
        if self.facts["ours"]:
            raise OURS(where=self.where)
        if not paths or not self.folder:
            raise NO_FILES(where=self.where)
        if posixpath.dirname(paths[0]) != self.folder:
            raise ELSEWHERE(where=self.where, path=paths[0], folder=self.folder)
        for path in (*paths, *self.facts["env_files"]):
            self._relative(path)

    def _relative(self, path: str) -> str:
        found = inside(posixpath.relpath(path, self.folder))
        if not found:
            raise OUTSIDE(where=self.where, path=path, folder=self.folder)
        return found

    def _absolute(self, name: str) -> str:
        return posixpath.normpath(posixpath.join(self.folder, name))

    def _known(self, name: str) -> Optional[bytes]:
        if inside(name) is None or not name.isprintable():
            return None
        self._asked[name] = None
        text = self._said.get(self._absolute(name), {}).get("base64")
        try:
            return None if text is None else base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return None

    def _why(self, name: str) -> str:
        said = self._said.get(self._absolute(name), {})
        return str(said.get("why") or ("" if said.get("folder") or self._known(name) is not None else ABSENT))

    def _below(self, folder: str) -> list[str]:
        """The files of a folder that was fetched."""
        top = f"{self._absolute(folder)}/"
        found = (inside(posixpath.relpath(path, self.folder)) for path in self._said if path.startswith(top))
        return [path for path in found if path]


def _files(document: Any, kind: str) -> Iterable[str]:
    entries = document.get(kind) if isinstance(document, Mapping) else None
    for entry in entries.values() if isinstance(entries, Mapping) else ():
        file = entry.get("file") if isinstance(entry, Mapping) else None
        if isinstance(file, str) and file and not file.startswith("/") and "$" not in file:
            yield file


def named(typed: Any) -> list[str]:
    """The projects that were typed behind ``-e project=``: a list, or a text with commas."""
    words = typed if isinstance(typed, (list, tuple)) else str(typed or "").split(",")
    return list(dict.fromkeys(word for one in words if (word := str(one).strip())))


def private(project: Project, name: str, content: bytes) -> bool:
    """Whether a file holds secrets: an environment file, by its variables."""
    if not any(need.path == name and need.environment for need in project.needs):
        return False
    try:
        return bool(env_file.hidden(content.decode("utf-8", "replace"), project.values(), name))
    except RolloutError:
        # `format: raw`, or what Compose refuses.
        return True

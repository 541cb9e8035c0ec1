"""Which files of a stack's folder Compose needs in order to read its compose files. Pure; the controller alone asks."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import env_file
from ansible.module_utils.rollout.domain.interpolation import TemplateError, interpolate
from ansible.module_utils.rollout.domain.shape import Faults
from ansible.module_utils.rollout.errors import Refusal

_SECTION = "Compose file and environment"
# The .env file beside the compose files is the release's: it is written on the host.
OWN = ".env"
OUTSIDE = Refusal(
    _SECTION,
    "{where}: {file} has {key} {path}, which leaves the folder of the compose file. A release is made of that folder alone. Move "
    "the file into it, or let rollout_stacks.<stack>.compose name a compose file above both.",
    "move the file into the folder of the compose file, and correct the path",
)
ABSOLUTE = Refusal(
    _SECTION,
    "{where}: {file} has {key} {path}, which is an absolute path. A rollback could not bring that file back: move it into the "
    "folder of the compose file, and name it by a relative path.",
    "move the file into the folder of the compose file, and name it by a relative path",
)
REMOTE = Refusal(
    _SECTION,
    "{where}: {file} has {key} {path}, which lies elsewhere on the network. A rollout reads no compose file from there: download "
    "it into the folder of the compose file, and name it by a relative path.",
    "download the file into the folder of the compose file, and name it by a relative path",
)
MISSING = Refusal(
    _SECTION,
    "{where}: {file} has {key} {path}, and the folder of the compose file has no such file. Correct the path, or add the file.",
    "correct the path, or add the file",
)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|git@|github\.com/", re.I)


@dataclass(frozen=True)
class Need:
    """A file that Compose reads: its path in the source, the key that names it, and the file in which that key stands."""

    path: str
    key: str
    file: str

    @property
    def environment(self) -> bool:
        """Whether it holds variables."""
        return self.key in ("env_file", "include.env_file")


class Reading:
    """Follows the compose files of a source, as Compose does.

    Args:
        where: the stack, for the sentences.
        text: the text of a file of the source; None if it is not there.
        documents: what a text of YAML says; nothing if it is not YAML.
    """

    def __init__(self, where: str, text: Callable[[str], Optional[str]], documents: Callable[[str], Sequence[Any]]) -> None:
        self._where, self._text, self._documents = where, text, documents
        self._found: dict[Need, None] = {}
        self._seen: set[tuple[str, str]] = set()
        self._wrong = Faults()

    def needs(self, compose: Sequence[str], values: Mapping[str, str]) -> list[Need]:
        """The files that these compose files need beside themselves, each once, as they are met. Some may not be there.

        Raises:
            RolloutError: paths that leave the source, and compose files that are missing; one fault a line.
        """
        for path in compose:
            # Whichever of them it is, its paths begin in the folder of the first.
            self._file(path, "", values)
        self._wrong.refuse()
        return list(self._found)

    def _file(self, path: str, base: str, values: Mapping[str, str]) -> None:
        """Follow a compose file whose relative paths begin in the folder ``base``."""
        if (path, base) in self._seen:
            return
        self._seen.add((path, base))
        for document in self._documents(self._text(path) or ""):
            if isinstance(document, Mapping):
                for entry in _items(document.get("include")):
                    self._include(entry, path, base, values)
                for spec in _mapping(document.get("services")).values():
                    self._service(_mapping(spec), path, base, values)

    def _include(self, entry: Any, file: str, base: str, values: Mapping[str, str]) -> None:
        one = entry if isinstance(entry, Mapping) else {"path": entry}
        paths = [self._compose(raw, "include", file, base, values) for raw in _texts(one.get("path"))]
        if not paths or None in paths:
            return
        folder: Optional[str] = posixpath.dirname(str(paths[0]))
        for raw in _texts(one.get("project_directory")):
            folder = self._path(raw, "include.project_directory", file, base, values)
        if folder is None:
            return
        named = [self._path(raw, "include.env_file", file, base, values) for raw in _texts(one.get("env_file"))]
        environments = [path for path in named if path] if named else [posixpath.join(folder, OWN)]
        inner: dict[str, str] = {}
        for path in environments:
            self._need(path, "include.env_file", file)
            with self._wrong.gather():
                inner.update(env_file.parse(self._text(path) or "", {**inner, **values}.get, path))
        for path in filter(None, paths):
            self._need(path, "include", file)
            self._file(path, folder, {**inner, **values})

    def _service(self, spec: Mapping[str, Any], file: str, base: str, values: Mapping[str, str]) -> None:
        for key in ("env_file", "label_file"):
            for entry in _items(spec.get(key)):
                for raw in _texts(entry.get("path") if isinstance(entry, Mapping) else entry):
                    self._need(self._path(raw, key, file, base, values), key, file)
        extended = spec.get("extends")
        for raw in _texts(extended.get("file")) if isinstance(extended, Mapping) else ():
            path = self._compose(raw, "extends", file, base, values)
            if path:
                self._need(path, "extends", file)
                self._extended(path, str(_mapping(extended).get("service")), values)

    def _extended(self, path: str, name: str, values: Mapping[str, str]) -> None:
        """Follow the one service of a compose file that another one extends; its paths begin where its file lies."""
        if (path, f"service {name}") in self._seen:
            return
        self._seen.add((path, f"service {name}"))
        for document in self._documents(self._text(path) or ""):
            spec = _mapping(_mapping(_mapping(document).get("services")).get(name))
            self._service(spec, path, posixpath.dirname(path), values)
            further = spec.get("extends")
            beside = further.get("service") if isinstance(further, Mapping) and not further.get("file") else further
            if isinstance(beside, str):
                self._extended(path, beside, values)

    def _compose(self, raw: str, key: str, file: str, base: str, values: Mapping[str, str]) -> Optional[str]:
        """The path of a compose file that must be there; None if it was refused."""
        path = self._path(raw, key, file, base, values)
        if path and self._text(path) is None:
            self._refuse(MISSING, key, file, raw)
            return None
        return path

    def _path(self, raw: str, key: str, file: str, base: str, values: Mapping[str, str]) -> Optional[str]:
        """A path below the source; None if it was refused, or if it lies on the host, where Compose reads it itself."""
        try:
            path = interpolate(raw, values.get)
        except TemplateError:
            # Compose says it better.
            return None
        found, refusal = None, OUTSIDE
        if path.startswith(("/", "~")):
            if key.endswith("_file"):
                return None
            refusal = ABSOLUTE
        elif _ELSEWHERE.match(path):
            refusal = REMOTE
        else:
            found = inside(posixpath.join(base, path))
        if found is None:
            self._refuse(refusal, key, file, raw)
        return found

    def _refuse(self, refusal: Refusal, key: str, file: str, path: str) -> None:
        self._wrong.add(refusal.text(where=self._where, file=file, key=key, path=path))

    def _need(self, path: Optional[str], key: str, file: str) -> None:
        if path and path != OWN:
            self._found.setdefault(Need(path, key, file))


def inside(path: str) -> Optional[str]:
    """A relative path in its shortest form, empty for the source itself; None if it leaves the source."""
    short = posixpath.normpath(path)
    if short.startswith("/") or short == ".." or short.startswith("../"):
        return None
    return "" if short == "." else short


def variables(texts: Mapping[str, str], given: Mapping[str, str], own: str) -> dict[str, str]:
    """The variables of a stack's environment files together; a later file wins.

    Args:
        texts: file -> text, in order.
        given: those of the inventory, which win.
        own: the variable that the rollout sets. The files may have it, and may not use it.

    Raises:
        RolloutError: files that Compose would refuse, or that use ``own``; one fault a line.
    """
    wrong, found = Faults(), dict[str, str]()
    for file, text in texts.items():

        def outside(name: str) -> Optional[str]:
            if name == own:
                raise TemplateError(f"it uses {own}, which each release sets anew; use {own} in the compose file instead")
            # Compose asks the files before it first.
            return given.get(name, found.get(name))

        with wrong.gather():
            found.update(env_file.parse(text, outside, file))
    wrong.refuse()
    return {name: value for name, value in found.items() if name != own}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _texts(value: Any) -> Iterator[str]:
    yield from (one for one in _items(value) if isinstance(one, str) and one)

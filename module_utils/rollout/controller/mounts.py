"""Which of a stack's mounts belong to the release, and which are data."""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Sequence

from ansible.module_utils.rollout.controller.folder import Folder, Reader, below
from ansible.module_utils.rollout.controller.source import documents, listed, opened
from ansible.module_utils.rollout.domain.interpolation import TemplateError, interpolate
from ansible.module_utils.rollout.domain.source import OWN, inside
from ansible.module_utils.rollout.errors import Refusal

_SECTION = "Files of a stack"
_SHARED = ("config", "secret")
# What keeps an empty folder in Git.
_KEEPERS = {".gitkeep", ".keep", ".gitignore", ".placeholder"}
WHOLE = Refusal(
    _SECTION,
    "{where}: service {service} mounts ./, the folder of the compose file itself. Mount the files and folders that it needs, "
    "each by its name.",
    "mount the files and folders that the service needs, each by its name",
)
ABOVE = Refusal(
    _SECTION,
    "{where}: service {service} mounts {path}, which leaves the folder of the compose file. If it is configuration, move it into "
    "that folder. If it is data, mount it by an absolute path.",
    "move configuration into the folder of the compose file; mount data by an absolute path",
)
ABSENT = Refusal(
    _SECTION,
    "{where}: {kind} {service} needs the file {path}, which that folder does not have. Add it, or correct the path.",
    "add the file beside the compose file, or correct its path",
)
TRACKED = Refusal(
    _SECTION,
    "{where}: service {service} may write to ./{path}, and Git tracks {file} there. If it is configuration, mount it read-only: "
    "./{path}:{target}:ro. If it is data, take it out of Git (git rm -r --cached {path}), or mount it by an absolute path: "
    "/srv/{path}:{target}",
    "paste one of the two lines into the compose file: with `:ro` it belongs to the release, with an absolute path it is data",
)
NO_GIT = Refusal(
    _SECTION,
    "{where}: whether Git tracks {path} cannot be found out ({why}). Run git status in that folder, and fix what it says.",
    "run `git status` in the folder of the compose file, and fix what it says",
)


STRANGE = Refusal(
    _SECTION,
    "Stack {stack}: the host says that its services mount {paths}, which no compose file of it names. Nothing of that was sent. "
    "Find out which program answers there: another version of this tool, or an intruder.",
    "look at the host's docker and at who else is root there; a path that only an environment file of an include spells is named "
    "by a variable",
)
# Stands for the value of a variable that the controller does not know.
_ANY = "\0"
_YAML = (".yml", ".yaml", ".json")


def unnamed(bundle: Mapping[str, Any], found: Iterable[Mapping[str, Any]]) -> list[str]:
    """The paths among the mounts that a host found which no text in the compose files can mean: it asks for other files."""
    values = {str(name): str(value) for key in ("environment", "secrets") for name, value in (bundle.get(key) or {}).items()}
    files = {name: str(one.get("text") or "") for name, one in bundle["files"].items()}
    texts = {name: text for name, text in files.items() if name.endswith(_YAML) or name in bundle["compose"]}
    said = {(posixpath.dirname(name), one) for name, text in texts.items() for one in _scalars(documents(text))}
    spelt = {(base, _spelt(one, values)) for base, one in said}
    bases = {"", *(base for base, _one in spelt), *(one for _base, one in spelt if one and _ANY not in one)}
    named = {part for _base, one in spelt for part in (one, one.partition(":")[0])}
    patterns = [re.compile(".*".join(map(re.escape, one.split(_ANY)))) for one in named if _ANY in one]
    plain = {inside(one) for one in named if _ANY not in one}

    def is_named(path: str) -> bool:
        ways = [path, *(path[len(base) + 1 :] for base in bases if base and path.startswith(f"{base}/"))]
        return any(way in plain or any(p.fullmatch(f"{dot}{way}") for p in patterns for dot in ("", "./")) for way in ways)

    return sorted({str(one["path"]) for one in found if (path := inside(str(one["path"]))) and not is_named(path)})


def _scalars(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = [*value.values()]
    if isinstance(value, str):
        yield value
    for one in value if isinstance(value, list) else ():
        yield from _scalars(one)


def _spelt(text: str, values: Mapping[str, str]) -> str:
    try:
        return interpolate(text, lambda name: values.get(name, _ANY))
    except TemplateError:
        return text


def with_mounts(
    bundle: Mapping[str, Any],
    found: Iterable[Mapping[str, Any]],
    stack: str,
    spec: Mapping[str, Any],
    first: Path,
    reader: Reader,
) -> dict[str, Any]:
    """A bundle with the files that are mounted and belong to the release; ``paths`` are those mounts. Every other one is data.

    Args:
        found: the mounts that a host found in the compose files: path, kind (bind, config, secret), read_only, service; and
            target if it is known.
        stack, spec, first, reader: as for `source.collect`.

    Raises:
        RolloutError: all that is wrong with them, one fault a line.
    """
    folder = opened(stack, first, reader, bundle["files"])
    mounts: dict[str, list[Mapping[str, Any]]] = {}
    for mount in found:
        path = inside(str(mount["path"]))
        if path:
            mounts.setdefault(path, []).append(mount)
        else:
            whole = WHOLE.text(where=folder.where, service=mount["service"])
            folder.wrong.add(
                whole if path == "" else ABOVE.text(where=folder.where, service=mount["service"], path=mount["path"])
            )
    files = listed(spec)
    folder.data = {path for path, uses in mounts.items() if _is_written(path, uses, files)}
    paths = [path for path, uses in mounts.items() if path not in folder.data and _belongs(folder, path, uses, files)]
    _no_tracked(folder, {path: mounts[path] for path in sorted(folder.data)})
    folder.wrong.refuse()
    kept = [path for path, uses in mounts.items() if any(use["kind"] == "secret" for use in uses)]
    secrets = [text for path in kept if (text := folder.files.get(path, {}).get("text", "").strip())]
    return {**bundle, "files": folder.files, "paths": sorted(paths), "hidden": [*bundle.get("hidden", []), *secrets]}


def _is_written(path: str, uses: Sequence[Mapping[str, Any]], files: Sequence[str]) -> bool:
    """Whether a mounted path is data because a service writes there: then it is nobody's configuration."""
    asked = path == OWN or any(use["kind"] in _SHARED for use in uses) or any(below(path, one) for one in files)
    return not asked and not all(use["read_only"] for use in uses)


def _belongs(folder: Folder, path: str, uses: Sequence[Mapping[str, Any]], files: Sequence[str]) -> bool:
    """Whether a mounted path belongs to the release; then it is in the bundle. The .env file is the release's own."""
    if path == OWN:
        return True
    shared = next((use for use in uses if use["kind"] in _SHARED), None)
    if shared:
        if not folder.take(path):
            folder.wrong.add(ABSENT.text(where=folder.where, kind=shared["kind"], path=path, service=shared["service"]))
        return True
    if any(below(path, one) for one in files):
        return path in folder.files or any(below(one, path) for one in folder.files) or folder.take(path)
    return folder.take(path)


def _no_tracked(folder: Folder, data: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Note each path of data that Git tracks: somebody wrote it, and it would not travel. What the bundle has travels."""
    asked = {path: uses for path, uses in data.items() if folder.exists(path)}
    if not asked or not any((one / ".git").exists() for one in (folder.root, *folder.root.parents)):
        return
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--literal-pathspecs", "-c", "core.fsmonitor=false", "ls-files", "-z", "--", *asked]
    try:
        done = subprocess.run(command, cwd=folder.root, env=environment, capture_output=True, timeout=60)
        why = "" if done.returncode == 0 else done.stderr.decode(errors="replace").strip()[:200] or f"status {done.returncode}"
    except (OSError, subprocess.SubprocessError) as error:
        done, why = None, str(error)
    if done is None or why:
        folder.wrong.add(NO_GIT.text(where=folder.where, path=", ".join(asked), why=why))
        return
    names = [os.fsdecode(one) for one in done.stdout.split(b"\0") if one]
    tracked = [one for one in names if one not in folder.files and posixpath.basename(one) not in _KEEPERS]
    for path, uses in asked.items():
        file = next((one for one in tracked if below(one, path)), None)
        use = next((use for use in uses if not use["read_only"]), uses[0])
        if file:
            target = use.get("target") or f"/{path}"
            folder.wrong.add(TRACKED.text(where=folder.where, service=use["service"], path=path, file=file, target=target))

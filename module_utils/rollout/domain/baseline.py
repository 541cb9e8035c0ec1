"""What ran before the first rollout: where its Compose files are, which services of them run, and how the release is named that
records it. Pure.

Compose labels each container with the files that it was made from, and with a hash of its service.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Any, Collection, Mapping, Optional, Sequence

# The release of a baseline is called so, with the day of the run that recorded it.
PREFIX = "adopted-"
# Compose's labels (docs.docker.com/compose, and compose/v2/pkg/api/labels.go).
LABEL = "com.docker.compose."
SERVICE, HASH = f"{LABEL}service", f"{LABEL}config-hash"
# States in which a container is what the operator has running.
RUNNING = ("running", "restarting", "paused")
_RUN = re.compile(r"(\d{4})(\d\d)(\d\d)T")
# The variable of the release's tag, which no file of somebody else asks for.
NO_TAG = "ROLLOUT_ADOPTED_TAG"
# The one file of a baseline whose own files cannot be moved.
WHOLE = "compose.adopted.json"


@dataclass(frozen=True)
class Origin:
    """Where Compose read a project: in ``folder`` the ``files`` and ``env_files``, absolute paths in their order. Without
    ``env_files`` it is the ``.env`` of the folder, if there is one."""

    folder: str
    files: tuple[str, ...]
    env_files: tuple[str, ...] = ()

    @property
    def env(self) -> tuple[str, ...]:
        """The files that hold the project's variables."""
        return self.env_files or (posixpath.join(self.folder, ".env"),)


def origin(labels: Mapping[str, str]) -> Optional[Origin]:
    """Where a container's project was read; None if its labels do not say that."""
    folder, files, env = (
        labels.get(f"{LABEL}project.{key}") or "" for key in ("working_dir", "config_files", "environment_file")
    )
    if not folder or not files:
        return None

    def paths(text: str) -> tuple[str, ...]:
        return tuple(posixpath.normpath(posixpath.join(folder, path)) for path in text.split(",") if path)

    return Origin(folder, paths(files), paths(env))


def release(run: str, today: str) -> str:
    """The name of the release that records a baseline: the same on all hosts of a run, by the day in its id.

    Args:
        today: the day as YYYY-MM-DD, for an id without one.
    """
    day = _RUN.match(run)
    return f"{PREFIX}{'-'.join(day.groups()) if day else today}"


def is_baseline(tag: str) -> bool:
    """Whether a release records what ran before the first rollout."""
    return bool(re.fullmatch(rf"{PREFIX}\d{{4}}-\d\d-\d\d", tag))


def profiles(config: Mapping[str, Any], running: Collection[str]) -> tuple[str, ...]:
    """The profiles that must be active for all services that run, and activate as few others as that allows.

    Args:
        config: the project as Compose reads it with all profiles.
        running: the names of the services that run.
    """
    specs: Mapping[str, Any] = config.get("services") or {}
    asked = {name: tuple(map(str, spec.get("profiles") or ())) for name, spec in specs.items()}
    chosen: list[str] = []
    for name in sorted(running):
        mine = asked.get(name, ())
        if mine and not set(mine) & set(chosen):
            idle = {profile: sum(profile in other and n not in running for n, other in asked.items()) for profile in mine}
            chosen.append(min(mine, key=lambda profile: (idle[profile], profile)))
    return tuple(chosen)


def below(folder: str, path: str) -> str:
    """An absolute path relative to a folder; empty if it does not lie below it."""
    found = posixpath.relpath(path, folder)
    return "" if found.split("/")[0] in ("..", ".") else found


def missing(said: str, place: str) -> str:
    """The path below ``place`` of a file that Compose did not find there; empty if it says something else."""
    if "no such file" not in said and "not found" not in said:
        return ""
    found = re.search(rf"{re.escape(place)}/([^\s:\"';,]+)", said)
    path = posixpath.normpath(found[1]) if found else ""
    return "" if not path or path.startswith("..") else path


def reference(image: str, facts: Mapping[str, Any], taken: Mapping[str, Mapping[str, Any]]) -> str:
    """The reference by which a baseline knows an image: as the file has it, or with its digest (by its id, if no registry knows
    it) where another service of it runs another image by that name.

    Args:
        facts: digest (or empty) and id of the image.
        taken: reference -> the same facts of the images that are known already.
    """
    if image not in taken or taken[image]["id"] == facts["id"]:
        return image
    return f"{image.partition('@')[0]}@{facts['digest']}" if facts.get("digest") else str(facts["id"])


def tag(project: str, service: str, name: str) -> str:
    """A tag for an image of the baseline in directory ``name``: `docker image prune` spares what has one, whatever becomes of
    the image's own."""
    return f"{project}-adopted:{re.sub(r'[^A-Za-z0-9_.-]', '-', f'{service}-{name}')[:127]}"


def scaled(spec: Mapping[str, Any], number: int) -> dict[str, Any]:
    """What a second Compose file says of a service so that it has that number of containers; empty if it has it by itself."""
    deploy = spec.get("deploy") or {}
    now = spec.get("scale", deploy.get("replicas"))
    if number == (1 if now is None else int(now)):
        return {}
    return {"deploy": {"replicas": number}} if "replicas" in deploy else {"scale": number}


def unmade(hashes: Sequence[Mapping[str, str]], found: Mapping[str, Any]) -> bool:
    """Whether none of Compose's hashes of a container's service is the one that it was made with.

    Args:
        hashes: service -> hash, as Compose says it for the files: with what the services depend on, and without.
    """
    labels = (found.get("Config") or {}).get("Labels") or {}
    made = labels.get(HASH)
    return not made or all(one.get(labels.get(SERVICE, "")) != made for one in hashes)

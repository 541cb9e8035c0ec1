"""A Compose project of somebody else that runs on this host: where it came from, and whether it is still what its files say."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from ansible.module_utils.rollout.domain import baseline, compose, env_file, likeness
from ansible.module_utils.rollout.domain.changes import Container
from ansible.module_utils.rollout.domain.dotenv import PASSED
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.module_utils.rollout.io import masking, project_files
from ansible.module_utils.rollout.io.compose_project import Original
from ansible.module_utils.rollout.io.content import is_same
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs.deployment import Deployment

SECTION = "What runs there already"
NO_FILES = Refusal(
    SECTION,
    "Stack {stack}: what runs in Compose project {project} cannot be taken over: {why}. Put the files back, run docker compose "
    "up -d there, which restarts nothing if they say what runs, and roll out again.",
    "put the files back where they were, run `docker compose up -d` there, and roll out again. To begin without what runs: "
    "`docker compose down`, which keeps volumes, and leave out `adopt`",
)
NOT_READ = Refusal(
    SECTION,
    "Stack {stack}: Compose cannot read what project {project} was made from: {why}. Put that right in {folder}, and roll out "
    "again.",
    "edit the file there until `docker compose config` accepts it. What runs is not touched",
)
NOT_IN_FILES = Refusal(
    SECTION,
    "Stack {stack}: {services} runs in Compose project {project}, but {files} no longer has it. Put it back into the "
    "file, or stop and remove its container, and roll out again.",
    "put the service back, or remove its container with `docker rm`",
)
NO_IMAGE = Refusal(
    SECTION,
    "Stack {stack}: the image of {service} ({image}), which runs, is gone from this host, so it could not be brought back. Pull "
    "it or build it again, start the service from it with docker compose up -d, and roll out again.",
    "pull or build the image, and start the service from it",
)
EDITED = Refusal(
    "Drift",
    "has {path} mounted since before the first release, and that was changed since: it is no longer what the release has. Put it "
    "back; or bring the release's: docker rm -f {container}, and roll out again",
    "put the file back, or remove that container and roll out: the new one mounts what came with the release",
)


@dataclass(frozen=True)
class Running:
    """A stack whose project runs: its ``containers`` that do, as `docker inspect` has them, the ``original`` files, how Compose
    reads these with the ``profiles`` that what runs needs, and their ``variables``. ``ended`` are the containers whose process
    ended well."""

    stack: str
    project: str
    containers: Sequence[Mapping[str, Any]]
    original: Original
    profiles: tuple[str, ...]
    config: Mapping[str, Any]
    variables: Mapping[str, str]
    ended: Sequence[Mapping[str, Any]] = ()

    @property
    def running(self) -> dict[str, list[Mapping[str, Any]]]:
        """Service -> its containers that run."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for one in self.containers:
            found.setdefault(_labels(one).get(baseline.SERVICE, ""), []).append(one)
        return found

    @property
    def secrets(self) -> dict[str, str]:
        """The variables that are secret."""
        return {name: value for name, value in self.variables.items() if env_file.is_secret(name, value)}

    def hidden(self) -> list[str]:
        """What nobody may read of it, wherever it stands."""
        specs = self.config["services"].values()
        pairs = [(name, str(value)) for spec in specs for name, value in (spec.get("environment") or {}).items() if value]
        found = [value.replace("$$", "$") for name, value in pairs if env_file.is_secret(name, value)]
        found += [*self.secrets.values(), *(one for _name, value in pairs for one in env_file.passwords(value))]
        return list(dict.fromkeys(found))


def _labels(container: Mapping[str, Any]) -> dict[str, str]:
    return dict((container.get("Config") or {}).get("Labels") or {})


def read(
    engine: Engine, stack: str, project: str, containers: Sequence[Mapping[str, Any]], ended: Sequence[Mapping[str, Any]] = ()
) -> Running:
    """Have Compose read a project that runs where it lies.

    Raises:
        RolloutError: its files are gone, cannot be read, or lack a service that runs.
    """
    # The newest container was made from what was there last.
    origin = baseline.origin(_labels(max(containers, key=lambda one: str(one.get("Created") or ""))))
    if origin is None:
        raise NO_FILES(stack=stack, project=project, why="its containers do not say which files they were made from")
    gone = [path for path in (*origin.files, *origin.env_files) if not project_files.is_file(path)]
    if gone:
        raise NO_FILES(stack=stack, project=project, why=f"{' and '.join(gone)} of its files is gone")
    original, names = Original(engine, project, origin), {_labels(one).get(baseline.SERVICE, "") for one in containers}
    try:
        variables = _variables(origin)
        # Compose may show a line of the files that it does not accept.
        masking.learn([value for name, value in variables.items() if env_file.is_secret(name, value)])
        whole = original.config(("*",))
        profiles = baseline.profiles(whole, names)
        config = original.config(profiles) if any(spec.get("profiles") for spec in whole["services"].values()) else whole
    except RolloutError as error:
        if error.facts.get("away"):
            raise
        raise NOT_READ(
            stack=stack, project=project, why=str(error).rstrip("."), folder=origin.folder, facts=error.facts
        ) from error
    lost = sorted(names - set(config["services"]))
    if lost:
        raise NOT_IN_FILES(stack=stack, project=project, services=" and ".join(lost), files=" and ".join(origin.files))
    return Running(stack, project, containers, original, profiles, config, variables, ended)


def _variables(origin: baseline.Origin) -> dict[str, str]:
    """What the project's own files of variables say, but for what docker takes from the host and Compose for itself."""
    found: dict[str, str] = {}
    for path in origin.env:
        if project_files.is_file(path):
            found.update(env_file.parse(project_files.content(path).decode("utf-8", "replace"), found.get, path))
    plain = {name: value for name, value in found.items() if name.isidentifier() and name.isascii()}
    return {n: v for n, v in plain.items() if not PASSED.fullmatch(n) and not n.startswith("COMPOSE_")}


def unproven(store: Store, one: Running, inspected: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Service -> in what its containers are not known to be what the files say: neither by Compose's hash, nor by looking."""
    hashes = [one.original.hashes(one.profiles)]
    left = {name: here for name, here in one.running.items() if any(baseline.unmade(hashes, c) for c in here)}
    depending = [name for name in left if one.config["services"][name].get("depends_on")]
    if depending:
        # `up --no-deps` hashes a service without what it depends on. An older Compose cannot take that away.
        with store.aside() as place, contextlib.suppress(RolloutError):
            reset = [f"  {json.dumps(name)}:\n    depends_on: !reset null\n" for name in depending]
            alone = place / "alone.yml"
            alone.write_text("services:\n" + "".join(reset), encoding="utf-8")
            hashes.append(one.original.hashes(one.profiles, [alone]))
    found = {}
    for name, here in left.items():
        spec = one.config["services"][name]
        for container in here:
            wrong = (
                likeness.differences(spec, one.config, container, inspected[name]) if baseline.unmade(hashes, container) else []
            )
            if wrong:
                found[name] = likeness.told(wrong)
    return found


def ended(one: Running) -> dict[str, Mapping[str, Any]]:
    """Service that ended well and does not run -> its newest container, if that was made, by Compose's hash, from its files."""
    found: dict[str, Mapping[str, Any]] = {}
    hashes = [one.original.hashes(one.profiles)] if one.ended else []
    for container in sorted(one.ended, key=lambda c: str(c.get("Created") or "")):
        name = _labels(container).get(baseline.SERVICE, "")
        if name in one.config["services"] and name not in one.running and not baseline.unmade(hashes, container):
            found[name] = container
    return found


def edited(deployment: Deployment, service: compose.Service, containers: Sequence[Container]) -> list[str]:
    """A sentence for each file or folder that a container from before the first release has from where it lay, and that is no
    longer what the release has."""
    content, found = deployment.store.content, []
    before = [c for c in containers if not c.config_hash] if service.former == "" else []
    volumes = (deployment.compose_project.config()["services"][service.name].get("volumes") or []) if before else []
    below = f"{content.root}/"
    wanted = {str(one["target"]): str(one["source"]) for one in volumes if str(one.get("source") or "").startswith(below)}
    for container in deployment.engine.inspect("container", [c.id for c in before]) if wanted else ():
        for mount in container.get("Mounts") or []:
            place, source = wanted.get(str(mount.get("Destination")), ""), str(mount.get("Source"))
            if place and source != place and not is_same(Path(source), content.read(place[len(below) :])):
                found.append(EDITED.text(path=source, container=str(container.get("Name")).lstrip("/")))
    return found

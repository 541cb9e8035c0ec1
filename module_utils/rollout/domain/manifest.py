"""What a release's release.json says of its stacks, in this version's words. Pure.

An earlier version wrote one Compose file for each stack beside one ``.env``, and knew images by their repository.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional

from ansible.module_utils.rollout.domain import release as releases

ENV = ".env"
PINS = "rollout.pins.json"


@dataclass(frozen=True)
class Part:
    """One stack of a release on a host.

    ``directory`` lies below the release's; ``files`` are its Compose files in their order, the pins last. ``services`` are the
    effective keys of each service, None where the files' own ``x-rollout`` says them; ``kept`` says why a service is. ``mounts``
    map a path of the source to its place below ``files/``. ``former`` are the labels by which a container of an earlier version
    of this tool is known to be as the release has it: service -> ``rollout.config``, empty for none. ``networks`` are the
    definitions by which the networks of the stack were made. ``project`` is its Compose project, empty for the usual one.
    ``folder`` is where its files lay before it was taken over, empty if it was not. ``unproven`` says of services, whose
    containers were there before, why these are not known to be what the files say.
    """

    directory: str
    files: tuple[str, ...]
    profiles: tuple[str, ...] = ()
    services: Optional[Mapping[str, Mapping[str, Any]]] = None
    kept: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    former: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, Any] = field(default_factory=dict)
    tag_variable: str = "IMAGE_TAG"
    project: str = ""
    folder: str = ""
    unproven: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> str:
        """The stack's ``.env``, below the release's directory."""
        return f"{self.directory}/{ENV}" if self.directory else ENV


def part(manifest: Mapping[str, Any], stack: str) -> Part:
    """What a manifest says of one of its stacks."""
    said = (manifest.get("parts") or {}).get(stack)
    if said is None:
        return Part("", (releases.compose_file(stack), releases.pins_file(stack)))
    return Part(
        directory=stack,
        files=(*said["compose"], PINS),
        profiles=tuple(said.get("profiles") or ()),
        **{
            key: dict(said.get(key) or {})
            for key in ("services", "kept", "references", "mounts", "former", "networks", "unproven")
        },
        tag_variable=str(said.get("tag_variable") or "IMAGE_TAG"),
        project=str(said.get("project") or ""),
        folder=str(said.get("folder") or ""),
    )


def project(manifest: Mapping[str, Any], stack: str) -> str:
    """The Compose project of one of the stacks of a manifest."""
    return part(manifest, stack).project or releases.project(manifest["application"], stack)


def mounted(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What the services of a release mount: stack and path of its source -> its place below ``files/``."""
    return {f"{stack}/{path}": place for stack in manifest["stacks"] for path, place in part(manifest, stack).mounts.items()}


def is_former(manifest: Mapping[str, Any]) -> bool:
    """Whether an earlier version of this tool wrote it."""
    return "parts" not in manifest


def upgraded(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest with its images by reference."""
    if not is_former(manifest):
        return dict(manifest)
    tag = manifest["release"]
    images = {f"{repository}:{tag}": {**image, "follows": True} for repository, image in manifest["images"].items()}
    return {**manifest, "images": images}

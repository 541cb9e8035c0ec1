"""What is on a host before an application's first rollout there, and would be lost or left behind by it. Pure.

Nothing of it was made by this tool, so it knows no way back to it: containers in a stack's Compose project, others that hold what
the stack needs, and data of the application as it ran before, beside which a new empty volume or folder would be made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Collection, Iterable, Mapping, Sequence

from ansible.module_utils.rollout.domain.ports import Port
from ansible.module_utils.rollout.errors import Refusal

SECTION = "What runs there already"
NOT_ITS_OWN = Refusal(
    SECTION,
    "Stack {stack} is Compose project {project}, and this host has containers of it that no rollout made: {containers}. A "
    "rollout would replace them, and could not bring them back. Take them over: ansible-playbook playbooks/adopt.yml -i <hosts> "
    "shows what runs, and adopt: true in rollout_stacks.{stack}, or -e adopt=true, takes it over.",
    "look at what `adopt.yml` shows, then roll out with `-e adopt=true`: what runs becomes the first stable release. Or remove "
    "these containers, or give the stack another `project`",
)
HOLDS = Refusal(
    SECTION,
    "Stack {stack} needs what Compose project {project} has on this host: {holdings}. If that is the application as it ran "
    "before, take it over: ansible-playbook playbooks/adopt.yml -i <hosts> shows what runs, and project: {project} and adopt: "
    "true in rollout_stacks.{stack} take it over.",
    "set `project` and `adopt` of that stack. If it is another application, the other line of the message says what to change",
)
OF_ANOTHER = Refusal(
    SECTION,
    "Stack {stack} is Compose project {project}, which belongs to the application whose state is in {path}: each would remove "
    "what the other one starts. Give the stack another name in rollout_stacks.{stack}.project, or take that application away "
    "first (playbooks/remove.yml).",
    "give the stack another `project`. If it is the same application, correct `rollout_dir`",
)
NEW_VOLUME = Refusal(
    SECTION,
    "Stack {stack} would begin with a new empty volume {name}, and this host has {other}, the volume {key} of Compose project "
    "{project}, which {users}. If that is its data, set rollout_stacks.{stack}.project to {project}. If it is to begin empty, "
    "set rollout_stacks.{stack}.new_data to true.",
    "set `project` of the stack to the one of the volume with its data, or `new_data: true`",
)
NEW_FOLDER = Refusal(
    SECTION,
    "Stack {stack} would begin with a new empty folder {place}, and {other}. If that is its data, set "
    "rollout_stacks.{stack}.data to {folder}. If it is to begin empty, set rollout_stacks.{stack}.new_data to true.",
    "set `data` of the stack to the folder in which its data lies, or `new_data: true`",
)


@dataclass(frozen=True)
class Found:
    """A container of a host, stopped or not.

    ``project`` is Compose's, empty without it; ``image`` is the repository of its image. ``root`` is the state directory of the
    application whose rollout made it, empty if none did. ``ports`` are those of the host that it holds now, ``volumes`` the names
    of those that it mounts, ``folders`` the host's paths that it does.
    """

    name: str
    project: str = ""
    image: str = ""
    root: str = ""
    ports: tuple[Port, ...] = ()
    volumes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """A stack that is to be rolled out for the first time.

    ``ports`` and ``names`` are those of the host that its containers need. ``volumes`` map the key of each one that would be made
    anew to its name on the host, ``folders`` the path of each folder of data, relative to the Compose file, to its place there.
    ``users`` map both to the repositories of the images that mount them. ``beside`` are those of the folders that hold something
    where the Compose file lies, and where that is.
    """

    stack: str
    project: str
    ports: tuple[Port, ...] = ()
    names: tuple[str, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, Collection[str]] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)


def holders(wanted: Wanted, there: Iterable[Found]) -> list[str]:
    """A sentence for each project that no rollout made, and whose containers have a port or a name that the stack needs."""
    holdings: dict[str, list[str]] = {}
    for one in there:
        if one.project in ("", wanted.project) or one.root:
            continue
        held = [f"port {port}" for port in wanted.ports if any(port.meets(other) for other in one.ports)]
        # Without a project's name in front it was chosen, and says what it has.
        held += ["its name"] if one.name in wanted.names else []
        if held:
            holdings.setdefault(one.project, []).append(f"container {one.name} has {' and '.join(dict.fromkeys(held))}")
    return [HOLDS.text(stack=wanted.stack, project=of, holdings="; ".join(held)) for of, held in sorted(holdings.items())]


def volumes(
    wanted: Wanted, there: Sequence[Found], known: Iterable[Mapping[str, Any]], apart: Collection[str], root: str
) -> list[str]:
    """A sentence for each volume that would be made anew, although another project has one of the same key: in use by the same
    image, or by nobody.

    Args:
        known: the volumes of the host, each as `docker volume inspect` has it.
        apart: Compose projects of other applications of this tool: what they use is theirs.
        root: the state directory of this application.
    """
    found: dict[str, str] = {}
    for one in known:
        labels = one.get("Labels") or {}
        key, project = str(labels.get("com.docker.compose.volume") or ""), str(labels.get("com.docker.compose.project") or "")
        if key not in wanted.volumes or key in found or project in ("", wanted.project):
            continue
        users = [c for c in there if str(one["Name"]) in c.volumes]
        same = [c for c in users if c.image in wanted.users.get(key, ()) and project not in apart and c.root in ("", root)]
        if same or not users:
            said = f"container {same[0].name} uses" if same else "no container uses"
            name = wanted.volumes[key]
            found[key] = NEW_VOLUME.text(stack=wanted.stack, name=name, other=one["Name"], key=key, project=project, users=said)
    return list(found.values())


def folders(wanted: Wanted, there: Sequence[Found], root: str) -> list[str]:
    """A sentence for each folder of data that would begin empty, although a container of the same image has one of that name
    elsewhere, or the folder of the Compose file has data there."""
    found = []
    for path, place in wanted.folders.items():
        tail = f"/{path}"
        same = (
            (c, source)
            for c in there
            if c.image in wanted.users.get(path, ()) and c.root in ("", root)
            for source in c.folders
            if source.endswith(tail) and source != place
        )
        container, source = next(same, (None, wanted.beside.get(path, "")))
        if source:
            other = f"container {container.name} has {source}" if container else f"{source}, beside its compose file, holds data"
            folder = source[: -len(tail)] or "/"
            found.append(NEW_FOLDER.text(stack=wanted.stack, place=place, other=other, folder=folder))
    return found

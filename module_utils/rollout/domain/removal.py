"""What of a host is an application's, and goes with it; and what stays, because it is data or may be somebody else's. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Collection, Iterable, Mapping, Sequence

from ansible.module_utils.rollout.errors import Refusal

SECTION = "Taking an application away"
OTHER_NAME = Refusal(
    SECTION,
    "delete_data is '{given}': expected {application}, the name of the application, typed in full. Nothing was removed.",
    "type the name in full, or leave `delete_data` out: then the data stays",
)
# The kinds of things that a removal says go, or stay.
KINDS = (
    *("containers", "networks", "images", "state", "metrics", "units"),
    *("volumes", "folders", "perhaps", "others", "files", "elsewhere"),
)
# Below these lies what is the host's own.
_HOSTS = ("/dev/", "/etc/", "/proc/", "/run/", "/sys/", "/usr/", "/var/run/")
_LABEL = "com.docker.compose"


@dataclass(frozen=True)
class Projects:
    """The Compose projects of an application on a host.

    In those that are ``sure`` all is its own: a release of them was stable here. In the others, which were only staged or stand
    in the inventory, its own is what this tool made.
    """

    sure: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    @property
    def all(self) -> frozenset[str]:
        """Both."""
        return self.sure | self.others


@dataclass(frozen=True)
class One:
    """A container of a host. ``root`` is the state directory of the application whose rollout made it, empty if none did that is
    here; ``volumes`` are the names of those that it mounts, ``folders`` the host's paths that it may write to; ``grace`` are the
    seconds that it gets to end."""

    id: str
    name: str
    project: str = ""
    root: str = ""
    grace: float = 10.0
    volumes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


def own(projects: Projects, there: Iterable[One], root: str) -> list[One]:
    """The application's containers: those that its rollouts made, and all that no other did in projects that are surely its."""
    return [c for c in there if c.root == root or (not c.root and c.project in projects.sure)]


def strangers(projects: Projects, there: Sequence[One], root: str) -> list[One]:
    """Containers in the application's projects that are not, or not surely, its own."""
    mine = own(projects, there, root)
    return [c for c in there if c.project in projects.all and c not in mine]


def networks(projects: Projects, strange: Sequence[One], known: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of the networks that Compose made for its projects, but for those in which there are strangers.

    Args:
        known: as `docker network inspect` has them.
    """
    left = projects.all - {c.project for c in strange}
    return sorted(str(one["Name"]) for one in known if _project(one) in left)


def volumes(
    projects: Projects, mine: Sequence[One], others: Iterable[One], recorded: Collection[str], known: Iterable[Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    """The names of the volumes that are surely its data, and of those that may be.

    Args:
        mine, others: its containers, and all others of the host.
        recorded: the volumes that an earlier removal wrote down.
        known: as `docker volume inspect` has them.
    """
    others = list(others)
    used, strange = {name for c in others for name in c.volumes}, {c.project for c in others}
    sure = (projects.sure | {c.project for c in mine}) - strange
    nameless = {name for c in mine for name in c.volumes if _is_nameless(name)}
    data, perhaps = list[str](), list[str]()
    for one in known:
        name, project = str(one["Name"]), _project(one)
        if name not in used and (name in recorded or name in nameless or project in sure):
            data.append(name)
        elif project and project in projects.all:
            perhaps.append(name)
    return sorted(data), sorted(perhaps)


def elsewhere(mine: Iterable[One], root: str) -> list[str]:
    """The host's folders outside the state directory that the application wrote to; but for those of the host itself."""
    apart = (f"{root}/", *_HOSTS)
    return sorted({folder for c in mine for folder in c.folders if not f"{folder}/".startswith(apart) and folder != "/"})


def _is_nameless(volume: str) -> bool:
    """Whether nobody named a volume: the engine's own names are 64 hexadecimal digits."""
    return len(volume) == 64 and not set(volume) - set("0123456789abcdef")


def _project(one: Mapping[str, Any]) -> str:
    return str((one.get("Labels") or {}).get(f"{_LABEL}.project") or "")

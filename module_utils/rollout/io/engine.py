"""The engine of a host: its version, containers, images and published ports."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain.changes import Container, container
from ansible.module_utils.rollout.domain.ports import Port
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import refusals
from ansible.module_utils.rollout.io.docker_api import Api, Events
from ansible.module_utils.rollout.io.docker_command import Docker, last_words, version_tuple
from ansible.module_utils.rollout.io.logins import Credentials
from ansible.module_utils.rollout.io.masking import ending

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

OLDEST_ENGINE = (20, 10)


class Engine(Docker):
    """The engine of this host: its API for what is only read, docker's commands for the rest.

    ``questions`` are those that Compose was asked already, by call and content (`compose_project` fills it).
    """

    def __init__(self, timeout: float = 120.0, config: str = "") -> None:
        super().__init__(timeout, config)
        self.credentials = Credentials()
        self.api = Api(self._environment, timeout)
        self.questions: dict[tuple[Any, ...], Future[tuple[str, str]]] = {}
        self._facts: Optional[tuple[dict[str, Any], Future[tuple[int, str, str]]]] = None

    @functools.cached_property
    def workers(self) -> ThreadPoolExecutor:
        """Threads for what is asked in the background."""
        # Loaded when first needed: a guard that waits does without.
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(4, "compose")

    def configured(self, directory: str, credentials: Credentials) -> Engine:
        """This engine, with docker's settings from that directory, and what they allow."""
        found = Engine(self.timeout, directory)
        found.credentials = credentials
        return found

    def get(self, path: str, doing: str, **query: Any) -> Any:
        """What the engine's API answers; None where what is asked for does not exist.

        Raises:
            RolloutError: the engine cannot be reached, or refuses.
        """
        try:
            status, answer = self.api.get(path, **query)
        except FileNotFoundError:
            raise refusals.NOT_INSTALLED() from None
        except OSError as error:
            gone = not isinstance(error, TimeoutError) and "permission denied" not in str(error)
            raise refusals.FAILED(doing=doing, said=last_words(str(error)), facts={"away": True} if gone else {}) from error
        if status == 404:
            return None
        if status >= 400:
            raise refusals.FAILED(doing=doing, said=last_words(str(answer.get("message"))))
        return answer

    def facts(self, compose: bool = True) -> dict[str, Any]:
        """Versions and architecture of the engine, and where its images lie (``data``), as they were when it was first asked.

        Args:
            compose: with Compose's version. Without, that is asked meanwhile, and whether it is there, the next call says.

        Raises:
            RolloutError: Docker is absent, not running, not allowed for this user, too old, or without Compose v2.
        """
        self._facts = self._facts or self._asked()
        facts, version = self._facts
        return {**facts, "compose": self._compose_version(version)} if compose else dict(facts)

    def _asked(self) -> tuple[dict[str, Any], Future[tuple[int, str, str]]]:
        if not shutil.which("docker"):
            raise refusals.NOT_INSTALLED()
        compose = self.workers.submit(self._said_version)
        try:
            status, info = self.api.get("/info")
            trouble = "" if status < 400 else str(info.get("message"))
        except OSError as error:
            info, trouble = {}, str(error)
        if trouble or not info.get("ServerVersion"):
            raise engine_refusal(trouble, os.environ.get("USER") or str(os.getuid()))
        version = str(info["ServerVersion"])
        if version_tuple(version) < OLDEST_ENGINE:
            raise refusals.ENGINE_TOO_OLD(version=version)
        facts = {
            "engine": version,
            "arch": go_arch(str(info.get("Architecture", ""))),
            "id": str(info.get("ID") or ""),
            "data": images_root(info),
        }
        return facts, compose

    def _said_version(self) -> tuple[int, str, str]:
        _program, version = self._compose
        return (0, version, "") if version else self.run(["compose", "version", "--short"], timeout=20)

    def _compose_version(self, asked: Future[tuple[int, str, str]]) -> str:
        code, out, _err = asked.result()
        if code:
            # It is asked again.
            self._facts = None
            old = " Only Compose v1 (docker-compose) is there." if shutil.which("docker-compose") else ""
            raise refusals.NO_COMPOSE(old=old)
        return out.strip().lstrip("v")

    def answers(self) -> bool:
        """Whether the engine can be asked now."""
        try:
            return bool(self.api.get("/_ping")[0] < 400)
        except OSError:
            return False

    def inspect(self, kind: str, names: Sequence[str]) -> list[dict[str, Any]]:
        """What the engine knows of those containers or images (``kind``) of ``names`` that exist.

        Raises:
            RolloutError: it cannot be asked.
        """
        asked = (self.get(f"/{kind}s/{name}/json", f"Inspecting {kind} {name}") for name in names)
        return [found for found in asked if found is not None]

    def containers(self, project: str) -> list[Container]:
        """The containers of a Compose project, stopped ones too, without one-off ones. The newest first."""
        label = "com.docker.compose"
        filters = {"label": [f"{label}.project={project}", f"{label}.oneoff=False"]}
        found = self.get("/containers/json", "Listing containers", all="true", filters=filters) or []
        return [container(c) for c in self.inspect("container", [one["Id"] for one in found])]

    def one_offs(self, project: str, label: str) -> list[Container]:
        """The one-off containers of a Compose project that have a label, stopped ones too. The newest first."""
        compose = "com.docker.compose"
        filters = {"label": [f"{compose}.project={project}", f"{compose}.oneoff=True", label]}
        found = self.get("/containers/json", "Listing containers", all="true", filters=filters) or []
        return [container(c) for c in self.inspect("container", [one["Id"] for one in found])]

    def labels(self, having: str) -> list[dict[str, str]]:
        """The labels of each container that has the label ``having``, stopped ones too."""
        found = self.get("/containers/json", "Listing containers", all="true", filters={"label": [having]}) or []
        return [dict(one["Config"].get("Labels") or {}) for one in self.inspect("container", [one["Id"] for one in found])]

    def everything(self) -> list[dict[str, Any]]:
        """What `docker inspect` says of every container, stopped ones too."""
        return self.inspect(
            "container", [one["Id"] for one in self.get("/containers/json", "Listing containers", all="true") or []]
        )

    def volumes(self) -> list[dict[str, Any]]:
        """All volumes, each as `docker volume inspect` has it."""
        return list((self.get("/volumes", "Listing volumes") or {}).get("Volumes") or [])

    def mounted(self, having: str) -> set[str]:
        """The paths of this host that containers with the label ``having`` mount, stopped ones too."""
        found = self.get("/containers/json", "Listing containers", all="true", filters={"label": [having]}) or []
        return {str(m["Source"]) for one in found for m in one.get("Mounts") or [] if m.get("Source")}

    def info(self) -> dict[str, Any]:
        """What the engine says of itself: processors, memory, runtimes, drivers."""
        return dict(self.get("/info", "Asking the engine") or {})

    def networks(self) -> list[dict[str, Any]]:
        """All networks, each as `docker network inspect` has it, but without its containers."""
        return list(self.get("/networks", "Listing networks") or [])

    def attached(self, network: str) -> dict[str, str]:
        """Name -> Compose project of each container that runs on a network."""
        found = self.get(f"/networks/{network}", f"Inspecting network {network}") or {}
        projects = {name: project for name, (project, _service, _state) in self.names().items()}
        names = [str(one.get("Name") or "") for one in (found.get("Containers") or {}).values()]
        return {name: projects.get(name, "") for name in names}

    def volume(self, name: str) -> Optional[dict[str, Any]]:
        """What `docker volume inspect` says of a volume, or None if there is none of that name."""
        found = self.get(f"/volumes/{name}", f"Inspecting volume {name}")
        return None if found is None else dict(found)

    def plugins(self) -> list[str]:
        """The names of the plugins that are switched on."""
        return [str(one["Name"]) for one in self.get("/plugins", "Listing plugins") or [] if one.get("Enabled")]

    def names(self) -> dict[str, tuple[str, str, str]]:
        """Name -> Compose project, service and state of each container, stopped ones too."""
        label = "com.docker.compose"
        return {
            name.lstrip("/"): (has.get(f"{label}.project", ""), has.get(f"{label}.service", ""), str(one.get("State") or ""))
            for one in self.get("/containers/json", "Listing containers", all="true") or []
            for has in [one.get("Labels") or {}]
            for name in one.get("Names") or []
        }

    def image(self, reference: str) -> Optional[dict[str, Any]]:
        """What the engine knows of an image, or None where it is not on this host."""
        return next(iter(self.inspect("image", [reference])), None)

    @contextlib.contextmanager
    def events(self, project: str) -> Iterator[Events]:
        """What happens to the containers of a Compose project meanwhile."""
        filters = {"type": ["container"], "label": [f"com.docker.compose.project={project}"]}
        with self.api.stream("/events", filters=filters) as stream:
            yield Events(stream)

    def processes(self, container: str) -> dict[int, int]:
        """The host's process ids of a running container, each with its parent's; none where it does not run."""
        code, out, _err = self.run(["top", container, "-eo", "pid,ppid"], timeout=20)
        rows = [line.split() for line in out.splitlines()[1:]] if not code else []
        return {int(pid): int(parent) for pid, parent in rows}

    def logs(self, container: str, lines: int = 15, until: str = "") -> str:
        """The last lines that a container wrote, masked; of these, those before a time of Docker's, ``until``."""
        before = ["--until", until] if until else []
        _code, out, err = self.run(["logs", "--tail", str(lines), *before, container], timeout=20)
        # How far the first line is in belongs to it.
        return ending((out + err).rstrip().lstrip("\n"))[-4000:]

    def output(self, container: str, lines: int = 2000) -> str:
        """The end of all that a container wrote on both its streams, in its order, masked."""
        _code, out, err = self.run(["logs", "--timestamps", "--tail", str(lines), container], timeout=60)
        # Each stream by itself is in order. The times go before anything is hidden: a secret may have several lines.
        said = sorted([*out.splitlines(), *err.splitlines()], key=lambda line: line.partition(" ")[0])
        return ending("\n".join(line.partition(" ")[2] for line in said))

    def held_ports(self) -> list[tuple[Port, str]]:
        """The host's ports that running containers publish, each with the project (or the name) of its container."""
        return [
            (
                Port(int(port["PublicPort"]), port.get("Type") or "tcp", port.get("IP") or ""),
                one["Labels"].get("com.docker.compose.project") or one["Names"][0].lstrip("/"),
            )
            for one in self.get("/containers/json", "Listing containers") or []
            for port in one["Ports"]
            if port.get("PublicPort")
        ]


def engine_refusal(error: str, user: str) -> RolloutError:
    """The error about an engine that does not answer."""
    if "permission denied" in error.lower():
        return refusals.NOT_ALLOWED(user=shlex.quote(user))
    if "command not found" in error:
        return refusals.NOT_INSTALLED()
    return refusals.ENGINE_SILENT(said=last_words(error, 1), facts={"away": True})


def images_root(info: Mapping[str, Any], settings: str = "/etc/containerd/config.toml") -> str:
    """The directory in which an engine keeps its images.

    With containerd's image store (docs.docker.com/engine/storage/containerd) they lie under containerd's root: that of the host's
    own containerd, which its settings name, or of one that dockerd started.
    """
    root = str(info.get("DockerRootDir") or "/var/lib/docker")
    if not any("io.containerd.snapshotter" in str(word) for row in info.get("DriverStatus") or [] for word in row):
        return root
    # Older engines do not say which. They, too, take the host's own if it runs.
    address = str((info.get("Containerd") or {}).get("Address") or "")
    if "/docker/containerd/" in address or not (address or os.path.exists("/run/containerd/containerd.sock")):
        return f"{root}/containerd/daemon"
    try:
        text = Path(settings).read_text(encoding="utf-8").partition("\n[")[0]
    except (OSError, ValueError):
        text = ""
    named = re.search(r"""^\s*root\s*=\s*["'](/[^"']+)["']""", text, re.MULTILINE)
    return named[1] if named else "/var/lib/containerd"


def go_arch(machine: str) -> str:
    """The name that images use for a processor (Go's GOARCH)."""
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(machine, machine)

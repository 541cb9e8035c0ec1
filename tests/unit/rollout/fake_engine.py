"""An engine that has no docker: it keeps images and containers in memory and records every call."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterable, Iterator, Optional, Sequence

import fake_docker
from ansible.module_utils.rollout.domain import compose, dotenv
from ansible.module_utils.rollout.domain.ports import Port
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.docker_api import Events
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.logins import Credentials

READING = {"ps", "container inspect", "image inspect", "image ls", "config", "logs", "info", "top"}


def _absolute(part: dict[str, Any], place: str) -> dict[str, Any]:
    """A file with its paths as Compose prints them."""
    for spec in part.get("services", {}).values():
        for name in spec.pop("env_file", []):
            given = dotenv.parse(Path(place, name).read_text(encoding="utf-8"))
            spec["environment"] = {**given, **spec.get("environment", {})}
    entries = [(one, "source") for spec in part.get("services", {}).values() for one in spec.get("volumes") or []]
    entries += [(one, "file") for kind in ("configs", "secrets") for one in part.get(kind, {}).values()]
    for entry, key in entries:
        if isinstance(entry, dict) and str(entry.get(key, "")).startswith("."):
            entry[key] = os.path.normpath(os.path.join(place, entry[key]))
    return part


def _merge(whole: dict[str, Any], part: dict[str, Any]) -> None:
    """Put a later file's part over what the files before it say, as Compose does."""
    for key, value in part.items():
        if key == "volumes" and isinstance(value, list):
            by_target = {one["target"] if isinstance(one, dict) else one: one for one in [*whole.get(key, []), *value]}
            whole[key] = list(by_target.values())
        elif isinstance(value, dict) and isinstance(whole.get(key), dict):
            _merge(whole[key], value)
        else:
            whole[key] = value


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


def image_id(letter: str) -> str:
    return "sha256:" + "1" + letter * 63


class FakeEngine(Engine):
    """``images``: reference -> id. ``containers``: what `docker inspect` would say. ``broken``: service -> state it takes
    when it is started. ``shown``: what a pull shows on its terminal. ``top``: process id -> parent, of every container. ``calls``: everything that was asked, the words that
    matter."""

    def __init__(self) -> None:
        super().__init__()
        # Bound late: a copy of this asks itself.
        self.api = SimpleNamespace(get=lambda path, **query: self.answer(path, query), close=lambda: None)  # type: ignore[assignment]
        # What the API says at these paths.
        self.said: dict[str, Any] = {}
        self.images: dict[str, str] = {}
        self.made: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.broken: dict[str, dict[str, Any]] = {}
        self.ports: list[tuple[Port, str]] = []
        self.fail: dict[str, str] = {}
        self.count = 0
        # The Compose files of one-off containers.
        self.tried: list[dict[str, Any]] = []
        # Call and docker's configuration for it; the logins that were configured.
        self.configs: list[tuple[str, str]] = []
        self.logins: list[dict[str, Any]] = []
        self.shown: list[str] = []
        self.top: list[dict[int, int]] = [{4711: 1}]
        self.warnings: list[str] = []
        # What a dump writes; the last word of each command that read something, and what it read.
        self.dumped: list[bytes] = [b"rows"]
        self.fed: list[tuple[str, bytes]] = []

    @property
    def touched(self) -> list[str]:
        """The calls that change something."""
        return [c for c in self.calls if not any(c == r or c.startswith(r + " ") for r in READING)]

    def answer(self, path: str, query: dict[str, Any]) -> tuple[int, Any]:
        if path in self.said:
            return 200, self.said[path]
        if path == "/containers/json" and query.get("all") and not query.get("filters"):
            return 200, [
                {"Id": c["Id"], "Names": [c["Name"]], "Labels": c["Config"]["Labels"], "State": c["State"]["Status"]}
                for c in self.made
            ]
        return fake_docker.answer(self.run, path, query)

    def facts(self, compose: bool = True) -> dict[str, Any]:
        facts = {"engine": "24.0.7", "arch": "amd64", "id": "ENGINE", "data": "/"}
        return {**facts, "compose": "2.26.1"} if compose else facts

    def configured(self, directory: str, credentials: Credentials) -> Engine:
        found = copy.copy(self)
        found.config, found.credentials = directory, credentials
        self.logins.append(json.loads((Path(directory) / "config.json").read_text())["auths"])
        return found

    def run(self, arguments: Any, stdin: str = "", timeout: Any = None, extra: Any = None) -> tuple[int, str, str]:
        words = list(arguments)
        if words[0] == "compose":
            return self._compose(words, stdin, dict(extra or {}))
        said = " ".join(words)
        self.calls.append(said)
        self.configs.append((said, self.config))
        for start, message in self.fail.items():
            if said.startswith(start):
                return 1, "", message
        if words[:2] == ["image", "inspect"]:
            found = self.images.get(words[2]) or (words[2] if words[2] in self.images.values() else None)
            named = [name for name, one in self.images.items() if one == found and "@" in name]
            about = {"Id": found, "RootFS": {}, "RepoDigests": named}
            return (0, json.dumps([about]), "") if found else (1, "[]", "No such image")
        if words[:2] == ["image", "ls"] or (words[0] == "ps" and "--format" in words):
            return 0, "", ""
        if words[:2] == ["image", "rm"]:
            return (0, "", "") if self.images.pop(words[2], None) else (1, "", "No such image")
        if words[0] == "ps":
            filters = [words[n + 1].split("=")[1:] for n, word in enumerate(words) if word == "--filter"]
            # Compose says of each container whether it is a one-off one.
            labels = {c["Id"]: {"com.docker.compose.oneoff": "False", **c["Config"]["Labels"]} for c in self.made}
            fit = [i for i, has in labels.items() if all(n in has and has[n] in (v or [has[n]]) for n, *v in filters)]
            return 0, "\n".join(fit), ""
        if words[:2] == ["container", "inspect"]:
            return 0, json.dumps([c for c in self.made if {c["Id"], c["Name"][1:]} & {*words[2:]}]), ""
        if words[0] == "pull":
            self.images[words[1]] = image_id(words[1][-1])
        elif words[0] == "tag":
            self.images[words[2]] = self.images.get(words[1], words[1])
        elif words[0] == "rm":
            self.made = [c for c in self.made if not {c["Id"], c["Name"][1:]} & {*words[1:]}]
        elif words[0] == "stop":
            for found in self.made:
                if found["Id"] in words[1:]:
                    found["State"].update(Status="exited", ExitCode=0)
        elif words[0] == "start":
            next(c for c in self.made if c["Id"] == words[1])["State"].update(Status="running")
        elif words[0] == "exec" and "backup" in words:
            # How large the data is of a service whose backup has a preset.
            return 0, "1000\n", ""
        elif words[0] == "logs":
            return 0, ("2026-01-01T00:00:00Z " if "--timestamps" in words else "") + "the last line\n", ""
        elif words[0] == "top":
            # Once for each call the processes that come first, the last for ever.
            processes = self.top.pop(0) if len(self.top) > 1 else self.top[0]
            return 0, "PID PPID\n" + "".join(f"{pid} {parent}\n" for pid, parent in processes.items()), ""
        return 0, "", ""

    def watch(self, arguments: Sequence[str], quiet: float, seen: Callable[[str], None]) -> tuple[int, str]:
        for piece in self.shown:
            seen(piece)
        code, _out, err = self.run(arguments)
        return code, err

    def flow(
        self,
        arguments: Sequence[str],
        limit: float,
        pulse: Callable[[], None],
        into: Optional[Callable[[bytes], None]] = None,
        pieces: Optional[Iterable[bytes]] = None,
    ) -> tuple[int, str]:
        """A command over which data flows: one that gets ``pieces`` keeps them, the other one gives ``dumped``."""
        pulse()
        if pieces is not None:
            self.fed.append((list(arguments)[-1], b"".join(pieces)))
        for piece in self.dumped if into else ():
            into(piece)  # type: ignore[misc]
        code, _out, err = self.run(arguments)
        return code, err

    @contextlib.contextmanager
    def events(self, project: str) -> Iterator[Events]:
        yield Events(None)

    def held_ports(self) -> list[tuple[Port, str]]:
        return self.ports

    @staticmethod
    def _label(container: dict[str, Any], name: str) -> str:
        return str(container["Config"]["Labels"].get("com.docker.compose." + name))

    def _compose(self, words: list[str], stdin: str, extra: dict[str, str]) -> tuple[int, str, str]:
        files = [words[i + 1] for i, w in enumerate(words) if w == "--file"]
        if "config" in words:
            self.calls.append("config")
            document: dict[str, Any] = {}
            for file in files:
                text = stdin if file == "-" else Path(file).read_text(encoding="utf-8")
                place = str(Path(file).parent)
                try:
                    part = json.loads(text)
                    _merge(document, _absolute(part, place))
                except FileNotFoundError as error:
                    return 14, "", f"env file {error.filename} not found: stat {error.filename}: no such file or directory"
                except ValueError:
                    return 15, "", "yaml: mapping values are not allowed in this context"
            if "--hash" in words:
                return 0, "".join(f"{name} {self.hashed(spec)}\n" for name, spec in document["services"].items()), ""
            return 0, json.dumps(document), "".join(self.warnings)
        if "run" in words:
            said = self._compose([*words[: words.index("run")], "config"], "", {})[1]
            self.calls.pop()
            return self._one_off(words, json.loads(said))
        verb = next(v for v in ("stop", "up") if v in words)
        rest, project = iter(words[words.index(verb) + 1 :]), words[2]
        options: dict[str, str] = {}
        services: list[str] = []
        for word in rest:
            if word in ("--timeout", "--pull", "--scale"):
                options[word] = next(rest)
            elif word.startswith("--"):
                options[word] = ""
            else:
                services.append(word)
        mine = [c for c in self.made if self._label(c, "project") == project and self._label(c, "service") in services]
        if verb == "stop":
            grace = f" in {options['--timeout']} s" if "--timeout" in options else ""
            self.calls.append(f"stop {' '.join(services)}{grace}")
            for found in mine:
                found["State"].update(Status="exited", ExitCode=0)
            return 0, "", ""
        scale = int(options["--scale"].partition("=")[2]) if "--scale" in options else 0
        beside = f"beside {len(mine)}" + (f", {scale - len(mine)} more" if scale - len(mine) > 1 else "")
        how = "recreate" if "--force-recreate" in options else beside if scale else "create"
        self.calls.append(f"up {' '.join(services)} {how}")
        for service in services:
            if f"up {service}" in self.fail:
                return 1, "", self.fail[f"up {service}"]
        document = json.loads(self._compose([*words[: words.index("up")], "config"], "", {})[1])
        self.calls.pop()
        if how == "create":
            # What is there is started as it is.
            for found in mine:
                found["State"].update(Status="running")
            there = {self._label(c, "service") for c in mine}
            services = [service for service in services if service not in there]
        elif not scale:
            self.made = [c for c in self.made if c not in mine]
        # As `docker ps` has them: the newest first.
        for found in mine if scale else []:
            if found["State"]["Status"] in ("created", "exited"):
                found["State"].update(Status="running")
        for service in [name for name in services for _more in range(max(0, scale - len(mine)) if scale else 1)]:
            self.add(project, service, document["services"][service], **self.broken.get(service, {}))
            self.made[-1]["Config"]["Labels"]["com.docker.compose.project.working_dir"] = words[4]
            if scale:
                self.made.insert(0, self.made.pop())
        return 0, "", ""

    def _one_off(self, words: list[str], document: dict[str, Any]) -> tuple[int, str, str]:
        """`docker compose run --detach`: ``tried`` is what it was given."""
        service, name = words[-1], words[words.index("--name") + 1]
        self.calls.append(f"run {service}")
        self.tried.append(document)
        if f"run {service}" in self.fail:
            return 1, "", self.fail[f"run {service}"]
        self.add(words[2], service, document["services"][service], **self.broken.get(f"run {service}", {}))
        self.made[-1]["Name"] = f"/{name}"
        given = [words[n + 1].split("=") for n, word in enumerate(words) if word == "--label"]
        self.made[-1]["Config"]["Labels"].update({"com.docker.compose.oneoff": "True", **dict(given)})
        return 0, f"{name}\n", ""

    def add(self, project: str, service: str, spec: dict[str, Any], **state: Any) -> None:
        """A container, as `up` makes it."""
        self.count += 1
        image = spec["image"]
        repository, _at, pinned = image.partition("@")
        found = self.images.get(f"{compose.repository(image)}@{pinned}") or self.images.get(repository)
        # An image that no registry knows runs by its id.
        found = found or (image if image in self.images.values() else None)
        if not found:
            raise RolloutError(f"the test started {image}, which is not here")
        self.made.append(
            {
                "Id": f"c{self.count}",
                "Name": f"/{project}-{service}-{self.count}",
                "NetworkSettings": {"Networks": {project: {"IPAddress": f"10.0.0.{self.count}"}}},
                "Image": found,
                "RestartCount": state.pop("restarts", 0),
                "Config": {
                    "Image": image,
                    "Labels": {
                        "com.docker.compose.project": project,
                        "com.docker.compose.service": service,
                        **spec.get("labels", {}),
                    },
                },
                "State": {"Status": "running", "StartedAt": "2026-01-01T00:00:00Z", **state},
            }
        )

    @staticmethod
    def hashed(spec: dict[str, Any]) -> str:
        """Compose's own hash of a service, which it labels containers with."""
        return "compose-" + compose.config_hash({**spec, "image_": spec.get("image")})

    def original(self, project: str, file: Path, services: Sequence[str] = ()) -> None:
        """Start the services of a Compose file, or some of them, as somebody's own `docker compose up` does."""
        document = _absolute(json.loads(file.read_text(encoding="utf-8")), str(file.parent))
        for service, spec in document["services"].items():
            if service in (services or document["services"]):
                self.add(project, service, spec)
                about = {"config_files": str(file), "working_dir": str(file.parent)}
                labels = {f"com.docker.compose.project.{key}": value for key, value in about.items()}
                self.made[-1]["Config"]["Labels"].update(labels, **{"com.docker.compose.config-hash": self.hashed(spec)})
                self.made[-1]["Created"] = f"2026-01-01T00:00:{self.count:02}Z"

    def running(self) -> dict[str, str]:
        """Service -> id of its container."""
        return {self._label(c, "service"): c["Id"] for c in self.made}

"""All calls of the engine on a host: what is only read comes from its API, the rest is docker's commands.

Not by the SDK: what switches a host must work with the engine and the standard library alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Optional, Sequence

from ansible.module_utils.rollout import compose as composes
from ansible.module_utils.rollout import pulls
from ansible.module_utils.rollout.api import Api
from ansible.module_utils.rollout.env import PASSED
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.ports import Port

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

OLDEST_ENGINE = (20, 10)
# Where Compose's manual and packages put the plugin for every user, in the order in which docker looks; and docker itself.
_PLUGINS = tuple(f"/usr/{place}/docker/cli-plugins" for place in ("local/lib", "local/libexec", "lib", "libexec"))
_DOCKER = ("/usr/bin/docker", "/usr/local/bin/docker")
# Where docker finds the engine unless it is told otherwise (docs.docker.com/reference/cli/dockerd).
_SOCKET = "unix:///var/run/docker.sock"


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that docker may see."""
    return {k: v for k, v in environment.items() if PASSED.fullmatch(k) and k != "DOCKER_DEFAULT_PLATFORM"}


class _Tail(threading.Thread):
    """Reads a stream to its end and keeps the last of it: what a container prints must not fill this host's memory."""

    KEPT = 2**25

    def __init__(self, stream: Any) -> None:
        super().__init__(daemon=True)
        self.stream, self.data = stream, bytearray()
        self.start()

    def run(self) -> None:
        with contextlib.suppress(ValueError):  # closed, because the command was killed
            while chunk := self.stream.read1(2**16):
                self.data += chunk
                if len(self.data) > 2 * self.KEPT:
                    del self.data[: -self.KEPT]

    def text(self) -> str:
        """What it kept, once the stream has ended; whoever holds it open longer than its command is not waited for."""
        self.join(5)
        return bytes(self.data[-self.KEPT :]).decode("utf-8", "replace")


def _feed(pipe: Any, data: bytes) -> None:
    with contextlib.suppress(OSError, ValueError), pipe:
        pipe.write(data)


class Events:
    """A stream of the engine's events, of which only that there was one is told."""

    def __init__(self, stream: Optional[socket.socket]) -> None:
        self._stream = stream
        self._looked = time.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait for an event, ``seconds`` at most; whether one came."""
        if self._stream is None:
            time.sleep(seconds)
            return False
        if not select.select([self._stream], [], [], seconds)[0]:
            return False
        with contextlib.suppress(OSError):
            if self._stream.recv(2**16):
                return True
        # The engine ended the stream; `age` then decides alone.
        self._stream = None
        return False

    def seen(self) -> None:
        """The containers were looked at just now."""
        self._looked = time.monotonic()

    def age(self) -> float:
        """Seconds since they were."""
        return time.monotonic() - self._looked


class Engine:
    """The engine of this host."""

    def __init__(self, timeout: float = 120.0, config: str = "") -> None:
        self.timeout, self.config = timeout, config
        self.api = Api(self._environment, timeout, self._socket)
        self._facts: dict[str, Any] = {}
        self._version: Future[tuple[int, str, str]]
        self._read: dict[tuple[Any, ...], Future[str]] = {}

    @functools.cached_property
    def _workers(self) -> ThreadPoolExecutor:
        # Loaded when first needed: a guard that waits does without.
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(4, "compose")

    def configured(self, directory: str) -> Engine:
        """This engine, with docker's logins in a directory of its own; the user's context (a rootless engine) stays."""
        home = _home()
        context = _says(home, "currentContext")
        if context:
            os.symlink(home / "contexts", Path(directory) / "contexts")
            (Path(directory) / "config.json").write_text(json.dumps({"currentContext": context}), encoding="utf-8")
        return Engine(self.timeout, directory)

    def run(
        self,
        arguments: Sequence[str],
        stdin: str = "",
        timeout: Optional[float] = None,
        extra: Optional[Mapping[str, str]] = None,
    ) -> tuple[int, str, str]:
        """Run ``docker ARGUMENTS``: exit status, stdout, stderr (the ends of a flood). 124 after ``timeout`` seconds."""
        program = self._compose[0] if arguments[0] == "compose" else ""
        direct = [program, *arguments[1:]] if program else []
        limit = timeout or self.timeout
        try:
            process = subprocess.Popen(
                direct or ["docker", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**self._environment(), **(extra or {})},
                start_new_session=True,
            )
        except FileNotFoundError:
            return 127, "", "docker: command not found"
        out, err = _Tail(process.stdout), _Tail(process.stderr)
        threading.Thread(target=_feed, args=(process.stdin, stdin.encode()), daemon=True).start()
        try:
            # Python's wait with a limit looks twenty times a second: whoever waits in it wakes late.
            waiting = threading.Thread(target=process.wait, daemon=True)
            waiting.start()
            waiting.join(limit)
            if waiting.is_alive():
                return 124, "", f"docker {arguments[0]} gave no answer in {limit:.0f} s"
            return process.returncode, out.text(), err.text()
        finally:
            # Compose is a child of docker: neither outlives the call, nor holds its pipes open.
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _socket(self) -> str:
        """The engine's socket, where docker would go there itself; empty where that is not certain.

        What docker heeds, in its order: docs.docker.com/engine/manage-resources/contexts (DOCKER_HOST beats any context).
        """
        host = os.environ.get("DOCKER_HOST")
        context = "" if host is not None else os.environ.get("DOCKER_CONTEXT") or _says(_home(), "currentContext")
        scheme, _colon, path = (host or _SOCKET).partition("://")
        certain = context in ("", None, "default") and scheme == "unix" and shutil.which("docker") in _DOCKER
        return path if certain else ""

    @functools.cached_property
    def _compose(self) -> tuple[str, str]:
        """Compose's own program, where docker would start it, and its version. Empty where that is not certain.

        By itself it takes half the time. A plugin is the same program as the standalone Compose
        (docs.docker.com/compose/install/standalone).
        """
        home = _home()
        # Plugins elsewhere, or a docker that is something else (a wrapper, Podman): docker knows best.
        if shutil.which("docker") not in _DOCKER or _says(home, "cliPluginsExtraDirs"):
            return "", ""
        places = (f"{directory}/docker-compose" for directory in (home / "cli-plugins", *_PLUGINS))
        found = next((place for place in places if os.access(place, os.X_OK)), "")
        try:
            said = subprocess.run([found, "version", "--short"], env=self._environment(), capture_output=True, timeout=20)
        except (OSError, subprocess.SubprocessError):
            return "", ""
        version = said.stdout.decode("utf-8", "replace")
        return (found, version) if said.returncode == 0 and version_tuple(version) else ("", "")

    def _environment(self) -> dict[str, str]:
        return {**scrubbed(os.environ), **({"DOCKER_CONFIG": self.config} if self.config else {})}

    def checked(self, arguments: Sequence[str], doing: str, **options: Any) -> str:
        """Run and return stdout.

        Raises:
            RolloutError: the command failed; the sentence says what was being done and docker's last words.
        """
        code, out, err = self.run(arguments, **options)
        if code:
            raise RolloutError(f"{doing} failed: {last_words(err or out)}")
        return out

    def get(self, path: str, doing: str, **query: Any) -> Any:
        """What the engine's API answers; None where what is asked for does not exist.

        Raises:
            RolloutError: the engine cannot be reached, or refuses.
        """
        try:
            status, answer = self.api.get(path, **query)
        except FileNotFoundError:
            raise RolloutError("Docker is not installed: run ansible-playbook playbooks/prepare.yml, or install it.") from None
        except OSError as error:
            raise RolloutError(f"{doing} failed: {last_words(str(error))}") from error
        if status == 404:
            return None
        if status >= 400:
            raise RolloutError(f"{doing} failed: {last_words(str(answer.get('message')))}")
        return answer

    def facts(self, compose: bool = True) -> dict[str, Any]:
        """Versions, architecture and data directory of the engine, as they were when it was first asked.

        Args:
            compose: with Compose's version. Without, that is asked meanwhile, and whether it is there, the next call says.

        Raises:
            RolloutError: Docker is absent, not running, not allowed for this user, too old, or without Compose v2.
        """
        self._facts = self._facts or self._asked()
        return {**self._facts, "compose": self._compose_version()} if compose else dict(self._facts)

    def _asked(self) -> dict[str, Any]:
        if not shutil.which("docker"):
            raise RolloutError("Docker is not installed: run ansible-playbook playbooks/prepare.yml, or install it.")
        self._version = self._workers.submit(self._said_version)
        try:
            status, info = self.api.get("/info")
            trouble = "" if status < 400 else str(info.get("message"))
        except OSError as error:
            info, trouble = {}, str(error)
        if trouble or not info.get("ServerVersion"):
            raise RolloutError(engine_refusal(trouble, os.environ.get("USER") or str(os.getuid())))
        version = str(info["ServerVersion"])
        if version_tuple(version) < OLDEST_ENGINE:
            raise RolloutError(
                f"Docker Engine {version} is too old: 20.10 or newer is needed. Upgrade it, or run "
                "ansible-playbook playbooks/prepare.yml."
            )
        return {
            "engine": version,
            "arch": go_arch(str(info.get("Architecture", ""))),
            "id": str(info.get("ID") or ""),
            "data": str(info.get("DockerRootDir") or "/var/lib/docker"),
        }

    def _said_version(self) -> tuple[int, str, str]:
        _program, version = self._compose
        return (0, version, "") if version else self.run(["compose", "version", "--short"], timeout=20)

    def _compose_version(self) -> str:
        code, out, _err = self._version.result()
        if code:
            # It is asked again.
            self._facts = {}
            old = " Only Compose v1 (docker-compose) is there." if shutil.which("docker-compose") else ""
            raise RolloutError(
                f"Docker Compose v2 is missing.{old} Install the Compose plugin ('docker compose version' must work), "
                "or run ansible-playbook playbooks/prepare.yml."
            )
        return out.strip().lstrip("v")

    def composed(self, given: Sequence[Any], call: Sequence[str], doing: str, **options: Any) -> Future[str]:
        """What `docker compose config` prints, being asked in the background: once for the same files and variables (``given``).

        What it raises (RolloutError: Compose does not accept them) comes with its result.
        """
        key = (*call, *given)
        if key not in self._read or (self._read[key].done() and self._read[key].exception()):
            self._read[key] = self._workers.submit(self.checked, call, doing, **options)
        return self._read[key]

    def know(self, given: Sequence[Any], call: Sequence[str], text: str) -> None:
        """Take it for what `docker compose config` would print: a call costs an eighth of a second."""
        # Of the same kind as those that a call fills.
        self._read[(*call, *given)] = self._workers.submit(lambda: text)

    def inspect(self, kind: str, names: Sequence[str]) -> list[dict[str, Any]]:
        """What the engine knows of those containers or images (``kind``) of ``names`` that exist.

        Raises:
            RolloutError: it cannot be asked.
        """
        asked = (self.get(f"/{kind}s/{name}/json", f"Inspecting {kind} {name}") for name in names)
        return [found for found in asked if found is not None]

    def containers(self, project: str) -> list[composes.Container]:
        """The containers of a Compose project, stopped ones too, without one-off ones. The newest first."""
        label = "com.docker.compose"
        filters = {"label": [f"{label}.project={project}", f"{label}.oneoff=False"]}
        found = self.get("/containers/json", "Listing containers", all="true", filters=filters) or []
        return [composes.container(c) for c in self.inspect("container", [one["Id"] for one in found])]

    def image(self, reference: str) -> Optional[dict[str, Any]]:
        """What the engine knows of an image, or None where it is not on this host."""
        return next(iter(self.inspect("image", [reference])), None)

    def watch(self, arguments: Sequence[str], quiet: float, seen: Callable[[str], None]) -> tuple[int, str]:
        """Run ``docker ARGUMENTS`` on a terminal of its own, where it tells how far it is: exit status, stderr.

        Args:
            quiet: seconds without a word after which it is ended, with status 124.
            seen: gets the output as it comes, in pieces.
        """
        ours, its = pty.openpty()
        # Wide, so that docker shortens no number.
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        try:
            process = subprocess.Popen(
                ["docker", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=its,
                stderr=subprocess.PIPE,
                env=self._environment(),
                # A group of its own: what docker starts holds its stderr open, and ends with it.
                start_new_session=True,
            )
        except FileNotFoundError:
            os.close(ours)
            return 127, "docker: command not found"
        finally:
            os.close(its)
        with process:
            err = _Tail(process.stderr)
            try:
                while select.select([ours], [], [], quiet)[0]:
                    try:
                        piece = os.read(ours, 2**16)
                    except OSError:  # Linux says EIO where the other side has ended
                        piece = b""
                    if not piece:
                        return process.wait(), err.text()
                    seen(piece.decode("utf-8", "replace"))
                return 124, f"no byte came for {quiet:.0f} s"
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                os.close(ours)

    def pull(self, reference: str, tries: int = 3, quiet: float = 300.0, told: Callable[[int], None] = lambda done: None) -> None:
        """Pull an image, again where the transfer broke or stalled for ``quiet`` seconds; ``told`` gets the bytes that have come.

        Raises:
            RolloutError: it did not arrive in ``tries`` tries, or the registry said no.
        """
        for left in reversed(range(tries)):
            progress = pulls.Pull()

            def seen(piece: str, progress: pulls.Pull = progress) -> None:
                progress.feed(piece)
                told(progress.done)

            code, err = self.watch(["pull", reference], quiet, seen)
            if not code:
                return
            final = re.search(r"unauthorized|denied|manifest unknown|not found|no space left|no matching manifest", err)
            if final or not left:
                raise RolloutError(f"Image {reference} could not be pulled: {last_words(err)}")

    def login(self, registry: str, username: str, password: str) -> None:
        """Log in to a registry; the password goes in on standard input, where no process list shows it.

        Raises:
            RolloutError: the registry refuses it, or does not answer.
        """
        code, _out, err = self.run(["login", "--username", username, "--password-stdin", registry], stdin=password, timeout=60)
        if code:
            raise RolloutError(
                f"Registry {registry} does not let user {username} log in from this host: {last_words(err)}. Check "
                "rollout_registry_username and rollout_registry_password (vaulted)."
            )

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

    def logs(self, container: str, lines: int = 15) -> str:
        """The last lines that a container wrote."""
        _code, out, err = self.run(["logs", "--tail", str(lines), container], timeout=20)
        # How far the first line is in belongs to it.
        return (out + err).rstrip().lstrip("\n")[-4000:]

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


class Stack:
    """One Compose project of one release on this host: ``directory`` holds its files."""

    def __init__(self, engine: Engine, project: str, directory: Path, file: str, pins: Optional[str] = None) -> None:
        self.engine, self.project, self.directory, self.file, self.pins = engine, project, directory, file, pins

    def compose(self, *arguments: str) -> list[str]:
        """The arguments of docker for a compose call on the release's own files."""
        files = ["--file", str(self.directory / self.file)]
        if self.pins:
            files += ["--file", str(self.directory / self.pins)]
        return [
            "compose",
            "--project-name",
            self.project,
            "--project-directory",
            str(self.directory),
            "--env-file",
            str(self.directory / ".env"),
            *files,
            *arguments,
        ]

    def config(self) -> dict[str, Any]:
        """The stack as Compose understands it."""
        return dict(json.loads(self.asked().result()))

    def asked(self) -> Future[str]:
        """Have Compose read the stack in the background."""
        return self.engine.composed(self._texts(), self.compose("config", "--format", "json"), f"Reading {self.file}")

    def know(self, config: Mapping[str, Any]) -> None:
        """The stack as Compose understands it, where that is known already, for as long as its files stay what they are."""
        self.engine.know(self._texts(), self.compose("config", "--format", "json"), json.dumps(config))

    def _texts(self) -> list[Optional[bytes]]:
        files = [self.directory / name for name in (".env", self.file, self.pins) if name]
        return [file.read_bytes() if file.exists() else None for file in files]

    def stop(self, services: Sequence[str], timeout: float, grace: Optional[int] = None) -> None:
        """Stop services, each with its own grace period or ``grace`` seconds."""
        limit = [] if grace is None else ["--timeout", str(grace)]
        self.engine.checked(self.compose("stop", *limit, *services), f"Stopping {' and '.join(services)}", timeout=timeout)

    def up(self, services: Sequence[str], recreate: bool, timeout: float, scale: int = 0) -> None:
        """Start services, without their dependencies and without pulling; one alone perhaps with ``scale`` containers."""
        flags = ["--force-recreate" if recreate else "--no-recreate"]
        if scale:
            flags += ["--scale", f"{services[0]}={scale}"]
        self.engine.checked(
            self.compose("up", "--detach", "--no-deps", "--no-build", "--pull", "never", *flags, *services),
            f"Starting {' and '.join(services)}",
            timeout=timeout,
        )


def validate(engine: Engine, text: str, environment: Mapping[str, str], file: str) -> Future[str]:
    """Have Compose read a compose file that is not written anywhere yet, as if it lay in `compose.NOWHERE`; its result is what
    Compose makes of it, as JSON.

    Raises:
        RolloutError: with the result, where Compose does not accept it.
    """
    place = ["--project-name", "check", "--project-directory", composes.NOWHERE]
    call = ["compose", *place, "--file", "-", "config", "--format", "json"]
    return engine.composed((text, *sorted(environment.items())), call, f"Checking {file}", stdin=text, extra=environment)


def configuration(engine: Engine, file: Path) -> dict[str, Any]:
    """What Compose makes of a file on the disk, with the ``.env`` file beside it if there is one.

    Raises:
        RolloutError: the file is not there, or Compose does not accept it.
    """
    call = ["compose", "--project-directory", str(file.parent), "--file", str(file), "config", "--format", "json"]
    return dict(json.loads(engine.checked(call, f"Reading {file}")))


def _home() -> Path:
    """Where docker's client keeps its settings."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _says(home: Path, key: str) -> Any:
    """What the client's settings say; None where they say nothing."""
    try:
        return json.loads((home / "config.json").read_text(encoding="utf-8")).get(key)
    except (OSError, ValueError, AttributeError):
        return None


def last_words(text: str, lines: int = 2) -> str:
    """The last lines of an error, in one line."""
    kept = [line.strip() for line in text.strip().splitlines() if line.strip() and "level=warning" not in line]
    return "; ".join(kept[-lines:])[:600] or "no message"


def engine_refusal(error: str, user: str) -> str:
    """The sentence for an engine that does not answer."""
    if "permission denied" in error.lower():
        return (
            f"User {user} is not allowed to use Docker: add the user to group docker "
            f"(sudo usermod --append --groups docker {user}, then log in anew), or set ansible_become."
        )
    if "command not found" in error:
        return "Docker is not installed: run ansible-playbook playbooks/prepare.yml, or install it."
    return (
        f"The Docker engine does not answer ({last_words(error, 1)}): start it with 'systemctl start docker', or "
        "run ansible-playbook playbooks/prepare.yml."
    )


def version_tuple(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, for comparison."""
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])


def go_arch(machine: str) -> str:
    """The name that images use for a processor (Go's GOARCH)."""
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(machine, machine)

"""What is asked of the engine and of the machine. Every question leaves COMPOSE_… and KTRDR_… of the shell outside."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from dataclasses import replace
from typing import Literal

from ktrdr.cli.kinfra.errors import Refusal
from ktrdr.cli.kinfra.slots import COMPOSE, ENV, Container, Slot, publishes

PROJECT = "com.docker.compose.project"
_FIELDS = (
    "{{.ID}}",
    "{{.Names}}",
    f'{{{{.Label "{PROJECT}"}}}}',
    f'{{{{.Label "{PROJECT}.working_dir"}}}}',
    "{{.State}}",
    "{{.Status}}",
    "{{.Ports}}",
)
Kind = Literal["network", "volume"]
NOT_INSTALLED = Refusal(
    "Docker is not installed here (no command docker): make prepare installs it.",
    "type `make prepare`",
)
SILENT = Refusal(
    "Docker does not answer ({said}): start it (make prepare), or join group docker, log out and back in.",
    "type `make prepare`, which installs and starts it; users who were just added to group `docker` log out and back in",
)
FAILED = Refusal(
    "docker {command} failed ({said}): fix the cause, then run again.",
    "fix what the brackets name (docker's own message), then run again",
)


def _environment() -> dict[str, str]:
    # A variable of the shell would win over the slot's own file.
    return {k: v for k, v in os.environ.items() if not k.startswith(("COMPOSE_", "KTRDR_"))}


def _call(command: list[str], capture: bool) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, env=_environment(), capture_output=capture, text=True, check=False)
    except FileNotFoundError as error:
        raise NOT_INSTALLED() from error


def _docker(*arguments: str) -> str:
    """What docker prints; raises KinfraError with its last line where it fails."""
    done = _call(["docker", *arguments], capture=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        if re.search("(?i)cannot connect|permission denied|is the docker daemon running", said):
            raise SILENT(said=said)
        raise FAILED(command=arguments[0], said=said)
    return done.stdout


def containers() -> list[Container]:
    """Every container on the engine; raises KinfraError where Docker is absent or does not answer."""
    lines = _docker("ps", "--all", "--no-trunc", "--format", "\t".join(_FIELDS)).splitlines()
    found = [Container(*line.split("\t")) for line in lines]
    # An image that Compose built hands its project down to every container, but no directory.
    return [c if c.directory else replace(c, project="") for c in found]


def volumes(project: str) -> dict[str, str]:
    """The project's volumes, and the directory of the slot that each was made for, empty where it does not say."""
    fields = '{{.Name}}\t{{.Label "ktrdr.sandbox"}}'
    lines = _docker("volume", "ls", "--filter", f"label={PROJECT}={project}", "--format", fields).splitlines()
    return dict(line.split("\t") for line in lines)


def has_image(image: str) -> bool:
    """Whether the engine has the image."""
    return bool(_docker("image", "ls", "--quiet", image).strip())


def remove_containers(found: list[Container]) -> None:
    """Stop them as their images wish, then remove them."""
    keys = [c.key for c in found]
    if keys:
        _docker("stop", *keys)
        _docker("rm", "--volumes", *keys)


def remove(kind: Kind, project: str) -> None:
    """Remove the project's networks or volumes."""
    names = _docker(kind, "ls", "--quiet", "--filter", f"label={PROJECT}={project}").split()
    if names:
        _docker(kind, "rm", *names)


def compose(slot: Slot, *arguments: str) -> int:
    """Run docker compose on the slot, its output on the terminal; returns the exit status."""
    where = ["--project-name", slot.project, "--project-directory", str(slot.directory)]
    files = ["--file", str(slot.directory / COMPOSE), "--env-file", str(slot.directory / ENV)]
    return _call(["docker", "compose", *where, *files, *arguments], capture=False).returncode


def holder(port: int, every: list[Container]) -> str:
    """Who holds the port at 127.0.0.1, among these containers or else a process; empty where it is free."""
    for container in every:
        if publishes(container, port):
            return f"container {container.name}" + (f" of project {container.project}" if container.project else "")
    with socket.socket() as probe:
        # As servers do: connections that were closed just now are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return _process_on(port)
    return ""


def _process_on(port: int) -> str:
    """The process that listens on the port, as far as this user may see."""
    try:
        said = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        said = ""
    found = re.search(r'"([^"]+)",pid=(\d+)', said)
    return f"process {found[1]} (pid {found[2]})" if found else "a process of another user"

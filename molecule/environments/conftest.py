"""A shell as a developer has it, at home in a folder of its own."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

from ktrdr.cli.kinfra import docker
from ktrdr.cli.kinfra.slots import Slot

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / "deploy/environments/local"
PROJECT = "ktrdr-molecule-environments"
HOME = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "home"
PORTS = [8000, 5003, 5005, *(port for n in (7, 8, 9) for port in Slot(n, HOME).ports.values())]


def settings(file):
    return dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)


@pytest.fixture(scope="session", autouse=True)
def ports_are_free():
    """Say who holds a port that the commands of the specification name."""
    every = docker.containers()
    for port in PORTS:
        who = docker.holder(port, every)
        assert not who, f"Port {port} of this machine is taken by {who}: stop that while this scenario runs."


@pytest.fixture
def shell():
    """Type lines into a shell in the repository; returns what they printed, and fails where one of them does."""

    def type_lines(lines, answer="", status=0, **environment):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("COMPOSE_", "KTRDR_", "IMAGE_"))}
        clean |= {"HOME": str(HOME), "DOCKER_CONFIG": os.environ.get("DOCKER_CONFIG", os.path.expanduser("~/.docker"))}
        # As a developer without Docker Hub would, for slots do not read the local environment's .env.
        clean["KTRDR_DB_IMAGE"] = settings(LOCAL / ".env")["KTRDR_DB_IMAGE"]
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            cwd=ROOT, env=clean | environment, input=answer, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert done.returncode == status, f"{lines}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr if status else done.stdout

    HOME.mkdir(parents=True, exist_ok=True)
    return type_lines


@pytest.fixture
def local(shell):
    """The shell, with the local environment under the scenario's project name and without any trace afterwards."""

    def type_lines(lines):
        return shell(lines, COMPOSE_PROJECT_NAME=PROJECT)

    yield type_lines
    type_lines("cd deploy/environments/local && docker compose down --volumes")


@pytest.fixture
def sandboxes(shell):
    """The shell; slots 7 to 9 are gone afterwards."""
    yield shell
    shell("for n in 7 8 9; do kinfra sandbox destroy $n --yes; done")


@pytest.fixture
def answer():
    """What a URL of this machine answers, as JSON."""

    def ask(path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://localhost:{path}", data, {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=10))

    return ask

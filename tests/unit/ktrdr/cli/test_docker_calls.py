"""What kinfra asks of the engine and the machine, with a docker that is a script."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from ktrdr.cli.kinfra import docker
from ktrdr.cli.kinfra.errors import KinfraError
from ktrdr.cli.kinfra.slots import Container, Slot

HELD = Container("id", "web", "", "", "running", "Up", "127.0.0.1:{}->80/tcp")


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Make docker the given lines of Python."""

    def make(text):
        (tmp_path / "docker").write_text(f"#!{sys.executable}\nimport os, sys\n{text}\n")
        (tmp_path / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return make


def test_docker_is_absent(refused, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for line in ("list", "provision 1", "down 1", "destroy 1 --yes"):
        assert refused(f"sandbox {line}") == "1 Docker is not installed here (no command docker): make prepare installs it."


@pytest.mark.parametrize(
    "said",
    [
        "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
        "permission denied while trying to connect to the Docker daemon socket at unix:///x",
    ],
)
def test_docker_does_not_answer(refused, script, said):
    script(f"sys.exit('first\\n{said}')")
    assert refused("sandbox provision 1") == (
        f"1 Docker does not answer ({said}): start it (make prepare), or join group docker, log out and back in."
    )


def test_docker_refuses(script):
    script("sys.exit('Error: volume is in use')")
    with pytest.raises(KinfraError, match=r"^docker volume failed \(Error: volume is in use\): fix the cause, then run again\.$"):
        docker.remove("volume", "p")


def test_docker_refuses_without_a_word(script):
    script("sys.exit(3)")
    with pytest.raises(KinfraError, match=r"^docker ps failed \(exit status 3\): "):
        docker.containers()


def test_containers(script):
    script(
        r"print('1\tweb\t\t\trunning\tUp 2 hours\t80/tcp'); print('2\tb\tp\t/d\texited\tExited (0)\t'); print('3\tc\tp\t\trunning\tUp\t')"
    )
    assert docker.containers() == [
        Container("1", "web", "", "", "running", "Up 2 hours", "80/tcp"),
        Container("2", "b", "p", "/d", "exited", "Exited (0)", ""),
        Container("3", "c", "", "", "running", "Up", ""),
    ]


def test_the_shells_variables_stay_outside(script, monkeypatch, tmp_path):
    for name in ("COMPOSE_PROJECT_NAME", "COMPOSE_FILE", "KTRDR_API_PORT"):
        monkeypatch.setenv(name, "production")
    monkeypatch.setenv("DOCKER_HOST", "here")
    script(f"open({str(tmp_path / 'seen')!r}, 'w').write(repr((sys.argv[1:], sorted(os.environ), os.environ['DOCKER_HOST'])))")
    assert docker.compose(Slot(1, Path("/h")), "up") == 0
    seen = (tmp_path / "seen").read_text()
    assert "COMPOSE_" not in seen
    assert "KTRDR_" not in seen
    assert "'here'" in seen
    assert "['compose', '--project-name', 'ktrdr-sandbox-1', '--project-directory', '/h/slot-1', " in seen


def test_nothing_to_remove_is_not_asked_for(script):
    script("sys.exit(3)")
    docker.remove_containers([])


def test_who_holds_a_port(monkeypatch):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        web = Container(**{**vars(HELD), "ports": HELD.ports.format(port)})
        assert docker.holder(port, [web]) == "container web"
        assert docker.holder(port, [Container(**{**vars(web), "project": "shop"})]) == "container web of project shop"
        assert docker.holder(port, []).startswith(("process ", "a process of another user"))
        monkeypatch.setenv("PATH", "/nonexistent")
        assert docker.holder(port, []) == "a process of another user"
    assert docker.holder(port, []) == ""

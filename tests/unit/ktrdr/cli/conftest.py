"""The command kinfra as somebody types it, on an engine that is told what it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from ktrdr.cli.kinfra import docker
from ktrdr.cli.kinfra.main import main
from ktrdr.cli.kinfra.slots import DEV_IMAGE


class Engine:
    """What docker has, and what it was told to do."""

    def __init__(self):
        self.containers, self.volumes, self.images = [], {}, {DEV_IMAGE}
        self.status, self.told = 0, []
        self.interrupts = False

    def tell(self, *what):
        if self.interrupts:
            raise KeyboardInterrupt
        self.told.append(what)
        return self.status

    @property
    def verbs(self):
        """The first word or two of all that it was told."""
        return [" ".join(str(word) for word in what[:2]) for what in self.told]


@pytest.fixture
def engine(monkeypatch):
    engine = Engine()
    monkeypatch.setattr(docker, "containers", lambda: engine.containers)
    monkeypatch.setattr(docker, "volumes", lambda project: engine.volumes)
    monkeypatch.setattr(docker, "has_image", lambda image: image in engine.images)
    monkeypatch.setattr(docker, "holder", lambda port, every: "")
    monkeypatch.setattr(docker, "compose", lambda slot, *words: engine.tell("compose", *words))
    monkeypatch.setattr(docker, "remove_containers", lambda found: engine.tell("containers", *(c.name for c in found)))
    monkeypatch.setattr(docker, "remove", lambda kind, project: engine.tell(kind, project))
    return engine


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of the slots."""
    folder = tmp_path / "sandboxes"
    monkeypatch.setenv("KTRDR_SANDBOX_HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("KTRDR_BACKEND_IMAGE", "KTRDR_DB_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def kinfra(home: Path, monkeypatch, capsys):
    """Type a command; returns exit status, what it printed, what it said on the error stream."""

    def type_it(line):
        monkeypatch.setattr("sys.argv", ["kinfra", *line.split()])
        status = main()
        return status, *capsys.readouterr()

    return type_it


@pytest.fixture
def refused(kinfra):
    """Type a command that must be refused with one line; returns the line, the exit status in front."""

    def type_it(line):
        status, _out, said = kinfra(line)
        assert status in (1, 2)
        assert said.count("\n") == 1
        assert said.endswith(".\n")
        return f"{status} {said.strip()}"

    return type_it

from __future__ import annotations

import subprocess

import fake_docker
import pytest
from ansible.module_utils.rollout.io import docker_command

SAYS_24 = 'info*) echo \'{"ServerVersion": "24.0.7"}\';;\n'


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Put a `docker` first on PATH that answers by the cases of a shell `case "$*"`; its calls are in calls()."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("USER", "karl")

    def make(cases, name="docker"):
        fake_docker.install(tmp_path, cases, calls=str(tmp_path / "calls"), name=name)
        return lambda: (tmp_path / "calls").read_text().splitlines()

    return make


@pytest.fixture
def plugins(docker, tmp_path, monkeypatch):
    """Docker as its packages lay it out: the program, Compose as a plugin of every user, and a user's settings."""
    calls = docker("'compose version --short') echo v2.26.1;; compose*) echo by docker;;\n" + SAYS_24)
    monkeypatch.setattr(docker_command, "_DOCKER", (str(tmp_path / "docker"),))
    monkeypatch.setattr(docker_command, "_PLUGINS", (str(tmp_path / "none"), str(tmp_path / "all")))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "user"))
    for place in ("all", "user/cli-plugins"):
        (tmp_path / place).mkdir(parents=True)

    def lay(place="all", version="echo 2.26.1"):
        script = tmp_path / place / "docker-compose"
        script.write_text(f'#!/bin/sh\nif [ "$*" = "version --short" ]; then {version}; else echo "by {place}: $*"; fi\n')
        script.chmod(0o755)

    lay.calls = calls
    return lay


@pytest.fixture
def start():
    """Start a process that is not left behind."""
    started = []

    def make(*command, **options):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
        started.append(process)
        return process

    yield make
    for process in started:
        process.kill()
        process.wait(60)
        process.stdout.close()

"""The local environment and the sandboxes as Compose reads them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from ktrdr.cli.kinfra import files, slots
from ktrdr.cli.kinfra.slots import Slot

pytestmark = pytest.mark.skipif(
    not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0,
    reason="docker compose is absent",
)
SERVICES = {"db", "backend", "backtest-worker", "training-worker"}


def read(folder, *options, **environment):
    """What Compose makes of it, with nothing from this machine's own settings."""
    command = ["docker", "compose", "--project-directory", str(folder), *options, "config", "--format", "json"]
    clean = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    return json.loads(subprocess.run(command, env=clean, capture_output=True, text=True, check=True).stdout)


@pytest.fixture
def local(root):
    folder = root / "deploy/environments/local"

    def read_local(*names, **environment):
        chosen = [word for name in names for word in ("--file", str(folder / name))]
        return read(folder, "--env-file", "/dev/null", *chosen, **environment)

    return read_local


def images(config):
    return {name: service["image"] for name, service in config["services"].items()}


def test_local_builds_the_development_image_from_the_dockerfiles_own_defaults(local, root):
    config = local("docker-compose.yml")
    assert config["name"] == "ktrdr-local"
    build = config["services"]["backend"]["build"]
    assert (build["context"], build["dockerfile"]) == (str(root), "deploy/docker/Dockerfile.dev")
    assert not build.get("args")
    assert config["secrets"]["ca"]["file"] == "/dev/null"
    dev = "ktrdr-backend:dev"
    assert images(config) == {"db": "postgres:17-alpine", "backend": dev, "backtest-worker": dev, "training-worker": dev}


def test_local_has_health_checks_mounts_and_reload(local, root):
    services = local("docker-compose.yml")["services"]
    assert set(services) == SERVICES
    for name, service in services.items():
        assert service["healthcheck"]["test"]
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", []))
        if name != "db":
            (mount,) = service["volumes"]
            assert (mount["source"], mount["target"], mount["read_only"]) == (str(root / "ktrdr"), "/app/ktrdr", True)
        if name.endswith("worker"):
            assert "--reload" in service["command"]


def test_image_mode_builds_and_mounts_nothing(local):
    services = local("docker-compose.yml", "docker-compose.images.yml", IMAGE_TAG="sha-abc1234")["services"]
    assert {name: service["image"] for name, service in services.items() if name != "db"} == {
        "backend": "ghcr.io/kpiteira/ktrdr-backend:sha-abc1234",
        "backtest-worker": "ghcr.io/kpiteira/ktrdr-worker-cpu:sha-abc1234",
        "training-worker": "ghcr.io/kpiteira/ktrdr-worker-cpu:sha-abc1234",
    }
    for name in SERVICES - {"db"}:
        assert not {"build", "volumes"} & set(services[name])
        assert "--reload" not in (services[name].get("command") or [])


def test_the_comment_of_the_specification(root):
    block = """\
# =============================================================================
# Image Mode (uncomment to test with CI-built images)
# =============================================================================
# Backend (no torch):
#   image: ghcr.io/kpiteira/ktrdr-backend:${IMAGE_TAG:-latest}
#
# Workers (CPU torch):
#   image: ghcr.io/kpiteira/ktrdr-worker-cpu:${IMAGE_TAG:-latest}
#
# For GPU training (if you have a GPU):
#   image: ghcr.io/kpiteira/ktrdr-worker-gpu:${IMAGE_TAG:-latest}
# =============================================================================
"""
    assert block in (root / "deploy/environments/local/docker-compose.yml").read_text()


@pytest.mark.parametrize("name", ["home", "ho'm $HOME #e"])
def test_a_slot_is_read_as_it_was_meant(tmp_path, name):
    slot = Slot(4, tmp_path / name)
    text = slots.env_text(slot, {"KTRDR_DB_IMAGE": "a:b"})
    files.write(slot, {slots.COMPOSE: files.template(), slots.ENV: text.encode()})
    config = read(slot.directory)
    assert config["name"] == slot.project
    dev = "ktrdr-backend:dev"
    assert images(config) == {"db": "a:b", "backend": dev, "backtest-worker": dev, "training-worker": dev}
    ports = [port for service in config["services"].values() for port in service["ports"]]
    assert {int(port["published"]) for port in ports} == set(slot.ports.values())
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    # Compose doubles the dollar in what it prints.
    assert config["volumes"]["db"]["labels"]["ktrdr.sandbox"].replace("$$", "$") == str(slot.directory)
    assert all(service["healthcheck"]["test"] for service in config["services"].values())

"""What is rolled out: the stack of bench/inventory, where it answers, and where the harness keeps its things."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import jinja2
import yaml

from bench import engine, floor

ROOT = Path(__file__).resolve().parents[1]
INVENTORY = ROOT / "bench/inventory"
# Also known to the inventory, which keeps the rollout's state there.
WORK = Path(os.environ.get("BENCH_DIR") or Path.home() / ".cache/rollout-bench")
FACTS: dict[str, Any] = yaml.safe_load((INVENTORY / "group_vars/all/bench.yml").read_text())
IMAGE = f"{FACTS['rollout_registry']}/bench-app"
STAYS = f"{FACTS['rollout_registry']}/bench-db:1"
STACKS = {"core": ["backend"], "workers": ["worker-1", "worker-2"], "gpu-worker": ["worker-gpu"]}
SERVICES = [service for services in STACKS.values() for service in services]
PORTS = {service: FACTS["bench_port"] + n for n, service in enumerate(SERVICES)}
URL = f"http://127.0.0.1:{PORTS['backend']}/api/v1/health"
OLD, NEW, BROKEN, COLD = "sha-aaaaaa1", "sha-bbbbbb2", "sha-badbad3", "sha-c01dc01"


SERVICE = "com.docker.compose.service"


class BenchError(Exception):
    """The machine is not as the measurement needs it, or a tool did not do what it is measured for."""


def render(directory: Path, application: str) -> None:
    """Write the compose files as a person without this project has them: the same services, in projects of their own."""
    directory.mkdir(parents=True, exist_ok=True)
    loader = jinja2.FileSystemLoader(ROOT / "bench/stacks")
    templates = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined)  # nosec B701 # YAML, no page
    for stack in STACKS:
        text = templates.get_template(f"{stack}.yml.j2").render(FACTS)
        (directory / f"docker-compose.{stack}.yml").write_text(f"name: {application}-{stack}\n{text}")


def projects(application: str) -> list[str]:
    """The Compose projects of an application."""
    return [f"{application}-{stack}" for stack in STACKS]


def answers(release: str) -> bool:
    """Whether all services name the release."""
    return all(floor.names(port, release) for port in PORTS.values())


def await_answers(release: str, limit_s: float = 120.0) -> None:
    """Wait until all services name the release.

    Raises:
        BenchError: they did not in time.
    """
    end = time.monotonic() + limit_s
    while not answers(release):
        if time.monotonic() > end:
            wrong = [service for service, port in PORTS.items() if not floor.names(port, release)]
            raise BenchError(f"{', '.join(wrong)} did not answer as {release} within {limit_s:.0f} s")
        time.sleep(0.02)


def await_healthy(names: list[str], limit_s: float = 60.0) -> None:
    """Wait until Docker calls all services of these projects healthy.

    Raises:
        BenchError: it did not in time.
    """
    end = time.monotonic() + limit_s
    while not set(SERVICES) <= {one["Labels"].get(SERVICE) for one in engine.containers(names) if "(healthy)" in one["Status"]}:
        if time.monotonic() > end:
            raise BenchError(f"Docker did not call all services healthy within {limit_s:.0f} s")
        time.sleep(0.05)


def images() -> dict[str, str]:
    """The id of each release's image.

    Raises:
        BenchError: one is not on this machine: its pull would be measured.
    """
    found = {}
    for release in (OLD, NEW, BROKEN):
        try:
            found[release] = str(engine.call("GET", f"/images/{IMAGE}:{release}/json")["Id"])
        except engine.EngineError as error:
            if "No such image" not in str(error):
                raise
            raise BenchError(f"Image {IMAGE}:{release} is not here: run make bench, or bench/images.sh first") from error
    return found

"""Who is compared: how each brings its stack to a release, as a person types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Protocol

from bench import engine, floor, stack


@dataclass(frozen=True)
class Tool:
    """A command that is measured as a whole."""

    argv: list[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What it finds: of Ansible's and Compose's settings only its own, whatever the caller has set."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "COMPOSE_", "IMAGE_TAG", "PYTHONDONTWRITE"))}
        return {**kept, "BENCH_DIR": str(stack.WORK), **self.env}


class Contestant(Protocol):
    """One way to roll out. ``projects`` are the Compose projects of its containers."""

    name: str
    projects: list[str]

    def prepare(self, old: str, new: str) -> None:
        """Bring a fresh stack to the old release, and lay ready what belongs to the new one. Not measured."""

    def roll(self, new: str) -> Tool:
        """What brings it to the new release. Measured."""


class Compose:
    """The shell and Docker Compose; the release is in the file .env beside the compose files."""

    def __init__(self, name: str, script: str) -> None:
        self.name, self.script = name, script
        self.projects = stack.projects(f"bench-{name}")
        self.directory = stack.WORK / name

    def prepare(self, old: str, new: str) -> None:
        """As a person who has edited .env, and types the commands next."""
        stack.render(self.directory, f"bench-{self.name}")
        self.tag(old)
        finish(Tool(["bash", "-ec", WAIT], self.directory))
        self.tag(new)

    def tag(self, release: str) -> None:
        """Name the release."""
        (self.directory / ".env").write_text(f"IMAGE_TAG={release}\n")

    def roll(self, new: str) -> Tool:
        """The commands."""
        return Tool(["bash", "-ec", self.script], self.directory)


# The commands of the specification (milestone 6, homelab deployment), and no more.
SHELL = """
docker compose -f docker-compose.core.yml pull
docker compose -f docker-compose.workers.yml pull
docker compose -f docker-compose.gpu-worker.yml pull
docker compose -f docker-compose.core.yml up -d backend
sleep 30
docker compose -f docker-compose.workers.yml up -d
docker compose -f docker-compose.gpu-worker.yml up -d
"""
WAIT = """
docker compose -f docker-compose.core.yml up -d --wait
docker compose -f docker-compose.workers.yml up -d --wait
docker compose -f docker-compose.gpu-worker.yml up -d --wait
"""
PULL = "".join(f"docker compose -f docker-compose.{name}.yml pull\n" for name in stack.STACKS)


class Waiting(Compose):
    """Compose, which waits for Docker's health checks."""

    def pull(self) -> Tool:
        """Getting the images alone."""
        return Tool(["bash", "-ec", PULL], self.directory)


class PlainAnsible(Compose):
    """A playbook without this project: Ansible's defaults, facts included."""

    def roll(self, new: str) -> Tool:
        """The playbook, from a directory without a configuration."""
        given = {"stacks": str(self.directory), "port": stack.PORTS["backend"], "release": new}
        env = {"ANSIBLE_COLLECTIONS_PATH": str(stack.ROOT / "collections")}
        return Tool(["ansible-playbook", "rollout.yml", "-e", json.dumps(given)], stack.ROOT / "bench/plain", env)


class Rollout:
    """This project."""

    def __init__(self, name: str, application: str, *options: str, inventory: str = "bench/inventory") -> None:
        self.name, self.application = name, application
        given = {"rollout_application": application, "bench_dir": str(stack.WORK)}
        self.options = ["-i", inventory, "-e", json.dumps(given), *options]
        self.projects = stack.projects(application)
        self.reports = stack.WORK / "reports" / application

    def prepare(self, old: str, new: str) -> None:
        """A host that has never had another release."""
        shutil.rmtree(stack.WORK / "state" / self.application, ignore_errors=True)
        shutil.rmtree(self.reports, ignore_errors=True)
        finish(self.roll(old))

    def roll(self, new: str) -> Tool:
        """The command of a rollout."""
        return self.play("rollout.yml", new)

    def play(self, playbook: str, release: str, *more: str) -> Tool:
        """One of the commands, perhaps with ``more`` options."""
        argv = ["ansible-playbook", playbook, *self.options, "-e", f"sha={release.removeprefix('sha-')}", *more]
        return Tool(argv, stack.ROOT, {"ROLLOUT_REPORTS": str(self.reports)})

    def document(self) -> dict[str, Any]:
        """What the last run told of itself (docs/report.schema.json)."""
        newest = max(self.reports.glob("*/report.json"), key=lambda file: file.stat().st_mtime_ns)
        return dict(json.loads(newest.read_text()))

    def seconds(self, wave: str) -> float:
        """How long a wave of the last run took."""
        took: float = sum(w["to"] - w["from"] for w in self.document()["waves"] if w["name"] == wave)
        return round(took, 3)


class Floor:
    """The engine's API alone, with containers that were created beforehand, on networks like those of every other contestant."""

    name = "floor"
    projects = [floor.PROJECT]

    def __init__(self) -> None:
        self.old = ""

    def prepare(self, old: str, new: str) -> None:
        """The old containers run, the new ones are created."""
        self.old = old
        for name, services in stack.STACKS.items():
            floor.connect(name)
            for service in services:
                for release in (old, new):
                    floor.create(service, stack.IMAGE, release, stack.PORTS[service], name)
        floor.stay("core", stack.STAYS)
        for service in stack.SERVICES:
            floor.start(service, old)

    def roll(self, new: str) -> Tool:
        """In a process of its own, like all the others; without the site packages, which it does not need."""
        return Tool([sys.executable, "-S", "-m", "bench.floor", self.old, new, json.dumps(stack.PORTS)], stack.ROOT)


def finish(tool: Tool) -> None:
    """Run a tool that is not measured.

    Raises:
        BenchError: it failed.
    """
    done = subprocess.run(tool.argv, cwd=tool.cwd, env=tool.environment(), capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise stack.BenchError(f"{' '.join(tool.argv)[:200]}\n{(done.stdout + done.stderr)[-2000:]}")


WAITING = Waiting("compose-wait", WAIT)
PLAIN = PlainAnsible("plain-ansible", "")
ROLLOUT = Rollout("rollout", "bench")
START_FIRST = Rollout("start-first", "bench-start-first", "-e", "rollout_strategy=start_first")
CONTESTANTS: list[Contestant] = [
    Compose("shell", SHELL),
    WAITING,
    PLAIN,
    ROLLOUT,
    START_FIRST,
    Floor(),
]


def clear() -> None:
    """Take every contestant's containers and networks away: they share the ports."""
    engine.clear([project for one in CONTESTANTS for project in one.projects])

"""Compose: one project of a release on this host, and what Compose makes of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import compose as composes
from ansible.module_utils.rollout.io.engine import Engine

if TYPE_CHECKING:
    from concurrent.futures import Future


class Stack:
    """One Compose project of one release on this host: ``directory`` holds its files."""

    def __init__(self, engine: Engine, project: str, directory: Path, file: str, pins: Optional[str] = None) -> None:
        self.engine, self.project, self.directory, self.file, self.pins = engine, project, directory, file, pins

    def compose(self, *arguments: str) -> list[str]:
        """The arguments of docker for a compose call on the release's own files."""
        place = ["--project-name", self.project, "--project-directory", str(self.directory)]
        files = [part for name in (self.file, self.pins) if name for part in ("--file", str(self.directory / name))]
        return ["compose", *place, "--env-file", str(self.directory / ".env"), *files, *arguments]

    def config(self) -> dict[str, Any]:
        """The stack as Compose understands it."""
        return dict(json.loads(self.asked().result()))

    def asked(self) -> Future[str]:
        """Have Compose read the stack in the background."""
        return composed(self.engine, self._texts(), self.compose("config", "--format", "json"), f"Reading {self.file}")

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
    return composed(engine, (text, *sorted(environment.items())), call, f"Checking {file}", stdin=text, extra=environment)


def configuration(engine: Engine, file: Path) -> dict[str, Any]:
    """What Compose makes of a file on the disk, with the ``.env`` file beside it if there is one.

    Raises:
        RolloutError: the file is not there, or Compose does not accept it.
    """
    call = ["compose", "--project-directory", str(file.parent), "--file", str(file), "config", "--format", "json"]
    return dict(json.loads(engine.checked(call, f"Reading {file}")))


def composed(engine: Engine, given: Sequence[Any], call: Sequence[str], doing: str, **options: Any) -> Future[str]:
    """What `docker compose config` prints, being asked in the background: once for the same files and variables (``given``).

    What it raises (RolloutError: Compose does not accept them) comes with its result.
    """
    key = (*call, *given)
    if key not in engine.questions or (engine.questions[key].done() and engine.questions[key].exception()):
        engine.questions[key] = engine.workers.submit(engine.checked, call, doing, **options)
    return engine.questions[key]

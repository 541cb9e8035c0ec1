"""Compose: one project of a release on this host, and what Compose makes of files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Sequence

from ansible.module_utils.rollout.domain.manifest import ENV
from ansible.module_utils.rollout.io import refusals
from ansible.module_utils.rollout.io.docker_command import away, last_words
from ansible.module_utils.rollout.io.engine import Engine

if TYPE_CHECKING:
    from concurrent.futures import Future

# What Compose says beside a configuration: time="…" level=warning msg="…".
_WARNING = re.compile(r'level=warning msg="((?:[^"\\]|\\.)*)"')
_UNSET = re.compile(r'The "([A-Za-z_][A-Za-z0-9_]*)" variable is not set')


class Stack:
    """One Compose project on this host: ``directory`` holds ``files`` and an ``.env``."""

    def __init__(
        self,
        engine: Engine,
        project: str,
        directory: Path,
        files: Sequence[str],
        profiles: Sequence[str] = (),
    ) -> None:
        self.engine, self.project, self.directory, self.files, self.profiles = engine, project, directory, files, profiles

    def compose(self, *arguments: str) -> list[str]:
        """The arguments of docker for a compose call on the stack's own files."""
        place = ["--project-name", self.project, "--project-directory", str(self.directory)]
        # One that a release has not (pins, while it is staged) is left out.
        files = [part for name in self.files for part in ("--file", str(self.directory / name))]
        profiles = [part for name in self.profiles for part in ("--profile", name)]
        return ["compose", *place, "--env-file", str(self.directory / ENV), *files, *profiles, *arguments]

    def config(self) -> dict[str, Any]:
        """The stack as Compose understands it.

        Raises:
            RolloutError: Compose does not accept it.
        """
        return dict(json.loads(self.asked().result()[0]))

    def unset(self) -> tuple[list[str], list[str]]:
        """The variables that are not set, of what Compose says beside the stack; and all else that it says."""
        said = list(dict.fromkeys(match[1].replace('\\"', '"') for match in _WARNING.finditer(self.asked().result()[1])))
        names = [match[1] for warning in said if (match := _UNSET.search(warning))]
        return sorted(set(names)), [warning for warning in said if not _UNSET.search(warning)]

    def asked(self) -> Future[tuple[str, str]]:
        """Have Compose read the stack in the background: once for the same files. Its result is what it prints, and its warnings.

        What it raises (RolloutError: Compose does not accept them) comes with its result.
        """
        call = self.compose("config", "--format", "json")
        key, questions = (*call, *self._texts()), self.engine.questions
        if key not in questions or (questions[key].done() and questions[key].exception()):
            questions[key] = self.engine.workers.submit(composed, self.engine, call, f"Reading {' and '.join(self.files)}")
        return questions[key]

    def _texts(self) -> list[Optional[bytes]]:
        files = [self.directory / name for name in (ENV, *self.files)]
        return [file.read_bytes() if file.exists() else None for file in files]

    def stop(self, services: Sequence[str], timeout: float, grace: Optional[int] = None) -> None:
        """Stop services, each with its own grace period or ``grace`` seconds."""
        limit = [] if grace is None else ["--timeout", str(grace)]
        self.engine.checked(self.compose("stop", *limit, *services), f"Stopping {' and '.join(services)}", timeout=timeout)

    def up(self, services: Sequence[str], recreate: bool, timeout: float, scale: int = 0, renew: bool = False) -> None:
        """Start services, without their dependencies and without pulling; one alone perhaps with ``scale`` containers. With
        ``renew`` their volumes without a name begin empty."""
        flags = ["--force-recreate" if recreate else "--no-recreate", *(["--renew-anon-volumes"] if renew else [])]
        if scale:
            flags += ["--scale", f"{services[0]}={scale}"]
        self.engine.checked(
            self.compose("up", "--detach", "--no-deps", "--no-build", "--pull", "never", *flags, *services),
            f"Starting {' and '.join(services)}",
            timeout=timeout,
        )


def configuration(engine: Engine, file: Path) -> dict[str, Any]:
    """What Compose makes of a file on the disk, with the ``.env`` file beside it if there is one.

    Raises:
        RolloutError: the file is not there, or Compose does not accept it.
    """
    call = ["compose", "--project-directory", str(file.parent), "--file", str(file), "config", "--format", "json"]
    return dict(json.loads(engine.checked(call, f"Reading {file}")))


def composed(engine: Engine, call: Sequence[str], doing: str) -> tuple[str, str]:
    """What `docker compose config` prints, and what it says beside it.

    Raises:
        RolloutError: Compose does not accept the files; its last words.
    """
    code, out, err = engine.run(call)
    if code:
        said = last_words(err or out)
        raise refusals.FAILED(doing=doing, said=said, facts=away(said))
    return out, err

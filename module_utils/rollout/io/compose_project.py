"""Compose: one project of a release on this host, and what Compose makes of files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain.baseline import Origin
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

    def once(self, service: str, name: str, labels: Mapping[str, str], timeout: float) -> str:
        """Start a one-off container of a service under that name, without its dependencies, ports and restarts; its id."""
        more = [word for label, value in labels.items() for word in ("--label", f"{label}={value}")]
        options = ["--detach", "--no-deps", "--no-TTY", "--interactive=false", "--name", name, *more]
        self.engine.checked(self.compose("run", *options, service), f"Starting {service}", timeout=timeout)
        return str(self.engine.inspect("container", [name])[0]["Id"])


def configuration(engine: Engine, file: Path) -> dict[str, Any]:
    """What Compose makes of a file on the disk, with the ``.env`` file beside it if there is one.

    Raises:
        RolloutError: the file is not there, or Compose does not accept it.
    """
    call = ["compose", "--project-directory", str(file.parent), "--file", str(file), "config", "--format", "json"]
    return dict(json.loads(engine.checked(call, f"Reading {file}")))


def composed(engine: Engine, call: Sequence[str], doing: str, extra: Mapping[str, str] = {}) -> tuple[str, str]:
    """What `docker compose config` prints, and what it says beside it; ``extra`` variables are set for it.

    Raises:
        RolloutError: Compose does not accept the files; its last words.
    """
    code, out, err = engine.run(call, extra=extra)
    if code:
        said = last_words(err or out)
        raise refusals.FAILED(doing=doing, said=said, facts=away(said))
    return out, err


class Original:
    """A Compose project of somebody else, where it lies: what Compose reads there."""

    def __init__(self, engine: Engine, project: str, origin: Origin) -> None:
        self.engine, self.project, self.origin = engine, project, origin

    def config(self, profiles: Sequence[str]) -> dict[str, Any]:
        """The project as Compose understands it.

        Raises:
            RolloutError: Compose does not accept its files.
        """
        return dict(json.loads(self._said(profiles, (), "config", "--format", "json")))

    def hashes(self, profiles: Sequence[str], more: Sequence[Path] = ()) -> dict[str, str]:
        """Service -> what Compose labels its containers with (config-hash), with ``more`` files behind the project's own.

        Raises:
            RolloutError: Compose does not accept the files.
        """
        said = self._said(profiles, more, "config", "--hash", "*")
        return {words[0]: words[1] for line in said.splitlines() if len(words := line.split()) == 2}

    def _said(self, profiles: Sequence[str], more: Sequence[Path], *arguments: str) -> str:
        # Beats what the project's .env file says.
        active = {"COMPOSE_PROFILES": ",".join(profiles)}
        return composed(self.engine, self._call(more, *arguments), f"Reading {' and '.join(self.origin.files)}", active)[0]

    def _call(self, more: Sequence[Path], *arguments: str) -> list[str]:
        place = ["--project-name", self.project, "--project-directory", self.origin.folder]
        env = [part for path in self.origin.env_files for part in ("--env-file", path)]
        files = [part for path in [*self.origin.files, *map(str, more)] for part in ("--file", path)]
        return ["compose", *place, *env, *files, *arguments]

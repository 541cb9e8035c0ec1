"""Runs the commands of a backup where they belong: in the service's container, or beside it while it is stopped."""

from __future__ import annotations

import zlib
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence

from ansible.module_utils.rollout.domain import presets, units
from ansible.module_utils.rollout.domain.changes import Container
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.presets import Commands
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.module_utils.rollout.io import clock, machine
from ansible.module_utils.rollout.io.backups import PART, Backups, Writing
from ansible.module_utils.rollout.io.docker_command import last_words
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.verbs.deployment import Deployment
from ansible.module_utils.rollout.verbs.gates import Gates

# Bytes that stay free on the disk of the state directory.
RESERVE = 2**27
_SECTION = "Backups"
NOT_RUNNING = Refusal(
    _SECTION,
    "Service {service} (stack {stack}) cannot be backed up or restored: it has no container that runs. Start it, then run again.",
    "start the service (`docker start`, or `rollout.yml`), then run again",
)
DISK_FULL = Refusal(
    _SECTION,
    "The backup of service {service} (stack {stack}) was given up after {size}: {reason}. What was written of it is removed. "
    "Make room in {path}, then run again.",
    "make room in `<rollout_dir>/backups`",
)
DUMP_FAILED = Refusal(
    _SECTION,
    "The backup of service {service} (stack {stack}) failed: its dump command ended with status {status} ({said}). What it had "
    "written is removed.",
    "read the command's own words in the brackets. Status 124 stands for a command that took longer than `deadline`",
)
EMPTY = Refusal(
    _SECTION,
    "The backup of service {service} (stack {stack}) failed: its dump command ended well and wrote nothing. Let it write to its "
    "standard output.",
    "let the `dump` command write to its standard output, not to a file",
)
NOT_VERIFIED = Refusal(
    _SECTION,
    "Backup {backup} of service {service} (stack {stack}) does not verify: status {status} ({said}).{gone}",
    "read the verify command's own words in the brackets. One that was just taken is removed; an older one cannot be restored",
)


def container(deployment: Deployment, service: str, stopped: bool = False) -> Container:
    """The container of a service that runs; with ``stopped``, one that does not, if none does.

    Raises:
        RolloutError: there is none.
    """
    here = [c for c in deployment.engine.containers(deployment.project) if c.service == service]
    found = next((c for c in here if c.status == "running"), here[0] if here and stopped else None)
    if not found:
        raise NOT_RUNNING(service=service, stack=deployment.stack, facts=facts(deployment.stack, service))
    return found


def facts(stack: str, service: str) -> dict[str, Any]:
    """What a failure of a backup says beside its sentence."""
    return {"service": service, "stack": stack, "gate": "backup"}


class stopped:  # noqa: N801 # used as a function
    """The time in which a service is stopped, if its backups need that; it is started again, and its gate held."""

    def __init__(self, deployment: Deployment, found: Container, how: Commands, service: Optional[Service]) -> None:
        self.deployment, self.found, self.how, self.service = deployment, found, how, service

    def __enter__(self) -> None:
        if self.how.stopped:
            self.deployment.stopping([self.found])
            name = self.found.service
            self.deployment.engine.checked(["stop", self.found.id], f"Stopping {name}", timeout=self.found.grace + 120)

    def __exit__(self, kind: Any, error: Any, _trace: Any) -> None:
        if not self.how.stopped or (isinstance(error, RolloutError) and error.facts.get("fenced")):
            return
        self.deployment.engine.checked(["start", self.found.id], f"Starting {self.found.service}")
        if self.service and not error:
            Gates(self.deployment).hold([self.service])


def dump(deployment: Deployment, service: Service, found: Container, how: Commands, file: str) -> Writing:
    """Write the unfinished ``file`` of a backup.

    Raises:
        RolloutError: the command failed or wrote nothing, or the disk is full; nothing of the file stays.
    """
    files, written = Backups(deployment.store.root), 0
    try:
        with files.writing(file, how.packed) as writing:

            def into(piece: bytes) -> None:
                nonlocal written
                writing.write(piece)
                written += len(piece)
                if machine.free_bytes(str(files.path)) < RESERVE // 2:
                    reason = f"less than {units.human(RESERVE // 2)} would be free"
                    raise DISK_FULL(
                        size=units.human(written),
                        reason=reason,
                        service=service.name,
                        stack=deployment.stack,
                        path=files.path,
                        facts=facts(deployment.stack, service.name),
                    )

            done = flow(deployment, found, how, how.dump, "backup", service.name, into=into)
            if done[0]:
                raise failure(DUMP_FAILED, deployment, service.name, done)
            if not written:
                raise EMPTY(service=service.name, stack=deployment.stack, facts=facts(deployment.stack, service.name))
        return writing
    except OSError as error:
        raise DISK_FULL(
            size=units.human(written),
            reason=error.strerror or error,
            service=service.name,
            stack=deployment.stack,
            path=files.path,
            facts=facts(deployment.stack, service.name),
        ) from error


def verify(
    deployment: Deployment, found: Container, how: Commands, file: str, record: Mapping[str, Any], fresh: bool = False
) -> None:
    """Have the verify command read a backup's ``file``. One that is ``fresh`` goes if it is not accepted.

    Raises:
        RolloutError: it is not accepted, or cannot be read.
    """
    if not how.verify:
        return
    files, service = Backups(deployment.store.root), str(record["service"])
    try:
        done = flow(deployment, found, how, how.verify, "verify", service, pieces=files.pieces(file, how.packed))
    except (OSError, EOFError, zlib.error) as error:
        done = (1, str(error))
    if done[0]:
        if fresh:
            files.discard(file[: -len(PART)])
        gone = " It is removed." if fresh else ""
        raise failure(NOT_VERIFIED, deployment, service, done, backup=record["backup"], gone=gone)


def failure(sentence: Refusal, deployment: Deployment, service: str, done: tuple[int, str], **words: Any) -> RolloutError:
    """The error that says how a command ended (``done``: exit status, last words), masked."""
    said = deployment.masked(last_words(done[1]))
    where = {"service": service, "stack": deployment.stack}
    return sentence(**where, status=done[0], said=said, **words, facts=facts(deployment.stack, service))


def flow(
    deployment: Deployment,
    found: Container,
    how: Commands,
    command: Sequence[str],
    step: str,
    service: str,
    into: Optional[Callable[[bytes], None]] = None,
    pieces: Optional[Iterable[bytes]] = None,
) -> tuple[int, str]:
    """Run one of a backup's commands, bounded by its deadline, while the run holds the lock: exit status, last words."""
    store, began, passed = deployment.store, clock.monotonic(), 0

    def pulse() -> None:
        store.fence()
        elapsed = round(clock.monotonic() - began, 1)
        store.tell(step=step, what=service, waiting_for=units.human(passed), elapsed=elapsed, deadline=how.deadline)

    def counted(piece: bytes) -> None:
        nonlocal passed
        if into:
            into(piece)
        passed += len(piece)

    def counting(source: Iterable[bytes]) -> Iterable[bytes]:
        nonlocal passed
        for piece in source:
            passed += len(piece)
            yield piece

    source = counting(pieces) if pieces is not None else None
    with deployment.phases.phase(step, service):
        engine, name = deployment.engine, f"{deployment.project}-{found.service}-backup"
        words = _words(engine, name, found, how, command, pieces is not None)
        # That of a killed run goes first: two of them would write at once.
        _remove(engine, name, how)
        fenced = False
        try:
            return engine.flow(words, how.deadline, pulse, counted if into else None, source)
        except RolloutError as error:
            # Then the name may be that of another run's container.
            fenced = bool(error.facts.get("fenced"))
            raise
        finally:
            # Ending the docker command ends no container, and the service is started next.
            if not fenced:
                _remove(engine, name, how)


def _remove(engine: Engine, name: str, how: Commands) -> None:
    """Remove the container that runs beside a stopped service, if it is still there."""
    if how.stopped:
        engine.run(["rm", "--force", name], timeout=60)


def _words(engine: Engine, name: str, found: Container, how: Commands, command: Sequence[str], reads: bool) -> list[str]:
    """The docker command that runs a backup's command where it belongs: beside a stopped service in a container of that name."""
    attached = ["--interactive"] if reads else []
    if not how.stopped:
        return ["exec", *attached, found.id, *command]
    shell, *rest = command
    alone = ["--rm", "--name", name, "--network", "none", "--user", "0", "--pull", "never", "--entrypoint", shell]
    there = mounts(engine, found)
    data = [word for one in presets.mounted(there) for word in ("--mount", one)]
    return ["run", *attached, *alone, *data, found.image_id, *rest, *presets.places(there)]


def mounts(engine: Engine, found: Container) -> list[Mapping[str, Any]]:
    """The mounts of a container, as `docker inspect` has them."""
    return list(engine.inspect("container", [found.id])[0].get("Mounts") or [])

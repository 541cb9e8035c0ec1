"""The docker command: run to its end, or watched on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import threading
from pathlib import Path
from typing import IO, Any, Callable, Iterable, Mapping, Optional, Sequence, cast

from ansible.module_utils.rollout.domain.dotenv import PASSED
from ansible.module_utils.rollout.io import clock, mutexes, refusals
from ansible.module_utils.rollout.io.masking import ending

# Where Compose's manual and packages put the plugin for every user, in the order in which docker looks; and docker itself.
_PLUGINS = tuple(f"/usr/{place}/docker/cli-plugins" for place in ("local/lib", "local/libexec", "lib", "libexec"))
_DOCKER = ("/usr/bin/docker", "/usr/local/bin/docker")
# Commands that change containers. They go on if this process is killed, and nobody else may begin before they have ended.
_CHANGES = {"up", "stop", "rm"}
# Docker's words for an engine that does not listen, and for one that ended over a command.
_AWAY = re.compile(r"Cannot connect to the Docker daemon|error during connect|docker\.sock|(?:^|[\s:])EOF$")
# Seconds to wait for the end of a command that was killed.
KILL_S = 10.0
# Characters of an error that are shown.
_WORDS = 600


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that docker may see."""
    return {k: v for k, v in environment.items() if PASSED.fullmatch(k) and k != "DOCKER_DEFAULT_PLATFORM"}


class _Tail(threading.Thread):
    """Reads a stream to its end and keeps the last of it: what a container prints must not fill this host's memory."""

    KEPT = 2**25

    def __init__(self, stream: Any) -> None:
        super().__init__(daemon=True)
        self.stream, self.data = stream, bytearray()
        self.start()

    def run(self) -> None:
        with contextlib.suppress(ValueError):  # closed, because the command was killed
            while chunk := self.stream.read1(2**16):
                self.data += chunk
                if len(self.data) > 2 * self.KEPT:
                    del self.data[: -self.KEPT]

    def text(self) -> str:
        """What it kept, once the stream has ended; whoever holds it open longer than its command is not waited for."""
        self.join(5)
        return bytes(self.data[-self.KEPT :]).decode("utf-8", "replace")


def _feed(pipe: Any, data: bytes) -> None:
    with contextlib.suppress(OSError, ValueError), pipe:
        pipe.write(data)


def execute(
    command: Sequence[str],
    environment: Mapping[str, str],
    limit: float,
    stdin: str = "",
    name: str = "",
    files: Sequence[int] = (),
) -> tuple[int, str, str]:
    """Run a command to its end: exit status, stdout, stderr (the ends of a flood). It inherits ``files``.

    124 after ``limit`` seconds, 127 if the program is missing.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
            pass_fds=files,
        )
    except FileNotFoundError:
        return 127, "", f"{command[0]}: command not found"
    out, err = _Tail(process.stdout), _Tail(process.stderr)
    threading.Thread(target=_feed, args=(process.stdin, stdin.encode()), daemon=True).start()
    try:
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            return 124, "", f"{name or command[0]} gave no answer in {limit:.0f} s"
        return process.returncode, out.text(), err.text()
    finally:
        # Compose is a child of docker: neither outlives the call, nor holds its pipes open.
        _kill(process)


class _Feeder(threading.Thread):
    """Writes pieces into the standard input of a command. If they break off, the command is ended: it must not take the part of a
    stream for all of it."""

    def __init__(self, process: subprocess.Popen[bytes], pieces: Iterable[bytes]) -> None:
        super().__init__(daemon=True)
        self.process, self.pieces = process, pieces
        self.error: Optional[Exception] = None
        self.start()

    def run(self) -> None:
        pipe = cast(IO[bytes], self.process.stdin)
        try:
            for piece in self.pieces:
                pipe.write(piece)
        except BrokenPipeError:
            pass  # its exit status says why
        except Exception as error:
            self.error = error
            _kill(self.process)
        with contextlib.suppress(OSError, ValueError):
            pipe.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it started. The kernel may keep one that waits for a disk: for that nobody waits longer."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(KILL_S)


class Docker:
    """``docker`` on this host.

    Args:
        timeout: seconds that a command may take.
        config: the directory of docker's settings, if it is not the user's own.
    """

    def __init__(self, timeout: float = 120.0, config: str = "") -> None:
        self.timeout, self.config = timeout, config

    def run(
        self,
        arguments: Sequence[str],
        stdin: str = "",
        timeout: Optional[float] = None,
        extra: Optional[Mapping[str, str]] = None,
    ) -> tuple[int, str, str]:
        """Run ``docker ARGUMENTS``: exit status, stdout, stderr (the ends of a flood). 124 after ``timeout`` seconds."""
        program = self._compose[0] if arguments[0] == "compose" else ""
        direct = [program, *arguments[1:]] if program else []
        limit, environment = timeout or self.timeout, {**self._environment(), **(extra or {})}
        changes = _CHANGES.intersection(arguments) or (arguments[0] == "compose" and "run" in arguments)
        files = mutexes.inherited() if changes else ()
        return execute(direct or ["docker", *arguments], environment, limit, stdin, f"docker {arguments[0]}", files)

    @functools.cached_property
    def _compose(self) -> tuple[str, str]:
        """Compose's own program, where docker would start it, and its version. Empty where that is not certain.

        By itself it takes half the time. A plugin is the same program as the standalone Compose
        (docs.docker.com/compose/install/standalone).
        """
        place = home()
        # Plugins elsewhere, or a docker that is something else (a wrapper, Podman): docker knows best.
        if shutil.which("docker") not in _DOCKER or settings(place).get("cliPluginsExtraDirs"):
            return "", ""
        places = (f"{directory}/docker-compose" for directory in (place / "cli-plugins", *_PLUGINS))
        found = next((place for place in places if os.access(place, os.X_OK)), "")
        code, version, _err = execute([found, "version", "--short"], self._environment(), 20) if found else (1, "", "")
        return (found, version) if not code and version_tuple(version) else ("", "")

    def _environment(self) -> dict[str, str]:
        found = scrubbed(os.environ)
        if self.config:
            # Logins of the environment would go before those of the directory, which has them too.
            found.pop("DOCKER_AUTH_CONFIG", None)
            found["DOCKER_CONFIG"] = self.config
        return found

    def checked(self, arguments: Sequence[str], doing: str, **options: Any) -> str:
        """Run and return stdout.

        Raises:
            RolloutError: the command failed; the sentence says what was being done and docker's last words.
        """
        code, out, err = self.run(arguments, **options)
        if code:
            said = last_words(err or out)
            raise refusals.FAILED(doing=doing, said=said, facts=away(said))
        return out

    def flow(
        self,
        arguments: Sequence[str],
        limit: float,
        pulse: Callable[[], None],
        into: Optional[Callable[[bytes], None]] = None,
        pieces: Optional[Iterable[bytes]] = None,
    ) -> tuple[int, str]:
        """Run ``docker ARGUMENTS`` over which data flows: exit status, the end of what it said. 124 after ``limit`` seconds.

        Args:
            pulse: is called once a second at least; what it raises ends the command.
            into: gets the command's standard output as it comes.
            pieces: what the command reads from its standard input.

        Raises:
            Exception: as ``pulse``, ``into`` and ``pieces`` do; the command was ended then.
        """
        try:
            process = subprocess.Popen(
                ["docker", *arguments],
                stdin=subprocess.DEVNULL if pieces is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment(),
                start_new_session=True,
            )
        except FileNotFoundError:
            return 127, "docker: command not found"
        err, ends = _Tail(process.stderr), clock.monotonic() + limit
        feeder = _Feeder(process, pieces) if pieces is not None else None
        words, out = bytearray(), cast(IO[bytes], process.stdout)
        try:
            while clock.monotonic() < ends:
                pulse()
                if not select.select([out], [], [], 1.0)[0]:
                    continue
                piece = os.read(out.fileno(), 2**18)
                if piece and into:
                    into(piece)
                elif piece:
                    words = (words + piece)[-(2**16) :]
                else:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        code = process.wait(max(1.0, ends - clock.monotonic()))
                        if feeder and feeder.error:
                            raise feeder.error
                        return code, err.text() or bytes(words).decode("utf-8", "replace")
            return 124, f"it did not end in {limit:.0f} s"
        finally:
            _kill(process)

    def watch(self, arguments: Sequence[str], quiet: float, seen: Callable[[str], None]) -> tuple[int, str]:
        """Run ``docker ARGUMENTS`` on a terminal of its own, where it tells how far it is: exit status, stderr.

        Args:
            quiet: seconds without a word after which it is ended, with status 124.
            seen: gets the output as it comes, in pieces.
        """
        ours, its = pty.openpty()
        # Wide, so that docker shortens no number.
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        try:
            process = subprocess.Popen(
                ["docker", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=its,
                stderr=subprocess.PIPE,
                env=self._environment(),
                # A group of its own: what docker starts holds its stderr open, and ends with it.
                start_new_session=True,
            )
        except FileNotFoundError:
            os.close(ours)
            return 127, "docker: command not found"
        finally:
            os.close(its)
        err = _Tail(process.stderr)
        try:
            while select.select([ours], [], [], quiet)[0]:
                try:
                    piece = os.read(ours, 2**16)
                except OSError:  # Linux says EIO where the other side has ended
                    piece = b""
                if not piece:
                    # Perhaps it only closed its terminal.
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        return process.wait(quiet), err.text()
                    break
                seen(piece.decode("utf-8", "replace"))
            return 124, f"no byte came for {quiet:.0f} s"
        finally:
            _kill(process)
            os.close(ours)


def away(said: str) -> dict[str, Any]:
    """Fact ``away`` of an error, where docker's words say that the engine was not there, or went away."""
    return {"away": True} if _AWAY.search(said) else {}


def home() -> Path:
    """Where docker's client keeps its settings."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def settings(home: Path) -> dict[str, Any]:
    """The client's settings; empty where there are none that can be read."""
    try:
        return dict(json.loads((home / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def last_words(text: str, lines: int = 2) -> str:
    """The last lines of an error, masked, in one line: its end says what went wrong."""
    said = ending(text).splitlines()
    kept = [line.strip() for line in said if line.strip() and "level=warning" not in line]
    return "; ".join(kept[-lines:])[-_WORDS:] or "no message"


def version_tuple(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, for comparison."""
    return tuple(int(n) for n in re.findall(r"\d+", version)[:3])

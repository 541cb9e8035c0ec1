"""The engine's HTTP API, for what is only read: an answer takes milliseconds, where a docker command takes fifty.

The connection is docker's own (`docker system dial-stdio`, which docker uses for itself over SSH), so contexts, rootless engines
and DOCKER_HOST hold here as they do for any docker command. One is kept open.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
from typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Optional
from urllib.parse import quote, urlencode

from ansible.module_utils.rollout.io import clock
from ansible.module_utils.rollout.io.docker_command import KILL_S

if TYPE_CHECKING:
    from http.client import HTTPConnection


# Bytes of an answer. A container that is inspected has its environment in it, and its labels: megabytes at most.
MOST = 2**26


class Line:
    """A connection to the engine.

    Args:
        environment: what docker gets.
        timeout: seconds that one answer may take.

    Raises:
        FileNotFoundError: there is no docker.
    """

    def __init__(self, environment: Mapping[str, str], timeout: Optional[float]) -> None:
        self.socket, its = socket.socketpair()
        self.socket.settimeout(timeout)
        # A file: whatever docker started may hold it open as long as it likes.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the connection
        with its:
            self._process = subprocess.Popen(
                ["docker", "system", "dial-stdio"],
                stdin=its.fileno(),
                stdout=its.fileno(),
                stderr=self._said,
                env=dict(environment),
                start_new_session=True,
            )

    def close(self, patience: float = 2.0) -> str:
        """End it; what docker said of it, for which it gets ``patience`` seconds."""
        self.socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # One that waits for a disk ends only with that.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(KILL_S)
        with self._said as said:
            said.seek(0)
            return said.read(MOST).decode("utf-8", "replace")


class Events:
    """A stream of the engine's events, of which only that there was one is told."""

    def __init__(self, stream: Optional[socket.socket]) -> None:
        self._stream = stream
        # Whether the engine has ended the stream: it ends, or has ended.
        self.ended = False
        self._looked = clock.monotonic()

    def wait(self, seconds: float) -> bool:
        """Wait for an event, ``seconds`` at most; whether one came."""
        if self._stream is None:
            clock.sleep(seconds)
            return False
        if not select.select([self._stream], [], [], seconds)[0]:
            return False
        with contextlib.suppress(OSError):
            if self._stream.recv(2**16):
                return True
        self._stream, self.ended = None, True
        return False

    def seen(self) -> None:
        """The containers were looked at just now."""
        self._looked = clock.monotonic()

    def age(self) -> float:
        """Seconds since they were."""
        return clock.monotonic() - self._looked


class Api:
    """Answers of the engine; ``environment`` is what docker gets, ``timeout`` the seconds that one answer may take."""

    def __init__(self, environment: Callable[[], Mapping[str, str]], timeout: float) -> None:
        self._environment, self._timeout = environment, timeout
        self._mutex = threading.Lock()
        self._line: Optional[Line] = None
        self._connection: Optional[HTTPConnection] = None

    def get(self, path: str, **query: Any) -> tuple[int, Any]:
        """Status and content of a GET; ``query`` values that are no text go as JSON.

        Raises:
            OSError: the engine cannot be reached; docker's own words. FileNotFoundError where there is no docker.
        """
        # Loaded when first needed: a guard that waits does without.
        from http.client import HTTPException

        target = _target(path, query)
        with self._mutex:
            try:
                # One that was kept may be dead: the engine was restarted.
                if self._connection:
                    try:
                        return self._ask(self._connection, target)
                    except socket.timeout:
                        raise
                    except (OSError, HTTPException):
                        self._close()
                self._connection = self._opened()
                return self._ask(self._connection, target)
            except (OSError, HTTPException) as error:
                raise self._refusal(error) from error

    def _ask(self, connection: HTTPConnection, target: str) -> tuple[int, Any]:
        connection.request("GET", target)
        answer = connection.getresponse()
        text = bytearray()
        while piece := answer.read(2**16):
            text += piece
            if len(text) > MOST:
                raise ConnectionError(f"the engine answered more than {MOST // 2**20} MiB")
        if answer.length:
            raise ConnectionError("the engine's answer broke off")
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, {"message": text.decode("utf-8", "replace").strip()}

    def _opened(self) -> HTTPConnection:
        from http.client import HTTPConnection

        self._line = Line(self._environment(), self._timeout)
        connection = HTTPConnection("docker")
        # Not to any host of that name, where the engine has ended the connection.
        connection.auto_open = 0
        connection.sock = self._line.socket
        return connection

    @contextlib.contextmanager
    def stream(self, path: str, **query: Any) -> Iterator[Optional[socket.socket]]:
        """What the engine goes on saying to a GET, on a connection of its own; None where it cannot be reached."""
        try:
            line = Line(self._environment(), None)
        except OSError:
            yield None
            return
        try:
            with contextlib.suppress(OSError):
                line.socket.sendall(f"GET {_target(path, query)} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            yield line.socket
        finally:
            line.close(0)

    def _refusal(self, error: Exception) -> OSError:
        """The error, in docker's words where it has some."""
        if isinstance(error, FileNotFoundError):
            return error
        if isinstance(error, socket.timeout):
            self._close()
            return TimeoutError(f"the engine gave no answer in {self._timeout:.0f} s")
        return ConnectionError(self._close() or str(error) or type(error).__name__)

    def _close(self) -> str:
        """End the connection; what docker said of it."""
        if self._connection:
            self._connection.close()
        line, self._line, self._connection = self._line, None, None
        return line.close() if line else ""

    def close(self) -> None:
        """End the connection."""
        with self._mutex:
            self._close()

    __del__ = close


def _target(path: str, query: Mapping[str, Any]) -> str:
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in query.items()}
    return quote(path, safe="/:@") + (f"?{urlencode(texts)}" if texts else "")

"""What Ansible runs on a host for each step of a run: hands the step to the run's agent, and starts one where there is none.

Alone, by the standard library: `python3 -c` gets this text. On standard input come the step, one line of JSON, and then, where
an agent is to be started, its package as a zip file.
"""

from __future__ import annotations

# Each step starts this anew: Python's own socket and typing would take as long to load as Python itself.
import _socket
import fcntl
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

# What this exits with where the step was not begun: no agent can live here (EX_TEMPFAIL of sysexits.h), or none does, and its
# package did not come.
NO_AGENT = 75
SEND = 76
# Where the agent ended over the step.
ENDED = "the process that works for the run on this host ended before it answered; perhaps it was killed"


def main(directory: str) -> None:
    """Print the agent's answer, one line of JSON.

    Args:
        directory: where the agent listens. It belongs to this user alone, or is made so.

    Raises:
        SystemExit: NO_AGENT, SEND, or 1 where the agent ended over the step.
    """
    step, _newline, package = sys.stdin.buffer.read().partition(b"\n")
    try:
        connection = _found(directory, package)
    except (OSError, AttributeError) as error:
        # AttributeError: memfd_create is Linux's.
        print(error, file=sys.stderr)
        sys.exit(NO_AGENT)
    if not connection:
        sys.exit(SEND)
    answer = _answer(connection, step)
    if not answer:
        sys.exit(ENDED)
    sys.stdout.buffer.write(answer)


def ask(directory: str, step: bytes) -> bytes | None:
    """The agent's answer, one line, for whoever is on its machine as its user; empty where it ended over the step.

    None where there is none to ask: the step was not begun.
    """
    try:
        connection = _found(directory, b"")
    except (OSError, AttributeError):
        return None
    return _answer(connection, step) if connection else None


def _answer(connection: _socket.socket, step: bytes) -> bytes:
    answer = b""
    try:
        connection.sendall(step + b"\n")
        answer = b"".join(iter(lambda: connection.recv(2**16), b""))
    except ConnectionError:
        pass
    connection.close()
    return answer if answer.endswith(b"\n") else b""


def _found(directory: str, package: bytes) -> _socket.socket | None:
    """A connection to the agent, which is started where there is none; None where its package is missing."""
    memfd_create = os.memfd_create
    try:
        if package:
            os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    # Whoever else may enter it would be told the step, with its secrets.
    try:
        place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        owned = os.fstat(place)
        if owned.st_uid != os.getuid() or stat.S_IMODE(owned.st_mode) & 0o077:
            raise PermissionError(f"{directory} is somebody else's")
        # Against another door that starts one too, and an agent that is about to end.
        fcntl.flock(place, fcntl.LOCK_EX)
        try:
            return _connected(directory + "/agent")
        except (FileNotFoundError, ConnectionRefusedError):
            if not package:
                return None
            return _started(directory, package, memfd_create)
    finally:
        fcntl.flock(place, fcntl.LOCK_UN)
        os.close(place)


def _connected(path: str) -> _socket.socket:
    connection = _socket.socket(_socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def _started(directory: str, package: bytes, memfd_create: Callable[[str, int], int]) -> _socket.socket:
    path = directory + "/agent"
    # Of one that was killed.
    if os.path.lexists(path):
        os.unlink(path)
    listener = _socket.socket(_socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    # A file without a name, as long as the agent lives: nothing of it stays on the host.
    file = memfd_create("rollout", 0)
    with os.fdopen(os.dup(file), "wb") as written:
        written.write(package)
    if not os.fork():
        try:
            # Whoever waits for this command's output must not wait for the agent.
            os.setsid()
            os.chdir("/")
            null = os.open(os.devnull, os.O_RDWR)
            for standard in (0, 1, 2):
                os.dup2(null, standard)
            sys.path.insert(0, f"/proc/self/fd/{file}")
            from socket import socket

            from ansible.module_utils.rollout.agent import serve

            serve(socket(fileno=listener.detach()), directory)
        finally:
            os._exit(0)
    listener.close()
    return _connected(path)


if __name__ == "__main__":
    main(sys.argv[1])

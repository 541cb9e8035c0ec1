"""What Ansible runs on a host for each step of a run: hands the step to the run's agent, and starts one where there is none.

Alone, by the standard library: `python3 -c READ LENGTH DIRECTORY`. On standard input come this text, then the step, one line of
JSON, and, where an agent is to be started, its package as a zip file.
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
# The Python that a host needs.
LEAST = (3, 9)
# The command: process lists and sudo's log show it whole, so it is short.
READ = "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))"
# Where the agent ended over the step.
ENDED = "the process that works for the run on this host ended before it answered; perhaps it was killed"


def main(directory: str) -> None:
    """Print the agent's answer, one line of JSON.

    Args:
        directory: where the agent listens. It belongs to this user alone, or is made so.

    Raises:
        SystemExit: NO_AGENT, SEND, or 1 where the agent ended over the step.
    """
    if sys.version_info < LEAST:
        version = ".".join(map(str, sys.version_info[:3]))
        least = ".".join(map(str, LEAST))
        sys.exit(f"Python {version} is too old on this host: install {least} or newer, and name it in ansible_python_interpreter")
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


def ask(directory: str, step: bytes, start: bool = False) -> bytes | None:
    """The agent's answer, one line, for whoever is on its machine as its user; empty where it ended over the step.

    Args:
        start: where there is none, make one of this process, which has the package loaded: that takes no time.

    Returns:
        None where there is none to ask: the step was not begun.
    """
    try:
        connection = _found(directory, None if start else b"")
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


def _found(directory: str, package: bytes | None) -> _socket.socket | None:
    """A connection to the agent, which is started where there is none; None where its package is missing (empty).

    Where the package is None, this process has it loaded.
    """
    memfd_create = os.memfd_create
    try:
        if package != b"":
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
            return None if package == b"" else _started(directory, package, memfd_create, place)
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


def _started(directory: str, package: bytes | None, memfd_create: Callable[[str, int], int], place: int) -> _socket.socket:
    path = directory + "/agent"
    # Of one that was killed.
    if os.path.lexists(path):
        os.unlink(path)
    if package:
        # A file without a name, as long as the agent lives: nothing of it stays on the host.
        file = memfd_create("rollout", 0)
        with os.fdopen(os.dup(file), "wb") as written:
            written.write(package)
    listener = _socket.socket(_socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    if not os.fork():
        try:
            # With it goes the lock, which is the door's: were that killed now, nobody would give it back.
            os.close(place)
            os.setsid()
            os.chdir("/")
            if package:
                sys.path.insert(0, f"/proc/self/fd/{file}")
                # Whoever waits for this command's output must not wait for the agent.
                _let_go([0, 1, 2])
            else:
                _forget(listener.fileno())
            from socket import socket

            from ansible.module_utils.rollout.agent import serve

            serve(socket(fileno=listener.detach()), directory)
        except ImportError as error:
            # Otherwise it is the package that is not whole.
            if not str(error.name).startswith("ansible"):
                _refuse(listener, error)
            os.unlink(path)
            os.rmdir(directory)
        finally:
            os._exit(0)
    listener.close()
    return _connected(path)


def _refuse(listener: _socket.socket, error: ImportError) -> None:
    """Answer the step that waits for the agent which cannot be loaded."""
    msg = f"Python lacks its module {error.name} on this host: install the whole of it (on Debian python3, not python3-minimal)."
    connection = _socket.socket(fileno=listener._accept()[0])  # type: ignore[attr-defined]
    # All of it: to close on what was not read takes the answer back.
    while not connection.recv(2**16).endswith(b"\n"):
        pass
    connection.sendall(f'{{"failed": true, "msg": "{msg}"}}\n'.encode())
    connection.close()


def _let_go(files: list[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for file in files:
        os.dup2(null, file)


def _forget(kept: int) -> None:
    """Have nothing more to do with whoever this process is a copy of: not with its signals, its name or its files but one."""
    import gc
    import signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    # What it has in memory stays there: taken to pieces now, it would close files that are others' by then.
    gc.freeze()
    _let_go([file for file in map(int, os.listdir("/proc/self/fd")) if file != kept])
    with open("/proc/self/comm", "w", encoding="ascii") as name:
        name.write("rollout-agent")


if __name__ == "__main__":
    main(sys.argv[2])

"""Ansible runs this on a host for each step of a run: it hands the step to the run's agent, and starts one if none runs.

Alone, by the standard library: `python3 -c READ LENGTH PATH`. On standard input come this text, then the step, one line of
JSON, and, if an agent is to be started, its package as a zip file. It prints one line of JSON: the agent's answer, or its own.

An agent listens in the state directory, which belongs to its user alone: no other user can take its place, or ask it. If there is
no such directory yet (before the first run, and in check mode), or if it is somebody else's, an agent takes this one step and
listens nowhere; whether that directory will do, the step itself says.
"""

# No annotations of the future: a Python that is too old must be able to say so.
import fcntl
import os
import socket
import stat
import sys

# The command: process lists and sudo's log show it whole, so it is short.
READ = "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))"
# The Python that a host needs.
LEAST = (3, 9)
# The agent ended over the step.
ENDED = "the process that works for the run on this host ended before it answered; perhaps it was killed"
# Beside the sockets, and made with the state directory: a door that starts an agent holds it, and so does an agent that ends.
MUTEX = ".agent"


class RefusedError(Exception):
    """The step was not begun, because no agent can live here: a word for the reason, and the facts that its sentence names."""

    def __init__(self, reason: str, **facts: str) -> None:
        super().__init__(reason)
        self.facts = {"refused": reason, **facts}


def main(path: str) -> None:
    """Print the agent's answer, or why there is none: `refused`, or `no_agent` if it did not run and its package did not come.

    Args:
        path: where the agent listens, in the state directory.
    """
    step, _newline, package = sys.stdin.buffer.read().partition(b"\n")
    try:
        if sys.version_info < LEAST:
            raise RefusedError("old", python=".".join(map(str, sys.version_info[:3])))
        answer = ask(path, step, package)
    except RefusedError as error:
        answer = _line(error.facts)
    else:
        if answer is None:
            answer = _line({"no_agent": path})
        elif not answer:
            sys.exit(ENDED)
    sys.stdout.buffer.write(answer)


def _line(answer: "dict[str, str]") -> bytes:
    # Loaded only now: nearly every step does without, and waits for what is loaded.
    import json

    return json.dumps(answer).encode() + b"\n"


def ask(path: str, step: bytes, package: bytes = b"") -> "bytes | None":
    """The agent's answer, one line of JSON; empty if it ended over the step.

    Args:
        path: where the agent listens, in the state directory.
        step: one line of JSON, without its end.
        package: what an agent is started from if there is none.

    Returns:
        None if there is no agent, and no package: the step was not begun.

    Raises:
        RefusedError: no agent can live here, and the step was not begun.
    """
    connection = _found(path, package)
    return _answer(connection, step) if connection else None


def _answer(connection: socket.socket, step: bytes) -> bytes:
    answer = b""
    with connection:
        try:
            connection.sendall(step + b"\n")
            answer = b"".join(iter(lambda: connection.recv(2**16), b""))
        except ConnectionError:
            pass
    return answer if answer.endswith(b"\n") else b""


def _found(path: str, package: bytes) -> "socket.socket | None":
    """A connection to the agent, which is started if there is none; None if its package is missing."""
    directory, name = os.path.split(os.path.expanduser(path))
    files = _opened(directory)
    if not files:
        return _started(package) if package else None
    place, mutex = files
    try:
        # Against another door that starts one too, and an agent that is about to end.
        fcntl.flock(mutex, fcntl.LOCK_EX)
        try:
            return _connected(place, name)
        except OSError:
            return _started(package, files, name) if package else None
    finally:
        fcntl.flock(mutex, fcntl.LOCK_UN)
        os.close(mutex)
        os.close(place)


def _opened(directory: str) -> "tuple[int, int] | None":
    """The state directory and its mutex; None unless both are there and nobody else's."""
    place = -1
    try:
        place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        mutex = os.open(MUTEX, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
        found = os.fstat(mutex)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.fstat(place).st_uid == os.getuid():
            return place, mutex
        os.close(mutex)
    except OSError:
        pass
    if place >= 0:
        os.close(place)
    return None


def is_ours(connection: socket.socket) -> bool:
    """Whether a process of this user is at the other end: another one is told nothing, and does nothing for us."""
    # struct ucred: pid, uid, gid (unix(7)).
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(found[4:8], sys.byteorder) == os.getuid()


def _connected(place: int, name: str) -> socket.socket:
    """A connection to who listens in a directory.

    Raises:
        OSError: nobody of this user does.
    """
    connection = socket.socket(socket.AF_UNIX)
    try:
        # However long the directory's path is: that of a socket has at most 107 bytes.
        connection.connect(f"/proc/self/fd/{place}/{name}")
        if not is_ours(connection):
            raise PermissionError
    except OSError:
        connection.close()
        raise
    return connection


def _listening(place: int, name: str) -> "socket.socket | None":
    """A socket in the state directory, without those that killed agents left there; None where there can be none."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        for left in os.listdir(place):
            if left.startswith(MUTEX + "-"):
                try:
                    _connected(place, left).close()
                except OSError:
                    os.unlink(left, dir_fd=place)
        listener.bind(f"/proc/self/fd/{place}/{name}")
        listener.listen()
    except OSError:
        listener.close()
        return None
    return listener


def _started(package: bytes, files: "tuple[int, ...]" = (), name: str = "") -> socket.socket:
    """A connection to an agent that takes this step, and with ``files`` (the state directory and its mutex) those that follow."""
    serve = _loaded(package)
    # Its files are for its user alone.
    os.umask(0o077)
    connection, theirs = socket.socketpair()
    listener = _listening(files[0], name) if files else None
    if not os.fork():
        try:
            connection.close()
            if files:
                # With it goes the lock, which is the door's: were that killed now, nobody would give it back.
                os.close(files[1])
            os.setsid()
            os.chdir("/")
            # The end of this command's output must not wait for the agent.
            null = os.open(os.devnull, os.O_RDWR)
            for file in (0, 1, 2):
                os.dup2(null, file)
            serve(theirs, listener, lambda taken: _left(files[0], name, taken), is_ours)
        finally:
            os._exit(0)
    theirs.close()
    if listener:
        listener.close()
    return connection


def _left(place: int, name: str, taken) -> bool:  # type: ignore[no-untyped-def]
    """Whether an agent has taken its socket away, and may end: unless ``taken`` takes a connection after all."""
    try:
        mutex = os.open(MUTEX, os.O_RDWR | os.O_NOFOLLOW, dir_fd=place)
    except OSError:
        # Somebody cleaned up: nobody finds this agent any more.
        return True
    # Doors connect under this lock: one that is not in the queue now finds the socket gone.
    fcntl.flock(mutex, fcntl.LOCK_EX)
    try:
        if taken():
            return False
        try:
            os.unlink(name, dir_fd=place)
        except OSError:
            pass
        return True
    finally:
        os.close(mutex)


def _loaded(package: bytes):  # type: ignore[no-untyped-def]
    """The agent's loop, out of its package."""
    try:
        # A file without a name, as long as the agent lives: nothing of it stays on the host, and no mount can forbid it.
        file = os.memfd_create("rollout")
    except (AttributeError, OSError):
        raise RefusedError("memfd", python=sys.executable) from None
    with os.fdopen(os.dup(file), "wb") as written:
        written.write(package)
    sys.path.insert(0, f"/proc/self/fd/{file}")
    try:
        from ansible.module_utils.rollout.agent.server import serve
    except ImportError as error:
        raise RefusedError("module", module=str(error.name)) from None
    return serve


if __name__ == "__main__":
    main(sys.argv[2])

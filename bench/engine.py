"""The Docker engine's API over its socket. Standard library alone, so that the floor starts at once."""

from __future__ import annotations

import http.client
import json
import os
import socket
from typing import Any, Iterator
from urllib.parse import quote

SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


class EngineError(Exception):
    """What the engine answered to a call that it refused, or that it does not answer."""


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        """To the engine's socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(SOCKET)


def call(method: str, path: str, body: Any = None) -> Any:
    """The engine's answer, read as JSON.

    Raises:
        EngineError: it refused, or does not answer.
    """
    connection = _Connection("engine")
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
    except OSError as error:
        raise EngineError(f"The Docker engine at {SOCKET} does not answer ({error.strerror or error}): make prepare.") from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise EngineError(f"{method} {path}: {answer.status} {said.decode(errors='replace').strip()}")
    return json.loads(said) if said.strip() else None


def containers(projects: list[str]) -> list[dict[str, Any]]:
    """All containers of these Compose projects, stopped ones too."""
    found = call("GET", f"/containers/json?all=1&filters={_filters({'label': ['com.docker.compose.project']})}")
    return [one for one in found if one["Labels"]["com.docker.compose.project"] in projects]


def clear(projects: list[str]) -> None:
    """Remove all containers and networks of these Compose projects."""
    for one in containers(projects):
        call("DELETE", f"/containers/{one['Id']}?force=1&v=1")
    for one in call("GET", f"/networks?filters={_filters({'label': ['com.docker.compose.project']})}"):
        if one["Labels"]["com.docker.compose.project"] in projects:
            call("DELETE", f"/networks/{one['Id']}")


class Events:
    """The engine's events of one kind, as they come, until it is closed."""

    def __init__(self, kind: str) -> None:
        self._connection = _Connection("engine")
        self._connection.request("GET", f"/events?filters={_filters({'event': [kind]})}")
        self._answer = self._connection.getresponse()
        self._sock = self._connection.sock

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while line := self._answer.readline():
            if line.strip():
                yield json.loads(line)

    def close(self) -> None:
        """End it; whoever reads finds its end."""
        if self._sock:
            self._sock.shutdown(socket.SHUT_RDWR)


def _filters(wanted: dict[str, list[str]]) -> str:
    return quote(json.dumps(wanted))

"""The network of a host: asking a URL, telling it something, and who listens on a port."""

from __future__ import annotations

import errno
import functools
import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from ansible.module_utils.rollout.health import Answer, read_answer
from ansible.module_utils.rollout.proxy import HEADER


@functools.cache
def opener() -> Any:
    """What asks URLs. To load it takes as long as to load a third of this package: neither agent nor guard begins with it."""
    import urllib.request

    # No proxy: a URL of a gate names this host or a neighbour.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url: str, timeout: float = 3.0) -> Answer:
    """One GET. Whatever goes wrong is an answer too."""
    return _request(url, None, timeout)


def tell(url: str, document: dict[str, Any], timeout: float = 3.0) -> Answer:
    """One POST of a JSON document. Whatever goes wrong is an answer too."""
    return _request(url, json.dumps(document).encode(), timeout)


def _request(url: str, data: Optional[bytes], timeout: float) -> Answer:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request

    try:
        request = Request(url, data, {"Content-Type": "application/json"} if data else {})
        with opener().open(request, timeout=timeout) as response:
            return _answer(url, response.status, response)
    except HTTPError as error:
        with error:
            return _answer(url, error.code, error)
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        return Answer(url, None, reason=str(getattr(reason, "strerror", None) or reason or type(error).__name__).lower())


def _answer(url: str, status: int, response: Any) -> Answer:
    found = read_answer(url, status, _json(response.read(65536)))
    return replace(found, container=str(response.headers.get(HEADER) or ""))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def listener(port: int) -> str:
    """Who listens on a TCP port of this host: ``process NAME (pid N)``, ``another process``, or empty where free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104  # nothing is served: it only finds out whether the port is free
            return ""
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return ""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for fd in (process / "fd").iterdir():
                if os.readlink(fd) in inodes:
                    return f"process {(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return "another process"


def _listening_inodes(port: int) -> set[str]:
    """``socket:[inode]`` of the listening sockets on a port (/proc/net/tcp, state 0A; see proc(5))."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in (line.split() for line in lines):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found

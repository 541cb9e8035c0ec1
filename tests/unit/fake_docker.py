"""A fake `docker`: a shell script of cases, and the engine's API by what it answers to the commands that ask the same.

Run as `python fake_docker.py DOCKER` this is its `docker system dial-stdio`, on standard input and output.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Callable, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

Run = Callable[[list[str]], "tuple[int, str, str]"]
INFO = {"ServerVersion": "24.0.7", "Architecture": "x86_64", "DockerRootDir": "/"}
# What it takes until a host is known to have an engine, with nothing on it.
ENGINE = f"info*) echo '{json.dumps(INFO)}';;\n'compose version --short') echo 2.26.1;;\n"


def install(directory: Path, cases: str, *, calls: str = "", dial: str = "", name: str = "docker") -> None:
    """Write the script into a directory that is on PATH.

    Args:
        cases: of a shell's ``case "$*"``; whatever they leave is an error.
        calls: a file that gets a line for each call, but for the API's.
        dial: what the API's connection does first.
    """
    noted = f'echo "$*" >> {calls}\n' if calls else ""
    script = directory / name
    script.write_text(
        f'#!/bin/sh\nPATH=/usr/bin:/bin\ncase "$*" in\n'
        f"'system dial-stdio') {dial}exec {sys.executable} {__file__} \"$0\";;\nesac\n{noted}"
        f'case "$*" in\n{cases}\n*) echo "unexpected: $*" >&2; exit 64;;\nesac\n'
    )
    script.chmod(0o755)


def answer(run: Run, path: str, query: Mapping[str, Any]) -> tuple[int, Any]:
    """Status and content. ConnectionError, with docker's words, where the engine is not reached."""

    def said(*words: str) -> str:
        code, out, err = run(list(words))
        if code and not re.search("no such|not found", err, re.IGNORECASE):
            raise ConnectionError(err.strip())
        return out

    if path == "/_ping":
        said("info", "--format", "{{json .}}")
        return 200, "OK"
    if path == "/info":
        out = said("info", "--format", "{{json .}}")
        facts = json.loads(out) if out.startswith("{") else {}
        if facts.get("ServerErrors"):
            raise ConnectionError(" ".join(facts["ServerErrors"]))
        return 200, facts
    if path in ("/networks", "/plugins"):
        return 200, []
    if path == "/volumes":
        return 200, {"Volumes": []}
    if path.startswith("/volumes/"):
        return 404, {"message": f"no such volume: {path}"}
    if path == "/containers/json" and query.get("filters"):
        labels = [word for label in query["filters"]["label"] for word in ("--filter", f"label={label}")]
        return 200, [{"Id": line} for line in said("ps", "--all", "--quiet", "--no-trunc", *labels).split()]
    if path == "/containers/json":
        return 200, [_listed(*line.split("\t")) for line in said("ps", "--format", "fields").splitlines()]
    kind, name = re.fullmatch(r"/(container|image)s/(.+)/json", path).groups()
    found = json.loads(said(kind, "inspect", name) or "[]")
    return (200, found[0]) if found else (404, {"message": f"no such {kind}: {name}"})


def _listed(project: str, name: str, ports: str, identity: str = "") -> dict[str, Any]:
    shown = re.findall(r"(\S*):(\d+)->\d+/(\w+)", ports)
    public = [{"IP": address, "PublicPort": int(port), "Type": protocol} for address, port, protocol in shown]
    return {
        "Id": identity or name,
        "Names": [f"/{name}"],
        "Labels": {"com.docker.compose.project": project} if project else {},
        "Ports": [*public, {"PrivatePort": 1}],
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, docker: str) -> None:
        self.docker, self.close_connection = docker, False
        self.client_address, self.rfile, self.wfile = ("", 0), sys.stdin.buffer, sys.stdout.buffer
        while not self.close_connection:
            self.handle_one_request()

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        query = {k: json.loads(v[0]) for k, v in parse_qs(asked.query).items()}
        status, content = answer(self._run, unquote(asked.path), query)
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _run(self, words: list[str]) -> tuple[int, str, str]:
        done = subprocess.run([self.docker, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        return done.returncode, done.stdout, done.stderr

    def log_message(self, *_arguments: Any) -> None:
        """Not here."""


if __name__ == "__main__":
    try:
        _Handler(sys.argv[1])
    except ConnectionError as error:
        sys.exit(str(error))

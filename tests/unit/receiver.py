"""A receiver of notifications: answers, hangs or refuses, and keeps what it was sent."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Iterator


class Receiver(ThreadingHTTPServer):
    """Answers with ``status``; with 0 not before `hang` is over."""

    daemon_threads = True

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.got, self.over = status, [], threading.Event()

    @property
    def url(self) -> str:
        """The receiver's address as Apprise writes it, with a secret in each place that can hold one."""
        return f"json://user:canary-password@127.0.0.1:{self.server_port}/canary-path?+X-Token=canary-header"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if not self.server.status:
            self.server.over.wait(60)
        self.send_response(self.server.status or 200)
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        pass


@contextlib.contextmanager
def receiver(status: int = 200) -> Iterator[Receiver]:
    """One that runs meanwhile."""
    server = Receiver(status)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()

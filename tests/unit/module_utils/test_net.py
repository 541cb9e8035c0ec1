from __future__ import annotations

import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible.module_utils.rollout.net import ask, listener, tell


@pytest.fixture
def serve():
    """Serve one answer: (status, body). Returns the URL."""
    servers = []

    def start(status, body, headers=()):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/health"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def listening():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one.getsockname()[1]


@pytest.mark.parametrize(
    ("status", "body", "release", "reason"),
    [
        (200, {"status": "healthy", "release": "sha-abc1234"}, "sha-abc1234", "healthy"),
        (503, {"reason": "no database", "release": "sha-abc1234"}, "sha-abc1234", "no database"),
        (404, {"detail": "unknown worker"}, None, "unknown worker"),
    ],
)
def test_ask(serve, status, body, release, reason):
    answer = ask(serve(status, json.dumps(body).encode()))
    assert (answer.status, answer.release, answer.reason) == (status, release, reason)


def test_tell():
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"operations": ["op-1", 2]}')

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        answer = tell(f"http://127.0.0.1:{server.server_address[1]}/drain", {"draining": True})
    assert heard == [("/drain", "application/json", {"draining": True})]
    assert (answer.status, answer.operations) == (200, ("op-1", "2"))
    assert tell(answer.url, {}).status is None


@pytest.mark.parametrize("body", [b"", b"ok", b"\xff\xfe", b"[1, 2]", b"{" * 100000])
def test_a_body_that_is_no_document_is_an_answer_too(serve, body):
    answer = ask(serve(200, body))
    assert (answer.status, answer.release) == (200, None)


def test_a_proxy_is_not_asked(serve, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert ask(serve(200, b"{}")).status == 200


def test_nobody_answers():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answer = ask(f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.reason) == (None, "connection refused")


def test_an_answer_that_does_not_come(listening):
    answer = ask(f"http://127.0.0.1:{listening}/", timeout=0.1)
    assert (answer.status, answer.reason) == (None, "timed out")


@pytest.mark.parametrize("url", ["http://127.0.0.1:port/", "http://[::1/", "http://127.0.0.1:1/ x"])
def test_a_malformed_url_is_an_answer(url):
    answer = ask(url)
    assert answer.status is None
    assert answer.reason


def test_listener(listening):
    with open("/proc/self/comm") as comm:
        assert listener(listening) == f"process {comm.read().strip()} (pid {os.getpid()})"


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert listener(port) == ""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible.module_utils.rollout import net
from ansible.module_utils.rollout.net import ask, has_address, listener, tell
from ansible.module_utils.rollout.ports import Port


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


@pytest.fixture
def bound():
    """Bind a socket; returns its port."""
    sockets = []

    def start(kind, address, number=0, family=socket.AF_INET):
        one = socket.socket(family, kind)
        sockets.append(one)
        try:
            one.bind((address, number))
        except OSError as error:
            if family != socket.AF_INET6:
                raise
            pytest.skip(f"no IPv6 here: {error}")
        if kind == socket.SOCK_STREAM:
            one.listen()
        return one.getsockname()[1]

    yield start
    for one in sockets:
        one.close()


def myself():
    with open("/proc/self/comm") as comm:
        return f"process {comm.read().strip()} (pid {os.getpid()})"


@pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_listener(bound, protocol, kind):
    number = bound(kind, "127.0.0.1")
    assert listener(Port(number, protocol)) == myself()
    assert listener(Port(number, protocol, "127.0.0.1")) == myself()
    assert listener(Port(number, protocol, "127.0.0.53")) == ""


@pytest.mark.parametrize("address", ["::1", "::ffff:127.0.0.1"])
def test_a_listener_of_ipv6(bound, address):
    number = bound(socket.SOCK_STREAM, address, family=socket.AF_INET6)
    assert listener(Port(number)) == myself()


def test_a_port_that_an_ordinary_user_may_not_try(bound, monkeypatch):
    number = bound(socket.SOCK_STREAM, "127.0.0.1")
    monkeypatch.setattr(net, "_bind", lambda *_: errno.EACCES)
    assert listener(Port(number)) == myself()
    assert listener(Port(number, address="127.0.0.2")) == ""


def test_the_other_protocol_is_in_nobodys_way(bound):
    number = bound(socket.SOCK_STREAM, "127.0.0.1")
    assert listener(Port(number, "udp")) == ""


def test_the_one_in_the_way_is_named(bound):
    """Not a process that has the same port of another address."""
    number = bound(socket.SOCK_STREAM, "127.0.0.1")
    code = "import socket, sys; s = socket.create_server(('127.0.0.2', int(sys.argv[1]))); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline()
        assert listener(Port(number, address="127.0.0.1")).endswith(f"(pid {os.getpid()})")
        assert listener(Port(number, address="127.0.0.2")).endswith(f"(pid {other.pid})")
        assert listener(Port(number, address="127.0.0.3")) == ""
        other.stdin.write(b"\n")


def test_nobody_listens(bound):
    number = bound(socket.SOCK_DGRAM, "127.0.0.1")
    assert listener(Port(number)) == ""
    assert listener(Port(number, "sctp")) == ""


@pytest.mark.parametrize(("address", "here"), [("", True), ("127.0.0.1", True), ("0.0.0.0", True), ("192.0.2.1", False)])
def test_addresses_of_this_host(address, here):
    assert has_address(address) is here

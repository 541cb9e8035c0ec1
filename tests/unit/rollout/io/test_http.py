from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from ansible.module_utils.rollout.io import masking
from ansible.module_utils.rollout.io.http import ask, tell

ROOT = Path(__file__).resolve().parents[4]
pytestmark = pytest.mark.usefixtures("real_clock")


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

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

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


def test_what_an_answer_says_is_masked_before_it_is_cut(serve):
    masking.learn("canary-token and " + "x" * 400, "tok/en")
    said = {
        "reason": "y" * 250 + " canary-token and " + "x" * 400,
        "operations": ["canary-token and " + "x" * 400],
        "release": "z" * 190 + " canary-token and " + "x" * 400,
    }
    answer = ask(serve(503, json.dumps(said).encode()) + "?token=tok%2Fen")
    assert answer.url.endswith("/health?token=********")
    assert answer.reason == "y" * 250 + " ********"
    assert answer.operations == ("********",)
    assert answer.release == "z" * 190 + " ********"
    assert (
        "canary" not in ask(serve(302, b"", [("Location", "http://h/" + "y" * 150 + "canary-token%20and%20" + "x" * 400)])).reason
    )
    assert "tok" not in ask("http://127.0.0.1:1/tok%2fen").url


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


def test_the_text_of_a_long_answer_is_not_read_and_its_status_is(serve):
    body = json.dumps({"release": "sha-abc1234", "filler": "x" * 65536}).encode()
    answer = ask(serve(200, body))
    assert (answer.status, answer.release, answer.cut) == (200, None, "its answer is longer than 64 KiB")


def test_a_redirect_is_not_followed_and_says_where_it_points(serve):
    other = serve(200, b'{"release": "sha-abc1234"}')
    for answer in (ask(serve(302, b"", [("Location", other)])), tell(serve(307, b"", [("Location", other)]), {})):
        assert answer.status in (302, 307)
        assert answer.release is None
        assert answer.reason == f"(a redirect to {other}, not followed)"


@pytest.mark.parametrize("call", [ask, lambda url, timeout: tell(url, {}, timeout)])
def test_an_answer_that_drips_ends_in_time(call):
    """Each line comes well within the time of the whole."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while not over.wait(0.01):
                    self.wfile.write(b" ")

        def do_POST(self):
            self.do_GET()

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        answer = call(f"http://127.0.0.1:{server.server_address[1]}/", timeout=0.2)
        over.set()
    assert (answer.status, answer.reason) == (None, "timed out")


def test_neither_agent_nor_guard_begins_with_what_speaks_http():
    """To load it takes as long as to load a third of the package."""
    code = "import sys; from ansible.module_utils.rollout.verbs import gates, guard; from ansible.module_utils.rollout.agent import server"
    shim = f"import ansible.module_utils as u; u.__path__.append({str(ROOT / 'module_utils')!r}); {code}"
    heavy = "print(sorted({'http.client', 'urllib.request', 'ssl', 'email'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", f"{shim}; {heavy}"], check=True, capture_output=True, text=True)
    assert said.stdout == "[]\n"


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

"""The one request, against servers that write what they like, as slowly and as much as they like."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import subprocess
import threading
import time

import pytest
from ansible.module_utils.rollout.io import http_request
from ansible.module_utils.rollout.io.http_request import NoAnswerError, send

pytestmark = pytest.mark.usefixtures("real_clock")
# Seconds that a request gets here, those between two bytes of a server that drips, and those in which a request must have ended.
TIME, DRIP, END = 0.2, 0.01, 2.0
KIB = 1024
HEAD = b"HTTP/1.1 200 OK\r\n"


def request_of(connection):
    """A whole request: what is not read resets the connection when it is closed."""
    data = b""
    while True:
        data += connection.recv(65536)
        head, _end, body = data.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if _end and len(body) >= int(length or 0):
            return data


class Server:
    """Accepts, reads a request and writes ``pieces``, with a pause before each; then it ends the connection, or holds it."""

    def __init__(self, pieces, pause=0.0, hold=False, tls=None, reads=True):
        self.pieces, self.pause, self.hold, self.reads, self.tls = pieces, pause, hold, reads, tls
        self.over, self.heard = threading.Event(), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/x"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with contextlib.suppress(OSError), connection:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            if self.reads:
                self.heard.append(request_of(connection))
            for piece in self.pieces:
                if self.over.wait(self.pause) if self.pause else self.over.is_set():
                    return
                connection.sendall(piece)
            if self.hold:
                self.over.wait(END * 5)

    def close(self):
        self.over.set()
        self.listener.close()


@pytest.fixture
def serve():
    servers = []

    def start(*arguments, **options):
        servers.append(Server(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def endless(piece):
    return itertools.repeat(piece)


def dripped(*texts):
    return [text[i : i + 1] for text in texts for i in range(len(text))]


def why(url, most=KIB, **options):
    began = time.monotonic()
    with pytest.raises(NoAnswerError) as error:
        send(url, TIME, most, **options)
    assert time.monotonic() - began < END
    return str(error.value)


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"ok"), (204, b""), (302, b""), (401, b"no"), (404, b"gone"), (503, b"x" * KIB), (999, b"")]
)
def test_an_answer_of_any_status(serve, status, body):
    server = serve(
        [b"HTTP/1.1 %d x\r\nContent-Length: %d\r\nLocation: http://127.0.0.1:1/\r\nX: y\r\n\r\n" % (status, len(body)), body]
    )
    reply = send(server.url, 5, KIB)
    assert (reply.status, reply.headers["x"], reply.body, reply.cut) == (status, "y", body, "")


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + b"\r\n", b"whole", b" body"],
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nwhole\r\n5\r\n body\r\n0\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n", HEAD + b"Content-Length: 10\r\n\r\nwhole body and more"],
    ],
)
def test_each_way_to_end_a_body(serve, pieces):
    assert send(serve(pieces).url, 5, KIB).body == b"whole body"


def test_what_is_sent(serve):
    server = serve([HEAD + b"\r\n"])
    send(server.url, 5, KIB)
    send(server.url, 5, KIB, b"{}", {"Content-Type": "application/json"})
    get, post = (heard.decode().split("\r\n") for heard in server.heard)
    assert get[0] == "GET /x HTTP/1.1"
    assert "Accept-Encoding: identity" in get
    assert post[0] == "POST /x HTTP/1.1"
    assert {"Content-Type: application/json", "Content-Length: 2"} < set(post)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(dripped(HEAD * 20), id="a head"),
        pytest.param([HEAD, *dripped(b"X: y\r\n" * 50)], id="headers"),
        pytest.param([HEAD + b"\r\n", *dripped(b"x" * 500)], id="a body without an end"),
        pytest.param([HEAD + b"Content-Length: 500\r\n\r\n", *dripped(b"x" * 500)], id="a body of a length"),
        pytest.param([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 500], id="chunks"),
        pytest.param([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *dripped(b"1" * 500)], id="the size of a chunk"),
        pytest.param([HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", *[b"X: y\r\n"] * 500], id="what follows chunks"),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n"] * 500, id="interim answers"),
    ],
)
def test_what_drips_ends_in_time(serve, pieces):
    assert why(serve(pieces, DRIP, hold=True).url) == "timed out"


@pytest.mark.parametrize("pieces", [[], [HEAD], [HEAD + b"Content-Length: 9\r\n\r\n123"]])
def test_what_stalls_ends_in_time(serve, pieces):
    assert why(serve(pieces, hold=True).url) == "timed out"


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(HEAD + b"\r\n", id="a body without an end"),
        pytest.param(HEAD + b"Content-Length: 1000000000000000\r\n\r\n", id="a body of a length"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n", id="a chunk"),
    ],
)
def test_a_body_that_floods_is_cut(serve, start):
    reply = send(serve(itertools.chain([start], endless(b"x" * KIB))).url, 5, 64 * KIB)
    assert (reply.status, reply.body, reply.cut) == (200, None, "its answer is longer than 64 KiB")


def test_chunks_of_a_byte_that_flood_are_cut(serve):
    pieces = itertools.chain([HEAD + b"Transfer-Encoding: chunked\r\n\r\n"], endless(b"1\r\nx\r\n" * 100))
    reply = send(serve(pieces).url, 5, 64 * KIB)
    assert (reply.body, reply.cut) == (None, "its answer is longer than 64 KiB")


@pytest.mark.parametrize("size", [KIB, KIB + 1])
@pytest.mark.parametrize(
    "form", [b"\r\n%b", b"Content-Length: %d\r\n\r\n%b", b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"]
)
def test_a_body_may_be_as_long_as_the_limit(serve, form, size):
    body = b"x" * size
    reply = send(serve([HEAD + (form % ((size, body) if form.count(b"%") > 1 else body))]).url, 5, KIB)
    assert (reply.body, reply.cut) == ((body, "") if size == KIB else (None, "its answer is longer than 1 KiB"))


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        (endless(b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * 100), "its answer is longer than 1 KiB"),
        ([HEAD, *[b"X: y\r\n"] * 200], "got more than 100 headers"),
        (endless(b"x" * KIB), "got more than 65536 bytes when reading status line"),
        (itertools.chain([HEAD], endless(b"x" * KIB)), "got more than 65536 bytes when reading header line"),
    ],
)
def test_a_head_that_floods_is_no_answer(serve, pieces, reason):
    began = time.monotonic()
    with pytest.raises(NoAnswerError, match=reason):
        send(serve(pieces).url, 5, KIB)
    assert time.monotonic() - began < END


@pytest.mark.parametrize(
    "body",
    [b"Content-Length: 9\r\n\r\n123", b"Transfer-Encoding: chunked\r\n\r\n9\r\n123", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"],
)
def test_a_body_that_breaks_off_is_cut(serve, body):
    reply = send(serve([HEAD + body]).url, 5, KIB)
    assert (reply.status, reply.body, reply.cut) == (200, None, "its answer broke off")


@pytest.mark.parametrize("pieces", [[b"SSH-2.0-OpenSSH_9.2\r\n" + b"x" * 999 + b"\r\n"], [b"y" * 999 + b"\r\n"], [b"\x00"], []])
def test_what_is_not_http_is_no_answer(serve, pieces):
    assert 0 < len(why(serve(pieces).url)) <= 200


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://",
        "http://127.0.0.1:99999/",
        "http://a\x00b/",
        "http://127.0.0.1/\r\nX: y",
    ],
)
def test_what_is_not_asked(url):
    assert why(url)


def test_a_resolver_that_hangs_is_left_alone(monkeypatch):
    over = threading.Event()
    real = socket.getaddrinfo

    def hangs(host, *arguments, flags=0, **options):
        return real(host, *arguments, flags=flags, **options) if flags else over.wait(END * 5) and []

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    assert why("http://slow.example/") == "timed out"
    over.set()


def test_a_name_that_is_not_there():
    assert why("http://nowhere.invalid/")


def test_each_address_of_a_name_has_its_share(serve, monkeypatch):
    """The first address takes no connection: its queue is full."""
    server = serve([HEAD + b"\r\n"])
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (full.getsockname()[1], server.port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: both)
        assert send("http://two.example/", 2 * TIME, KIB).status == 200
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: both[:1] * 50)
        assert why("http://fifty.example/") == "timed out"
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: [])
        assert why("http://none.example/") == "its name has no address"


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """What a server of a certificate has that this process believes."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x"]
    subprocess.run(
        [*command, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    http_request._opener.cache_clear()
    yield context
    http_request._opener.cache_clear()


def test_tls(serve, tls):
    assert send(serve([HEAD + b"Content-Length: 2\r\n\r\nok"], tls=tls).url, 5, KIB).body == b"ok"
    assert why(serve(dripped(HEAD * 20), DRIP, hold=True, tls=tls).url) == "timed out"


def test_a_certificate_that_nobody_knows(serve, tls, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    http_request._opener.cache_clear()
    assert "certificate verify failed" in why(serve([], tls=tls).url)


@pytest.mark.parametrize("pieces", [[], dripped(b"\x16\x03\x03\x40\x00" + b"\x02" * 500)])
def test_a_handshake_that_hangs_or_drips_ends_in_time(serve, pieces):
    server = serve(pieces, DRIP, hold=True)
    assert why(server.url.replace("http:", "https:")) == "timed out"


def test_a_proxy_is_asked_for_what_it_is_given_for(serve, monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    proxy = serve([HEAD + b"Content-Length: 2\r\n\r\nok"])
    proxies = {"http": f"http://u:p@127.0.0.1:{proxy.port}", "https": f"http://127.0.0.1:{proxy.port}"}
    assert send("http://registry.example/x", 5, KIB, proxies=proxies).body == b"ok"
    assert proxy.heard[0].startswith(b"GET http://registry.example/x HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dTpw\r\n" in proxy.heard[0].replace(b"authorization", b"Authorization")


def test_tls_through_a_proxy_that_drips_ends_in_time(serve, monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for pieces in (dripped(HEAD * 20), [HEAD, *dripped(b"X: y\r\n" * 50)], [HEAD + b"\r\n"]):
        proxy = serve(pieces, DRIP, hold=True)
        assert why("https://registry.example/x", proxies={"https": f"http://127.0.0.1:{proxy.port}"}) == "timed out"
        assert proxy.heard[0].startswith(b"CONNECT registry.example:443 HTTP/1.")


def test_a_request_that_is_not_read_ends_in_time(serve):
    server = serve([], hold=True, reads=False)
    assert why(server.url, data=b"x" * 50_000_000) == "timed out"

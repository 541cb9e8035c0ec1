"""What a gate asks beside plain HTTP: connections, certificates of one's own, addresses instead of names, users in URLs."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible.module_utils.rollout.io import http, http_request, masking
from ansible.module_utils.rollout.io.http import ask, connect, untrusted

pytestmark = pytest.mark.usefixtures("real_clock")


@pytest.fixture
def accept():
    """A listener that holds connections, or closes them as docker's own proxy does. Returns its port."""
    with contextlib.ExitStack() as stack:

        def start(closes=False, says=b""):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        one = listener.accept()[0]
                        stack.callback(one.close)
                        if says:
                            one.sendall(says)
                        if closes:
                            one.close()

            threading.Thread(target=serve, daemon=True).start()
            return listener.getsockname()[1]

        yield start


@pytest.fixture
def free():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]


@pytest.mark.parametrize("says", [b"", b"220 ready\r\n"])
def test_a_connection_that_is_accepted(accept, says):
    assert connect(f"tcp://127.0.0.1:{accept(says=says)}").fault == ""
    assert connect(f"tcp://localhost:{accept(says=says)}/").fault == ""


def test_a_port_on_which_nobody_listens(free):
    url = f"tcp://127.0.0.1:{free}"
    assert connect(url).fault == f"a connection to {url} (connection refused)"


def test_a_connection_that_is_closed_at_once_is_none(accept):
    """docker-proxy accepts on a published port, whether or not anything listens in the container."""
    url = f"tcp://127.0.0.1:{accept(closes=True)}"
    assert connect(url).fault in (
        f"a connection to {url} (it was closed at once)",
        f"a connection to {url} (connection reset by peer)",
    )


def test_a_name_that_nobody_has():
    said = connect("tcp://no-such-name.invalid:1").fault
    assert said.startswith("a connection to tcp://no-such-name.invalid:1 (")


def test_the_container_s_addresses_are_tried_one_after_the_other(accept):
    port = accept()
    assert connect(f"tcp://db:{port}", addresses=["127.0.0.9", "127.0.0.1"]).fault == ""
    said = connect(f"tcp://db:{port}", addresses=["127.0.0.9", "127.0.0.8"]).fault
    assert said == f"a connection to tcp://db:{port} (connection refused, at 127.0.0.9 and 127.0.0.8)"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.heard.append(dict(self.headers))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"release": "sha-abc1234"}')

    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve():
    """Serve on a loopback address, perhaps with a certificate: the server, with ``port`` and what it ``heard``."""
    with contextlib.ExitStack() as stack:

        def start(tls=None, address="127.0.0.1"):
            kind = type("Server", (HTTPServer,), {"address_family": socket.AF_INET6 if ":" in address else socket.AF_INET})
            server = kind((address, 0), Handler)
            stack.callback(server.server_close)
            server.heard, server.port = [], server.server_address[1]
            if tls:
                server.socket = tls.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            stack.callback(server.shutdown)
            return server

        yield start


def test_a_name_is_asked_at_the_container_s_address(serve):
    server = serve()
    answer = ask(f"http://web:{server.port}/health", addresses=["127.0.0.9", "127.0.0.1"])
    assert (answer.status, answer.release, answer.url) == (200, "sha-abc1234", f"http://web:{server.port}/health")
    assert server.heard[0]["Host"] == f"web:{server.port}"
    said = ask(f"http://web:{server.port}/", addresses=["127.0.0.9"])
    assert (said.status, said.reason) == (None, "connection refused, at 127.0.0.9")


def test_ipv6(serve):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 in this Python")
    try:
        server = serve(address="::1")
    except OSError:
        pytest.skip("no IPv6 on this machine")
    assert ask(f"http://[::1]:{server.port}/").status == 200
    assert ask(f"http://web:{server.port}/", addresses=["127.0.0.1", "::1"]).status == 200
    assert connect(f"tcp://[::1]:{server.port}").fault == ""


def test_the_user_of_a_url_is_sent_and_the_password_is_not_shown(serve):
    server = serve()
    answer = ask(f"http://karl:can%40ary@127.0.0.1:{server.port}/health")
    assert answer.status == 200
    assert answer.url == f"http://karl:********@127.0.0.1:{server.port}/health"
    assert server.heard[0]["Authorization"] == f"Basic {base64.b64encode(b'karl:can@ary').decode()}"
    assert "Authorization" not in (ask(f"http://127.0.0.1:{server.port}/") and server.heard[1])


def test_a_secret_in_a_url_is_masked(free):
    masking.learn("canary-token")
    assert "canary" not in str(ask(f"http://127.0.0.1:{free}/canary-token"))
    assert "canary" not in str(connect("tcp://canary-token.invalid:1", 0.5))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A CA of one's own, and a certificate of it for web and 127.0.0.1."""
    place = tmp_path_factory.mktemp("ca")

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=place)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(*new, "-x509", "-subj", "/CN=home", "-keyout", "ca.key", "-out", "ca.pem", "-addext", "keyUsage=keyCertSign")
    openssl(*new, "-subj", "/CN=web", "-keyout", "web.key", "-out", "web.csr")
    (place / "names").write_text("subjectAltName=DNS:web,IP:127.0.0.1\n")
    signed = ("x509", "-req", "-in", "web.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    openssl(*signed, "-extfile", "names", "-out", "web.pem")
    return place


@pytest.fixture
def tls(authority):
    http._trust.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "web.pem", authority / "web.key")
    return context


def test_a_certificate_is_verified_unless_told_otherwise(serve, tls, authority):
    url = f"https://127.0.0.1:{serve(tls).port}/health"
    said = ask(url)
    assert said.status is None
    assert said.fault.startswith(f"an answer from {url} with a certificate that is trusted (")
    assert "unable to get local issuer certificate" in said.fault
    assert "_ssl.c" not in said.fault
    assert ask(url, ca=str(authority / "ca.pem")).status == 200
    assert ask(url, insecure=True).status == 200
    assert ask(url).status is None, "what was asked before does not matter"


def test_the_certificate_is_that_of_the_name_in_the_url(serve, tls, authority):
    port, ca = serve(tls).port, str(authority / "ca.pem")
    assert ask(f"https://web:{port}/", addresses=["127.0.0.1"], ca=ca).status == 200
    said = ask(f"https://db:{port}/", addresses=["127.0.0.1"], ca=ca)
    assert "certificate is not valid for 'db'" in said.fault
    assert said.fault.endswith(", at 127.0.0.1)")


def test_a_ca_that_went_is_an_answer(serve, tls, authority, tmp_path):
    url = f"https://127.0.0.1:{serve(tls).port}/"
    said = ask(url, ca=str(tmp_path / "ca.pem"))
    why = f"its ca {tmp_path}/ca.pem: no such file or directory"
    assert said.fault == f"an answer from {url} with a certificate that is trusted ({why})"
    # It was not kept: a file that comes is used.
    (tmp_path / "ca.pem").write_bytes((authority / "ca.pem").read_bytes())
    assert ask(url, ca=str(tmp_path / "ca.pem")).status == 200


def test_what_can_be_a_ca(authority, tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello")
    assert untrusted(str(authority / "ca.pem")) == ""
    for file in ("empty", "text"):
        assert untrusted(str(tmp_path / file)) == "it is not a PEM file of certificates"
    assert untrusted(str(authority / "ca.key")) == "it is not a PEM file of certificates"
    assert untrusted(str(tmp_path / "none")) == "no such file or directory"
    assert untrusted(str(tmp_path))


def test_few_openers_are_kept(free):
    for last in range(2, 90):
        ask(f"http://web:{free}/", 0.2, addresses=[f"127.0.0.{last}"])
    assert http_request._opener.cache_info().currsize <= 64

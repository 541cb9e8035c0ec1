"""How a registry is spoken to where it has trouble or a certificate of its own; logins and redirects are tested with the registry."""

from __future__ import annotations

import socket
import subprocess

import pytest
from ansible.module_utils.rollout.controller.registry import Registry
from ansible.module_utils.rollout.errors import RolloutError
from simulated_registry import REVISION, Server

pytestmark = pytest.mark.usefixtures("naps")
TAG = "/v2/k/app/manifests/v1"


def revision(registry):
    return registry.resolve("k/app", "v1")["revision"]


def refused(registry):
    with pytest.raises(RolloutError) as error:
        registry.resolve("k/app", "v1")
    return str(error.value)


def troubled(server, path, *troubles):
    """The first answers at a path are these; a text stands for an end of the connection."""
    good, left = server.answers[path], list(troubles)

    def answer(request):
        trouble = left.pop(0) if left else good
        if trouble == "reset":
            request.connection.shutdown(socket.SHUT_RDWR)
            return good
        if trouble == "breaks off":
            return 200, {"Content-Length": "99", "Connection": "close"}, "{"
        return trouble

    server.answers[path] = answer


@pytest.mark.parametrize("place", ["tag", "configuration"])
@pytest.mark.parametrize(
    "trouble", [*[(status, {}, "") for status in (429, 502, 503, 504)], "reset", "breaks off"], ids=lambda trouble: str(trouble)
)
def test_trouble_that_passes(server, naps, trouble, place):
    server.image("v1")
    troubled(server, TAG if place == "tag" else server.blob, trouble, trouble)
    assert revision(Registry(server.host)) == REVISION
    assert naps == [2, 4]


def test_a_time_out_that_passes(server, naps):
    server.image("v1")
    good = server.answers[TAG]

    def answer(request):
        if len(server.seen) == 1:
            server.hold.wait(10)
        return good

    server.answers[TAG] = answer
    assert revision(Registry(server.host, timeout=0.5)) == REVISION
    assert naps == [2]


def test_a_token_service_whose_trouble_passes(server, naps):
    server.image("v1")
    good = server.answers[TAG]
    server.answers[TAG] = lambda request: (
        good
        if request.headers.get("Authorization")
        else (401, {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token"'}, "")
    )
    server.answers["/token"] = (200, {}, {"token": "t0ken"})
    troubled(server, "/token", (503, {}, ""))
    assert revision(Registry(server.host)) == REVISION
    assert naps == [2]


@pytest.mark.parametrize(
    ("headers", "pauses"),
    [
        ({"Retry-After": "7"}, [7]),
        ({"Retry-After": "1"}, [2]),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:47 GMT"}, [0]),
        ({"Retry-After": "soon"}, [2]),
    ],
)
def test_a_registry_says_how_long_it_wants_to_be_left_alone(server, naps, headers, pauses):
    server.image("v1")
    troubled(server, TAG, (429, headers, ""))
    assert revision(Registry(server.host)) == REVISION
    assert naps == [max(pause, 2) for pause in pauses]


def test_a_date_is_one_of_the_registrys_own_clock(server, naps, monkeypatch):
    server.image("v1")
    troubled(server, TAG, (503, {"Retry-After": "Sun, 06 Nov 1994 08:49:47 GMT"}, ""))
    monkeypatch.setattr(server.handler, "date_time_string", lambda self, timestamp=None: "Sun, 06 Nov 1994 08:49:37 GMT")
    assert revision(Registry(server.host)) == REVISION
    assert naps == [10]


@pytest.mark.parametrize(
    ("seconds", "pauses", "said"),
    [("3600", [], " and asks for a pause of 3600 s"), ("25", [25, 25], " and asks for a pause of 25 s")],
)
def test_a_pause_that_is_too_long_is_not_waited_for(server, naps, seconds, pauses, said):
    server.answers[TAG] = (429, {"Retry-After": seconds}, "")
    assert refused(Registry(server.host)) == (
        f"Registry {server.host} says too many requests for image k/app (HTTP 429){said}: wait, or log in."
    )
    assert naps == pauses


def test_trouble_that_stays_ends(server, naps):
    server.answers[TAG] = (503, {}, "")
    assert "fails on image k/app (HTTP 503)" in refused(Registry(server.host))
    assert naps == [2, 4, 8, 16]
    assert len(server.seen) == 5


def test_pauses_are_of_the_time_of_the_whole(server, naps):
    server.answers[TAG] = (503, {}, "")
    assert "fails on image k/app (HTTP 503)" in refused(Registry(server.host, timeout=1))
    assert naps == [2, 4]


@pytest.mark.parametrize("status", [400, 403, 404, 500, 501])
def test_what_no_other_try_mends(server, naps, status):
    server.answers[TAG] = (status, {}, "")
    refused(Registry(server.host))
    assert naps == []


def test_a_registry_that_refuses_connections_is_told_at_once(naps):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    assert "Connection refused" in refused(Registry(host))
    assert naps == []


@pytest.fixture
def secure(house):
    made = Server(house[1])
    made.image("v1")
    yield made
    made.close()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_https_on_loopback_is_spoken_as_docker_does(secure, name):
    """Without a look at the certificate: loopback is among the engine's insecure registries."""
    registry = Registry(f"{name}:{secure.port}")
    assert revision(registry) == REVISION
    assert registry.session.base == f"https://{name}:{secure.port}"


def test_a_ca_of_the_house(secure, house):
    assert revision(Registry(secure.host, authority=str(house[0]))) == REVISION


def test_a_ca_of_the_house_and_a_registry_without_tls(server, house):
    server.image("v1")
    assert revision(Registry(server.host, authority=str(house[0]))) == REVISION


UNKNOWN = (
    "{place} shows a certificate that this controller does not trust ([SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
    "{why}), asked for image k/app of registry {host}. Name the PEM file of its CA in rollout_registry_ca (or SSL_CERT_FILE), and "
    "put that on each host as /etc/docker/certs.d/{host}/ca.crt; nothing was touched."
)


def test_a_certificate_of_an_unknown_ca(secure, house, tmp_path, monkeypatch):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=other"]
        + ["-keyout", tmp_path / "other.key", "-out", tmp_path / "other.pem"],
        check=True,
        capture_output=True,
    )
    said = refused(Registry(secure.host, "u", "p", authority=str(tmp_path / "other.pem")))
    assert (
        said.partition("certificate verify failed")[0]
        == UNKNOWN.format(place=f"https://{secure.host}", why="", host="").partition("certificate verify failed")[0]
    )
    assert said.endswith(f"put that on each host as /etc/docker/certs.d/{secure.host}/ca.crt; nothing was touched.")
    assert secure.seen == [], "no password goes there, and over http neither"


def test_a_token_service_with_a_certificate_of_an_unknown_ca(server, secure):
    """The registry is on loopback; its token service has to speak TLS all the same."""
    server.answers[TAG] = (401, {"WWW-Authenticate": f'Bearer realm="https://{secure.host}/token"'}, "")
    said = refused(Registry(server.host, "u", "p"))
    assert said.startswith(f"https://{secure.host} shows a certificate that this controller does not trust (")
    assert secure.seen == []


def test_a_token_service_of_the_house(server, secure, house):
    server.image("v1")
    good = server.answers[TAG]
    server.answers[TAG] = lambda request: (
        good
        if request.headers.get("Authorization") == "Bearer t0ken"
        else (401, {"WWW-Authenticate": f'Bearer realm="https://{secure.host}/token"'}, "")
    )
    secure.answers["/token"] = (200, {}, {"token": "t0ken"})
    assert revision(Registry(server.host, authority=str(house[0]))) == REVISION


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("", "has no certificate"),
        ("-----BEGIN CERTIFICATE-----\nx\n", "has no certificate"),
        (b"\x30\x82", "has no certificate"),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1:1", "registry.invalid"])
def test_a_file_that_is_no_ca(tmp_path, content, why, host):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refused(Registry(host, authority=str(path))) == (
        f"rollout_registry_ca {path} {why}: expected a file on the controller with the certificate of the registry's CA in PEM "
        "(-----BEGIN CERTIFICATE-----)."
    )


def test_each_image_has_a_time_of_its_own(server, naps):
    server.image("v1")
    registry, good = Registry(server.host, timeout=1), server.answers[TAG]
    for _image in range(2):
        server.answers[TAG] = good
        troubled(server, TAG, (503, {}, ""), (503, {}, ""))
        assert revision(registry) == REVISION
    assert naps == [2, 4, 2, 4]

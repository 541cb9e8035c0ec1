"""The registry client against a real server that speaks as much of the distribution API as is asked."""

from __future__ import annotations

import base64
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.registry import Registry

REVISION = "abc1234def5678abc1234def5678abc1234def56"
INDEX, MANIFEST = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"
PULL = "repository:k/app:pull"


def digest(letter):
    return "sha256:" + letter * 64


class Server:
    """``answers``: path -> (status, headers, body), or a function of the request."""

    def __init__(self):
        self.answers, self.seen, self.hold = {}, [], threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.seen.append((self.path, self.headers.get("Authorization")))
                answer = outer.answers.get(self.path, outer.answers.get(self.path.partition("?")[0], (404, {}, "{}")))
                status, headers, body = answer(self) if callable(answer) else answer
                data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_arguments: None  # a client that gave up
        self.port = self.server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def image(self, name, letter, architecture="amd64", revision=REVISION, layers=(("d1", 100), ("d2", 20))):
        """A plain manifest and its configuration."""
        config = {
            "os": "linux",
            "architecture": architecture,
            "rootfs": {"diff_ids": [d for d, _size in layers]},
            "config": {"Labels": {"org.opencontainers.image.revision": revision} if revision else None},
        }
        manifest = {
            "mediaType": MANIFEST,
            "config": {"digest": digest(letter) + "c"},
            "layers": [{"size": s} for _d, s in layers],
        }
        self.answers[f"/v2/k/app/manifests/{name}"] = (
            200,
            {"Docker-Content-Digest": digest(letter)},
            manifest,
        )
        self.answers[f"/v2/k/app/blobs/{digest(letter)}c"] = (200, {}, config)

    def close(self):
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


@pytest.fixture
def other():
    made = Server()
    yield made
    made.close()


def refused(registry, tag="v1"):
    with pytest.raises(RolloutError) as error:
        registry.resolve("k/app", tag)
    return str(error.value)


def test_a_plain_manifest(server):
    server.image("v1", "a")
    assert Registry(server.host).resolve("k/app", "v1") == {
        "digest": digest("a"),
        "revision": REVISION,
        "platforms": {"linux/amd64": [{"diff_id": "d1", "size": 100}, {"diff_id": "d2", "size": 20}]},
    }


@pytest.mark.parametrize("gone", [f"manifests/{digest('b')}", f"blobs/{digest('b')}c"])
def test_a_tag_of_which_a_part_is_gone(server, gone):
    server.image(digest("b"), "b")
    entries = [{"digest": digest("b"), "platform": {"os": "linux", "architecture": "amd64"}}]
    index = {"mediaType": INDEX, "manifests": entries}
    server.answers["/v2/k/app/manifests/v1"] = (200, {"Docker-Content-Digest": digest("a")}, index)
    del server.answers[f"/v2/k/app/{gone}"]
    assert refused(Registry(server.host)) == (
        f"Registry {server.host} has tag v1 of image k/app, but not all of it: {gone.rpartition('/')[2]} is gone (a clean-up?). "
        "Build and push it again (make images SHA=…), or choose another."
    )


def test_an_index_with_an_attestation(server):
    server.image(digest("b"), "b")
    server.image(digest("c"), "c", "arm64", None, [("d3", 7)])
    entries = [
        {"digest": digest("b"), "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": digest("c"), "platform": {"os": "linux", "architecture": "arm64"}},
        {"digest": digest("e"), "platform": {"os": "unknown", "architecture": "unknown"}},
    ]
    server.answers["/v2/k/app/manifests/v1"] = (
        200,
        {"Docker-Content-Digest": digest("a")},
        {"mediaType": INDEX, "manifests": entries},
    )
    found = Registry(server.host).resolve("k/app", "v1")
    assert found["digest"] == digest("a"), "the index's own, not that of a platform"
    assert found["revision"] == REVISION
    assert set(found["platforms"]) == {"linux/amd64", "linux/arm64"}
    assert found["platforms"]["linux/arm64"] == [{"diff_id": "d3", "size": 7}]


def test_no_label(server):
    server.image("v1", "a", revision=None)
    assert Registry(server.host).resolve("k/app", "v1")["revision"] is None


def test_a_tag_that_is_not_there_names_those_nearby(server):
    server.answers["/v2/k/app/tags/list"] = (200, {}, {"tags": ["sha-abc1230", "latest", "sha-abc1239"]})
    assert refused(Registry(server.host), "sha-abc1234") == (
        f"Registry {server.host} has no tag sha-abc1234 of image k/app. Tags there that are nearest: "
        "sha-abc1230, sha-abc1239, latest. Build and push it (make images SHA=…), or choose another."
    )


@pytest.mark.parametrize("tags", [None, (200, {}, {"tags": None})])
def test_an_image_that_is_not_there(server, tags):
    if tags:
        server.answers["/v2/k/app/tags/list"] = tags
    assert refused(Registry(server.host)) == (
        f"Registry {server.host} has no image k/app (asked for {server.host}/k/app:v1): build and push it (make images)."
    )


def test_tags_over_all_pages(server):
    more = {"Link": '</v2/k/app/tags/list?n=1000&last=b>; rel="next"'}
    server.answers["/v2/k/app/tags/list?n=1000"] = (200, more, {"tags": ["a", "b"]})
    server.answers["/v2/k/app/tags/list?n=1000&last=b"] = (200, {}, {"tags": ["c"]})
    assert Registry(server.host).tags("k/app") == ["a", "b", "c"]


def test_pages_that_never_end_do_end(server):
    server.answers["/v2/k/app/tags/list"] = (
        200,
        {"Link": '</v2/k/app/tags/list?n=1000>; rel="next"'},
        {"tags": ["a"]},
    )
    assert len(Registry(server.host).tags("k/app")) == 100


def bearer(server, token_answer=None):
    """The server wants a token, which /token gives to user u with password p."""
    basic = "Basic " + base64.b64encode(b"u:p").decode()

    def guarded(answer):
        def check(request):
            if request.headers.get("Authorization") == "Bearer t0ken":
                return answer
            challenge = f'Bearer realm="http://{server.host}/token",service="reg",scope="{PULL}"'
            return 401, {"WWW-Authenticate": challenge}, "{}"

        return check

    def token(request):
        return (200, {}, {"token": "t0ken"}) if request.headers.get("Authorization") == basic else (401, {}, "{}")

    server.answers = {path: guarded(answer) for path, answer in server.answers.items()}
    server.answers["/token"] = token_answer or token


def test_a_bearer_challenge_is_answered_once(server):
    server.image("v1", "a")
    bearer(server)
    assert Registry(server.host, "u", "p").resolve("k/app", "v1")["digest"] == digest("a")
    asked = [path for path, _authorization in server.seen if path.startswith("/token")]
    assert asked == ["/token?service=reg&scope=repository%3Ak%2Fapp%3Apull"]


def test_a_public_image_needs_no_user(server):
    server.image("v1", "a")
    bearer(server, (200, {}, {"access_token": "t0ken"}))
    assert Registry(server.host).resolve("k/app", "v1")["digest"] == digest("a")
    assert not any(a and a.startswith("Basic") for _path, a in server.seen)


@pytest.mark.parametrize(("user", "whose"), [("", "without a user"), ("mallory", "as user mallory")])
def test_access_refused(server, user, whose):
    server.image("v1", "a")
    bearer(server)
    sentence = refused(Registry(server.host, user, "canary"))
    assert sentence == (
        f"Registry {server.host} refuses access to image k/app {whose} (HTTP 401): set rollout_registry_username and "
        "rollout_registry_password (vaulted) to a token that may read it."
    )


def test_a_token_that_does_not_help_is_refused(server):
    server.image("v1", "a")
    bearer(server, (200, {}, {"token": "other"}))
    assert "refuses access to image k/app as user u (HTTP 401)" in refused(Registry(server.host, "u", "p"))


def test_basic(server):
    server.image("v1", "a")
    answer = server.answers["/v2/k/app/manifests/v1"]
    server.answers["/v2/k/app/manifests/v1"] = lambda request: (
        answer if request.headers.get("Authorization") == "Basic dTpw" else (401, {"WWW-Authenticate": "Basic realm=x"}, "")
    )
    assert Registry(server.host, "u", "p").resolve("k/app", "v1")["digest"] == digest("a")
    assert "without a user (HTTP 401)" in refused(Registry(server.host))


def test_credentials_go_to_no_foreign_plain_token_service(server, other):
    server.answers["/v2/k/app/manifests/v1"] = (
        401,
        {"WWW-Authenticate": f'Bearer realm="http://{other.host}/token"'},
        "",
    )
    other.answers["/token"] = (200, {}, {"token": "t0ken"})
    assert "refuses access" in refused(Registry(server.host, "u", "p"))
    assert other.seen == []


@pytest.mark.parametrize("challenge", ["", "Bearer", "Digest realm=x", 'Bearer realm="file:///etc/passwd"'])
def test_a_challenge_that_cannot_be_answered(server, challenge):
    server.answers["/v2/k/app/manifests/v1"] = (401, {"WWW-Authenticate": challenge}, "")
    assert "refuses access to image k/app" in refused(Registry(server.host, "u", "p"))


@pytest.mark.parametrize("answer", [(200, {}, "<html>"), (200, {"Content-Length": "99"}, "{")])
def test_a_token_service_that_talks_nonsense(server, answer):
    server.image("v1", "a")
    bearer(server, answer)
    assert refused(Registry(server.host, "u", "p")).startswith(f"The token service of registry {server.host} does not answer (")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (403, "refuses access to image k/app without a user (HTTP 403): set rollout_registry_username"),
        (429, "says too many requests for image k/app (HTTP 429): wait, or log in."),
        (500, "fails on image k/app (HTTP 500): look at the registry's own log."),
        (503, "fails on image k/app (HTTP 503): look at the registry's own log."),
    ],
)
def test_statuses(server, code, sentence):
    server.answers["/v2/k/app/manifests/v1"] = (code, {}, "")
    assert f"Registry {server.host} {sentence}" in refused(Registry(server.host))


def test_a_stall_ends(server):
    server.answers["/v2/k/app/manifests/v1"] = lambda request: (200 + server.hold.wait(10), {}, "")
    assert f"Registry {server.host} does not answer (timed out), asked for image k/app" in refused(
        Registry(server.host, timeout=0.2)
    )


def test_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    sentence = refused(Registry(host))
    assert f"Registry {host} does not answer (" in sentence
    assert "Connection refused" in sentence
    assert sentence.endswith(f"Check that it runs and that this controller reaches http://{host}; nothing was touched.")


@pytest.mark.parametrize("headers", [{}, {"Docker-Content-Digest": "sha256:1"}, {"Docker-Content-Digest": "md5:" + "0" * 64}])
def test_no_digest(server, headers):
    server.answers["/v2/k/app/manifests/v1"] = (200, headers, {})
    assert refused(Registry(server.host)) == (
        f"Registry {server.host} does not say the digest of k/app:v1; a proxy may be in the way."
    )


@pytest.mark.parametrize("body", ["<html>log in</html>", "[1]", b"\xff"])
@pytest.mark.parametrize("path", ["/v2/k/app/manifests/v1", "/v2/k/app/tags/list", f"/v2/k/app/blobs/{digest('a')}c"])
def test_nonsense_is_a_sentence(server, path, body):
    server.image("v1", "a")
    if "tags" in path:
        del server.answers["/v2/k/app/manifests/v1"]
    server.answers[path] = (200, {"Docker-Content-Digest": digest("a")}, body)
    assert refused(Registry(server.host)) == (
        f"Registry {server.host} answers for image k/app with something that is no JSON document; a proxy or a login "
        "page may be in the way."
    )


def test_an_answer_that_breaks_off_is_a_sentence(server):
    server.answers["/v2/k/app/manifests/v1"] = (200, {"Content-Length": "99"}, "{")
    assert "does not answer (IncompleteRead" in refused(Registry(server.host))


def test_a_blob_on_another_host_is_fetched_without_the_credentials(server, other):
    server.image("v1", "a")
    blob = f"/v2/k/app/blobs/{digest('a')}c"
    other.answers["/store"] = server.answers[blob]
    server.answers[blob] = (307, {"Location": f"http://{other.host}/store"}, "")
    bearer(server)
    assert Registry(server.host, "u", "p").resolve("k/app", "v1")["revision"] == REVISION
    assert other.seen == [("/store", None)]


def test_a_blob_elsewhere_on_the_same_host_keeps_them(server):
    server.image("v1", "a")
    blob = f"/v2/k/app/blobs/{digest('a')}c"
    server.answers["/store"] = server.answers[blob]
    server.answers[blob] = (307, {"Location": "/store"}, "")
    bearer(server)
    assert Registry(server.host, "u", "p").resolve("k/app", "v1")["revision"] == REVISION
    assert server.seen[-1] == ("/store", "Bearer t0ken")


@pytest.mark.parametrize(
    ("host", "insecure", "base"),
    [
        ("ghcr.io", False, "https://ghcr.io"),
        ("nas:5000", False, "https://nas:5000"),
        ("nas:5000", True, "http://nas:5000"),
        ("localhost:5000", False, "http://localhost:5000"),
        ("127.0.0.1", False, "http://127.0.0.1"),
        ("[::1]:5000", False, "http://[::1]:5000"),
        ("localhost.evil.com", False, "https://localhost.evil.com"),
        ("127.evil.com", False, "https://127.evil.com"),
        ("docker.io", False, "https://registry-1.docker.io"),
    ],
)
def test_base(host, insecure, base):
    assert Registry(host, insecure=insecure).base == base


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_proxy_is_not_asked_for_this_machine(server, monkeypatch, name):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    server.image("v1", "a")
    assert Registry(f"{name}:{server.port}").resolve("k/app", "v1")["digest"] == digest("a")


def test_a_proxy_is_asked_for_others(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(RolloutError, match="Connection refused"):
        Registry("registry.example:5000", insecure=True).resolve("k/app", "v1")

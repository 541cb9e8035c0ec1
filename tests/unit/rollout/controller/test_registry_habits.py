"""One simulated registry with the habits of those that people have: what these document, or answer to anybody who asks.

GitHub (docs.github.com/packages, container registry), GitLab (docs.gitlab.com, container registry), Amazon ECR
(docs.aws.amazon.com/AmazonECR: Registries, common errors) and Docker Hub (docs.docker.com/docker-hub/usage/pulls). None of them is
asked here: `test_registry_real` has a real one.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible.module_utils.rollout.controller.registry import Registry
from ansible.module_utils.rollout.errors import RolloutError
from simulated_registry import REVISION

pytestmark = pytest.mark.usefixtures("naps")
SCOPE = "repository:k/app:pull"
LOGIN = "Basic " + base64.b64encode(b"u:p").decode()


@dataclass(frozen=True)
class Habits:
    """``realm`` is the path of the token service, empty for basic authentication; ``absent`` is the status of a repository that is
    not there, ``link`` how the next page of tags is named, ``busy`` the headers of a 429, ``refusal`` the status for a token that is
    of another scope, ``elsewhere`` whether blobs lie on another host, and ``headers`` stand in every answer."""

    service: str
    realm: str = ""
    absent: int = 404
    token: str = "token"
    link: str = "<{path}>"
    busy: dict[str, str] = field(default_factory=dict)
    refusal: int = 401
    elsewhere: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    anonymous: bool = True


GHCR = Habits("ghcr.io", "/token", 403, refusal=403, headers={"docker-distribution-api-version": "registry/2.0"})
GITLAB = Habits("container_registry", "/jwt/auth", 401, link="<http://{host}{path}>", elsewhere=False, anonymous=False)
ECR = Habits("ecr.amazonaws.com", link="<https://account.example{path}>", anonymous=False)
HUB = Habits(
    "registry.docker.io",
    "/token",
    401,
    token="access_token",
    busy={"Retry-After": "3", "X-RateLimit-Limit": "100"},
    headers={"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "99;w=21600", "docker-ratelimit-source": "192.0.2.1"},
)
ALL = pytest.mark.parametrize("habits", [GHCR, GITLAB, ECR, HUB], ids=["GHCR", "GitLab", "ECR", "Docker Hub"])
TAG = "/v2/k/app/manifests/sha-abc1234"


def error(code):
    return f'{{"errors":[{{"code":"{code}","message":"said by the registry","detail":null}}]}}'


def simulate(habits, server, other):
    """Let a server have these habits for what it answers already; another host keeps its blobs."""
    good = dict(server.answers)
    if habits.elsewhere and hasattr(server, "blob"):
        blob = good[server.blob]
        # As a store of signed addresses has it, a second kind of login is an error.
        other.answers["/bucket"] = lambda request: (400, {}, "") if request.headers.get("Authorization") else blob
        good[server.blob] = (307, {"Location": f"http://{other.host}/bucket?X-Signature=s"}, "")

    def challenge(request, said=""):
        if not habits.realm:
            return f'Basic realm="http://{server.host}/",service="{habits.service}"'
        return f'Bearer realm="http://{server.host}{habits.realm}",service="{habits.service}",scope="{SCOPE}"{said}'

    def answer(request):
        path, known = request.path.partition("?")[0], request.headers.get("Authorization") or ""
        if not (known.startswith("Bearer ") if habits.realm else known == LOGIN):
            return 401, {"WWW-Authenticate": challenge(request), **habits.headers}, error("UNAUTHORIZED")
        if habits.realm and known != f"Bearer {SCOPE}":
            said = {"WWW-Authenticate": challenge(request, ',error="insufficient_scope"')} if habits.refusal == 401 else {}
            return habits.refusal, {**said, **habits.headers}, error("DENIED")
        if path in good or request.path in good:
            status, headers, body = good.get(request.path, good.get(path))
            return status, {**habits.headers, **headers}, body
        if any("/k/app/" in one for one in good):
            return 404, habits.headers, error("MANIFEST_UNKNOWN")
        said = {"WWW-Authenticate": challenge(request)} if habits.absent == 401 else {}
        return habits.absent, {**said, **habits.headers}, error("NAME_UNKNOWN" if habits.absent == 404 else "DENIED")

    def token(request):
        asked = parse_qs(urlsplit(request.path).query)
        if asked != {"service": [habits.service], "scope": [SCOPE]}:
            return 400, {}, error("UNSUPPORTED")
        if request.headers.get("Authorization") not in (LOGIN, *([None] if habits.anonymous else [])):
            return 403, {}, error("DENIED")
        return 200, {}, {habits.token: SCOPE, "expires_in": 300, "issued_at": "2026-01-01T00:00:00Z"}

    def everything(request):
        return token(request) if habits.realm and request.path.startswith(f"{habits.realm}?") else answer(request)

    class Everything(dict):
        def get(self, _path, _default=None):
            return everything

    server.answers = Everything()
    return good


def refused(registry, tag="sha-abc1234"):
    with pytest.raises(RolloutError) as said:
        registry.resolve("k/app", tag)
    return str(said.value)


@ALL
def test_an_image(habits, server, other):
    server.image("sha-abc1234")
    simulate(habits, server, other)
    registry = Registry(server.host, "u", "p")
    assert registry.resolve("k/app", "sha-abc1234")["revision"] == REVISION
    assert [known for _path, known in other.seen if known] == []
    assert registry.resolve("k/app", "sha-abc1234")["revision"] == REVISION, "the next image begins with a login of its own"


@ALL
def test_an_image_without_a_user(habits, server, other):
    server.image("sha-abc1234")
    simulate(habits, server, other)
    if habits.anonymous:
        assert Registry(server.host).resolve("k/app", "sha-abc1234")["revision"] == REVISION
    else:
        assert "refuses access to image k/app without a user (HTTP 40" in refused(Registry(server.host))


@ALL
def test_the_other_form_of_a_commit_stands_on_the_second_page(habits, server, other):
    server.image("sha-abc1234def56")
    path = "/v2/k/app/tags/list?last=latest&n=1000"
    link = habits.link.format(host=server.host, path=path) + '; rel="next"'
    server.answers["/v2/k/app/tags/list?n=1000"] = (200, {"Link": link}, {"name": "k/app", "tags": ["latest"]})
    server.answers[path] = (200, {}, {"name": "k/app", "tags": ["sha-abc1234def56", "sha-abc1234def56-amd64"]})
    simulate(habits, server, other)
    assert Registry(server.host, "u", "p").resolve("k/app", "sha-abc1234")["tag"] == "sha-abc1234def56"


@ALL
def test_a_repository_that_is_not_there(habits, server, other):
    simulate(habits, server, other)
    said = refused(Registry(server.host, "u", "p"))
    if habits.absent == 404:
        assert f"Registry {server.host} has no image k/app" in said
    else:
        assert f"refuses access to image k/app as user u (HTTP {habits.absent})" in said, "no other word is said of it"


@ALL
def test_a_tag_that_is_not_there_and_a_login_that_may_not_list(habits, server, other):
    server.image("latest")
    server.answers["/v2/k/app/tags/list"] = (403, {}, error("DENIED"))
    simulate(habits, server, other)
    assert "has no tag sha-abc1234 of image k/app, and does not list those that it has (HTTP 403)" in refused(
        Registry(server.host, "u", "p")
    )


@ALL
def test_a_wrong_password(habits, server, other):
    server.image("sha-abc1234")
    simulate(habits, server, other)
    assert "refuses access to image k/app as user u (HTTP 40" in refused(Registry(server.host, "u", "wrong"))


@ALL
def test_too_many_requests_pass(habits, server, other, naps):
    server.image("sha-abc1234")
    good = simulate(habits, server, other)
    usual, good[TAG] = good[TAG], (429, habits.busy, error("TOOMANYREQUESTS"))

    def pause(seconds):
        naps.append(seconds)
        good[TAG] = usual

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ansible.module_utils.rollout.io.clock.sleep", pause)
        assert Registry(server.host, "u", "p").resolve("k/app", "sha-abc1234")["revision"] == REVISION
    assert naps == [3 if habits.busy else 2]

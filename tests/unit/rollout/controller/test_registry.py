"""The registry client against a real server that speaks as much of the distribution API as is asked."""

from __future__ import annotations

import base64
import contextlib
import socket
import time

import pytest
from ansible.module_utils.rollout.controller import registry, registry_session
from ansible.module_utils.rollout.controller.registry import Registry
from ansible.module_utils.rollout.controller.registry_session import MissingError
from ansible.module_utils.rollout.errors import RolloutError, outcome
from ansible.module_utils.rollout.io import http_request
from ansible.module_utils.rollout.io.http_request import NoAnswerError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_registry import D1, D2, D3, MANIFEST, REVISION, digest, encoded

pytestmark = pytest.mark.usefixtures("naps")

PULL = "repository:k/app:pull"


def refused(asked, tag="v1"):
    with pytest.raises(RolloutError) as error:
        asked.resolve("k/app", tag)
    return str(error.value)


def test_a_plain_manifest(server):
    known = server.image("v1")
    assert Registry(server.host).resolve("k/app", "v1") == {
        "tag": "v1",
        "digest": known,
        "revision": REVISION,
        "platforms": {"linux/amd64": [{"diff_id": D1, "size": 100}, {"diff_id": D2, "size": 20}]},
    }


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_a_tag_of_which_a_part_is_gone(server, kind):
    one = server.image()
    server.index("v1", (one, "linux", "amd64"))
    gone = f"/v2/k/app/manifests/{one}" if kind == "manifests" else server.blob
    del server.answers[gone]
    assert refused(Registry(server.host)) == (
        f"Registry {server.host} has tag v1 of image k/app, but not all of it: {gone.rpartition('/')[2]} is gone (a clean-up?). "
        "Build and push it again (make images SHA=…), or choose another."
    )


def test_an_index_with_an_attestation(server):
    one, two = server.image(), server.image("", "arm64", None, [(D3, 7)])
    known = server.index("v1", (one, "linux", "amd64"), (two, "linux", "arm64"), (D3, "unknown", "unknown"))
    found = Registry(server.host).resolve("k/app", "v1")
    assert found["digest"] == known, "the index's own, not that of a platform"
    assert found["revision"] == REVISION
    assert set(found["platforms"]) == {"linux/amd64", "linux/arm64"}
    assert found["platforms"]["linux/arm64"] == [{"diff_id": D3, "size": 7}]


def test_an_index_of_too_many_images_costs_no_request(server):
    server.index("v1", *[(D1, "linux", "amd64")] * 65)
    assert "as no image can be: its index lists more than 64 images" in refused(Registry(server.host))
    assert len(server.seen) == 1


def test_no_label(server):
    server.image("v1", revision=None)
    assert Registry(server.host).resolve("k/app", "v1")["revision"] is None


def test_a_label_that_is_not_a_commit_is_none(server):
    server.image("v1", revision="abc1234\x1b]0;owned\x07")
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
        f"Registry {server.host} has no image k/app (asked for {server.host}/k/app:v1). Correct its name in the "
        "Compose file, or build and push it (make images)."
    )


COMMIT = REVISION[:12]


def test_a_tag_is_asked_for_first_and_no_list(server):
    server.image("sha-abc1234")
    Registry(server.host).resolve("k/app", "sha-abc1234")
    assert [path for path, _authorization in server.seen] == ["/v2/k/app/manifests/sha-abc1234", server.blob]


@pytest.mark.parametrize(
    ("tags", "asked", "found"),
    [
        ([f"sha-{COMMIT}", "latest"], "sha-abc1234", f"sha-{COMMIT}"),
        (["sha-abc1234", "latest"], f"sha-{COMMIT}", "sha-abc1234"),
        # Of another processor, or of a build that is signed: not another commit.
        ([f"sha-{COMMIT}", f"sha-{COMMIT}-amd64", f"sha-{COMMIT}-arm64", f"sha-{COMMIT}.sig"], "sha-abc1234", f"sha-{COMMIT}"),
        # Two forms of one commit, of which neither is the one that is asked for.
        (["sha-abc1234", f"sha-{COMMIT}"], f"sha-{COMMIT[:9]}", f"sha-{COMMIT}"),
    ],
)
def test_another_form_of_a_commit_that_is_absent(server, tags, asked, found):
    for tag in tags:
        server.image(tag)
    server.answers["/v2/k/app/tags/list"] = (200, {}, {"tags": tags})
    assert Registry(server.host).resolve("k/app", asked)["tag"] == found


@pytest.mark.parametrize(
    ("tags", "asked", "found"),
    [
        (["x-sha-abc1234-cuda"], "sha-abc1234", "sha-abc1234"),
        ([f"x-sha-{COMMIT}-cuda", "x-sha-abc1234"], "sha-abc1234", f"sha-{COMMIT}"),
        (["x-sha-abc1234-cuda", f"sha-{COMMIT}-cuda"], f"sha-{COMMIT}", "sha-abc1234"),
    ],
)
def test_a_tag_between_a_prefix_and_a_suffix(server, tags, asked, found):
    for tag in tags:
        server.image(tag)
    server.answers["/v2/k/app/tags/list"] = (200, {}, {"tags": tags})
    resolved = Registry(server.host).resolve("k/app", asked, (), "x-", "-cuda")
    assert (resolved["tag"], resolved["revision"]) == (found, REVISION)


@pytest.mark.parametrize("tags", [["sha-abc1234"], ["x-sha-abc1234", "sha-abc1234-cuda"], ["x-cuda", "x--cuda"]])
def test_what_has_not_both_is_another_image(server, tags):
    server.answers["/v2/k/app/tags/list"] = (200, {}, {"tags": tags})
    with pytest.raises(RolloutError, match=r"has no tag x-sha-abc1234-cuda of image k/app\. Tags there that are nearest: "):
        Registry(server.host).resolve("k/app", "sha-abc1234", (), "x-", "-cuda")


def test_what_a_tag_means_now(server):
    digest = server.image("17")
    assert Registry(server.host).digest("k/app", "17") == digest
    with pytest.raises(MissingError):
        Registry(server.host).digest("k/app", "18")


@pytest.mark.parametrize("headers", [{}, {"Docker-Content-Digest": "sha256:no"}])
def test_a_registry_that_does_not_say_what_a_tag_means(server, headers):
    server.answers["/v2/k/app/manifests/17"] = (200, headers, "{}")
    assert Registry(server.host).digest("k/app", "17") == ""


def test_a_commit_that_means_several_tags_is_refused(server):
    server.answers["/v2/k/app/tags/list"] = (200, {}, {"tags": ["sha-abc12345", "sha-abc12346", "sha-abc12346-amd64"]})
    assert refused(Registry(server.host), "sha-abc1234") == (
        "sha-abc1234 means several tags of image k/app: sha-abc12345, sha-abc12346. Give more digits."
    )


def test_of_very_many_tags_that_a_commit_means_the_nearest_are_named(server):
    server.answers["/v2/k/app/tags/list"] = (200, {}, {"tags": [f"sha-abc1234{n:05x}" for n in range(1000)]})
    assert refused(Registry(server.host), "sha-abc1234").endswith(
        ": sha-abc123400000, sha-abc123400001, sha-abc123400002, sha-abc123400003, sha-abc123400004. Give more digits."
    )


def test_of_a_list_that_is_not_whole_a_commit_means_its_own_tag_alone(server):
    more = {"Link": '</v2/k/app/tags/gone>; rel="next"'}
    server.answers["/v2/k/app/tags/list"] = (200, more, {"tags": ["sha-abc12345"]})
    assert "has no tag sha-abc1234 of image k/app" in refused(Registry(server.host), "sha-abc1234")


@pytest.mark.parametrize("status", [400, 401, 403, 405])
def test_a_login_that_may_not_list_tags(server, status):
    server.image("sha-abc1234")
    server.answers["/v2/k/app/tags/list"] = (status, {}, "{}")
    assert Registry(server.host).resolve("k/app", "sha-abc1234")["revision"] == REVISION
    assert refused(Registry(server.host), f"sha-{COMMIT}") == (
        f"Registry {server.host} has no tag sha-{COMMIT} of image k/app, and does not list those that it has (HTTP {status}). Give "
        "the tag as it was pushed, or build and push it (make images SHA=…)."
    )


def test_only_the_hosts_platforms_are_asked_for(server):
    one, two = server.image(), server.image("", "arm64", None, [(D3, 7)])
    server.index("v1", (two, "linux", "arm64"), (one, "linux", "amd64"), (D2, "linux", "s390x"))
    found = Registry(server.host).resolve("k/app", "v1", ["linux/amd64"])
    assert found["revision"] == REVISION
    assert list(found["platforms"].items()) == [
        ("linux/amd64", [{"diff_id": D1, "size": 100}, {"diff_id": D2, "size": 20}]),
        ("linux/arm64", []),
        ("linux/s390x", []),
    ]
    assert len(server.seen) == 3


def test_of_an_index_without_the_hosts_platform_all_is_told(server):
    server.index("v1", (server.image("", "arm64"), "linux", "arm64"))
    assert Registry(server.host).resolve("k/app", "v1", ["linux/amd64"])["platforms"].keys() == {"linux/arm64"}


def test_an_entry_without_a_platform_is_of_the_one_that_its_configuration_names(server):
    one, two = server.image(), server.image("", "arm64", None, [(D3, 7)])
    server.index("v1", {"digest": one}, {"digest": two, "platform": None}, {"digest": D3, "artifactType": "application/x"})
    found = Registry(server.host).resolve("k/app", "v1", ["linux/amd64"])
    assert (found["revision"], found["platforms"].keys()) == (REVISION, {"linux/amd64", "linux/arm64"})


def test_an_entry_without_a_platform_that_is_no_image_is_left_out(server):
    signature = server.manifest(
        D3,
        {
            "mediaType": MANIFEST,
            "config": {"digest": D1, "mediaType": "application/vnd.oci.empty.v1+json"},
            "layers": [{"size": 1}],
        },
    )
    server.answers[f"/v2/k/app/manifests/{signature}"] = server.answers.pop(f"/v2/k/app/manifests/{D3}")
    server.index("v1", {"digest": signature}, (server.image(), "linux", "amd64"))
    assert Registry(server.host).resolve("k/app", "v1")["platforms"].keys() == {"linux/amd64"}


def test_tags_over_all_pages(server):
    more = {"Link": '</v2/k/app/tags/list?n=1000&last=b>; rel="next"'}
    server.answers["/v2/k/app/tags/list?n=1000"] = (200, more, {"tags": ["a", "b"]})
    server.answers["/v2/k/app/tags/list?n=1000&last=b"] = (200, {}, {"tags": ["c"]})
    assert Registry(server.host).tags("k/app") == (["a", "b", "c"], True)


def test_pages_that_never_end_do_end(server):
    server.answers["/v2/k/app/tags/list"] = (
        200,
        {"Link": '</v2/k/app/tags/list?n=1000>; rel="next"'},
        {"tags": ["a"]},
    )
    found, complete = Registry(server.host).tags("k/app")
    assert (len(found), complete) == (100, False)


def test_tags_that_never_end_do_end(server, monkeypatch):
    monkeypatch.setattr(registry, "_TAGS", 5)
    more = {"Link": '</v2/k/app/tags/list?n=1000>; rel="next"'}
    server.answers["/v2/k/app/tags/list"] = (200, more, {"tags": ["a", "b"]})
    assert Registry(server.host).tags("k/app") == (["a", "b", "a", "b", "a"], False)
    assert len(server.seen) == 3


def test_a_page_that_is_gone_leaves_the_list_incomplete(server):
    more = {"Link": '</v2/k/app/tags/gone>; rel="next"'}
    server.answers["/v2/k/app/tags/list"] = (200, more, {"tags": ["a"]})
    assert Registry(server.host).tags("k/app") == (["a"], False)


@pytest.mark.parametrize(
    "link", ["//{0}/more", "http://{0}/more", "@{0}/more", ":{1}/more", "file:///more", "http://u:p@{0}/more"]
)
def test_the_next_page_is_asked_of_the_same_host(server, other, link):
    server.image("v1")
    bearer(server)
    server.answers["/v2/k/app/tags/list"] = (
        200,
        {"Link": f'<{link.format(other.host, other.port)}>; rel="next"'},
        {"tags": ["a"]},
    )
    assert Registry(server.host, "u", "p").tags("k/app")[0] == ["a"]
    assert len(server.seen) == 2
    assert other.seen == []


@pytest.mark.parametrize("link", ["<" * 60000, "<a>;" + " " * 60000, "<" + "a" * 60000, "<a>;" * 15000])
def test_a_link_that_is_hard_to_read_is_read_at_once(server, link):
    server.answers["/v2/k/app/tags/list"] = (200, {"Link": link}, {"tags": ["a"]})
    began = time.monotonic()
    assert Registry(server.host).tags("k/app") == (["a"], True)
    assert time.monotonic() - began < 2


def test_what_is_not_a_tag_is_left_out(server):
    bad = [
        "sha-abc1234/../../etc",
        "sha-abc1234\x1b]0;owned\x07",
        "sha-abc1234\n",
        "-a",
        "a" * 129,
        "",
        None,
        7,
        ["a"],
        {"a": 1},
        "\ud800",
    ]
    server.answers["/v2/k/app/tags/list"] = (200, {}, {"tags": [*bad, "good"]})
    assert Registry(server.host).tags("k/app") == (["good"], True)


def bearer(server, token_answer=None, realm=""):
    """The server wants a token, which /token gives to user u with password p."""
    basic = "Basic " + base64.b64encode(b"u:p").decode()

    def guarded(answer):
        def check(request):
            if request.headers.get("Authorization") == "Bearer t0ken":
                return answer
            challenge = f'Bearer realm="{realm or f"http://{server.host}/token"}",service="reg",scope="{PULL}"'
            return 401, {"WWW-Authenticate": challenge}, "{}"

        return check

    def token(request):
        return (200, {}, {"token": "t0ken"}) if request.headers.get("Authorization") == basic else (401, {}, "{}")

    server.answers = {path: guarded(answer) for path, answer in server.answers.items()}
    server.answers["/token"] = token_answer or token


def test_a_bearer_challenge_is_answered_once(server):
    server.image("v1")
    bearer(server)
    assert Registry(server.host, "u", "p").resolve("k/app", "v1")["revision"] == REVISION
    asked = [path for path, _authorization in server.seen if path.startswith("/token")]
    assert asked == ["/token?service=reg&scope=repository%3Ak%2Fapp%3Apull"]


def test_a_public_image_needs_no_user(server):
    server.image("v1")
    bearer(server, (200, {}, {"access_token": "t0ken"}))
    assert Registry(server.host).resolve("k/app", "v1")["revision"] == REVISION
    assert not any(a and a.startswith("Basic") for _path, a in server.seen)


@pytest.mark.parametrize(("user", "whose"), [("", "without a user"), ("mallory", "as user mallory")])
def test_access_refused(server, user, whose):
    server.image("v1")
    bearer(server)
    sentence = refused(Registry(server.host, user, "canary"))
    assert sentence == (
        f"Registry {server.host} refuses access to image k/app {whose} (HTTP 401): set rollout_registry_username and "
        "rollout_registry_password (vaulted) to a token that may read it."
    )


def test_a_token_that_does_not_help_is_refused(server):
    server.image("v1")
    bearer(server, (200, {}, {"token": "other"}))
    assert "refuses access to image k/app as user u (HTTP 401)" in refused(Registry(server.host, "u", "p"))


def test_basic(server):
    server.image("v1")
    answer = server.answers["/v2/k/app/manifests/v1"]
    server.answers["/v2/k/app/manifests/v1"] = lambda request: (
        answer if request.headers.get("Authorization") == "Basic dTpw" else (401, {"WWW-Authenticate": "Basic realm=x"}, "")
    )
    assert Registry(server.host, "u", "p").resolve("k/app", "v1")["revision"] == REVISION
    assert "without a user (HTTP 401)" in refused(Registry(server.host))


FOREIGN = "{0} as its token service for image k/app: a password goes over https, or over http to the registry itself."


@pytest.mark.parametrize(
    ("realm", "shown"),
    [
        ("http://{other}/token", "http://{other}"),
        ("http://{host}@{other}/token", "something that is not a URL"),
        ("http://{host}.example/token", "something that is not a URL"),
        ("http://{host}0/token", None),
        ("http://localhost:{port}/token", "http://localhost:{port}"),
        ("http://127.0.0.1/token", "http://127.0.0.1"),
        ("file:///etc/passwd", "something that is not a URL"),
        ("ftp://{other}/token", "something that is not a URL"),
        ("//{other}/token", "something that is not a URL"),
        ("", "something that is not a URL"),
        ("http://[::1/token", "something that is not a URL"),
        ("http://127.0.0.1:99999/token", "something that is not a URL"),
        ("http://127.0.0.1%3a{port}/token", "something that is not a URL"),
        ("http://{host}\\@{other}/token", "something that is not a URL"),
    ],
)
def test_credentials_go_to_no_foreign_plain_token_service(server, other, realm, shown):
    realm, shown = ((one or "").format(host=server.host, other=other.host, port=server.port) for one in (realm, shown))
    server.answers["/v2/k/app/manifests/v1"] = (401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'}, "")
    other.answers["/token"] = (200, {}, {"token": "t0ken"})
    assert FOREIGN.format(shown) in refused(Registry(server.host, "u", "p"))
    assert other.seen == []
    assert [authorization for _path, authorization in server.seen] == [None]


def test_a_registry_without_a_port_is_not_the_beginning_of_another(other):
    with pytest.raises(RolloutError, match=f"names http://localhost:{other.port} as its token service"):
        Registry("localhost", "u", "p").session._token(
            "k/app", {"realm": f"http://localhost:{other.port}/token"}, {"Authorization": "canary"}
        )
    assert other.seen == []


def test_no_password_goes_from_https_to_http(other):
    """Not to the same host either."""
    with pytest.raises(RolloutError, match="a password goes over https"):
        Registry("registry.example", "u", "p").session._token(
            "k/app", {"realm": "http://registry.example/token"}, {"Authorization": "canary"}
        )


def test_the_host_of_a_realm_is_compared_as_a_host(server):
    server.image("v1")
    bearer(server, realm=f"HTTP://{server.host}/token")
    assert Registry(server.host, "u", "p").resolve("k/app", "v1")["revision"] == REVISION


def test_a_realm_may_have_a_query(server):
    server.image("v1")
    bearer(server, realm=f"http://{server.host}/token?account=a")
    assert Registry(server.host, "u", "p").resolve("k/app", "v1")["revision"] == REVISION
    assert server.seen[1][0] == "/token?account=a&service=reg&scope=repository%3Ak%2Fapp%3Apull"


@pytest.mark.parametrize("challenge", ["", "Bearer " + "a" * 60000, "Digest realm=x", "Negotiate"])
def test_a_challenge_that_cannot_be_answered(server, challenge):
    server.answers["/v2/k/app/manifests/v1"] = (401, {"WWW-Authenticate": challenge}, "")
    began = time.monotonic()
    assert "image k/app" in refused(Registry(server.host, "u", "p"))
    assert time.monotonic() - began < 2
    assert [authorization for _path, authorization in server.seen if authorization] == []


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, "<html>"),
        (200, {"Content-Length": "99"}, "{"),
        (200, {}, {}),
        (200, {}, []),
        (200, {}, {"token": 7}),
        (200, {}, {"token": "a\r\nX: y"}),
        (200, {}, {"token": "t" * 65536}),
        (200, {}, "[" * 10000),
    ],
)
def test_a_token_service_that_talks_nonsense(server, answer):
    server.image("v1")
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


@pytest.mark.parametrize("said", [D1, "sha256:1", "md5:" + "0" * 64, "sha512:" + "0" * 128, "x" * 60000])
def test_a_header_that_names_another_digest(server, said):
    known = server.image("v1")
    status, _headers, body = server.answers["/v2/k/app/manifests/v1"]
    server.answers["/v2/k/app/manifests/v1"] = (status, {"Docker-Content-Digest": said}, body)
    assert refused(Registry(server.host)) == (
        f"Registry {server.host} answers for k/app:v1 with something whose digest is {known}, not "
        f"{said if said == D1 else 'what its header says'}: it is damaged, or is not what was pushed. Build and push it again, or look at "
        "what answers."
    )


def test_a_header_that_is_missing_is_nothing(server):
    known = server.image("v1")
    status, _headers, body = server.answers["/v2/k/app/manifests/v1"]
    server.answers["/v2/k/app/manifests/v1"] = (status, {}, body)
    assert Registry(server.host).resolve("k/app", "v1")["digest"] == known


def test_an_image_of_an_index_that_is_another_one(server):
    one, another = server.image(), server.image("", revision="0" * 40)
    server.index("v1", (one, "linux", "amd64"))
    server.answers[f"/v2/k/app/manifests/{one}"] = server.answers[f"/v2/k/app/manifests/{another}"]
    assert f"answers for k/app@{one} with something whose digest is {another}, not {one}" in refused(Registry(server.host))
    status, _headers, body = server.answers[f"/v2/k/app/manifests/{another}"]
    server.answers[f"/v2/k/app/manifests/{one}"] = (status, {}, body)
    assert f"answers for k/app@{one} with something whose digest is {another}, not {one}" in refused(Registry(server.host))


def test_labels_of_a_configuration_that_is_another_one_are_not_believed(server):
    server.image("v1")
    status, headers, config = server.answers[server.blob]
    server.answers[server.blob] = (status, headers, {**config, "more": 1})
    assert f"not {server.blob.rpartition('/')[2]}: it is damaged" in refused(Registry(server.host))


def test_an_image_as_no_image_can_be(server):
    server.image("v1", layers=((D1, "100"),))
    assert refused(Registry(server.host)) == (
        f"Registry {server.host} describes image k/app as no image can be: the size of a layer is not a number of bytes. Build and push "
        "it again, or look at what answers."
    )


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([D1, "linux", "sha512:1"]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["config", "layers", "manifests", "mediaType", "digest", "size", "platform", "os", "architecture", "rootfs"]
            )
            | st.sampled_from(["diff_ids", "Labels", "org.opencontainers.image.revision", "tags", "token"]),
            below,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(document=DOCUMENTS, place=st.sampled_from(["tag", "entry", "config", "tags", "token"]))
def test_whatever_a_document_says_the_answer_is_a_sentence_or_an_image(document, place, server):
    server.answers.clear()
    config = document if place == "config" else {"os": "linux"}
    server.image("v1", layers=(), configuration=config or {"os": "linux"})
    if place == "tag":
        server.manifest("v1", document)
    elif place == "entry":
        server.index("v1", (server.manifest(digest(document), document), "linux", "amd64"))
    elif place == "tags":
        server.answers = {"/v2/k/app/tags/list": (200, {}, document)}
    elif place == "token":
        bearer(server, (200, {}, document))
    found = outcome(lambda: Registry(server.host).resolve("k/app", "v1"))
    if "failed" in found:
        assert f"egistry {server.host}" in found["msg"], "and not a defect"
    else:
        assert found["digest"] == digest(server.answers["/v2/k/app/manifests/v1"][2])
        assert all(type(layer["size"]) is int for layers in found["platforms"].values() for layer in layers)


@pytest.mark.parametrize(
    "body", ["<html>log in</html>", "[1]", b"\xff", b'{"a":' * 100000 + b"1" + b"}" * 100000, '{"a": %s}' % ("9" * 5000)]
)
@pytest.mark.parametrize("place", ["tag", "tags", "config"])
def test_nonsense_is_a_sentence(server, place, body):
    server.image("v1", layers=(), configuration=body if place == "config" else None)
    if place == "tags":
        server.answers = {"/v2/k/app/tags/list": (200, {}, body)}
    elif place == "tag":
        server.manifest("v1", body)
    assert refused(Registry(server.host)) == (
        f"Registry {server.host} answers for image k/app with something that is not a JSON document; a proxy or a login "
        "page may be in the way."
    )


def test_an_answer_that_breaks_off_is_a_sentence(server):
    server.answers["/v2/k/app/manifests/v1"] = (200, {"Content-Length": "99"}, "{")
    assert "does not answer (its answer broke off)" in refused(Registry(server.host))


def drips(server):
    def answer(request):
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            while not server.hold.wait(0.01):
                request.wfile.write(b" ")
        return 200, {}, ""

    return answer


@pytest.mark.parametrize("place", ["/v2/k/app/manifests/v1", "/v2/k/app/tags/list", "blob", "/token"])
def test_what_drips_ends_in_time(server, place):
    server.image("v1")
    if "tags" in place:
        server.answers.clear()
    if place == "/token":
        bearer(server, drips(server))
    else:
        server.answers[server.blob if place == "blob" else place] = drips(server)
    began = time.monotonic()
    assert f"egistry {server.host} does not answer (timed out)" in refused(Registry(server.host, timeout=0.2))
    assert time.monotonic() - began < 2


def test_all_answers_together_end_in_time(server, monkeypatch):
    """Each of them comes in time."""
    monkeypatch.setattr(registry_session, "_WHOLE", 0.1)
    more = {"Link": '</v2/k/app/tags/list>; rel="next"'}
    server.answers["/v2/k/app/tags/list"] = lambda request: (200 + bool(server.hold.wait(0.05)), more, {"tags": ["a"]})
    began = time.monotonic()
    sentence = refused(Registry(server.host, timeout=10))
    assert "does not answer (1 s in all are over)" in sentence or "does not answer (timed out)" in sentence
    assert time.monotonic() - began < 5
    assert 2 < len(server.seen) < 30


@pytest.mark.parametrize("place", ["manifest", "tags", "config"])
@pytest.mark.parametrize("more", [0, 1])
def test_a_document_may_be_as_long_as_the_limit(server, place, more):
    filler = {"os": "linux", "filler": ""}
    filler["filler"] = "x" * (4 * 1024 * 1024 - len(encoded(filler)) + more)
    server.image("v1", layers=(), configuration=filler if place == "config" else None)
    if place == "manifest":
        server.manifest("v1", filler)
    elif place == "tags":
        server.answers = {"/v2/k/app/tags/list": (200, {}, filler)}
    if place == "config" and not more:
        assert Registry(server.host).resolve("k/app", "v1")["platforms"] == {"linux/amd64": []}
    else:
        assert ("does not answer (its answer is longer than 4096 KiB)" in refused(Registry(server.host))) is bool(more)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("file:///etc/passwd", "an address, which is not one of http or https"),
        ("ftp://{0}/x", "an address, which is not one of http or https"),
        ("http://u:p@{0}/x", "an address, which is not one of http or https"),
        ("http://[::1/", "an address, which is not one of http or https"),
        ("http://127.0.0.1:99999/x", "an address, which is not one of http or https"),
        ("http://{0}\x1b]0;x\x07/", "an address, which is not one of http or https"),
        ("http://{0}/again", "http://{0}, after 5 others"),
        ("http://{0}/login", "http://{0}, which asks for a login"),
    ],
)
def test_where_a_registry_may_not_send_a_request_on_to(server, other, location, shown):
    location, shown = location.format(other.host), shown.format(other.host)
    server.answers["/v2/k/app/manifests/v1"] = (307, {"Location": location}, "")
    other.answers["/again"] = (302, {"Location": "/again"}, "")
    for challenge in ("Basic realm=x", f'Bearer realm="http://{other.host}/token"'):
        other.answers["/login"] = (401, {"WWW-Authenticate": challenge}, "")
        assert refused(Registry(server.host, "u", "p")) == (
            f"Registry {server.host} sends the request for image k/app on to {shown}. Name the registry that has the image in "
            "rollout_registry."
        )
    assert [authorization for _path, authorization in server.seen + other.seen if authorization] == []
    assert not any("token" in path for path, _authorization in other.seen)


def test_no_request_is_sent_on_from_https_to_http():
    with pytest.raises(RolloutError, match=r"on to http://registry\.example, which is without TLS"):
        Registry("registry.example").session._onward("k/app", "https://registry.example/x", "http://registry.example/x")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_login_is_not_sent_on_to_another_port_nor_back_from_there(server, other, code):
    server.image("v1")
    manifest = "/v2/k/app/manifests/v1"
    server.answers["/back"] = server.answers[manifest]
    server.answers[manifest] = (code, {"Location": f"http://{other.host}/on"}, "")
    other.answers["/on"] = (code, {"Location": f"http://{server.host}/back"}, "")
    open_to_all = server.answers.pop("/back")
    bearer(server)
    server.answers["/back"] = open_to_all
    assert Registry(server.host, "u", "p").resolve("k/app", "v1")["revision"] == REVISION
    assert other.seen == [("/on", None)]
    assert ("/back", None) in server.seen


def test_a_token_service_that_sends_on_hands_no_password_on(server, other):
    server.image("v1")
    bearer(server, (307, {"Location": f"http://{other.host}/token"}, ""))
    other.answers["/token"] = (200, {}, {"token": "t0ken"})
    Registry(server.host, "u", "p").resolve("k/app", "v1")
    assert other.seen == [("/token", None)]


@pytest.mark.parametrize("host", ["registry.example:99999", "127.0.0.1:99999"])
def test_a_port_that_cannot_be_is_a_sentence(host):
    assert f"Registry {host} does not answer (" in refused(Registry(host, insecure=True))


def test_a_blob_on_another_host_is_fetched_without_the_credentials(server, other):
    server.image("v1")
    blob = server.blob
    other.answers["/store"] = server.answers[blob]
    server.answers[blob] = (307, {"Location": f"http://{other.host}/store"}, "")
    bearer(server)
    assert Registry(server.host, "u", "p").resolve("k/app", "v1")["revision"] == REVISION
    assert other.seen == [("/store", None)]


def test_a_blob_elsewhere_on_the_same_host_keeps_them(server):
    server.image("v1")
    blob = server.blob
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
def test_base(host, insecure, base, monkeypatch):
    def silent(*_arguments, **_options):
        raise NoAnswerError("Connection refused")

    monkeypatch.setattr(http_request, "send", silent)
    assert Registry(host, insecure=insecure).session.base == base


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_proxy_is_not_asked_for_this_machine(server, monkeypatch, name):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    server.image("v1")
    assert Registry(f"{name}:{server.port}").resolve("k/app", "v1")["revision"] == REVISION


def test_a_proxy_is_asked_for_others(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(RolloutError, match="Connection refused"):
        Registry("registry.example:5000", insecure=True).resolve("k/app", "v1")

"""Which release is meant, and what its images are: by reference, at one registry or several."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.module_utils.rollout.controller import target
from ansible.module_utils.rollout.controller.registry import Registry
from ansible.module_utils.rollout.controller.registry_session import MissingError
from ansible.module_utils.rollout.controller.target import PLACEHOLDER
from ansible.module_utils.rollout.errors import RolloutError

REVISION = "abc1234def5678abc1234def5678abc1234def56"
LONG = f"sha-{REVISION}"


def digest(letter):
    return "sha256:" + letter * 64


class Fleet:
    """What the registries have: repository -> tag -> (digest, revision). ``logins``: how each was asked; ``asked``: for what."""

    def __init__(self):
        self.has, self.logins, self.asked = {}, {}, []


@pytest.fixture
def registries(monkeypatch):
    fleet = Fleet()

    class Simulated(Registry):
        def __init__(self, host, *login):
            self.host = host
            self.session = SimpleNamespace(begin=lambda: None)
            fleet.logins.setdefault(host, []).append(login)

        def resolve(self, path, tag, platforms=(), before="", after=""):
            fleet.asked.append((f"{self.host}/{path}:{before}{tag}{after}", list(platforms)))
            tags = fleet.has.get(f"{self.host}/{path}", {})
            if before + tag + after not in tags:
                tag = self._other(path, tag, before, after)
            found, revision = tags[before + tag + after]
            return {"tag": tag, "digest": found, "revision": revision, "platforms": {}}

        def tags(self, path):
            return [*fleet.has.get(f"{self.host}/{path}", {})], True

        def digest(self, path, tag):
            if f"{self.host}/{path}" not in fleet.has:
                raise MissingError(path, 404)
            return fleet.has[f"{self.host}/{path}"][tag][0]

    monkeypatch.setattr(target, "Registry", Simulated)
    monkeypatch.setattr(target.logins, "found", lambda registry: ("", ""))
    return fleet


def find(**given):
    params = {name: spec.get("default") for name, spec in target.ARGUMENTS.items()}
    return target.find({**params, "files": "files-1234567", "variables": ["IMAGE_TAG"], **given})


def refused(**given):
    with pytest.raises(RolloutError) as error:
        find(**given)
    return str(error.value)


def follows(letter, revision=REVISION):
    return {"digest": digest(letter), "revision": revision, "platforms": {}, "now": True, "follows": True}


def stays(letter, **more):
    return {"digest": digest(letter), "revision": None, "platforms": {}, **more}


# Images that follow the release.


@pytest.mark.parametrize(
    ("asked", "tag"),
    [
        ({"sha": "abc1234"}, "sha-abc1234"),
        ({"sha": REVISION}, LONG),
        ({}, "latest"),
        ({"tag": "latest"}, "latest"),
        ({"tag": "sha-abc1234"}, "sha-abc1234"),
    ],
)
def test_the_tag_and_the_label_say_which_release_it_is(registries, asked, tag):
    registries.has["r.io/web"] = {"sha-abc1234": (digest("1"), REVISION), "latest": (digest("1"), REVISION)}
    assert find(following=[f"r.io/web:{PLACEHOLDER}"], platforms=["linux/arm64"], **asked) == {
        "changed": False,
        "release": "sha-abc1234",
        "tag": tag,
        # As Compose will read it.
        "images": {"r.io/web:sha-abc1234": follows("1")},
        "names": {},
    }
    assert registries.asked == [(f"r.io/web:{tag}", ["linux/arm64"])]


def test_a_suffix_beside_the_plain_tag_is_one_release(registries):
    registries.has["r.io/ml"] = {"v2": (digest("1"), None), "v2-cuda": (digest("2"), None), "v2-rocm": (digest("3"), None)}
    found = find(following=[f"r.io/ml:{PLACEHOLDER}-cuda", f"r.io/ml:{PLACEHOLDER}"], tag="v2")
    assert found["release"] == "v2"
    assert found["images"] == {"r.io/ml:v2": follows("1", None), "r.io/ml:v2-cuda": follows("2", None)}


def test_a_suffix_alone_names_the_release_without_it(registries):
    registries.has["r.io/ml"] = {"v2-cuda": (digest("2"), None), "v2": (digest("1"), None)}
    found = find(following=[f"r.io/ml:{PLACEHOLDER}-cuda"], tag="v2")
    assert (found["release"], found["images"]) == ("v2", {"r.io/ml:v2-cuda": follows("2", None)})


def test_a_tag_between_a_prefix_and_a_suffix(registries):
    registries.has["r.io/ml"] = {"gpu-v2-cuda": (digest("2"), None)}
    found = find(following=[f"r.io/ml:gpu-{PLACEHOLDER}-cuda"], tag="v2")
    assert (found["release"], found["images"]) == ("v2", {"r.io/ml:gpu-v2-cuda": follows("2", None)})


@pytest.mark.parametrize("typed", ["abc1234", REVISION, REVISION[:12]])
@pytest.mark.parametrize(("plain", "suffixed"), [("sha-abc1234", "sha-abc1234"), (LONG, LONG), ("sha-abc1234", LONG)])
def test_the_forms_of_a_commit_are_one_release_also_with_a_suffix(registries, typed, plain, suffixed):
    registries.has = {
        "r.io/web": {plain: (digest("1"), REVISION)},
        "r.io/ml": {f"{suffixed}-cuda": (digest("2"), REVISION), "sha-0000000-cuda": (digest("3"), None)},
    }
    found = find(following=[f"r.io/ml:{PLACEHOLDER}-cuda", f"r.io/web:{PLACEHOLDER}"], sha=typed)
    assert found["release"] == plain
    assert found["images"] == {f"r.io/web:{plain}": follows("1"), f"r.io/ml:{plain}-cuda": follows("2")}


def test_a_suffix_that_is_nowhere_is_refused_with_the_whole_tag(registries):
    registries.has["r.io/ml"] = {"v2": (digest("1"), None), "v1-cuda": (digest("2"), None)}
    assert refused(following=[f"r.io/ml:{PLACEHOLDER}-cuda", f"r.io/ml:{PLACEHOLDER}"], tag="v2") == (
        "Registry r.io has no tag v2-cuda of image ml. Tags there that are nearest: v2, v1-cuda. Build and push it (make images "
        "SHA=…), or choose another."
    )


def test_two_releases_at_one_tag_are_refused(registries):
    registries.has = {"r.io/a/web": {"latest": (digest("1"), REVISION)}, "r.io/a/ml": {"latest-cuda": (digest("2"), "0" * 40)}}
    assert refused(following=[f"r.io/a/web:{PLACEHOLDER}", f"r.io/a/ml:{PLACEHOLDER}-cuda"]) == (
        "The images at tag latest are not one release: ml (…-cuda) is sha-0000000, web is sha-abc1234. A build is under way or "
        "failed half-way; name the release with -e sha=…"
    )


def test_a_latest_that_does_not_say_what_it_is_is_named_as_it_is_written(registries):
    registries.has["r.io/ml"] = {"latest-cuda": (digest("2"), None)}
    assert refused(following=[f"r.io/ml:{PLACEHOLDER}-cuda"]).startswith("r.io/ml:latest-cuda does not say which commit it is")


def test_a_tag_that_was_put_on_another_build_is_named_as_it_is_written(registries):
    registries.has["r.io/ml"] = {"sha-abc1234-cuda": (digest("2"), "0" * 40)}
    said = refused(following=[f"r.io/ml:{PLACEHOLDER}-cuda"], sha="abc1234")
    assert said.startswith("r.io/ml:sha-abc1234-cuda was built from commit 0000000, says its label")


def test_a_release_in_the_path_of_an_image(registries):
    registries.has["r.io/v2/web"] = {"latest": (digest("1"), None)}
    found = find(following=[f"r.io/{PLACEHOLDER}/web"], tag="v2")
    assert (found["release"], found["images"]) == ("v2", {"r.io/v2/web": follows("1", None)})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"sha": "xyz"}, "sha 'xyz' is not a commit: expected 7 to 40 characters 0-9 a-f"),
        ({"sha": "abc1234", "tag": "v1"}, "sha=abc1234 and tag=v1 are both given"),
        ({"tag": "a b"}, "tag 'a b' is not an image tag"),
        ({"following": [f"UPPER case/web:{PLACEHOLDER}"]}, f"'UPPER case/web:{PLACEHOLDER}' is not an image reference"),
    ],
)
def test_what_cannot_be_meant_is_refused(registries, given, sentence):
    assert refused(**{"following": [f"r.io/web:{PLACEHOLDER}"], **given}).startswith(sentence)


def test_all_that_is_wrong_with_all_images_is_said_at_once(registries):
    registries.has["r.io/web"] = {"v1": (digest("1"), None)}
    said = refused(
        following=[f"NO:{PLACEHOLDER}", f"r.io/gone:{PLACEHOLDER}", f"r.io/web:{PLACEHOLDER}"],
        fixed=["nobody/db:1", "A"],
        tag="v1",
    )
    assert [line.partition(" (")[0] for line in said.splitlines()] == [
        f"'NO:{PLACEHOLDER}' is not an image reference: expected [registry/]path[:tag][@sha256:…], lower case, for example "
        "ghcr.io/kpiteira/ktrdr-backend:sha-abc1234.",
        "Registry r.io has no image gone",
        "Registry docker.io has no image nobody/db",
        "'A' is not an image reference: expected [registry/]path[:tag][@sha256:…], lower case, for example "
        "ghcr.io/kpiteira/ktrdr-backend:sha-abc1234.",
    ]


# Images that do not.


def test_what_a_host_lacks_is_resolved_as_it_is_written(registries):
    registries.has = {
        "docker.io/library/postgres": {"17": (digest("1"), None)},
        "docker.io/grafana/grafana": {"latest": (digest("2"), None)},
        "nas:5000/x": {digest("3"): (digest("3"), None)},
    }
    fixed = ["grafana/grafana", "postgres:17", f"nas:5000/x:v1@{digest('3')}"]
    found = find(fixed=fixed)
    assert found["images"] == dict(zip(fixed, (stays("2"), stays("1"), stays("3"))))
    assert registries.asked[-1] == (f"nas:5000/x:{digest('3')}", []), "a digest in the file is what it is"


def test_what_is_refreshed_counts_whatever_a_host_has(registries):
    registries.has["docker.io/library/postgres"] = {"17": (digest("1"), None), "16": (digest("2"), None)}
    found = find(fixed=["postgres:16", "postgres:17"], refresh=["postgres:17"])
    assert found["images"] == {"postgres:16": stays("2"), "postgres:17": stays("1", now=True)}


def test_where_a_floating_tag_has_moved_is_only_told(registries):
    registries.has["docker.io/library/postgres"] = {"17": (digest("1"), None)}
    found = find(floating=["postgres:17", "gone/x", "NOT ONE"])
    assert found["images"] == {"postgres:17": {"digest": digest("1")}}
    assert {login[3] for login in registries.logins["docker.io"]} == {target.QUICK_S}, "nobody waits for it"


# Releases of files alone.


@pytest.mark.parametrize("tag", [None, "files-1234567"])
def test_without_an_image_that_follows_the_files_are_the_release(registries, tag):
    registries.has["docker.io/library/nextcloud"] = {"31": (digest("1"), None)}
    assert find(fixed=["nextcloud:31"], tag=tag) == {
        "changed": False,
        "release": "files-1234567",
        "tag": "",
        "images": {"nextcloud:31": stays("1")},
        "names": {},
    }


def test_files_that_are_not_here_any_more_are_refused(registries):
    assert refused(tag="files-0000000") == (
        "files-0000000 is a release of other files than those that are here, which make files-1234567. To roll these out: "
        "ansible-playbook rollout.yml. To bring the earlier ones back: ansible-playbook rollback.yml -e tag=files-0000000"
    )


@pytest.mark.parametrize(
    ("given", "typed", "variables"),
    [
        ({"sha": "abc1234"}, "sha=abc1234", "${IMAGE_TAG}"),
        ({"tag": "v2", "variables": ["IMMICH_VERSION", "IMAGE_TAG"]}, "tag=v2", "${IMAGE_TAG} or ${IMMICH_VERSION}"),
        ({"tag": "v2", "variables": []}, "tag=v2", "${IMAGE_TAG}"),
    ],
)
def test_a_release_that_no_image_follows_is_refused(registries, given, typed, variables):
    assert refused(fixed=["nextcloud:31"], **given) == (
        f"{typed} names a release, but no image in the Compose files has {variables} in its reference: it would be the same images "
        "whatever you type. Leave it out (a release of files alone), or write the variable into the image: web:${IMAGE_TAG}."
    )
    assert registries.asked == []


# Registries and their logins.


def test_each_registry_is_asked_with_its_own_login(registries, monkeypatch):
    docker = {"ghcr.io": ("docker", "canary-docker"), "docker.io": ("hub", "canary-hub")}
    monkeypatch.setattr(target.logins, "found", lambda registry: docker.get(registry, ("", "")))
    registries.has = {
        "ghcr.io/me/web": {"v1": (digest("1"), None)},
        "nas:5000/ml": {"v1": (digest("2"), None)},
        "r.io/db": {"1": (digest("3"), None)},
        "docker.io/library/redis": {"8": (digest("4"), None)},
    }
    find(
        following=[f"ghcr.io/me/web:{PLACEHOLDER}", f"nas:5000/ml:{PLACEHOLDER}"],
        fixed=["r.io/db:1", "redis:8"],
        tag="v1",
        registry="ghcr.io/me",
        username="ada",
        password="canary-ada",
        ca="/house.pem",
        timeout=7.0,
        registries={"nas:5000": {"username": "bob", "password": "canary-bob", "insecure": True}, "r.io": {"ca": "/other.pem"}},
    )
    assert registries.logins == {
        # The inventory's own registry, which docker's login does not beat.
        "ghcr.io": [("ada", "canary-ada", False, 7.0, "/house.pem")],
        "nas:5000": [("bob", "canary-bob", True, 7.0, "")],
        "r.io": [("", "", False, 7.0, "/other.pem")],
        "docker.io": [("hub", "canary-hub", False, 7.0, "")],
    }


def test_a_registry_that_is_named_beats_the_inventorys_own_of_that_host(registries):
    registries.has["ghcr.io/me/web"] = {"v1": (digest("1"), None)}
    login = {"username": "bob", "password": "canary-bob"}
    find(following=[f"ghcr.io/me/web:{PLACEHOLDER}"], tag="v1", registry="ghcr.io", username="ada", registries={"ghcr.io": login})
    assert registries.logins == {"ghcr.io": [("bob", "canary-bob", False, 20, "")]}


def test_all_passwords_are_secrets():
    logins = {"a": {"password": "canary-1"}, "b": {"username": "x"}, "c": {"password": "canary-2"}}
    assert target.secrets({"password": "canary-0", "registries": logins}) == ["canary-0", "canary-1", None, "canary-2"]


# Found before.


@pytest.mark.parametrize("action", ["rollout", "rollback"])
def test_a_refusal_that_was_found_before_is_the_answer(registries, action):
    found = find(action=action, refusal="Hosts disagree.", following=[f"r.io/web:{PLACEHOLDER}"])
    assert found == {"failed": True, "msg": "Hosts disagree."}
    assert registries.logins == {}

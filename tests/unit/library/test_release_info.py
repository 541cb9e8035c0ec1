from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller.registry import Registry

DIGEST = "sha256:" + "1" * 64
REVISION = "abc1234def5678abc1234def5678abc1234def56"
HERE = "rollout-00-the-tag-of-the-release"
IMAGES = {"following": [f"localhost:5000/{name}:{HERE}" for name in ("backend", "cpu")]}


@pytest.fixture
def registry(monkeypatch):
    """path -> tag -> revision; a tag is there in another form of its commit too."""
    content = {
        "backend": {"sha-abc1234": REVISION, "latest": REVISION},
        "cpu": {"sha-abc1234": None, "latest": REVISION},
    }

    def resolve(self, path, tag, platforms, before="", after=""):
        tag = next(there for there in content[path] if tag.startswith(there))
        content.setdefault("asked", []).append((path, tag, platforms))
        return {"tag": tag, "digest": DIGEST, "revision": content[path][tag], "platforms": {}}

    monkeypatch.setattr(Registry, "resolve", resolve)
    return content


@pytest.mark.parametrize("asked", [{"sha": "abc1234"}, {"sha": REVISION}, {}, {"tag": "latest"}, {"tag": "sha-abc1234"}])
def test_rollout(run, registry, asked):
    result = run("release_info", **IMAGES, **asked)
    assert not result.get("failed"), result
    assert result["release"] == "sha-abc1234"
    assert not result["changed"]
    assert [*result["images"]] == ["localhost:5000/backend:sha-abc1234", "localhost:5000/cpu:sha-abc1234"]
    assert result["images"]["localhost:5000/cpu:sha-abc1234"] == {
        **{"digest": DIGEST, "revision": registry["cpu"][registry["asked"][1][1]], "platforms": {}},
        **{"now": True, "follows": True},
    }


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"sha": "xyz"}, "sha 'xyz' is not a commit: expected 7 to 40 characters 0-9 a-f"),
        ({"sha": "abc1234", "tag": "v1"}, "sha=abc1234 and tag=v1 are both given"),
        ({"tag": "a b"}, "tag 'a b' is not an image tag"),
        ({"following": [], "sha": "abc1234", "variables": ["TAG"]}, "sha=abc1234 names a release, but no image in the Compose"),
        ({"following": [f"UPPER case/backend:{HERE}"]}, f"'UPPER case/backend:{HERE}' is not an image reference"),
        ({"timeout": "soon"}, "argument 'timeout' is of type str and we were unable to convert to float"),
    ],
)
def test_refusals(run, registry, asked, sentence):
    result = run("release_info", **{**IMAGES, **asked})
    assert result["failed"]
    assert sentence in result["msg"]


def test_two_releases_at_one_tag_are_refused(run, registry):
    registry["cpu"]["latest"] = "0" * 40
    assert run("release_info", **IMAGES)["msg"] == (
        "The images at tag latest are not one release: backend is sha-abc1234, cpu is sha-0000000. A build is under way or "
        "failed half-way; name the release with -e sha=…"
    )


def test_the_hosts_platforms_are_asked_for(run, registry):
    run("release_info", **IMAGES, platforms=["linux/arm64"])
    assert registry["asked"] == [("backend", "latest", ["linux/arm64"]), ("cpu", "latest", ["linux/arm64"])]


def stable(release, run, seq):
    return {"name": release, "release": release, "run": run, "seq": seq}


A, B = stable("sha-aaaaaaa", "r1", 2), stable("sha-bbbbbbb", "r2", 4)
LEDGERS = {"h1": {"known": [A, B], "history": [A, B]}, "h2": {"known": [A, B], "history": [A, B]}}


@pytest.mark.parametrize("asked", [{}, {"sha": "aaaaaaa"}])
def test_rollback(run, asked):
    result = run("release_info", action="rollback", ledgers=LEDGERS, first="h1", **asked)
    assert result["release"] == "sha-aaaaaaa"
    assert result["names"] == {"h1": "sha-aaaaaaa", "h2": "sha-aaaaaaa"}
    assert result["images"] == {}


def test_rollback_refusals(run):
    result = run("release_info", action="rollback", ledgers=LEDGERS, first="h1", sha="ccccccc")
    assert result["msg"].startswith("sha-ccccccc is not a stable release of host h1")
    result = run("release_info", action="rollback", ledgers={"h1": {"known": [A], "history": [A]}}, first="h1")
    assert result["msg"].startswith("There is no earlier stable release on host h1 to roll back to.")

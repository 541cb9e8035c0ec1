from __future__ import annotations

import os
import shutil

import pytest
from ansible.module_utils.rollout.io import ownership
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import neighbours, stage
from fake_engine import digest
from story import JOB, WEB, Host, held, order


@pytest.fixture(params=["beside", "elsewhere"])
def other(request, tmp_path, host):
    """Another application on the same engine, with two releases, of which one is its way back."""
    place = tmp_path / "other" if request.param == "beside" else tmp_path / "srv" / "staging" / "other"
    found = Host(place, "other", host.engine)
    for letter in "ab":
        found.rollout(letter)
    return found


def forgotten(host):
    """What pruning says once this host has left release a behind."""
    for letter in "ab":
        host.rollout(letter)
    return host.rollout("c", keep=1)


def test_what_another_application_may_go_back_to_stays(host, other):
    done = forgotten(host)
    assert done["removed"] == ["sha-aaaaaaa"]
    assert done["left"] == []
    for repository in (WEB, JOB):
        assert {f"{repository}@{digest('a')}", f"{repository}:sha-aaaaaaa"} <= set(host.engine.images)
    assert other.bring_back("sha-aaaaaaa")["changed"]


def test_what_nobody_needs_goes(host, other):
    for letter in "cde":
        other.rollout(letter, keep=1)
    done = forgotten(host)
    assert done["removed"] == ["sha-aaaaaaa"]
    assert not [image for image in host.engine.images if "aaaaaaa" in image]


def test_what_it_has_staged_and_not_confirmed_stays(host, other):
    for letter in "ab":
        host.rollout(letter)
    host.rollout("x")
    stage.stage(other.store, other.engine, order("x", application="other"), False)
    for letter in "cde":
        done = host.rollout(letter, keep=1)
    assert "sha-xxxxxxx" not in host.store.names()
    assert done["left"] == []
    assert f"{WEB}@{digest('x')}" in host.engine.images


@pytest.mark.parametrize("begun", ["lock", "guard", "changing"])
def test_nothing_goes_while_a_run_is_at_work_there(host, other, begun):
    for letter in "ab":
        host.rollout(letter)
    with other.store.mutex(".lock", 0) if begun == "changing" else neighbours.at_rest([]):
        if begun == "lock":
            held(other.store, "run-x")
        if begun == "guard":
            other.store.append("armed", "run-x", name="sha-bbbbbbb", timeout=900, boot="b", clock=1)
        done = host.rollout("c", keep=1)
    assert done["removed"] == []
    assert done["left"] == [
        f"Old releases are still there: the application whose state is in {other.store.root} is between two releases, and may need "
        "their images. The next run removes them."
    ]
    assert f"{WEB}@{digest('a')}" in host.engine.images
    assert "sha-aaaaaaa" in host.store.names()
    other.store.remove_lock()
    other.store.append("reverted", "run-x", name="sha-bbbbbbb")
    assert "sha-aaaaaaa" in host.rollout("d", keep=1)["removed"]


def test_a_run_that_died_there_long_ago_holds_nothing_up(host, other):
    held(other.store, "run-x", ttl=1, seconds_ago=30)
    assert forgotten(host)["removed"] == ["sha-aaaaaaa"]


def test_nobody_begins_a_run_there_meanwhile(host, other, monkeypatch):
    seen = []
    run = host.engine.run

    def watched(arguments, *rest, **more):
        if list(arguments[:2]) == ["image", "rm"]:
            with other.store.mutex(".lock", 0) as free:
                seen.append(free)
        return run(arguments, *rest, **more)

    for letter in "cde":
        other.rollout(letter, keep=1)
    monkeypatch.setattr(host.engine, "run", watched)
    forgotten(host)
    assert seen
    assert not any(seen)


def test_what_cannot_be_read_there_might_be_needed(host, other):
    (other.store.directory("sha-aaaaaaa") / "release.json").write_text("{")
    done = forgotten(host)
    assert done["removed"] == []
    assert "release.json" in done["left"][0]
    assert str(other.store.root) in done["left"][0]


def test_another_users_application_is_not_read(host, other, monkeypatch):
    """It could be a pipe that never answers."""
    check, read = ownership.check, []

    def checked(root):
        if root == str(other.store.root):
            raise ownership.NOT_PLAIN(path=root, what="a pipe")
        check(root)

    monkeypatch.setattr(ownership, "check", checked)
    monkeypatch.setattr(Store, "manifest", lambda self, name, of=Store.manifest: read.append(self.root) or of(self, name))
    done = forgotten(host)
    assert done["removed"] == []
    assert other.store.root not in read
    assert done["left"][0].startswith(
        "Old releases are still there: another user's application shares this engine's images, so which ones it needs cannot be "
        f"known: {other.store.root}. ({other.store.root} is a pipe"
    )


def test_what_is_gone_or_no_application_needs_nothing(host, other, tmp_path):
    (tmp_path / "photos" / "releases").mkdir(parents=True)
    shutil.rmtree(other.store.root)
    assert neighbours.of(host.store, host.engine) == []
    host.rollout("a")
    os.symlink(host.store.root, tmp_path / "me-too")
    assert [one.root for one in neighbours.of(host.store, host.engine)] == []


@pytest.mark.parametrize("label", ["", "/", "relative/releases/a", "/releases/a", "/etc/passwd/releases/x", "/a\n/releases/b"])
def test_a_label_that_names_no_state_directory(host, label):
    host.rollout("a")
    for made in host.engine.made:
        made["Config"]["Labels"]["com.docker.compose.project.working_dir"] = label
    assert neighbours.of(host.store, host.engine) == []

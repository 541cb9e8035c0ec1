"""The action release_info: which release is meant, found in the controller's own process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail

DIGEST = "sha256:" + "1" * 64
HERE = "rollout-00-the-tag-of-the-release"
REVISION = "abc1234def5678abc1234def5678abc1234def56"


def stable(release, run_id, seq):
    return {"name": release, "release": release, "run": run_id, "seq": seq}


A, B = stable("sha-aaaaaaa", "r1", 2), stable("sha-bbbbbbb", "r2", 4)
LEDGERS = {host: {"known": [A, B], "history": [A, B]} for host in ("h1", "h2")}


@pytest.fixture
def find(load):
    """Run the action release_info, which has no connection to ask."""
    loaded = load("plugins/action/release_info.py")

    def ask(verbosity=0, **args):
        task = SimpleNamespace(async_val=0, check_mode=False, action="release_info", args=args)
        made = loaded.ActionModule(task, SimpleNamespace(_shell=SimpleNamespace(tmpdir="/tmp/x")), None, None, None)
        made._display = SimpleNamespace(verbosity=verbosity)
        made._load_name = "release_info"
        return made.run(task_vars={"inventory_hostname": "h1"})

    return ask


@pytest.mark.parametrize("asked", [{}, {"sha": "aaaaaaa"}])
def test_a_rollback_is_found_in_the_ledgers(find, asked):
    assert find(action="rollback", ledgers=LEDGERS, first="h1", **asked) == {
        "changed": False,
        "release": "sha-aaaaaaa",
        "tag": f"sha-{asked['sha']}" if asked else "",
        "images": {},
        "names": {"h1": "sha-aaaaaaa", "h2": "sha-aaaaaaa"},
    }


def test_a_rollback_that_cannot_be_is_refused(find):
    result = find(action="rollback", ledgers={"h1": {"known": [A], "history": [A]}}, first="h1")
    assert result["failed"]
    assert result["msg"].startswith("There is no earlier stable release on host h1 to roll back to.")


def test_a_rollout_asks_the_registry(find, monkeypatch):
    from ansible.module_utils.rollout.controller.registry import Registry

    resolved = {"digest": DIGEST, "revision": REVISION, "platforms": {}}
    monkeypatch.setattr(Registry, "resolve", lambda self, path, tag, platforms, before, after: {"tag": tag, **resolved})
    assert find(sha="abc1234", following=[f"localhost:5000/web:{HERE}"]) == {
        "changed": False,
        "release": "sha-abc1234",
        "tag": "sha-abc1234",
        "images": {"localhost:5000/web:sha-abc1234": {**resolved, "now": True, "follows": True}},
        "names": {},
    }


@pytest.fixture
def docker_login(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    # app:canary-docker
    (tmp_path / "config.json").write_text('{"auths": {"localhost:5000": {"auth": "YXBwOmNhbmFyeS1kb2NrZXI="}}}')


@pytest.mark.parametrize(
    ("args", "login"),
    [
        ({}, ("app", "canary-docker")),
        ({"registry": "localhost:5000", "username": "ada", "password": "canary-inventory"}, ("ada", "canary-inventory")),
        ({"registries": {"localhost:5000": {"username": "bob", "password": "canary-bob"}}}, ("bob", "canary-bob")),
        # A login for another registry is not sent to this one.
        ({"registry": "localhost:5001", "username": "ada", "password": "canary-inventory"}, ("app", "canary-docker")),
        ({"following": [f"localhost:5001/web:{HERE}"]}, ("", "")),
    ],
)
def test_the_registry_is_asked_as_docker_is_logged_in_here(find, monkeypatch, docker_login, args, login):
    from ansible.module_utils.rollout.controller.registry import Registry
    from ansible.module_utils.rollout.errors import RolloutError

    def resolve(self, path, tag, platforms, before="", after=""):
        raise RolloutError(f"{self.session.username} {self.session.password}")

    monkeypatch.setattr(Registry, "resolve", resolve)
    said = find(**{"sha": "abc1234", "following": [f"localhost:5000/web:{HERE}"], **args})["msg"]
    assert said.partition(" ")[0] == login[0]
    assert "canary" not in said, "and its password is hidden"
    assert bool(said.strip()) is bool(login[0])


def test_a_rollback_asks_nobody_for_a_login(find, monkeypatch):
    monkeypatch.setattr("ansible.module_utils.rollout.io.logins.found", lambda registry: 1 / 0)
    assert find(action="rollback", ledgers=LEDGERS, first="h1")["release"] == "sha-aaaaaaa"


@pytest.mark.parametrize("planned", ["rollout", "rollback"])
def test_a_refusal_that_was_found_before_is_the_answer(find, planned):
    said = find(action=planned, refusal="Hosts disagree.", following=[f"localhost:1/web:{HERE}"], ledgers=LEDGERS, first="h1")
    assert said == {"failed": True, "msg": "Hosts disagree."}


@pytest.mark.parametrize(("verbosity", "told"), [(2, False), (3, True)])
def test_a_defect_is_a_sentence_and_with_three_vs_more(find, verbosity, told):
    said = find(verbosity, action="rollback", ledgers={"h1": {}}, first="h1")
    assert said["msg"] == "Unexpected KeyError: 'known'. This is a defect of the rollout; run again with -vvv."
    assert ("_for_rollback" in said.get("exception", "")) is told


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"timeout": "soon"}, "argument 'timeout' is of type str and we were unable to convert to float"),
        ({"colour": "red"}, "Unsupported parameters for (release_info) module: colour."),
    ],
)
def test_a_wrong_argument_of_release_info_is_refused_as_ansible_does(find, args, sentence):
    with pytest.raises(AnsibleActionFail) as error:
        find(**args)
    assert str(error.value).startswith(sentence)


def test_the_controllers_own_answer_hides_the_password(find):
    logins = {"r.io": {"password": "pigeon"}, "s.io": {"username": "x"}}
    found = find(refusal="bad canary, bad pigeon", password="canary", registries=logins)
    assert found["msg"] == "bad ********, bad ********"

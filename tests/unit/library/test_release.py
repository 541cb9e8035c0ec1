from __future__ import annotations

import pytest
from ansible.module_utils.rollout import settle, stage
from ansible.module_utils.rollout.files import Store


@pytest.fixture
def base(tmp_path):
    return {"root": str(tmp_path / "state"), "application": "app", "run": "r1"}


def test_a_missing_secret_is_refused(run, docker, base, tmp_path):
    docker()
    result = run("release", **base, release="sha-abc1234", secrets={"PW": ""})
    assert result["failed"]
    assert result["msg"].startswith("Secret PW is missing: define the variable")
    assert not (tmp_path / "state").exists()


def test_no_docker_is_refused(run, base, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("release", **base, release="sha-abc1234")
    assert result["msg"] == "Docker is not installed: run ansible-playbook playbooks/prepare.yml, or install it."


def test_a_secret_is_not_in_what_the_module_says(run, docker, base):
    docker("compose*config*) echo 'bad value canary-1234' >&2; exit 1;;\n")
    result = run("release", **base, release="v1", secrets={"PW": "canary-1234"}, stacks={"core": "x"})
    assert result["msg"].startswith("Checking docker-compose.core.yml failed: bad value ")
    assert "canary" not in str(result)


def test_the_state_directory_cannot_be(run, docker, base, tmp_path):
    docker()
    (tmp_path / "file").write_text("")
    result = run("release", **{**base, "root": str(tmp_path / "file" / "state")}, release="v1")
    assert result["msg"].startswith(f"The state directory {tmp_path}/file/state is not writable (Not a directory)")


def test_an_empty_release_is_staged_then_stable_then_staged_by_name(run, docker, base):
    docker()
    staged = run("release", **base, release="v1")
    assert (staged["changed"], staged["name"]) == (True, "v1")
    stable = run("release", **base, state="stable", name="v1")
    assert (stable["changed"], stable["removed"]) == (True, [])
    assert Store(base["root"]).ledger().stable.name == "v1"
    again = run("release", **base, name="v1")
    assert (again["changed"], again["name"]) == (False, "v1")


@pytest.mark.parametrize("state", ["staged", "stable", "abandoned"])
def test_check_mode_writes_nothing(run, docker, base, tmp_path, state):
    docker()
    result = run("release", True, **base, state=state, release="v1", name="" if state == "staged" else "v1")
    assert not result.get("failed")
    assert not (tmp_path / "state").exists()


def test_stable_needs_a_name(run, base):
    result = run("release", **base, state="stable")
    assert "name" in result["msg"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KeyError("Id"), "Unexpected KeyError: 'Id'. This is a defect of the rollout; run again with -vvv."),
        (OSError(28, "No space left on device", "/x/y"), "No space left on device (/x/y)."),
        (OSError("odd"), "odd (no file)."),
    ],
)
def test_whatever_happens_is_a_sentence(run, base, monkeypatch, error, sentence):
    def fail(*_arguments):
        raise error

    monkeypatch.setattr(stage, "stage", fail)
    result = run("release", **base, release="v1")
    assert result["failed"]
    assert result["msg"] == sentence
    assert "Traceback" not in str(result)


def test_the_arguments_arrive(run, base, monkeypatch):
    seen = []
    monkeypatch.setattr(settle, "confirm", lambda store, engine, *rest: seen.append(rest) or {"changed": True, "removed": []})
    run("release", **base, state="stable", name="v1", action="rollback", keep=3)
    assert seen == [("v1", "r1", "rollback", 3, False)]

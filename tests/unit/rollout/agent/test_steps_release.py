from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.images import Login
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import locking, settle, stage
from story import held

# An engine with nothing on it, and Compose that reads whatever it gets as a stack without services.
NOTHING = '{"services": {}}'
COMPOSE = f"'image inspect'*) echo no such image >&2; exit 1;;\ncompose*config*) echo '{NOTHING}';;\n"


@pytest.fixture
def base(tmp_path):
    return {"root": str(tmp_path / "state"), "application": "app", "run": "r1"}


@pytest.fixture
def locked(base):
    """The arguments of a step whose run holds the lock of the host."""
    held(Store(base["root"]), "r1")
    return base


def stack(text="services: {}", **facts):
    """What a run says of a stack: its source."""
    return {"core": {"files": {"docker-compose.yml": {"text": text}}, "compose": ["docker-compose.yml"], **facts}}


def test_without_the_lock_nothing_is_done(run, docker, base):
    docker()
    result = run("release", **base, release="v1")
    assert (result["failed"], result["fenced"]) == (True, "run")
    assert result["msg"] == (
        f"The lock of run r1 is gone from this host ({base['root']}/lock.json): somebody unlocked it. Nothing more is done here "
        "by this run."
    )
    assert not Store(base["root"]).path.exists()
    assert Store(base["root"]).names() == []


def test_a_missing_secret_is_refused(run, docker, locked):
    docker()
    result = run("release", **locked, release="sha-abc1234", stacks=stack(secrets={"PW": ""}))
    assert result["failed"]
    assert result["msg"].startswith("Secret PW is missing: define the variable")
    assert not Store(locked["root"]).path.exists()


def test_no_docker_is_refused(run, locked, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("release", **locked, release="sha-abc1234")
    assert result["msg"] == "Docker is not installed: run ansible-playbook playbooks/prepare.yml, or install it."


def test_the_state_directory_cannot_be(run, docker, base, tmp_path):
    docker()
    (tmp_path / "file").write_text("")
    result = run("release", **{**base, "root": str(tmp_path / "file" / "state")}, release="v1")
    assert result["msg"].startswith(f"The state directory {tmp_path}/file/state is not writable (Not a directory)")


def test_an_empty_release_is_staged_then_stable_then_staged_by_name(run, docker, locked):
    docker()
    staged = run("release", **locked, release="v1")
    assert (staged["changed"], staged["name"]) == (True, "v1")
    stable = run("release", **locked, state="stable", name="v1")
    assert (stable["changed"], stable["removed"]) == (True, [])
    assert Store(locked["root"]).ledger().stable.name == "v1"
    again = run("release", **locked, name="v1")
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
def test_whatever_happens_is_a_sentence(run, locked, monkeypatch, error, sentence):
    def fail(*_arguments):
        raise error

    monkeypatch.setattr(stage, "stage", fail)
    result = run("release", **locked, release="v1")
    assert result["failed"]
    assert result["msg"] == sentence
    assert "Traceback" not in str(result)


def test_the_arguments_arrive(run, locked, monkeypatch):
    seen = []
    monkeypatch.setattr(settle, "confirm", lambda store, engine, *rest: seen.append(rest) or {"changed": True, "removed": []})
    run("release", **locked, state="stable", name="v1", action="rollback", keep=3, behind=["h2"])
    assert seen == [("v1", "r1", "rollback", 3, False, ["h2"])]


@pytest.fixture
def seen(monkeypatch):
    """What a step asks of the end of a run, in turn."""
    asked = []
    monkeypatch.setattr(settle, "prove", lambda *_rest: asked.append("proven") or {"changed": False, "services": ["s"]})
    monkeypatch.setattr(settle, "confirm", lambda *_rest: asked.append("stable") or {"changed": True, "removed": []})
    return asked


@pytest.mark.parametrize(
    ("state", "prove", "asked", "said"),
    [
        ("proven", False, ["proven"], {"changed": False, "services": ["s"]}),
        ("stable", False, ["stable"], {"changed": True, "removed": []}),
        ("stable", True, ["proven", "stable"], {"changed": True, "services": ["s"], "removed": []}),
    ],
)
def test_gates_are_held_before_a_release_is_confirmed(run, locked, seen, state, prove, asked, said):
    result = run("release", **locked, state=state, name="v1", prove=prove)
    assert result == {**said, "unlocked": False}
    assert seen == asked


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("state", ["proven", "stable"])
@pytest.mark.parametrize("unlock", [True, False])
def test_the_lock_may_be_given_back_behind_it(run, locked, state, unlock):
    result = run("release", **locked, state=state, name="v1", unlock=unlock)
    assert result["unlocked"] is unlock
    assert (Store(locked["root"]).lock() is None) is unlock


@pytest.mark.usefixtures("seen")
def test_a_confirmed_release_is_one_though_its_lock_cannot_be_given_back(run, locked, monkeypatch):
    def fail(*_rest):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(locking, "release", fail)
    result = run("release", **locked, state="stable", name="v1", unlock=True)
    assert (result["changed"], result["unlocked"], result.get("failed")) == (True, False, None)


def test_what_does_not_hold_keeps_the_lock(run, locked, monkeypatch):
    def fail(*_rest):
        raise RolloutError("Service web does not pass.", service="web")

    monkeypatch.setattr(settle, "prove", fail)
    assert run("release", **locked, state="proven", name="v1", unlock=True)["failed"]
    assert Store(locked["root"]).lock()["run"] == "r1"


def test_what_is_not_proven_is_not_confirmed(run, locked, seen, monkeypatch):
    def fail(*_rest):
        raise RolloutError("Service web does not pass.", service="web")

    monkeypatch.setattr(settle, "prove", fail)
    result = run("release", **locked, state="stable", name="v1", prove=True)
    assert (result["failed"], result["msg"], result["service"]) == (True, "Service web does not pass.", "web")
    assert seen == []


@pytest.mark.parametrize(("name", "verb"), [("", "rollout"), ("v1", "rollback")])
def test_a_preview_says_which_run_it_belongs_to(run, docker, locked, name, verb):
    docker()
    for state in ("staged", "stable"):
        run("release", **locked, state=state, release="v1", name="" if state == "staged" else "v1")
    found = run("release", True, **locked, release="v1", name=name)["preview"]
    assert {key: found[key] for key in ("action", "run", "release", "stable")} == {
        "action": verb,
        "run": "r1",
        "release": "v1",
        "stable": "v1",
    }


@pytest.mark.parametrize("check", [True, False])
def test_a_release_that_is_there_comes_back_with_the_environment_of_today(run, docker, locked, check):
    docker(COMPOSE)
    text = "services: {} # ${IMAGE_TAG}"
    first = stack(text, secrets={"PW": "canary-1"}, profiles=["gpu"], services={})
    for state in ("staged", "stable"):
        run("release", **locked, state=state, release="v1", name="" if state == "staged" else "v1", stacks=first)
    # The files are those of v1, whatever they are today.
    today = stack("services: {web: {}}", environment={"PORT": 1}, secrets={"PW": "canary-2"})
    found = run("release", check, **locked, name="v1", present=True, stacks=today)
    assert (found["name"], found["changed"], found["ready"]) == ("v1.2", True, False)
    store = Store(locked["root"])
    if check:
        assert (found["preview"]["action"], found["preview"]["variables"]) == ("rollback", ["PORT", "PW"])
        assert store.names() == ["v1"]
    else:
        assert store.read("v1.2", "core/.env") == 'IMAGE_TAG="v1"\nPORT="1"\nPW="canary-2"\n'
        assert store.read("v1.2", "core/docker-compose.yml") == text
        # Today's environment is that of v1: nothing is staged anew.
        again = run("release", **locked, name="v1", present=True, stacks=first)
        assert (again["name"], again["ready"]) == ("v1", True)


def test_with_the_environment_of_today_a_release_that_is_not_whole_is_refused(run, docker, locked):
    docker(COMPOSE)
    run("release", **locked, release="v1", stacks=stack())
    (Store(locked["root"]).directory("v1") / "core/docker-compose.yml").write_text("services: {x: {}}")
    said = run("release", **locked, name="v1", present=True, stacks=stack())
    assert said["msg"].startswith("Release v1 was edited by hand (core/docker-compose.yml in ")


READ = {
    "files": {"docker-compose.yml": {"text": "services: {}"}, "conf/a": {"text": "x", "mode": "0755"}},
    "compose": ["docker-compose.yml"],
    "profiles": ["gpu"],
}
PRINTED = {
    "services": {
        "web": {"image": "r/web:v1", "volumes": [{"type": "bind", "source": "./conf/a", "target": "/a", "read_only": True}]}
    },
    "configs": {"c": {"file": "./conf/c"}},
}


@pytest.mark.parametrize("check", [True, False])
def test_stacks_are_read_before_a_lock_is_taken_and_nothing_is_written(run, docker, base, tmp_path, check):
    docker(COMPOSE.replace(NOTHING, json.dumps(PRINTED)))
    found = run("release", check, **base, state="read", release="v1", stacks={"core": READ, "none": {}})
    assert found == {
        "changed": False,
        "stacks": {
            "core": {
                "images": {"web": "r/web:v1"},
                "mounts": [
                    {"path": "conf/a", "kind": "bind", "service": "web", "target": "/a", "read_only": True},
                    {"path": "conf/c", "kind": "config", "service": "c", "target": "", "read_only": True},
                ],
                "warnings": [],
            }
        },
        "here": [],
    }
    assert not (tmp_path / "state").exists()


def test_a_path_that_leaves_its_source_is_refused(run, docker, base):
    docker(COMPOSE)
    for stacks in (stack(files={"../x": {"text": ""}}), stack(paths=["/etc"])):
        assert "which leaves its folder" in run("release", **base, state="read", release="v1", stacks=stacks)["msg"]


def test_the_login_arrives_and_is_never_said(run, locked, monkeypatch):
    seen = []
    monkeypatch.setattr(stage, "stage", lambda store, engine, order, check: seen.append(order) or {"changed": False})
    login = {"registry": "r.example/team", "username": "karl", "password": "canary-1"}
    run("release", **locked, release="v1", **login)
    assert seen[0].login == Login(**login)
    assert "canary" not in repr(seen[0])


@pytest.mark.parametrize("name", ["../../x", "/etc", "-rf", "a b", "$(id)", ".staging", "a\n"])
@pytest.mark.parametrize(("step", "more"), [("release", {}), ("release", {"state": "stable"}), ("stack", {"stack": ["core"]})])
def test_what_is_no_name_of_a_release_is_no_path(run, locked, step, more, name):
    said = run(step, **locked, name=name, **more)
    assert said["msg"] == (
        f"{name!r} is not the name of a release: expected letters, digits, '_', '.' and '-', as sha-abc1234.2."
    )

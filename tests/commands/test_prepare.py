"""The state directory and the Docker users that playbooks/prepare.yml makes, by the real ansible-playbook."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess

import pytest

pytestmark = [
    pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is absent"),
    pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory to another user"),
]


@pytest.fixture
def tasks(root, tmp_path):
    """Run files of tasks of the two roles on this machine, with variables of the inventory; the result of each task by name."""

    def call(*files, check=False, **facts):
        local = {"ansible_connection": "local", "ansible_python_interpreter": shutil.which("python3")}
        known = {"rollout_application": "app", "engine_state_dir": str(tmp_path / "rollout"), **local, **facts}
        (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": {"localhost": {}}, "vars": known}}))
        named = [{"import_role": {"name": role, "tasks_from": name}} for role, name in files]
        play = {"hosts": "all", "gather_facts": False, "tasks": named}
        (tmp_path / "play.yml").write_text(json.dumps([play]))
        done = subprocess.run(
            ["ansible-playbook", "-i", str(tmp_path / "hosts.json"), str(tmp_path / "play.yml"), *["--check"] * check],
            cwd=root,
            env={
                **os.environ,
                "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
                "ANSIBLE_ROLES_PATH": str(root / "roles"),
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "ansible"),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "{" in done.stdout, done.stdout + done.stderr
        found = json.loads(done.stdout[done.stdout.index("{") :])
        return {task["task"]["name"].rpartition(" : ")[2]: task["hosts"]["localhost"] for task in found["plays"][0]["tasks"]}

    return call


ENGINE, STATE = ("engine", "configure"), ("guard", "state")
# The variables of an application that an ordinary user deploys, or that is deployed through sudo.
PLAIN, BECOME = {"engine_user": "nobody"}, {"engine_user": "nobody", "ansible_become": True}


def owner(path):
    found = path.stat()
    return (found.st_uid, oct(found.st_mode & 0o7777))


@pytest.mark.parametrize(("facts", "added"), [(PLAIN, True), (BECOME, False), ({"engine_user": "root"}, False)])
def test_only_a_user_who_runs_docker_comes_into_group_docker(tasks, facts, added):
    said = tasks(ENGINE, check=True, **facts)["Let the user use Docker"]
    assert ("skipped" not in said) is added


def test_the_parent_is_roots_and_everybodys_to_read(tasks, tmp_path):
    (tmp_path / "rollout").mkdir(mode=0o700)
    os.chown(tmp_path / "rollout", 65534, 65534)
    tasks(ENGINE, **BECOME)
    assert owner(tmp_path / "rollout") == (0, "0o755")


@pytest.mark.parametrize(("facts", "uid"), [(PLAIN, 65534), (BECOME, 0)])
def test_the_state_directory_is_the_guards_alone(tasks, tmp_path, facts, uid):
    (tmp_path / "rollout").mkdir()
    tmp_path.chmod(0o755)
    said = tasks(STATE, guard_user="root" if uid == 0 else "nobody", guard_dir=str(tmp_path / "rollout/app"), **facts)
    assert said["Make the state directory"]["changed"], said
    assert owner(tmp_path / "rollout/app") == (uid, "0o700")


@pytest.mark.parametrize(
    "where", ["rollout", "rollout/app", "rollout/app/guard.pyz", "rollout/app/guard.armed", "rollout/app/releases"]
)
@pytest.mark.parametrize("how", ["owner", "mode"])
def test_what_a_lesser_user_could_change_is_refused(tasks, tmp_path, where, how):
    path = tmp_path / where
    path.mkdir(parents=True)
    if how == "owner":
        os.chown(path, 65534, 65534)
    else:
        path.chmod(0o777)
    said = tasks(STATE, guard_user="root", guard_dir=str(tmp_path / "rollout/app"), **BECOME)
    assert "Make the state directory" not in said
    mode = "755" if how == "owner" else "777"
    refusal = said["Refuse a state directory that another user could change"]["msg"]
    assert f"Another user than root could replace the guard that root is to run, through {path}" in refusal
    assert f"(of {'nobody' if how == 'owner' else 'root'}, mode {mode})" in refusal


def test_elsewhere_root_makes_nothing(tasks, tmp_path):
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", 65534, 65534)
    said = tasks(STATE, guard_user="nobody", guard_dir=str(tmp_path / "home/state"), **PLAIN)
    assert said["Make the state directory"]["skipped"]
    assert not (tmp_path / "home/state").exists()


def test_a_home_is_that_of_the_guards_user(tasks):
    home = pwd.getpwuid(0).pw_dir
    said = tasks(STATE, check=True, guard_user="root", guard_dir="~/no-such-state", engine_state_dir=home, **BECOME)
    assert said["Make the state directory"]["path"] == f"{home}/no-such-state"

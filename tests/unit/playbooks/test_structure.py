"""What holds for every play and every role."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import yaml
from ansible.module_utils.rollout.controller import playbooks, results
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import locking

ROOT_PLAYBOOKS = ["rollback.yml", "rollout.yml", "status.yml"]


def roles_of(play):
    """The roles of a play, whether it names them or imports them."""
    named = [role if isinstance(role, str) else role["role"] for role in play.get("roles", [])]
    imported = [task.get("ansible.builtin.import_role", {}).get("name") for task in play.get("tasks", [])]
    return named + [role for role in imported if role]


def plays(root):
    for path in sorted((root / "playbooks").glob("*.yml")):
        for play in yaml.safe_load(path.read_text()):
            yield path.name, play


def test_every_play_of_the_fleet_starts_with_role_fleet(root):
    seen = 0
    for name, play in plays(root):
        if "hosts" in play and any(what in play["hosts"] for what in ("groups |", "switch_play", "backend[0]")):
            seen += 1
            assert roles_of(play)[:1] == ["fleet"], f"{name}: {play['name']}"
            assert "pre_tasks" not in play
            assert play["gather_facts"] is False
            # A play that loses all its hosts would end the run unreverted. Rendering reaches no host.
            assert play.get("ignore_unreachable", False) is (name != "render.yml"), f"{name}: {play['name']}"
    assert seen >= 11


@pytest.mark.parametrize("name", ROOT_PLAYBOOKS)
def test_what_the_operator_types_is_one_import(root, name):
    (only,) = yaml.safe_load((root / name).read_text())
    assert only["ansible.builtin.import_playbook"] == f"playbooks/{name}"


def test_tasks_are_short(root):
    for path in (root / "roles").glob("*/tasks/main.yml"):
        assert len(path.read_text().splitlines()) < 60, path


def test_argument_specs_equal_the_defaults(root):
    for path in (root / "roles").glob("*/meta/argument_specs.yml"):
        options = yaml.safe_load(path.read_text())["argument_specs"]["main"].get("options", {})
        said = {name: facts["default"] for name, facts in options.items() if "default" in facts}
        defaults = path.parents[1] / "defaults" / "main.yml"
        assert said == (yaml.safe_load(defaults.read_text()) if defaults.exists() else {}), path
        for name, facts in options.items():
            assert facts["description"], name
            assert facts["type"], name
            assert facts.get("required") or "default" in facts, name


def test_every_default_is_specified(root):
    for path in (root / "roles").glob("*/defaults/main.yml"):
        assert (path.parents[1] / "meta" / "argument_specs.yml").exists(), path


def walk(tasks):
    for task in tasks:
        yield task
        for part in ("block", "rescue", "always"):
            yield from walk(task.get(part, []))


def all_tasks(root):
    """Where it stands, and the task: those of roles and of plays."""
    for path in sorted((root / "roles").glob("*/tasks/*.yml")):
        for task in walk(yaml.safe_load(path.read_text()) or []):
            yield str(path.relative_to(root)), task
    for name, play in plays(root):
        for task in walk([*play.get("tasks", []), *play.get("post_tasks", []), *play.get("handlers", [])]):
            yield f"playbooks/{name}", task


def test_every_task_is_named(root):
    for place, task in all_tasks(root):
        assert task.get("name"), (place, task)


def test_no_task_that_runs_once_can_take_the_fleet_down(root):
    seen = 0
    for place, task in all_tasks(root):
        if (
            task.get("run_once")
            and not {"ansible.builtin.set_fact", "show"} & set(task)
            and not place.startswith("roles/report/")
            and task.get("failed_when") is not False
        ):
            seen += 1
            assert task.get("ignore_errors") is True, (place, task["name"])
    assert seen >= 4


def test_what_the_steps_of_an_earlier_run_said_is_forgotten_when_a_run_begins(root):
    """A playbook may import a rollout and then another one, or a rollback: variables outlive the first."""
    roles = ("lock", "plan", "stage", "jobs", "switch", "settle")
    said = {task["register"] for place, task in all_tasks(root) if place.split("/")[1] in roles and "register" in task}
    assert said == set(results.STEPS)
    (forget,) = [task for _place, task in all_tasks(root) if "rollout_said" in str(task.get("loop"))]
    assert forget["ansible.builtin.set_fact"] == {"{{ item }}": {}}


def test_nothing_has_a_tag(root):
    """What runs must run whole; the callback refuses --tags."""
    for place, task in all_tasks(root):
        assert "tags" not in task, (place, task["name"])


@pytest.mark.parametrize("place", ["all", "cpu_workers"])
@pytest.mark.parametrize(("options", "batches"), [((), 2), (("--extra-vars", "rollout_serial=3"), 1)])
def test_an_inventory_may_set_how_many_worker_hosts_are_switched_at_a_time(root, tmp_path, options, batches, place):
    (switch,) = [play for name, play in plays(root) if name == "wave.yml"]
    workers = {"hosts": {"a": {}, "b": {}, "c": {}}, "vars": {"rollout_serial": 2} if place == "cpu_workers" else {}}
    more = {"rollout_serial": 2} if place == "all" else {}
    # The first host of all is none of them.
    inventory = {"all": {"hosts": {"0": {}}, "vars": more, "children": {"cpu_workers": workers}}}
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    # Another play comes first in the flow too.
    empty = {"hosts": "all", "gather_facts": False}
    wave = {**switch, "vars": {**switch["vars"], "switch_place": 2}, "tasks": []}
    (tmp_path / "play.yml").write_text(json.dumps([empty, wave]))
    done = subprocess.run(
        ["ansible-playbook", "--inventory", str(tmp_path / "hosts.json"), str(tmp_path / "play.yml"), *options],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")},
            "ANSIBLE_FILTER_PLUGINS": str(root / "plugins/filter"),
        },
    )
    assert done.stdout.count("PLAY [Switch the CPU workers]") == batches


def test_every_playbook_of_the_waves_knows_the_inventory_first(root):
    """Ansible gives the variables of hosts to a play's own keywords only behind a play that ran."""
    (know,) = yaml.safe_load((root / "playbooks/know.yml").read_text())
    assert (know["name"], know["hosts"], know.get("tasks")) == (playbooks.KNOW, "all", None)
    for path in (root / "playbooks").glob("*.yml"):
        # Others import these.
        if "| rollout_" in path.read_text() and path.name not in ("flow.yml", "revert.yml", "wave.yml"):
            first = yaml.safe_load(path.read_text())[0]
            assert first["ansible.builtin.import_playbook"] == "know.yml", path.name


@pytest.mark.parametrize(
    ("hosts", "options", "renewed"),
    [
        ("h2", (), True),
        # Its own step gives the sign of life.
        ("h1", (), False),
        ("h1:h2", (), False),
        ("h2", ("--check",), False),
    ],
)
@pytest.mark.parametrize("own", [{}, {"rollout_dir": "/elsewhere"}])
def test_the_fleets_lock_is_renewed_where_no_step_does_it(root, tmp_path, hosts, options, renewed, own):
    store = Store(str(tmp_path / "state"))
    locking.hold(store, "r1", {"user": "alice", "host": "laptop", "action": "rollout"}, [], 77, 0, check=False)
    facts = {
        "ansible_connection": "local",
        "rollout_application": "app",
        "rollout_dir": str(tmp_path / "state"),
        "rollout_stacks": {},
        "rollout_run": "r1",
        "rollout_first": "h1",
        "rollout_hosts": ["h1", "h2"],
        "rollout_optional": [],
        "rollout_confirm_timeout": 900,
    }
    # Another host may keep its own state elsewhere.
    groups = {"backend": {"hosts": {"h1": {}}}, "cpu_workers": {"hosts": {"h2": own}}}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"vars": facts, "children": groups}}))
    imports = [{"name": "fleet"}, {"name": "lock", "tasks_from": "renew"}]
    tasks = [{"ansible.builtin.import_role": {**one, "rolespec_validate": False}} for one in imports]
    went_on = {"ansible.builtin.debug": {"msg": "The wave goes on."}}
    play = {"hosts": hosts, "gather_facts": False, "tasks": [*tasks, went_on]}
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    done = subprocess.run(
        ["ansible-playbook", "--inventory", str(tmp_path / "hosts.json"), str(tmp_path / "play.yml"), *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")},
            "ANSIBLE_CONFIG": str(root / "ansible.cfg"),
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The wave goes on." in done.stdout
    assert (store.lock() or {})["ttl"] == (900 if renewed else 77)

"""What holds for every play and every role."""

from __future__ import annotations

import pytest
import yaml

ROOT_PLAYBOOKS = ["rollback.yml", "rollout.yml", "status.yml"]


def roles_of(play):
    return [role if isinstance(role, str) else role["role"] for role in play.get("roles", [])]


def plays(root):
    for path in sorted((root / "playbooks").glob("*.yml")):
        for play in yaml.safe_load(path.read_text()):
            yield path.name, play


def test_every_play_of_the_fleet_starts_with_role_fleet(root):
    seen = 0
    for name, play in plays(root):
        if "hosts" in play and any(wave in play["hosts"] for wave in ("backend", "cpu_workers", "gpu_workers")):
            seen += 1
            assert roles_of(play)[:1] == ["fleet"], f"{name}: {play['name']}"
            assert "pre_tasks" not in play
            assert play["gather_facts"] is False
    assert seen >= 10


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


def test_every_task_is_named(root):
    def walk(tasks, path):
        for task in tasks:
            assert task.get("name"), (path, task)
            for part in ("block", "rescue", "always"):
                walk(task.get(part, []), path)

    for path in (root / "roles").glob("*/tasks/*.yml"):
        walk(yaml.safe_load(path.read_text()), path)

from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.controller import interrupted

STAYS = (
    "A lock of it may be left: on this machine the next run takes it over; on another one, type: ansible-playbook "
    "playbooks/unlock.yml"
)


@pytest.fixture
def command(tmp_path):
    """A program in place of ansible-playbook, which ends with that status; what it was told is in the file beside it."""

    def make(status):
        program = tmp_path / "ansible-playbook"
        program.write_text(
            "import json, os, sys\n"
            f"open({str(tmp_path / 'told')!r}, 'w').write(json.dumps([sys.argv[1:], os.environ.get('ROLLOUT_PROGRESS')]))\n"
            f"sys.exit({status})\n"
        )
        return str(program)

    return make


def told(tmp_path):
    return json.loads((tmp_path / "told").read_text())


def test_the_locks_are_given_back_by_the_same_command_with_another_playbook(command, tmp_path, root, monkeypatch):
    monkeypatch.setenv("ROLLOUT_PROGRESS", "/a/socket")
    typed = [command(0), "-i", "inventory/homelab", "rollout.yml", "-e", "sha=abc1234", "--limit", "core"]
    assert interrupted.give_back(typed, "rollout.yml", "run-a") == "Its locks were given back."
    assert told(tmp_path) == [
        [
            *("-i", "inventory/homelab", str(root / "playbooks/give_back.yml"), "-e", "sha=abc1234", "--limit", "core"),
            *("-e", '{"interrupted_run": "run-a"}'),
        ],
        None,
    ]


@pytest.mark.parametrize(
    ("status", "playbook"), [(4, "rollout.yml"), (0, "another.yml"), (0, None)], ids=["fails", "not on the line", "unknown"]
)
def test_where_they_may_be_left_it_says_what_to_type(command, status, playbook):
    assert interrupted.give_back([command(status), "rollout.yml"], playbook, "run-a") == STAYS


def test_so_does_one_that_takes_too_long(command, tmp_path, monkeypatch):
    program = command(0)
    (tmp_path / "ansible-playbook").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(interrupted, "LIMIT_S", 0.5)
    assert interrupted.give_back([program, "rollout.yml"], "rollout.yml", "run-a") == STAYS

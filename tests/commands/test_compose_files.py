"""Compose files and inventories that are wrong, through the real ansible-playbook: each is refused, and named with its line."""

from __future__ import annotations

import shutil

import pytest

pytestmark = pytest.mark.skipif(not shutil.which("ansible-playbook"), reason="ansible-playbook is absent")
UNTOUCHED = "ROLLOUT REFUSED: nothing was touched, what ran before still runs."


@pytest.fixture
def staged(ansible, registry, tmp_path):
    """What a rollout says of a stack whose template has this text."""

    def of(text, **typed):
        (tmp_path / "core.yml.j2").write_text(text)
        stack = {"wave": "backend", "template": str(tmp_path / "core.yml.j2"), "images": ["a"]}
        facts = {"rollout_registry": registry, "rollout_stacks": {"core": stack}, "workers": 1}
        done = ansible("rollout.yml", facts=facts, sha="abc1234", **typed)
        said = done.stdout + done.stderr
        assert done.returncode == 2, said
        assert "Traceback" not in said
        return " ".join(said.split())

    return of


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "{% for n in range(workers) %}{% endfor %}",
            "cannot be rendered: a text cannot be interpreted as an integer. A number is needed where it has workers: workers is "
            "a text.",
        ),
        ("a: {{ nowhere }}", "cannot be rendered: 'nowhere' is undefined. Define it in the inventory or with -e,"),
        ("a:\n  - {% if %}", "core.yml.j2, line 2, cannot be rendered: Syntax error in template: "),
    ],
)
def test_a_template_that_cannot_be_rendered(staged, tmp_path, text, sentence):
    said = staged(text, workers="3")
    assert f"{UNTOUCHED} On host localhost: {tmp_path}/core.yml.j2" in said
    assert sentence in said


@pytest.fixture
def inventory(tmp_path):
    """An inventory of which one file is broken."""
    (tmp_path / "inventory/group_vars").mkdir(parents=True)
    (tmp_path / "inventory/hosts.yml").write_text("backend:\n  hosts:\n    localhost:\n      ansible_connection: local\n")

    def spoil(file):
        broken = tmp_path / "inventory" / file
        broken.write_text("a:\n  b: 1\n c: 2\n")
        return f"{broken}, line 3: YAML parsing failed: While parsing a block mapping did not find expected key."

    return spoil


@pytest.mark.parametrize("file", ["group_vars/all.yml", "hosts.yml"])
@pytest.mark.parametrize("playbook", ["rollout.yml", "rollback.yml", "status.yml"])
def test_an_inventory_that_is_no_yaml(ansible, inventory, tmp_path, file, playbook):
    said_of_it = inventory(file)

    def typed(playbook, _inventory, options):
        return ["ansible-playbook", "-i", str(tmp_path / "inventory"), playbook, *options]

    done = ansible(playbook, typed=typed)
    said = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "INTERRUPTED" not in said
    assert said_of_it in said
    if playbook != "status.yml":
        assert said.startswith(f"{playbook.removesuffix('.yml').upper()} REFUSED: nothing was touched")

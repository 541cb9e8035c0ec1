"""The bundles of stacks, as Ansible's lookup gives them."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar


@pytest.fixture
def lookup(load, tmp_path):
    def run(*names, stacks, **options):
        loader, variables = DataLoader(), {"inventory_dir": str(tmp_path / "inventory"), "who": "me"}
        loader.set_basedir(str(tmp_path))
        plugin = load("plugins/lookup/stack_source.py").LookupModule(loader=loader, templar=Templar(loader, variables=variables))
        (found,) = plugin.run(list(names), variables, stacks=stacks, **options)
        return found

    for path, text in {
        "inventory/app/docker-compose.yml": "services: {web: {image: a}}\n",
        "inventory/app/conf": "c",
        "templates/x.yml.j2": "# {{ who }}\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return run


def test_the_stacks_of_a_host(lookup, tmp_path):
    stacks = {
        "a": {"compose": "app/docker-compose.yml"},
        "b": {"template": str(tmp_path / "templates/x.yml.j2")},
        "c": {"template": "x.yml.j2"},
        "other": {},
    }
    found = lookup("a", "b", "c", stacks=stacks)
    assert list(found) == ["a", "b", "c"]
    assert found["a"]["files"] == {"docker-compose.yml": {"text": "services: {web: {image: a}}\n", "mode": "0644"}}
    assert found["b"]["files"]["docker-compose.b.yml"]["text"] == "# me\n"
    assert found["c"]["files"]["docker-compose.c.yml"]["text"] == "# me\n"


def test_the_mounts_that_a_host_found(lookup):
    stacks = {"a": {"compose": "app/docker-compose.yml"}}
    bundles = lookup("a", stacks=stacks)
    mounts = {"a": [{"path": "conf", "kind": "bind", "read_only": True, "service": "web"}]}
    found = lookup("a", stacks=stacks, bundles=bundles, mounts=mounts)
    assert found["a"]["paths"] == ["conf"]
    assert found["a"]["files"]["conf"] == {"text": "c", "mode": "0644"}
    assert lookup("a", stacks=stacks, bundles=bundles, mounts={}) == bundles


def test_all_that_is_wrong_with_all_stacks(lookup):
    stacks = {"a": {"compose": "gone.yml"}, "b": {"template": "gone.j2"}}
    with pytest.raises(AnsibleError) as error:
        lookup("a", "b", stacks=stacks)
    assert "Stack a (" in str(error.value)
    assert "gone.j2 cannot be rendered: " in str(error.value)

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


# Templates, as Ansible's own templar renders them.

GIVEN = {
    "rollout_registry": "r",
    "ktrdr_backend_url": "http://b",
    "ktrdr_backend_seen_from_host": "http://b",
    "ktrdr_backtest_workers": 1,
    "ktrdr_training_workers": 1,
    "ktrdr_backtest_port": 5003,
    "ktrdr_training_port": 5005,
    "ktrdr_gpu_port": 5007,
    "ktrdr_grace_seconds": 10,
    "ktrdr_deadline": 120,
    "ktrdr_backtest_drain": {},
    "ktrdr_training_drain": {},
    "ktrdr_gpu_drain": {},
    "ktrdr_gpu": True,
}


@pytest.fixture
def render(load, root):
    def of(stack, **typed):
        loader, variables = DataLoader(), {**GIVEN, **typed}
        lookup = load("plugins/lookup/stack_source.py").LookupModule(loader=loader, templar=Templar(loader, variables=variables))
        spec = {"template": str(root / f"deploy/compose/docker-compose.{stack}.yml.j2")}
        ((found,),) = (one.values() for one in lookup.run([stack], variables, stacks={stack: spec}))
        return found["files"][f"docker-compose.{stack}.yml"]["text"]

    return of


@pytest.mark.parametrize(
    ("stack", "typed", "value"),
    [
        ("workers", {"ktrdr_backtest_workers": "3"}, 3),
        ("workers", {"ktrdr_training_workers": "2"}, 2),
        ("workers", {"ktrdr_backtest_port": "5103"}, 5103),
        ("workers", {"ktrdr_training_port": "5105"}, 5105),
        ("workers", {"ktrdr_grace_seconds": "20"}, 20),
        ("gpu-worker", {"ktrdr_gpu": "false"}, False),
        ("gpu-worker", {"ktrdr_gpu_port": "5107"}, 5107),
    ],
)
def test_what_is_typed_with_e_is_a_text_and_means_the_same(render, stack, typed, value):
    assert render(stack, **typed) == render(stack, **dict.fromkeys(typed, value))


@pytest.mark.parametrize(
    "name",
    ["ktrdr_backtest_workers", "ktrdr_training_workers", "ktrdr_backtest_port", "ktrdr_training_port", "ktrdr_grace_seconds"],
)
def test_what_is_no_number_is_refused_and_names_variable_and_file(render, name):
    with pytest.raises(AnsibleError) as error:
        render("workers", **{name: "three"})
    assert "deploy/compose/docker-compose.workers.yml.j2 cannot be rendered: " in str(error.value)
    assert str(error.value).endswith(f" A number is needed where it has {name}: {name} is a text.")


def test_a_template_that_is_nowhere(render):
    with pytest.raises(
        AnsibleError, match=r"docker-compose.nope.yml.j2 cannot be rendered: the template file .* could not be found"
    ):
        render("nope")

"""The compose files of a stack, as Ansible's own templar renders them."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

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
        lookup = load("plugins/lookup/compose_file.py").LookupModule(loader=loader, templar=Templar(loader, variables=variables))
        return lookup.run([str(root / f"deploy/compose/docker-compose.{stack}.yml.j2")], variables)[0]

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

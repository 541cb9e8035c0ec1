"""What a module says of itself and what it takes are the same."""

from __future__ import annotations

import importlib
from unittest import mock

import pytest
import yaml
from ansible.module_utils.rollout.agent import module as frame

MODULES = [
    "application",
    "backup",
    "compose_project_info",
    "drill",
    "job",
    "lock",
    "metrics_file",
    "notification",
    "release",
    "release_info",
    "rollout_host_info",
    "stack",
    "torch_check",
]
# Actions with nothing for a host: tests/unit/plugins/action/test_shown.py and test_adoption.py.
ON_THE_CONTROLLER = ["adoption", "run_report", "show"]


def spec_of(module):
    with mock.patch.object(frame, "run") as run:
        module.main()
    (verb, arguments), options = run.call_args
    assert callable(verb)
    return arguments, options


@pytest.mark.parametrize("name", MODULES)
def test_options(name):
    module = importlib.import_module(name)
    document = yaml.safe_load(module.DOCUMENTATION)
    arguments, _options = spec_of(module)
    assert document["module"] == name
    assert set(document["options"]) == set(arguments)
    for option, facts in document["options"].items():
        for key, absent in (
            ("type", "str"),
            ("required", False),
            ("default", None),
            ("choices", None),
            ("elements", None),
        ):
            assert facts.get(key, absent) == arguments[option].get(key, absent), (option, key)
        assert facts["description"]


@pytest.mark.parametrize("name", MODULES)
def test_secret_options_are_never_logged(name):
    arguments, _options = spec_of(importlib.import_module(name))
    for option, facts in arguments.items():
        # Where they are not names alone, stacks have secrets.
        secret = ("password", "registries", "secrets", "specs", "urls", *(["stacks"] if facts.get("type") == "dict" else []))
        assert bool(facts.get("no_log")) == (option in secret), option


@pytest.mark.parametrize("name", MODULES)
def test_examples_and_return(name):
    module = importlib.import_module(name)
    arguments, _options = spec_of(module)
    examples = yaml.safe_load(module.EXAMPLES)
    for example in examples:
        assert example["name"]
        assert set(example[name]) <= set(arguments)
        required = {option for option, facts in arguments.items() if facts.get("required")}
        assert required <= set(example[name])
    for facts in yaml.safe_load(module.RETURN).values():
        assert facts["description"]
        assert facts["type"]
        assert facts["returned"]


def test_every_module_is_here(root):
    assert sorted(p.stem for p in (root / "library").glob("*.py")) == sorted([*MODULES, *ON_THE_CONTROLLER])

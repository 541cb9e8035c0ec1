from __future__ import annotations

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.files import Store
from ansible.module_utils.rollout.switch import Switch


@pytest.fixture
def base(tmp_path):
    store = Store(str(tmp_path / "state"))
    store.require_writable()
    store.write_release("v1", {}, {"release": "v1", "images": {}, "stacks": []})
    return {"root": str(store.root), "application": "app", "run": "r1", "stack": "core", "name": "v1"}


def test_a_release_that_is_not_there(run, base):
    result = run("stack", **{**base, "name": "v2"})
    assert result["msg"].startswith("Release v2 is incomplete: ")


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_nothing_runs_and_nothing_is_wanted(run, docker, base, state, check):
    docker("ps*) exit 0;;\n")
    result = run("stack", check, **base, state=state)
    assert (result["changed"], result["services"]) == (False, [])
    assert not (Store(base["root"]).path).exists()


def test_an_engine_that_does_not_answer(run, docker, base):
    docker("ps*) echo 'Cannot connect to the Docker daemon' >&2; exit 1;;\n")
    assert run("stack", **base)["msg"] == "Listing containers failed: Cannot connect to the Docker daemon"


def test_a_gate_that_fails_says_which(run, base, monkeypatch):
    def fail(self, check, wait):
        raise RolloutError("Service web does not pass.", service="web", stack="core", gate="health", log="last")

    monkeypatch.setattr(Switch, "switch", fail)
    result = run("stack", **base)
    assert result["failed"]
    assert result["msg"] == "Service web does not pass."
    assert (result["service"], result["stack"], result["gate"], result["log"]) == (
        "web",
        "core",
        "health",
        "last",
    )


def test_the_arguments_arrive(run, base, monkeypatch):
    seen = []
    monkeypatch.setattr(
        Switch,
        "switch",
        lambda self, check, wait: (
            seen.append((self.project, self.run, self.torch_limit_s, check, wait)) or {"changed": False, "services": []}
        ),
    )
    run("stack", True, **base, wait=False, torch_timeout=7)
    assert seen == [("app-core", "r1", 7.0, True, False)]

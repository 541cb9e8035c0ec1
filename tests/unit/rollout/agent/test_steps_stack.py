from __future__ import annotations

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import guard, patience, switch
from ansible.module_utils.rollout.verbs.deployment import Policy
from story import held


@pytest.fixture
def base(tmp_path):
    store = Store(str(tmp_path / "state"))
    store.require_writable()
    store.write_release("v1", {}, {"release": "v1", "name": "v1", "application": "app", "images": {}, "stacks": []})
    held(store, "r1")
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


def test_an_engine_that_does_not_answer(run, docker, base, clock, monkeypatch):
    docker("ps*|info*) echo 'Cannot connect to the Docker daemon' >&2; exit 1;;\n")
    monkeypatch.setattr(patience, "ENGINE_S", 3.0)
    began = clock.time
    assert run("stack", **base)["msg"] == "Listing containers failed: Cannot connect to the Docker daemon"
    assert clock.time - began >= patience.ENGINE_S


def test_a_gate_that_fails_says_which(run, base, monkeypatch):
    def fail(deployment, arm):
        raise RolloutError("Service web does not pass.", service="web", stack="core", gate="health", log="last")

    monkeypatch.setattr(switch, "bring", fail)
    result = run("stack", **base)
    assert result["failed"]
    assert result["msg"] == "Service web does not pass."
    assert (result["service"], result["stack"], result["gate"], result["log"]) == (
        "web",
        "core",
        "health",
        "last",
    )


@pytest.mark.parametrize(
    ("check", "arguments", "verb"),
    [
        (False, {}, "bring"),
        (False, {"wait": False}, "bring_back"),
        (True, {}, "look"),
        (True, {"wait": False}, "differs"),
        (False, {"state": "absent"}, "remove"),
        (True, {"state": "absent"}, "remove"),
    ],
)
def test_the_arguments_arrive(run, base, monkeypatch, check, arguments, verb):
    seen = []
    for name in ("bring", "bring_back", "look", "differs", "remove"):

        def take(deployment, *_rest, name=name):
            seen.append((name, deployment.project, deployment.run, deployment.policy))
            return {"changed": False, "services": []}

        monkeypatch.setattr(switch, name, take)
    how = {"torch_timeout": 7, "gpu_release_timeout": 8, "drain": "wait", "drain_timeout": 9, "together": False}
    run("stack", check, **base, **arguments, **how)
    assert seen == [(verb, "app-core", "r1", Policy(7.0, 8.0, "wait", 9.0, together=False))]


def test_a_step_of_a_run_that_lost_the_lock_is_refused(run, docker, base):
    docker()
    held(Store(base["root"]), "r2", user="eve", host="laptop", action="rollback")
    result = run("stack", **base)
    assert (result["failed"], result["fenced"]) == (True, "run")
    assert result["msg"] == (
        "Run r1 no longer holds the lock of this host: run r2 (rollback) of eve@laptop, since 2026-01-01T00:00:00Z, took it over. "
        "Nothing more is done here by this run."
    )
    assert not run("stack", True, **base).get("failed"), "check mode needs no lock"


def test_the_guard_is_armed_with_what_the_task_says(run, base, monkeypatch):
    seen = []
    monkeypatch.setattr(guard, "arm", lambda store, *rest: seen.append(rest))
    monkeypatch.setattr(switch, "bring", lambda deployment, arm: arm() or {"changed": False, "services": []})
    run("stack", **base, confirm_timeout=7)
    assert seen == [("app", "r1", "v1", 7.0)]

"""The real answers of a whole run are declared: the controller drops nothing of them."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from ansible.module_utils.rollout.agent import steps
from ansible.module_utils.rollout.domain import answers
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.domain.steps import STEPS
from ansible.module_utils.rollout.errors import outcome
from ansible.module_utils.rollout.io import http, machine
from ansible.module_utils.rollout.verbs import guard
from story import Host, draining, order, stack, with_job

ROOM = Path(__file__).resolve().parents[4] / "module_utils/rollout"


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "arm", lambda store, application, run, name, timeout, again=False: None)
    monkeypatch.setattr(http, "ask", lambda url: Answer(url, 200))
    monkeypatch.setattr(http, "tell", lambda url, document: Answer(url, 200, operations=()))
    return Host(tmp_path / "state")


@pytest.fixture
def do(host):
    """Do a step, and see that what it answers is taken as it is. ``done`` are the names of the answers."""

    def call(step, check=False, /, fails=False, **given):
        defaults = {name: spec.get("default") for name, spec in STEPS[step].arguments.items()}
        params = {**defaults, "root": str(host.store.root), "application": "app", **given}
        said = outcome(lambda: steps.ACTS[step](host.store, host.engine, params, check))
        said = json.loads(json.dumps(said, default=str))
        assert bool(said.get("failed")) is fails, said
        name = answers.name(step, params, check)
        assert answers.taken(name, said) == said
        call.done.add(name)
        return said

    call.done = set()
    return call


def given(letter, **facts):
    """The parameters of the step that stages that release."""
    asked = order(letter, **facts)
    return {"release": asked.release, "run": asked.run, "images": asked.images, "stacks": sources(asked)}


def sources(asked):
    """The stacks of an order, as the controller says them."""
    return {
        stack: {
            "files": {path: {"text": file.text, "mode": file.mode} for path, file in one.files.items()},
            "compose": list(one.compose),
            "secrets": dict(one.secrets),
        }
        for stack, one in asked.stacks.items()
    }


def rollout(do, letter, text):
    run = {"run": f"run-{letter}"}
    do("lock", **run, observe=True)
    asked = given(letter, stacks={"core": text})
    do("release", release=asked["release"], run=asked["run"], stacks=asked["stacks"], state="read")
    do("release", True, **asked)
    name = do("release", **asked)["name"]
    switched = do("stack", **run, name=name, stack=["core"], confirm_timeout=60.0)
    assert switched["services"]
    assert switched["phases"]
    do("lock", **run, state="renewed")
    do("release", **run, state="proven", name=name)
    do("release", **run, state="stable", name=name, prove=True, behind=["h2"], keep=1)
    return name


def test_every_answer_of_a_run_is_taken_whole(do, host):
    do("lock", run="run-a", owner={"user": "ada"})
    first = rollout(do, "a", stack("sha-aaaaaaa"))
    do("lock", run="run-a", state="released")
    assert do("lock", run="run-b", observe=True)["host"]["ledger"]["stable"]["name"] == first
    rollout(do, "b", draining("b", mode="wait"))
    for state in ("proven", "restored"):
        assert do("drill", run="run-b", name=first, stack=["core"], state=state)["rows"]
    # One that does not pass: its failure, with all facts, and the way back.
    do("lock", run="run-b", state="released")
    do("lock", run="run-c")
    do("release", **given("c"))
    host.engine.broken["web"] = {"Status": "exited", "ExitCode": 3}
    failed = do("stack", fails=True, run="run-c", name="sha-ccccccc", stack=["core"], confirm_timeout=60.0)
    assert {"service", "stack", "gate", "log", "phases", "clock"} <= set(failed)
    host.engine.broken = {}
    interrupted = do("lock", True, run="run-c", observe=True)["host"]["ledger"]["interrupted"]
    assert interrupted["event"] == "switching"
    do("stack", run="run-c", name="sha-bbbbbbb", stack=["core"], wait=False)
    do("release", run="run-c", state="abandoned", name="sha-bbbbbbb")
    do("release", run="run-c", name="sha-bbbbbbb", stacks={"core": {}})
    do("stack", True, run="run-c", name="sha-bbbbbbb", stack=["core"])
    do("stack", run="run-c", name="sha-bbbbbbb", stack=["core"], state="absent")
    # A job that ran, one that fails, and what was stopped before it.
    asked = {**given("d", stacks={"core": with_job("sha-ddddddd")}), "run": "run-c"}
    assert {"jobs", "quiet"} <= set(do("release", True, **asked)["preview"])
    do("release", **asked)
    about = {"run": "run-c", "name": "sha-ddddddd", "stacks": ["core"]}
    do("job", **about, state="quiesced", ttl=60.0)
    do("job", **about, state="saved", jobs=["job"])
    do("job", **about, state="still")
    host.engine.broken["run job"] = {"Status": "exited", "ExitCode": 3}
    failed = do("job", fails=True, **about)
    assert {"service", "stack", "gate", "log", "release", "begun", "saved", "phases", "clock"} <= set(failed)
    host.engine.broken["run job"] = {"Status": "exited", "ExitCode": 0}
    assert do("job", **about)["jobs"]
    do("job", **about, state="passed")
    do("job", **about, state="after")
    do("job", **about, state="restored")
    # Nothing was backed up before the job.
    assert do("job", fails=True, **about, state="back")["gate"] == "data"
    do("backup", run="run-c", stacks=["core"])
    do("lock", fails=True, run="run-d")
    do("lock", fails=True, run="run-d", state="renewed")
    assert do.done == {name for name in answers.ANSWERS if " " in name}


@pytest.mark.parametrize("state", ["restored", "saved", "before", "passed"])
def test_behind_its_jobs_a_guard_waits_as_long_as_before_them(do, host, monkeypatch, state):
    """Else backups and jobs would take the time of the switches."""
    seen = []
    monkeypatch.setattr(guard, "arm", lambda store, *rest, **more: seen.append((rest[-1], more)))
    do("lock", run="run-a", owner={"user": "ada"})
    rollout(do, "a", stack("sha-aaaaaaa"))
    do("lock", run="run-a", state="released")
    do("lock", run="run-b")
    about = {"run": "run-b", "name": "sha-aaaaaaa", "stacks": ["core"], "state": state, "confirm_timeout": 900.0}
    do("job", **about)
    assert (900.0, {"again": True}) not in seen, "nothing was stopped, so no guard is armed"
    host.store.append("armed", "run-b", name="sha-aaaaaaa", release="sha-aaaaaaa", timeout=900, **machine.clock().mark())
    do("job", **about)
    assert seen[-1] == (900.0, {"again": True})


def facts_of(tree):
    """The keys of every literal that is handed to an error as its facts, in the file of that tree."""
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        literals = {
            target.id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            for word in call.keywords:
                if word.arg == "facts":
                    value = literals[word.value.id] if isinstance(word.value, ast.Name) else word.value
                    keys = [key for node in ast.walk(value) if isinstance(node, ast.Dict) for key in node.keys if key]
                    yield from (key.value for key in keys if isinstance(key, ast.Constant))


def test_every_fact_behind_an_error_is_declared():
    found = {
        fact
        for room in ("domain", "io", "verbs")
        for file in (ROOM / room).rglob("*.py")
        for fact in facts_of(ast.parse(file.read_text()))
    }
    assert {"fenced", "unproven", "holder", "gate"} <= found
    verdict = {"verdict": "fail", "reason": "x", "fault": None, "on_gpu": True, "remedy": "", "expected": "", "observed": ""}
    flags = dict.fromkeys(("away", "damaged", "idle"), True)
    values = {"fenced": "run", "torch": verdict, **flags}
    failure = {"failed": True, "msg": "no", **{fact: values.get(fact, "x") for fact in found}}
    assert answers.taken("stack present", failure) == failure

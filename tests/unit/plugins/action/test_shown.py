"""The actions that hand a screen over: show and run_report."""

from __future__ import annotations

import json
from types import SimpleNamespace

import jsonschema
import pytest
import run_documents
import yaml
from ansible.module_utils.rollout.controller.report.times import Times


@pytest.fixture
def act(load, monkeypatch):
    """Run an action with these arguments, without a task."""

    def run(name, arguments):
        plugin = load(f"plugins/action/{name}.py")
        monkeypatch.setattr(plugin.ActionBase, "run", lambda self, tmp, task_vars: {})
        action = plugin.ActionModule.__new__(plugin.ActionModule)
        action._task = SimpleNamespace(args=arguments, action=name)
        return action.run()

    return run


@pytest.mark.parametrize("more", [{}, {"at_once": True}])
def test_show(act, more):
    assert act("show", {"text": "WELL", **more}) == {
        **more,
        "msg": "WELL",
        "changed": False,
        "_ansible_verbose_always": True,
    }


def end_of(make):
    """What the filter rollout_verdict returns, of a document without what only the controller's clock knows."""
    timed = ("started", "seconds", "waves", "events")
    document = {key: value for key, value in make().items() if key not in timed}
    message = {"title": "t", "body": "b", "kind": "success"}
    facts = {"verdict": document["verdict"], "good": document["good"], "screen": "THE SCREEN", "message": message}
    return {**facts, "document": document}


@pytest.mark.parametrize("make", [run_documents.succeeded, run_documents.reverted])
@pytest.mark.parametrize("heard", [True, False])
def test_run_report(act, tmp_path, monkeypatch, root, make, heard):
    monkeypatch.setenv("ROLLOUT_REPORTS", str(tmp_path))
    times = Times()
    monkeypatch.setattr(Times, "heard", times if heard else None)
    times.play("Switch the backend")
    phase = {"phase": "stop", "service": "web", "detail": "", "from": 0.0, "to": 1.0, "good": True}
    times.step("h1", {"phases": [phase], "clock": 1.0})
    run = end_of(make)
    result = act("run_report", {"run": run, "seconds": 61.5})
    (file,) = tmp_path.glob("*/report.json")
    assert result == {
        "verdict": run["verdict"],
        "good": run["good"],
        "message": run["message"],
        "msg": f"THE SCREEN\n\nReport: {file.with_suffix('.html')}",
        "changed": False,
        # What is not good is said by the failure that the run ends in.
        "_ansible_verbose_always": run["good"],
    }
    document = json.loads(file.read_text(encoding="utf-8"))
    schema = json.loads((root / "docs" / "report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    assert [event["phase"] for event in document.get("events", [])] == (["stop"] if heard else [])
    unheard = "When each step began and ended is not known: Ansible did not load the callback rollout, which ansible.cfg enables."
    assert (unheard in document["notes"]) is not heard
    assert (unheard in file.with_suffix(".html").read_text(encoding="utf-8")) is not heard
    assert (document["seconds"] == 61.5) is not heard


@pytest.mark.parametrize("name", ["adoption", "show", "run_report"])
def test_the_documentation_has_the_arguments(load, name):
    document, arguments = yaml.safe_load(load(f"library/{name}.py").DOCUMENTATION), load(f"plugins/action/{name}.py").ARGUMENTS
    assert document["module"] == name
    assert set(document["options"]) == set(arguments)
    for option, facts in arguments.items():
        assert {key: document["options"][option].get(key) for key in facts} == facts
    for example in yaml.safe_load(load(f"library/{name}.py").EXAMPLES):
        assert set(example[name]) <= set(arguments)

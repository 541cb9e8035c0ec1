"""The action of a module that runs on a host: it takes what is declared, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.module_utils.rollout.controller.module_action import ModuleAction

HOSTILE = {
    "add_host": {"host_name": "h1"},
    "ansible_facts": {"rollout_stacks": {}},
    "unreachable": True,
    "results": [{"failed": 1}],
}
JUDGED = {"fault": None, "on_gpu": False, "remedy": "", "expected": "torch"}


@pytest.fixture
def run():
    def make(module, answer, interpreter=None, variables=None, **args):
        class Fake(ModuleAction):
            def _execute_module(self, task_vars):
                for key, value in (interpreter or {}).items():
                    self._discovered_interpreter_key, self._discovered_interpreter = key, value
                return answer(task_vars) if callable(answer) else dict(answer)

        task = SimpleNamespace(async_val=0, check_mode=False, action=f"ansible.legacy.{module}", args=args)
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/tmp/x"), transport="ssh")
        return Fake(task, connection, None, None, SimpleNamespace(template=lambda value: value)).run(task_vars=variables or {})

    return make


@pytest.mark.parametrize(
    ("module", "answer"),
    [
        ("metrics_file", {"changed": True, "path": "/srv/rollout_app.prom"}),
        ("notification", {"changed": False, "sent": 1, "unsent": []}),
        ("torch_check", {"changed": False, "verdict": "pass", "reason": "ok", "observed": "torch 2.13", **JUDGED}),
        ("torch_check", {"failed": True, "msg": "no torch", "verdict": "fail", "reason": "torch_missing", "fault": None}),
        ("rollout_host_info", {"failed": True, "msg": "Docker is absent."}),
    ],
)
def test_it_takes_what_is_declared(run, module, answer):
    assert run(module, {**answer, **HOSTILE}) == answer


def test_what_the_host_was_told_is_masked_in_its_answer(run):
    stacks = {"core": {"secrets": {"PW": "canary-pw"}}}
    told = {"h1": {"rollout_stacks": stacks, "rollout_registry_password": "canary-token"}}
    answer = {"failed": True, "msg": "it was told canary-pw, canary-token and canary-url"}
    said = run("notification", answer, variables={"inventory_hostname": "h1", "hostvars": told}, urls=["canary-url"])
    assert said["msg"] == "it was told ********, ******** and ********"


def test_an_answer_that_is_none_is_a_failure(run):
    said = run("rollout_host_info", {"changed": False, "services": "all"})
    assert said == {"failed": True, "msg": said["msg"]}
    assert said["msg"].startswith("The host's answer to rollout_host_info was not used: its answer.variants is missing")


def test_the_sentence_of_a_module_that_failed(run):
    """Ansible hands an object over where the module gave it a text."""
    failed = {"failed": True, "msg": "Docker is absent.", "exception": object()}
    assert run("rollout_host_info", failed) == {"failed": True, "msg": "Docker is absent."}
    assert run("rollout_host_info", {**failed, "exception": "Traceback"})["exception"] == "Traceback"


@pytest.mark.parametrize(
    ("exception", "kept"),
    [
        ("Traceback …", {"exception": "Traceback …"}),
        (SimpleNamespace(event=SimpleNamespace(formatted_traceback="Traceback …")), {"exception": "Traceback …"}),
        (SimpleNamespace(event=SimpleNamespace(formatted_traceback=None)), {}),
        (object(), {}),
    ],
)
def test_what_ansible_makes_of_an_exception_is_text_again(run, exception, kept):
    said = run("rollout_host_info", {"failed": True, "msg": "Docker is absent.", "exception": exception})
    assert said == {"failed": True, "msg": "Docker is absent.", **kept}


def test_an_answer_over_which_ansible_stumbles_is_a_failure(run):
    def stumbles(task_vars):
        raise TypeError("'str' object does not support item assignment")

    assert run("metrics_file", stumbles)["msg"].startswith(
        "The host's answer to metrics_file was not used: it is not one (TypeError)."
    )


def test_the_interpreter_that_ansible_found_is_kept(run):
    found = {"discovered_interpreter_python": "/usr/bin/python3"}
    said = run("metrics_file", {"changed": True, "path": "/x", "ansible_facts": {**found, "rollout_stacks": {}}}, found)
    assert said == {"changed": True, "path": "/x", "ansible_facts": found}

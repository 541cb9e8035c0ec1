"""The action of a step (lock, release, stack): what it hands to the host, and what it makes of what comes back."""

from __future__ import annotations

import datetime
import io
import json
import shlex
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.module_utils.rollout import door
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

STORE = {"root": "/srv/r", "application": "app", "run": "r1"}
# The least that each step is given.
STEPS = {"lock": STORE, "release": STORE, "stack": {**STORE, "stack": ["core"], "name": "v1"}}
HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
DONE = {"changed": True, "released": ""}
MODULES_OWN = {"changed": True, "msg": "the module ran"}


def said(code=0, stdout="", stderr=""):
    return {"rc": code, "stdout": stdout, "stderr": stderr}


def answered(**answer):
    """What the door prints for an answer of the agent."""
    return said(stdout=json.dumps(answer) + "\n")


@pytest.fixture(scope="module")
def plugin(load):
    return load("plugins/action/stack.py")


@pytest.fixture
def action(plugin):
    """An action whose host says ``says``, one after the other. ``asked`` has the command and the standard input of each call."""

    def make(step, says, check=False, verbosity=0, delegate_to=None, task_environment=None, **args):
        left = list(says)

        class Fake(plugin.ActionModule):
            def _low_level_execute_command(self, command, sudoable=False, in_data=None):
                assert sudoable, "as whom the step works, become says"
                self.asked.append((command, in_data))
                return left.pop(0)

            def _execute_module(self, task_vars=None):
                self.executed.append(task_vars)
                return dict(MODULES_OWN)

        values = {"action": step, "args": {**STEPS[step], **args}, "delegate_to": delegate_to, "environment": task_environment}
        shell = SimpleNamespace(
            tmpdir="/tmp/x", env_prefix=lambda **all: " ".join(f"{k}={shlex.quote(v)}" for k, v in all.items())
        )
        connection = SimpleNamespace(_shell=shell, transport="ssh", become=None)
        made = Fake(SimpleNamespace(async_val=0, check_mode=check, **values), connection, None, None, Templar(DataLoader()))
        made._display = SimpleNamespace(verbosity=verbosity, vvv=lambda text: made.shown.append(text))
        made._load_name = step
        made.asked, made.executed, made.shown = [], [], []
        return made

    return make


def run(made, **variables):
    result = made.run(task_vars={"inventory_hostname": "h1", **variables})
    assert len(made.asked) <= 2
    return result


def sent(made, call=-1):
    """What follows the door's text on standard input."""
    command, data = made.asked[call]
    return data[int(shlex.split(command)[-2]) :]


def request(made, call=-1):
    return json.loads(sent(made, call).partition(b"\n")[0])


def package(made, call=-1):
    """The names in the zip file that came with a request, or none."""
    data = sent(made, call).partition(b"\n")[2]
    return set(zipfile.ZipFile(io.BytesIO(data)).namelist()) if data else set()


# What is asked.


@pytest.mark.parametrize("step", STEPS)
def test_the_step_is_sent_with_every_parameter(action, plugin, step):
    made = action(step, [answered(**DONE)])
    assert run(made) == DONE
    assert request(made) == {
        "step": step,
        "params": {name: spec.get("default") for name, spec in plugin.STEPS[step].arguments.items()} | STEPS[step],
        "check": False,
        "verbose": False,
    }
    assert made.executed == []


def test_an_action_may_be_named_in_full(action):
    made = action("stack", [answered(**DONE)])
    made._task.action = "ansible.legacy.stack"
    run(made)
    assert request(made)["step"] == "stack"


def test_parameters_are_sent_as_what_they_are(action):
    # A playbook's templates leave texts behind.
    texts = {"ttl": "60", "wait": "7.5", "observe": "yes", "owner": '{"user": "ada", "alive": ["7:1"]}'}
    made = action("lock", [answered(**DONE)], **texts)
    run(made)
    params = request(made)["params"]
    assert {name: params[name] for name in texts} == {
        "ttl": 60.0,
        "wait": 7.5,
        "observe": True,
        "owner": {"user": "ada", "alive": ["7:1"]},
    }
    # The task's own arguments stay: the module may have to run, and a task may be run again.
    assert made._task.args == {**STORE, **texts}


@pytest.mark.parametrize(("verbosity", "verbose"), [(0, False), (2, False), (3, True)])
@pytest.mark.parametrize("check", [True, False])
def test_check_mode_and_verbosity_are_sent(action, check, verbosity, verbose):
    made = action("lock", [answered(**DONE)], check=check, verbosity=verbosity)
    run(made)
    assert (request(made)["check"], request(made)["verbose"]) == (check, verbose)


def test_what_is_no_json_is_sent_as_text(action):
    # YAML makes a date of it.
    made = action("release", [answered(**DONE)], environment={"SINCE": datetime.date(2026, 1, 2)})
    run(made)
    assert request(made)["params"]["environment"] == {"SINCE": "2026-01-02"}


@pytest.mark.parametrize(
    ("run_id", "directory"),
    [("20261123-a1b2", "/tmp/rollout-20261123-a1b2"), ("", "/tmp/rollout-unlock"), ("a b", "/tmp/rollout-a b")],
)
def test_the_command_is_the_door_and_the_runs_directory(action, root, run_id, directory):
    made = action("lock", [answered(**DONE)], state="released", run=run_id)
    run(made)
    text = (root / "module_utils/rollout/door.py").read_bytes()
    command, data = made.asked[0]
    assert shlex.split(command) == ["python3", "-ISc", door.READ, str(len(text)), directory]
    assert data.startswith(text)


def test_the_tasks_environment_reaches_the_agent(action):
    made = action("lock", [answered(**DONE)], task_environment=[{"DOCKER_HOST": trust_as_template("{{ engine }}")}, None])
    made._templar.available_variables = {"engine": "unix:///my run/docker.sock"}
    run(made)
    assert shlex.split(made.asked[0][0])[:2] == ["DOCKER_HOST=unix:///my run/docker.sock", "python3"]


# The package.


def loaded_by_an_agent(root):
    """The files of the package that a process of its own has loaded once it is ready for every step."""
    prefix = "ansible.module_utils.rollout."
    script = f"""
import sys, types
for name in ("ansible", "ansible.module_utils"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["ansible.module_utils"].__path__ = ["module_utils"]
import {prefix}agent
print(*[name[{len(prefix)}:] + ".py" for name in sys.modules if name.startswith("{prefix}")])
"""
    done = subprocess.run([sys.executable, "-ISc", script], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_package_is_what_an_agent_needs_and_no_more(plugin):
    names = set(zipfile.ZipFile(io.BytesIO(plugin.package())).namelist())
    modules = {name.rpartition("/")[2] for name in names if name.endswith(".py")}
    assert modules == {"__init__.py", *loaded_by_an_agent(plugin._HERE.parent)}
    assert {name + "c" for name in names if name.endswith(".py") and not name.endswith("__init__.py")} <= names
    assert "__main__.py" not in names
    assert plugin.package() == plugin.package()


@pytest.mark.parametrize(
    ("step", "args", "sent"),
    [
        ("lock", {}, True),
        ("lock", {"state": "held"}, True),
        ("lock", {"state": "renewed"}, False),
        ("lock", {"state": "released"}, False),
        ("release", {}, False),
        ("stack", {}, False),
    ],
)
def test_only_the_runs_first_word_brings_the_package(action, step, args, sent):
    made = action(step, [answered(**DONE)], **args)
    assert run(made) == DONE
    assert len(made.asked) == 1
    assert bool(package(made)) is sent


def test_where_the_agent_is_gone_the_step_is_sent_again_with_the_package(action, plugin):
    made = action("stack", [said(door.SEND), answered(**DONE)])
    assert run(made) == DONE
    assert made.asked[0][0] == made.asked[1][0]
    assert (package(made, 0), request(made, 0)) == (set(), request(made, 1))
    assert sent(made).partition(b"\n")[2] == plugin.package()
    assert made.executed == []


def test_it_is_sent_again_once(action):
    made = action("stack", [said(door.SEND)] * 2)
    assert run(made) == {"failed": True, "msg": f"The step stack did not end: exit status {door.SEND}."}
    assert len(made.asked) == 2


@pytest.mark.parametrize(
    ("answer", "secrets", "texts"),
    [
        ({"preview": {}}, {"KEY": "canary"}, {"texts": ["b: 1", "a: 2"]}),
        # It would be shown with -v.
        ({"preview": {}}, {"KEY": "b: 1"}, {}),
        # It was no preview.
        ({"changed": True}, {}, {}),
        ({"failed": True, "msg": "no"}, {}, {}),
    ],
)
def test_what_was_previewed_is_handed_on_to_be_staged(action, answer, secrets, texts):
    made = action("release", [answered(**answer)], check=True, stacks={"workers": "b: 1", "core": "a: 2"}, secrets=secrets)
    assert run(made) == {**answer, **texts}


def test_a_preview_without_compose_files_has_none(action):
    assert run(action("release", [answered(preview={})], check=True)) == {"preview": {}}


# On the controller itself.


@pytest.fixture
def here(action, plugin, monkeypatch):
    """An action whose host is the controller; ``answers`` are what an agent there says, ``asked_here`` what it was asked."""

    def make(answers, says=(), step="stack", transport="local", become=None, **args):
        made = action(step, says, **args)
        made._connection.transport, made._connection.become = transport, become
        made.asked_here = []

        def ask(directory, request, start):
            made.asked_here.append((directory, json.loads(request), start))
            return answers.pop(0)

        monkeypatch.setattr(plugin, "ask", ask)
        return made

    return make


LINE = json.dumps(DONE).encode() + b"\n"


def test_an_agent_on_the_controller_is_asked_without_a_process(here):
    made = here([LINE], [])
    assert run(made) == DONE
    ((directory, request, start),) = made.asked_here
    assert (directory, request["step"], request["params"]["stack"], start) == ("/tmp/rollout-r1", "stack", ["core"], False)


def test_where_it_ended_over_the_step_that_is_said(here):
    made = here([b""], [])
    assert run(made) == {"failed": True, "msg": f"The step stack did not end: {door.ENDED}."}
    assert (made.asked, made.executed) == ([], []), "the step may have been begun"


def test_where_there_is_none_one_is_started_as_on_any_host(here):
    made = here([None], [said(door.SEND), answered(**DONE)])
    assert run(made) == DONE
    assert package(made)


@pytest.mark.parametrize("other", [{"transport": "ssh"}, {"become": "sudo"}], ids=["ssh", "become"])
@pytest.mark.parametrize("step", ["stack", "lock"])
def test_any_other_goes_through_the_door(here, step, other):
    made = here([], [answered(**DONE)], step=step, **other)
    assert run(made, ansible_python_interpreter=sys.executable) == DONE
    assert (len(made.asked), made.asked_here) == (1, [])


def test_a_runs_first_word_there_makes_the_agent_of_this_process(here):
    made = here([LINE], step="lock")
    assert run(made, ansible_python_interpreter=sys.executable) == DONE
    ((_directory, request, start),) = made.asked_here
    assert (request["step"], start, made.asked) == ("lock", True, [])


@pytest.mark.parametrize(
    ("python", "environment"),
    [("auto", None), ("/usr/bin/python3.11", None), (sys.executable, [{"DOCKER_HOST": "unix:///srv/d.sock"}])],
    ids=["any Python", "another Python", "another environment"],
)
def test_an_agent_that_is_to_be_another_process_is_started_by_the_door(here, python, environment):
    made = here([], [answered(**DONE)], step="lock", task_environment=environment)
    assert run(made, ansible_python_interpreter=python) == DONE
    assert (len(made.asked), made.asked_here) == (1, [])
    assert package(made)


def test_where_no_agent_can_be_made_the_door_is_asked(here):
    made = here([None], [answered(**DONE)], step="lock")
    assert run(made, ansible_python_interpreter=sys.executable) == DONE
    assert package(made)


def test_what_is_hidden_is_hidden_there_too(here):
    made = here([b'{"msg": "canary"}\n'], step="release", password="canary")
    assert run(made) == {"msg": HIDDEN}


# Where there can be no agent.


@pytest.mark.parametrize("says", [[said(door.NO_AGENT, "", "not here")], [said(127, "", "not here")]])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_without_an_agent_the_module_runs(action, step, again, says):
    made = action(step, [said(door.SEND)] * again + says)
    assert run(made) == MODULES_OWN
    assert made.executed == [{"inventory_hostname": "h1"}]
    assert made.shown == ["No agent takes the step here: not here"]


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (said(1, "", "Traceback\n  …\nKeyError: 'x'\n"), "KeyError: 'x'"),
        # sudo's prompts and the like come on standard output.
        (said(1, "sorry, a password is required\n", ""), "sorry, a password is required"),
        (said(137), "exit status 137"),
        (said(1, "", " \n"), "exit status 1"),
    ],
)
def test_a_door_that_fails_is_a_sentence(action, says, words):
    made = action("release", [says])
    assert run(made) == {"failed": True, "msg": f"The step release did not end: {words}."}
    assert made.executed == [], "the step may have been begun"


# The answer.


@pytest.mark.parametrize("answer", [answered(**DONE), answered(failed=True, msg="no"), said(1, "", "Killed")])
def test_what_earlier_waves_did_is_handed_on_whatever_comes_of_this_one(action, answer):
    earlier = [{"service": "web", "action": "recreate"}]
    assert run(action("stack", [answer], earlier=earlier))["earlier"] == earlier


@pytest.mark.parametrize("earlier", [[{"service": "web", "action": "recreate"}], []])
def test_so_it_is_where_the_host_is_lost(action, earlier):
    made = action("stack", [], earlier=earlier)

    def lost(*given, **options):
        raise AnsibleConnectionFailure("Connection refused")

    made._low_level_execute_command = lost
    if earlier:
        assert run(made) == {"unreachable": True, "msg": "Connection refused", "earlier": earlier}
    else:
        with pytest.raises(AnsibleConnectionFailure):
            run(made)


def test_a_failed_step_is_told_as_it_is(action):
    facts = {"failed": True, "msg": "Service web does not pass.", "gate": "health", "log": ["a", "b"]}
    made = action("stack", [answered(**facts)])
    assert run(made) == facts


def test_secrets_are_hidden_in_the_answer(action):
    answer = {
        "msg": "login as karl with canary-1 failed",
        "canary": "canary-2",
        "list": ["canary-2 and canary-1", {"deep": "x canary-2"}, 7, None, True],
        "number": 90017,
    }
    made = action("release", [answered(**answer)], username="karl", password="canary-1", secrets={"PW": "canary-2", "PIN": 90017})
    assert run(made) == {
        "msg": "login as karl with ******** failed",
        "canary": HIDDEN,
        "list": ["******** and ********", {"deep": "x ********"}, 7, None, True],
        "number": HIDDEN,
    }
    # The host gets them as they are.
    params = request(made)["params"]
    assert (params["password"], params["secrets"]) == ("canary-1", {"PW": "canary-2", "PIN": 90017})


def test_a_short_secret_makes_no_other_name_or_number(action):
    answer = {
        "name": "sha-abc1234",
        "to_pull": 15432000,
        "clock": 5432,
        "msg": "port 5432",
        "preview": {"free": 15432000, "services": [{"service": "db-5432", "new": "sha256:5432"}]},
    }
    made = action("release", [answered(**answer)], secrets={"PORT": 5432, "PIN": "1234"})
    assert run(made) == {**answer, "msg": "port ********"}


@pytest.mark.parametrize("secrets", [{}, {"EMPTY": ""}])
def test_an_empty_secret_hides_nothing(action, secrets):
    made = action("release", [answered(msg="", name="v1")], password="", secrets=secrets)
    assert run(made) == {"msg": "", "name": "v1"}


def test_no_secret_is_on_the_command_line(action):
    made = action("release", [said(door.SEND), answered(**DONE)], password="canary-1", secrets={"PW": "canary-2"})
    run(made)
    assert not [command for command, _data in made.asked if "canary" in command]


# The interpreter.


@pytest.mark.parametrize(
    ("variables", "delegate_to", "python"),
    [
        ({}, None, "python3"),
        ({"ansible_python_interpreter": "/opt/my python/bin/python3.12"}, None, "/opt/my python/bin/python3.12"),
        ({"ansible_python_interpreter": "auto"}, None, "python3"),
        ({"ansible_python_interpreter": "auto_silent"}, None, "python3"),
        ({"ansible_python_interpreter": trust_as_template("{{ where }}/python3"), "where": "/opt"}, None, "/opt/python3"),
        (
            {
                "ansible_python_interpreter": "/opt/mine",
                "ansible_delegated_vars": {"h2": {"ansible_python_interpreter": "/opt/theirs"}},
            },
            "h2",
            "/opt/theirs",
        ),
        ({"ansible_python_interpreter": "/opt/mine", "ansible_delegated_vars": {"h2": {}}}, "h2", "python3"),
        (
            {
                "ansible_python_interpreter": "/opt/mine",
                "ansible_delegated_vars": {"h2": {"ansible_python_interpreter": "/opt/theirs"}},
            },
            None,
            "/opt/mine",
        ),
    ],
)
def test_the_interpreter_is_the_hosts_that_does_the_step(action, variables, delegate_to, python):
    made = action("lock", [answered(**DONE)], delegate_to=delegate_to)
    # As the task executor has it.
    made._templar.available_variables = variables
    run(made, **variables)
    assert shlex.split(made.asked[0][0])[0] == python


# Arguments that are none.


@pytest.mark.parametrize(
    ("step", "args", "without", "sentence"),
    [
        ("lock", {}, "root", "missing required arguments: root"),
        ("stack", {}, "name", "missing required arguments: name"),
        ("lock", {"state": "open"}, None, "value of state must be one of: held, renewed, released, got: open"),
        ("lock", {"ttl": "soon"}, None, "argument 'ttl' is of type str and we were unable to convert to float"),
        ("lock", {"key": 1}, None, "Unsupported parameters for (lock) module: key. Supported parameters include: application, "),
        ("stack", {"wait": "perhaps"}, None, "argument 'wait' is of type str and we were unable to convert to bool"),
    ],
)
def test_a_wrong_argument_is_refused_as_ansible_does(action, step, args, without, sentence):
    made = action(step, [], **args)
    made._task.args.pop(without, None)
    with pytest.raises(AnsibleActionFail) as error:
        run(made)
    assert str(error.value).startswith(sentence)
    assert (made.asked, made.executed) == ([], [])


# Which release is meant: in the controller's own process.

DIGEST = "sha256:" + "1" * 64
REVISION = "abc1234def5678abc1234def5678abc1234def56"


def stable(release, run_id, seq):
    return {"name": release, "release": release, "run": run_id, "seq": seq}


A, B = stable("sha-aaaaaaa", "r1", 2), stable("sha-bbbbbbb", "r2", 4)
LEDGERS = {host: {"known": [A, B], "history": [A, B]} for host in ("h1", "h2")}


@pytest.fixture
def find(load):
    """Run the action release_info, which has no connection to ask."""
    loaded = load("plugins/action/release_info.py")

    def ask(verbosity=0, **args):
        task = SimpleNamespace(async_val=0, check_mode=False, action="release_info", args=args)
        made = loaded.ActionModule(task, SimpleNamespace(_shell=SimpleNamespace(tmpdir="/tmp/x")), None, None, None)
        made._display = SimpleNamespace(verbosity=verbosity)
        made._load_name = "release_info"
        return made.run(task_vars={"inventory_hostname": "h1"})

    return ask


@pytest.mark.parametrize("asked", [{}, {"sha": "aaaaaaa"}])
def test_a_rollback_is_found_in_the_ledgers(find, asked):
    assert find(action="rollback", ledgers=LEDGERS, first="h1", **asked) == {
        "changed": False,
        "release": "sha-aaaaaaa",
        "tag": f"sha-{asked['sha']}" if asked else "",
        "images": {},
        "names": {"h1": "sha-aaaaaaa", "h2": "sha-aaaaaaa"},
    }


def test_a_rollback_that_cannot_be_is_refused(find):
    result = find(action="rollback", ledgers={"h1": {"known": [A], "history": [A]}}, first="h1")
    assert result["failed"]
    assert result["msg"].startswith("There is no earlier stable release on host h1 to roll back to.")


def test_a_rollout_asks_the_registry(find, monkeypatch):
    from ansible.module_utils.rollout.registry import Registry

    resolved = {"digest": DIGEST, "revision": REVISION, "platforms": {}}
    monkeypatch.setattr(Registry, "tags", lambda self, path: ["sha-abc1234", "latest"])
    monkeypatch.setattr(Registry, "resolve", lambda self, path, tag: resolved)
    assert find(sha="abc1234", registry="localhost:5000", images=["web"]) == {
        "changed": False,
        "release": "sha-abc1234",
        "tag": "sha-abc1234",
        "images": {"localhost:5000/web": resolved},
        "names": {},
    }


@pytest.mark.parametrize("planned", ["rollout", "rollback"])
def test_a_refusal_that_was_found_before_is_the_answer(find, planned):
    said = find(action=planned, refusal="Hosts disagree.", registry="localhost:1", images=["web"], ledgers=LEDGERS, first="h1")
    assert said == {"failed": True, "msg": "Hosts disagree."}


@pytest.mark.parametrize(("verbosity", "told"), [(2, False), (3, True)])
def test_a_defect_is_a_sentence_and_with_three_vs_more(find, verbosity, told):
    said = find(verbosity, action="rollback", ledgers={"h1": {}}, first="h1")
    assert said["msg"] == "Unexpected KeyError: 'known'. This is a defect of the rollout; run again with -vvv."
    assert ("_for_rollback" in said.get("exception", "")) is told


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"timeout": "soon"}, "argument 'timeout' is of type str and we were unable to convert to float"),
        ({"colour": "red"}, "Unsupported parameters for (release_info) module: colour."),
    ],
)
def test_a_wrong_argument_of_release_info_is_refused_as_ansible_does(find, args, sentence):
    with pytest.raises(AnsibleActionFail) as error:
        find(**args)
    assert str(error.value).startswith(sentence)


def test_what_a_login_prints_around_the_answer_is_passed_over(action):
    made = action("lock", [said(0, "Welcome to host1!\n" + json.dumps(DONE) + "\nBye.\n")])
    assert run(made) == DONE


def test_a_secret_that_is_none_or_a_truth_value_hides_nothing(action):
    made = action("release", [answered(msg="None is True")], secrets={"A": None, "B": True})
    assert run(made) == {"msg": "None is True"}


def test_secrets_within_secrets_are_hidden(action):
    made = action("release", [answered(msg="x canary y 4711")], secrets={"A": {"deep": ["canary", 4711]}})
    assert run(made) == {"msg": "x ******** y ********"}


def test_what_a_failing_door_says_is_hidden_too(action):
    made = action("release", [said(1, "", "bad canary")], password="canary")
    assert run(made)["msg"] == "The step release did not end: bad ********."


def test_the_controllers_own_answer_hides_the_password(find):
    assert find(refusal="bad canary", password="canary")["msg"] == "bad ********"

"""The action of a step (lock, release, stack): what it hands to the host, and what it makes of what comes back."""

from __future__ import annotations

import datetime
import io
import json
import re
import shlex
import sys
import zipfile
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.module_utils.rollout.agent import door
from ansible.module_utils.rollout.controller import step_action
from ansible.module_utils.rollout.domain.steps import STEPS as KNOWN
from ansible.module_utils.rollout.io.package import AGENT, pack
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from story import KEPT

STORE = {"root": "/srv/r", "application": "app", "run": "r1"}
# The least that each step is given.
STEPS = {"lock": STORE, "release": STORE, "stack": {**STORE, "stack": ["core"], "name": "v1"}}
HIDDEN = "********"
# The least that each state of a step answers.
STAGED = {"changed": True, "name": "v1", "to_pull": 0, "ready": False}
DONE = {
    "lock": {"changed": True, "taken_over": ""},
    "renewed": {"changed": False},
    "released": {"changed": True, "released": ""},
    "release": STAGED,
    "stack": {"changed": True, "services": [KEPT]},
}
PREVIEW = {
    **{"action": "rollout", "run": "r1", "release": "v1", "stable": "", "services": [], "to_pull": 0, "free": 15432000},
    **{"settled": False, "left": {}, "name": "v1", "stable_name": "", "variants": {}, "variables": [], "barred": []},
    "notes": [],
}


def said(code=0, stdout="", stderr=""):
    return {"rc": code, "stdout": stdout, "stderr": stderr}


def answered(**answer):
    """What the door prints for an answer of the agent."""
    return said(stdout=json.dumps(answer) + "\n")


def of(secrets):
    """Stacks with these secrets."""
    return {"core": {"secrets": secrets}}


@pytest.fixture
def action():
    """An action whose host says ``says``, one after the other. ``asked`` has the command and the standard input of each call."""

    def make(step, says, check=False, verbosity=0, delegate_to=None, task_environment=None, **args):
        left = list(says)

        class Fake(step_action.StepAction):
            door = door

            def _low_level_execute_command(self, command, sudoable=False, in_data=None):
                assert sudoable, "as whom the step works, become says"
                self.asked.append((command, in_data))
                return left.pop(0)

        values = {"action": step, "args": {**STEPS[step], **args}, "delegate_to": delegate_to, "environment": task_environment}
        shell = SimpleNamespace(
            tmpdir="/tmp/x", env_prefix=lambda **all: " ".join(f"{k}={shlex.quote(v)}" for k, v in all.items())
        )
        connection = SimpleNamespace(_shell=shell, transport="ssh", become=None)
        made = Fake(SimpleNamespace(async_val=0, check_mode=check, **values), connection, None, None, Templar(DataLoader()))
        made._display = SimpleNamespace(verbosity=verbosity)
        made._load_name = step
        made.asked = []
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
def test_the_step_is_sent_with_every_parameter(action, step):
    made = action(step, [answered(**DONE[step])])
    assert run(made) == DONE[step]
    assert request(made) == {
        "step": step,
        # What the inventory says of stacks stays here.
        "params": {n: spec.get("default") for n, spec in KNOWN[step].arguments.items() if n != "specs"} | STEPS[step],
        "check": False,
        "verbose": False,
    }


def test_an_action_may_be_named_in_full(action):
    made = action("stack", [answered(**DONE["stack"])])
    made._task.action = "ansible.legacy.stack"
    run(made)
    assert request(made)["step"] == "stack"


def test_parameters_are_sent_as_what_they_are(action):
    # A playbook's templates leave texts behind.
    texts = {"ttl": "60", "wait": "7.5", "observe": "yes", "owner": '{"user": "ada", "alive": ["7:1"]}'}
    made = action("lock", [answered(**DONE["lock"])], **texts)
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
    made = action("lock", [answered(**DONE["lock"])], check=check, verbosity=verbosity)
    run(made)
    assert (request(made)["check"], request(made)["verbose"]) == (check, verbose)


@pytest.mark.parametrize(("transport", "told"), [("ssh", {}), ("local", {"folder": "/home/karl/photos"})])
def test_where_compose_files_lie_is_told_to_this_machine_alone(action, monkeypatch, transport, told):
    stacks = {"core": {"folder": "/home/karl/photos", "data": ""}, "none": {}}
    made = action("release", [answered(**DONE["release"])], stacks=stacks)
    made._connection.transport = transport
    monkeypatch.setattr(made, "_said_here", lambda _path, _data: None)
    run(made)
    assert request(made)["params"]["stacks"] == {"core": {"data": "", **told}, "none": {}}
    assert stacks["core"]["folder"], "what the next step is given is whole"


def test_what_is_no_json_is_sent_as_text(action):
    # YAML makes a date of it.
    stacks = {"core": {"environment": {"SINCE": datetime.date(2026, 1, 2)}}}
    made = action("release", [answered(**DONE["release"])], stacks=stacks, specs=stacks)
    run(made)
    assert request(made)["params"]["stacks"] == {"core": {"environment": {"SINCE": "2026-01-02"}}}


@pytest.mark.parametrize(
    ("run_id", "path"),
    [("20261123-a1b2", "/var/lib/x/.agent-20261123-a1b2"), ("", "/var/lib/x/.agent-unlock"), ("a b", "/var/lib/x/.agent-a b")],
)
def test_the_command_is_the_door_and_the_agents_place(action, root, run_id, path):
    made = action("lock", [answered(**DONE["released"])], state="released", run=run_id, root="/var/lib/x")
    run(made)
    text = (root / "module_utils/rollout/agent/door.py").read_bytes()
    command, data = made.asked[0]
    assert shlex.split(command) == ["python3", "-ISc", door.READ, str(len(text)), path]
    assert data.startswith(text)


def test_the_tasks_environment_reaches_the_agent(action):
    made = action("lock", [answered(**DONE["lock"])], task_environment=[{"DOCKER_HOST": trust_as_template("{{ engine }}")}, None])
    made._templar.available_variables = {"engine": "unix:///my run/docker.sock"}
    run(made)
    assert shlex.split(made.asked[0][0])[:2] == ["DOCKER_HOST=unix:///my run/docker.sock", "python3"]


# The package.


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
    done = DONE.get(args.get("state"), DONE[step])
    made = action(step, [answered(**done)], **args)
    assert run(made) == done
    assert len(made.asked) == 1
    assert bool(package(made)) is sent


def test_where_the_agent_is_gone_the_step_is_sent_again_with_the_package(action):
    made = action("stack", [answered(no_agent="there"), answered(**DONE["stack"])])
    assert run(made) == DONE["stack"]
    assert made.asked[0][0] == made.asked[1][0]
    assert (package(made, 0), request(made, 0)) == (set(), request(made, 1))
    assert sent(made).partition(b"\n")[2] == pack(AGENT, compiled=True)


# What was read.
TEXT = "services: {web: {image: a, volumes: [./app.conf:/etc/app.conf:ro]}}\n"


@pytest.fixture
def source(tmp_path):
    """A stack in a folder of its own, as the inventory has it and as the lookup collected it; with what its host found mounted."""
    for name, text in {"docker-compose.yml": TEXT, "app.conf": "level: info\n"}.items():
        (tmp_path / name).write_text(text)
    spec = {"compose": str(tmp_path / "docker-compose.yml"), "secrets": {"PW": "canary-pw"}, "wave": "backend"}
    bundle = {
        "files": {"docker-compose.yml": {"text": TEXT, "mode": "0644"}},
        "compose": ["docker-compose.yml"],
        "secrets": {"PW": "canary-pw"},
        "hidden": [],
        "paths": [],
    }
    mount = {"path": "app.conf", "kind": "bind", "service": "web", "target": "/etc/app.conf", "read_only": True}
    answer = {
        "changed": False,
        "stacks": {"core": {"images": {"web": "a"}, "mounts": [mount], "warnings": []}},
        "here": ["a"],
    }
    return spec, bundle, answer


def test_what_was_read_comes_with_all_that_a_release_is_made_of(action, source, monkeypatch):
    spec, bundle, answer = source
    made = action("release", [answered(**answer)], state="read", specs={"core": spec}, stacks={"core": bundle})
    found = run(made)
    assert found == {
        **answer,
        "sources": {
            "core": {
                **bundle,
                "files": {**bundle["files"], "app.conf": {"text": "level: info\n", "mode": "0644"}},
                "paths": ["app.conf"],
            }
        },
        # It holds secrets.
        "_ansible_no_log": True,
    }
    params = request(made)["params"]
    assert params["stacks"] == {"core": bundle}, "the host gets it as it is"
    assert "specs" not in params


def test_files_that_cannot_be_meant_are_a_failure(action, source, tmp_path):
    spec, bundle, answer = source
    (tmp_path / "app.conf").unlink()
    (tmp_path / "app.conf").symlink_to("/etc/hostname")
    made = action("release", [answered(**answer)], state="read", specs={"core": spec}, stacks={"core": bundle})
    found = run(made)
    assert found["failed"]
    assert found["msg"].startswith(f"Stack core ({tmp_path}): ")
    assert "app.conf" in found["msg"]
    assert "sources" not in found
    assert "canary" not in found["msg"]


def test_where_the_host_cannot_read_them_no_file_is_looked_at(action, source):
    spec, bundle, _answer = source
    spec["compose"] = "/nowhere/docker-compose.yml"
    failure = {"failed": True, "msg": "Reading docker-compose.yml failed: no such service canary-pw."}
    made = action("release", [answered(**failure)], state="read", specs={"core": spec}, stacks={"core": bundle})
    assert run(made) == {"failed": True, "msg": "Reading docker-compose.yml failed: no such service ********."}


def test_a_failure_names_the_line_that_is_meant(action, source):
    spec, bundle, _answer = source
    bundle["files"]["docker-compose.yml"]["text"] = "services:\n  web: [\n"
    failure = {"failed": True, "msg": "Reading docker-compose.yml failed: yaml: line 1: did not find it."}
    made = action("release", [answered(**failure)], state="read", specs={"core": spec}, stacks={"core": bundle})
    assert run(made)["msg"] == "Reading docker-compose.yml failed: yaml: line 3 of docker-compose.yml: did not find it."


@pytest.mark.parametrize("state", ["staged", "proven"])
def test_other_states_have_no_sources(action, source, state):
    _spec, bundle, _answer = source
    done = DONE["release"] if state == "staged" else {"changed": False, "services": []}
    assert run(action("release", [answered(**done)], state=state, name="v1", stacks={"core": bundle})) == done


# On the controller itself.


@pytest.fixture
def here(action, monkeypatch):
    """An action whose host is the controller; ``answers`` are what an agent there says, ``asked_here`` what it was asked."""

    def make(answers, says=(), step="stack", transport="local", become=None, **args):
        made = action(step, says, **args)
        made._connection.transport, made._connection.become = transport, become
        made.asked_here = []

        def ask(path, request):
            made.asked_here.append((path, json.loads(request)))
            return answers.pop(0)

        monkeypatch.setattr(door, "ask", ask)
        return made

    return make


LINE = json.dumps(DONE["stack"]).encode() + b"\n"


def test_an_agent_on_the_controller_is_asked_without_a_process(here):
    made = here([LINE], [])
    assert run(made) == DONE["stack"]
    ((path, request),) = made.asked_here
    assert (path, request["step"], request["params"]["stack"]) == (f"{STORE['root']}/.agent-r1", "stack", ["core"])


def test_where_it_ended_over_the_step_that_is_said(here):
    made = here([b""], [])
    assert run(made) == {"failed": True, "msg": f"The step stack did not end: {door.ENDED}."}
    assert made.asked == [], "the step may have been begun"


def test_where_there_is_none_one_is_started_as_on_any_host(here):
    made = here([None], [answered(no_agent="there"), answered(**DONE["stack"])])
    assert run(made) == DONE["stack"]
    assert package(made)


@pytest.mark.parametrize("other", [{"transport": "ssh"}, {"become": "sudo"}], ids=["ssh", "become"])
@pytest.mark.parametrize("step", ["stack", "lock"])
def test_any_other_goes_through_the_door(here, step, other):
    made = here([], [answered(**DONE[step])], step=step, **other)
    assert run(made, ansible_python_interpreter=sys.executable) == DONE[step]
    assert (len(made.asked), made.asked_here) == (1, [])


def test_a_runs_first_word_there_starts_one_as_on_any_host(here):
    made = here([], [answered(**DONE["lock"])], step="lock")
    assert run(made, ansible_python_interpreter=sys.executable) == DONE["lock"]
    assert (made.asked_here, bool(package(made))) == ([], True)


def test_what_is_hidden_is_hidden_there_too(here):
    made = here([b'{"failed": true, "msg": "canary"}\n'], step="release", password="canary")
    assert run(made) == {"failed": True, "msg": HIDDEN}


# Where there can be no agent.


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (
            {"refused": "memfd", "python": "/opt/python3"},
            "its Python (/opt/python3) has no memfd_create. Name another Python there, 3.9 or newer and built for Linux, in "
            "ansible_python_interpreter.",
        ),
        (
            {"refused": "old", "python": "3.7.3"},
            "its Python 3.7.3 is too old. Install 3.9 or newer there, and name it in ansible_python_interpreter.",
        ),
        (
            {"refused": "module", "module": "zipfile"},
            "its Python lacks the module zipfile. Install the whole of it there (on Debian python3, not python3-minimal).",
        ),
    ],
)
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_host_without_an_agent_is_refused(action, step, again, facts, sentence):
    made = action(step, [answered(no_agent="there")] * again + [answered(**facts)])
    assert run(made) == {"failed": True, "msg": f"No step can run on this host: {sentence}"}


def test_every_word_of_the_door_has_a_sentence(root):
    words = re.findall(r'RefusedError\("(\w+)"', (root / "module_utils/rollout/agent/door.py").read_text())
    assert sorted(words) == sorted(step_action.REFUSED)


def test_a_host_without_python_is_refused(action):
    made = action("lock", [said(127, "", "sh: 1: /opt/python3: not found")])
    assert run(made, ansible_python_interpreter="/opt/python3") == {
        "failed": True,
        "msg": "No step can run on this host: it has no /opt/python3. Install Python 3.9 or newer there (apt-get install python3), "
        "or name one in ansible_python_interpreter.",
    }


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


# The answer.


@pytest.mark.parametrize("answer", [answered(**DONE["stack"]), answered(failed=True, msg="no"), said(1, "", "Killed")])
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
    facts = {"failed": True, "msg": "Service web does not pass.", "gate": "health", "log": "a\nb"}
    made = action("stack", [answered(**facts)])
    assert run(made) == facts


def test_secrets_are_hidden_in_the_answer(action):
    facts = {"failed": True, "msg": "login as karl with canary-1 failed", "log": "canary-2 and canary-1, 90017"}
    stacks = {"core": {"secrets": {"PW": "canary-2", "PIN": 90017}}}
    made = action("release", [answered(**facts)], username="karl", password="canary-1", stacks=stacks)
    assert run(made) == {"failed": True, "msg": "login as karl with ******** failed", "log": "******** and ********, ********"}
    # The host gets them as they are.
    params = request(made)["params"]
    assert (params["password"], params["stacks"]) == ("canary-1", stacks)


def test_logins_of_further_registries_and_what_env_files_hold_are_hidden_too(action):
    stacks = {"core": {"secrets": {}, "hidden": ["canary-1"]}, "web": {}}
    logins = {"r.io": {"username": "karl", "password": "canary-2"}, "s.io": {"insecure": True}}
    made = action("release", [answered(failed=True, msg="canary-1, canary-2")], stacks=stacks, registries=logins)
    assert run(made)["msg"] == "********, ********"


def test_a_short_secret_makes_no_other_name_or_number(action):
    row = {"stack": "core", "service": "db-5432", "action": "keep", "why": "", "old": None, "new": "sha256:5432", "gap": None}
    answer = {**STAGED, "name": "sha-abc1234", "to_pull": 15432000, "clock": 5432, "preview": {**PREVIEW, "services": [row]}}
    made = action("release", [answered(**answer)], check=True, stacks=of({"PORT": 5432, "PIN": "1234"}))
    assert run(made) == answer


@pytest.mark.parametrize("secrets", [{}, {"EMPTY": ""}])
def test_an_empty_secret_hides_nothing(action, secrets):
    made = action("release", [answered(**STAGED)], password="", stacks=of(secrets))
    assert run(made) == STAGED


def test_no_secret_is_on_the_command_line(action):
    made = action(
        "release", [answered(no_agent="there"), answered(**DONE["release"])], password="canary-1", stacks=of({"PW": "canary-2"})
    )
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
    made = action("lock", [answered(**DONE["lock"])], delegate_to=delegate_to)
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
    assert made.asked == []


def test_what_a_login_prints_around_the_answer_is_passed_over(action):
    made = action("lock", [said(0, "Welcome to host1!\n" + json.dumps(DONE["lock"]) + "\nBye.\n")])
    assert run(made) == DONE["lock"]


def test_a_secret_that_is_none_or_a_truth_value_hides_nothing(action):
    made = action("release", [answered(failed=True, msg="None is True")], stacks=of({"A": None, "B": True}))
    assert run(made)["msg"] == "None is True"


def test_secrets_within_secrets_are_hidden(action):
    made = action("release", [answered(failed=True, msg="x canary y 4711")], stacks=of({"A": {"deep": ["canary", 4711]}}))
    assert run(made)["msg"] == "x ******** y ********"


@pytest.mark.parametrize("says", [answered(failed=True, msg="canary-pw"), said(1, "", "canary-pw")])
def test_a_failure_is_looked_through_for_what_other_steps_told_the_host(action, says):
    stacks = {"core": {"secrets": {"PW": "canary-pw"}}}
    found = run(action("stack", [says]), hostvars={"h1": {"rollout_stacks": stacks}})
    assert found["failed"]
    assert "canary" not in found["msg"]
    assert HIDDEN in found["msg"]


def test_what_a_failing_door_says_is_hidden_too(action):
    made = action("release", [said(1, "", "bad canary")], password="canary")
    assert run(made)["msg"] == "The step release did not end: bad ********."


def test_a_host_that_asks_for_files_which_nothing_names_gets_none(action, source):
    spec, bundle, answer = source
    (mount,) = answer["stacks"]["core"]["mounts"]
    mount["path"] = "group_vars/all/vault.yml"
    answer["stacks"]["other"] = {"images": {}, "mounts": [mount], "warnings": []}
    made = action("release", [answered(**answer)], state="read", specs={"core": spec, "other": spec}, stacks={"core": bundle})
    found = run(made)
    assert found["msg"].startswith(
        "Stack core: the host says that its services mount group_vars/all/vault.yml, which no compose file"
    )
    assert "sources" not in found


@pytest.mark.parametrize(("longest", "confirm", "limit"), [(3600.0, 900.0, 3900.0), (600.0, 900.0, 1200.0), (600.0, 0.0, 900.0)])
def test_jobs_may_take_as_long_as_the_guard_waits(longest, confirm, limit):
    """Their deadlines are below that: they are refused otherwise."""
    assert step_action._limit("job", {"confirm_timeout": confirm}, longest) == limit

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import jsonschema
import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader

MINE = "20260101T000000Z-abcd"


@pytest.fixture
def plugin(load, monkeypatch):
    found = load("playbooks/callback_plugins/rollout.py")
    found.given_back = []
    monkeypatch.setattr(
        found.interrupted, "give_back", lambda typed, playbook, run: found.given_back.append(run) or "Given back."
    )
    # The signals of this process are pytest's.
    monkeypatch.setattr(found.signals, "interrupt", lambda: None)
    return found


@pytest.fixture
def callback(plugin):
    made = plugin.CallbackModule()
    shown = []
    made._display = SimpleNamespace(display=lambda text, stderr: shown.append(text), columns=30)
    made.shown = shown
    return made


@pytest.fixture
def said():
    """A result as Ansible hands it over."""

    def make(content, host="h1", action="stack"):
        named = SimpleNamespace(get_name=lambda: host)
        return SimpleNamespace(result=content, host=named, task=SimpleNamespace(action=action))

    return make


@pytest.mark.parametrize("action", ["show", "run_report"])
def test_the_screen_is_printed_once_at_the_end(callback, said, action):
    callback.v2_runner_on_ok(said({"msg": "ALL IS WELL"}, action=action))
    callback.v2_runner_on_ok(said({"ansible_facts": {"other": 1}}))
    callback.v2_runner_on_ok(said({"msg": "x"}))
    assert callback.shown == []
    callback.v2_playbook_on_stats(None)
    assert callback.shown == ["\nALL IS WELL"]


def test_the_plan_is_shown_at_once(callback, said):
    callback.v2_runner_on_ok(said({"msg": "THE PLAN", "at_once": True}, action="show"))
    assert callback.shown == ["THE PLAN"]
    callback.v2_playbook_on_stats(None)
    assert callback.shown == ["THE PLAN"]


def test_lost_hosts_without_a_report(callback, said):
    for host in ("h1", "h2", "h1"):
        callback.v2_runner_on_unreachable(said({}, host))
    callback.v2_playbook_on_stats(None)
    assert callback.shown == ["\nUnreachable: h1, h2. Ansible's message above says why; then: ansible-playbook status.yml"]


def test_nothing_to_say(callback):
    callback.v2_playbook_on_stats(None)
    assert callback.shown == []


@pytest.mark.parametrize(
    ("name", "extra", "screen", "out", "rest"),
    [
        ("status.yml", {"format": "json"}, "{}", "{}\n", "a play\n"),
        ("gpu_check.yml", {"format": "json"}, "{}", "{}\n", "a play\n"),
        # Without a document, nothing that is no document is on stdout.
        ("status.yml", {"format": "json"}, "", "", "a play\n"),
        ("status.yml", {"format": "table"}, "{}", "a play\n", ""),
        ("rollout.yml", {"format": "json"}, "{}", "a play\n", ""),
    ],
)
def test_stdout_is_for_the_document_alone(callback, plugin, monkeypatch, said, capfd, name, extra, screen, out, rest):
    monkeypatch.setattr(plugin.context, "CLIARGS", {})
    monkeypatch.setattr(plugin, "load_extra_vars", lambda loader: extra)
    stdout = os.dup(1)
    try:
        callback.v2_playbook_on_start(SimpleNamespace(_file_name=name, _loader=DataLoader()))
        os.write(1, b"a play\n")
        callback.v2_runner_on_ok(said({"msg": screen}, action="show"))
        callback.v2_playbook_on_stats(None)
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
    found = capfd.readouterr()
    assert (found.out, found.err) == (out, rest)
    assert bool(callback.shown) is bool(screen and not rest)


def test_a_playbook_of_two_runs_tells_each_and_forgets_its_times(run):
    switched = phases("stop", "start")
    plays = []
    for n, verb in enumerate(("rollout", "rollback")):
        plays += [
            (f"Plan the {verb}",),
            ("Switch the backend", ("runner_on_ok", switched, f"h{n}")),
            ("Report", ("runner_on_ok", {"msg": f"RUN {n}"}, f"h{n}", "run_report")),
        ]
    made = run(*plays, name="site.yml")
    assert made.shown == ["\nRUN 0", "\nRUN 1"]
    assert {event["host"] for event in made._times.events} == {"h1"}


def test_a_command_of_two_playbooks_tells_each_once(begun, said):
    callback = begun("rollout.yml")
    for n in range(2):
        callback.v2_playbook_on_start(SimpleNamespace(_file_name="/x/rollout.yml", _loader=DataLoader()))
        callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Plan the rollout"))
        callback.v2_runner_on_ok(said({"msg": f"RUN {n}"}, action="run_report"))
        callback.v2_playbook_on_stats(None)
    assert callback.shown == ["\nRUN 0", "\nRUN 1"]


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """Where the reports of this test lie; nothing is there yet."""
    monkeypatch.setenv("ROLLOUT_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


@pytest.fixture
def run(plugin, said, monkeypatch):
    """A run, told by the callback: steps by play, then its end."""

    def told(*plays, name="rollout.yml", check=False):
        monkeypatch.setattr(plugin.context, "CLIARGS", {"check": check})
        made = plugin.CallbackModule()
        made.shown = []
        made._display = SimpleNamespace(display=lambda text, stderr: made.shown.append(text), columns=80)
        made.v2_playbook_on_start(SimpleNamespace(_file_name=f"/x/{name}", _loader=DataLoader()))
        made._times.started = 1_767_225_600.0  # 2026-01-01T00:00:00Z
        for play, *steps in plays:
            made.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda play=play: play))
            for event, content, *of in steps:
                getattr(made, f"v2_{event}")(said(content, *of))
        made.v2_playbook_on_stats(None)
        return made

    return told


def phases(*names, service="web", good=True, **more):
    """What a module returns that took 4 s, one for each phase."""
    steps = [
        {"phase": name, "service": service, "detail": "", "from": float(n), "to": n + 1.0, "good": good}
        for n, name in enumerate(names)
    ]
    return {"phases": steps, "clock": 4.0, **more}


@pytest.fixture
def only(reports, root):
    """The one report that there is, which fits the schema."""

    def read():
        (file,) = reports.glob("*/report.json")
        found = json.loads(file.read_text(encoding="utf-8"))
        schema = json.loads((root / "docs" / "report.schema.json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(schema).validate(found)
        assert file.parent.name == found["run"]
        assert file.parent.stat().st_mode & 0o777 == 0o700
        assert "<html" in file.with_name("report.html").read_text(encoding="utf-8")
        assert f"{found['run']}/report.html" in (reports / "index.html").read_text(encoding="utf-8")
        assert sorted(path.name for path in file.parent.iterdir()) == ["report.html", "report.json"]
        return found

    return read


STAGED = ("Stage on every host", ("runner_on_ok", phases("stage", "pull", service="")))
SWITCHED = ("Switch the backend", ("runner_item_on_ok", phases("stop", "start", "health")))


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("name", ["rollout.yml", "rollback.yml"])
def test_the_report_of_a_run_that_ended_before_it_began(run, only, reports, name, check):
    steps = [
        ("runner_on_failed", {"msg": "argument 'rollout_keep' is of type str"}),
        ("runner_on_failed", {"msg": "not the first"}),
        ("runner_on_failed", {}, "h2"),
        ("runner_on_unreachable", {"msg": "No route to host"}, "h3"),
        ("runner_on_unreachable", {}, "h4"),
    ]
    made = run(("Plan the rollout", *steps), name=name, check=check)
    found = only()
    assert (found["verdict"], found["good"], found["action"], found["check"]) == ("refused", False, name[:-4], check)
    assert found["run"] == "20260101T000000Z-none"
    assert [(fault["host"], fault["msg"]) for fault in found["faults"]] == [
        ("h1", "argument 'rollout_keep' is of type str"),
        ("h2", "failed without a message"),
        ("h3", "No route to host"),
        ("h4", "it became unreachable"),
    ]
    assert "@" in found["who"]
    (screen,) = made.shown
    assert screen.startswith(
        f"\n{name[:-4].upper()} REFUSED: nothing was touched, what ran before still runs.\n\nOn host h1: arg"
    )
    assert screen.endswith(f"\n\nReport: {reports}/20260101T000000Z-none/report.html")


LOST = ("Settle", ("runner_on_unreachable", {"msg": "No route to host"}))


@pytest.mark.parametrize(
    ("plays", "written"),
    [
        ([STAGED, LOST], True),
        # Of these nothing is known but that something was, or may have been, touched.
        ([STAGED, ("Switch the backend", ("runner_on_unreachable", {"msg": "No route to host"}))], False),
        ([STAGED, SWITCHED, LOST], False),
        ([("Switch the backend", ("runner_on_failed", phases("stop", msg="no")))], False),
        ([("Revert", ("runner_on_ok", phases("start"))), LOST], False),
        # Nothing went wrong, nothing was told.
        ([STAGED], False),
        ([], False),
        ([("Plan the rollout", ("runner_on_ok", {"changed": False}))], False),
    ],
)
def test_nothing_is_claimed_of_a_run_that_touched_something_and_had_no_end(run, reports, plays, written):
    made = run(*plays)
    assert reports.exists() is written
    assert ("Report: " in "".join(made.shown)) is written


def test_a_failure_that_is_ignored_ends_no_run(callback, said, reports, plugin, monkeypatch):
    monkeypatch.setattr(plugin.context, "CLIARGS", {})
    callback.v2_playbook_on_start(SimpleNamespace(_file_name="rollout.yml", _loader=DataLoader()))
    callback.v2_runner_on_failed(said({"msg": "no"}), ignore_errors=True)
    callback.v2_playbook_on_stats(None)
    assert callback.shown == []
    assert not reports.exists()


@pytest.mark.parametrize("name", ["status.yml", "gpu_check.yml", "unlock.yml", "prepare.yml"])
def test_other_playbooks_have_no_report(run, reports, name):
    failed = ("runner_on_failed", {"msg": "no"})
    screen = ("runner_on_ok", {"msg": "AS RELEASED"}, "h1", "show")
    assert run(("Look", failed, screen), name=name).shown == ["\nAS RELEASED"]
    assert not reports.exists()


@pytest.fixture
def begun(plugin, callback, monkeypatch):
    """The callback at the beginning of a playbook."""

    def begin(name="rollout.yml", **arguments):
        monkeypatch.setattr(plugin.context, "CLIARGS", arguments)
        left, callback.handled = [], []
        monkeypatch.setattr(plugin.atexit, "register", left.append)
        monkeypatch.setattr(plugin.signals, "interrupt", lambda: callback.handled.append(name))
        callback.v2_playbook_on_start(SimpleNamespace(_file_name=f"/x/{name}", _loader=DataLoader()))
        callback.leave = lambda: [end() for end in left]
        return callback

    return begin


AFTER = (
    "\nROLLOUT INTERRUPTED: what runs now, ansible-playbook status.yml says. A host that was switched goes on with the next run, or "
    "back by itself when its guard's time is over."
)
BEFORE = "\nROLLOUT INTERRUPTED: nothing was touched, what ran before still runs."


@pytest.mark.parametrize(
    ("plays", "arguments", "shown"),
    [
        ([], {}, []),
        (["Plan the rollout"], {}, [BEFORE]),
        (["Plan the rollout", "Stage on every host"], {}, [BEFORE]),
        (["Plan the rollout", "Stage on every host", "Switch the backend"], {}, [AFTER]),
        (["Plan the rollout", "Stage on every host", "Switch the backend"], {"check": True}, [BEFORE]),
    ],
)
def test_who_interrupts_a_run_is_told_what_follows(begun, plays, arguments, shown):
    callback = begun(**arguments)
    for name in plays:
        callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda name=name: name))
    callback.leave()
    assert callback.shown == shown


@pytest.mark.parametrize(("word", "given"), [({}, [MINE]), ({"check": True}, [])])
def test_its_locks_are_given_back_unless_it_only_looked(begun, said, plugin, only, word, given):
    callback = begun(**word)
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Plan the rollout"))
    callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_run": MINE}}, action="ansible.builtin.set_fact"))
    callback.leave()
    assert plugin.given_back == given
    assert only()["verdict"] == "interrupted"


def test_an_interrupted_run_leaves_a_report_of_what_it_did_until_then(begun, said, reports, only):
    callback = begun()
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Plan the rollout"))
    callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_run": MINE}}, action="ansible.builtin.set_fact"))
    callback.v2_runner_on_ok(said({"release": "sha-bbbbbbb", "tag": "latest"}, action="release_info"))
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Switch the backend"))
    callback.v2_runner_on_ok(said(phases("stop", "start")))
    callback.leave()
    assert callback.shown == [f"{AFTER} Given back.\n\nReport: {reports}/{MINE}/report.html"]
    found = only()
    assert (found["verdict"], found["run"], found["release"], found["check"]) == ("interrupted", MINE, "sha-bbbbbbb", False)
    assert found["head"] == f"{AFTER} Given back.".strip()
    assert [event["phase"] for event in found["events"]] == ["stop", "start"]
    assert [wave["name"] for wave in found["waves"]] == ["backend"]


def test_whoever_interrupts_what_comes_after_the_verdict_reads_the_verdict(begun, said, reports):
    callback = begun()
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Report"))
    callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_run": MINE}}, action="set_fact"))
    callback.v2_runner_on_ok(said({"msg": "THE SCREEN"}, action="run_report"))
    callback.leave()
    assert callback.shown == ["\nTHE SCREEN"]
    assert not reports.exists()


def test_a_terminal_that_went_away_costs_no_report(begun, said, only):
    def gone(_text, stderr):
        raise OSError(5, "Input/output error")

    callback = begun()
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Plan the rollout"))
    callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_run": MINE}}, action="set_fact"))
    callback._display.display = gone
    callback.leave()
    assert only()["verdict"] == "interrupted"


@pytest.mark.parametrize(("name", "handled"), [("rollout.yml", 1), ("rollback.yml", 1), ("status.yml", 0), ("site.yml", 0)])
def test_signals_interrupt_what_changes_something(begun, name, handled):
    assert len(begun(name).handled) == handled


@pytest.mark.parametrize(
    ("name", "wave", "screen"),
    [
        (
            "rollout.yml",
            "Plan the rollout",
            "\nROLLOUT REFUSED: nothing was touched, what ran before still runs.\n\nit is broken",
        ),
        ("status.yml", "Show what runs where", "\nit is broken"),
    ],
)
def test_an_error_of_ansible_is_no_interruption(begun, said, name, wave, screen):
    callback = begun(name)
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: wave))
    callback._ending.append(AnsibleError("it is broken"))
    callback.leave()
    assert callback.shown[0].startswith(screen)


def test_an_error_of_ansible_after_the_first_step_of_a_wave(begun, said, reports):
    callback = begun()
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Switch the backend"))
    callback.v2_runner_on_ok(said(phases("stop", "start")))
    callback._ending.append(AnsibleError("it is broken"))
    callback.leave()
    assert callback.shown == ["\nROLLOUT ENDED EARLY: what runs now, ansible-playbook status.yml says.\n\nit is broken"]
    assert not reports.exists()


def test_after_its_last_screen_a_run_is_not_interrupted(begun):
    callback = begun()
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Switch the backend"))
    callback.v2_playbook_on_stats(None)
    callback.leave()
    assert callback.shown == []


@pytest.mark.parametrize(
    ("run", "action"),
    [(MINE, "stack"), (MINE, "ansible.builtin.setup"), ("../elsewhere", "set_fact"), (["x"], "set_fact"), (None, "set_fact")],
)
def test_the_run_is_what_our_own_task_says(begun, said, reports, run, action):
    callback = begun()
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Plan the rollout"))
    callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_run": run}}, action=action))
    callback.leave()
    assert len(callback.shown) == 1
    assert not reports.exists()

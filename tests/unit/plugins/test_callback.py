from __future__ import annotations

import json
import os
import stat
from types import SimpleNamespace

import jsonschema
import pytest
from ansible.module_utils.rollout import run_document


@pytest.fixture
def plugin(load):
    return load("plugins/callback/rollout.py")


@pytest.fixture
def callback(plugin):
    made = plugin.CallbackModule()
    shown = []
    made._display = SimpleNamespace(display=shown.append, columns=30)
    made.shown = shown
    return made


@pytest.fixture(params=["result", "_result"])
def said(request):
    """A result as Ansible 2.19 and as older ones hand it over."""

    def make(content, host="h1"):
        named = SimpleNamespace(get_name=lambda: host)
        return SimpleNamespace(**{request.param: content, request.param.replace("result", "host"): named})

    return make


def test_the_screen_is_printed_once_at_the_end(callback, said):
    callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_screen": "ALL IS WELL"}}))
    callback.v2_runner_on_ok(said({"ansible_facts": {"other": 1}}))
    callback.v2_runner_on_ok(said({"msg": "x"}))
    assert callback.shown == []
    callback.v2_playbook_on_stats(None)
    assert callback.shown == ["\nALL IS WELL"]


def test_lost_hosts_without_a_report(callback, said):
    for host in ("h1", "h2", "h1"):
        callback.v2_runner_on_unreachable(said({}, host))
    callback.v2_playbook_on_stats(None)
    assert callback.shown == ["\nUnreachable: h1, h2. Ansible's message above says why; then: ansible-playbook status.yml"]


def test_nothing_to_say(callback):
    callback.v2_playbook_on_stats(None)
    assert callback.shown == []


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ({}, ""),
        ({"tags": ["all"], "skip_tags": [], "start_at_task": None, "subset": "h1", "check": True}, ""),
        ({"tags": ()}, ""),
        ({"tags": ["stage"]}, "--tags"),
        ({"tags": ["all", "never"]}, "--tags"),
        ({"tags": ["all"], "skip_tags": ["x"]}, "--skip-tags"),
        ({"start_at_task": "Switch"}, "--start-at-task"),
    ],
)
def test_partial(plugin, arguments, option):
    assert plugin.partial(arguments) == option


@pytest.mark.parametrize("name", ["rollout.yml", "rollback.yml", "playbooks/rollout.yml"])
def test_a_part_of_a_run_is_refused_before_anything(callback, plugin, monkeypatch, name):
    monkeypatch.setattr(plugin.context, "CLIARGS", {"tags": ["switch"]})
    with pytest.raises(SystemExit) as end:
        callback.v2_playbook_on_start(SimpleNamespace(_file_name=f"/x/{name}"))
    assert end.value.code == 2
    short = name.rpartition("/")[2]
    assert callback.shown == [
        f"{short[:-4].upper()} REFUSED: nothing was touched. --tags would run a part of {short}, and leave out the lock, a gate or the "
        "confirmation: run it whole. For a part of the fleet there is --limit."
    ]


@pytest.mark.parametrize(
    ("name", "arguments"), [("status.yml", {"tags": ["x"]}), ("prepare.yml", {"skip_tags": ["x"]}), ("rollout.yml", {})]
)
def test_what_may_start(callback, plugin, monkeypatch, name, arguments):
    monkeypatch.setattr(plugin.context, "CLIARGS", arguments)
    monkeypatch.setattr(plugin, "load_extra_vars", lambda loader: {})
    callback.v2_playbook_on_start(SimpleNamespace(_file_name=name, _loader=None))
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
        callback.v2_playbook_on_start(SimpleNamespace(_file_name=name, _loader=None))
        os.write(1, b"a play\n")
        callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_screen": screen}}))
        callback.v2_playbook_on_stats(None)
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
    found = capfd.readouterr()
    assert (found.out, found.err) == (out, rest)
    assert bool(callback.shown) is bool(screen and not rest)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three four", ["one two", "three four"]),
        ("  a table line that is long", ["  a table line that is long"]),
        ("short\n\nlast", ["short", "", "last"]),
        ("a-very-long-name-that-is-not-broken", ["a-very-long-name-that-is-not-broken"]),
    ],
)
def test_wrapped(plugin, text, lines):
    assert plugin.wrapped(text, 10).split("\n") == lines


WELL = {"changed": True, "phases": [{"phase": "start", "service": "web", "from": 0.5, "to": 1.0, "good": True}], "clock": 1.5}


@pytest.fixture
def reports(tmp_path, monkeypatch):
    monkeypatch.setenv("ROLLOUT_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


@pytest.fixture
def schema(root):
    return jsonschema.Draft202012Validator(json.loads((root / "docs/report.schema.json").read_text()))


@pytest.fixture
def typed(plugin, monkeypatch):
    """A playbook that was typed, with these options."""

    def start(callback, name="rollout.yml", **arguments):
        monkeypatch.setattr(plugin.context, "CLIARGS", arguments)
        monkeypatch.setattr(plugin, "load_extra_vars", lambda loader: {})
        callback.v2_playbook_on_start(SimpleNamespace(_file_name=f"/x/{name}", _loader=None))

    return start


def play(name):
    return SimpleNamespace(get_name=lambda: name)


def document(run="r1", **facts):
    result = {"stable": "sha-aaaaaaa", "changed": True, "services": []}
    run_facts = {"action": "rollout", "run": run, "release": "sha-bbbbbbb", "who": "ada@desk"}
    return {**run_document.document({"h1": {**result, **facts}}, [], run_facts, {}), "schema": 1}


def finish(callback, said, document):
    callback.v2_playbook_on_play_start(play("Plan the rollout"))
    callback.v2_playbook_on_play_start(play("Switch the backend"))
    callback.v2_runner_item_on_ok(said(WELL))
    callback.v2_playbook_on_play_start(play("Revert the backend, if anything failed"))
    callback.v2_playbook_on_play_start(play("Report"))
    callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_screen": "WELL", "rollout_document": document}}))
    callback.v2_playbook_on_stats(None)


def test_the_plan_is_shown_at_once(callback, said):
    callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_plan": "ROLLOUT sha-bbbbbbb"}}))
    assert callback.shown == ["ROLLOUT sha-bbbbbbb"]


def test_a_run_leaves_its_report(callback, said, reports, schema, typed):
    typed(callback)
    finish(callback, said, document())
    found = json.loads((reports / "r1/report.json").read_text())
    schema.validate(found)
    assert [wave["name"] for wave in found["waves"]] == ["backend"], "a play in which nothing was done is no wave"
    assert [(e["host"], e["service"], e["phase"]) for e in found["events"]] == [("h1", "web", "start")]
    assert "Rollout succeeded" in (reports / "r1/report.html").read_text()
    assert "r1/report.html" in (reports / "index.html").read_text()
    assert stat.S_IMODE((reports / "r1").stat().st_mode) == 0o700
    assert callback.shown == [f"\nWELL\n\nReport: {reports}/r1/report.html"]


def test_the_list_of_runs_passes_over_what_is_broken(plugin, callback, said, reports, typed):
    for run in ("r0", "r2"):
        (reports / run).mkdir(parents=True)
    (reports / "r0/report.json").write_text('{"run": "r0", ')
    (reports / "r2/report.json").write_text(json.dumps({**document("r2"), "started": "2020-01-01T00:00:00Z", "seconds": 1}))
    typed(callback)
    finish(callback, said, document())
    index = (reports / "index.html").read_text()
    assert "r0/report.html" not in index
    assert index.index("r1/report.html") < index.index("r2/report.html"), "newest first"


@pytest.mark.parametrize("touched", [False, True])
def test_a_run_that_ended_before_its_report(callback, said, reports, schema, typed, touched):
    typed(callback)
    callback.v2_playbook_on_play_start(play("Switch the backend"))
    if touched:
        callback.v2_runner_item_on_ok(said(WELL))
    callback.v2_runner_on_failed(said({"msg": "rollout_keep is 'many': expected a number"}))
    callback.v2_playbook_on_stats(None)
    files = list(reports.glob("*/report.json"))
    # Where something was touched and nothing more is known, no verdict is made up.
    assert len(files) == (0 if touched else 1)
    for file in files:
        found = json.loads(file.read_text())
        schema.validate(found)
        assert (found["verdict"], found["faults"][0]["msg"]) == ("refused", "rollout_keep is 'many': expected a number")


@pytest.mark.parametrize("name", ["status.yml", "gpu_check.yml"])
def test_what_is_no_run_leaves_none(callback, said, reports, typed, name):
    typed(callback, name)
    callback.v2_runner_on_failed(said({"msg": "x"}))
    callback.v2_playbook_on_stats(None)
    assert not reports.exists()


def test_no_report_is_wanted(callback, said, reports, typed, monkeypatch):
    monkeypatch.setenv("ROLLOUT_REPORTS", "")
    typed(callback)
    finish(callback, said, document())
    assert callback.shown == ["\nWELL"]


def test_a_report_that_cannot_be_written_is_a_sentence(callback, said, reports, typed):
    reports.write_text("a file in its place")
    typed(callback)
    finish(callback, said, document())
    assert callback.shown == [f"\nWELL\n\nThe report could not be written: Not a directory ({reports}/r1)."]

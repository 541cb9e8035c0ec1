from __future__ import annotations

import json
import os
import re
import signal
from types import SimpleNamespace

import jsonschema
import pytest
import run_documents
from ansible.parsing.dataloader import DataLoader


@pytest.fixture
def plugin(load, monkeypatch):
    found = load("plugins/callback/rollout.py")
    # The signals of this process are pytest's.
    monkeypatch.setattr(found.signal, "signal", lambda *_given: None)
    return found


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

    def make(content, host="h1", action="stack"):
        named = SimpleNamespace(get_name=lambda: host)
        parts = {"result": content, "host": named, "task": SimpleNamespace(action=action)}
        return SimpleNamespace(**{request.param.replace("result", name): part for name, part in parts.items()})

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
    monkeypatch.setattr(plugin, "load_extra_vars", lambda loader: {})
    with pytest.raises(SystemExit) as end:
        callback.v2_playbook_on_start(SimpleNamespace(_file_name=f"/x/{name}", _loader=DataLoader()))
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
    callback.v2_playbook_on_start(SimpleNamespace(_file_name=name, _loader=DataLoader()))
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
        callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_screen": screen}}))
        callback.v2_playbook_on_stats(None)
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
    found = capfd.readouterr()
    assert (found.out, found.err) == (out, rest)
    assert bool(callback.shown) is bool(screen and not rest)


def previewed(stable, part):
    row = {"service": "web", "action": "recreate", "why": "image", "old": None, "new": None, "gap": None}
    known = {"action": "rollout", "run": "r1", "release": "new", "stable": stable}
    return {"preview": {**known, "services": [row], "to_pull": 0}, "diff": [{"before": "A=1", "after": part}]}


@pytest.mark.parametrize(("diff", "last"), [(False, "  web      restart\n"), (True, "  +A=3\n")])
def test_the_plan_is_shown_once_all_hosts_have_previewed_it(callback, plugin, said, monkeypatch, diff, last):
    monkeypatch.setattr(plugin.context, "CLIARGS", {"diff": diff})
    callback.v2_playbook_on_task_start(None, False)
    for host in ("h1", "h2", "h3"):
        callback.v2_runner_on_start(SimpleNamespace(get_name=lambda host=host: host), None)
    # They answer in any order, and not every one is asked.
    callback.v2_runner_on_ok(said(previewed("", "A=3"), "h2", "release"))
    callback.v2_runner_on_ok(said(previewed("old", "A=2"), "h1", "release"))
    assert callback.shown == []
    callback.v2_playbook_on_task_start(None, False)
    callback.v2_playbook_on_task_start(None, False)
    (plan,) = callback.shown
    assert plan.startswith("ROLLOUT new, run r1\nh1: old -> new; nothing to pull; 1 line of its files differs")
    assert "\nh2: nothing -> new; " in plan
    assert plan.endswith(last)


@pytest.mark.parametrize("event", ["v2_runner_on_failed", "v2_runner_on_unreachable"])
def test_no_plan_is_shown_where_a_host_refuses_it(callback, said, event):
    callback.v2_runner_on_unreachable(said({}, "h3"))
    callback.v2_playbook_on_task_start(None, False)
    for told, content, host in (("v2_runner_on_ok", previewed("old", "A=2"), "h1"), (event, {"msg": "no"}, "h2")):
        callback.v2_runner_on_start(SimpleNamespace(get_name=lambda host=host: host), None)
        getattr(callback, told)(said(content, host, "release"))
    callback.v2_playbook_on_task_start(None, False)
    assert callback.shown == []


@pytest.mark.parametrize(("play", "prepared"), [("Stage on every host", 0), ("Switch the backend", 1)])
def test_the_report_is_prepared_once_while_hosts_switch(callback, plugin, monkeypatch, play, prepared):
    times = []
    monkeypatch.setattr(plugin, "AHEAD_S", 0)
    monkeypatch.setattr(plugin.run_page, "ready", lambda: times.append(1))
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: play))
    for host in ("h1", "h2"):
        callback.v2_runner_on_start(SimpleNamespace(get_name=lambda host=host: host), None)
    if callback._ahead:
        callback._ahead.join()
    assert len(times) == prepared


def test_what_another_module_calls_a_preview_is_no_plan(callback, said):
    callback.v2_runner_on_start(SimpleNamespace(get_name=lambda: "h1"), None)
    callback.v2_runner_on_ok(said({"preview": "of a picture"}, "h1", "ansible.builtin.debug"))
    callback.v2_playbook_on_task_start(None, False)
    assert callback.shown == []


def test_a_playbook_of_two_runs_tells_and_keeps_each(run, reports, monkeypatch, plugin, said):
    ends = [{"screen": f"RUN {n}", "document": end_of(run_documents.succeeded, run=f"r{n}")} for n in (1, 2)]
    switched = phases("stop", "start")
    plays = []
    for verb, end, host in zip(("rollout", "rollback"), ends, ("h1", "h2")):
        plays += [
            (f"Plan the {verb}",),
            ("Switch the backend", ("runner_on_ok", switched, host)),
            ("Report", ("runner_on_ok", {"ansible_facts": {"rollout_report": end}}, host)),
        ]
    made = run(*plays, name="site.yml")
    assert [text.split("\n")[1] for text in made.shown] == ["RUN 1", "RUN 2"]
    for n in (1, 2):
        found = json.loads((reports / f"r{n}/report.json").read_text())
        assert {event["host"] for event in found["events"]} == {f"h{n}"}
        assert [wave["name"] for wave in found["waves"]] == ["backend"]


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """Where the reports of this test lie; nothing is there yet."""
    monkeypatch.setenv("ROLLOUT_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


@pytest.fixture
def run(plugin, said, monkeypatch):
    """A run, told by the callback: steps by play, then its end."""

    def told(*plays, name="rollout.yml", check=False, document=None, started=None):
        monkeypatch.setattr(plugin.context, "CLIARGS", {"check": check})
        monkeypatch.setattr(plugin, "load_extra_vars", lambda loader: {})
        made = plugin.CallbackModule()
        made.shown, made.clock = [], 0.0
        made._display = SimpleNamespace(display=made.shown.append, columns=80)
        made._now = lambda: made.clock
        made._started = started or 1_767_225_600.0  # 2026-01-01T00:00:00Z
        made.v2_playbook_on_start(SimpleNamespace(_file_name=f"/x/{name}", _loader=DataLoader()))
        for play, *steps in plays:
            made.clock += 10.0
            made.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda play=play: play))
            for event, content, *host in steps:
                made.clock += 5.0
                getattr(made, f"v2_{event}")(said(content, *host))
        if document:
            made.clock += 1.0
            made.v2_runner_on_ok(said({"ansible_facts": {"rollout_report": {"screen": "THE SCREEN", "document": document}}}))
        made.clock += 1.0
        made.v2_playbook_on_stats(None)
        return made

    return told


def end_of(make, **changed):
    """The document as role report hands it over: without what only the controller's clock knows."""
    timed = ("started", "seconds", "waves", "events")
    return {key: value for key, value in make().items() if key not in timed} | changed


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


def test_the_report_of_a_good_run(run, only, reports):
    end = end_of(run_documents.succeeded)
    made = run(STAGED, SWITCHED, document=end)
    found = only()
    assert {key: found[key] for key in end} == end
    assert (found["started"], found["seconds"]) == ("2026-01-01T00:00:00Z", 32.0)
    assert found["waves"] == [{"name": "stage", "from": 10.0, "to": 25.0}, {"name": "backend", "from": 25.0, "to": 32.0}]
    assert [(e["service"], e["phase"], e["from"], e["to"]) for e in found["events"]] == [
        (None, "stage", 11.0, 12.0),
        (None, "pull", 12.0, 13.0),
        ("web", "stop", 26.0, 27.0),
        ("web", "start", 27.0, 28.0),
        ("web", "health", 28.0, 29.0),
    ]
    assert made.shown == [f"\nTHE SCREEN\n\nReport: {reports}/{found['run']}/report.html"]


def test_the_report_of_a_run_that_failed(run, only):
    failed = ("Switch the backend", ("runner_on_failed", phases("stop", "start", good=False, msg="no")))
    reverted = ("Revert", ("runner_on_ok", phases("start")))
    run(STAGED, failed, reverted, document=end_of(run_documents.reverted))
    found = only()
    assert (found["verdict"], found["good"]) == ("reverted", False)
    assert [(e["phase"], e["good"]) for e in found["events"][2:]] == [("stop", False), ("start", False), ("revert", True)]
    assert [wave["name"] for wave in found["waves"]] == ["stage", "backend", "revert"]


def test_the_report_of_check_mode_has_no_times_of_steps(run, only):
    looked = ("Stage on every host", ("runner_on_ok", phases("stage", preview={"services": []})))
    run(looked, document=end_of(run_documents.succeeded, check=True), check=True)
    found = only()
    assert (found["check"], found["waves"], found["events"]) == (True, [], [])


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
    monkeypatch.setattr(plugin, "load_extra_vars", lambda loader: {})
    callback.v2_playbook_on_start(SimpleNamespace(_file_name="rollout.yml", _loader=DataLoader()))
    callback.v2_runner_on_failed(said({"msg": "no"}), ignore_errors=True)
    callback.v2_playbook_on_stats(None)
    assert callback.shown == []
    assert not reports.exists()


def test_waves_are_plays_in_which_a_host_did_something(run, only):
    batch = ("Switch the CPU workers", ("runner_item_on_ok", phases("stop"), "w1"))
    kept = ("Switch the GPU workers", ("runner_item_on_ok", {"services": [], "phases": [], "clock": 0.1}))
    plays = [("Plan the rollout",), STAGED, ("Switch the backend",), batch, batch, kept, ("Settle",), ("Report",)]
    run(*plays, document=end_of(run_documents.succeeded))
    assert [(wave["name"], wave["from"], wave["to"]) for wave in only()["waves"]] == [
        ("stage", 20.0, 35.0),
        ("cpu_workers", 45.0, 60.0),
        ("cpu_workers", 60.0, 75.0),
    ]


def test_items_of_a_loop_are_told_once_each(run, only):
    items = [phases("stop", "start"), phases("stop", good=False, msg="no")]
    steps = [
        ("runner_item_on_ok", items[0]),
        ("runner_item_on_failed", items[1]),
        ("runner_on_failed", {"results": items, "msg": "One or more items failed"}),
    ]
    run(("Switch the backend", *steps), document=end_of(run_documents.reverted))
    assert [(e["host"], e["phase"], e["good"]) for e in only()["events"]] == [
        ("h1", "stop", True),
        ("h1", "start", True),
        ("h1", "stop", False),
    ]


def test_runs_are_listed_newest_first(run, reports):
    for day, name in ((2, "b"), (3, "a"), (1, "c")):
        run(document=end_of(run_documents.succeeded, run=name), started=1_767_225_600.0 + 86_400 * day)
    listed = re.findall(r'href="(\w)/report.html"', (reports / "index.html").read_text())
    assert listed == ["a", "b", "c"]


def test_only_the_newest_are_listed_and_the_others_stay(run, reports, plugin, monkeypatch):
    monkeypatch.setattr(plugin, "LISTED", 2)
    for name in ("20260101T000000Z-a", "20260103T000000Z-a", "20260102T000000Z-a"):
        run(document=end_of(run_documents.succeeded, run=name))
    listed = re.findall(r'href="([^"]*)/report.html"', (reports / "index.html").read_text())
    assert sorted(listed) == ["20260102T000000Z-a", "20260103T000000Z-a"]
    assert len(list(reports.glob("*/report.json"))) == 3


@pytest.mark.parametrize("text", ['{"run": "half', "", "[]", "{}", "5", '"run"', "null", b"\xff"])
def test_what_is_no_report_is_passed_over(run, reports, text):
    (reports / "other").mkdir(parents=True)
    (reports / "other" / "report.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    (reports / "unreadable" / "report.json").mkdir(parents=True)
    made = run(document=end_of(run_documents.succeeded, run="mine"))
    assert re.findall(r'href="([^"]*/report.html)"', (reports / "index.html").read_text()) == ["mine/report.html"]
    assert made.shown == [f"\nTHE SCREEN\n\nReport: {reports}/mine/report.html"]


def test_the_same_run_twice(run, only):
    for head in ("first", "second"):
        run(document=end_of(run_documents.succeeded, head=head))
    assert only()["head"] == "second"


@pytest.mark.parametrize("document", [None, end_of(run_documents.succeeded)])
def test_no_reports_are_wanted(run, tmp_path, monkeypatch, document):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROLLOUT_REPORTS", "")
    made = run(("Plan the rollout", ("runner_on_failed", {"msg": "no"})), document=document)
    early = "\nROLLOUT REFUSED: nothing was touched, what ran before still runs.\n\nOn host h1: no"
    assert made.shown == ["\nTHE SCREEN" if document else early]
    assert list(tmp_path.iterdir()) == []


def test_reports_lie_in_the_project_and_are_named_from_where_one_is(run, plugin, tmp_path, monkeypatch):
    monkeypatch.setattr(plugin, "_ROOT", tmp_path)
    monkeypatch.delenv("ROLLOUT_REPORTS", raising=False)
    monkeypatch.chdir(tmp_path)
    end = end_of(run_documents.succeeded, run="mine")
    assert run(document=end).shown == ["\nTHE SCREEN\n\nReport: reports/mine/report.html"]
    monkeypatch.setenv("ROLLOUT_REPORTS", "elsewhere")
    assert run(document=end).shown == ["\nTHE SCREEN\n\nReport: elsewhere/mine/report.html"]
    assert (tmp_path / "elsewhere" / "index.html").is_file()


def test_reports_that_cannot_be_written_are_one_sentence(run, reports):
    reports.write_text("a file")
    made = run(document=end_of(run_documents.succeeded, run="mine"))
    assert made.shown == [f"\nTHE SCREEN\n\nThe report could not be written: Not a directory ({reports}/mine)."]


def test_a_list_of_runs_that_cannot_be_written_is_one_sentence(run, reports):
    (reports / "index.html").mkdir(parents=True)
    (screen,) = run(document=end_of(run_documents.succeeded, run="mine")).shown
    assert screen.startswith("\nTHE SCREEN\n\nThe report could not be written: Is a directory (")
    assert (reports / "mine" / "report.json").is_file()


@pytest.mark.parametrize("name", ["status.yml", "gpu_check.yml", "unlock.yml", "prepare.yml"])
def test_other_playbooks_have_no_report(run, reports, name):
    failed = ("runner_on_failed", {"msg": "no"})
    screen = ("runner_on_ok", {"ansible_facts": {"rollout_screen": "AS RELEASED"}})
    assert run(("Look", failed, screen), name=name).shown == ["\nAS RELEASED"]
    assert not reports.exists()


@pytest.fixture
def begun(plugin, callback, monkeypatch):
    """The callback at the beginning of a playbook."""

    def begin(name="rollout.yml", typed=None, **arguments):
        monkeypatch.setattr(plugin.context, "CLIARGS", arguments)
        monkeypatch.setattr(plugin, "load_extra_vars", lambda loader: typed or {})
        left, handled = [], {}
        monkeypatch.setattr(plugin.atexit, "register", left.append)
        monkeypatch.setattr(plugin.signal, "signal", handled.__setitem__)
        callback.handled = handled
        callback.v2_playbook_on_start(SimpleNamespace(_file_name=f"/x/{name}", _loader=DataLoader()))
        callback.leave = lambda: [end() for end in left]
        return callback

    return begin


@pytest.mark.parametrize("name", ["rollout.yml", "rollback.yml"])
def test_what_seems_mistyped_is_refused_before_anything(begun, callback, name):
    with pytest.raises(SystemExit) as end:
        begun(name, {"rollout_kep": 3})
    assert end.value.code == 2
    head = f"{name[:-4].upper()} REFUSED: nothing was touched."
    assert callback.shown == [f"{head} rollout_kep is not known: is it rollout_keep that you mean?"]


def test_other_playbooks_take_what_is_typed(begun):
    assert begun("prepare.yml", {"rollout_kep": 3, "sha": ""}).shown == []


@pytest.mark.parametrize(
    ("name", "head"),
    [("rollout.yml", "ROLLOUT REFUSED: nothing was touched. "), ("status.yml", ""), ("gpu_check.yml", ""), ("unlock.yml", "")],
)
def test_an_inventory_without_hosts_is_no_success(begun, name, head):
    callback = begun(name, inventory=("inventory/homelba",))
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "the first"))
    with pytest.raises(SystemExit) as end:
        callback.v2_playbook_on_no_hosts_matched()
    assert end.value.code == 2
    assert callback.shown == [
        f"{head}The inventory inventory/homelba has no host in the groups backend, cpu_workers, gpu_workers: "
        "ansible-inventory --graph, with the same -i, shows what it has."
    ]


@pytest.mark.parametrize(("name", "plays"), [("rollout.yml", 2), ("site.yml", 1)])
def test_a_wave_without_hosts_ends_nothing(begun, name, plays):
    callback = begun(name)
    for _ in range(plays):
        callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "a play"))
    callback.v2_playbook_on_no_hosts_matched()
    assert callback.shown == []


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


def test_an_interrupted_run_leaves_a_report_of_what_it_did_until_then(begun, said, reports, only):
    callback = begun()
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Plan the rollout"))
    callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_run": "mine"}}, action="set_fact"))
    callback.v2_runner_on_ok(said({"release": "sha-bbbbbbb", "tag": "latest"}, action="release_info"))
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Switch the backend"))
    callback.v2_runner_on_ok(said(phases("stop", "start")))
    callback.leave()
    assert callback.shown == [f"{AFTER}\n\nReport: {reports}/mine/report.html"]
    found = only()
    assert (found["verdict"], found["run"], found["release"], found["check"]) == ("interrupted", "mine", "sha-bbbbbbb", False)
    assert found["head"] == AFTER.strip()
    assert [event["phase"] for event in found["events"]] == ["stop", "start"]
    assert [wave["name"] for wave in found["waves"]] == ["backend"]


def test_whoever_interrupts_what_comes_after_the_verdict_reads_the_verdict(begun, said, reports, only):
    callback = begun()
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Report"))
    callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_run": "mine"}}))
    document = end_of(run_documents.succeeded, run="mine")
    callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_report": {"document": document, "screen": "THE SCREEN"}}}))
    callback.leave()
    assert callback.shown == [f"\nTHE SCREEN\n\nReport: {reports}/mine/report.html"]
    assert only()["verdict"] == "succeeded"


def test_a_terminal_that_went_away_costs_no_report(begun, said, only):
    def gone(_text):
        raise OSError(5, "Input/output error")

    callback = begun()
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Plan the rollout"))
    callback.v2_runner_on_ok(said({"ansible_facts": {"rollout_run": "mine"}}))
    callback._display.display = gone
    callback.leave()
    assert only()["verdict"] == "interrupted"


@pytest.mark.parametrize("name", ["rollout.yml", "rollback.yml"])
@pytest.mark.parametrize(
    ("hup", "handled"), [(signal.SIG_DFL, {signal.SIGTERM, signal.SIGHUP}), (signal.SIG_IGN, {signal.SIGTERM})]
)
def test_a_signal_is_an_interruption_unless_nohup_wants_none(begun, plugin, monkeypatch, name, hup, handled):
    before = {signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: hup}
    monkeypatch.setattr(plugin.signal, "getsignal", before.__getitem__)
    callback = begun(name)
    assert set(callback.handled) == handled
    sent = []
    monkeypatch.setattr(plugin.os, "kill", lambda *given: sent.append(given))
    callback.handled[signal.SIGTERM](signal.SIGTERM, None)
    assert sent == [(os.getpid(), signal.SIGINT)]


def test_what_changes_nothing_dies_of_its_signals(begun):
    assert begun("status.yml").handled == {}


def test_after_its_last_screen_a_run_is_not_interrupted(begun):
    callback = begun()
    callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: "Switch the backend"))
    callback.v2_playbook_on_stats(None)
    callback.leave()
    assert callback.shown == []

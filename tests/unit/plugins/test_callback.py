from __future__ import annotations

import os
from types import SimpleNamespace

import pytest


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

"""The stdout callback: a line for each step of each host, and what is under way meanwhile."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

LONG = "Service web (stack core) does not pass on sha-bbbbbbb: it answers 500 instead of 200, for more than a minute."


@pytest.fixture
def clock():
    return SimpleNamespace(now=1_000.0)


@pytest.fixture
def plugin(load, clock, monkeypatch):
    loaded = load("playbooks/callback_plugins/progress.py")
    monkeypatch.setattr(loaded, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.delenv("ROLLOUT_PROGRESS", raising=False)
    return loaded


@pytest.fixture
def begin(plugin, monkeypatch):
    """A callback whose playbook has begun; it notes what it shows."""
    begun = []

    def make(name="rollout.yml", check=False, verbosity=0, columns=80):
        monkeypatch.setattr(plugin.context, "CLIARGS", {"check": check})
        made = plugin.CallbackModule()
        made.shown = []
        made._display = SimpleNamespace(display=made.shown.append, columns=columns, verbosity=verbosity)
        made.v2_playbook_on_start(SimpleNamespace(_file_name=f"/x/{name}"))
        if "v2_playbook_on_stats" in vars(made):
            made.calm = made.v2_playbook_on_stats.__self__
        begun.append(made)
        return made

    yield make
    for made in begun:
        if "v2_playbook_on_stats" in vars(made):
            made.calm.live.close()


@pytest.fixture
def live(plugin):
    """What hosts are at, shown on the real stdout, where also its bytes go."""
    opened = []

    def make(terminal, columns=80):
        made = plugin.Live(SimpleNamespace(display=print, columns=columns), terminal)
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.close()


def play(name):
    return SimpleNamespace(get_name=lambda: name)


def named(host):
    return SimpleNamespace(get_name=lambda: host)


def said(content, host="h1", action="stack", task="t1"):
    return SimpleNamespace(result=content, host=named(host), task=SimpleNamespace(action=action, _uuid=task))


def done(*services):
    return {"services": [dict(zip(("service", "action", "seconds"), service)) for service in services]}


def row(text, took="", columns=80):
    """A line of a step: its time ends in the last column but one."""
    return text.ljust(columns - 1 - len(took)) + took


KEPT = done(("db", "keep", 0.0), ("web", "keep", 0.0))
RUN = [
    ("v2_playbook_on_start", SimpleNamespace(_file_name="rollout.yml")),
    ("v2_playbook_on_play_start", play("Settle")),
    ("v2_playbook_on_no_hosts_matched",),
    ("v2_playbook_on_no_hosts_remaining",),
    ("v2_playbook_on_include", None),
    ("v2_playbook_on_task_start", None, False),
    ("v2_playbook_on_handler_task_start", None),
    ("v2_runner_on_start", named("h1"), SimpleNamespace(_uuid="t1")),
    ("v2_runner_on_ok", said(KEPT)),
    ("v2_runner_on_failed", said({"msg": "no"})),
    ("v2_runner_on_unreachable", said({"msg": "no"})),
    ("v2_runner_on_skipped", said({})),
    ("v2_runner_item_on_ok", said(KEPT)),
    ("v2_runner_item_on_failed", said({"msg": "no"})),
    ("v2_runner_item_on_skipped", said({})),
    ("v2_on_file_diff", said({})),
    ("v2_playbook_on_stats", None),
]


@pytest.mark.parametrize(
    ("name", "verbosity", "calm"),
    [
        ("rollout.yml", 0, True),
        ("rollback.yml", 0, True),
        ("status.yml", 0, True),
        ("gpu_check.yml", 0, True),
        ("unlock.yml", 0, True),
        ("rollout.yml", 1, False),
        ("status.yml", 3, False),
        ("prepare.yml", 0, False),
        ("render.yml", 0, False),
    ],
)
def test_calm_for_our_playbooks_and_ansibles_own_otherwise(begin, plugin, monkeypatch, name, verbosity, calm):
    of_ansible = []
    for method, *_ in RUN:
        monkeypatch.setattr(plugin.Default, method, lambda self, *_args, method=method: of_ansible.append(method))
    callback = begin(name, verbosity=verbosity)
    for method, *arguments in RUN[1:]:
        getattr(callback, method)(*arguments)
    assert of_ansible == ([] if calm else [method for method, *_ in RUN])
    assert bool(callback.shown) is calm


def test_only_a_calm_run_listens(begin, monkeypatch, plugin):
    monkeypatch.setattr(plugin.Default, "v2_playbook_on_start", lambda self, playbook: None)
    begin("prepare.yml")
    assert "ROLLOUT_PROGRESS" not in os.environ
    begin("rollout.yml")
    assert Path(os.environ["ROLLOUT_PROGRESS"]).is_socket()


def test_a_wave_is_named_when_there_is_a_line_below_it(begin):
    callback = begin()
    for wave in ("Stage on every host", "Switch the backend"):
        callback.v2_playbook_on_play_start(play(wave))
    assert callback.shown == []
    callback.v2_runner_on_ok(said(KEPT))
    callback.v2_runner_on_ok(said(KEPT, host="h2"))
    callback.v2_playbook_on_play_start(play("Settle"))
    callback.v2_playbook_on_stats(None)
    assert callback.shown == ["Switch the backend", "  h1  db, web: as it should be", "  h2  db, web: as it should be"]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_steps_with_their_times(begin, clock, columns):
    callback = begin(columns=columns)
    callback.v2_runner_on_start(named("h1"), SimpleNamespace(_uuid="t1"))
    clock.now += 62.04
    callback.v2_runner_on_ok(said(done(("db", "keep", 0.0), ("web", "recreate", 61.96), ("job", "remove", 0.0))))
    callback.v2_runner_on_start(named("h1"), SimpleNamespace(_uuid="t2"))
    clock.now += 1.0
    callback.v2_runner_on_ok(
        said({"name": "sha-aaaaaaa", "to_pull": 0, "pulled": 1_500_000, "changed": True}, action="release", task="t2")
    )
    callback.v2_runner_on_ok(said({"msg": "x", "changed": True}, action="ansible.builtin.debug"))
    wide = min(columns, 80)
    assert callback.shown == [
        row("  h1  web restarted", "   62.0 s", wide),
        "  h1  job removed",
        row("  h1  sha-aaaaaaa staged, 1.5 MB pulled", "    1.0 s", wide),
    ]
    assert {len(line) for line in callback.shown if line.endswith(" s")} == {wide - 1}


def test_what_is_too_long_for_its_time_is_not_cut(begin, clock):
    callback = begin()
    callback.v2_runner_on_start(named("h1"), SimpleNamespace(_uuid="t1"))
    clock.now += 3.0
    callback.v2_runner_on_ok(said(done(*[(f"a-service-{n}", "keep", 0.0) for n in range(7)])))
    (line,) = callback.shown
    assert line == f"  h1  {', '.join(f'a-service-{n}' for n in range(7))}: as it should be    3.0 s"


def test_each_item_of_a_loop_has_its_own_line_and_time(begin, clock):
    callback = begin(name="unlock.yml")
    callback.v2_runner_on_start(named("h1"), SimpleNamespace(_uuid="t1"))
    for seconds in (30.0, 2.0):
        clock.now += seconds
        callback.v2_runner_item_on_ok(said(KEPT))
    callback.v2_runner_item_on_skipped(said({"skipped": True}))
    clock.now += 1.0
    callback.v2_runner_item_on_failed(said({"msg": "It failed."}))
    callback.v2_runner_on_ok(said({"results": [KEPT, KEPT]}))
    callback.v2_runner_on_failed(said({"results": [KEPT], "msg": "One or more items failed"}))
    callback.v2_playbook_on_stats(None)
    assert callback.shown == [
        row("  h1  db, web: as it should be", "   30.0 s"),
        row("  h1  db, web: as it should be", "    2.0 s"),
        row("  h1  FAILED: It failed.", "    1.0 s"),
        "\nh1: It failed.",
    ]


def test_check_mode_tells_no_steps_but_failures(begin):
    callback = begin(check=True)
    callback.v2_playbook_on_play_start(play("Switch the backend"))
    callback.v2_runner_on_ok(said(done(("web", "recreate", 1.0))))
    callback.v2_runner_item_on_ok(said(KEPT))
    assert callback.shown == []
    callback.v2_runner_on_failed(said({"msg": "no"}))
    assert callback.shown == ["Switch the backend", "  h1  FAILED: no"]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_failure_is_cut_in_its_line_and_whole_once_at_the_end(begin, clock, columns):
    callback = begin(name="unlock.yml", columns=columns)
    callback.v2_runner_on_start(named("h1"), SimpleNamespace(_uuid="t1"))
    clock.now += 12.3
    callback.v2_runner_on_failed(said({"msg": f"{LONG}\nMore of it."}))
    callback.v2_runner_on_failed(said({"msg": "The next."}))
    callback.v2_runner_on_failed(said({"stderr": "sh: not found"}, host="h2"))
    callback.v2_runner_on_failed(said({}, host="h3"))
    cut, *others = list(callback.shown)
    assert cut.startswith("  h1  FAILED: Service web")
    assert "…" in cut
    assert cut.endswith("   12.3 s")
    assert len(cut) == min(columns, 80) - 1
    assert others == ["  h1  FAILED: The next.", "  h2  FAILED: sh: not found", "  h3  FAILED: failed without a message"]
    callback.v2_playbook_on_stats(None)
    assert callback.shown[4:] == [f"\nh1: {LONG}\n  More of it.", "\nh2: sh: not found", "\nh3: failed without a message"]


@pytest.mark.parametrize("columns", [60, 200])
def test_a_name_stays_on_its_line(begin, columns):
    callback = begin(columns=columns)
    callback.v2_runner_on_ok(said(done(("web\nROLLOUT SUCCEEDED: v2", "recreate", 1.0))))
    callback.v2_runner_on_failed(said({"msg": "x\rROLLOUT SUCCEEDED: v2\nROLLOUT SUCCEEDED: v2"}))
    lines = "\n".join(callback.shown).splitlines()
    assert lines[0].startswith(r"  h1  web\nROLLOUT SUCCEEDED: v2 restarted")
    assert not [line for line in lines if line.startswith("ROLLOUT")]


@pytest.mark.parametrize("name", ["rollout.yml", "rollback.yml"])
def test_what_ends_a_run_its_last_screen_says_whole(begin, name):
    callback = begin(name=name)
    callback.v2_runner_on_failed(said({"msg": "no"}))
    callback.v2_playbook_on_stats(None)
    assert callback.shown == ["  h1  FAILED: no"]


def test_where_a_screen_came_it_says_it_all(begin):
    callback = begin(name="status.yml")
    callback.v2_runner_on_failed(said({"msg": "no"}))
    callback.v2_runner_on_ok(said({"msg": "REFUSED"}, action="show"))
    callback.v2_runner_on_ok(said({"ansible_facts": {"other": 1}}, action="ansible.builtin.set_fact"))
    callback.v2_runner_on_failed(said({"msg": "Verdict: refused."}))
    callback.v2_playbook_on_stats(None)
    assert callback.shown == ["  h1  FAILED: no"]


def test_a_failure_that_is_ignored_is_none(begin):
    callback = begin()
    callback.v2_runner_on_failed(said({"msg": "no"}, action="lock"), ignore_errors=True)
    callback.v2_playbook_on_stats(None)
    assert callback.shown == []


@pytest.mark.parametrize("action", ["release", "stack"])
def test_a_step_for_whose_failure_the_run_has_a_verdict_is_told(begin, action):
    callback = begin()
    callback.v2_runner_on_failed(said({"msg": "no"}, action=action), ignore_errors=True)
    assert callback.shown == ["  h1  FAILED: no"]


def test_a_host_that_is_lost(begin, clock):
    callback = begin(name="unlock.yml")
    callback.v2_playbook_on_play_start(play("Settle"))
    callback.v2_runner_on_start(named("h1"), SimpleNamespace(_uuid="t1"))
    clock.now += 20.0
    callback.v2_runner_on_unreachable(said({"msg": "ssh: connect to host h1 port 22: No route to host", "unreachable": True}))
    callback.v2_runner_on_unreachable(said({}, host="h2"))
    assert callback.shown == [
        "Settle",
        row("  h1  lost: it could not be reached", "   20.0 s"),
        "  h2  lost: it could not be reached",
    ]
    callback.v2_playbook_on_stats(None)
    assert callback.shown[3:] == ["\nh1: ssh: connect to host h1 port 22: No route to host", "\nh2: it could not be reached"]


PULL = {"host": "h1", "step": "pull", "what": "localhost:5000/web@sha256:a"}
GATE = {"host": "h2", "step": "gate", "what": "api", "waiting_for": "its health", "elapsed": 3.2, "deadline": 60.0}
API = "  h2  … api: waiting for its health, 3 s of 60 s"
UP, WIPE = "\x1b[1A\x1b[2K", "\r\x1b[2K"


def test_on_a_terminal_lines_are_written_over(live, capsys):
    shown = live(terminal=True)
    shown.header = "Switch the backend"
    steps = [
        (shown._take, (PULL,), "Switch the backend\n  h1  … pulling web"),
        (shown._take, (GATE,), f"{WIPE}  h1  … pulling web\n{API}"),
        (shown._take, ({**PULL, "total": 4_000},), f"{WIPE}{UP}  h1  … pulling web of 4.0 kB\n{API}"),
        (shown.ended, ("h1", "  h1  web started   "), f"{WIPE}{UP}  h1  web started\n{API}"),
        (shown.ended, ("h3", "  h3  web started"), f"{WIPE}  h3  web started\n{API}"),
        (shown.ended, ("h2", "  h2  api started"), f"{WIPE}  h2  api started\n"),
        (shown.ended, ("h2", "  h2  job started"), "  h2  job started\n"),
        (shown._take, (GATE,), API),
        (shown.close, (), WIPE),
        # What comes after the end is shown no more.
        (shown._take, (GATE,), ""),
        (shown.close, (), ""),
    ]
    for step, arguments, written in steps:
        step(*arguments)
        assert capsys.readouterr().out == written


def test_a_line_that_is_written_over_fits_the_terminal(live, capsys):
    shown = live(terminal=True, columns=40)
    shown._take({**GATE, "what": "a-service-with-a-long-name"})
    line = capsys.readouterr().out
    assert len(line) == 39
    assert line.endswith("…, 3 s of 60 s")


def test_what_a_service_says_moves_no_cursor(live, capsys):
    shown = live(terminal=True)
    shown._take({**GATE, "waiting_for": "its health: HTTP 503 Traceback:\n\x1b[2J\x07boom"})
    line = capsys.readouterr().out
    assert line.isprintable()
    assert r"Traceback:\n\x1b[2J" in line


def test_in_a_log_a_line_every_ten_seconds_of_each_host(live, clock, capsys):
    shown = live(terminal=False)
    shown.header = "Stage on every host"
    looks = [(0.0, PULL), (1.0, GATE), (9.9, PULL), (10.0, PULL), (10.9, GATE), (11.0, GATE), (19.9, PULL), (25.0, PULL)]
    start, lines = clock.now, []
    for at, look in looks:
        clock.now = start + at
        shown._take(look)
        lines.append(capsys.readouterr().out)
    pulling = "  h1  … pulling web\n"
    assert lines == [f"Stage on every host\n{pulling}", f"{API}\n", "", pulling, "", f"{API}\n", "", pulling]
    shown.ended("h1", "  h1  web started")
    shown.close()
    assert capsys.readouterr().out == "  h1  web started\n", "a log has no bytes that move a cursor"


def test_a_pull_has_its_rate(live, clock, capsys):
    shown = live(terminal=True)
    for megabytes in (1, 2):
        shown._take({**PULL, "done": megabytes * 1_000_000, "total": 4_000_000})
        clock.now += 2.0
    assert capsys.readouterr().out.endswith("  h1  … pulling web 2.0 MB of 4.0 MB, 500.0 kB/s, 4 s left")


@pytest.mark.parametrize(
    ("ends", "result"),
    [
        ("v2_runner_on_ok", said({"changed": True}, action="release")),
        ("v2_runner_on_skipped", said({"skipped": True})),
        ("v2_runner_on_failed", said({"msg": "The verdict has said it."})),
    ],
)
def test_a_step_takes_its_line_away_even_where_it_has_nothing_to_tell(begin, monkeypatch, capsys, ends, result):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    callback = begin()
    callback.calm._screen = True
    callback.calm.live._take(GATE)
    callback.calm.live._take(PULL)
    capsys.readouterr()
    getattr(callback, ends)(result)
    assert capsys.readouterr().out == f"{WIPE}{UP}{API}"


@pytest.mark.parametrize("terminal", [True, False])
def test_lines_are_written_over_where_there_is_a_terminal(begin, monkeypatch, terminal):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    assert begin().calm.live._terminal is terminal


GARBAGE = [
    b"",
    b"\xff\xfe",
    b"no JSON",
    b"[]",
    b"5",
    b"null",
    b'"host"',
    b"{}",
    b'{"host": "h1", "step": "pull", "done": 1}',
    b'{"host": "h1", "step": "pull", "what": "web", "done": "many"}',
    b'{"host": "h1", "step": "pull", "what": "web", "done": Infinity}',
    b'{"host": "h1", "step": "pull", "what": "web", "done": 1, "total": [1]}',
    b'{"host": "h1", "what": "web", "waiting_for": "x", "elapsed": "long"}',
    b"[" * 60_000,
    b'{"host": "h1", "what": "' + b"w" * 2**17 + b'"}',
]


def wait_for(condition):
    for _ in range(3_000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


def test_garbage_is_ignored(begin):
    callback = begin()
    callback.v2_playbook_on_play_start(play("Settle"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for datagram in [*GARBAGE, json.dumps(GATE).encode()]:
            sender.settimeout(30)
            sender.sendto(datagram, os.environ["ROLLOUT_PROGRESS"])
    wait_for(lambda: len(callback.shown) == 2)
    assert callback.shown == ["Settle", API]


def test_nothing_is_left_behind(begin):
    before = set(threading.enumerate())
    callback = begin()
    (listener,) = set(threading.enumerate()) - before
    directory = Path(os.environ["ROLLOUT_PROGRESS"]).parent
    assert (directory.stat().st_mode & 0o777) == 0o700
    callback.v2_playbook_on_stats(None)
    assert not directory.exists()
    assert "ROLLOUT_PROGRESS" not in os.environ
    listener.join(30)
    assert not listener.is_alive()
    callback.calm.live.close()


@pytest.mark.parametrize("place", ["d" * 120, "absent"])
def test_without_a_socket_steps_are_told_all_the_same(begin, monkeypatch, tmp_path, place):
    (tmp_path / ("d" * 120)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / place))
    callback = begin()
    callback.v2_playbook_on_play_start(play("Settle"))
    callback.v2_runner_on_ok(said(KEPT))
    callback.v2_playbook_on_stats(None)
    assert callback.shown == ["Settle", "  h1  db, web: as it should be"]
    assert "ROLLOUT_PROGRESS" not in os.environ
    assert [path.name for path in tmp_path.rglob("*")] == ["d" * 120]

from __future__ import annotations

import json
import os
import socket
from types import SimpleNamespace

import pytest


@pytest.fixture
def plugin(load):
    return load("plugins/callback/progress.py")


@pytest.fixture
def made(plugin, monkeypatch):
    """A callback for a playbook; what it shows; the clock."""
    now = SimpleNamespace(time=100.0)
    monkeypatch.setattr(plugin, "time", SimpleNamespace(monotonic=lambda: now.time))
    open_ones = []

    def make(playbook="rollout.yml", verbosity=0, terminal=False, check=False, columns=80):
        monkeypatch.setattr(plugin.context, "CLIARGS", {"check": check})
        monkeypatch.setattr(plugin.sys.stdout, "isatty", lambda: terminal, raising=False)
        callback = plugin.CallbackModule()
        shown = []
        callback._display = SimpleNamespace(display=shown.append, columns=columns, verbosity=verbosity)
        for name in (
            "v2_playbook_on_start",
            "v2_playbook_on_play_start",
            "v2_runner_on_ok",
            "v2_runner_on_failed",
            "v2_playbook_on_stats",
        ):
            monkeypatch.setattr(plugin.Default, name, lambda *_a, name=name, **_k: shown.append(f"DEFAULT {name}"))
        callback.v2_playbook_on_start(SimpleNamespace(_file_name=f"/x/{playbook}"))
        open_ones.append(callback)
        callback.shown, callback.now = shown, now
        return callback

    yield make
    for callback in open_ones:
        if callback._live:
            callback._live.close()


def play(name):
    return SimpleNamespace(get_name=lambda: name)


def result(content, host="core", action="stack", task="t1"):
    return SimpleNamespace(
        result=content, host=SimpleNamespace(get_name=lambda: host), task=SimpleNamespace(action=action, _uuid=task)
    )


def begin(callback, host="core", task="t1"):
    callback.v2_runner_on_start(SimpleNamespace(get_name=lambda: host), SimpleNamespace(_uuid=task))


DONE = {
    "changed": True,
    "services": [
        {"service": "db", "action": "keep", "seconds": 0.0},
        {"service": "backend", "action": "recreate", "seconds": 2.44},
    ],
}


def test_a_step_is_a_line_below_its_wave(made):
    callback = made()
    callback.v2_playbook_on_play_start(play("Plan"))
    callback.v2_playbook_on_play_start(play("Switch the backend"))
    begin(callback)
    callback.now.time += 9
    callback.v2_runner_item_on_ok(result(DONE))
    callback.v2_runner_item_on_ok(result({**DONE, "services": DONE["services"][:1]}))
    assert callback.shown == [
        "Switch the backend",
        f"{'  core  backend restarted':<70}    2.4 s",
        f"{'  core  db: as it should be':<70}    9.0 s",
    ]
    assert max(len(line) for line in callback.shown) <= 80


@pytest.mark.parametrize(
    ("content", "action"),
    [
        ({"changed": True}, "lock"),
        ({"ansible_facts": {"a": 1}}, "set_fact"),
        ({"preview": {}, "to_pull": 1, "name": "x"}, "release"),
    ],
)
def test_what_is_of_no_interest_is_no_line(made, content, action):
    callback = made()
    callback.v2_playbook_on_play_start(play("Plan"))
    callback.v2_runner_on_ok(result(content, action=action))
    callback.v2_runner_on_skipped(result({}))
    assert callback.shown == []


def test_check_mode_tells_no_steps(made):
    callback = made(check=True)
    callback.v2_runner_item_on_ok(result(DONE))
    assert callback.shown == []


@pytest.mark.parametrize(("playbook", "verbosity"), [("prepare.yml", 0), ("rollout.yml", 1)])
def test_otherwise_it_is_ansibles_own(made, playbook, verbosity):
    callback = made(playbook, verbosity)
    callback.v2_playbook_on_play_start(play("Plan"))
    callback.v2_runner_on_ok(result(DONE))
    callback.v2_runner_on_failed(result({"msg": "x"}))
    callback.v2_playbook_on_stats(None)
    assert [line.removeprefix("DEFAULT v2_") for line in callback.shown] == [
        "playbook_on_start",
        "playbook_on_play_start",
        "runner_on_ok",
        "runner_on_failed",
        "playbook_on_stats",
    ]
    assert "ROLLOUT_PROGRESS" not in os.environ


LONG = "The disk is full, and that is a long story which does not fit into one line of a terminal.\nSecond line."


def test_an_error_comes_last_whole_and_once_where_no_screen_came(made):
    callback = made()
    callback.v2_runner_on_failed(result({"msg": LONG}))
    callback.v2_runner_on_failed(result({"msg": "another one"}))
    assert all(len(line) <= 80 for line in callback.shown)
    assert callback.shown[0].startswith("  core  FAILED: The disk is full, and ")
    callback.v2_playbook_on_stats(None)
    assert callback.shown[-1] == f"\ncore: {LONG}"
    assert len(callback.shown) == 3


@pytest.mark.parametrize("before", [True, False])
def test_the_screen_tells_the_errors_itself(made, before):
    callback = made()
    screen = result({"ansible_facts": {"rollout_screen": "ROLLOUT REVERTED"}}, action="set_fact")
    for step in (screen, None) if before else (None, screen):
        if step:
            callback.v2_runner_on_ok(step)
        else:
            callback.v2_runner_item_on_failed(result({"msg": LONG}))
    callback.v2_playbook_on_stats(None)
    assert LONG not in "\n".join(callback.shown)
    assert len(callback.shown) == (0 if before else 1)


def test_what_is_ignored_and_what_a_loop_repeats_is_no_error(made):
    callback = made()
    callback.v2_runner_on_failed(result({"msg": "x"}), ignore_errors=True)
    callback.v2_runner_on_failed(result({"msg": "One or more items failed", "results": [{}]}))
    callback.v2_playbook_on_stats(None)
    assert callback.shown == []


def test_a_lost_host(made):
    callback = made()
    callback.v2_runner_on_unreachable(result({"msg": "ssh"}))
    assert callback.shown[0].strip() == "core  lost: it could not be reached"


def say(facts):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(facts if isinstance(facts, bytes) else json.dumps(facts).encode(), os.environ["ROLLOUT_PROGRESS"])


GATE = {"host": "core", "step": "gate", "what": "backend", "waiting_for": "503 no database", "elapsed": 12.0, "deadline": 120.0}
TOLD = "  core  … backend: waiting for 503 no database, 12 s of 120 s"


def test_in_a_log_a_host_tells_what_it_is_at_every_ten_seconds(made):
    callback = made()
    callback.v2_playbook_on_play_start(play("Switch the backend"))
    live = callback._live
    for seconds, host in ((0, "core"), (5, "core"), (6, "gpu"), (10.1, "core"), (10.2, "gpu")):
        callback.now.time = 100.0 + seconds
        live._take({**GATE, "host": host})
    assert callback.shown == ["Switch the backend", TOLD, TOLD.replace("core", "gpu"), TOLD]


def test_on_a_terminal_the_lines_are_written_over(made, capsys):
    callback = made(terminal=True, columns=60)
    live = callback._live
    live._take(GATE)
    live._take({**GATE, "host": "gpu", "elapsed": 13.0})
    live.ended("core", "  core  backend restarted")
    out = capsys.readouterr().out
    first = TOLD[:59] if len(TOLD) < 60 else None
    assert out.startswith(first or "  core  … backend: waiting for 503 no")
    assert "\r\x1b[2K" in out, "one line is erased"
    assert "\x1b[1A\x1b[2K" in out, "two are"
    assert all(len(line.rpartition("\x1b[2K")[2]) <= 59 for line in out.split("\n"))
    assert callback.shown == ["  core  backend restarted"]
    assert out.endswith("13 s of 120 s"), "who is still at work is drawn again"


def test_it_hears_what_is_sent_and_garbage_does_no_harm(made):
    callback = made()
    for datagram in (b"\xff", b"[]", b"{}", b"7", {"host": "core", "step": "pull", "done": "x", "what": "r"}, GATE):
        say(datagram)
    for _ in range(200):
        if callback.shown:
            break
        callback._live._socket.getsockname()
        import time

        time.sleep(0.02)
    assert callback.shown == [TOLD]


def test_a_pull_tells_its_rate(made):
    callback = made(terminal=True)
    pull = {"host": "gpu", "step": "pull", "what": "r/worker@sha256:1", "total": 3_000_000_000}
    callback._live._take({**pull, "done": 1_000_000_000})
    callback.now.time += 2
    callback._live._take({**pull, "done": 1_100_000_000})
    assert callback._live._lines["gpu"] == "  gpu  … pulling worker 1.1 GB of 3.0 GB, 50.0 MB/s, 38 s left"


def test_it_leaves_nothing_behind(made):
    callback = made()
    path = os.environ["ROLLOUT_PROGRESS"]
    assert os.path.exists(path)
    callback.v2_playbook_on_stats(None)
    assert not os.path.exists(os.path.dirname(path))
    assert "ROLLOUT_PROGRESS" not in os.environ

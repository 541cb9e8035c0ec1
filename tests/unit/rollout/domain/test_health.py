from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.rollout.domain.answer import Answer
from ansible.module_utils.rollout.domain.changes import Container
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.health import FAIL, PASS, WAIT, Gate, bad_answer, next_pause, same_release
from hypothesis import given
from hypothesis import strategies as st

URL = "http://127.0.0.1:8000/health"
RELEASE = "sha-abc1234"
IMAGE = "sha256:" + "a" * 64
WEB = Service("web", "r/web", True, health=(URL,), deadline=60.0, successes=3, window=1.0, names_release=True)
UP = Container("c1", "web", IMAGE, "r/web", "h", "running", "none", 0, 0, False, "")
GOOD = [Answer(URL, 200, RELEASE)]
BAD = [Answer(URL, 503, None, "starting")]


def gate(service=WEB, **facts):
    return Gate(service, IMAGE, RELEASE, 0.0, **facts)


def feed(one, samples):
    """The states after samples of (time, container, answers)."""
    return [one.sample(container, answers, now) for now, container, answers in samples]


def test_good_answers_in_a_row_over_the_window():
    assert feed(gate(), [(t, UP, GOOD) for t in (0.0, 0.1, 0.2, 0.9, 1.0)]) == [WAIT] * 4 + [PASS]


def test_the_window_alone_is_not_enough():
    assert feed(gate(), [(0.0, UP, GOOD), (5.0, UP, GOOD), (6.0, UP, GOOD)]) == [WAIT, WAIT, PASS]


def test_flapping_does_not_pass():
    one = gate()
    flaps = [(float(n), UP, BAD if n % 3 == 2 else GOOD) for n in range(60)]
    assert set(feed(one, flaps)) == {WAIT}
    assert one.sample(UP, BAD, 60.0) == FAIL
    assert one.fatal == ""


@given(st.lists(st.booleans(), max_size=40))
def test_passes_exactly_after_enough_good_ones_in_a_row(answers):
    one = gate(replace(WEB, window=0.0))
    row = 0
    for n, good in enumerate(answers):
        row = row + 1 if good else 0
        state = one.sample(UP, GOOD if good else BAD, n * 0.5)
        assert state == (PASS if row >= 3 else WAIT)
        if state == PASS:
            break


def test_a_slow_start_within_the_deadline_passes():
    states = feed(
        gate(),
        [
            (0.0, None, []),
            (20.0, replace(UP, status="created"), []),
            (40.0, UP, [Answer(URL, None, reason="connection refused")]),
            (58.0, UP, GOOD),
            (58.5, UP, GOOD),
            (59.0, UP, GOOD),
        ],
    )
    assert states == [WAIT] * 5 + [PASS]


@pytest.mark.parametrize(
    ("container", "answers", "waits_for"),
    [
        (None, [], "its container"),
        (replace(UP, status="created"), [], "a running container (it is created)"),
        (replace(UP, status="paused"), [], "a running container (it is paused)"),
        (UP, [Answer(URL, None, reason="connection refused")], f"an answer from {URL} (connection refused)"),
        (UP, BAD, f"{URL}: HTTP 503 starting"),
        (UP, [Answer(URL, 200, "sha-0000000")], f"{URL} to name {RELEASE} (it names sha-0000000)"),
        (UP, [Answer(URL, 200)], f"{URL} to name {RELEASE} (it names no release)"),
        (replace(UP, health="unhealthy"), GOOD, "Docker's health check (unhealthy)"),
        (replace(UP, health="unhealthy"), BAD, f"{URL}: HTTP 503 starting"),
        (UP, GOOD, "3 good answers in a row"),
    ],
)
def test_the_deadline_says_what_was_missing(container, answers, waits_for):
    one = gate()
    assert feed(one, [(59.9, container, answers), (60.0, container, answers)]) == [WAIT, FAIL]
    assert one.waiting_for == waits_for
    assert one.fatal == ""


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"status": "exited", "exit_code": 1}, "it ended with exit status 1 (exited)"),
        (
            {"status": "exited", "exit_code": 0},
            "it ended by itself, with exit status 0 (exited); if that is what it is for, write job: before, or after, in its x-rollout",
        ),
        ({"status": "dead", "exit_code": 2}, "it ended with exit status 2 (dead)"),
        ({"status": "restarting", "exit_code": 3}, "it ended with exit status 3 (restarting)"),
        ({"status": "exited", "exit_code": 137}, "it ended with exit status 137, killed (exited)"),
        ({"status": "exited", "exit_code": 137, "oom": True}, "it was killed: out of memory"),
        (
            {"status": "created", "error": "port is already allocated"},
            "it could not be started: port is already allocated",
        ),
        ({"restarts": 2}, "it crashed and was restarted 2 times"),
        (
            {"image_id": "sha256:" + "b" * 64},
            "it runs image sha256:bbbbbbbbbbbb, not the released sha256:aaaaaaaaaaaa",
        ),
    ],
)
def test_a_crash_fails_at_once(facts, sentence):
    one = gate()
    assert one.sample(replace(UP, **facts), GOOD, 0.1) == FAIL
    assert one.fatal == one.waiting_for == sentence


@pytest.mark.parametrize(
    ("fresh", "status", "state"),
    [(False, "running", PASS), (True, "running", FAIL), (False, "exited", FAIL), (True, "exited", FAIL)],
)
def test_a_process_of_one_that_runs_all_along_may_have_been_killed_long_ago(fresh, status, state):
    one = gate(replace(WEB, successes=1, window=0.0), fresh=fresh)
    assert one.sample(replace(UP, status=status, oom=True), GOOD, 0.1) == state


def test_a_container_that_was_running_all_along_may_have_crashed_long_ago_but_not_now():
    one = gate(fresh=False)
    assert feed(one, [(0.0, replace(UP, restarts=5), GOOD), (0.5, replace(UP, restarts=5), GOOD)]) == [
        WAIT,
        WAIT,
    ]
    assert one.sample(replace(UP, restarts=6), GOOD, 0.9) == FAIL


def test_another_container_begins_its_own_count():
    one = gate(fresh=False)
    assert feed(one, [(0.0, replace(UP, restarts=1), GOOD), (0.5, replace(UP, id="c2", restarts=3), GOOD)]) == [
        WAIT,
        WAIT,
    ]


@pytest.mark.parametrize(("health", "state"), [("healthy", PASS), ("none", PASS), ("starting", WAIT), ("unhealthy", WAIT)])
def test_without_urls_docker_decides(health, state):
    one = gate(replace(WEB, health=(), successes=1, window=0.0))
    assert one.sample(replace(UP, health=health), [], 0.0) == state


def test_a_service_outside_the_release_may_run_any_image():
    one = Gate(replace(WEB, health=(), successes=1, window=0.0), None, None, 0.0)
    assert one.sample(replace(UP, image_id="sha256:x"), [], 0.0) == PASS


@pytest.mark.parametrize(
    ("answer", "expected", "must_name", "bad"),
    [
        (Answer(URL, 200, RELEASE), RELEASE, True, ""),
        (Answer(URL, 204), None, True, ""),
        (Answer(URL, 200), RELEASE, False, ""),
        (Answer(URL, 200, "sha-abc1234def"), RELEASE, True, ""),
        (Answer(URL, 200), RELEASE, True, "it names no release"),
        (Answer(URL, 200, ""), RELEASE, True, "it names no release"),
        (Answer(URL, 200, "sha-0000000"), RELEASE, False, "it names sha-0000000"),
        (Answer(URL, 302), RELEASE, False, "HTTP 302"),
        (Answer(URL, 404, RELEASE), RELEASE, True, "HTTP 404"),
        (Answer(URL, None, reason="timed out"), None, False, "(timed out)"),
    ],
)
def test_bad_answer(answer, expected, must_name, bad):
    found = bad_answer([Answer("http://other", 200, RELEASE), answer], expected, must_name)
    assert (bad in found) if bad else found == ""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sha-abc1234", "sha-abc1234", True),
        ("sha-abc1234", "sha-abc1234d", True),
        ("sha-abc", "sha-abc1234", False),
        ("sha-abc1234", "sha-abd1234", False),
        ("v1", "v1", True),
        ("v1", "v1.2", False),
        ("latest", "sha-abc1234", False),
    ],
)
def test_same_release(one, other, same):
    assert same_release(one, other) is same_release(other, one) is same


def test_the_text_of_an_answer_that_was_not_read_names_no_release():
    cut = Answer(URL, 200, cut="its answer is longer than 64 KiB")
    assert bad_answer([cut], RELEASE) == ""
    assert bad_answer([cut], RELEASE, True) == f"{URL} to name {RELEASE} (its answer is longer than 64 KiB)"


def test_the_pause_grows_to_a_quarter_of_a_second_and_is_short_again_once_answers_are_good():
    pauses = [next_pause(t) for t in (0.0, 0.5, 2.0, 5.0, 10.0, 1000.0)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 0.03
    assert pauses[-1] == 0.25
    assert next_pause(1000.0, good=True) == 0.03


def test_the_last_sample_falls_on_the_end_of_the_window():
    one = gate()
    assert one.pause(9.0) == 0.25, "no answer yet"
    seen = [10.0]
    while one.sample(UP, GOOD, seen[-1]) != PASS:
        seen.append(seen[-1] + one.pause(seen[-1]))
    assert seen[1] - seen[0] == pytest.approx(0.03)
    assert seen[-1] == pytest.approx(10.0 + WEB.window, abs=0.002)


def test_a_window_that_is_over_before_there_are_enough_answers_makes_no_haste():
    one = gate(replace(WEB, successes=9, window=0.01))
    feed(one, [(1.0, UP, GOOD), (1.01, UP, GOOD)])
    assert one.pause(1.01) == one.pause(1.02) == 0.03


def test_what_is_no_http_says_itself_what_is_missing():
    good, bad = Answer("tcp://db:1", None, fault=""), Answer("tcp://db:1", None, fault="a connection to tcp://db:1 (no route)")
    assert bad_answer([good], RELEASE, True) == ""
    assert bad_answer([*GOOD, good, bad], RELEASE, True) == "a connection to tcp://db:1 (no route)"


@given(st.floats(0, 1e6), st.floats(0, 3))
def test_a_command_is_not_asked_for_more_than_once_a_second(asked, later):
    one = gate(asked=asked)
    now = asked + later
    assert one.due(now) == (now - asked >= 1)
    if not one.due(now):
        # However small the rest is, a clock sees it pass.
        assert 0.001 <= one.pause(now) <= 1
        assert now + one.pause(now) > now
    assert gate().due(now)

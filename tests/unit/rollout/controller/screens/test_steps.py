from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller.screens import steps
from ansible.module_utils.rollout.controller.screens.steps import Rate, cut, done_lines, now_at
from hypothesis import given
from hypothesis import strategies as st


def rates(*samples):
    rate = Rate()
    return [rate.add(now, done) for now, done in samples]


def test_a_rate_needs_two_samples():
    assert rates((5.0, 100)) == [None]
    assert rates((5.0, 100), (5.0, 200)) == [None, None]
    assert rates((5.0, 100), (7.0, 300)) == [None, 100.0]


def test_a_rate_is_that_of_the_last_seconds():
    # Slow for 10 s, then fast: the first samples are forgotten.
    slow = [(float(t), 10 * t) for t in range(11)]
    fast = [(float(t), 100 + 1_000 * (t - 10)) for t in range(11, 31)]
    found = rates(*slow, *fast)
    assert found[10] == 10.0
    assert 10.0 < found[15] < 1_000.0
    assert found[-1] == 1_000.0


def test_a_rate_after_a_silence():
    assert rates((0.0, 0), (1.0, 100), (11.5, 200), (12.5, 300)) == [None, 100.0, None, 100.0]


def test_a_stalled_transfer_gets_slower_and_then_has_no_rate():
    found = rates((0.0, 0), (1.0, 100), *[(float(t), 100) for t in range(2, 14)])
    assert found[1] == 100.0
    assert found[2] == 50.0
    assert found[-1] == 0.0


def test_a_transfer_that_begins_anew_has_a_new_rate():
    assert rates((0.0, 0), (1.0, 500), (2.0, 100), (3.0, 150)) == [None, 500.0, None, 50.0]


@given(st.floats(0.1, 1e9), st.lists(st.floats(0.01, 5.0), min_size=1, max_size=30))
def test_a_steady_transfer_has_its_own_rate(speed, pauses):
    rate, now = Rate(), 0.0
    rate.add(now, 0)
    for pause in pauses:
        now += pause
        # A sample is whole bytes.
        assert rate.add(now, int(speed * now)) == pytest.approx(speed, abs=1.0 / pause)


PULL = {"step": "pull", "what": "localhost:5000/team/web@sha256:" + "a" * 64}
GATE = {"step": "gate", "what": "web", "waiting_for": "its container"}


@pytest.mark.parametrize(
    ("facts", "rate", "text"),
    [
        (PULL, None, "pulling web"),
        ({**PULL, "what": "postgres:17"}, None, "pulling postgres:17"),
        ({**PULL, "what": "localhost:5000/web:sha-aaaaaaa"}, None, "pulling web:sha-aaaaaaa"),
        ({**PULL, "done": 0, "total": None}, None, "pulling web"),
        ({**PULL, "done": 0, "total": 4_000}, 100.0, "pulling web of 4.0 kB"),
        ({**PULL, "done": 1_500_000}, None, "pulling web 1.5 MB"),
        ({**PULL, "done": 1_500_000}, 0.0, "pulling web 1.5 MB"),
        ({**PULL, "done": 1_500_000}, 500_000.0, "pulling web 1.5 MB, 500.0 kB/s"),
        ({**PULL, "done": 1_500_000, "total": 4_000_000}, None, "pulling web 1.5 MB of 4.0 MB"),
        ({**PULL, "done": 1_500_000, "total": 4_000_000}, 5e5, "pulling web 1.5 MB of 4.0 MB, 500.0 kB/s, 5 s left"),
        # Docker rounds: no time is left, nor less than that.
        ({**PULL, "done": 4_000_100, "total": 4_000_000}, 5e5, "unpacking web (4.0 MB)"),
        ({"step": "torch", "what": "web"}, None, "web: trying torch"),
        ({"step": "card", "what": "web"}, None, "web: waiting until the card is free"),
        ({"step": "stop", "what": "web"}, None, "web: waiting until it has stopped"),
        ({"step": "rehearse", "what": "web"}, None, "web (rehearsal)"),
        ({**GATE, "step": "rehearse", "elapsed": 1.0}, None, "web (rehearsal): waiting for its container, 1 s"),
        (GATE, None, "web: waiting for its container, 0 s"),
        ({**GATE, "elapsed": 12.4}, None, "web: waiting for its container, 12 s"),
        ({**GATE, "elapsed": 12.4, "deadline": 60.0}, None, "web: waiting for its container, 12 s of 60 s"),
        ({**GATE, "elapsed": 12.4, "deadline": 0.0}, None, "web: waiting for its container, 12 s"),
        ({"step": "gate", "what": "web"}, None, "web"),
        ({"step": "of another version", "what": "web"}, None, "web"),
        ({}, None, ""),
    ],
)
def test_now_at(facts, rate, text):
    assert now_at(facts, rate) == text


def service(name, action, seconds=0.0):
    return {"service": name, "action": action, "seconds": seconds}


STAGED = {"name": "sha-aaaaaaa", "to_pull": 0, "changed": True}


@pytest.mark.parametrize(
    ("action", "result", "lines"),
    [
        ("stack", {"services": []}, []),
        ("stack", {"msg": "it failed"}, []),
        ("stack", {"services": [service("web", "keep"), service("job", "keep")]}, [("web, job: as it should be", None)]),
        (
            "stack",
            {
                "services": [
                    service("db", "keep"),
                    service("web", "create", 1.5),
                    service("job", "recreate", 2.5),
                    service("old", "remove"),
                ]
            },
            [("web started", 1.5), ("job restarted", 2.5), ("old removed", 0.0)],
        ),
        ("release", STAGED, [("sha-aaaaaaa staged", None)]),
        ("release", {**STAGED, "to_pull": 9_000_000, "pulled": 1_500_000}, [("sha-aaaaaaa staged, 1.5 MB pulled", None)]),
        ("release", {**STAGED, "to_pull": 9_000_000, "pulled": 0}, [("sha-aaaaaaa staged", None)]),
        (
            "release",
            {**STAGED, "rehearsed": [{"stack": "core", "service": "web", "seconds": 1.25}]},
            [("web rehearsed", 1.25), ("sha-aaaaaaa staged", None)],
        ),
        ("release", {**STAGED, "changed": False}, [("sha-aaaaaaa is staged already", None)]),
        # In check mode the plan says it.
        ("release", {**STAGED, "preview": {}}, []),
        ("release", {"removed": [], "changed": True}, [("confirmed as stable", None)]),
        ("release", {"removed": [], "changed": False}, [("stable already", None)]),
        (
            "release",
            {"services": [{**service("web", "keep"), "stack": "core"}], "removed": [], "changed": True},
            [("web: as it should be", None), ("confirmed as stable", None)],
        ),
        ("release", {"changed": True}, []),
        ("lock", {"changed": True, "services": [service("web", "create")], "to_pull": 1}, []),
        ("ansible.builtin.debug", {"msg": "x"}, []),
    ],
)
def test_done_lines(action, result, lines):
    assert done_lines(action, result) == lines


@pytest.mark.parametrize(
    ("line", "columns", "shown"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("pulling ktrdr-worker-cpu 1 MB of 2 MB, 5 s left", 40, "pulling ktrdr-worker-cpu 1 MB…, 5 s left"),
        # A tail that would take half of the line is none.
        ("web: a, whose tail is far too long to be kept", 20, "web: a, whose tail …"),
    ],
)
def test_cut(line, columns, shown):
    assert cut(line, columns) == shown


@given(st.text(), st.integers(3, 200))
def test_a_cut_line_fits(line, columns):
    found = cut(line, columns)
    assert len(found) <= columns
    assert found == line or ("…" in found and len(line) > columns)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three four", ["one two", "three four"]),
        ("  a table  line that is long", ["  a table  line that is long"]),
        ("    a log line that is long", ["    a log line that is long"]),
        # One of a list.
        ("  one two three", ["  one two", "  three"]),
        ("short\n\nlast", ["short", "", "last"]),
        ("a-very-long-name-that-is-not-broken", ["a-very-long-name-that-is-not-broken"]),
        # What somebody copies.
        (
            "To go: ansible-playbook back.yml -e sha=a1 -e x=1 or not",
            ["To go:", "ansible-playbook back.yml -e sha=a1 -e x=1", "or not"],
        ),
    ],
)
def test_wrapped(text, lines):
    assert steps.wrapped(text, 10).split("\n") == lines


@pytest.mark.parametrize(
    ("line", "took", "lines"),
    [
        ("web restarted", "    1.0 s", ["  h1  web restarted              1.0 s"]),
        ("web restarted", "", ["  h1  web restarted                   "]),
        (
            "a-service, b-service, c: kept",
            "    2.0 s",
            ["  h1  a-service, b-service,", "      c: kept                    2.0 s"],
        ),
        # A name may be as long as it likes.
        (
            "a-service-with-a-very-long-name-indeed ended",
            "    2.0 s",
            ["  h1", "      a-service-with-a-very-long-name-indeed", "      ended                      2.0 s"],
        ),
    ],
)
def test_a_step_with_its_time(line, took, lines):
    assert steps.step("h1", line, took, 38, True).split("\n") == lines
    # In a log it is one line.
    assert steps.step("h1", line, took, 38, False).split() == [word for one in lines for word in one.split()]
    assert "\n" not in steps.step("h1", line, took, 38, False)


def test_a_job_and_what_comes_before_it():
    facts = {"step": "job", "what": "migrate", "waiting_for": "adding column, users", "elapsed": 12.4, "deadline": 600.0}
    assert steps.now_at(facts) == "migrate: adding column, users, 12 s of 600 s"
    assert steps.now_at({**facts, "waiting_for": ""}) == "migrate runs, 12 s of 600 s"
    stopped = {"quiet": [{"stack": "core", "service": "web"}, {"stack": "core", "service": "api"}]}
    assert steps.done_lines("job", stopped) == [("web, api stopped", None)]
    saved = {"backups": [{"service": "db", "bytes": 2000, "seconds": 1.5}]}
    assert steps.done_lines("job", saved) == [("db backed up (2.0 kB)", 1.5)]
    assert steps.done_lines("job", {"jobs": [{"job": "migrate", "seconds": 2.5}]}) == [("migrate ran", 2.5)]
    assert steps.done_lines("job", {"quiet": []}) == []

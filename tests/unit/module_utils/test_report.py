from __future__ import annotations

import pytest
from ansible.module_utils.rollout import report

RUN = {"action": "rollout", "run": "r1", "release": "sha-bbbbbbb", "check": False}
WEB = {
    "service": "web",
    "action": "recreate",
    "why": "image",
    "torch": None,
    "seconds": 2.34,
    "gap": 2.34,
    "stack": "core",
}
OK = {"name": "sha-bbbbbbb", "stable": "sha-aaaaaaa", "changed": True, "services": [WEB]}


def fault(phase, host="h1", **facts):
    return {"phase": phase, "host": host, "msg": "it broke.", **facts}


REVERTED = {**OK, "fault": fault("switch")}


@pytest.mark.parametrize(
    ("results", "lost", "word"),
    [
        ([OK], [], "succeeded"),
        ([OK, {"changed": False}], [], "succeeded"),
        ([{"changed": False}], [], "unchanged"),
        ([{}], [], "unchanged"),
        ([{"fault": fault("plan")}, {}], [], "refused"),
        ([{"fault": fault("stage")}], ["h2"], "refused"),
        ([{"fault": fault("stage")}, REVERTED], [], "reverted"),
        ([REVERTED], [], "reverted"),
        ([{**OK, "fault": fault("settle")}], [], "reverted"),
        ([{**REVERTED, "revert_fault": fault("revert")}], [], "revert failed"),
        ([{**REVERTED, "revert_fault": fault("revert")}], ["h2"], "revert failed"),
        ([OK], ["h2"], "unknown"),
        ([REVERTED], ["h2"], "unknown"),
        ([{**OK, "fault": fault("lost")}], [], "unknown"),
        ([], [], "unknown"),
        ([], ["h1"], "unknown"),
        ([{"fault": fault("plan"), "out": True, "lost": True}], [], "refused"),
        ([{**REVERTED, "out": True, "lost": True}], [], "unknown"),
        ([{**OK, "fault": fault("switch", fenced="guard"), "out": True}], [], "reverted"),
        ([{**OK, "fault": fault("switch", fenced="run"), "out": True}], [], "unknown"),
        ([OK, {"out": True, "behind": True}], [], "succeeded"),
        ([{}, {"out": True, "behind": True}], [], "unchanged"),
    ],
)
def test_verdict(results, lost, word):
    assert report.verdict(results, lost) == word
    assert report.good(word) == (word in ("succeeded", "unchanged"))


@pytest.mark.parametrize(
    ("results", "lost", "run", "texts"),
    [
        (
            {"h1": OK},
            [],
            {},
            [
                "ROLLOUT SUCCEEDED: sha-bbbbbbb runs on 1 host, every gate held.",
                "sha-aaaaaaa -> sha-bbbbbbb",
                "2.3 s",
                "Run r1. To go back: ansible-playbook rollback.yml -e sha=aaaaaaa",
            ],
        ),
        ({"h1": {**OK, "stable": "v1"}}, [], {}, ["To go back: ansible-playbook rollback.yml -e tag=v1"]),
        ({"h1": {**OK, "stable": None}}, [], {}, ["- -> sha-bbbbbbb", "Run r1."]),
        (
            {"h1": {**OK, "changed": False, "stable": "sha-bbbbbbb", "services": []}, "h2": {}},
            [],
            {},
            ["ROLLOUT UNCHANGED: sha-bbbbbbb runs on 2 hosts already. Nothing was restarted."],
        ),
        (
            {"h1": {"fault": fault("plan")}},
            [],
            {},
            [
                "ROLLOUT REFUSED: nothing was touched, what ran before still runs.",
                "On host h1: it broke.",
                "Run r1.",
            ],
        ),
        (
            {"h1": {**REVERTED, "fault": fault("switch", gate="health", log="one\ntwo")}},
            [],
            {"action": "rollback"},
            [
                "ROLLBACK REVERTED: sha-bbbbbbb did not pass. sha-aaaaaaa runs again, and its gates hold.",
                "On host h1, gate health: it broke.\nThe last lines of its log:\n    one\n    two",
                "Run r1. Mend the release and roll out again; nothing else is needed.",
            ],
        ),
        (
            # A full disk, a killed step: the release may be well.
            {"h1": REVERTED},
            [],
            {},
            [
                "ROLLOUT REVERTED: sha-bbbbbbb could not be rolled out. sha-aaaaaaa runs again, and its gates hold.",
                "Run r1. See to that and roll out again; nothing else is needed.",
            ],
        ),
        (
            {
                "h1": {
                    **OK,
                    "fault": fault("switch", gate="health"),
                    "guarded": {"phase": "revert", "host": "h1", "msg": "The guard of this host acted."},
                }
            },
            [],
            {},
            ["ROLLOUT REVERTED: sha-bbbbbbb did not pass.", "On host h1: The guard of this host acted."],
        ),
        (
            # Its predecessor has the same name.
            {"h1": {**OK, "stable": "sha-bbbbbbb", "variant": True}},
            [],
            {},
            ["Run r1. To go back: ansible-playbook rollback.yml"],
        ),
        (
            {"h1": {**REVERTED, "stable": None}},
            [],
            {},
            ["It was taken away; there was no stable release to go back to."],
        ),
        (
            {"h1": {**OK, "fault": fault("switch", gate="health"), "revert_fault": fault("revert")}},
            [],
            {},
            [
                "ROLLOUT REVERT FAILED: sha-bbbbbbb did not pass, and the way back failed too. Somebody must look",
                "The revert failed on host h1: it broke.",
                "Then: ansible-playbook status.yml",
            ],
        ),
        (
            {"h1": OK},
            ["h2", "h3"],
            {},
            [
                "ROLLOUT UNKNOWN: a host was lost, so what runs there is not known. The others are on sha-aaaaaaa.",
                "Lost: h2, h3. What runs there is not known.",
                "Run r1. When it is back: ansible-playbook status.yml, then roll out again.",
            ],
        ),
        (
            {
                "core": {**OK, "fault": fault("switch", "core"), "switched": True},
                "gpu": {**OK, "fault": fault("lost", "gpu"), "lost": True, "out": True, "switched": True},
            },
            [],
            {"timeout": 900},
            [
                "ROLLOUT UNKNOWN: a host was lost, so what runs there is not known. The others are on sha-aaaaaaa.",
                "On hosts core, gpu: it broke.",
                "What runs where:\n  core  sha-aaaaaaa\n  gpu   not known: sha-bbbbbbb, sha-aaaaaaa, or both\n"
                "A host that was switched and not confirmed goes back by itself within 15 min of its switch (its guard is armed).\n"
                "Until then different releases run together: sha-aaaaaaa (core) with an unknown one (gpu).",
            ],
        ),
        (
            {"h1": {**OK, "fault": fault("switch", fenced="run"), "out": True, "switched": True}},
            [],
            {},
            [
                "ROLLOUT UNKNOWN: this run lost its lock, to another run or to somebody who unlocked it, and stopped where it was.",
            ],
        ),
        (
            {"h1": OK, "nas": {"out": True, "behind": True}},
            [],
            {"behind": ["nas"]},
            [
                "ROLLOUT SUCCEEDED: sha-bbbbbbb runs on 1 host, every gate held.",
                "Behind: nas took no part in this run and may run another release; the next run brings it up to date.",
            ],
        ),
        ({"h1": OK}, [], {"notes": ["Found at the start:\n  x"]}, ["\n\nFound at the start:\n  x\n\nRun r1."]),
        (
            {"h1": {**OK, "stable": None, "fault": fault("lost"), "lost": True}},
            [],
            {},
            [
                "The others have no release running.",
            ],
        ),
        (
            {"h1": OK, "h2": OK},
            [],
            {"check": True},
            ["CHECK: the rollout would change h1, h2. Nothing was touched."],
        ),
        (
            {"h1": {}},
            [],
            {"check": True},
            ["CHECK: the rollout would change nothing on h1. Nothing was touched."],
        ),
        ({"h1": {"fault": fault("plan")}}, [], {"release": ""}, ["ROLLOUT REFUSED"]),
        ({"h1": {"fault": fault("stage")}}, [], {"check": True}, ["ROLLOUT REFUSED"]),
    ],
)
def test_screen(results, lost, run, texts):
    screen = report.screen(results, lost, {**RUN, **run})
    for text in texts:
        assert text in screen
    assert "None" not in screen


@pytest.mark.parametrize(
    ("service", "text"),
    [
        ({"action": "keep", "seconds": 0.0, "gap": None}, "unchanged"),
        ({"action": "create"}, "started"),
        ({"action": "remove"}, "removed"),
        ({"torch": {"verdict": "pass", "torch": {"version": "2.5.1+cpu"}}}, "2.5.1+cpu"),
    ],
)
def test_screen_of_services(service, text):
    assert text in report.screen({"h1": {**OK, "services": [{**WEB, **service}]}}, [], RUN)


def test_what_was_waited_for_stands_below_the_table():
    rows = [{**WEB, "drain": "waited 12 s for 1 operation"}, {**WEB, "service": "job", "drain": ""}]
    screen = report.screen({"h1": {**OK, "services": rows}}, [], RUN)
    assert "\n\nweb (h1): waited 12 s for 1 operation.\n\n" in screen
    assert "job (h1)" not in screen


def test_the_same_release_with_another_configuration():
    result = {**OK, "stable": "sha-bbbbbbb", "services": [{**WEB, "why": "configuration"}]}
    screen = report.screen({"h1": result}, [], RUN)
    assert "restarted (configuration)" in screen
    assert "To go back" not in screen


def test_table_groups_and_leaves_empty_columns_out():
    rows = [["h1", "web", "", "x"], ["h1", "database", "", "y"], ["h2", "web", "", "z"]]
    assert report.table(["HOST", "SERVICE", "NONE", "VALUE"], rows) == (
        "  SERVICE   VALUE\nh1\n  web       x\n  database  y\nh2\n  web       z"
    )


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        ({"verdict": "pass", "torch": {"version": "2.5"}}, "2.5"),
        ({"verdict": "pass", "torch": None}, "absent"),
        ({"verdict": "unknown", "reason": "no_answer"}, "unknown: no_answer"),
        ({}, "None: None"),
    ],
)
def test_torch_column(verdict, text):
    assert report.torch_column(verdict) == text


LOST = {**OK, "fault": fault("lost"), "lost": True, "out": True}


@pytest.mark.parametrize(
    ("result", "runs"),
    [
        ({**REVERTED, "switched": True}, "sha-aaaaaaa"),
        ({**LOST, "switched": True}, "?"),
        (LOST, "sha-aaaaaaa"),
        ({**LOST, "switched": True, "stable": "sha-bbbbbbb"}, "sha-bbbbbbb"),
        ({**LOST, "switched": True, "stable": None}, "?"),
        ({**REVERTED, "revert_fault": fault("revert"), "switched": True}, "?"),
        ({"fault": fault("plan")}, "nothing"),
        ({**OK, "fault": fault("switch", fenced="guard"), "switched": True}, "sha-aaaaaaa"),
    ],
)
def test_runs_now(result, runs):
    assert report.runs_now({"h1": result}, "sha-bbbbbbb") == {"h1": runs}


@pytest.mark.parametrize(
    ("results", "told"),
    [({"h1": REVERTED, "h2": REVERTED}, False), ({"h1": REVERTED, "h2": {**REVERTED, "stable": "sha-0"}}, True)],
)
def test_what_runs_where_is_told_where_it_differs(results, told):
    assert ("What runs where:" in report.screen(results, [], RUN)) is told


def test_once_another_run_is_in_charge_nothing_is_said_of_what_runs():
    fenced = {**OK, "switched": True, "fault": fault("switch", fenced="run")}
    assert report.taken({"h1": OK, "h2": fenced})
    assert not report.taken({"h1": OK, "h2": {**OK, "fault": fault("switch", fenced="guard")}})
    assert "What runs where" not in report.screen({"h1": LOST, "h2": fenced}, [], RUN)


@pytest.mark.parametrize(
    ("releases", "text"),
    [
        ({"core": "sha-a"}, "sha-a (core)"),
        ({"core": "sha-a", "b": "sha-b", "gpu": "sha-a"}, "sha-a (core, gpu) with sha-b (b)"),
        ({"core": "sha-a", "gpu": "?"}, "sha-a (core) with an unknown one (gpu)"),
        ({}, ""),
    ],
)
def test_pairs(releases, text):
    assert report.pairs(releases) == text


@pytest.mark.parametrize(
    ("event", "what"),
    [
        ({"event": "armed"}, "after its guard was armed, before anything was switched"),
        ({"event": "switching", "service": "web"}, "switching web"),
        ({"event": "reverting", "service": "web"}, "taking web away"),
        ({"event": "switched", "stack": "core"}, "after stack core was switched, before the release was confirmed"),
        ({"event": "switching"}, "switching ?"),
        ({"event": "other"}, "other"),
    ],
)
def test_interrupted(event, what):
    assert report.interrupted({"run": "r9", "release": "sha-b", **event}) == (
        f"Interrupted {what}, by run r9 on its way to sha-b."
    )


@pytest.mark.parametrize(("release", "typed"), [("sha-abc1234", "sha=abc1234"), ("v1", "tag=v1")])
def test_choice(release, typed):
    assert report.choice(release) == typed


def at_the_start(**facts):
    return {"ledger": {"interrupted": None, "torn": False, "closed": None}, "keeper": "systemd", **facts}


@pytest.mark.parametrize(
    ("infos", "taken", "empty", "timeout", "notes"),
    [
        ({"h1": at_the_start()}, [], [], 900, []),
        ({}, ["Taken.", "Taken."], ["Empty."], 900, ["Found at the start:\n  Taken.", "Empty."]),
        (
            {"h1": at_the_start(keeper="process"), "h2": at_the_start(keeper="process"), "h3": at_the_start(keeper="nobody")},
            [],
            [],
            900,
            [
                "The guard of h1, h2 is a plain process: it does not survive a reboot. ansible-playbook playbooks/prepare.yml installs "
                "the systemd unit that does.",
                "h3 has no systemd: the guard is a plain process and does not survive a reboot.",
            ],
        ),
        ({"h1": at_the_start(keeper="nobody"), "h2": at_the_start(keeper="process")}, [], [], 0, []),
        (
            {"h1": at_the_start(ledger={"interrupted": {"event": "armed", "run": "r9"}, "torn": False})},
            [],
            [],
            900,
            [
                "Found at the start:\n  h1: Interrupted after its guard was armed, before anything was switched, by run r9 on its way "
                "to ?."
            ],
        ),
        # The lock is this run's own by then, and a guard waits for the run that this one replaces.
        (
            {"h1": at_the_start(lock={"run": "r1", "who": "x", "quiet": 1}, guard={"run": "r9", "alive": True, "fires_in": 5})},
            [],
            [],
            900,
            [],
        ),
    ],
)
def test_before(infos, taken, empty, timeout, notes):
    assert report.before(infos, taken, empty, timeout) == notes


@pytest.mark.parametrize(
    ("task", "line"),
    [
        ({"changed": True, "released": "run r1 of a@b, since t"}, "h1: the lock of run r1 of a@b, since t, was removed."),
        ({"changed": False, "released": ""}, "h1: no lock."),
        ({"unreachable": True, "msg": "no route"}, "h1: not removed. no route"),
        ({"failed": True, "msg": "not writable."}, "h1: not removed. not writable."),
    ],
)
def test_unlock_screen(task, line):
    after = "What runs there: ansible-playbook status.yml"
    if task.get("released"):
        after = f"An armed guard stays armed. {after}. Then roll out or roll back again."
    assert report.unlock_screen({"h1": task}) == f"{line}\n\n{after}"


def test_what_went_wrong_on_several_hosts_is_told_once():
    twice = {host: {"fault": {**fault("plan", host), "gate": "health"}} for host in ("h1", "h2", "h1")}
    other = {"h3": {"fault": fault("plan", "h3"), "revert_fault": fault("revert", "h3")}}
    said = report.screen({**twice, **other}, [], {"action": "rollout", "run": "r1"})
    assert "On hosts h1, h2, gate health: it broke.\n\nOn host h3: it broke.\n\nThe revert failed on host h3: it broke." in said


@pytest.mark.parametrize(
    ("touched", "head"),
    [
        (False, "ROLLBACK REFUSED: nothing was touched, what ran before still runs."),
        (True, "ROLLBACK ENDED EARLY: what runs now, ansible-playbook status.yml says."),
    ],
)
def test_a_run_that_ends_before_its_verdict(touched, head):
    errors = {"h1": "It broke.", "h2": "No route.", "h3": "It broke."}
    assert report.ended_early("rollback", errors, touched) == f"{head}\n\nOn hosts h1, h3: It broke.\n\nOn host h2: No route."


def test_screen_of_a_run_that_lost_every_host():
    assert "ROLLOUT UNKNOWN" in report.screen({}, ["h1"], {"action": "rollout", "run": "r1"})


@pytest.mark.parametrize(
    ("results", "lost", "title", "body", "kind"),
    [
        (
            {"h1": OK},
            [],
            "ROLLOUT SUCCEEDED: sha-bbbbbbb runs on 1 host, every gate held.",
            "Run r1. To go back: ansible-playbook rollback.yml -e sha=aaaaaaa",
            "success",
        ),
        (
            {"h1": {"fault": fault("plan")}, "nas": {"out": True, "behind": True}},
            [],
            "ROLLOUT REFUSED: nothing was touched, what ran before still runs.",
            "On host h1: it broke.\n\nRun r1.",
            "warning",
        ),
        (
            {"h1": {**REVERTED, "fault": fault("switch", gate="health", log="a line that may say too much")}},
            [],
            "ROLLOUT REVERTED: sha-bbbbbbb did not pass. sha-aaaaaaa runs again, and its gates hold.",
            "On host h1, gate health: it broke.\n\nRun r1. Mend the release and roll out again; nothing else is needed.",
            "failure",
        ),
        (
            {"h1": OK},
            ["h2"],
            "ROLLOUT UNKNOWN: a host was lost, so what runs there is not known. The others are on sha-aaaaaaa.",
            "Lost: h2.\n\nRun r1. When it is back: ansible-playbook status.yml, then roll out again.",
            "failure",
        ),
    ],
)
def test_message(results, lost, title, body, kind):
    assert report.message(results, lost, RUN) == {"title": title, "body": body, "kind": kind}


def test_a_long_message_is_cut():
    body = report.message({"h1": {"fault": {**fault("plan"), "msg": "x" * 9000}}}, [], RUN)["body"]
    assert (len(body), body[-1]) == (1500, "…")


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ({}, []),
        ({"notification": {"skipped": True, "msg": "skipped"}, "metrics": {"skipped": True}}, []),
        ({"notification": {"sent": 1, "unsent": []}, "metrics": {"path": "/x"}}, []),
        ({"notification": {"sent": 0, "unsent": ["A.", "B."]}}, ["Not notified: A.", "Not notified: B."]),
        ({"notification": {"msg": "Unexpected: a defect."}}, ["Not notified: Unexpected: a defect."]),
        (
            {"metrics": {"msg": "No space."}},
            ["h1 has no metrics of this run: No space.", "h2 has no metrics of this run: No space."],
        ),
    ],
)
def test_aftermath(tasks, said):
    assert report.aftermath({"h1": tasks, "h2": tasks}) == said

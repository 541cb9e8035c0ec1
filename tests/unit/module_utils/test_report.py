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
    "stack": "core",
}
OK = {"name": "sha-bbbbbbb", "stable": "sha-aaaaaaa", "changed": True, "services": [WEB]}


def fault(phase, host="h1", **facts):
    return {"phase": phase, "host": host, "msg": "it broke.", **facts}


@pytest.mark.parametrize(
    ("phase", "failed", "wanted"),
    [
        ("stage", {"msg": "no disk", "failed": True}, fault("stage") | {"msg": "no disk"}),
        ("lost", "it became unreachable", fault("lost") | {"msg": "it became unreachable"}),
        ("plan", {}, fault("plan") | {"msg": "failed without a message"}),
        ("plan", None, fault("plan") | {"msg": "failed without a message"}),
        (
            "switch",
            {
                "msg": "One or more items failed",
                "results": [
                    {"msg": "well"},
                    {
                        "failed": True,
                        "msg": "web: no",
                        "gate": "health",
                        "service": "web",
                        "stack": "core",
                        "log": "l",
                        "x": 1,
                    },
                ],
            },
            fault("switch", gate="health", service="web", stack="core", log="l") | {"msg": "web: no"},
        ),
        (
            "settle",
            {"failed": False, "changed": True},
            fault("settle") | {"msg": "what runs is no longer what was switched"},
        ),
        (
            "plan",
            {"msg": "Validation failed", "argument_errors": ["a is no int", "b"]},
            fault("plan") | {"msg": "a is no int; b"},
        ),
    ],
)
def test_with_fault(phase, failed, wanted):
    assert report.with_fault({"name": "n"}, phase, "h1", failed) == {"name": "n", "fault": wanted}


def test_the_first_fault_stays_and_a_revert_does_not_hide_it():
    first = report.with_fault({}, "switch", "h1", "one")
    assert report.with_fault(first, "switch", "h1", "two")["fault"]["msg"] == "one"
    both = report.with_fault(first, "revert", "h1", "three")
    assert (both["fault"]["msg"], both["revert_fault"]["msg"]) == ("one", "three")


@pytest.mark.parametrize(
    ("stable", "changed"),
    [(None, True), ({"name": "n.2", "release": "n"}, True), ({"name": "n", "release": "n"}, False)],
)
def test_with_staged(stable, changed):
    found = report.with_staged({"x": 1}, {"name": "n", "changed": True}, {"ledger": {"stable": stable}})
    assert found == {
        "x": 1,
        "name": "n",
        "staged": True,
        "to_pull": 0,
        "stable": stable and "n",
        "changed": changed,
        "services": [],
    }


def test_an_interrupted_run_is_closed_even_where_its_release_is_the_stable_one():
    ledger = {"stable": {"name": "n", "release": "n"}, "interrupted": {"event": "switching"}}
    assert report.with_staged({}, {"name": "n"}, {"ledger": ledger})["changed"] is True


def test_with_switched():
    result = {"changed": False, "services": [WEB]}
    done = [{"skipped": True}, {"item": "workers", "changed": True, "services": [{"service": "job"}]}]
    found = report.with_switched(result, done)
    assert found["changed"]
    assert found["services"] == [WEB, {"service": "job", "stack": "workers"}]
    assert not report.with_switched(result, [{"changed": False}])["changed"]


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
    ],
)
def test_verdict(results, lost, word):
    assert report.verdict(results, lost) == word
    assert report.good(word) == (word in ("succeeded", "unchanged"))


@pytest.mark.parametrize(
    ("results", "must"),
    [
        ([], False),
        ([OK], False),
        ([{"fault": fault("stage")}], False),
        ([OK, REVERTED], True),
        ([{"fault": fault("lost")}], True),
    ],
)
def test_must_revert(results, must):
    assert report.must_revert(results) is must


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
            {"h1": {**REVERTED, "stable": None}},
            [],
            {},
            ["It was taken away; there was no stable release to go back to."],
        ),
        (
            {"h1": {**REVERTED, "revert_fault": fault("revert")}},
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
                "ROLLOUT UNKNOWN: a host was lost, so what runs there is not known.",
                "Lost: h2, h3. What runs there is not known; run status.yml when they are back.",
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
        ({"action": "keep", "seconds": 0.0}, "unchanged"),
        ({"action": "create"}, "started"),
        ({"action": "remove"}, "removed"),
        ({"torch": {"verdict": "pass", "torch": {"version": "2.5.1+cpu"}}}, "2.5.1+cpu"),
    ],
)
def test_screen_of_services(service, text):
    assert text in report.screen({"h1": {**OK, "services": [{**WEB, **service}]}}, [], RUN)


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


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, {"info": None, "fault": "it could not be reached"}),
        ({"status_host": {"msg": "x"}, "status_fault": "no docker"}, {"info": None, "fault": "no docker"}),
        ({"status_host": {"ledger": {}}}, {"info": {"ledger": {}}, "fault": "it could not be reached"}),
    ],
)
def test_seen(variables, wanted):
    assert report.seen(variables) == wanted


def info(drift=(), health="healthy", **ledger):
    row = {
        "stack": "core",
        "service": "web",
        "release": "sha-aaaaaaa",
        "digest": "sha256:0123456789",
        "health": health,
        "since": "1970-01-01T00:00:00.5Z",
        "torch": "absent",
        "drift": list(drift),
    }
    return {
        "info": {"services": [row], "ledger": {"interrupted": None, "torn": False, **ledger}},
        "fault": "-",
    }


def test_status_of_a_fleet_that_is_well():
    screen = report.status_screen({"h1": info()}, 7200)
    assert screen.endswith("Everything runs as it was released.")
    assert "web      sha-aaaaaaa  0123456  healthy  2 h    absent  -" in screen


@pytest.mark.parametrize(
    ("found", "note"),
    [
        (info(["runs another image"]), "h1, web: runs another image."),
        (info(health="http://x: HTTP 503 no database"), "unhealthy"),
        (
            info(interrupted={"run": "r9", "event": "switching", "service": "web", "release": "sha-b"}),
            "h1: run r9 was interrupted at 'switching web' on its way to sha-b. Roll out or roll back again.",
        ),
        (
            info(interrupted={"run": "r9", "event": "switched", "stack": "core"}),
            "'switched core' on its way to ?.",
        ),
        (info(torn=True), "h1: the ledger has a torn line (a power loss?); it was passed over."),
        ({"info": None, "fault": "no docker"}, "h1: no docker"),
    ],
)
def test_status_says_what_is_off(found, note):
    assert note in report.status_screen({"h1": found}, 0)


def test_status_of_an_unreachable_host_is_never_well():
    assert "Everything runs" not in report.status_screen({"h1": info(), "h2": {"info": None, "fault": "lost"}}, 0)


@pytest.mark.parametrize(("now", "text"), [(0, "0 s"), (59, "59 s"), (60, "1 m"), (3600, "1 h"), (200000, "2 d"), (-5, "0 s")])
def test_age(now, text):
    assert report.age("1970-01-01T00:00:00.123456789Z", now) == text


def test_age_of_no_time():
    assert report.age("", 0) == ""

from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller.screens import drill


def row(what, state="proven", found="it is so", service="", log="", seconds=1.5):
    return {"stack": "core" if service else "", "service": service, "what": what} | {
        "state": state,
        "found": found,
        "log": log,
        "seconds": seconds,
    }


def done(*rows, **facts):
    return {"changed": False, "release": "sha-aaaaaaa", "rows": list(rows), **facts}


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({}, "it was not drilled"),
        ({"drill_lock": {"failed": True, "msg": "Another run holds the lock."}}, "Another run holds the lock."),
        ({"drill_target": {"failed": True, "msg": "No earlier one."}, "drill_done": {"skipped": True}}, "No earlier one."),
        ({"drill_lock": {"changed": True}, "drill_done": {"failed": True, "msg": "No release."}}, "No release."),
        ({"drill_lock": {}, "drill_done": {"skipped": True}}, "it was not drilled"),
    ],
)
def test_a_host_of_which_nothing_is_known(variables, fault):
    found = drill.seen("h1", variables)
    assert found == {"fault": fault}
    assert not drill.good(found)


def test_a_host_that_cannot_be_reached():
    found = drill.seen("h1", {"drill_lock": {"unreachable": True, "msg": "Connection refused"}})
    assert found["fault"].startswith("Host h1 cannot be reached: Connection refused")


def test_a_drill_without_a_row_proves_nothing():
    assert not drill.good(done())


def test_what_was_proven():
    hosts = {
        "core": done(row("release"), row("rehearsal", service="web"), row("backup", "proven", "db-1 verifies", "db")),
        "gpu": done(row("release"), row("rehearsal", "untried", "it needs a GPU", "worker", seconds=0.0)),
    }
    found = drill.result(hosts, False)
    assert found["good"]
    assert found["hosts"] == {"core": True, "gpu": True}
    assert found["screen"] == (
        "DRILL PASSED: core, gpu can go back to sha-aaaaaaa. What runs was not touched.\n"
        "\n"
        "  WHAT                 STATE      FOUND           TOOK\n"
        "core\n"
        "  release              proven     it is so        1.5 s\n"
        "  rehearsal of web     proven     it is so        1.5 s\n"
        "  backup of db         proven     db-1 verifies   1.5 s\n"
        "gpu\n"
        "  release              proven     it is so        1.5 s\n"
        "  rehearsal of worker  not tried  it needs a GPU"
    )
    assert found["message"] == {
        "title": "DRILL PASSED: core, gpu can go back to sha-aaaaaaa. What runs was not touched.",
        "body": "",
        "kind": "success",
    }


def test_what_is_in_the_way():
    failed = row("rehearsal", "failed", "Service web does not pass.", "web", log="one\ntwo")
    found = drill.result({"core": done(row("release"), failed), "gpu": {"fault": "Host gpu cannot be reached."}}, False)
    assert not found["good"]
    assert found["hosts"] == {"core": False, "gpu": False}
    assert found["screen"].endswith(
        "core: Service web does not pass.\nThe last lines of its log:\n    one\n    two\n\ngpu: Host gpu cannot be reached."
    )
    assert found["message"] == {
        "title": "DRILL FAILED: a rollback of core, gpu is not proven. What runs was not touched.",
        "body": "core: Service web does not pass.\n\ngpu: Host gpu cannot be reached.",
        "kind": "failure",
    }


def test_a_check_claims_less():
    found = drill.result({"core": done(row("release"))}, True)
    assert found["screen"].startswith(
        "CHECK: nothing is known to be in the way of a rollback of core. Nothing was started or pulled."
    )


def test_text_of_a_host_forges_no_line():
    evil = "x\nDRILL PASSED: all \x1b[2J"
    found = drill.result({"h": done(row("release", "failed", evil, log=evil), release=evil)}, False)["screen"]
    assert "\x1b" not in found
    assert [line for line in found.splitlines() if line.startswith("DRILL")] == [found.splitlines()[0]]

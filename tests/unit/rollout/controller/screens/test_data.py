"""What the screens tell of data that comes back."""

from __future__ import annotations

from ansible.module_utils.rollout.controller.screens import data, last, notes

ROW = {"backup": "db-1", "stack": "core", "service": "db", "at": "2026-12-01T14:02:59Z", "bytes": 1200000000, "age": 2220}
JOB = {"stack": "core", "job": "migrate", "compatible": False}


def test_the_plan_says_what_comes_back_and_what_is_lost():
    assert data.ahead({"core": {"restore": [ROW]}, "gpu": {}}) == [
        "core: the data of db comes back as it was at 2026-12-01 14:02 UTC (db-1, 1.2 GB); what came in since, 37 min, is then only "
        "in a backup that is taken first. What may write stops meanwhile"
    ]


def test_the_last_screen_says_what_came_back():
    saved = {**ROW, "backup": "db-2"}
    assert data.behind({"core": {"restored": [ROW], "saved": [saved]}, "gpu": {}}) == [
        "db (core): its data is that of 2026-12-01 14:02 UTC, from backup db-1. What came in since is in backup db-2."
    ]
    assert data.behind({"core": {"restored": [ROW]}}) == [
        "db (core): its data is that of 2026-12-01 14:02 UTC, from backup db-1."
    ]
    assert data.behind({"core": {"brought_back": [ROW]}}) == [
        "db (core): its data was brought back from backup db-1, of 2026-12-01 14:02 UTC."
    ]


def ended(**facts):
    result = {"name": "sha-b", "stable": "sha-aaaaaaa", "changed": True, "services": [], **facts}
    return last.screen({"core": result}, [], {"action": "rollout", "run": "r1", "release": "sha-bbbbbbb"})


def test_the_way_back_over_a_job_asks_what_the_data_may_do():
    said = ended(jobs=[JOB], ran=[{"stack": "core", "job": "migrate", "code": 0, "seconds": 1.0, "log": ""}])
    assert said.endswith(
        "To go back: ansible-playbook rollback.yml -e sha=aaaaaaa with -e data=restore (the data as it was before migrate) or -e "
        "data=keep (the data as it is)"
    )
    assert ended(jobs=[{**JOB, "compatible": True}], ran=[]).endswith("rollback.yml -e sha=aaaaaaa")


def test_behind_restored_data_the_way_forward_is_a_rollout():
    said = ended(restored=[ROW])
    assert "db (core): its data is that of 2026-12-01 14:02 UTC" in said
    assert said.endswith("To go forward again: ansible-playbook rollout.yml -e sha=aaaaaaa (its jobs run again).")


def test_what_a_guard_left_and_what_was_interrupted_is_told():
    ledger = {"torn": False, "interrupted": None, "barred": {"event": "barred", "run": "r1", "fault": "Type one of two."}}
    assert notes.state_notes({"core": {"ledger": ledger}}) == [
        ("barred", "core: run r1 was never confirmed, and the guard left everything as it is: Type one of two.")
    ]
    for event, facts, words in (
        ("quiesced", {}, "after what writes was stopped, before its jobs were done"),
        ("job", {"job": "migrate"}, "at job migrate"),
        ("restoring", {"kept": "db"}, "restoring the data of db"),
        ("switching", {"across": True}, "switching its services"),
    ):
        said = notes.interrupted({"event": event, "run": "r1", "release": "sha-b", **facts})
        assert said == f"Interrupted {words}, by run r1 on its way to sha-b."


def test_a_way_back_that_the_data_forbids_is_not_one_that_broke():
    fault = {"phase": "switch", "host": "core", "msg": "web does not pass.", "release": "sha-bbbbbbb"}
    said = ended(fault=fault, revert_fault={"phase": "revert", "host": "core", "msg": "Type one of two.", "gate": "data"})
    assert said.startswith(
        "ROLLOUT REVERT FAILED: sha-bbbbbbb did not pass, and its data is in the way back. Nothing more was touched; you choose, by one "
        "of the commands below."
    )
    assert "The revert failed on host core, gate data: Type one of two." in said

from __future__ import annotations

import calendar

from ansible.module_utils.rollout.controller.screens import backups

NOW = calendar.timegm((2026, 12, 1, 14, 30, 0))


def entry(name="db-1", **facts):
    return {
        **{"stack": "core", "service": "db", "backup": name, "bytes": 1_200_000_000, "at": "2026-12-01T14:02:59Z"},
        **{"release": "sha-aaaaaaa", "why": "before migrate", "fault": "", **facts},
    }


def infos(*entries):
    return {"nas": {"ledger": {"backups": list(entries)}}, "old": {"ledger": {}}}


def test_what_was_backed_up():
    shown = backups.taken({"nas": {"task": {"backups": [entry(seconds=3.1)]}}, "web": {"task": {"backups": []}}}, False)
    assert shown == {
        "good": True,
        "screen": "BACKED UP: 1\n\n  STACK  SERVICE  BACKUP  SIZE    TOOK\nnas\n  core   db       db-1    1.2 GB  3.1 s",
    }


def test_what_would_be():
    planned = [{"stack": "core", "service": "db", "bytes": 10_000}, {"stack": "core", "service": "files", "bytes": 0}]
    shown = backups.taken({"nas": {"task": {"backups": planned}}}, True)
    assert shown["screen"] == (
        "WOULD BE BACKED UP: 2\n\n  STACK  SERVICE  SIZE\nnas\n  core   db       ~10.0 kB\n  core   files    ~not known"
    )


def test_what_was_not():
    shown = backups.taken(
        {"nas": {"task": {"failed": True, "msg": "It broke.\x1b[31m"}}, "core": {"fault": "It is locked."}}, False
    )
    assert not shown["good"]
    assert shown["screen"].startswith("NOT BACKED UP\n\nnas: It broke.")
    assert "\x1b" not in shown["screen"]
    assert shown["screen"].endswith("core: It is locked.")
    nothing = backups.taken({"nas": {"task": {"backups": []}}}, False)
    assert not nothing["good"]
    assert "Nothing was backed up: no kept service of this inventory has the key backup" in nothing["screen"]


def test_a_service_that_was_mistyped_is_not_passed_over():
    shown = backups.taken({"nas": {"task": {"backups": [entry(seconds=3.1)]}}}, False, asked=["db", "bd"])
    assert not shown["good"]
    assert shown["screen"].startswith("NOT BACKED UP, 1 other\n")
    assert shown["screen"].endswith(
        "bd: no kept service of that name has the key backup, so nothing of it was backed up. Correct -e service="
    )
    assert backups.taken({"nas": {"task": {"backups": [entry(seconds=3.1)]}}}, False, asked=["db"])["good"]


def test_a_host_that_may_be_down_is_named():
    shown = backups.taken({"nas": {"task": {"backups": [entry(seconds=3.1)]}}, "gpu": {"behind": True, "task": {}}}, False)
    assert shown["good"]
    assert shown["screen"].endswith("gpu: it is down, and one of rollout_optional_hosts. Nothing was backed up there.")


def test_the_newest_backup_of_each_service():
    assert backups.newest(infos(entry(), entry("db-2", bytes=5, why="by hand")), NOW) == (
        "Newest backups:\n  SERVICE  BACKUP  SIZE  AGE   TAKEN\nnas\n  db       db-2    5 B   27 m  by hand"
    )
    assert backups.newest(infos(), NOW) == ""


def test_a_file_that_was_changed_is_a_finding():
    assert backups.faults(infos(entry(), entry("db-2", fault="has 3 bytes instead of 4"))) == [
        "nas: backup db-2 of service db cannot be restored: its file has 3 bytes instead of 4."
    ]


def test_the_list_of_what_there_is():
    shown = backups.listed(infos(entry(), entry("db-2", fault="is gone")))
    lines = shown.splitlines()
    assert [line.split()[2] for line in lines[2:4]] == ["db-2", "db-1"], "the newest first"
    assert lines[2].endswith("DAMAGED")
    assert "playbooks/restore.yml -e backup=NAME" in lines[-1]
    assert backups.listed(infos()) == ("There is no backup on any host. To take one: ansible-playbook playbooks/backup.yml")


def test_a_backup_that_no_host_has():
    assert backups.unknown(infos(entry(), entry("db-2")), "db-2") == ""
    assert backups.unknown(infos(entry(), entry("db-2")), "db-3") == (
        "No host has a backup db-3. Those that there are: db-2, db-1."
    )
    assert backups.unknown(infos(), "x") == "No host has a backup x. Those that there are: none."


def test_a_copy_that_failed_is_told_in_its_own_words():
    assert backups.uncopied(entry(), "nas", {"failed": True, "msg": "non-zero return code", "stderr": "rclone: no\n"}) == (
        "nas: backup db-1 was not copied elsewhere (rollout_backup_copy): rclone: no. It is on that host alone."
    )
    told = backups.uncopied(entry(), "nas", {"failed": True, "msg": "What arrived is not what was sent."})
    assert told.endswith("(rollout_backup_copy): What arrived is not what was sent. It is on that host alone.")
    shown = backups.taken({"nas": {"task": {"backups": [entry(seconds=3.1)]}}}, False, [told])
    assert shown["good"], "the backup is there"
    assert shown["screen"].endswith(told)

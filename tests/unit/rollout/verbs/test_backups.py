from __future__ import annotations

import hashlib
import json
import os
import stat

import pytest
from ansible.module_utils.rollout.domain import data
from ansible.module_utils.rollout.domain.presets import PRESETS
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import machine
from ansible.module_utils.rollout.io.backups import Backups
from ansible.module_utils.rollout.verbs import backups, saving, stage
from story import failure, held, order
from story import stack as text_of

OWN = {"dump": ["app", "save"], "restore": ["app", "load"], "verify": ["app", "check"]}
VOLUME = {"Type": "volume", "Name": "app-core_db", "Destination": "/var/lib/db", "RW": True, "Source": "/x"}
PLACE = {"service": "db", "stack": "core", "gate": "backup"}


def text(backup=OWN):
    document = json.loads(text_of("sha-aaaaaaa", ("web",)))
    document["x-rollout"]["db"] = {"keep": True, "backup": backup}
    return json.dumps(document)


@pytest.fixture
def times(monkeypatch):
    """Each look at the wall clock is a second later."""
    seconds = iter(range(60))
    monkeypatch.setattr(machine, "now", lambda: f"2026-12-01T14:02:{next(seconds):02}Z")


@pytest.fixture
def saved(host):
    """What makes a host on which a service with that backup runs: its deployment, and the service."""

    def made(backup=OWN):
        host.rollout("a", text=text(backup))
        deployment = host.deployment("sha-aaaaaaa")
        return deployment, deployment.by_name["db"]

    return made


def files(host):
    folder = host.store.root / "backups"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def entries(host, *events):
    return [entry for entry in host.store.ledger().data if entry["event"] in events]


def test_a_backup_is_a_file_and_an_entry(host, saved, times):
    deployment, db = saved()
    found = backups.take(deployment, db, "before migrate")
    assert files(host) == [found["file"]]
    path = host.store.root / "backups" / found["file"]
    assert path.read_bytes() == b"rows"
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    assert found["backup"].startswith("db-20261201T1402")
    assert found["file"] == f"{found['backup']}.dump"
    facts = {key: found[key] for key in ("stack", "service", "bytes", "release", "name", "why", "run")}
    assert facts == {
        **{"stack": "core", "service": "db", "bytes": 4, "release": "sha-aaaaaaa", "name": "sha-aaaaaaa"},
        **{"why": "before migrate", "run": "run"},
    }
    assert found["sha256"] == hashlib.sha256(b"rows").hexdigest()
    assert host.engine.fed == [("check", b"rows")], "it was verified before it had a name"
    assert data.backups(host.store.ledger()) == [found]
    assert not host.store.ledger().open, "a backup is nothing that must be taken back"


def test_no_name_is_given_twice(host, saved, monkeypatch):
    monkeypatch.setattr(machine, "now", lambda: "2026-12-01T14:02:00Z")
    deployment, db = saved()
    names = [backups.take(deployment, db, "by hand")["backup"] for _time in range(3)]
    assert names == ["db-20261201T140200Z", "db-20261201T140200Z-2", "db-20261201T140200Z-3"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "save",
            "The backup of service db (stack core) failed: its dump command ended with status 1 (no such ********). What it had "
            "written is removed.",
        ),
        ("check", " of service db (stack core) does not verify: status 1 (no such ********). It is removed."),
    ],
)
def test_one_that_fails_leaves_no_file(host, saved, word, said):
    deployment, db = saved()
    # As the agent does at each step.
    host.staged("b")
    container = host.engine.running()["db"]
    attached = "--interactive " if word == "check" else ""
    host.engine.fail[f"exec {attached}{container} app {word}"] = "warning\nno such canary-b"
    sentence, facts = failure(backups.take, deployment, db, "before migrate")
    assert sentence.endswith(said.replace("no such", "warning; no such"))
    assert facts == PLACE
    assert (files(host), entries(host, "backup")) == ([], [])


def test_one_that_writes_nothing_fails(host, saved):
    deployment, db = saved()
    host.engine.dumped = []
    sentence, facts = failure(backups.take, deployment, db, "before migrate")
    assert sentence == (
        "The backup of service db (stack core) failed: its dump command ended well and wrote nothing. Let it write to its standard "
        "output."
    )
    assert (facts, files(host)) == (PLACE, [])


def test_no_room_is_said_before_anything_is_written(host, saved, times, monkeypatch):
    deployment, db = saved()
    backups.take(deployment, db, "before migrate")
    monkeypatch.setattr(machine, "free_bytes", lambda path: 1000)
    host.engine.calls.clear()
    sentence, facts = failure(backups.take, deployment, db, "before migrate")
    path = host.store.root / "backups"
    assert sentence == (
        f"Not enough disk in {path} for a backup of service db (stack core): needed 134217732 bytes (134.2 MB), free 1000 bytes "
        "(1.0 kB). Make room there, or lower keep in x-rollout.db.backup, then run again."
    )
    assert facts == PLACE
    assert not any(call.startswith("exec") for call in host.engine.calls)
    assert len(files(host)) == 1


def test_a_disk_that_fills_ends_it_and_gets_its_room_back(host, saved, monkeypatch):
    deployment, db = saved()
    free = iter([2**40, 2**20])
    monkeypatch.setattr(machine, "free_bytes", lambda path: next(free, 2**20))
    sentence, facts = failure(backups.take, deployment, db, "before migrate")
    path = host.store.root / "backups"
    assert sentence == (
        "The backup of service db (stack core) was given up after 4 B: less than 67.1 MB would be free. What was written of it is "
        f"removed. Make room in {path}, then run again."
    )
    assert (facts, files(host)) == (PLACE, [])


def test_a_file_that_cannot_be_written_is_a_full_disk_too(host, saved, monkeypatch):
    deployment, db = saved()

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(host.store, "fence", lambda: None)
    assert "was given up after 4 B: No space left on device." in failure(backups.take, deployment, db, "x")[0]
    assert files(host) == []


def test_what_a_killed_one_left_is_swept_and_is_no_backup(host, saved):
    deployment, db = saved()
    folder = host.store.root / "backups"
    folder.mkdir()
    (folder / "db-20260101T000000Z.dump.part").write_bytes(b"ro")
    assert Backups(host.store.root).names() == set()
    found = backups.take(deployment, db, "before migrate")
    assert files(host) == [found["file"]]


def test_a_run_that_lost_the_lock_ends_it(host, saved, monkeypatch):
    deployment, db = saved()
    held(host.store, "run")
    # While the dump flows.
    host.engine.dumped = [b"rows"]
    flow = host.engine.flow
    monkeypatch.setattr(host.engine, "flow", lambda *words: held(host.store, "another") and flow(*words))
    with host.store.step("run"), pytest.raises(RolloutError, match="another"):
        backups.take(deployment, db, "before migrate")
    assert files(host) == []


def test_the_service_must_run(host, saved):
    deployment, db = saved()
    host.edit("db", State={"Status": "exited"})
    assert failure(backups.take, deployment, db, "x") == (
        "Service db (stack core) cannot be backed up or restored: it has no container that runs. Start it, then run again.",
        PLACE,
    )


def test_older_ones_go_but_never_those_that_a_rollback_needs(host, saved, times):
    deployment, db = saved({**OWN, "keep": 2})
    needed = backups.take(deployment, db, "before migrate")
    # A job that is not compatible, and a release behind it.
    facts = {"name": "sha-bbbbbbb", "release": "sha-bbbbbbb", "stack": "core", "job": "migrate", "key": "k"}
    host.store.append("job", "run-b", **facts, compatible=False)
    host.store.append("ran", "run-b", **facts, code=0, seconds=1)
    host.rollout("b", text=text({**OWN, "keep": 2}))
    later = [backups.take(host.deployment("sha-bbbbbbb"), db, "by hand") for _time in range(4)]
    assert files(host) == sorted(one["file"] for one in (needed, *later[-2:]))
    assert [entry["backup"] for entry in entries(host, "dropped")] == [one["backup"] for one in later[:2]]


def test_a_restore_gives_back_what_was_saved(host, saved):
    deployment, db = saved()
    found = backups.take(deployment, db, "before migrate")
    host.engine.fed.clear()
    backups.restore(deployment, found, "job migrate failed")
    assert host.engine.fed == [("check", b"rows"), ("load", b"rows")]
    begun, ended = entries(host, "restoring", "restored")
    assert {**begun, **ended, "seq": 0} | {"at": "", "seconds": 0.0, "event": ""} == {
        **{"seq": 0, "at": "", "run": "run", "event": "", "seconds": 0.0, "backup": found["backup"], "stack": "core"},
        **{"kept": "db", "why": "job migrate failed", "name": "sha-aaaaaaa", "release": "sha-aaaaaaa"},
    }
    assert [entry["event"] for entry in host.store.ledger().open] == ["restoring"], "until the run has ended"
    assert not data.unfinished(host.store.ledger())


def test_a_release_that_knows_no_backup_restores_one(host, saved):
    deployment, db = saved()
    found = backups.take(deployment, db, "before migrate")
    host.rollout("b")
    earlier = host.deployment("sha-bbbbbbb")
    assert earlier.by_name["db"].backup is None
    backups.restore(earlier, found, "rollback")
    assert host.engine.fed[-1] == ("load", b"rows")


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda path: path.unlink(), "cannot be read (No such file or directory)"),
        (lambda path: path.write_bytes(b"row"), "has 3 bytes instead of 4"),
        (lambda path: path.write_bytes(b"cows"), "has another content than was written (its SHA-256 differs)"),
    ],
)
def test_a_file_that_is_not_what_was_written_is_refused_and_told(host, saved, spoil, fault):
    deployment, db = saved()
    found = backups.take(deployment, db, "before migrate")
    assert backups.damaged(host.store) == {}
    path = host.store.root / "backups" / found["file"]
    spoil(path)
    assert backups.damaged(host.store) == {found["backup"]: fault}
    assert failure(backups.restore, deployment, found, "rollback") == (
        f"Backup {found['backup']} cannot be used: its file {path} {fault}. Choose another one: ansible-playbook "
        "playbooks/restore.yml lists them.",
        PLACE,
    )
    assert entries(host, "restoring") == [], "nothing was touched"


def test_a_restore_that_fails_is_known_to_be_unfinished(host, saved):
    deployment, db = saved()
    found = backups.take(deployment, db, "before migrate")
    container = host.engine.running()["db"]
    host.engine.fail[f"exec --interactive {container} app load"] = "it broke"
    sentence, facts = failure(backups.restore, deployment, found, "rollback")
    assert sentence == (
        f"Backup {found['backup']} could not be restored into service db (stack core): status 1 (it broke). The data may be "
        "restored in part: keep the service's clients stopped until a restore has ended well."
    )
    assert facts == PLACE
    assert [entry["backup"] for entry in data.unfinished(host.store.ledger())] == [found["backup"]]
    host.engine.fail.clear()
    backups.restore(deployment, found, "rollback")
    assert not data.unfinished(host.store.ledger())


def test_postgres_takes_a_failed_restore_back(host, saved):
    deployment, db = saved({})
    found = backups.take(deployment, db, "before migrate")
    assert found["file"].endswith(".sql.gz")
    assert found["how"]["preset"] == "postgres"
    assert host.engine.fed == [("backup", b"rows")], "what is read is what was written, without the compression"
    container = host.engine.running()["db"]
    restoring = " ".join(PRESETS["postgres"].restore)
    host.engine.fail[f"exec --interactive {container} {restoring}"] = "ERROR: no"
    sentence = failure(backups.restore, deployment, found, "rollback")[0]
    assert sentence.endswith("status 1 (ERROR: no). The data is as it was before.")
    assert host.engine.calls[-1] == f"exec {container} {' '.join(PRESETS['postgres'].undo)}"


def test_a_volume_is_saved_while_its_service_is_stopped(host, saved):
    deployment, db = saved({"preset": "volume"})
    host.edit("db", Mounts=[VOLUME])
    container = host.engine.running()["db"]
    host.engine.calls.clear()
    found = backups.take(deployment, db, "before migrate")
    assert found["file"].endswith(".tar.gz")
    changing = [call for call in host.engine.touched if call.split()[0] in ("stop", "start", "run")]
    assert [call.split()[0] for call in changing] == ["stop", "run", "run", "start"]
    assert '--mount "type=volume","source=app-core_db","target=/var/lib/db" ' in changing[1]
    assert changing[1].endswith(" backup var/lib/db")
    assert "--network none" in changing[1]
    assert "--pull never" in changing[1]
    assert ("stopping", ["c" + container[1:]]) in [(e["event"], e.get("containers")) for e in host.store.ledger().open]


def test_a_volume_whose_backup_fails_starts_its_service_again(host, saved):
    deployment, db = saved({"preset": "volume"})
    host.edit("db", Mounts=[VOLUME])
    host.engine.fail["run --rm"] = "tar: no"
    assert "its dump command ended with status 1 (tar: no)" in failure(backups.take, deployment, db, "x")[0]
    # What still writes beside it goes first.
    assert [call.split()[0] for call in host.engine.calls[-2:]] == ["rm", "start"]


def test_a_backup_of_another_name_is_refused_with_those_that_are_there(host, saved, times):
    deployment, db = saved()
    there = [backups.take(deployment, db, "by hand")["backup"] for _time in range(2)]
    assert failure(backups.find, host.store.ledger(), "db-1")[0] == (
        f"There is no backup db-1 on this host. Backups here: {there[1]}, {there[0]}."
    )
    assert backups.find(host.store.ledger(), there[0])["backup"] == there[0]


def test_a_plan_knows_how_large_a_backup_will_be(host, saved, times):
    deployment, db = saved({})
    engine = host.engine

    def plan():
        return backups.plan(host.store, engine, "app-core", "core", [db], "before migrate")

    assert plan() == [{"stack": "core", "service": "db", "why": "before migrate", "bytes": 1000}]
    engine.fail["exec"] = "no"
    assert plan()[0]["bytes"] == 0
    engine.fail.clear()
    backups.take(deployment, db, "by hand")
    assert plan()[0]["bytes"] == int(backups.data.backups(host.store.ledger())[-1]["bytes"] * backups.GROWTH)


def test_no_room_is_said_while_staging(host, saved, monkeypatch):
    _deployment, db = saved()
    assert backups.faults(host.store, host.engine, "app-core", "core", [db]) == []
    monkeypatch.setattr(machine, "free_bytes", lambda path: saving.RESERVE - 1)
    assert [sentence[:47] for sentence in backups.faults(host.store, host.engine, "app-core", "core", [db])] == [
        f"Not enough disk in {host.store.root}/backups"[:47]
    ]


def test_a_service_that_cannot_be_saved_is_told_while_staging(host, saved):
    _deployment, db = saved({})

    def faults():
        return backups.faults(host.store, host.engine, "app-core", "core", [db])

    assert faults() == []
    host.engine.fail["exec"] = 'psql: error\nFATAL:  role "app" does not exist'
    assert faults() == [
        'Service db (stack core) could not be backed up: psql: error; FATAL:  role "app" does not exist. Fix that, or write the '
        "commands of its backup yourself (dump and restore in x-rollout.db.backup)."
    ]
    run = host.engine.run
    host.engine.run = lambda words, **more: (124, "", "no answer") if words[0] == "exec" else run(words, **more)
    assert faults() == [], "what takes long to count is no reason"
    host.engine.run = run
    host.edit("db", State={"Status": "exited"})
    assert faults() == [], "it is started, and has nothing to save"


def test_staging_refuses_all_that_is_wrong_with_backups(host):
    document = json.loads(text({"dump": ["app", "save"]}))
    document["x-rollout"]["web"]["backup"] = {"preset": "volume"}
    sentence = failure(stage.stage, host.store, host.engine, order("a", json.dumps(document)), False)[0]
    file = "docker-compose.core.yml"
    assert sentence.splitlines() == [
        f"{file}: x-rollout.db.backup has dump without restore. Nothing that was saved could be restored. Write both, or a preset.",
        f"{file}: x-rollout.web has backup, but the service is not kept: a rollout replaces its container. Write keep: true beside "
        "it, or remove backup.",
    ]
    assert host.store.names() == []


def test_seconds_bound_each_command(host, saved, monkeypatch):
    deployment, db = saved({**OWN, "deadline": 7})
    limits = []
    flow = host.engine.flow
    monkeypatch.setattr(host.engine, "flow", lambda words, limit, *more: limits.append(limit) or flow(words, limit, *more))
    found = backups.take(deployment, db, "x")
    host.rollout("b")
    backups.restore(host.deployment("sha-bbbbbbb"), found, "x")
    assert limits == [7] * 4


def test_by_hand_all_that_say_how_are_saved_or_those_that_are_named(host, saved):
    deployment, _db = saved()
    armed = []

    def take(*names):
        return backups.by_hand([deployment], names, False, lambda: armed.append(1))

    (found,) = take()["backups"]
    assert (found["service"], found["why"]) == ("db", "by hand")
    assert take("web")["backups"] == []
    assert take("db")["changed"]
    assert not armed, "nothing is stopped"


def test_by_hand_a_stop_is_behind_the_guard_and_over_with_the_run(host, saved):
    deployment, _db = saved({"preset": "volume"})
    host.edit("db", Mounts=[VOLUME])
    armed = []
    backups.by_hand([deployment], [], False, lambda: armed.append([*host.engine.calls]))
    assert len(armed) == 1
    assert not any(call.startswith("stop") for call in armed[0])
    ledger = host.store.ledger()
    assert not ledger.open
    assert ledger.closed["by"] == "backup"
    assert ledger.reverts == {"run": 0, "guard": 0}, "nothing was taken back"
    assert host.engine.running()["db"]


def test_a_check_says_what_would_be_saved_and_what_speaks_against_it(host, saved, monkeypatch):
    deployment, _db = saved({})
    would = backups.by_hand([deployment], [], True, lambda: None)
    assert would == {"changed": True, "backups": [{"stack": "core", "service": "db", "why": "by hand", "bytes": 1000}]}
    assert files(host) == []
    monkeypatch.setattr(machine, "free_bytes", lambda path: 0)
    sentence = failure(backups.by_hand, [deployment], [], True, lambda: None)[0]
    assert sentence.startswith("Not enough disk in ")

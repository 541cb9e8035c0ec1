from __future__ import annotations

import shutil
import subprocess

import pytest
from ansible.module_utils.rollout.domain import ledger as ledgers
from ansible.module_utils.rollout.domain import presets
from ansible.module_utils.rollout.domain.backup import ALWAYS, JOB, NEVER, Backup
from ansible.module_utils.rollout.domain.compose import Service
from ansible.module_utils.rollout.domain.presets import PRESETS

OWN = {"dump": ("save",), "restore": ("load",)}


def service(image="postgres:17", released=False, **backup):
    return Service("db", image, released, backup=Backup(**backup))


@pytest.mark.parametrize(
    ("image", "preset"),
    [
        ("postgres:17-alpine", "postgres"),
        ("localhost:5000/postgres:debian", "postgres"),
        ("postgis/postgis:17-3.5", "postgres"),
        ("pgvector/pgvector:pg17", "postgres"),
        ("ghcr.io/immich-app/postgres:14-vectorchord0.4.3-pgvectors0.2.0", "postgres"),
        ("tensorchord/pgvecto-rs:pg14-v0.2.0", "postgres"),
        ("tensorchord/vchord-postgres:pg17-v0.4.3", "postgres"),
        ("lscr.io/linuxserver/mariadb:11", "mariadb"),
        ("mysql/mysql-server:8.0", "mariadb"),
        ("redis:7", "volume"),
        ("timescale/timescaledb:latest-pg17", "volume"),
        ("mongo:7", ""),
        ("example.org/web", ""),
    ],
)
def test_the_preset_of_an_image(image, preset):
    assert presets.preset(service(image)) == preset


def test_what_is_written_goes_before_what_is_known():
    assert presets.preset(service(preset="volume")) == "volume"
    assert presets.commands(service(preset="mariadb", deadline=7)).dump == PRESETS["mariadb"].dump
    own = presets.commands(service(**OWN, verify=("check",), deadline=9))
    assert (own.dump, own.restore, own.verify, own.packed, own.stopped) == (("save",), ("load",), ("check",), False, False)
    assert own.deadline == 9
    assert presets.commands(service()).deadline == Backup().deadline


@pytest.mark.parametrize("backup", [{}, {"preset": "volume"}, {**OWN, "verify": ("check",)}])
def test_a_ledger_knows_how_a_backup_is_restored(backup):
    one = service(**backup, deadline=5)
    wanted, found = presets.commands(one), presets.restoring(presets.recorded(one))
    for key in ("restore", "verify", "undo", "stopped", "packed", "deadline"):
        assert getattr(found, key) == getattr(wanted, key)


def test_what_could_not_be_restored_is_refused_all_at_once():
    found = presets.faults(
        "f.yml",
        [
            service(),
            service("example.org/web"),
            service(dump=("save",)),
            service(restore=("load",)),
            service(released=True),
            Service("plain", "web", True),
        ],
    )
    assert found == [
        "f.yml: x-rollout.db.backup names neither commands nor a preset, and none is known for image example.org/web. Write "
        "preset: volume (the service is stopped while its volumes are saved), or dump and restore, commands in the container.",
        "f.yml: x-rollout.db.backup has dump without restore. Nothing that was saved could be restored. Write both, or a preset.",
        "f.yml: x-rollout.db.backup has restore without dump. Nothing that was saved could be restored. Write both, or a preset.",
        "f.yml: x-rollout.db has backup, but the service is not kept: a rollout replaces its container. Write keep: true beside "
        "it, or remove backup.",
    ]


@pytest.mark.parametrize(("when", "jobs", "due"), [(JOB, True, 1), (JOB, False, 0), (ALWAYS, False, 1), (NEVER, True, 0)])
def test_when_a_backup_is_due(when, jobs, due):
    services = {"core": [service(when=when), Service("web", "web", True)]}
    assert len(presets.due(services, jobs)) == due
    assert presets.due({"core": [service()]}, True)[0][0] == "core"


def test_the_folders_that_hold_data():
    def mount(kind, destination, source="", writable=True):
        return {"Type": kind, "Name": "v", "Destination": destination, "Source": source, "RW": writable}

    assert presets.mounted(
        [mount("volume", "/db"), mount("bind", "/a,b", "/srv/a,b"), mount("bind", "/db/my.cnf", "/srv/my.cnf", writable=False)]
    ) == ['"type=volume","source=v","target=/db"', '"type=bind","source=/srv/a,b","target=/a,b"']
    assert presets.places(
        [
            mount("volume", "/var/lib/db"),
            mount("volume", "/var/lib/db/wal"),
            mount("volume", "/var/lib/db2"),
            mount("volume", "/seed", writable=False),
            mount("tmpfs", "/scratch"),
            mount("bind", "/data", "/srv/app/data"),
            mount("bind", "/run/docker.sock", "/run/docker.sock"),
            mount("bind", "/sock", "/srv/docker.sock"),
            mount("bind", "/host", "/"),
            mount("bind", "/etc/x", "/etc/x"),
            mount("bind", "/usr/share/x", "/usr/share/x"),
            mount("bind", "/more", "/usrdata"),
        ]
    ) == ["data", "more", "var/lib/db", "var/lib/db2"]


def entry(seq, event, **facts):
    return ledgers.parse(ledgers.line(seq, event, facts.pop("run", "r"), "2026-12-01T14:02:00Z", **facts))[0][0]


def taken(seq, name="db-1", service="db", **facts):
    return entry(seq, "backup", backup=name, stack="core", service=service, file=name, bytes=1, sha256="", **facts)


def test_old_backups_go_those_of_another_service_and_of_an_open_run_stay():
    backups = [taken(n, f"db-{n}") for n in range(1, 7)]
    other = taken(7, "cache-1", "cache")
    found = ledgers.fold([*backups, other])
    assert [e["backup"] for e in presets.outdated(found, "core", "db", 5, [])] == ["db-1"]
    assert presets.outdated(found, "core", "cache", 1, []) == []
    begun = ledgers.fold([*backups, other, entry(8, "quiesced", name="n", release="r", stack="core", services=[])])
    assert presets.outdated(begun, "core", "db", 1, []) == []
    gone = ledgers.fold([*backups, entry(8, "dropped", backup="db-1")])
    assert [e["backup"] for e in presets.outdated(gone, "core", "db", 4, [])] == ["db-2"]


@pytest.mark.skipif(not shutil.which("sh"), reason="needs a shell")
@pytest.mark.parametrize("preset", ["postgres", "mariadb"])
@pytest.mark.parametrize(("text", "code"), [("a\n-- rollout: complete\n", 0), ("a\n-- rollout: comp", 1), ("", 1)])
def test_a_dump_without_its_end_is_not_accepted(preset, text, code):
    done = subprocess.run(list(PRESETS[preset].verify), input=text, text=True, capture_output=True, timeout=20)
    assert (done.returncode, done.stderr) == (code, "" if not code else "it ends before its last line\n")


@pytest.mark.skipif(not shutil.which("sh"), reason="needs a shell")
@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_scripts_are_what_a_shell_reads(preset):
    for command in (PRESETS[preset].dump, PRESETS[preset].restore, PRESETS[preset].undo, PRESETS[preset].size):
        if command:
            assert command[:2] == ("sh", "-c")
            subprocess.run(["sh", "-n", "-c", command[2]], check=True, timeout=20)
